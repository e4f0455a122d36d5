"""What the window of `host.pressure` says. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sickbay.checks.host.weights_read import judge_weights_read, weights_fall_out
from sickbay.engine.model.check import Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["EMITS", "judge_pressure"]

EMITS = (
    "host.cpu_count",
    "host.cpu_busy_ratio",
    "host.cpu_steal_ratio",
    "host.cpu_iowait_ratio",
    "host.cpu_others_busy_cores",
    "host.cpu_engine_busy_cores",
    "host.engine_runqueue_wait_ratio",
    "host.engine_threads_running",
    "host.engine_lone_thread_ratio",
    "host.load_per_cpu",
    "host.top_other_process",
    "host.psi_cpu_some_ratio",
    "host.psi_memory_some_ratio",
    "host.psi_io_some_ratio",
    "host.cgroup_cpu_limit_cores",
    "host.cgroup_throttled_ratio",
    "host.cgroup_throttled_s",
    "host.cgroup_memory_limit_bytes",
    "host.cgroup_memory_used_ratio",
    "host.cgroup_oom_kills",
    "host.memory_available_ratio",
    "host.swap_used_bytes",
    "host.major_faults_rate",
    "host.disk_read_bytes_rate",
    "host.weights_reread_ratio",
    "host.in_container",
)
_KIB = 1024


def judge_pressure(raw: Raw, params: Mapping[str, Any]) -> Result:
    """Signals and outcome of one window."""
    if not raw["local"]:
        detail = "host checks need to run on the engine's host"
        nothing = dict.fromkeys(EMITS, unknown(UnknownReason.NOT_CONFIGURED, detail))
        return Result(outcome=Outcome.SKIP, summary=detail, signals=nothing)
    signals: dict[str, Reading] = {
        **_processor(raw),
        **_engine(raw),
        **_pressure(raw),
        **_cgroup_cpu(raw),
        **_cgroup_memory(raw),
        **_memory(raw),
        "host.weights_reread_ratio": judge_weights_read(raw.get("weights_read", {})),
        "host.in_container": measured(bool(raw["container"]), raw["container"] or "no mark of a container seen"),
    }
    values = {name: reading.value for name, reading in signals.items() if isinstance(reading.value, float)}
    outcome, words = _outcome(values, params)
    if again := weights_fall_out(signals["host.weights_reread_ratio"], raw.get("uptime_s")):
        outcome, words = (Outcome.WARN if outcome is Outcome.PASS else outcome), [*words, again]
    return Result(outcome=outcome, summary="; ".join(words) or _calm(values), signals=signals, next_step=_next(outcome))


def _processor(raw: Raw) -> dict[str, Reading]:
    cpu, window_s = raw["cpu_s"], raw["window_s"]
    total = sum(cpu.values())
    found = {"host.cpu_count": measured(raw["cpus_allowed"], "Cpus_allowed_list of /proc/PID/status")}
    if total <= 0:
        nothing = unknown(UnknownReason.NO_TRAFFIC, "the processor times did not move; look over a longer window")
        return found | dict.fromkeys(("host.cpu_busy_ratio", "host.cpu_steal_ratio", "host.cpu_iowait_ratio"), nothing)
    idle = cpu["idle"] + cpu["iowait"]
    for name, part in (("busy", total - idle), ("steal", cpu["steal"]), ("iowait", cpu["iowait"])):
        found[f"host.cpu_{name}_ratio"] = measured(min(1.0, max(0.0, part / total)), "/proc/stat", window_s=window_s)
    return found | _load(raw)


def _load(raw: Raw) -> dict[str, Reading]:
    reads = raw["runnable"]
    if not reads:
        return {"host.load_per_cpu": unknown(UnknownReason.ABSENT, "/proc/stat has no line procs_running")}
    mean = max(0.0, sum(reads) / len(reads) - 1)  # the read itself is one runnable task
    return {
        "host.load_per_cpu": measured(mean / max(1, raw["cpus_online"]), f"procs_running, mean of {len(reads)} reads")
    }


def _engine(raw: Raw) -> dict[str, Reading]:
    names = (
        "host.cpu_others_busy_cores",
        "host.cpu_engine_busy_cores",
        "host.engine_runqueue_wait_ratio",
        "host.engine_threads_running",
        "host.engine_lone_thread_ratio",
        "host.top_other_process",
    )
    if raw["pid"] is None or not raw["engine_pids"]:
        why = raw["pid_error"] or f"process {raw['pid']} ended in the window"
        return dict.fromkeys(names, unknown(UnknownReason.ABSENT, f"the engine's process is not known: {why}"))
    window_s = raw["window_s"]
    cpu = raw["cpu_s"]
    used_s = sum(cpu[kind] for kind in ("user", "nice", "system", "irq", "softirq"))
    others_s = max(0.0, used_s - raw["engine_cpu_s"] - raw["own_cpu_s"])
    pids = f"pid {raw['pid']} and {len(raw['engine_pids']) - 1} more"
    found = {
        "host.cpu_engine_busy_cores": measured(
            raw["engine_cpu_s"] / window_s, f"/proc/PID/stat of {pids}", window_s=window_s
        ),
        "host.cpu_others_busy_cores": measured(
            others_s / window_s, "/proc/stat less the engine's and sickbay's processes", window_s=window_s
        ),
        "host.top_other_process": _top_other(raw),
    }
    threads = raw["threads"]
    if not threads:
        nothing = unknown(UnknownReason.UNSUPPORTED, "this kernel keeps no schedstat of the engine's threads")
        return found | dict.fromkeys(names[2:5], nothing)
    found[names[2]] = measured(
        min(1.0, threads["wait_longest_s"] / window_s),
        f"schedstat, the longest-waiting of {threads['count']} threads of {pids}",
        window_s=window_s,
    )
    found[names[3]] = measured(
        (threads["run_s"] + threads["wait_s"]) / window_s,
        f"time run and waited, summed over {threads['count']} threads",
        window_s=window_s,
    )
    found[names[4]] = (
        measured(
            max(0.0, min(window_s, threads["run_most_s"]) - threads["run_second_s"]) / window_s,
            f"the busiest of {threads['count']} threads ran {threads['run_most_s']:.2f} s, "
            f"the next {threads['run_second_s']:.2f} s",
            window_s=window_s,
        )
        if "run_most_s" in threads
        else unknown(UnknownReason.UNSUPPORTED, "this evidence is of a version that did not look at single threads")
    )
    return found


def _top_other(raw: Raw) -> Reading:
    for row in raw["processes"]:
        if row["role"] == "other":
            return measured(
                f"{row['name']} (pid {row['pid']})", f"{row['cpu_s'] / raw['window_s']:.2f} processors in the window"
            )
    return measured("none", "no other process that we see used the processor in the window")


def _pressure(raw: Raw) -> dict[str, Reading]:
    found = {}
    for kind in ("cpu", "memory", "io"):
        name, path = f"host.psi_{kind}_some_ratio", f"/proc/pressure/{kind}"
        some = raw["pressure_s"].get(kind, {}).get("some")
        if some is None:
            why = raw["errors"].get(path) or f"{path} has no total"
            found[name] = unknown(UnknownReason.UNSUPPORTED, f"{why}; the kernel needs CONFIG_PSI and psi=1")
        else:
            found[name] = measured(min(1.0, some / raw["window_s"]), path, window_s=raw["window_s"])
    return found


def _cgroup_cpu(raw: Raw) -> dict[str, Reading]:
    names = ("host.cgroup_cpu_limit_cores", "host.cgroup_throttled_ratio", "host.cgroup_throttled_s")
    levels = raw["cgroup"].get("cpu", [])
    if not levels:
        return dict.fromkeys(names, _no_cgroup(raw, "cpu"))
    window_s = raw["window_s"]
    quotas = [(level["quota_cores"], level["path"]) for level in levels if level.get("quota_cores") is not None]
    found: dict[str, Reading] = {}
    if quotas:
        cores, path = min(quotas)
        found[names[0]] = measured(cores, f"quota of cgroup {path} ({raw['cgroup']['version']})")
    else:
        found[names[0]] = unknown(UnknownReason.ABSENT, f"no CPU quota on cgroup {raw['cgroup']['path']} or above it")
    ratios = [
        (level["nr_throttled"] / level["nr_periods"], level["path"])
        for level in levels
        if level.get("nr_periods") and "nr_throttled" in level
    ]
    seconds = [level["throttled_s"] for level in levels if "throttled_s" in level]
    if not quotas:
        found[names[1]] = found[names[2]] = measured(0.0, "no CPU quota is set", window_s=window_s)
    elif ratios:
        ratio, path = max(ratios)
        found[names[1]] = measured(ratio, f"cpu.stat of cgroup {path}", window_s=window_s)
        found[names[2]] = measured(max(seconds, default=0.0), "cpu.stat, the worst level", window_s=window_s)
    else:
        nothing = unknown(UnknownReason.NO_TRAFFIC, "no CPU period passed in the window: the group did not run")
        found[names[1]] = found[names[2]] = nothing
    return found


def _cgroup_memory(raw: Raw) -> dict[str, Reading]:
    names = ("host.cgroup_memory_limit_bytes", "host.cgroup_memory_used_ratio", "host.cgroup_oom_kills")
    levels = raw["cgroup"].get("memory", [])
    if not levels:
        return dict.fromkeys(names, _no_cgroup(raw, "memory"))
    limited = [level for level in levels if level.get("limit_bytes")]
    kills = [level["oom_kills"] for level in levels if "oom_kills" in level][:1]
    found: dict[str, Reading] = {
        names[2]: measured(kills[0], "the cgroup's own event counter")
        if kills
        else unknown(UnknownReason.UNSUPPORTED, "this kernel counts no OOM kills per cgroup")
    }
    if not limited:
        nothing = unknown(UnknownReason.ABSENT, f"no memory limit on cgroup {raw['cgroup']['path']} or above it")
        return found | dict.fromkeys(names[:2], nothing)
    tightest = min(limited, key=lambda level: int(level["limit_bytes"]))
    found[names[0]] = measured(tightest["limit_bytes"], f"cgroup {tightest['path']} ({raw['cgroup']['version']})")
    if "used_bytes" in tightest:
        used = max(0, tightest["used_bytes"] - tightest.get("inactive_file_bytes", 0))
        found[names[1]] = measured(used / tightest["limit_bytes"], "use without inactive file pages, over the limit")
    else:
        found[names[1]] = unknown(UnknownReason.ABSENT, f"cgroup {tightest['path']} does not tell its use")
    return found


def _no_cgroup(raw: Raw, controller: str) -> Reading:
    if raw["pid"] is None:
        return unknown(UnknownReason.ABSENT, f"the engine's process is not known: {raw['pid_error']}")
    why = raw["cgroup"].get("error") or f"no {controller} files for the engine's cgroup below /sys/fs/cgroup"
    return unknown(UnknownReason.ABSENT, why)


def _memory(raw: Raw) -> dict[str, Reading]:
    memory, vmstat, window_s = raw["memory"], raw["vmstat"], raw["window_s"]
    found: dict[str, Reading] = {}
    if memory.get("MemTotal") and "MemAvailable" in memory:
        share = memory["MemAvailable"] / memory["MemTotal"]
        found["host.memory_available_ratio"] = measured(share, "/proc/meminfo")
    if "SwapTotal" in memory and "SwapFree" in memory:
        found["host.swap_used_bytes"] = measured(memory["SwapTotal"] - memory["SwapFree"], "/proc/meminfo")
    if "pgmajfault" in vmstat:
        found["host.major_faults_rate"] = measured(vmstat["pgmajfault"] / window_s, "/proc/vmstat", window_s=window_s)
    if "pgpgin" in vmstat:
        rate = vmstat["pgpgin"] * _KIB / window_s
        found["host.disk_read_bytes_rate"] = measured(rate, "pgpgin of /proc/vmstat", window_s=window_s)
    for name, path in (
        ("host.memory_available_ratio", "/proc/meminfo"),
        ("host.swap_used_bytes", "/proc/meminfo"),
        ("host.major_faults_rate", "/proc/vmstat"),
        ("host.disk_read_bytes_rate", "/proc/vmstat"),
    ):
        if name not in found:
            why = raw["errors"].get(path) or f"{path} does not say"
            found[name] = unknown(UnknownReason.ABSENT, why)
    return found


def _outcome(values: Mapping[str, float], params: Mapping[str, Any]) -> tuple[Outcome, list[str]]:
    """The worst of the single judgements, and a sentence part for each that is not well."""
    warn: list[str] = []
    fail: list[str] = []

    def above(name: str, words: str, warn_at: str, fail_at: str = "") -> None:
        value = values.get(f"host.{name}")
        if value is None:
            return
        if fail_at and value > params[fail_at]:
            fail.append(words.format(value))
        elif value > params[warn_at]:
            warn.append(words.format(value))

    others = values.get("host.cpu_others_busy_cores")
    if others is not None and others > params["others_warn"] * values["host.cpu_count"]:
        words = f"the engine's threads wait {{:.0%}} of the time while others use {others:.1f} processors"
        above("engine_runqueue_wait_ratio", words, "wait_warn", "wait_fail")
    above("cgroup_throttled_ratio", "the CPU quota stopped the engine in {:.0%} of the periods",
          "throttled_warn", "throttled_fail")  # fmt: skip
    above("cpu_steal_ratio", "the hypervisor took {:.0%} of the processor time", "steal_warn")
    above("cgroup_memory_used_ratio", "memory stands at {:.0%} of the engine's cgroup limit", "cgroup_memory_warn")
    above("psi_memory_some_ratio", "tasks waited for memory {:.0%} of the time", "psi_memory_warn")
    above("psi_io_some_ratio", "tasks waited for disk {:.0%} of the time", "psi_io_warn")
    available = values.get("host.memory_available_ratio")
    if available is not None and available < params["memory_available_warn"]:
        into = fail if available < params["memory_available_fail"] else warn
        into.append(f"only {available:.1%} of the host's memory is available")
    kills = values.get("host.cgroup_oom_kills", 0.0)
    if kills > 0:
        warn.append(f"{kills:.0f} processes of the engine's cgroup were killed for memory since it exists")
    if fail:
        return Outcome.FAIL, fail + warn
    if warn:
        return Outcome.WARN, warn
    return (Outcome.PASS if "host.cpu_busy_ratio" in values else Outcome.UNKNOWN), []


def _calm(values: Mapping[str, float]) -> str:
    parts = []
    for name, words in (
        ("host.cpu_busy_ratio", "processors {:.0%} busy"),
        ("host.cpu_engine_busy_cores", "engine uses {:.1f}"),
        ("host.cpu_others_busy_cores", "others use {:.1f}"),
        ("host.engine_runqueue_wait_ratio", "its threads wait {:.0%} of the time"),
        ("host.memory_available_ratio", "{:.0%} of memory available"),
    ):
        if name in values:
            parts.append(words.format(values[name]))
    return ", ".join(parts) or "the processor times did not move in the window"


def _next(outcome: Outcome) -> str:
    if outcome in {Outcome.WARN, Outcome.FAIL}:
        return "see host.top_other_process and the cgroup's limits; move the neighbour or raise the limit"
    return ""

"""probe.replicas: are all replicas behind the address equally fast, equally loaded, and of one mind.

The same fixed prompt goes straight to each replica, greedy; their own metrics pages tell their load.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sickbay.checks.probe.timeout_param import timeout_param
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["ProbeReplicas"]

SLOW_TIMES = 2.0
UNEVEN_TIMES = 3.0


class ProbeReplicas(Check):
    """Ask each replica of the target (`replicas`) one fixed question with 8 output tokens, and read its gauges.

    With `questions` each is also asked so many questions with known answers: failures that sit on one replica are that
    replica's. Build, model, template, context and defaults that a replica tells are compared as well.
    """

    name = "probe.replicas"
    title = "Are all replicas equally fast, equally loaded, and give the same greedy answer"
    effect = Effect.LIGHT
    needs = ("replicas",)
    emits: ClassVar[Sequence[str]] = (
        "path.replica_ttft_ratio_max",
        "serving.replica_load_ratio_max",
        "serving.replicas_idle_ratio",
        "output.replicas_differ_ratio",
        "serving.replicas_down",
        "serving.replicas_up",
        "serving.replicas_unlike",
        "output.replicas_failing_ratio",
        "output.failing_on_one_replica_ratio",
        "output.recovery_other_replica",
    )
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "replicas_max": {
                "description": "most replicas that are asked",
                "type": "integer",
                "minimum": 2,
                "maximum": 64,
                "default": 8,
            },
            "questions": {
                "description": "questions with known answers for each replica",
                "type": "integer",
                "minimum": 0,
                "maximum": 6,
                "default": 0,
            },
            "timeout_s": timeout_param(default=10.0, maximum=120),
        },
        "additionalProperties": False,
    }
    sources: ClassVar[Sequence[str]] = (
        "llm-d/llm-d-router#355 (load on few replicas)",
        "Anthropic, A postmortem of three recent issues, 2025-09 (requests routed to another pool)",
        "twice the median's time, three times its load: guesses",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """One answer a replica, and the known questions."""
        asked = int(params["replicas_max"]) * (1 + int(params["questions"]))
        return Cost(requests=asked, seconds=min(20.0, asked * float(params["timeout_s"])), usual_s=0.3 * asked)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """One after the other, so that our own requests do not meet."""
        from sickbay.checks.probe.replicas_look import look_replicas  # late: what a check says must load fast

        return await look_replicas(look, params)

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Each replica against the median one."""
        rows = raw["replicas"]
        up = [row for row in rows if row["answer_s"] is not None]
        loads = {row["url"]: float(row["load"]) for row in rows if row["load"] is not None}
        signals = {
            "path.replica_ttft_ratio_max": _over_median(
                {row["url"]: max(float(row["answer_s"]), 1e-6) for row in up}, "time of a short answer"
            ),
            "serving.replica_load_ratio_max": _over_median(
                {url: load + 1.0 for url, load in loads.items()}, "running plus waiting requests, plus one"
            ),
            "serving.replicas_idle_ratio": _idle(loads),
            "output.replicas_differ_ratio": _differ([row["answer"] for row in up]),
            "serving.replicas_down": _down(rows),
            "serving.replicas_up": measured(float(len(up)), f"of {len(rows)} replicas gave a token"),
            "serving.replicas_unlike": _unlike(rows),
            **_failing(rows),
        }
        return Result(outcome=_outcome(signals, len(up)), summary=_summary(rows, signals), signals=signals)


def _over_median(values: Mapping[str, float], what: str) -> Reading:
    if len(values) < 2:
        return unknown(UnknownReason.ABSENT, f"{what}: known of {len(values)} replicas, two are wanted")
    ordered = sorted(values.values())
    middle = ordered[(len(ordered) - 1) // 2]
    return measured(ordered[-1] / middle, f"{what} of {len(values)} replicas, highest over median", by=values)


def _down(rows: Sequence[Mapping[str, Any]]) -> Reading:
    """Replicas that gave no token. One whose own page shows requests is slow, as far as that tells, and not down."""
    silent = [row for row in rows if row["answer_s"] is None]
    busy = sum((row["load"] or 0.0) >= 1.0 for row in silent)
    told = f"of {len(rows)} replicas gave no token"
    return measured(float(len(silent) - busy), f"{told}; {busy} more are busy and were too slow" if busy else told)


def _idle(loads: Mapping[str, float]) -> Reading:
    if len(loads) < 2:
        return unknown(UnknownReason.ABSENT, f"load is known of {len(loads)} replicas, two are wanted")
    idle = sum(load < 0.5 for load in loads.values())
    busy = any(load >= 2.0 for load in loads.values())
    told = f"{idle} of {len(loads)} replicas have nothing to do"
    return measured(idle / len(loads) if busy else 0.0, told if busy else f"{told}, and no other has a queue")


def _differ(answers: Sequence[str]) -> Reading:
    if len(answers) < 2:
        return unknown(UnknownReason.ABSENT, f"{len(answers)} replicas answered, two are wanted")
    usual = max(set(answers), key=answers.count)
    odd = sum(answer != usual for answer in answers)
    return measured(odd / len(answers), f"{odd} of {len(answers)} replicas begin a greedy answer unlike the others")


def _unlike(rows: Sequence[Mapping[str, Any]]) -> Reading:
    """Replicas that tell of themselves what most do not."""
    told = [row["identity"] for row in rows if row["identity"]]
    if len(told) < 2:
        return unknown(UnknownReason.UNSUPPORTED, f"{len(told)} replicas tell build, model or context, two are wanted")
    usual = max(told, key=told.count)
    odd = [each for each in told if each != usual]
    parts = sorted({name for each in odd for name in each.keys() | usual.keys() if each.get(name) != usual.get(name)})
    example = f": {', '.join(parts)} differ" if parts else ""
    return measured(float(len(odd)), f"{len(odd)} of {len(told)} replicas are set up unlike the others{example}")


def _failing(rows: Sequence[Mapping[str, Any]]) -> dict[str, Reading]:
    """Wrong answers by replica, and whether the same question comes right elsewhere."""
    names = ("output.replicas_failing_ratio", "output.failing_on_one_replica_ratio", "output.recovery_other_replica")
    graded = {row["url"]: row["right"] for row in rows if row["right"]}
    wrong = {url: sum(each is False for each in right) for url, right in graded.items()}
    if len(graded) < 2:
        why = unknown(UnknownReason.ABSENT, "fewer than two replicas were asked known questions")
        return dict.fromkeys(names, why)
    ratio = max(wrong[url] / len(graded[url]) for url in graded)
    total = sum(wrong.values())
    by = {url: wrong[url] / len(graded[url]) for url in graded}
    found = {names[0]: measured(ratio, "wrong answers to known questions on the worst replica", by=by)}
    if not total:
        none = unknown(UnknownReason.NO_TRAFFIC, f"no replica gave a wrong answer to {len(rows[0]['right'])} questions")
        return found | {names[1]: none, names[2]: none}
    cured = sum(
        any(number < len(other) and other[number] is True for there, other in graded.items() if there != url)
        for url, right in graded.items()
        for number, good in enumerate(right)
        if good is False
    )
    return found | {
        names[1]: measured(
            max(wrong.values()) / total, f"of {total} wrong answers, on the worst of {len(graded)} replicas"
        ),
        names[2]: measured(cured / total, f"{cured} of {total} wrong answers come right on another replica"),
    }


def _outcome(signals: Mapping[str, Reading], up: int) -> Outcome:
    def number(name: str) -> float:
        value = signals[name].value
        return value if isinstance(value, float) else 0.0

    if not up:
        return Outcome.FAIL
    uneven = (
        number("serving.replica_load_ratio_max") > UNEVEN_TIMES or number("path.replica_ttft_ratio_max") > SLOW_TIMES
    )
    if number("output.recovery_other_replica") > 0.5:
        return Outcome.FAIL
    bad = uneven or number("output.replicas_differ_ratio") > 0 or number("serving.replicas_down") > 0
    return Outcome.WARN if bad else Outcome.PASS


def _summary(rows: Sequence[Mapping[str, Any]], signals: Mapping[str, Reading]) -> str:
    down = [row for row in rows if row["answer_s"] is None]
    said = [f"{len(rows) - len(down)} of {len(rows)} replicas answer"]
    for name, words in (
        ("path.replica_ttft_ratio_max", "slowest short answer {:.1f} times the median"),
        ("serving.replica_load_ratio_max", "highest load {:.1f} times the median"),
    ):
        value = signals[name].value
        if isinstance(value, float):
            said.append(words.format(value))
    if down:
        said.append(f"first failure: {down[0]['problem']}")
    odd = [signals[name] for name in ("output.failing_on_one_replica_ratio", "serving.replicas_unlike")]
    said += [reading.source for reading in odd if reading.value]
    differ = signals["output.replicas_differ_ratio"]
    if isinstance(differ.value, float) and differ.value > 0:
        said.append(differ.source)
    return "; ".join(said)

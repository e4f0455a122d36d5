"""Four realistic reports: an admission limit, a healthy service, a refused key, a run cut by its deadline."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sickbay.engine.model.cause import Fix, Weight
from sickbay.engine.model.check import Effect
from sickbay.engine.model.outcome import Layer, Outcome, VerdictState
from sickbay.engine.model.report import ExpectationReport, Report, RequestRecord, StepReport
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown
from sickbay.engine.model.verdict import Band, CauseFinding, Diagnosis, NextLook, RuleFinding, Verdict

STARTED_AT = 1_795_430_400.0
CHAT = "http://127.0.0.1:8080/v1/chat/completions"
METRICS = "http://127.0.0.1:8080/metrics"


def request(path: str, started_s: float, elapsed_s: float, **more: object) -> RequestRecord:
    fields: dict[str, object] = {"method": "GET", "status": 200, "bytes": 4211, "generates": False, **more}
    return RequestRecord(url=path, started_s=started_s, elapsed_s=elapsed_s, **fields)  # type: ignore[arg-type]


def passport(signals: dict[str, Reading], step: str) -> dict[str, Reading]:
    return {name: replace(reading, step=step, at_s=STARTED_AT + 15) for name, reading in signals.items()}


WINDOW = {
    "serving.requests_running": measured(1.0, "llamacpp:requests_processing, mean of 4 reads", window_s=15.0),
    "serving.requests_running_limit": measured(1.0, "GET /props total_slots"),
    "serving.requests_waiting": measured(6.0, "llamacpp:requests_deferred, mean of 4 reads", window_s=15.0),
    "serving.requests_waiting_min": measured(5.0, "llamacpp:requests_deferred, lowest of 4 reads", window_s=15.0),
    "serving.slots_busy_ratio": measured(1.0, "running over total_slots", window_s=15.0),
    "serving.generation_tokens_rate": measured(28.4, "llamacpp:tokens_predicted_total", window_s=15.0),
    "serving.prompt_tokens_rate": measured(311.0, "llamacpp:prompt_tokens_total", window_s=15.0),
    "serving.saturation": measured("admission-limited", "running, limit and waiting"),
    "serving.kv_usage_ratio": unknown(
        UnknownReason.UNSUPPORTED, "this llama.cpp version exports no KV usage; GET /slots shows it with --slots"
    ),
    "serving.ttft_s_p95": unknown(UnknownReason.UNSUPPORTED, "llama.cpp keeps no latency histograms"),
    "serving.queue_s_mean": unknown(UnknownReason.UNSUPPORTED, "llama.cpp keeps no latency histograms"),
    "serving.e2e_s_mean": unknown(UnknownReason.UNSUPPORTED, "llama.cpp keeps no latency histograms"),
    "serving.preemptions": unknown(UnknownReason.ABSENT, "no series of that name on the metrics page"),
}
PROBE = {
    "probe.ttft_s_p50": measured(4.73, "6 requests"),
    "probe.ttft_s_max": measured(5.41, "6 requests"),
    "probe.server_prefill_s": measured(0.211, "timings.prompt_ms of the probe's answers"),
    "probe.server_queue_s": measured(4.519, "client TTFT minus timings.prompt_ms"),
    "probe.overhead_s": measured(0.000_41, "own clock"),
    "probe.prefix_reused": measured(True, "timings.cache_n"),
}
PATH = {
    "path.overhead_s": measured(0.0042, "client TTFT minus server time, 3 requests"),
    "path.buffered": measured(False, "zero-gap share 0.02"),
}
SLOW = [("short", 4.61), ("short", 4.73), ("short", 5.02), ("long", 4.66), ("long", 5.41), ("long", 4.9)]


def steps_of_admission_limit() -> tuple[StepReport, ...]:
    return (
        StepReport(
            id="serving.alive",
            check="serving.alive",
            outcome=Outcome.PASS,
            summary="the first token came after 4.8 s, deadline 10 s; health 200 in 3 ms",
            started_s=0.02,
            elapsed_s=4.83,
            effect=Effect.LIGHT,
            critical=True,
            signals=passport({"serving.first_token_s": measured(4.8, "POST /v1/chat/completions")}, "serving.alive"),
            requests=(
                request("http://127.0.0.1:8080/health", 0.02, 0.003),
                request(CHAT, 0.03, 4.82, method="POST", generates=True, bytes=512),
            ),
        ),
        StepReport(
            id="serving.window",
            check="serving.window",
            outcome=Outcome.WARN,
            summary="6 requests wait and 1 of 1 slots run over 15 s; the queue never emptied (at least 5)",
            started_s=4.86,
            elapsed_s=15.04,
            params={"window_s": 15.0},
            signals=passport(WINDOW, "serving.window"),
            expectations=(
                ExpectationReport(
                    signal="serving.ttft_s_p95",
                    outcome=Outcome.UNKNOWN,
                    value=None,
                    warn="> 0.8 * inputs.slo_ttft_s",
                    fail="> inputs.slo_ttft_s",
                    detail="llama.cpp keeps no latency histograms",
                ),
                ExpectationReport(
                    signal="serving.requests_waiting",
                    outcome=Outcome.WARN,
                    value=6.0,
                    warn="> 4",
                    detail="6 > 4",
                ),
            ),
            requests=tuple(request(METRICS, 4.86 + 5 * index, 0.004) for index in range(4)),
        ),
        StepReport(
            id="probe.ttft",
            check="probe.ttft",
            outcome=Outcome.FAIL,
            summary="client TTFT p50 4.73 s over 6 requests, promised 1 s; own overhead 0.4 ms",
            started_s=19.92,
            elapsed_s=29.4,
            effect=Effect.LIGHT,
            signals=passport(PROBE, "probe.ttft"),
            expectations=(
                ExpectationReport(
                    signal="probe.ttft_s_p50",
                    outcome=Outcome.FAIL,
                    value=4.73,
                    warn="> 0.8 * inputs.slo_ttft_s",
                    fail="> inputs.slo_ttft_s",
                    detail="4.73 s > 1 s (inputs.slo_ttft_s)",
                ),
            ),
            raw={"requests": [{"prompt": kind, "ttft_s": value} for kind, value in SLOW]},
            requests=tuple(
                request(CHAT, 19.93 + 4.9 * index, value, method="POST", generates=True, bytes=2048)
                for index, (_, value) in enumerate(SLOW)
            ),
        ),
        StepReport(
            id="probe.path",
            check="probe.path",
            outcome=Outcome.PASS,
            summary="the path adds 4.2 ms to the first token; the stream is not buffered",
            started_s=49.35,
            elapsed_s=0.61,
            effect=Effect.LIGHT,
            signals=passport(PATH, "probe.path"),
        ),
        StepReport(
            id="accelerator.visible",
            check="accelerator.visible",
            outcome=Outcome.SKIP,
            summary="no accelerator on this host, and the engine computes on the CPU",
            started_s=49.97,
            elapsed_s=0.0,
            reason="when",
        ),
    )


def rule(id: str, weight: Weight, because: str = "", **more: object) -> RuleFinding:  # noqa: A002
    fields: dict[str, object] = {"when": f"signal of {id}", "holds": True, "log_odds": 2.3, **more}
    return RuleFinding(id=id, weight=weight, because=because, **fields)  # type: ignore[arg-type]


def admission_limit_causes() -> tuple[CauseFinding, ...]:
    top = CauseFinding(
        cause="admission-limit",
        layer=Layer.SERVING,
        means="The engine's own limit on running requests is below the load while the hardware has room.",
        band=Band.CONFIRMED,
        probability=0.968,
        log_odds=6.9,
        coverage=0.82,
        requires="serving.requests_waiting > 0.0",
        evidence=(
            rule(
                "slots-full",
                Weight.DECISIVE,
                "6 requests wait while all 1 slots run, and the queue never emptied (5 at least)",
                log_odds=4.6,
                numbers={
                    "serving.requests_waiting": 6.0,
                    "serving.requests_running": 1.0,
                    "serving.requests_running_limit": 1.0,
                },
            ),
            rule(
                "waits-not-computes",
                Weight.STRONG,
                "of 4.73 s to the first token the engine computed 211 ms; the rest was waiting",
                numbers={"probe.server_queue_s": 4.519, "probe.server_prefill_s": 0.211},
            ),
            rule("cpu-full", Weight.REFUTES_WEAK, "the processors are 91 % busy", log_odds=-0.7),
            rule(
                "kv-full",
                Weight.REFUTES_STRONG,
                when="serving.kv_usage_ratio > 0.9",
                holds=None,
                log_odds=0.0,
                missing=("serving.kv_usage_ratio",),
            ),
        ),
        fix=(
            Fix(
                do="Raise the admission limit to the load the memory allows",
                how={
                    "vllm": "--max-num-seqs 64",
                    "sglang": "--max-running-requests 64",
                    "llamacpp": "--parallel 8 (and --ctx-size in proportion)",
                },
                risk="Higher inter-token latency for everybody; more KV pressure.",
                undo="Set it back and restart.",
                verify="sickbay run high-ttft --target chat-prod",
            ),
            Fix(
                do="Send part of the load to another replica", how={"any": "lower this replica's weight in the router"}
            ),
        ),
        seen_in=("vllm-project/vllm#14022",),
    )
    folded = CauseFinding(
        cause="queue-growth",
        layer=Layer.SERVING,
        means="Requests arrive faster than they finish.",
        band=Band.LIKELY,
        probability=0.011,
        log_odds=0.4,
        coverage=0.6,
        explained_by="admission-limit",
        evidence=(rule("waiting-grows", Weight.WEAK, "the queue grew by 0.2 requests a second"),),
    )
    saturated = CauseFinding(
        cause="capacity-saturated",
        layer=Layer.SERVING,
        means="Offered load is above what the healthy configuration can serve; nothing is broken.",
        band=Band.POSSIBLE,
        probability=0.018,
        log_odds=-1.2,
        coverage=0.5,
        evidence=(rule("busy", Weight.WEAK, "the engine computed in 98 % of the window"),),
    )
    throttle = CauseFinding(
        cause="gpu-throttle",
        layer=Layer.HARDWARE,
        means="The accelerator runs below its clock.",
        band=Band.CANNOT_ASSESS,
        probability=0.0,
        log_odds=0.0,
        coverage=0.0,
        requires="gpu.clock_ratio < 0.9",
        requires_holds=None,
        requires_missing=("gpu.clock_ratio",),
    )
    buffering = CauseFinding(
        cause="network-proxy-buffering",
        layer=Layer.SERVING,
        means="A proxy holds the stream back.",
        band=Band.RULED_OUT,
        probability=0.0003,
        log_odds=-6.0,
        coverage=1.0,
        evidence=(rule("not-buffered", Weight.REFUTES_DECISIVE, "tokens arrive one by one (2 % merged)"),),
    )
    return (top, folded, saturated, throttle, buffering)


def make_admission_limit() -> Report:
    steps = steps_of_admission_limit()
    summary = "admission-limit is the cause: 6 requests wait while all 1 slots run, and the queue never emptied."
    return Report(
        run_id="20261123-120000-7f3a",
        runbook="high-ttft",
        title="The first token is slow",
        target="chat-prod",
        url="http://127.0.0.1:8080",
        engine="llamacpp",
        engine_version="b11434",
        model="smollm2-135m-instruct",
        started_at=STARTED_AT,
        elapsed_s=50.1,
        inputs={"slo_ttft_s": 1.0, "prompt_set": "default"},
        steps=steps,
        signals={name: reading for step in steps for name, reading in step.signals.items()},
        verdict=Verdict(
            state=VerdictState.FAILING,
            summary="The first token takes 4.73 s, promised 1 s: requests wait for the engine's own limit of 1.",
            diagnosis=Diagnosis(
                causes=admission_limit_causes(),
                coverage=0.74,
                fits=True,
                summary=summary,
                next_look=NextLook(
                    signals=("gpu.clock_ratio",),
                    check="gpu.clocks",
                    why="gpu-throttle cannot be assessed without it",
                ),
            ),
        ),
        requests_made=8,
        requests_budget=12,
        tokens_used=331,
        sickbay_version="0.1.0",
        runbook_sha256="9d0c4f1e5b7a" + "0" * 52,
        host="oncall-laptop",
    )


def make_healthy() -> Report:
    fast = [("short", 0.031), ("short", 0.029), ("long", 0.198), ("long", 0.061), ("long", 0.058)]
    probe = passport({"probe.ttft_s_p50": measured(0.058, "5 requests")}, "probe.ttft")
    window = passport(
        {
            "serving.ttft_s_mean": measured(0.084, "vllm:time_to_first_token_seconds", window_s=15.0),
            "serving.queue_s_mean": measured(0.002, "vllm:request_queue_time_seconds", window_s=15.0),
            "serving.prefill_s_mean": measured(0.071, "vllm:request_prefill_time_seconds", window_s=15.0),
            "serving.frontend_residual_s": measured(0.011, "TTFT minus queue minus prefill", window_s=15.0),
            "serving.kv_usage_ratio": measured(0.11, "vllm:kv_cache_usage_perc", window_s=15.0),
        },
        "serving.window",
    )
    return replace(
        make_admission_limit(),
        run_id="20261123-121000-11ab",
        engine="vllm",
        engine_version="0.32.0",
        elapsed_s=16.4,
        steps=(
            StepReport(
                id="serving.window",
                check="serving.window",
                outcome=Outcome.PASS,
                summary="server TTFT 84 ms on average; nothing waits; KV 11 % full",
                started_s=0.01,
                elapsed_s=15.02,
                signals=window,
                requests=tuple(request(METRICS, 0.01 + 5 * index, 0.012) for index in range(4)),
            ),
            StepReport(
                id="probe.ttft",
                check="probe.ttft",
                outcome=Outcome.PASS,
                summary="client TTFT p50 58 ms over 5 requests, promised 1 s",
                started_s=15.04,
                elapsed_s=1.31,
                effect=Effect.LIGHT,
                signals=probe,
                expectations=(
                    ExpectationReport(
                        signal="probe.ttft_s_p50",
                        outcome=Outcome.PASS,
                        value=0.058,
                        fail="> inputs.slo_ttft_s",
                        detail="58 ms <= 1 s (inputs.slo_ttft_s)",
                    ),
                ),
                raw={"requests": [{"prompt": kind, "ttft_s": value} for kind, value in fast]},
                requests=tuple(
                    request(CHAT, 15.05 + 0.25 * index, value + 0.05, method="POST", generates=True)
                    for index, (_, value) in enumerate(fast)
                ),
            ),
        ),
        signals={**window, **probe},
        verdict=Verdict(
            state=VerdictState.HEALTHY,
            summary="The first token takes 58 ms, promised 1 s; everything that decides could be looked at.",
        ),
        requests_made=5,
        tokens_used=122,
    )


def make_refused() -> Report:
    detail = "GET /metrics answered 401; give the key with --api-key-env NAME or api_key in sickbay.yaml"
    names = ("serving.requests_running", "serving.requests_waiting", "serving.ttft_s_p95", "serving.kv_usage_ratio")
    signals = {
        **passport(
            {
                "serving.reachable": measured(True, "TCP connect"),
                "serving.auth_ok": measured(False, "POST /v1/chat/completions"),
                "serving.http_status": measured(401.0, "POST /v1/chat/completions"),
            },
            "serving.alive",
        ),
        **{name: unknown(UnknownReason.AUTH, detail) for name in names},
    }
    return replace(
        make_admission_limit(),
        run_id="20261123-122000-c0de",
        engine="vllm",
        engine_version="",
        model="",
        elapsed_s=0.41,
        steps=(
            StepReport(
                id="serving.alive",
                check="serving.alive",
                outcome=Outcome.UNKNOWN,
                summary="POST /v1/chat/completions answered 401 Unauthorized",
                started_s=0.01,
                elapsed_s=0.02,
                critical=True,
                reason="auth",
                next_step="Give the key with --api-key-env NAME.",
                requests=(request(CHAT, 0.01, 0.008, method="POST", status=401, generates=True, bytes=27),),
            ),
            StepReport(
                id="serving.window",
                check="serving.window",
                outcome=Outcome.SKIP,
                summary="",
                started_s=0.04,
                elapsed_s=0.0,
                reason="parent",
                skipped_after="serving.alive",
                expectations=(
                    ExpectationReport(
                        signal="serving.ttft_s_p95", outcome=Outcome.UNKNOWN, value=None, fail="> 1", detail=detail
                    ),
                ),
            ),
        ),
        signals=signals,
        verdict=Verdict(
            state=VerdictState.INCONCLUSIVE,
            summary="The server refuses the key (401), so nothing that decides could be looked at.",
            diagnosis=Diagnosis(
                causes=(),
                coverage=0.0,
                fits=False,
                summary="Nothing could be measured that tells the 9 candidate causes apart.",
            ),
        ),
        requests_made=1,
        tokens_used=0,
    )


def make_partial() -> Report:
    report = make_admission_limit()
    late = StepReport(
        id="probe.ttft",
        check="probe.ttft",
        outcome=Outcome.UNKNOWN,
        summary="the run's deadline of 25 s came after 2 of 6 requests",
        started_s=19.92,
        elapsed_s=5.08,
        effect=Effect.LIGHT,
        reason="timeout",
        requests=report.steps[2].requests[:1],
    )
    skipped = StepReport(
        id="probe.path",
        check="probe.path",
        outcome=Outcome.SKIP,
        summary="",
        started_s=25.0,
        elapsed_s=0.0,
        reason="deadline",
    )
    assert report.verdict.diagnosis is not None
    first, *rest = report.verdict.diagnosis.causes
    steps = (*report.steps[:2], late, skipped)
    return replace(
        report,
        run_id="20261123-123000-dead",
        elapsed_s=25.0,
        partial=True,
        steps=steps,
        signals={
            **{name: reading for step in steps for name, reading in step.signals.items()},
            "probe.ttft_s_p50": unknown(UnknownReason.TIMEOUT, "2 of 6 requests were sent before the deadline"),
        },
        verdict=Verdict(
            state=VerdictState.DEGRADED,
            summary="6 requests wait for one slot; the deadline came before the probe could say what users feel.",
            diagnosis=replace(
                report.verdict.diagnosis,
                coverage=0.41,
                causes=(replace(first, band=Band.LIKELY, probability=0.83), *rest),
            ),
        ),
        requests_made=2,
        tokens_used=64,
    )


MAKERS = {
    "admission-limit": make_admission_limit,
    "healthy": make_healthy,
    "refused": make_refused,
    "partial": make_partial,
}


@pytest.fixture
def admission_limit() -> Report:
    return make_admission_limit()


@pytest.fixture
def healthy() -> Report:
    return make_healthy()


@pytest.fixture
def refused() -> Report:
    return make_refused()


@pytest.fixture
def partial() -> Report:
    return make_partial()


@pytest.fixture(params=sorted(MAKERS))
def any_report(request: pytest.FixtureRequest) -> Report:
    return MAKERS[request.param]()


@pytest.fixture(params=sorted(MAKERS))
def named_report(request: pytest.FixtureRequest) -> tuple[str, Report]:
    return request.param, MAKERS[request.param]()

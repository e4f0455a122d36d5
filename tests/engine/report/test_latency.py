from __future__ import annotations

from dataclasses import replace

from sickbay.engine.measure.stream import ChunkSeen, ReadSeen, StreamTrace
from sickbay.engine.model.report import Report
from sickbay.engine.model.signal import UnknownReason, measured, unknown
from sickbay.engine.report.latency import latency_bars
from sickbay.engine.report.plots import ticks
from sickbay.engine.report.samples import Sample, ttft_samples


def test_nothing_measured_draws_nothing() -> None:
    assert latency_bars({"serving.ttft_s_mean": unknown(UnknownReason.NO_TRAFFIC)}) == ()


def test_server_bar_in_the_order_of_time(healthy: Report) -> None:
    server, probe = latency_bars(healthy.signals)
    assert [(part.label, part.seconds) for part in server.parts] == [
        ("frontend", 0.011),
        ("queue", 0.002),
        ("prefill", 0.071),
    ]
    assert server.unknown == ()
    assert [part.label for part in probe.parts] == ["not attributed"]
    assert probe.unknown == ("path", "prefill")


def test_probe_bar_takes_the_path_out_of_the_wait(admission_limit: Report) -> None:
    (probe,) = latency_bars(admission_limit.signals)
    assert [part.label for part in probe.parts] == ["path", "queue and frontend", "prefill"]
    assert abs(sum(part.seconds for part in probe.parts) - 4.73) < 1e-9


def test_without_the_path_the_wait_says_so(admission_limit: Report) -> None:
    signals = {name: reading for name, reading in admission_limit.signals.items() if not name.startswith("path.")}
    (probe,) = latency_bars(signals)
    assert [part.label for part in probe.parts] == ["queue, frontend and path", "prefill"]


def test_parts_longer_than_the_total_set_the_length() -> None:
    (bar,) = latency_bars({"serving.ttft_s_mean": measured(1.0), "serving.queue_s_mean": measured(1.5)})
    assert bar.length_s == 1.5
    assert bar.unknown == ("frontend", "prefill")


def test_samples_are_found_wherever_they_lie(admission_limit: Report) -> None:
    samples = ttft_samples(admission_limit)
    assert len(samples) == 6
    assert {sample.group for sample in samples} == {"probe.ttft short", "probe.ttft long"}


def test_samples_from_the_probes_traces(admission_limit: Report) -> None:
    trace = StreamTrace(
        reads=(ReadSeen(0.25, 100), ReadSeen(0.3, 100)), chunks=(ChunkSeen(0, None, True), ChunkSeen(1, None, True))
    ).to_json()
    requests = [
        {"kind": "cold", "length": 1024, "trace": trace},
        {"kind": "cold", "length": 32, "trace": {**trace, "failure": "timeout"}},
        {"kind": "cold", "length": 32, "trace": "another kind"},
        {"kind": "cold", "length": 32, "trace": {"reads": 3}},
    ]
    step = replace(admission_limit.steps[0], raw={"requests": requests})
    samples = ttft_samples(replace(admission_limit, steps=(step,)))
    assert samples == (Sample("serving.alive cold 1024", 0.25),)


def test_ticks_are_round() -> None:
    assert ticks(50.1) == [0, 10, 20, 30, 40, 50]
    assert ticks(0.06) == [index * 0.01 for index in range(7)]
    assert ticks(0) == [0]

from __future__ import annotations

import pytest

from sickbay.engine.model.signal import SignalKind, SignalSpec, SignalType
from sickbay.engine.report.units import Units, human, percent, seconds


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (0.0, "0 s"),
        (0.000_000_4, "0.4 us"),
        (0.000_41, "410 us"),
        (0.000_999_6, "1 ms"),
        (0.0042, "4.2 ms"),
        (0.999_4, "999 ms"),
        (0.999_6, "1 s"),
        (4.73, "4.73 s"),
        (15.02, "15 s"),
        (119.94, "120 s"),
        (119.96, "2 min"),
        (125.0, "2 min 5 s"),
        (7265.0, "2 h 1 min"),
        (200_000.0, "2 d 7 h"),
        (-0.004, "-4 ms"),
        (-130.0, "-2 min 10 s"),
    ],
)
def test_seconds(value: float, wanted: str) -> None:
    assert seconds(value) == wanted


@pytest.mark.parametrize(
    ("ratio", "wanted"),
    [
        (0.0, "0 %"),
        (0.0003, "<0.1 %"),
        (0.018, "1.8 %"),
        (0.0994, "9.9 %"),
        (0.0996, "10 %"),
        (0.968, "97 %"),
        (0.996, "99.6 %"),
        (0.999_99, "99.99 %"),
        (1.0, "100 %"),
        (2.3, "230 %"),
        (-0.5, "-50 %"),
    ],
)
def test_percent_never_rounds_to_certainty(ratio: float, wanted: str) -> None:
    assert percent(ratio) == wanted


@pytest.mark.parametrize(
    ("value", "unit", "wanted"),
    [
        (1_610_612_736.0, "bytes", "1.5 GiB"),
        (1023.0, "bytes", "1,023 B"),
        (1024.0, "bytes", "1 KiB"),
        (4096.0, "tokens", "4,096 tokens"),
        (28.44, "tokens/s", "28.4 tokens/s"),
        (71.0, "celsius", "71 C"),
        (0.5, "none", "0.5"),
        (3.0, "count", "3"),
        (True, "none", "yes"),
        (False, "s", "no"),
        ("a\x1b[31m b", "none", "a b"),
        ("", "none", "(empty)"),
    ],
)
def test_human(value: float | bool | str, unit: str, wanted: str) -> None:
    assert human(value, unit) == wanted


def spec(name: str, unit: str, kind: SignalKind = SignalKind.GAUGE) -> SignalSpec:
    return SignalSpec(name=name, type=SignalType.NUMBER, unit=unit, kind=kind, meaning="")


def test_the_vocabulary_says_the_unit() -> None:
    units = Units(
        {"host.read": spec("host.read", "bytes", SignalKind.RATE), "odd.queue_s": spec("odd.queue_s", "none")}
    )
    assert units.show("host.read", 2048.0) == "2 KiB/s"
    assert units.show("odd.queue_s", 2.0) == "2"


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("probe.ttft_s_p50", "s"),
        ("serving.queue_s_mean", "s"),
        ("probe.prefill_s_per_token", "s"),
        ("host.swap_used_bytes", "bytes"),
        ("serving.kv_usage_ratio", "ratio"),
        ("serving.queue_share", "ratio"),
        ("serving.kv_capacity_tokens", "tokens"),
        ("serving.requests_waiting", "none"),
    ],
)
def test_a_name_says_its_unit(name: str, unit: str) -> None:
    assert Units().unit(name) == unit

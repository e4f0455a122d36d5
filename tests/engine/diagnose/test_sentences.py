from __future__ import annotations

import pytest

from sickbay.engine.diagnose import because_fields, render_because


@pytest.mark.parametrize(
    ("template", "values", "sentence"),
    [
        ("{a.waiting} wait", {"a.waiting": 6.0}, "6 wait"),
        ("{a.waiting} wait", {}, "unknown wait"),
        ("KV is {k.usage_ratio:.0%} full", {"k.usage_ratio": 0.931}, "KV is 93% full"),
        ("KV is {k.usage_ratio} full", {"k.usage_ratio": 0.931}, "KV is 93 % full"),
        ("{k.throttled_ratio} throttled", {"k.throttled_ratio": 0.0123}, "1.23 % throttled"),
        ("{k.speed_ratio}", {"k.speed_ratio": 3.25}, "3.25"),
        ("{p.ttft_s_p95}", {"p.ttft_s_p95": 0.3456}, "346 ms"),
        ("{p.queue_s}", {"p.queue_s": 12.345}, "12.3 s"),
        ("{p.queue_s}", {"p.queue_s": 600.0}, "10 min"),
        ("{p.prefill_s_per_token}", {"p.prefill_s_per_token": 0.00042}, "420 µs"),
        ("{p.gap_s}", {"p.gap_s": 0.0}, "0 s"),
        ("{m.free_bytes}", {"m.free_bytes": 3.5 * 2**30}, "3.5 GiB"),
        ("{n.rate}", {"n.rate": 123456.7}, "123,457"),
        ("{ok} and {text}", {"ok": True, "text": "refused"}, "yes and refused"),
        ("{text:.1f}", {"text": "refused"}, "refused"),
        ("{x:times}", {"x": 3.14159}, "3.1 times"),
        ("{x:times}", {"x": 31.4}, "31 times"),
        ("{x:duration}", {"x": 0.5}, "500 ms"),
    ],
)
def test_render(template: str, values: dict[str, float | bool | str], sentence: str) -> None:
    assert render_because(template, values) == sentence


def test_fields_in_order() -> None:
    assert because_fields("{a.b} of {c:.0%} and {d:times}") == ("a.b", "c", "d")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{a", "'{a': a brace that is no field; wanted {signal} or {signal:format}"),
        ("{a b}", "'{a b}': a brace that is no field; wanted {signal} or {signal:format}"),
        ("{a:nope}", "'{a:nope}': no value can be written as 'nope'; wanted a format such as '.1f' or '.0%'"),
    ],
)
def test_a_wrong_template_is_refused(template: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        because_fields(template)
    assert str(caught.value) == message

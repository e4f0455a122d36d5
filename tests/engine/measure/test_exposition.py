"""Pages that are no pages, lines that are no lines, and a router's copies."""

from __future__ import annotations

import pytest

from sickbay.engine.errors import ProbeError
from sickbay.engine.measure.exposition import LINES_MAX, check_page, keep_lines, parse_lines
from sickbay.engine.model.look import HttpResponse
from sickbay.engine.model.signal import UnknownReason


def answer(body: bytes, kind: str = "text/plain; version=0.0.4", *, truncated: bool = False) -> HttpResponse:
    return HttpResponse(
        method="GET", url="u", status=200, headers={"content-type": kind}, body=body, truncated=truncated
    )


@pytest.mark.parametrize(
    ("given", "reason", "message"),
    [
        pytest.param(
            answer(b"x" * 9, truncated=True),
            UnknownReason.TOO_LARGE,
            "GET /metrics: the page is over 9 bytes; a metrics page is usually below 1 MB",
            id="endless",
        ),
        pytest.param(
            answer(b" \n"),
            UnknownReason.ABSENT,
            "GET /metrics: the page is empty; wanted Prometheus text",
            id="empty",
        ),
        pytest.param(
            answer(b"<!doctype html><title>Sign in</title>", "text/html; charset=utf-8"),
            UnknownReason.MALFORMED,
            "GET /metrics: found a web page (text/html), wanted Prometheus text; "
            "is this a login page or another service? set metrics_url",
            id="html",
        ),
        pytest.param(
            answer(b'[{"iterLatencyMS": 3}]', "application/json"),
            UnknownReason.MALFORMED,
            "GET /metrics: found JSON, wanted Prometheus text; set metrics_url to the text page",
            id="json",
        ),
        pytest.param(
            answer(b"\x1f\x8b\x08\x00\x00"),
            UnknownReason.MALFORMED,
            "GET /metrics: the page is gzip without a Content-Encoding that says so; correct the proxy that packs it, "
            "or give the engine's own page with metrics_url",
            id="packed-and-not-said",
        ),
        pytest.param(
            answer(b'{"error": "no"}'),
            UnknownReason.MALFORMED,
            "GET /metrics: found JSON, wanted Prometheus text; set metrics_url to the text page",
            id="json-as-text",
        ),
    ],
)
def test_what_is_no_page(given: HttpResponse, reason: UnknownReason, message: str) -> None:
    with pytest.raises(ProbeError) as caught:
        check_page(given, where="GET /metrics")
    assert caught.value.reason is reason
    assert str(caught.value) == message


def test_only_wanted_families_are_kept_and_buckets_only_in_full_reads() -> None:
    text = (
        "# HELP a:x words\n# TYPE a:x gauge\na:x 1\n"
        'a:h_bucket{le="1.0"} 2\na:h_bucket{le="+Inf"} 3\na:h_sum 4\na:h_count 3\na:h_created 1.7e9\nb:y 5\n'
    )
    full = keep_lines(text, {"a:x", "a:h"})
    assert full.lines == ("a:x 1", 'a:h_bucket{le="1.0"} 2', 'a:h_bucket{le="+Inf"} 3', "a:h_sum 4", "a:h_count 3")
    assert keep_lines(text, {"a:x", "a:h"}, light=True).lines == ("a:x 1", "a:h_sum 4", "a:h_count 3")
    assert full.oddities == ()


def test_a_page_cut_in_a_line_loses_that_line_and_says_so() -> None:
    kept = keep_lines("a 1\nb 2\nc 12", {"a", "b", "c"})
    assert kept.lines == ("a 1", "b 2")
    assert kept.oddities == ("the page ends in the middle of a line: 'c 12'",)


def test_a_page_of_too_many_series_is_bounded() -> None:
    kept = keep_lines("".join(f'a{{n="{n}"}} 1\n' for n in range(LINES_MAX + 5)), {"a"})
    assert len(kept.lines) == LINES_MAX
    assert kept.oddities == (f"the page has over {LINES_MAX} lines of the wanted families; the rest was left out",)
    assert kept.over


@pytest.mark.parametrize(
    ("line", "oddity"),
    [
        pytest.param("a NaN", "a is NaN", id="nan"),
        pytest.param("a_total -3", "a_total is negative (-3)", id="negative"),
        pytest.param('a{x="1" 5', "a line cannot be read: 'a{x=\"1\" 5'", id="open-brace"),
        pytest.param("a five", "a line cannot be read: 'a five'", id="words"),
        pytest.param("a \ufffd\ufffd", "a line is not UTF-8: 'a \ufffd\ufffd'", id="not-utf8"),
    ],
)
def test_a_bad_line_is_left_out_and_told(line: str, oddity: str) -> None:
    page = parse_lines([line, "good 1"])
    assert {name: [s.value for s in found] for name, found in page.samples.items()} == {"good": [1.0]}
    assert page.oddities == (oddity,)


def test_duplicates_count_once() -> None:
    page = parse_lines(['a{e="0"} 2', 'a{e="0"} 2', 'a{e="0"} 7', 'a{e="1"} 1'])
    assert [sample.value for sample in page.named("a")] == [2.0, 1.0]
    assert page.oddities == (
        "a stands twice with the same labels",
        "a stands twice with the same labels and different values",
    )
    assert page.contradicted == {"a"}
    assert parse_lines(["a 1", "a 1"]).contradicted == frozenset()


def test_a_routers_copies_are_left_out_and_named() -> None:
    page = parse_lines(['r{server="http://a:8000"} 3', 'r{server="http://b:8000"} 4', 'r{engine="0"} 2'])
    assert [sample.value for sample in page.named("r")] == [2.0]
    assert page.routed == {"server": ("http://a:8000", "http://b:8000")}


@pytest.mark.parametrize(
    ("label", "routed"),
    [
        pytest.param('worker="http://10.0.0.1:8000"', True, id="a-url"),
        pytest.param('addr="10.0.0.1"', True, id="an-address"),
        pytest.param('upstream_host="vllm-0.chat.svc:8000"', True, id="a-host-and-port"),
        pytest.param('model_name="mistral:7000"', False, id="a-model-that-looks-like-one"),
        pytest.param('version="0.10.2"', False, id="a-version"),
        pytest.param('handler="/v1/chat/completions"', False, id="a-path"),
        pytest.param('le="1:2"', False, id="not-a-name"),
    ],
)
def test_an_address_in_a_label_is_a_routers(label: str, *, routed: bool) -> None:
    assert bool(parse_lines([f"r{{{label}}} 3"]).routed) is routed


def test_openmetrics_with_exemplars_and_times_of_its_own() -> None:
    page = parse_lines([
        'h_bucket{le="0.5"} 7 # {trace_id="a b"} 0.3 1795461691.5', 'h_bucket{le="1"} 9 1795461691.5',
        "c_total 4 1795461690000", "# EOF",
    ])  # fmt: skip
    assert [sample.value for sample in page.named("h_bucket")] == [7.0, 9.0]
    assert page.stamp_s == pytest.approx(1795461691.5)
    assert parse_lines(["a 1"]).stamp_s is None


def test_values_with_timestamps_and_exponents_are_read() -> None:
    page = parse_lines(["a 1.5e3 1795461691000", 'b{x="with \\"quotes\\", and } brace"} 2'])
    assert page.named("a")[0].value == 1500.0
    assert page.named("b")[0].labels == {"x": 'with "quotes", and } brace'}

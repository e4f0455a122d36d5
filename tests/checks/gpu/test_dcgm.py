"""Documented pages over real HTTP: what is collected anew counts, an old last Xid does not."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from sickbay.checks.gpu.dcgm import GpuDcgm
from sickbay.checks.gpu.dcgm_page import devices_of, nameless
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Target
from tests.checks.gpu.dcgm_pages import LABELS, page
from tests.checks.serving.looking import looking

Serve = Callable[[int, str], str]


def judged(*pages: str, window_s: float = 70.0) -> Result:
    """As if the exporter had collected anew every 30 s."""
    reads = [{"at_s": 30.0 * index, "lines": text.splitlines()} for index, text in enumerate(pages)]
    raw = json.loads(json.dumps({"window_s": window_s, "reads": reads}))
    result = GpuDcgm().judge(raw, {"window_s": window_s})
    assert set(result.signals) == set(GpuDcgm.emits)
    return result


def test_a_sound_node() -> None:
    result = judged(page())
    value = {name.removeprefix("gpu."): reading.value for name, reading in result.signals.items()}
    assert result.outcome is Outcome.PASS
    assert result.summary == (
        "2 GPUs of node-7, at most 44 C, use 96%; not collected anew within 70 s, so its values may be older"
    )
    assert (value["count"], value["sm_clock_ratio"], value["remap_failed"]) == (2.0, 1.0, False)
    assert value["memory_used_ratio"] == pytest.approx(73368 / 81560)
    assert value["memory_free_bytes"] == 8192 * 1024 * 1024
    assert result.signals["gpu.temperature_celsius"].by == {"node-7/0": 44.0, "node-7/1": 44.0}


def test_one_collection_says_nothing_of_change() -> None:
    found = judged(page(), window_s=10.0).signals["gpu.throttle_thermal_ratio"]
    assert found.reason is UnknownReason.TIMEOUT
    assert found.detail == (
        "0 new collections within 10 s, wanted 2; the exporter collects every 30 s unless started with -c: take a "
        "window_s of more than two intervals"
    )


def test_violation_time_over_the_time_between_two_collections() -> None:
    result = judged(page(), page(), page(THERMAL_VIOLATION=7_000_000))
    found = result.signals["gpu.throttle_thermal_ratio"]
    assert found.value == pytest.approx(6.0 / 30.0)
    assert found.by == {"node-7/0": 0.0, "node-7/1": pytest.approx(0.2)}
    assert (result.outcome, result.summary) == (Outcome.WARN, "20% slowed down for heat")


def test_a_counter_that_went_back_is_a_restart() -> None:
    found = judged(page(), page(), page(THERMAL_VIOLATION=0)).signals["gpu.throttle_thermal_ratio"]
    assert found.reason is UnknownReason.RESET


@pytest.mark.parametrize(
    ("before", "after", "value", "words"),
    [
        pytest.param(0, 0, 0.0, "none since the exporter started", id="never"),
        pytest.param(79, 79, None, "stands at node-7/1: 79, but this gauge never clears", id="an-old-one"),
        pytest.param(0, 79, 1.0, "the last Xid changed within the window (node-7/1: 79)", id="a-new-one"),
        pytest.param(79, 13, 0.0, "(node-7/1: 13)", id="a-new-one-of-an-application"),
    ],
)
def test_the_last_xid_by_its_change_alone(before: float, after: float, value: float | None, words: str) -> None:
    result = judged(page(XID_ERRORS=before), page(XID_ERRORS=after))
    found = result.signals["gpu.xid_fault_count"]
    assert found.value == value
    assert words in (found.source or found.detail)
    assert (result.outcome is Outcome.FAIL) is (value == 1.0)


def test_the_exporters_own_count_is_preferred() -> None:
    counted = f'DCGM_EXP_XID_ERRORS_COUNT{{{LABELS.format(gpu=1)},window_size_in_ms="300000",xid="95"}} 2\n'
    found = judged(page(XID_ERRORS=95) + counted).signals["gpu.xid_fault_count"]
    assert (found.value, found.source) == (2.0, "DCGM_EXP_XID_ERRORS_COUNT: Xid 95 in the exporter's own window")


def test_a_device_that_leaves_the_page() -> None:
    result = judged(page(gpus=3), page(gpus=2))
    assert result.signals["gpu.lost"].value is True
    assert (result.outcome, result.summary) == (Outcome.FAIL, "node-7/2 left the page")
    assert judged(page()).signals["gpu.lost"].reason is UnknownReason.UNSUPPORTED


def test_a_field_that_is_not_exported_is_named() -> None:
    found = judged(page(leave=("ECC_DBE_VOL_TOTAL",))).signals["gpu.ecc_uncorrected"]
    assert (found.reason, found.detail) == (
        UnknownReason.DISABLED,
        "the page has no DCGM_FI_DEV_ECC_DBE_VOL_TOTAL; add it to the exporter's counters file",
    )


@pytest.mark.parametrize("blank", [2147483632, 9223372036854775792])
def test_blank_values_are_no_values(blank: int) -> None:
    assert judged(page(GPU_TEMP=blank)).signals["gpu.temperature_celsius"].by == {"node-7/0": 44.0}


def test_mig_instances_add_up_and_bad_lines_are_left_out() -> None:
    rows = [f'DCGM_FI_DEV_FB_USED{{{LABELS.format(gpu=0)},GPU_I_ID="{index}"}} 100' for index in (1, 2)]
    found = devices_of([*rows, "DCGM_FI_DEV_FB_USED{ 5", "DCGM_FI_DEV_GPU_TEMP{} nan"])
    assert [one.fields for one in found.values()] == [{"DCGM_FI_DEV_FB_USED": 200.0}]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[ThreadingHTTPServer] = []

    def start(status: int, text: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status if self.path == "/metrics" else 404)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def looked(url: str) -> Any:
    async def run() -> Any:
        async with looking(Target(name="t", dcgm_url=url)) as look:
            return await GpuDcgm().look(look, {"window_s": 0.0})

    return asyncio.run(run())


def test_the_page_over_http(serve: Serve) -> None:
    raw = looked(serve(200, page() + "other_metric 1\n"))
    assert all(line.startswith("DCGM_") for line in raw["reads"][0]["lines"])
    assert GpuDcgm().judge(raw, {"window_s": 0}).signals["gpu.count"].value == 2.0


@pytest.mark.parametrize(
    ("status", "text", "reason", "words"),
    [
        pytest.param(403, "", UnknownReason.AUTH, "the exporter's page is guarded", id="guarded"),
        pytest.param(500, "", UnknownReason.ABSENT, "answers 500, wanted 200; a DCGM exporter listens on", id="error"),
        pytest.param(200, "node_load1 0.5\n", UnknownReason.ABSENT, "no line begins with DCGM_", id="another-exporter"),
        pytest.param(200, "<html></html>", UnknownReason.MALFORMED, "found a web page", id="web-page"),
    ],
)
def test_what_is_no_page(serve: Serve, status: int, text: str, reason: UnknownReason, words: str) -> None:
    with pytest.raises(ProbeError) as caught:
        looked(serve(status, text))
    assert (caught.value.reason, words in caught.value.detail) == (reason, True), caught.value.detail


def test_rows_without_a_uuid_belong_to_the_one_with_their_index() -> None:
    lines = [
        'DCGM_FI_DEV_GPU_TEMP{gpu="0",UUID="GPU-a",Hostname="h"} 40',
        'DCGM_FI_DEV_GPU_TEMP{gpu="1",UUID="GPU-b",Hostname="h"} 90',
        'DCGM_FI_DEV_GPU_UTIL{gpu="1",Hostname="h"} 70',
    ]
    found = devices_of(lines)
    assert set(found) == {"GPU-a", "GPU-b"}
    assert found["GPU-b"].fields == {"DCGM_FI_DEV_GPU_TEMP": 90.0, "DCGM_FI_DEV_GPU_UTIL": 70.0}


def test_rows_that_name_no_device_are_nobodys_among_several_and_told() -> None:
    lines = [
        'DCGM_FI_DEV_GPU_TEMP{gpu="0",UUID="GPU-a"} 40',
        'DCGM_FI_DEV_GPU_TEMP{gpu="1",UUID="GPU-b"} 41',
        "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL 7",
    ]
    assert nameless(lines) == 1
    assert all("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL" not in device.fields for device in devices_of(lines).values())
    result = judged("\n".join(lines))
    assert "; 1 rows of the page name no GPU (no UUID, gpu or device label) and are left out" in result.summary
    assert result.signals["gpu.ecc_uncorrected"].known is False


def two_hosts() -> str:
    """A federated page: the second host's GPU is hot."""
    cool, hot = page(1), page(1, GPU_TEMP=97).replace("node-7", "node-8").replace("GPU-0000", "GPU-1000")
    return cool + hot


@pytest.mark.parametrize(
    ("hosts", "hottest"),
    [
        pytest.param(["node-7"], 44.0, id="the-name"),
        pytest.param(["10.0.0.1", "NODE-8.prod.example"], 97.0, id="a-longer-name"),
    ],
)
def test_of_several_hosts_the_targets_own_is_read(hosts: list[str], hottest: float) -> None:
    raw = {"window_s": 10.0, "reads": [{"at_s": 0.0, "lines": two_hosts().splitlines()}], "hosts": hosts}
    result = GpuDcgm().judge(raw, {"window_s": 10})
    assert result.signals["gpu.temperature_celsius"].value == hottest
    assert "; 1 other devices of the page are left out: not of the target's host or indices" in result.summary


def test_several_hosts_and_none_is_the_targets() -> None:
    raw = {"window_s": 10.0, "reads": [{"at_s": 0.0, "lines": two_hosts().splitlines()}], "hosts": ["10.0.0.1"]}
    result = GpuDcgm().judge(raw, {"window_s": 10})
    assert (result.outcome, result.signals["gpu.temperature_celsius"].reason) == (
        Outcome.UNKNOWN, UnknownReason.INCONSISTENT,
    )  # fmt: skip
    assert result.summary == (
        "the page speaks of 2 hosts (node-7, node-8), and none is the target's address; give the page of the exporter "
        "on the engine's own host"
    )


def test_only_the_targets_own_gpus_count() -> None:
    raw = {"window_s": 0.0, "reads": [{"at_s": 0.0, "lines": page(4, GPU_TEMP=97).splitlines()}], "gpus": "0,1"}
    assert GpuDcgm().judge(raw, {"window_s": 0}).signals["gpu.temperature_celsius"].by == {
        "node-7/0": 44.0, "node-7/1": 44.0,
    }  # fmt: skip
    none = GpuDcgm().judge({**raw, "gpus": "7"}, {"window_s": 0})
    assert none.summary.startswith("the page has no GPU 7, which the target names; it has node-7/0, ")


def test_a_page_cut_on_its_way_has_lost_no_device(serve: Serve) -> None:
    whole = page(4)
    with pytest.raises(
        ProbeError, match=r"the page ends in the middle of a line: .*; the devices behind it are not known"
    ):
        looked(serve(200, whole[: len(whole) // 2 + 7]))


def test_a_page_whose_labels_were_dropped_is_one_device() -> None:
    found = devices_of(["DCGM_FI_DEV_GPU_TEMP 40", "DCGM_FI_DEV_GPU_UTIL 70"])
    assert {uuid: len(device.fields) for uuid, device in found.items()} == {"?": 2}

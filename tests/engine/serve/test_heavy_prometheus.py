"""Real Prometheus, Pushgateway, node-exporter and promtool read what we write."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sickbay.engine.report.delivery import push, write_textfile
from sickbay.engine.report.formats import render
from sickbay.engine.run.clock import SystemClock
from sickbay.engine.serve.server import serve

pytestmark = pytest.mark.heavy
WAIT_S = 60.0


def binary(name: str) -> str:
    path = shutil.which(name)
    assert path, f"{name} is not installed; run tests/heavy/setup.sh"
    return path


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextmanager
def started(command: list[str], log: Path) -> Iterator[None]:
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def until(what: Callable[[], Any]) -> Any:
    """What it returns once it is true: another process needs its time, and no fixed one."""
    end = time.monotonic() + WAIT_S
    while True:
        try:
            found = what()
        except OSError:
            found = None
        if found:
            return found
        assert time.monotonic() < end, f"not within {WAIT_S} s"
        time.sleep(0.1)


def promtool(text: str) -> None:
    done = subprocess.run(
        [binary("promtool"), "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_promtool_finds_nothing_to_say(kit: Any) -> None:
    promtool(render(kit.report_of(kit.job("high-ttft", "chat")), "prometheus"))


def test_prometheus_scrapes_serve(kit: Any, tmp_path: Path) -> None:
    port, own = free_port(), free_port()
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s}\n"
        f"scrape_configs:\n  - {{job_name: sickbay, static_configs: [{{targets: ['127.0.0.1:{own}']}}]}}\n"
    )
    command = [
        binary("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]

    def query(text: str) -> list[Any]:
        url = f"http://127.0.0.1:{port}/api/v1/query?query={urllib.request.quote(text)}"  # type: ignore[attr-defined]
        found: list[Any] = json.loads(get(url))["data"]["result"]
        return found

    def look() -> None:
        value = until(lambda: query('sickbay_signal{signal="probe.ttft_s_p50"}'))
        assert float(value[0]["value"][1]) == 0.4
        assert value[0]["metric"]["runbook"] == "high-ttft"
        assert value[0]["metric"]["job"] == "sickbay"
        up = query("up")
        assert [one["value"][1] for one in up] == ["1"]
        assert {one["metric"]["verdict"] for one in query("sickbay_run_verdict")} == {
            "healthy",
            "degraded",
            "failing",
            "inconclusive",
        }
        promtool(get(f"http://127.0.0.1:{own}/metrics"))

    async def main() -> None:
        async def run_job(job: Any) -> Any:
            return kit.report_of(job)

        stop = asyncio.Event()
        settings = kit.config(f"127.0.0.1:{own}", (kit.job("high-ttft", "chat", every_s=2.0),))
        task = asyncio.create_task(serve(settings, run_job, clock=SystemClock(), say=lambda _: None, stop=stop))
        try:
            await asyncio.to_thread(look)
        finally:
            stop.set()
            await task

    with started(command, tmp_path / "log"):
        asyncio.run(main())


def test_pushgateway_takes_and_replaces(kit: Any, tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with started([binary("prometheus-pushgateway"), f"--web.listen-address=127.0.0.1:{port}"], tmp_path / "log"):
        until(lambda: get(f"{url}/-/ready"))
        job = kit.job("high-ttft", "chat/prod")
        push(url, kit.report_of(job))
        push(url, kit.report_of(job))
        page = get(f"{url}/metrics")
    lines = [line for line in page.splitlines() if line.startswith("sickbay_signal{")]
    assert lines == [
        'sickbay_signal{instance="",job="sickbay",runbook="high-ttft",signal="probe.ttft_s_p50",target="chat/prod"} 0.4'
    ]


def test_node_exporter_reads_the_textfile(kit: Any, tmp_path: Path) -> None:
    port = free_port()
    folder = tmp_path / "textfile"
    folder.mkdir()
    for target in ("a", "b"):
        write_textfile(folder / f"{target}.prom", kit.report_of(kit.job("high-ttft", target)))
    command = [
        binary("prometheus-node-exporter"),
        "--collector.disable-defaults",
        "--collector.textfile",
        f"--collector.textfile.directory={folder}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with started(command, tmp_path / "log"):
        page = until(lambda: get(f"http://127.0.0.1:{port}/metrics"))
    assert "node_textfile_scrape_error 0" in page
    assert page.count('verdict="healthy"} 1') == 2


SCRAPER = """
import asyncio, aiohttp, sys, time
async def main(url):
    async with aiohttp.ClientSession() as session:
        async def some(count):
            for _ in range(count):
                async with session.get(url) as answer:
                    assert answer.status == 200 and await answer.read()
        await some(20)
        began = time.perf_counter()
        await asyncio.gather(*(some(250) for _ in range(8)))
        print(2000 / (time.perf_counter() - began))
asyncio.run(main(sys.argv[1]))
"""


def test_two_thousand_scrapes_are_one_rendering(kit: Any, record_property: Callable[[str, object], None]) -> None:
    """The rate is reported; that a scrape does no work is asserted."""

    renderings = Counter[str]()

    class Counted(dict[str, Any]):
        def items(self) -> Any:
            renderings["reports"] += 1
            return super().items()

    async def main() -> str:
        async def run_job(job: Any) -> Any:
            report = kit.report_of(job)
            return replace(report, signals=Counted(report.signals))

        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        stop = asyncio.Event()
        jobs = tuple(kit.job("high-ttft", f"t{index}", every_s=3600.0) for index in range(20))
        settings = kit.config("127.0.0.1:0", jobs)
        task = asyncio.create_task(
            serve(settings, run_job, clock=SystemClock(), say=lambda _: None, on_ready=ready.set_result, stop=stop)
        )
        url = await ready + "/metrics"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SCRAPER, url, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        stop.set()
        await task
        assert process.returncode == 0
        return out.decode()

    rate = float(asyncio.run(main()))
    record_property("scrapes_per_second", round(rate))
    assert 0 < renderings["reports"] <= 20 * 21  # 20 reports, at most once a change

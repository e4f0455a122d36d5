"""A real Prometheus with a past that a test writes, scrape by scrape."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

__all__ = ["STEP_S", "Store", "running", "small", "steady"]

STEP_S = 15.0
_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$")


def small(*, running: float = 3, waiting: float = 0, tokens: float = 0, finished: float = 0, ttft: float = 0.2) -> str:
    """A page of today's vLLM in miniature."""
    name = 'model_name="m",engine="0"'
    return "\n".join([
        f"vllm:num_requests_running{{{name}}} {running}",
        f"vllm:num_requests_waiting{{{name}}} {waiting}",
        f"vllm:kv_cache_usage_perc{{{name}}} 0.4",
        f"vllm:generation_tokens_total{{{name}}} {tokens}",
        f'vllm:request_success_total{{{name},finished_reason="stop"}} {finished}',
        f'vllm:time_to_first_token_seconds_bucket{{{name},le="0.5"}} {finished}',
        f'vllm:time_to_first_token_seconds_bucket{{{name},le="+Inf"}} {finished}',
        f"vllm:time_to_first_token_seconds_sum{{{name}}} {finished * ttft}",
        f"vllm:time_to_first_token_seconds_count{{{name}}} {finished}",
    ])  # fmt: skip


class Store:
    """Lines of OpenMetrics with timestamps, and the Prometheus that holds them."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.at_s = (time.time() - 7200) // 60 * 60
        self.url = ""

    def page(self, text: str, at_s: float, labels: str) -> None:
        """One scrape, as Prometheus stores it: the page's samples with the target's labels."""
        for row in text.splitlines():
            found = _SAMPLE.match(row)
            if found:
                own = f"{found[2]}," if found[2] else ""
                self.lines.append(f"{found[1]}{{{own}{labels}}} {found[3]} {at_s:.3f}")

    def scrapes(self, job: str, pages: list[str], *, until: float = 0.0, instance: str = "", more: str = "") -> None:
        """Pages 15 s apart, the last one `until` seconds before the time the tests look at."""
        labels = f'job="{job}",instance="{instance or job + ":8000"}"{more}'
        for index, text in enumerate(pages):
            at_s = self.at_s - until - STEP_S * (len(pages) - 1 - index)
            if text:
                self.page(text, at_s, labels)
            self.lines.append(f"up{{{labels}}} {1 if text else 0} {at_s:.3f}")


def steady(count: int, *, rate: float = 10, **more: float) -> list[str]:
    return [small(tokens=1000 + rate * STEP_S * i, finished=10 + i, **more) for i in range(count)]


@contextlib.contextmanager
def running(made: Store, folder: Path) -> Iterator[None]:
    """Prometheus with what the store holds; its address is the store's `url`."""
    text = folder / "past.om"
    in_order = sorted(made.lines, key=lambda line: float(line.rpartition(" ")[2]))  # promtool drops what comes late
    text.write_text("\n".join([*in_order, "# EOF", ""]))
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(text), str(folder / "data")],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    (folder / "empty.yml").write_text("global: {}\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made.url = f"http://127.0.0.1:{port}"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            ["prometheus", f"--config.file={folder}/empty.yml", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.retention.time=60d"],
            stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        wait_until_ready(made.url, process)
        yield
    finally:
        process.terminate()
        process.wait(20)


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + 60
    while time.monotonic() < ends and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=1) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("Prometheus did not become ready")

"""`sickbay serve` under scrapes: latency of one after another, and how many a second from 16 clients."""

from __future__ import annotations

import http.client
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.figure import Figure

__all__ = ["scrape_figures"]

CONFIG = """
targets:
  bench: {{url: "{url}"}}
serve:
  jobs:
    - {{runbook: high-ttft, target: bench, every: 1h}}
"""
GROUP = "Scraping `sickbay serve`"
CLIENTS = 16


@contextmanager
def _service(env: Mapping[str, str], url: str) -> Iterator[int]:
    """The port of a real service whose first run has ended."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sickbay.yaml"
        path.write_text(CONFIG.format(url=url), encoding="utf-8")
        command = [sys.executable, "-m", "sickbay", "serve", "--config", str(path), "--listen", "127.0.0.1:0"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env)
        try:
            assert process.stderr is not None
            told = []
            for line in process.stderr:
                told.append(line)
                if "listening on" in line:
                    break
            else:
                raise RuntimeError(f"sickbay serve did not start: {''.join(told)}")
            port = int(told[-1].rsplit(":", 1)[1])
            threading.Thread(target=process.stderr.read, daemon=True).start()
            ends = time.monotonic() + 120
            while b"sickbay_job_last_run_timestamp_seconds{" not in _get(port) and time.monotonic() < ends:
                time.sleep(0.2)
            yield port
        finally:
            process.terminate()
            process.wait(20)


def _get(port: int) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/metrics")
    body = connection.getresponse().read()
    connection.close()
    return body


def _scrape(port: int, until: float, times: list[float]) -> None:
    """Over one kept connection, as Prometheus does."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    while time.perf_counter() < until:
        began = time.perf_counter()
        connection.request("GET", "/metrics")
        connection.getresponse().read()
        times.append(time.perf_counter() - began)
    connection.close()


def scrape_figures(env: Mapping[str, str], url: str, seconds: float) -> Iterator[Figure]:
    """Latency of a lone scraper, then the rate of sixteen."""
    with _service(env, url) as port:
        size = len(_get(port)) / 1024
        alone: list[float] = []
        _scrape(port, time.perf_counter() + seconds, alone)
        alone.sort()
        yield Figure(
            name="one scrape", value=statistics.median(alone) * 1e3, unit="ms", goal=2.0, low=alone[0] * 1e3,
            high=alone[int(0.99 * len(alone))] * 1e3, group=GROUP,
            note=f"{size:.0f} KiB page, {len(alone)} scrapes, spread to p99",
        )  # fmt: skip
        command = [sys.executable, "-m", "benchmarks.scrape", str(port), str(seconds)]
        found = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) for _ in range(2)]
        counts = [int(process.communicate()[0]) for process in found]
        yield Figure(
            name=f"{CLIENTS} clients", value=sum(counts) / seconds, unit="1/s", goal=1000.0, at_least=True,
            note=f"two client processes of {CLIENTS // 2} threads on the same cores, {seconds:g} s", group=GROUP,
        )  # fmt: skip


def main() -> int:
    """Half of the clients; prints how many scrapes they made."""
    port, seconds = int(sys.argv[1]), float(sys.argv[2])
    lists: list[list[float]] = [[] for _ in range(CLIENTS // 2)]
    until = time.perf_counter() + seconds
    threads = [threading.Thread(target=_scrape, args=(port, until, times)) for times in lists]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.stdout.write(f"{sum(map(len, lists))}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

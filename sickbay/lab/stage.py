"""The stage: a real server with a real fault on it, for as long as a `with` block lasts.

`Stage` starts server, proxies, users and hogs in this order, waits until the fault is really on (a condition, never
a guess of seconds), and stops everything when the block ends, by whatever: its end, an exception, Ctrl-C, SIGTERM.
A SIGKILL of this process ends the children too (see `child`).
"""

from __future__ import annotations

import http.client
import shutil
import signal
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from sickbay.lab.child import Child, start
from sickbay.lab.errors import LaneMissingError, StageError
from sickbay.lab.fault import Fault
from sickbay.lab.impact import Felt, Impact, feel, judge_impact, read_events
from sickbay.lab.later import Later
from sickbay.lab.model import MODEL_ALIAS
from sickbay.lab.placed import placed
from sickbay.lab.prompts import tokens_per_word
from sickbay.lab.servers import TITLES, Servers, free_port
from sickbay.lab.told import target_of, write_files

__all__ = ["Stage"]

TOKENS_MADE = "llamacpp:tokens_predicted_total"
CALIBRATE_S = 12.0
POLL_S = 0.1
GAUGES = {"vllm": {"deferred": "vllm:num_requests_waiting", "processing": "vllm:num_requests_running"}}
"""What `ready` calls them, by engine; llama.cpp's own names else."""
PAGE_BYTES_MAX = 2**20
IMPACT_TIMEOUT_S = 90.0


class Stage:
    """One fault on stage.

    Args:
        fault: what to start.
        tell: gets one plain sentence for each thing that happens.
        seed: shifts the users' random numbers, so that repeated runs differ.
    """

    def __init__(self, fault: Fault, *, tell: Callable[[str], None] = lambda _: None, seed: int = 0) -> None:
        self.fault = fault
        self._tell = tell
        self._seed = seed
        self._children: list[Child] = []
        self._folder = Path()
        self._old_handler: Any = None
        self._since_s = 0.0
        self._load_start = 0.0
        self._user_url = ""
        self._servers: Servers | None = None
        self._tokens_made_before = 0.0
        self._later = Later(
            [(order["after_s"], partial(self._send, order)) for order in fault.signals if "after_s" in order]
        )

    # --- start and stop ---

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="sickbay-lab-"))
        if threading.current_thread() is threading.main_thread():
            self._old_handler = signal.signal(signal.SIGTERM, _leave)
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop everything, last started first; twice is fine."""
        try:
            self._later.close()
        finally:
            self._stop_all()

    def _stop_all(self) -> None:
        while self._children:
            self._children[-1].stop()
            self._children.pop()
        if self._servers is not None:
            self._servers.close()
        if self._old_handler is not None:
            signal.signal(signal.SIGTERM, self._old_handler)
            self._old_handler = None
        if self._folder != Path():
            shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> None:
        fault = self.fault
        if fault.needs:
            [(part, why), *_] = fault.needs.items()
            raise LaneMissingError(part, why)
        write_files(fault, self._folder)
        self._servers = Servers(fault, self._folder, add=self._add)
        shown = {key: value for key, value in fault.server.items() if key != "api_key"}
        self._tell(f"starting {TITLES[fault.engine]}: {_words(shown) or 'its usual settings'}")
        if fault.model:
            self._tell(f"with another model file: {_words(fault.model)}")
        servers = self._servers.start()
        self._user_url = self._start_proxies([server.url for server in servers])
        if fault.target.get("port") == "wrong":
            self._user_url = f"http://127.0.0.1:{free_port()}"
        per_word = self._tokens_per_word()
        loads = [self._calibrated(work, per_word) for work in fault.workload]
        self._load_start = time.monotonic()
        for index, workload in enumerate(loads):
            self._tell(f"sending users: {_words(workload)}")
            self._add(f"load-{index}", "sickbay.lab.load", self._load_options(f"load-{index}", workload, per_word))
        for hog in fault.hogs:
            self._tell(f"starting a hog: {_words(hog)}")
            for _ in range(hog.get("cpu", 1)):
                options = {**hog, "cpu": "cpu" in hog}
                self._add(f"hog-{len(self._children)}", "sickbay.lab.hog", options)
        self._wait_ready()
        if fault.server.get("starts", True):
            self._servers.note_end(self.child("server"))
        self._since_s = self.now_s
        self._tokens_made_before = self._gauge(TOKENS_MADE)
        for order in fault.signals:
            if "after_s" not in order:
                self._send(order)

    def look_begins(self) -> None:
        """A run begins: signals with `after_s` count their seconds from here."""
        self._later.begin()

    def _start_proxies(self, upstreams: list[str]) -> str:
        """Put the proxies before the servers; where the users go then."""
        url = upstreams[0]
        for index, behaviour in reversed(list(enumerate(self.fault.proxy))):
            self._tell(f"putting a proxy in front of it: {_words(behaviour)}")
            options = {**behaviour, "upstream": url, "seed": self._seed}
            if "weights" in behaviour:
                options["upstreams"] = upstreams
            url = self._add(f"proxy-{index}", "sickbay.lab.proxy", options).url
        return url

    def _tokens_per_word(self) -> float:
        server = self.child("server")
        if not self.fault.workload or self.fault.engine == "recorded" or not server.state():
            return 1.0
        return tokens_per_word(server.url, api_key=self.fault.server.get("api_key", ""))

    def _calibrated(self, workload: Mapping[str, Any], per_word: float) -> Mapping[str, Any]:
        """The workload; a rate that is given as times the capacity is measured now, in a closed loop."""
        work = dict(workload)
        times = work.pop("rate_of_capacity", None)
        if times is None:
            return work
        clients = self.fault.server.get("parallel", 4)
        # Other prompts than the users' own, or those would be served from the prefix cache.
        other = {**work, "seed": work.get("seed", 1) + 500}
        probe = self._load_options("capacity", {**other, "clients": clients, "duration_s": CALIBRATE_S}, per_word)
        child = self._add("capacity", "sickbay.lab.load", probe)
        child.process.wait()
        events = read_events(Path(probe["file"]))
        done = sum(event["event"] == "done" and not event["error"] for event in events)
        rate = max(done, 1) / CALIBRATE_S
        self._tell(f"{clients} users at once get {rate:.2f} answers a second; {times:g} times that many are sent")
        return {**work, "rate_rps": times * rate}

    def _add(self, name: str, module: str, options: Mapping[str, Any], **how: Any) -> Child:
        child = start(name, module, options, folder=self._folder, **how)
        self._children.append(child)
        return child

    def _load_options(self, name: str, workload: Mapping[str, Any], per_word: float) -> dict[str, Any]:
        return {
            **workload,
            "url": self._user_url,
            "file": str(self._folder / f"{name}.jsonl"),
            "model": self._asked_model,
            "api_key": self._known_key,
            "seed": workload.get("seed", 1) + 1000 * self._seed,
            "tokens_per_word": per_word,
        }

    def _send(self, order: Mapping[str, Any]) -> None:
        [(verb, name)] = [(verb, name) for verb, name in order.items() if verb != "after_s"]
        child = self.child(name)
        if verb == "restart":
            assert self._servers is not None
            self._tell(f"restarting the {name}")
            self._children.remove(child)
            self._servers.restart(child)
            return
        number, wanted = {"stop": (signal.SIGSTOP, "T"), "kill": (signal.SIGKILL, "")}[verb]
        self._tell(f"sending {number.name} to the {name}")
        child.send(number)
        self._until(lambda: child.state() == wanted, f"{name} did not take {number.name}", timeout_s=10.0)
        if "after_s" in order:
            self._since_s = self.now_s  # what users feel counts from here

    # --- waiting ---

    def _wait_ready(self) -> None:
        ready = dict(self.fault.ready)
        timeout_s = ready.pop("timeout_s", 90.0)
        if ready:
            self._tell(f"waiting until the fault is on: {_words(ready)}")
        for name, least in ready.items():
            self._until(partial(self._has, name, least), f"never {least} {name}", timeout_s)

    def _has(self, name: str, least: float) -> bool:
        if name == "finished":
            return self.felt().finished >= least
        return self._gauge(GAUGES.get(self.fault.engine, {}).get(name, f"llamacpp:requests_{name}")) >= least

    def _gauge(self, name: str) -> float:
        """The sum of a gauge's series; 0 where the page has none."""
        lines = self.page("/metrics").splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))

    def _until(self, holds: Callable[[], bool], complaint: str, timeout_s: float) -> None:
        until = time.monotonic() + timeout_s
        while not holds():
            if time.monotonic() > until:
                raise StageError(
                    f"{self.fault.name}: {complaint} within {timeout_s:g} s; "
                    f"the server's log ends:\n{self.child('server').log_tail()}"
                )
            time.sleep(POLL_S)

    # --- what others use ---

    @property
    def target(self) -> dict[str, Any]:
        """What sickbay is told: keyword arguments of `Target` (`api_key` as plain text, `logs` as paths)."""
        assert self._servers is not None
        replicas = [child for child in self._children if child.name.startswith("replica-")]
        servers = [self.child("server"), *replicas]
        return target_of(self.fault, self._servers, servers, user_url=self._user_url, api_key=self._known_key)

    @property
    def inputs(self) -> dict[str, Any]:
        """The runbook's inputs, with the places of the fault's files in them."""
        inputs: dict[str, Any] = placed(self.fault.inputs, self._folder)
        return inputs

    @property
    def server_url(self) -> str:
        """The server itself, whatever stands before it."""
        return self.child("server").url

    @property
    def server_log(self) -> Path:
        """The server's log file; gone when the stage ends."""
        return self.child("server").log

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of everything that runs."""
        return tuple(child.pid for child in self._children)

    @property
    def now_s(self) -> float:
        """Seconds since the users came."""
        return time.monotonic() - self._load_start

    def child(self, name: str) -> Child:
        """A child by name; "proxy" is the one nearest to the users."""
        for child in reversed(self._children):
            if child.name == name or child.name.rpartition("-")[0] == name:
                return child
        raise StageError(f"{self.fault.name}: there is no {name!r} on this stage")

    def page(self, path: str, *, timeout_s: float = 10.0) -> str:
        """A page of the server itself, with its key; "" when it does not answer."""
        request = urllib.request.Request(self.server_url + path)  # noqa: S310 - a loopback URL of our own
        if key := self.fault.server.get("api_key"):
            request.add_header("Authorization", f"Bearer {key}")
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310 - as above
                body: bytes = answer.read(PAGE_BYTES_MAX)
        except (OSError, http.client.HTTPException):
            return ""
        return body.decode("utf-8", "replace")

    def felt(self, *, since_s: float | None = None) -> Felt:
        """What users have felt since the fault is on, or since this second of the users' clock."""
        events = []
        for index in range(len(self.fault.workload)):
            # Each load numbers its requests from 0; the file's index keeps them apart.
            file = self._folder / f"load-{index}.jsonl"
            events += [{**event, "id": (index, event["id"])} for event in read_events(file)]
        made = None
        if self.fault.impact["measure"] == "wasted_ratio":
            made = self._gauge(TOKENS_MADE) - self._tokens_made_before
        return feel(
            events,
            now_s=self.now_s,
            since_s=self._since_s if since_s is None else since_s,
            asked_model=self._asked_model,
            tokens_made=made,
        )

    def impact(self, *, timeout_s: float = IMPACT_TIMEOUT_S, before: Felt | None = None) -> Impact:
        """Wait for enough finished requests (or until the bar is reached without them) and judge the harm."""
        until = time.monotonic() + timeout_s
        wanted = self.fault.impact
        while True:
            felt = self.felt()
            impact = judge_impact(wanted, felt, before)
            enough = felt.finished >= wanted.get("requests", 3)
            if (impact.shown and enough) or time.monotonic() > until:
                return impact
            if enough and wanted["measure"] not in ("oldest_wait_s", "in_flight"):
                return impact
            time.sleep(POLL_S)

    @property
    def _asked_model(self) -> str:
        return str(self.fault.target.get("model") or self.fault.server.get("alias") or MODEL_ALIAS)

    @property
    def _known_key(self) -> str:
        key = self.fault.target.get("api_key")
        return str(self.fault.server.get("api_key", "") if key is None else key)


def _leave(number: int, _frame: FrameType | None) -> None:
    """SIGTERM leaves the `with` block as an exception would."""
    raise SystemExit(128 + number)


def _words(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {_value(value)}" for key, value in settings.items())


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

"""`sickbay serve`: jobs on their intervals, metrics on HTTP, an orderly end."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable

from aiohttp import web

from sickbay.engine.errors import ConfigError
from sickbay.engine.model.look import Clock
from sickbay.engine.model.outcome import ExitCode
from sickbay.engine.serve.exposition import Exposition
from sickbay.engine.serve.jobs import JobT, RunJob, ServeConfig, states_of
from sickbay.engine.serve.scheduler import Scheduler
from sickbay.engine.serve.web import make_app

__all__ = ["listen_address", "serve"]


async def serve(
    config: ServeConfig[JobT],
    run_job: RunJob[JobT],
    *,
    clock: Clock,
    seed: str = "sickbay",
    say: Callable[[str], None] | None = None,
    on_ready: Callable[[str], None] | None = None,
    stop: asyncio.Event | None = None,
) -> ExitCode:
    """Run until SIGTERM, SIGINT or `stop`; then cancel what runs, wait for it, and close.

    Args:
        config: where to listen and which jobs to run.
        run_job: makes one run of a job; cancelling it must leave nothing behind.
        clock: time for starts and ages.
        seed: same seed, same jitter.
        say: told one line a run (default: stderr).
        on_ready: told the base URL once connections are accepted.
        stop: ends the service when set; for callers that handle signals themselves.

    Returns:
        HEALTHY (0) after an orderly end, INTERNAL (70) when runs had to be left behind or the scheduler died.

    Raises:
        ConfigError: the jobs or the address cannot be used.
    """
    tell = say or (lambda line: print(line, file=sys.stderr, flush=True))  # noqa: T201 - the service's log is stderr
    states = states_of(config.jobs)
    exposition = Exposition(states, clock)
    scheduler = Scheduler(states, run_job, clock=clock, seed=seed, changed=exposition.changed, say=tell)
    done = stop or asyncio.Event()
    not_ready = ["the service is starting"]
    runner = web.AppRunner(
        make_app(scheduler, exposition, clock, ready=lambda: not_ready[0]), access_log=None, shutdown_timeout=2.0
    )
    await runner.setup()
    try:
        base = await _listen(runner, config.listen)
        _handle_signals(done)
        scheduler.start()
        not_ready[0] = ""
        tell(f"listening on {base}")
        if on_ready:
            on_ready(base)
        await done.wait()
        sick = scheduler.sick()
    finally:
        not_ready[0] = "the service is stopping"
        left = await scheduler.stop()
        await runner.cleanup()
        _leave_signals()
    if left:
        tell(f"{left} run{'s' if left != 1 else ''} did not end within the time for cleaning up")
    return ExitCode.INTERNAL if left or sick else ExitCode.HEALTHY


async def _listen(runner: web.AppRunner, listen: str) -> str:
    host, port = listen_address(listen)
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise ConfigError(
            f"serve.listen: cannot listen on {listen!r}: {error.strerror or error}; name a free address"
        ) from error
    address = runner.addresses[0]
    shown = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"http://{shown}:{address[1]}"


def listen_address(listen: str) -> tuple[str, int]:
    """Host and port of "127.0.0.1:9877", "[::1]:9877" or ":9877" (every address).

    Raises:
        ConfigError: it is none of these.
    """
    host, colon, port = listen.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    good = colon and port.isascii() and port.isdigit() and int(port) < 65536
    if not good or (":" in bare and bare == host):
        raise ConfigError(f"serve.listen: wanted HOST:PORT such as '127.0.0.1:9877', found {listen!r}")
    return bare or "0.0.0.0", int(port)


def _handle_signals(done: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, done.set)
        except (ValueError, RuntimeError):  # not the main thread: the caller has `stop`
            return


def _leave_signals() -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.remove_signal_handler(number)
        except (ValueError, RuntimeError):
            return

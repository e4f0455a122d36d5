"""The journal of a run: append-only JSON lines, on the disk before the next step starts.

    {"sickbay_journal": 1, "run_id": …, "runbook": …, "runbook_sha256": …, "target": …, "inputs": …}
    {"step": {…}}            one line a finished step
    {"ended": "failing"}     the run came to its report

A process killed anywhere loses at most the step it was in; a last line that is torn is left out.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from sickbay.engine.errors import ConfigError
from sickbay.engine.evidence.state import state_folder
from sickbay.engine.load.text_file import read_bytes
from sickbay.engine.model.report import Report, StepReport
from sickbay.engine.model.shown_url import kept_url
from sickbay.engine.report.codec import decode, encode
from sickbay.engine.run.run_id import new_run_id

if TYPE_CHECKING:
    from sickbay.engine.run.plan import Plan

__all__ = ["Journal", "JournalContent", "default_folder", "load_journal", "new_journal"]

VERSION = 1
KEPT = 200
"""How many journals stay in the default folder; the oldest go first."""

_NOTHING: Mapping[str, Any] = {}
_CUT_SHORT = {"deadline", "interrupted"}
_BYTES_MAX = 256_000_000
"""A run's evidence is bounded step by step; a journal larger than this is none of ours."""


class Journal:
    """Writes one run's lines. Mode 0600: a report's evidence is nobody else's."""

    wait_s = 2.0
    """Whoever writes waits this long: a disk answers in milliseconds, a tired network mount in tenths of a second."""

    def __init__(self, path: Path, run_id: str, *, begun: bool = False) -> None:
        self.path = path
        self.run_id = run_id
        self.given_up = False  # a line could not be written: the run cannot be resumed
        self._begun = begun
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @classmethod
    def for_new_run(cls, folder: Path | None = None) -> Journal | None:
        """The journal of a run that begins now; None where none can be kept (a read-only home, a full disk)."""
        try:
            return new_journal(new_run_id(time.time()), folder)
        except OSError:
            return None

    def begin(self, plan: Plan, started_at: float) -> None:
        """What is needed to go on in another process. A resumed run has it already."""
        if self._begun:
            return
        self._begun = True
        self._line(
            {
                "sickbay_journal": VERSION,
                "run_id": self.run_id,
                "runbook": plan.runbook.name,
                "runbook_path": plan.runbook.position.path,
                "runbook_sha256": plan.runbook_sha256,
                "target": plan.target.name,
                "url": kept_url(plan.target.url),
                "inputs": dict(plan.inputs),
                "effect_ceiling": plan.effect_ceiling.value,
                "only": list(plan.only),
                "skip": list(plan.skip),
                "started_at": started_at,
            }
        )
        _sync_folder(self.path.parent)

    def add(self, step: StepReport) -> None:
        """One finished step. Raises OSError when it cannot be written."""
        self._line({"step": encode(step)})

    def end(self, report: Report) -> None:
        """The run has its report. An interrupted or partial run stays open: it can be resumed."""
        if not (report.interrupted or report.partial):
            self._line({"ended": report.verdict.state.value})

    def close(self) -> None:
        """No more lines."""
        # A disk that did not answer a write may not answer the close either; the process's end does it.
        if self._descriptor >= 0 and not self.given_up:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _line(self, data: Mapping[str, Any]) -> None:
        line = json.dumps(data, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
        view = memoryview(line)
        while view:
            view = view[os.write(self._descriptor, view) :]
        os.fsync(self._descriptor)


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalContent:
    """A journal, read. `finished` holds the steps that need not run again, by id."""

    path: Path
    run_id: str
    runbook: str
    runbook_path: str
    runbook_sha256: str
    target: str
    url: str
    inputs: Mapping[str, Any]
    effect_ceiling: str
    only: tuple[str, ...]
    skip: tuple[str, ...]
    started_at: float
    finished: Mapping[str, StepReport] = field(default_factory=dict)
    ended: str = ""
    torn: bool = False  # the last line was cut off


def default_folder() -> Path:
    """Where journals are kept: `$XDG_STATE_HOME/sickbay/runs`."""
    return state_folder() / "runs"


def new_journal(run_id: str, folder: Path | None = None) -> Journal:
    """A new journal; in the default folder old ones are removed.

    Raises:
        OSError: the folder cannot be made or written.
    """
    place = folder or default_folder()
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder is None:
        _prune(place)
    return Journal(place / f"{run_id}.jsonl", run_id)


def load_journal(path: Path | str) -> JournalContent:
    """Read a journal; `path` is a file, or a run id of the default folder.

    Raises:
        ConfigError: it cannot be read, is no journal, or is broken anywhere but in its last line.
    """
    place = _find(path)
    header: dict[str, Any] | None = None
    finished: dict[str, StepReport] = {}
    ended = ""
    torn = False
    for number, data in _lines(place):
        where = f"{place}:{number}"
        if data is None:
            torn = True
        elif header is None:
            header = _header(data, where)
        elif "step" in data:
            step = decode(StepReport, data["step"], where)
            finished[step.id] = step
        elif "ended" in data:
            ended = str(data["ended"])
    if header is None:
        raise ConfigError(f"{place}: holds no whole line; the run was killed before its first step, start it again")
    again = {name: step for name, step in finished.items() if step.reason not in _CUT_SHORT}
    return JournalContent(path=place, finished=again, ended=ended, torn=torn, **header)


def _find(path: Path | str) -> Path:
    place = Path(path)
    if not place.exists() and place.name == str(path):
        place = default_folder() / f"{path}.jsonl"
    if not place.is_file():
        raise ConfigError(f"no journal {str(path)!r}; journals are kept in {default_folder()}")
    return place


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Line number and content; None for a torn last line."""
    try:
        text = read_bytes(path, _BYTES_MAX)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    whole, _, rest = text.rpartition(b"\n")
    lines = whole.split(b"\n") if whole else []
    for number, line in enumerate(lines, start=1):
        try:
            data = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{path}:{number}: wanted a line of JSON, found {line[:60]!r}") from error
        if not isinstance(data, dict):
            raise ConfigError(f"{path}:{number}: wanted a JSON object, found {line[:60]!r}")
        yield number, data
    if rest:
        yield len(lines) + 1, None


def _header(data: Mapping[str, Any], where: str) -> dict[str, Any]:
    if data.get("sickbay_journal") != VERSION:
        raise ConfigError(f"{where}: wanted a sickbay journal of version {VERSION}, found {str(data)[:60]!r}")
    try:
        return {
            **{
                name: str(data[name])
                for name in ("run_id", "runbook", "runbook_path", "runbook_sha256", "target", "url")
            },
            "inputs": dict(data["inputs"]),
            "effect_ceiling": str(data["effect_ceiling"]),
            "only": tuple(data["only"]),
            "skip": tuple(data["skip"]),
            "started_at": float(data["started_at"]),
        }
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{where}: the journal's first line is not whole: {error!r}") from error


def _prune(folder: Path) -> None:
    journals = sorted(folder.glob("*.jsonl"))  # the names begin with the time
    for old in journals[: max(0, len(journals) - KEPT + 1)]:
        old.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the new file's name survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

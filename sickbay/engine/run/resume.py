"""Finish a run that was killed: what its journal holds is taken over, the rest is run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sickbay.engine.errors import UsageError
from sickbay.engine.model.report import Report
from sickbay.engine.model.signal import Reading
from sickbay.engine.run.environment import Environment
from sickbay.engine.run.events import OnEvent
from sickbay.engine.run.executor import run
from sickbay.engine.run.journal import Journal, JournalContent, load_journal
from sickbay.engine.run.plan import Plan

__all__ = ["refuse_other", "resume"]

_NOTHING: Mapping[str, Any] = {}


def resume(
    path: Path | str | JournalContent,
    plan: Plan,
    *,
    environment: Environment,
    on_event: OnEvent | None = None,
    baseline: Mapping[str, Reading] = _NOTHING,
) -> Report:
    """Finish a run: steps that ended are taken over (judged again from their raw), the others run.

    `plan` is made again from the same runbook, target and inputs (`load_journal` names them).

    Raises:
        ConfigError: the journal cannot be read.
        UsageError: the plan is of another runbook, or of another version of it.
    """
    content = path if isinstance(path, JournalContent) else load_journal(path)
    refuse_other(content, plan)
    if content.torn:
        _cut_torn_line(content.path)
    with Journal(content.path, content.run_id, begun=True) as journal:
        return run(
            plan,
            environment=environment,
            on_event=on_event,
            journal=journal,
            baseline=baseline,
            finished=content.finished,
        )


def refuse_other(content: JournalContent, plan: Plan) -> None:
    """Raise UsageError unless the plan continues this journal."""
    if plan.runbook.name != content.runbook:
        raise UsageError(f"{content.path}: is the journal of runbook {content.runbook!r}, not of {plan.runbook.name!r}")
    if plan.runbook_sha256 != content.runbook_sha256:
        raise UsageError(
            f"{content.path}: runbook {content.runbook!r} has changed since "
            f"(sha256 {content.runbook_sha256[:12]} then, {plan.runbook_sha256[:12]} now); run it anew"
        )
    if plan.target.name != content.target:
        raise UsageError(f"{content.path}: is about target {content.target!r}, not {plan.target.name!r}")


def _cut_torn_line(path: Path) -> None:
    """Remove what stands behind the last line end, so that the next line begins on its own."""
    with path.open("r+b") as stream:
        text = stream.read()
        stream.truncate(text.rfind(b"\n") + 1)

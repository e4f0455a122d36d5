"""One run as text: the score first, with how sure it is; slices; what went wrong; provenance."""

from __future__ import annotations

import textwrap

from sickbay.engine.evals.row import EvalRun
from sickbay.engine.evals.summary import TOO_FEW, Score, Summary
from sickbay.engine.report.plain_text import plain

__all__ = ["to_text"]

WRONG_SHOWN = 5


def to_text(
    run: EvalRun, summary: Summary, compared: str = "", *, prices: tuple[float, float] | None = None, width: int = 80
) -> str:  # fmt: skip
    """Plain text of at most `width` columns (longer words stand alone)."""
    some = summary.unscored and summary.score.items
    but = f"; {summary.unscored} of {summary.rows} answers have no score" if some else ""
    lines = [f"{plain(run.name)} {plain(run.version)}".strip() + f": {_score(summary.score)}{but}"]
    if compared:
        lines.append(f"  {compared}")
    for field, values in summary.slices.items():
        lines.append(f"  by {plain(field)}")
        lines += [f"    {plain(value, 40):<20} {_score(score)}" for value, score in values.items()]
    if summary.all_passed is not None:
        lines.append(f"  {summary.all_passed:.1%} of the items pass every time")
    if summary.macro_f1 is not None:
        shown = ", ".join(f"{plain(label, 30)} {value:.2f}" for label, value in summary.f1.items())
        lines.append(f"  macro F1 {summary.macro_f1:.3f} ({shown})")
    if summary.macro_f1 is not None:
        lines += [f"    wanted {plain(name, 40):<13} {_score(score)}" for name, score in summary.by_wanted.items()]
    lines += _troubles(run, summary)
    wrong = {row.item: row for row in reversed(run.rows) if row.passed is False}  # of several samples the first
    first = list(reversed(wrong.values()))[:WRONG_SHOWN]
    lines += [f"  wrong: {plain(row.item, 40)}: {plain(row.why, 160)}" for row in first]
    least = "at least " if summary.uncounted else ""
    cost = f", {least}{summary.cost(*prices):.4f} money" if prices else ""
    tokens = f"{least}{summary.prompt_tokens} + {summary.output_tokens} tokens"
    if summary.uncounted:
        tokens += f" ({summary.uncounted} answers without a count)"
    lines.append(f"  {run.requests} requests, {tokens}{cost}, {run.elapsed_s:.1f} s")
    if run.judging:
        spent = run.judging
        shown = f"{spent.get('prompt_tokens', 0)} + {spent.get('output_tokens', 0)} tokens, not in the above"
        lines.append(f"  the judge: {spent.get('requests', 0)} requests, {shown}")
    about = ", ".join(f"{key} {plain(value)}" for key, value in run.about.items())
    lines.append(f"  {about}")
    lines.append(f"  set sha256 {run.set_sha256}")
    return "".join(f"{part}\n" for line in lines for part in _wrapped(line, width))


def _wrapped(line: str, width: int) -> list[str]:
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    return textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False) or [""]


def _score(score: Score) -> str:
    if not score.items:
        return "no answer could be scored"
    where = f" in {score.clusters} clusters" if score.clusters else ""
    words = (
        f"{score.passed:.1%} of {score.items} items{where} pass (95 % interval {score.interval.low:.1%} to "
        f"{score.interval.high:.1%})"
    )
    if abs(score.value - score.passed) > 5e-4:
        words += f", mean score {score.value:.3f}"
    few = "clusters" if score.items >= TOO_FEW else "items"
    return words + (f", too few {few} to say" if score.too_few else "")


def _troubles(run: EvalRun, summary: Summary) -> list[str]:
    lines = []
    if run.stopped:
        lines.append(f"  stopped: {plain(run.stopped)}")
    if summary.missing:
        lines.append(f"  {summary.missing} answers were never asked for")
    if summary.errors:
        kinds = ", ".join(f"{plain(kind, 40)} {count}" for kind, count in summary.errors.items())
        lines.append(f"  without a score, and not counted as wrong: {kinds}")
        first = next(row.error for row in run.rows if row.error)
        lines.append(f"    the first: {plain(first, 160)}")
    if summary.flaky:
        shown = ", ".join(plain(item, 30) for item in summary.flaky[:5])
        lines.append(f"  {len(summary.flaky)} flaky items (their samples disagree): {shown}")
    if summary.retried:
        lines.append(f"  {summary.retried} answers came only after a retry")
    if summary.in_vain:
        lines.append(f"  {summary.in_vain} requests were sent again, and failed again")
    if summary.cached:
        lines.append(f"  {summary.cached} answers come from the cache and say nothing of today's server")
    if summary.cut:
        lines.append(f"  {summary.cut} answers were cut at the token limit")
    if summary.unjudged:
        lines.append(
            f"  {summary.unjudged} answers are there and were not judged: with --journal the same command goes on"
        )
    if summary.thinks_aloud:
        lines.append(
            f"  {summary.thinks_aloud} answers hold the model's reasoning (<think>), and the scorers read it too: "
            "serve with a reasoning parser"
        )
    if summary.only_reasoning:
        lines.append(
            f"  {summary.only_reasoning} answers are empty, with text in the reasoning field: the limit ended them "
            "before the answer, or a reasoning parser takes what is none"
        )
    return lines

"""What `sickbay eval` makes of a run: the exit code, and the comparison with an earlier one in words."""

from __future__ import annotations

from sickbay.engine.evals.compare import Finding, Pairing, compare, pair_runs
from sickbay.engine.evals.row import EvalRun
from sickbay.engine.evals.summary import summary_of
from sickbay.engine.model.outcome import ExitCode

__all__ = ["judged"]

OVERLAP_MIN = 0.95
"""Share of the items of either run that must pair for the comparison to speak of the whole."""
ERRORS_MAX = 0.02
"""Share of answers without a score above which the rest says nothing of the whole; a gate's own default."""


def judged(run: EvalRun, earlier: EvalRun | None, *, margin: float, minimum: float | None) -> tuple[int, str]:
    """The exit code, and what was asked of the score in words.

    Args:
        run: the answers.
        earlier: what they are compared with.
        margin: the largest drop that is accepted, 0 to 1.
        minimum: the least share that must pass.
    """
    summary = summary_of(run)
    score = summary.score
    worst, said = 0, []
    if not score.items or run.stopped or summary.unscored > ERRORS_MAX * summary.rows:
        worst = int(ExitCode.INCONCLUSIVE)
    if minimum is not None and score.items:
        code = 0 if score.interval.low >= minimum else 2 if score.interval.high < minimum else 3
        worst = _worse(worst, code)
        words = {0: "at least", 2: "below", 3: "too few items to say whether it is at least"}[code]
        said.append(f"{words} the wanted {minimum:.1%}")
    if earlier is not None:
        code, words = _compared(earlier, run, margin)
        worst = _worse(worst, code)
        said.append(words)
    return worst, "; ".join(said)


def _compared(earlier: EvalRun, run: EvalRun, margin: float) -> tuple[int, str]:
    pairing = pair_runs(earlier.rows, run.rows)
    one = compare(pairing.pairs, margin, confidence=0.975)
    left_out = _left_out(pairing)
    if not pairing.pairs:
        return int(ExitCode.INCONCLUSIVE), f"no item pairs with the baseline: {left_out}{_baseline(earlier)}"
    words = (
        f"{one.n} of {len({row.item for row in run.rows})} items pair: {one.baseline:.1%} -> {one.candidate:.1%}, "
        f"{one.difference * 100:+.1f} points (at worst {one.low * 100:+.1f}): {_FOUND[one.finding]} at a margin of "
        f"{one.margin * 100:g} points"
    )
    if one.finding is Finding.TOO_FEW:
        words += f"; {one.note or f'about {one.needed} items would be needed'}"
    few = len(pairing.pairs) < OVERLAP_MIN * pairing.whole
    if few:
        words += f"; but too few pair for a word on the whole: {left_out}"
    words += _baseline(earlier)
    code = {Finding.NOT_INFERIOR: int(one.p_worse < 0.025), Finding.INFERIOR: 2, Finding.TOO_FEW: 3}[one.finding]
    return (int(ExitCode.INCONCLUSIVE) if few else code), words


def _left_out(pairing: Pairing) -> str:
    """Why items of either run have no partner."""
    counts = (
        (pairing.only_baseline, "only there"), (pairing.only_candidate, "only here"),
        (pairing.changed, "asked, expected or scored otherwise now"), (pairing.unscored, "without a score in one"),
    )  # fmt: skip
    return ", ".join(f"{count} {what}" for count, what in counts if count)


def _baseline(earlier: EvalRun) -> str:
    """What was taken from another tool's file, where it held more than one score of an item."""
    about = earlier.about
    kinds = [kind for kind in ("filter", "metric", "scorer") if about.get(f"other_{kind}s")]
    told = (f"{kind} {about.get(kind)}, not {about[f'other_{kind}s']}" for kind in kinds)
    return f"; of the baseline counts {'; '.join(told)}" if kinds else ""


_FOUND = {
    Finding.NOT_INFERIOR: "not worse", Finding.INFERIOR: "worse", Finding.TOO_FEW: "too few items to say",
}  # fmt: skip


def _worse(one: int, other: int) -> int:
    order = (0, 1, 3, 2)
    return max(one, other, key=order.index)

"""Why a Prometheus has no series of an engine: each reason that its own answers can show, asked in turn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.model.signal import UnknownReason
from sickbay.plugins.sources.prometheus import Answer, matcher
from sickbay.plugins.sources.prometheus_series import utc

__all__ = ["Missing"]

SHOWN_MAX = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """What was looked for and not found.

    Attributes:
        ask: one query at one time.
        what: as a subject: "no series of vLLM".
        names: the engine's own names that were looked for.
        selector: the target's matchers without braces.
        ends_s, window_s: the window.
        warnings: what Prometheus said of its answers so far.
    """

    ask: Callable[[str, float], Awaitable[Answer]]
    what: str
    names: Sequence[str]
    selector: str
    ends_s: float
    window_s: float
    warnings: Sequence[str] = ()

    async def why(self) -> ProbeError:
        """A store that did not answer, a scrape that fails, a selector that fits none, names that somebody changed."""
        if self.warnings:
            said = "; ".join(dict.fromkeys(self.warnings))
            return ProbeError(UnknownReason.TIMEOUT, f"{self._told}, and the answer is not whole: {said}")
        try:
            found = await self._down() or await self._renamed() or await self._elsewhere()
        except BudgetExceededError:
            raise
        except ProbeError as error:
            return error
        return self._absent(found or ": Prometheus did not scrape it then, or no longer keeps that time (retention)")

    @property
    def _told(self) -> str:
        return f"{self.what} from {utc(self.ends_s - self.window_s)} to {utc(self.ends_s)}"

    def _absent(self, why: str) -> ProbeError:
        return ProbeError(UnknownReason.ABSENT, f"{self._told}{why}")

    async def _down(self) -> str:
        up = await self.ask(matcher(["up"], self.selector, range_s=self.window_s), self.ends_s)
        down = [one for one in up.series if one.samples and not any(value for _, value in one.samples)]
        if not down:
            return ""
        return (
            f": Prometheus could not scrape it (up is 0 in all of {len(down[0].samples)} tries); was the engine down, "
            "or its metrics page guarded?"
        )

    async def _elsewhere(self) -> str:
        if not self.selector:
            return ""
        other = await self.ask(f"group by (job, instance) ({self._last(matcher(self.names))})", self.ends_s)
        labels = sorted(
            f'job="{one.labels.get("job", "")}",instance="{one.labels.get("instance", "")}"' for one in other.series
        )
        if not labels:
            return ""
        return f" matches the selector {self.selector!r}; without it there are {'; '.join(labels[:SHOWN_MAX])}"

    async def _renamed(self) -> str:
        """Recording rules, and collectors that change names: the engine's words are there, its names are not."""
        stems = "|".join(dict.fromkeys(name.rpartition(":")[2].removesuffix("_total") for name in self.names))
        inside = f",{self.selector}" if self.selector else ""
        like = f'{{__name__=~".*(?:{stems}).*"{inside}}}'
        found = await self.ask(f"count by (__name__) ({self._last(like)})", self.ends_s)
        names = sorted({one.name for one in found.series} - set(self.names) - {""})
        if not names:
            return ""
        return (
            f" under the engine's own names, but there are {', '.join(names[:SHOWN_MAX])}: recording rules, or a "
            "collector that renamed them; sickbay reads what the engine wrote"
        )

    def _last(self, text: str) -> str:
        """Whatever was there within the window, not only at its end."""
        return f"last_over_time({text}[{max(1, round(self.window_s))}s])"

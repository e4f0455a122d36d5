"""One process that runs a thousand steps: in-process checks that do nothing, or loopback HTTP probes.

    python -m benchmarks.thousand trivial [COUNT]
    python -m benchmarks.thousand http COUNT URL [AT_ONCE]

Prints the seconds inside the engine's run alone as JSON; the caller times the whole process, start included.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from sickbay.engine.model.check import Check, Cost, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.runbook import Budget, Group, Runbook, Step
from sickbay.engine.model.signal import SignalKind, SignalSpec, SignalType, measured
from sickbay.engine.model.target import Target
from sickbay.engine.run.executor import Environment, run
from sickbay.engine.run.plan import make_plan


class Trivial(Check):
    """An async look that touches nothing, one signal."""

    name = "bench.trivial"
    title = "nothing"
    emits = ("bench.value",)

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """Nothing."""
        return Cost(seconds=0.001)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Nothing."""
        return {"value": 1.0}

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """One comparison."""
        ok = raw["value"] > 0
        outcome = Outcome.PASS if ok else Outcome.FAIL
        return Result(outcome=outcome, summary="1 > 0", signals={"bench.value": measured(raw["value"], "constant")})


class Get(Check):
    """One GET whose body must hold a word."""

    name = "bench.get"
    title = "one GET"
    emits = ("bench.value",)
    needs = ("url",)
    params: ClassVar[Mapping[str, Any]] = {"type": "object", "additionalProperties": False}

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """One GET through the recorded, bounded client."""
        answer = await look.http.request("GET", "/health")
        return {"status": answer.status, "ok": b"ok" in answer.body}

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Status and body."""
        good = raw["status"] == 200 and raw["ok"]
        outcome = Outcome.PASS if good else Outcome.FAIL
        value = {"bench.value": measured(float(raw["status"]), "GET /health")}
        return Result(outcome=outcome, summary=f"HTTP {raw['status']}", signals=value)


class World:
    """The part of the knowledge a plan needs."""

    checks: ClassVar[Mapping[str, Check]] = {check.name: check for check in (Trivial(), Get())}
    vocabulary: ClassVar[Mapping[str, SignalSpec]] = {
        "bench.value": SignalSpec(
            name="bench.value", type=SignalType.NUMBER, unit="1", kind=SignalKind.GAUGE, meaning="a number"
        )
    }
    causes: ClassVar[Mapping[str, Any]] = {}


def groups(check: str, count: int, at_once: int) -> Iterable[Group]:
    steps = [Step(id=f"{check}#{number}", check=check) for number in range(count)]
    for start in range(0, count, at_once):
        yield Group(tuple(steps[start : start + at_once]))


def main() -> int:
    kind, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    url = sys.argv[3] if len(sys.argv) > 3 else ""
    at_once = int(sys.argv[4]) if len(sys.argv) > 4 else 50
    check = {"trivial": "bench.trivial", "http": "bench.get"}[kind]
    book = Runbook(
        name="bench", title="bench", why="speed", causes=(), budget=Budget(deadline_s=120.0),
        groups=tuple(groups(check, count, 1 if kind == "trivial" else at_once)),
    )  # fmt: skip
    plan = make_plan(book, Target(name="bench", url=url), {}, World())
    began = time.perf_counter()
    report = run(plan, environment=Environment(redaction_key=b"bench" * 4))
    took = time.perf_counter() - began
    passed = sum(step.outcome is Outcome.PASS for step in report.steps)
    sys.stdout.write(json.dumps({"run_s": round(took, 4), "passed": passed}) + "\n")
    return 0 if passed == count else 1


if __name__ == "__main__":
    sys.exit(main())

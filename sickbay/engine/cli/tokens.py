"""`sickbay tokens diff A B`: what two models, or a model's files and an engine, make of the same texts."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sickbay.engine.cli.tools import Tools
from sickbay.engine.errors import UsageError
from sickbay.engine.model.check import Effect
from sickbay.engine.model.outcome import ExitCode
from sickbay.engine.model.runbook import Budget, Group, Runbook, Step
from sickbay.engine.model.target import Secret, Target
from sickbay.engine.run.plan import make_plan

__all__ = ["arguments", "call", "differences"]

SHOWN_CHARS = 60
WIDTH = 80


def arguments(parser: argparse.ArgumentParser) -> None:
    """The word `diff` and two sides."""
    parser.add_argument("word", metavar="diff", help="the only thing there is to do")
    parser.add_argument("sides", nargs=2, metavar="SIDE", help="a model folder, a .gguf file, or an engine's URL")
    parser.add_argument("--api-key-env", metavar="VARIABLE", help="environment variable with the engine's API key")
    parser.add_argument("--format", choices=("text", "json"), default="text")


def call(args: argparse.Namespace, tools: Tools) -> int:
    """Exit 0: nothing that both tell differs; 2: something does; 3: a side could not be looked at, or tells nothing."""
    if args.word != "diff":
        raise UsageError(f"tokens: wanted `tokens diff A B`, found {args.word!r}")
    sides = [_look(tools, side, args.api_key_env) for side in args.sides]
    problems = [f"{side}: {raw}" for side, raw in zip(args.sides, sides, strict=True) if isinstance(raw, str)]
    if problems:
        sys.stderr.write("".join(f"sickbay tokens: {problem}\n" for problem in problems))
        return ExitCode.INCONCLUSIVE
    first, second = (raw for raw in sides if isinstance(raw, Mapping))
    rows = list(differences(first, second))
    if args.format == "json":
        notes = dict(zip("AB", _notes(first, second), strict=True))
        found = {"schema": "sickbay.tokens.v1", "A": args.sides[0], "B": args.sides[1], "rows": rows, "notes": notes}
        sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write("\n".join([*_lines(args.sides, rows), *_note_lines(first, second)]) + "\n")
    told = [row for row in rows if row["same"] is not None]
    if not told:
        return ExitCode.INCONCLUSIVE
    return ExitCode.FAILING if any(row["same"] is False for row in told) else ExitCode.HEALTHY


def _look(tools: Tools, side: str, key: str | None) -> Mapping[str, Any] | str:
    """What the one look found, or why it could not."""
    from sickbay.engine.run.executor import run  # late: asyncio, after every wrong flag was told

    if "://" in side:
        secret = Secret(env=key) if key else None
        check, target = "serving.rendering", Target(name=side, url=side, api_key=secret, gpus="none")
    else:
        path = Path(side).expanduser().absolute()
        if not path.exists():
            raise UsageError(f"tokens diff: {side!r} is neither a file, a folder nor a URL")
        check, target = "model.tokens", Target(name=path.name, reference_path=str(path), gpus="none")
    book = Runbook(
        name="tokens", title="What becomes of texts", why="", groups=(Group((Step(id=check, check=check),)),),
        causes=(), budget=Budget(deadline_s=60.0, effect=Effect.PASSIVE, requests=0),
    )  # fmt: skip
    report = run(make_plan(book, target, {}, tools.knowledge), environment=tools.environment())
    step = report.steps[0]
    return step.raw or step.summary


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A row a comparison; `same` is None where one side does not tell."""
    special, other = first.get("special") or {}, second.get("special") or {}
    for name in [*special, *(each for each in other if each not in special)]:
        both = name in special and name in other
        sides = special.get(name), other.get(name)
        row = _row(name, *sides, told=both and None not in sides)
        if name == "end tokens" and row["same"] is False:
            row["same"] = _same_ends(first, second)
        yield row
    for one, two in zip(first["texts"], second["texts"], strict=True):
        told = one["ids"] is not None and two["ids"] is not None
        yield _row(f"ids of {_shown(one['text'])}", one["ids"], two["ids"], told=told)
    for name, one in first["conversations"].items():
        yield _prompt_row(name, one, second["conversations"].get(name, {"text": None, "ids": None}))


def _same_ends(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Does either side stop at what the other one names; llama.cpp stops at many tokens that its file does not name."""
    named = [set(side["special"]["end tokens"]) for side in (first, second)]
    stops = [set(side.get("stops") or ()) | ends for side, ends in zip((first, second), named, strict=True)]
    return named[0] <= stops[1] and named[1] <= stops[0]


def _prompt_row(name: str, one: Mapping[str, Any], two: Mapping[str, Any]) -> dict[str, Any]:
    what = f"prompt of {name!r}"
    sides = [one["text"] or one.get("refused"), two["text"] or two.get("refused")]
    if one.get("refused") or two.get("refused"):
        # Of an engine it is not known why it gives no prompt; files say it.
        return _row(what, *sides, told=None not in sides)
    if one["text"] is None or two["text"] is None:
        return _row(what, one["ids"], two["ids"], told=one["ids"] is not None and two["ids"] is not None)
    row = _row(what, one["text"], two["text"], told=True)
    # A prompt with a date in it has several right forms, and an engine's is of today.
    row["same"] = row["same"] or two["text"] in one.get("forms", ()) or one["text"] in two.get("forms", ())
    return row


def _row(what: str, first: Any, second: Any, *, told: bool) -> dict[str, Any]:
    return {"what": what, "same": first == second if told else None, "A": first, "B": second}


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 1] + "…"


def _lines(sides: list[str], rows: list[dict[str, Any]]) -> Iterator[str]:
    yield from (f"{name}  {side}" for name, side in zip("AB", sides, strict=True))
    yield ""
    for row in rows:
        word = {True: "same   ", False: "DIFFERS", None: "untold "}[row["same"]]
        yield f"{word}  {row['what']}"
        if row["same"] is False:
            at = _first_difference(row["A"], row["B"])
            yield from (f"         {name}: {_around(row[name], at)}" for name in "AB")
    differ, untold = (sum(row["same"] is state for row in rows) for state in (False, None))
    said = f"{differ} of {len(rows) - untold} comparisons differ"
    yield ""
    yield said + (f"; {untold} could not be made: one side does not tell" if untold else "")


def _notes(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[list[str]]:
    """Of each side: where its files contradict one another, and why something could not be told."""
    found = []
    for side in (first, second):
        prompts = [row["why"] for row in side["conversations"].values() if row.get("why")]
        found.append([*side.get("contradictions", ()), *(side.get("why") or {}).values(), *dict.fromkeys(prompts)])
    return found


def _note_lines(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[str]:
    for name, notes in zip("AB", _notes(first, second), strict=True):
        yield from textwrap.wrap("; ".join(notes), WIDTH, initial_indent=f"{name}: ", subsequent_indent="   ")


def _first_difference(first: Any, second: Any) -> int:
    if not isinstance(first, (str, list)) or not isinstance(second, (str, list)):
        return 0
    pairs = zip(first, second, strict=False)
    return next((at for at, (one, two) in enumerate(pairs) if one != two), min(len(first), len(second)))


def _around(value: Any, at: int) -> str:
    """The place where they part, with a little before it."""
    if not isinstance(value, (str, list)) or len(repr(value)) <= SHOWN_CHARS:
        return _shown(value)
    begin = max(0, at - 8)
    return f"at {at}: {_shown(value[begin : at + 24])}"

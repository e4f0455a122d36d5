"""Which part of a conversation is lost or changed on the way, from prompt tokens counted and rendered. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sickbay.checks.probe.arrival_texts import ROLES, TEXTS
from sickbay.checks.probe.asking import rows_of
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["arrival_signals"]

_OF = {
    "output.system_text_arrives": ("the system text",),
    "output.turns_arrive": ("earlier turns",),
    "output.text_arrives": tuple(TEXTS),
}
_NAMES = ("output.arrives_as_sent", *_OF, "output.constant_offset_tokens", "output.changed_on_the_way")
_PARTS_MIN = 3
"""So many different prompts of one count are answers of something that does not count them."""


def arrival_signals(raw: Mapping[str, Any]) -> tuple[dict[str, Reading], str]:
    """The signals, and what to say of them.

    A part counts as changed when both of its answers count one number, and it is as far off what the engine renders
    as no plain message is. Where most texts differ so, another model or tokenizer counted, and nothing is said.
    """
    expected: Mapping[str, int] = raw["expected"]
    counted = _counted(raw)
    whole = counted.get("whole", [])
    if "whole" not in expected:
        why = "the engine does not render a conversation, and is not known behind its gateway (direct_url)"
        if raw["partial"]:
            why = (
                "the rendering that came lacks a part of its text: the template leaves it out, or something on the way "
                "does; name the engine behind it (direct_url) to tell"
            )
        return _nothing(unknown(UnknownReason.UNSUPPORTED, why))
    if not whole:
        return _nothing(_no_count(raw))
    if whole[0] == expected["whole"]:
        system = "a system text, " if raw["system_sent"] else ""
        said = f"a conversation with {system}earlier turns and odd letters arrives: {whole[0]} prompt tokens"
        return _all_there(raw, said) | {"output.arrives_as_sent": measured(True, said)}, said
    told = f"{whole[0]} prompt tokens were counted of a conversation that the engine renders to {expected['whole']}"
    offset = _offset(expected, counted)
    if offset:
        return _constant(raw, offset, told)
    doubt = _doubt(expected, counted)
    if doubt:
        return _nothing(unknown(UnknownReason.INCONSISTENT, f"{told}, but {doubt}"))
    changed = [name for name in (*ROLES, *TEXTS) if _changed(expected, counted, name)]
    names = " and ".join(part for part in (", ".join(changed[:-1]), *changed[-1:]) if part)
    if changed:
        said = f"{told}: {names} {'does' if len(changed) == 1 else 'do'} not reach the model as sent"
    else:
        names, said = "a long conversation", f"{told}, while each part of it alone arrives: it is cut by its length"
    signals = {
        "output.arrives_as_sent": measured(False, said),
        "output.constant_offset_tokens": unknown(UnknownReason.INCONSISTENT, said),
        "output.changed_on_the_way": measured(names, said),
    }
    return signals | {name: _part(expected, counted, parts) for name, parts in _OF.items()}, said


def _counted(raw: Mapping[str, Any]) -> dict[str, list[int]]:
    counted: dict[str, list[int]] = {}
    for row in rows_of(dict(raw)):
        if row.answer.ok and row.answer.prompt_tokens:
            counted.setdefault(row.arm, []).append(row.answer.prompt_tokens)
    return counted


def _no_count(raw: Mapping[str, Any]) -> Reading:
    rows = rows_of(dict(raw), "whole")
    if not rows:
        return unknown(UnknownReason.TIMEOUT, f"nothing could be asked: {raw['stopped']}")
    failed = rows[0].answer
    if not failed.ok:
        return unknown(UnknownReason(failed.reason), f"no answer came: {failed.failure}")
    return unknown(UnknownReason.ABSENT, "the answer does not tell how many prompt tokens were evaluated")


def _doubt(expected: Mapping[str, int], counted: Mapping[str, list[int]]) -> str:
    """Why the difference says nothing of what was sent; "" when it does."""
    plain, whole = counted.get("plain", []), counted["whole"]
    if len(set(plain)) > 1 or len(set(whole)) > 1:
        return "the same conversation is counted otherwise each time: several models or templates answer here"
    if len(plain) < 2 or len(whole) < 2:
        return "there was no time or budget to ask again"
    parts = {name: each[0] for name, each in counted.items()}
    if len(parts) >= _PARTS_MIN and len(set(parts.values())) == 1:
        return f"all prompts are counted as {plain[0]} tokens: they are not counted"
    other = [name for name in TEXTS if _changed(expected, counted, name)]
    if plain[0] != expected["plain"] and len(other) > len(TEXTS) / 2:
        plainly = f"a plain message is counted otherwise too ({plain[0]}, rendered {expected['plain']})"
        return f"{plainly}, and so is most text, by another tokenizer"
    return ""


def _offset(expected: Mapping[str, int], counted: Mapping[str, list[int]]) -> int:
    """Tokens that a plain message and the whole conversation have more or fewer alike; 0 when they do not."""
    plain, whole = counted.get("plain", []), counted["whole"]
    if not plain or len(whole) < 2 or len(set(whole)) > 1 or len(set(plain)) > 1:
        return 0
    more = plain[0] - expected["plain"]
    return more if more == whole[0] - expected["whole"] else 0


def _constant(raw: Mapping[str, Any], offset: int, told: str) -> tuple[dict[str, Reading], str]:
    """What was sent is there, and a short prompt has as many tokens more or fewer as a long one."""
    more = "more" if offset > 0 else "fewer"
    said = f"{told}, and a plain message too has {abs(offset)} {more}: its text arrives, what stands around it differs"
    return _all_there(raw, said) | {
        "output.arrives_as_sent": measured(False, said),
        "output.constant_offset_tokens": measured(float(offset), said),
        "output.changed_on_the_way": measured("what stands around the text", said),
    }, said


def _all_there(raw: Mapping[str, Any], said: str) -> dict[str, Reading]:
    """Every part of what was sent arrived; a system text that was not sent is not spoken of."""
    refused = unknown(UnknownReason.UNSUPPORTED, "the template takes no system text, so that none was sent")
    return {
        **dict.fromkeys(_OF, measured(True, said)),
        **({} if raw["system_sent"] else {"output.system_text_arrives": refused}),
        "output.constant_offset_tokens": measured(0.0, said),
        "output.changed_on_the_way": measured("nothing", said),
    }


def _changed(expected: Mapping[str, int], counted: Mapping[str, list[int]], name: str) -> bool:
    seen = counted.get(name, [])
    return len(seen) >= 2 and len(set(seen)) == 1 and seen[0] - expected[name] != _plain_off(expected, counted)


def _plain_off(expected: Mapping[str, int], counted: Mapping[str, list[int]]) -> int:
    return counted["plain"][0] - expected["plain"]


def _part(expected: Mapping[str, int], counted: Mapping[str, list[int]], parts: tuple[str, ...]) -> Reading:
    bad = [name for name in parts if _changed(expected, counted, name)]
    if bad:
        told = "; ".join(f"{name}: {counted[name][0]} prompt tokens, rendered {expected[name]}" for name in bad)
        return measured(False, told)
    off = _plain_off(expected, counted)
    unsaid = [name for name in parts if not counted.get(name) or counted[name][0] - expected[name] != off]
    if unsaid:
        return unknown(UnknownReason.TIMEOUT, f"not told for {', '.join(unsaid)}")
    more = f", and {off:+d} as every prompt has" if off else ""
    return measured(True, f"as many prompt tokens as the engine renders{more}")


def _nothing(reading: Reading) -> tuple[dict[str, Reading], str]:
    return dict.fromkeys(_NAMES, reading), reading.detail

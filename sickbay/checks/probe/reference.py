"""The model's own word on its prompt format: templates, start and end tokens, tokenizer, as its files say it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sickbay.checks.probe.template import Case, render_all, variants
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.signal import UnknownReason

__all__ = ["Reference", "Rendered"]

Encode = Callable[[str], list[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A prompt: `text` on a fixed day, `forms` as an engine may have rendered it today."""

    text: str
    forms: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What the files say. Absent parts are "" or None; `why` tells why by part."""

    path: str
    template: str = ""
    tool_template: str = ""  # a template of its own for requests with tools, where the files have one
    start_text: str = ""
    end_texts: tuple[str, ...] = ()  # every token that ends an answer by these files; the tokenizer's own one first
    end_ids: tuple[int, ...] = ()  # their ids, and whatever else the generation config stops at; () in a GGUF file
    ends_by_name: frozenset[str] = frozenset()  # tokens that llama.cpp stops at for their names; GGUF only
    special_ids: frozenset[int] = frozenset()  # tokens beside the vocabulary; empty where the files do not tell
    special: Mapping[str, str] = field(default_factory=dict)  # "pad_token", … -> text, as a template may ask for them
    ordinary_ends: tuple[str, ...] = ()  # ends of an answer that are words like any other, in words
    contradictions: tuple[str, ...] = ()  # ids that two files give to two tokens, in words
    adds_start: bool | None = None  # the tokenizer puts the start token itself
    encode: Encode | None = None
    pretokenizer_known: bool | None = None
    why: Mapping[str, str] = field(default_factory=dict)

    @property
    def stops(self) -> frozenset[str]:
        """Every text at which an engine stops with these files."""
        return frozenset(self.end_texts) | self.ends_by_name

    def rendered_all(self, cases: Sequence[Case]) -> list[Rendered | ProbeError]:
        """The prompt of each case.

        Raises:
            ProbeError: there is no template, or no library to render with.
        """
        if not self.template and not self.tool_template:
            raise ProbeError(UnknownReason.ABSENT, f"{self.path}: holds no chat template")
        plain = self.template or self.tool_template
        templates = [plain, self.tool_template or plain]
        asked = [
            variants(replace(case, template=int(case.tools is not None)), templates[int(case.tools is not None)])
            for case in cases
        ]
        special = {**self.special, "bos_token": self.start_text, "eos_token": next(iter(self.end_texts), "")}
        found = iter(render_all(templates, [each for row in asked for each in row], special=special))
        return [_rendered([next(found) for _ in row]) for row in asked]

    def rendered(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        answer_next: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> str:
        """The prompt of a conversation on a fixed day.

        Raises:
            ProbeError: there is no template, no `jinja2`, or the template refuses this conversation or never ends.
        """
        [found] = self.rendered_all([Case(messages=messages, answer_next=answer_next, tools=tools)])
        if isinstance(found, ProbeError):
            raise found
        return found.text


def _rendered(found: Sequence[str | ProbeError]) -> Rendered | ProbeError:
    if isinstance(found[0], ProbeError):
        return found[0]
    forms = [each for each in found if isinstance(each, str)]
    return Rendered(text=forms[0], forms=tuple(dict.fromkeys([*forms[1:], forms[0]])))

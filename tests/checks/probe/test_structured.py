"""probe.structured: by what comes back, through a gateway and at the engine; once on a real llama.cpp server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from sickbay.checks.probe.structured import ProbeStructured
from sickbay.checks.probe.structured_look import schema_form, tool_form
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, measured
from sickbay.engine.model.target import Target
from tests.checks.serving.looking import looking, run_check
from tests.checks.serving.pages_server import Answer, ok, serving

SEED = 7
WORD = "field_7"
PROPS = {"total_slots": 1, "build_info": "b1", "chat_template_caps": {"supports_tools": True}}
MODELS = {"data": [{"id": "m", "owned_by": "llamacpp"}]}
GOOD = json.dumps({WORD: "teal"})
CALL: dict[str, Any] = {
    "tool_calls": [{"type": "function", "function": {"name": WORD, "arguments": "{}"}}],
    "content": None,
}


def answered(content: str = "", finish: str = "stop", **message: Any) -> Answer:
    return ok({"choices": [{"message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}]})


def probe(target: Target, before: Mapping[str, Reading] | None = None) -> Result:
    async def main() -> Result:
        async with looking(target, signals=before or {}) as look:
            return (await run_check(ProbeStructured(), look, seed=SEED))[1]

    return asyncio.run(main())


def through(chats: Sequence[Answer], *, props: Any = PROPS, before: Mapping[str, Reading] | None = None) -> Result:
    """Without a gateway: the answer under the schema, then the one with the tool."""
    with serving({"/props": ok(props), "/v1/models": ok(MODELS), "/v1/chat/completions": list(chats)}) as pages:
        return probe(Target(name="t", url=pages.url), before)


def known(result: Result) -> dict[str, Any]:
    return {name.partition(".")[2]: reading.value for name, reading in result.signals.items() if reading.known}


def test_both_are_applied() -> None:
    result = through([answered(GOOD), answered(**CALL)])
    assert result.outcome is Outcome.PASS
    assert known(result) == {
        "formats_ignored": 0.0, "schema_followed": True, "tool_call_returned": True, "tool_text_in_content": False,
        "tools_refused": False,
    }  # fmt: skip
    assert result.summary == "an answer under a schema: as asked; a forced tool call: as asked"


def test_a_call_that_stays_text() -> None:
    result = through([answered(GOOD), answered(f'<tool_call>{{"name": "{WORD}"}}</tool_call>')])
    assert result.outcome is Outcome.WARN
    assert known(result) == {
        "formats_ignored": 1.0, "schema_followed": True, "tool_call_returned": False, "tool_text_in_content": True,
        "tools_refused": False,
    }  # fmt: skip


def test_a_template_without_tools_is_no_fault() -> None:
    bare = {**PROPS, "chat_template_caps": {"supports_tools": False}}
    result = through([answered(GOOD)], props=bare)
    assert (result.outcome, known(result)) == (
        Outcome.PASS, {"formats_ignored": 0.0, "schema_followed": True},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("offered", "refused", "said"),
    [
        (Answer(b'{"error": "auto tool choice requires a parser"}', status=400), True, "refused (HTTP 400: "),
        (answered("It is sunny."), False, "a request with a tool: taken"),
    ],
)
def test_a_tool_is_offered_where_users_are_refused(offered: Answer, refused: bool, said: str) -> None:
    bare = {**PROPS, "chat_template_caps": {"supports_tools": False}}
    result = through([answered(GOOD), offered], props=bare, before={"serving.refused_ratio": measured(0.9)})
    assert (known(result)["tools_refused"], said in result.summary) == (refused, True)
    assert result.outcome is (Outcome.WARN if refused else Outcome.PASS)


def test_where_nobody_is_refused_no_tool_is_offered() -> None:
    bare = {**PROPS, "chat_template_caps": {"supports_tools": False}}
    result = through([answered(GOOD)], props=bare, before={"serving.refused_ratio": measured(0.0)})
    assert "no user's request is refused" in result.signals["output.tools_refused"].detail


def test_a_refusal_is_unknown_and_says_why() -> None:
    refused = Answer(b'{"error": "response_format is not supported"}', status=400)
    result = through([refused, refused])
    assert result.outcome is Outcome.UNKNOWN
    assert "HTTP 400" in result.signals["output.schema_followed"].detail


def test_what_the_gateway_drops_is_applied_at_the_engine() -> None:
    engine: dict[str, Answer | Sequence[Answer]] = {
        "/props": ok(PROPS),
        "/v1/models": ok(MODELS),
        "/v1/chat/completions": [answered(GOOD), answered(**CALL)],
    }
    with (
        serving(engine) as behind,
        serving({**engine, "/v1/chat/completions": answered("It is sunny.")}) as front,
    ):
        result = probe(Target(name="t", url=front.url, direct_url=behind.url))
    assert known(result)["structured_recovery_direct"] == 1.0
    assert known(result)["schema_followed"] is False


SCHEMA = {
    "response_format": {
        "json_schema": {"schema": {"required": [WORD], "properties": {WORD: {"enum": ["amber", "teal"]}}}}
    }
}


@pytest.mark.parametrize(
    ("text", "finish", "form"),
    [
        pytest.param(GOOD, "stop", "followed", id="as-asked"),
        pytest.param('{"other": "teal"}', "stop", "other", id="another-schema"),
        pytest.param("It is sunny.", "stop", "plain", id="prose"),
        pytest.param('{ "field', "length", "cut", id="cut-by-the-length"),
        pytest.param('{ "field', "stop", "plain", id="broken-json"),
        pytest.param("[" * 5000, "length", "plain", id="nested-without-end"),
        pytest.param("", "stop", "plain", id="empty"),
    ],
)
def test_forms_of_an_answer(text: str, finish: str, form: str) -> None:
    assert schema_form({"content": text}, SCHEMA, finish) == form


def test_a_call_of_another_tool_is_none() -> None:
    other = {"tool_calls": [{"function": {"name": "x"}}], "content": ""}
    assert tool_form(other, {"tools": [{"function": {"name": WORD}}]}) == "plain"


@pytest.mark.live
def test_on_real_llamacpp(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp", reason="the extra `demo` is not installed")
    from sickbay.lab.child import start

    child = start("llamacpp", "sickbay.lab.llamacpp_server", {"parallel": 1, "ctx": 1024}, folder=tmp_path)
    try:
        assert known(probe(Target(name="t", url=child.url))) == {"formats_ignored": 0.0, "schema_followed": True}
    finally:
        child.stop()

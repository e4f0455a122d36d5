"""probe.tokens against a page that renders as llama.cpp does: what it chooses, what is recorded, what is foreign."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from sickbay.checks.probe.tokens import ProbeTokens
from sickbay.engine.model.check import Check, Result
from sickbay.engine.model.engine_spec import Endpoint, EngineSpec
from sickbay.engine.model.outcome import Outcome
from tests.checks.probe.looking import looking, run_check, value

jinja2 = pytest.importorskip("jinja2")

POSTS = {"tokenize": "/tokenize", "render": "/apply-template"}
SPEC = EngineSpec(
    name="llamacpp", title="llama.cpp", default_port=8080, fingerprints=(),
    endpoints={"health": Endpoint(path="/health"), "config": Endpoint(path="/props")}
    | {name: Endpoint(path=path, method="POST") for name, path in POSTS.items()},
)  # fmt: skip
TURNS = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
DAY = "Today is {{ strftime_now('%d %b %Y') }}. "
TOLD = "{% if not date_string is defined %}{% set date_string = '26 Jul 2024' %}{% endif %}Today is {{ date_string }}. "
THINKS = "<|assistant|>{% if not enable_thinking %}<think></think>{% endif %}"


def rendered(template: str, body: Mapping[str, Any]) -> str:
    now = datetime.now()  # noqa: DTZ005 - as the engine does
    words = {"enable_thinking": True, "date_string": now.strftime("%d %b %Y"), "strftime_now": now.strftime}
    compiled = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, autoescape=False).from_string(template)
    return str(compiled.render(messages=body["messages"], add_generation_prompt=True, eos_token="<|end|>", **words))


def page(template: str) -> web.Application:
    async def props(_: web.Request) -> web.Response:
        return web.json_response({"eos_token": "<|end|>", "chat_template": template})

    async def apply(request: web.Request) -> web.Response:
        body = await request.json()
        return web.json_response({"prompt": rendered(template, body)})

    async def tokenize(request: web.Request) -> web.Response:
        return web.json_response({"tokens": [ord(each) for each in (await request.json())["content"]]})

    application = web.Application()
    application.add_routes([web.get("/props", props), web.get("/health", props)])
    application.add_routes([web.post("/apply-template", apply), web.post("/tokenize", tokenize)])
    return application


def looked(check: Check, engine: str, files: Path, **given: Any) -> Result:
    async def main() -> Result:
        runner = web.AppRunner(page(engine))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        [address] = runner.addresses
        try:
            async with looking(f"http://127.0.0.1:{address[1]}", spec=SPEC, reference=str(files), seconds=60.0) as look:
                return (await run_check(check, look, **given))[1]
        finally:
            await runner.cleanup()

    return asyncio.run(main())


@pytest.fixture
def published(tmp_path: Path) -> Callable[[str], Path]:
    def write(template: str) -> Path:
        config = {"eos_token": "<|end|>", "chat_template": template}
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
        return tmp_path

    return write


@pytest.mark.parametrize(
    "template", [TURNS, DAY + TURNS, TOLD + TURNS, TURNS + THINKS], ids=["plain", "day", "told", "thinks"]
)
def test_a_sound_engine(published: Callable[[str], Path], template: str) -> None:
    result = looked(ProbeTokens(), template, published(template))
    assert value(result, "output.template_matches") is True
    assert value(result, "output.end_sets_agree") is True
    assert result.outcome is Outcome.PASS


def test_another_template_with_the_same_switches(published: Callable[[str], Path]) -> None:
    result = looked(ProbeTokens(), DAY + TURNS.replace("<|", "[").replace("|>", "]"), published(DAY + TURNS))
    assert value(result, "output.template_matches") is False


@pytest.mark.parametrize(
    ("kept", "matches", "said"),
    [
        ({"prompt": "Today is 17 Sep 2025. <|user|>Hi<|end|>"}, True, ""),
        ({"prompt": "Today is 17 Sep 2025. <|user|>Ho<|end|>"}, False, "differing: golden 1"),
        ({"ids": [1, 2]}, True, ""),
    ],
    ids=["of-another-day", "of-another-text", "ids-of-another-day"],
)
def test_a_recorded_prompt_with_a_day_in_it(
    published: Callable[[str], Path], tmp_path: Path, kept: dict[str, Any], matches: bool, said: str
) -> None:
    golden = tmp_path / "golden.jsonl"
    golden.write_text(json.dumps({"messages": [{"role": "user", "content": "Hi"}], **kept}))
    result = looked(ProbeTokens(), DAY + TURNS, published(DAY + TURNS), golden=str(golden))
    reading = result.signals["output.template_matches"]
    assert (reading.value, reading.source.endswith(said)) == (matches, True)


@pytest.mark.parametrize("row", [{"messages": "Hi"}, {"messages": ["Hi"]}, {"messages": [], "tools": "x"}])
def test_a_recorded_conversation_of_another_form(
    published: Callable[[str], Path], tmp_path: Path, row: dict[str, Any]
) -> None:
    golden = tmp_path / "golden.jsonl"
    golden.write_text(json.dumps(row))
    with pytest.raises(Exception, match=r"golden.jsonl: row 1: wanted (messages|tools), a list of objects"):
        looked(ProbeTokens(), TURNS, published(TURNS), golden=str(golden))

"""The probes of answers against real llama.cpp servers: sound, with another template, with another vocabulary rule."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sickbay.checks.probe.answers import ProbeAnswers
from sickbay.checks.probe.arrival import ProbeArrival
from sickbay.checks.probe.greedy import ProbeGreedy
from sickbay.checks.probe.needle import ProbeNeedle
from sickbay.checks.probe.sampling import ProbeSampling
from sickbay.checks.probe.tokens import ProbeTokens
from sickbay.engine.model.check import Check, Result
from sickbay.engine.model.engine_spec import Endpoint, EngineSpec
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from tests.checks.probe.looking import looking, reason, run_check, value

pytest.importorskip("xllamacpp", reason="the extra `demo` is not installed")
pytest.importorskip("tokenizers")
pytest.importorskip("jinja2")

from sickbay.lab.child import Child, start
from sickbay.lab.model import find_model
from sickbay.lab.model_edit import edited_copy

pytestmark = pytest.mark.live

PATHS = {"health": "/health", "config": "/props"}
POSTS = {"tokenize": "/tokenize", "render": "/apply-template"}
SPEC = EngineSpec(
    name="llamacpp",
    title="llama.cpp",
    default_port=8080,
    fingerprints=(),
    endpoints={name: Endpoint(path=path) for name, path in PATHS.items()}
    | {name: Endpoint(path=path, method="POST") for name, path in POSTS.items()},
)


def serve(folder: Path, **options: Any) -> Child:
    return start(
        "llamacpp", "sickbay.lab.llamacpp_server", {"parallel": 2, "ctx": 2048, "threads": 1, **options}, folder=folder
    )


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """The model as it is."""
    child = serve(tmp_path_factory.mktemp("sound"))
    yield child
    child.stop()


def probe(
    check: Check, url: str, *, signals: dict[str, float] | None = None, direct_url: str = "", **given: Any
) -> Result:
    async def main() -> Result:
        async with looking(
            url, direct_url=direct_url, spec=SPEC, signals=signals, requests=30, seconds=40.0,
            reference=str(find_model()),
        ) as look:  # fmt: skip
            return (await run_check(check, look, **given))[1]

    return asyncio.run(main())


def test_easy_questions_are_answered_right(sound: Child) -> None:
    result = probe(ProbeAnswers(), sound.url)
    assert result.outcome is Outcome.PASS
    assert (value(result, "output.failing_ratio"), value(result, "output.cut_by_length_ratio")) == (0.0, 0.0)
    assert value(result, "output.end_text_leaks") is False


def test_greedy_answers_repeat(sound: Child) -> None:
    result = probe(ProbeGreedy(), sound.url, repeats=3, together=2, max_tokens=8, seed=7)
    assert value(result, "output.alone_differs_ratio") == 0.0
    assert value(result, "output.shift_loaded_over_noise") < 3.0


def test_the_prompt_is_the_models_own(sound: Child) -> None:
    result = probe(ProbeTokens(), sound.url)
    assert result.outcome is Outcome.PASS
    assert value(result, "output.template_matches") is True
    assert value(result, "output.token_ids_match") is True
    assert value(result, "output.end_sets_agree") is True
    assert value(result, "output.start_tokens") == value(result, "output.start_tokens_expected") == 1.0


def test_a_start_token_that_the_tokenizer_adds_itself(tmp_path: Path) -> None:
    edits = [{"set": {"tokenizer.ggml.add_bos_token": True, "tokenizer.ggml.bos_token_id": 0}}]
    child = serve(tmp_path, model=str(edited_copy(find_model(), tmp_path / "m.gguf", edits)))
    try:
        result = probe(ProbeTokens(), child.url)
    finally:
        child.stop()
    assert value(result, "output.start_tokens") == 2.0
    assert value(result, "output.start_tokens_expected") == 1.0


def test_golden_conversations(sound: Child, tmp_path: Path) -> None:
    turn = {"messages": [{"role": "user", "content": "Hi"}]}
    head = "<|im_start|>system\\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\\n"
    good = f'{{"messages": [{{"role": "user", "content": "Hi"}}], "prompt": "{head}<|im_start|>user\\nHi<|im_end|>\\n'
    (tmp_path / "good.jsonl").write_text(good + '<|im_start|>assistant\\n"}\n')
    (tmp_path / "old.jsonl").write_text(json.dumps({**turn, "ids": [1, 2, 3]}) + "\n")
    assert (
        value(probe(ProbeTokens(), sound.url, golden=str(tmp_path / "good.jsonl")), "output.template_matches") is True
    )
    told = probe(ProbeTokens(), sound.url, golden=str(tmp_path / "old.jsonl")).signals["output.template_matches"]
    assert told.value is False
    assert told.source.endswith("differing: golden 1")


def test_a_long_prompt_arrives_whole(sound: Child) -> None:
    result = probe(ProbeNeedle(), sound.url, prompt_tokens=200, signals={"serving.context_length_tokens": 1024.0})
    assert value(result, "output.prompt_tokens_ratio") == 1.0
    assert value(result, "output.long_prompt_refused") is False


def test_a_prompt_above_the_context_is_refused_aloud(sound: Child) -> None:
    result = probe(ProbeNeedle(), sound.url, prompt_tokens=1500, believed_tokens=4096)
    assert result.outcome is Outcome.WARN
    assert value(result, "output.long_prompt_refused") is True
    assert reason(result, "output.prompt_tokens_ratio") is UnknownReason.ABSENT


@pytest.mark.parametrize("keep", [100, 200])
def test_a_gateway_that_cuts_prompts(sound: Child, tmp_path: Path, keep: int) -> None:
    behaviour = {"upstream": sound.url, "truncate_prompt_tokens": keep}
    proxy = start("proxy", "sickbay.lab.proxy", behaviour, folder=tmp_path)
    try:
        result = probe(ProbeNeedle(), proxy.url, prompt_tokens=400)
    finally:
        proxy.stop()
    assert result.outcome is Outcome.FAIL
    assert value(result, "output.prompt_tokens_ratio") < 0.8


def test_a_conversation_arrives_as_sent(sound: Child) -> None:
    result = probe(ProbeArrival(), sound.url)
    assert result.outcome is Outcome.PASS
    assert value(result, "output.arrives_as_sent") is True


def test_a_gateway_with_a_system_text_of_its_own(sound: Child, tmp_path: Path) -> None:
    # As many tokens as the template's own: a plain message tells nothing of it.
    own = "You are a translator. Repeat what the user says in French and add nothing."
    behaviour = {"upstream": sound.url, "keep_messages": 1, "system": own}
    proxy = start("proxy", "sickbay.lab.proxy", behaviour, folder=tmp_path)
    try:
        result = probe(ProbeArrival(), proxy.url, direct_url=sound.url)
        alone = probe(ProbeArrival(), proxy.url)  # the rendering goes through the gateway as well
    finally:
        proxy.stop()
    assert reason(alone, "output.arrives_as_sent") is UnknownReason.UNSUPPORTED
    assert alone.summary.startswith("the rendering that came lacks a part of its text")
    assert value(result, "output.system_text_arrives") is False
    assert value(result, "output.turns_arrive") is False
    assert value(result, "output.text_arrives") is True


def test_default_settings_are_not_guessed(sound: Child) -> None:
    result = probe(ProbeSampling(), sound.url, questions=1)
    assert reason(result, "output.sampling_as_intended") is UnknownReason.NOT_CONFIGURED


def test_a_default_that_was_not_meant(sound: Child) -> None:
    result = probe(
        ProbeSampling(), sound.url, questions=1, temperature_meant=0.7, signals={"serving.default_temperature": 1.8}
    )
    assert result.outcome is Outcome.FAIL
    assert result.signals["output.sampling_as_intended"].source == (
        "the engine's default temperature is 1.8, 0.7 was meant"
    )


def test_another_template_and_another_vocabulary_rule(tmp_path: Path) -> None:
    model = edited_copy(find_model(), tmp_path / "m.gguf", [{"set": {"tokenizer.ggml.pre": "default"}}])
    server = serve(tmp_path, model=str(model), params={"chat_template": "llama2"})
    try:
        result = probe(ProbeTokens(), server.url)
    finally:
        server.stop()
    assert result.outcome is Outcome.FAIL
    assert value(result, "output.template_matches") is False
    assert value(result, "output.token_ids_match") is False
    assert value(result, "output.start_tokens") == 0.0

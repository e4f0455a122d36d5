from __future__ import annotations

import json
from typing import Any

import pytest

from sickbay.engine.measure.stream_framing import Event
from sickbay.engine.measure.stream_piece import Piece, read_piece


def piece(body: Any, name: str = "") -> Piece:
    return read_piece(Event(body if isinstance(body, str) else json.dumps(body), name))


def chat(delta: Any, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": None}], **more}


SILENT = [
    pytest.param({"role": "assistant", "content": ""}, id="role-with-empty-content"),
    pytest.param({"role": "assistant", "content": None}, id="role-with-null-content"),
    pytest.param({"role": "assistant"}, id="role-alone"),
    pytest.param({}, id="empty-delta"),
    pytest.param(None, id="null-delta"),
    pytest.param({"content": None, "reasoning_content": ""}, id="empty-reasoning"),
    pytest.param({"tool_calls": [{"index": 0, "function": {"arguments": ""}}]}, id="empty-arguments"),
    pytest.param({"tool_calls": "nonsense"}, id="tool-calls-no-list"),
]


@pytest.mark.parametrize("delta", SILENT)
def test_no_token(delta: Any) -> None:
    assert not piece(chat(delta)).spoke


SPOKEN = [
    pytest.param({"content": "a"}, True, id="content"),
    pytest.param({"reasoning_content": "a"}, False, id="reasoning_content"),
    pytest.param({"reasoning": "a"}, False, id="reasoning"),
    pytest.param({"refusal": "a"}, False, id="refusal"),
    pytest.param({"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}, False, id="arguments"),
    pytest.param({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": ""}}]}, False, id="tool-name"),
    pytest.param({"function_call": {"arguments": "{"}}, False, id="function-call"),
    pytest.param({"audio": {"data": "AAA="}}, False, id="audio"),
]


@pytest.mark.parametrize(("delta", "content"), SPOKEN)
def test_a_token_in_any_channel(delta: Any, content: bool) -> None:
    seen = piece(chat(delta))
    assert (seen.spoke, seen.content) == (True, content)


def test_openai_completions_and_usage() -> None:
    usage = {"prompt_tokens": 4, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 3}}
    seen = piece({"choices": [{"text": "x", "finish_reason": "stop"}], "usage": usage})
    assert seen == Piece(
        spoke=True, content=True, total=2, finish="stop",
        counts={"prompt_tokens": 4, "completion_tokens": 2, "cached_tokens": 3},
    )  # fmt: skip


def test_the_usage_event_is_a_summary() -> None:
    seen = piece(
        {"choices": [], "usage": {"completion_tokens": 2, "completion_tokens_details": {"reasoning_tokens": 1}}}
    )
    assert (seen.summary, seen.spoke, seen.counts) == (True, False, {"completion_tokens": 2, "reasoning_tokens": 1})


def test_llamacpp_timings_in_seconds() -> None:
    timings = {
        "cache_n": 14,
        "prompt_n": 14,
        "prompt_ms": 120.5,
        "predicted_n": 48,
        "predicted_ms": 703.0,
        "prompt_per_second": 1,
    }
    seen = piece({"choices": [], "usage": None, "timings": timings})
    assert seen.timings == pytest.approx(
        {"cache_n": 14, "prompt_n": 14, "prompt_s": 0.1205, "predicted_n": 48, "predicted_s": 0.703}
    )


@pytest.mark.parametrize(
    ("choice", "count"),
    [
        pytest.param({"token_ids": [1, 2, 3]}, 3, id="token-ids"),
        pytest.param({"token_ids": None}, None, id="no-token-ids"),
        pytest.param({"logprobs": {"content": [{}, {}]}}, 2, id="chat-logprobs"),
        pytest.param({"logprobs": {"tokens": ["a"]}}, 1, id="completion-logprobs"),
        pytest.param({"logprobs": None}, None, id="no-logprobs"),
    ],
)
def test_tokens_in_one_event(choice: Any, count: int | None) -> None:
    assert piece({"choices": [{"delta": {"content": "ab"}, **choice}]}).count == count


def test_ollama_chat_and_generate() -> None:
    assert piece({"message": {"role": "assistant", "content": ""}, "done": False}) == Piece()
    assert piece({"message": {"content": "a"}, "done": False}) == Piece(spoke=True, content=True)
    assert piece({"message": {"content": "", "thinking": "a"}, "done": False}) == Piece(spoke=True)
    assert piece({"response": "a", "done": False}) == Piece(spoke=True, content=True)
    last = {
        "response": "", "done": True, "done_reason": "length", "load_duration": 2_000_000_000, "prompt_eval_count": 7,
        "prompt_eval_duration": 500_000_000, "eval_count": 3, "eval_duration": 60_000_000,
    }  # fmt: skip
    seen = piece(last)
    assert (seen.done, seen.finish, seen.summary) == (True, "length", True)
    assert seen.counts == {"prompt_tokens": 7, "completion_tokens": 3}
    assert seen.timings == pytest.approx(
        {"load_s": 2.0, "prompt_s": 0.5, "prompt_n": 7, "predicted_s": 0.06, "predicted_n": 3}
    )


def test_tgi_counts_one_token_an_event() -> None:
    assert piece({"token": {"id": 5, "text": "a", "special": False}, "generated_text": None}) == Piece(
        spoke=True, content=True, count=1
    )
    last = {"token": {"id": 2, "text": "", "special": True}, "generated_text": "a", "details": {
        "finish_reason": "eos_token", "generated_tokens": 9, "input_length": 4}}  # fmt: skip
    seen = piece(last)
    assert (seen.finish, seen.counts) == ("eos_token", {"completion_tokens": 9, "prompt_tokens": 4})


def test_triton_ends_by_closing() -> None:
    assert piece({"model_name": "ensemble", "text_output": "a"}) == Piece(spoke=True, content=True, ends_by_close=True)
    assert piece({"text_output": ""}) == Piece(ends_by_close=True)


def test_sglang_native_is_cumulative() -> None:
    seen = piece(
        {"text": "ab", "meta_info": {"completion_tokens": 2, "prompt_tokens": 5, "finish_reason": {"type": "length"}}}
    )
    assert (seen.spoke, seen.total, seen.finish) == (False, 2, "length")


def test_llamacpp_native() -> None:
    assert piece({"content": "a", "stop": False, "tokens": [9]}) == Piece(spoke=True, content=True, count=1)
    seen = piece({"content": "", "stop": True, "stop_type": "limit", "tokens_evaluated": 7, "tokens_predicted": 3,
                  "timings": {"cache_n": 2}})  # fmt: skip
    assert (seen.done, seen.finish) == (True, "limit")
    assert seen.counts == {"prompt_tokens": 7, "completion_tokens": 3, "cached_tokens": 2}


@pytest.mark.parametrize(
    ("body", "name", "message"),
    [
        pytest.param({"error": {"code": 500, "message": "out of slots"}}, "", "out of slots", id="openai"),
        pytest.param({"error": "Model is overloaded", "error_type": "overloaded"}, "", "Model is overloaded", id="tgi"),
        pytest.param({"object": "error", "message": "aborted", "code": 500}, "", "aborted", id="old-vllm"),
        pytest.param({"message": "gone"}, "error", "gone", id="named-event"),
        pytest.param("upstream reset", "error", "upstream reset", id="plain-text"),
    ],
)
def test_an_error_inside_the_stream(body: Any, name: str, message: str) -> None:
    assert piece(body, name) == Piece(error=message)


@pytest.mark.parametrize("body", ["<html>", "[1]", "null", '{"unknown": 1}', "[" * 100_000])
def test_what_cannot_be_read(body: str) -> None:
    assert piece(body) == Piece(malformed=True)


def test_the_end_marker() -> None:
    assert piece("[DONE]") == Piece(done=True, summary=True)


@pytest.mark.parametrize("value", [-1, float("nan"), True, "7", None, 1e300])
def test_a_count_that_is_no_count_is_not_taken(value: Any) -> None:
    assert piece({"choices": [], "usage": {"prompt_tokens": value}}).counts == {}

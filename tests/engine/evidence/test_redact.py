from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sickbay.engine.evidence.redact import Redactor, host_key

KEY = b"0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Authorization: Bearer abc.def-123456", "abc.def-123456"),
        ('{"authorization": "Bearer abc12345"}', "abc12345"),
        ("curl -H 'Authorization: Basic dXNlcjpwdw=='", "dXNlcjpwdw=="),
        ("got 401 for bearer eyJraWQ1234", "eyJraWQ1234"),
        ("Incorrect API key provided: sk-proj-abcdefghijkl1234", "sk-proj-abcdefghijkl1234"),
        ("token hf_abcdefghijklmnopqrst", "hf_abcdefghijklmnopqrst"),
        ("http://admin:hunter2@prom:9090/api", "admin:hunter2"),
        ("vllm serve m --api-key s3cret-value --port 1", "s3cret-value"),
        ("--api-key=s3cret-value", "s3cret-value"),
        ("--hf-token s3cret-value", "s3cret-value"),
        ("OPENAI_API_KEY=s3cret-value PATH=/bin", "s3cret-value"),
        ("HF_TOKEN = s3cret-value", "s3cret-value"),
        ("password: s3cret-value", "s3cret-value"),
        ('"client_secret": "s3cret value"', "s3cret value"),
        ("AKIAABCDEFGHIJKLMNOP", "AKIAABCDEFGHIJKLMNOP"),
        ("eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl", "eyJzdWIiOiIx"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "MIIE"),
    ],
)
def test_secrets_are_replaced(text: str, secret: str) -> None:
    redactor = Redactor(key=KEY)
    out = redactor.text(text)
    assert secret not in out
    assert "[redacted:" in out
    assert redactor.text(out) == out  # a token is not redacted again
    assert len(redactor.found) == 1


@pytest.mark.parametrize(
    "text",
    [
        'vllm:prompt_tokens_total{model_name="m"} 17.0',
        "max_tokens: 16, eos_token: </s>, stop_token_ids: [2]",
        "token_type_ids=1 num_tokens=32 max_num_batched_tokens=2048",
        "401 Authorization Required",
        "key_value_cache_dtype: auto, kv_cache_key: layer0",
        "tokenizer=sk-learn",
        "--port 8000 --max-num-seqs 4",
        "http://host:8000/v1/models",
        "api_key: None",
        "Basic information about bearer of the load",
        "",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    redactor = Redactor(key=KEY)
    assert redactor.text(text) == text
    assert redactor.found == {}


def test_the_same_secret_gives_the_same_token() -> None:
    one, other = Redactor({"the-key-1": "api key"}, key=KEY), Redactor({"the-key-1": "api key"}, key=KEY)
    first = one.text("sent the-key-1 twice: the-key-1")
    token = first.split()[1]
    assert first == f"sent {token} twice: {token}"
    assert other.text("the-key-1") == token
    assert Redactor({"the-key-1": ""}, key=b"another key 1234").text("the-key-1") != token
    assert one.found == {token: "api key"}


def test_the_longer_of_two_secrets_is_taken_whole() -> None:
    out = Redactor({"abcd": "short", "abcdefgh": "long"}, key=KEY).text("x abcdefgh y")
    assert out.count("[redacted:") == 1
    assert "efgh" not in out


def test_data_is_walked() -> None:
    redactor = Redactor({"topsecret": "api key"}, key=KEY)
    out: Any = redactor.data(
        {
            "headers": {"Authorization": "anything", "X-Api-Key": "anything", "Accept": "json"},
            "args": ("--api-key", "plainword", "--port", "80"),
            "deep": [[{"note": "has topsecret in it"}]],
            "api_key": None,
            "password_set": True,
            "numbers": [1, 2.5, float("nan"), float("-inf")],
            "topsecret": 1,
        }
    )
    text = json.dumps(out, allow_nan=False)
    for secret in ("anything", "plainword", "topsecret"):
        assert secret not in text
    assert out["headers"]["Accept"] == "json"
    assert out["args"][2:] == ["--port", "80"]
    assert (out["api_key"], out["password_set"]) == (None, True)
    assert out["numbers"] == [1, 2.5, "nan", "-inf"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": [b"x"]}, "raw['a'][0] is a bytes (b'x'); wanted JSON data"),
        ({1: 2}, "raw has the key 1; wanted text"),
    ],
)
def test_what_is_no_json(value: Any, words: str) -> None:
    with pytest.raises(TypeError) as caught:
        Redactor(key=KEY).data(value)
    assert str(caught.value) == words


def test_the_hosts_key_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    key = host_key()
    assert len(key) == 32
    assert host_key() == key
    path = tmp_path / "sickbay" / "redaction.key"
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(b"short")
    assert host_key() == path.read_bytes() != b"short"


def test_a_home_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    assert len(host_key()) == 32

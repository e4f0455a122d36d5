from __future__ import annotations

from pathlib import Path

import pytest

from sickbay.engine.errors import ProblemsError
from sickbay.engine.load.duration import duration_s
from sickbay.engine.load.targets import load_config
from sickbay.engine.model.target import LogSource, PrometheusSource, Secret

TEXT = """
targets:
  chat-prod:
    url: https://chat.example.org/v1/
    direct_url: http://10.0.0.7:8000
    engine: vllm
    model: qwen
    api_key: {env: CHAT_KEY}
    headers: {X-Tenant: ops, Authorization: {file: token.txt}}
    local: false
    pid: 77
    gpus: "0,1"
    model_path: /models/qwen
    baseline: healthy.json
    logs:
      - {file: logs/vllm.log}
      - {journald: vllm}
      - {loki: "http://loki:3100", query: '{app="vllm"}'}
    prometheus: {url: "http://prom:9090/", selector: 'job="vllm"'}
    replicas: ["http://10.0.0.8:8000", "http://10.0.0.9:8000"]
    tls_verify: false
  empty-but-named: {engine: auto}
serve:
  listen: "0.0.0.0:9999"
  jobs:
    - {runbook: high-ttft, target: chat-prod, every: 5m, jitter: 10s, set: {slo_ttft_s: 1}}
    - {runbook: triage, target: chat-prod, every: 90}
runbooks: [books, /etc/sickbay/books]
"""


def test_everything_it_says_is_in_the_model() -> None:
    config = load_config(TEXT, "/srv/ops/sickbay.yaml")
    chat = config.targets["chat-prod"]
    assert (chat.name, chat.url, chat.direct_url) == ("chat-prod", "https://chat.example.org", "http://10.0.0.7:8000")
    assert (chat.engine, chat.model, chat.local, chat.pid, chat.gpus) == ("vllm", "qwen", False, 77, "0,1")
    assert chat.api_key == Secret(env="CHAT_KEY")
    assert chat.headers == {"X-Tenant": "ops", "Authorization": Secret(file="/srv/ops/token.txt")}
    assert (chat.model_path, chat.baseline) == ("/models/qwen", "/srv/ops/healthy.json")
    assert chat.logs == (
        LogSource(kind="file", where="/srv/ops/logs/vllm.log"),
        LogSource(kind="journald", where="vllm"),
        LogSource(kind="loki", where="http://loki:3100", query='{app="vllm"}'),
    )
    assert chat.prometheus == PrometheusSource(url="http://prom:9090", selector='job="vllm"')
    assert chat.replicas == ("http://10.0.0.8:8000", "http://10.0.0.9:8000")
    assert not chat.tls_verify
    assert chat.position.line == 4
    assert config.targets["empty-but-named"].tls_verify
    assert config.folders == ("/srv/ops/books", "/etc/sickbay/books")


def test_jobs() -> None:
    serve = load_config(TEXT, "sickbay.yaml").serve
    assert serve is not None
    assert serve.listen == "0.0.0.0:9999"
    first, second = serve.jobs
    assert (first.runbook, first.target, first.every_s, first.jitter_s) == ("high-ttft", "chat-prod", 300.0, 10.0)
    assert first.set == {"slo_ttft_s": 1.0}
    assert (second.every_s, second.jitter_s) == (90.0, 9.0)


def test_a_file_without_serve() -> None:
    config = load_config("targets: {a: {url: 'http://h:1'}}", "sickbay.yaml")
    assert config.serve is None
    assert config.targets["a"].is_local is False


def test_home_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    config = load_config("targets: {a: {model_path: ~/m}}", "/srv/sickbay.yaml")
    assert config.targets["a"].model_path == str(tmp_path / "m")


def test_what_is_wrong_is_raised_at_once_and_shows_no_secret() -> None:
    path = Path(__file__).parent / "data" / "bad" / "config-secrets.yaml"
    with pytest.raises(ProblemsError) as caught:
        load_config(path.read_text(encoding="utf-8"), "sickbay.yaml")
    assert len(caught.value.problems) == 4
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("30s", 30.0), ("5m", 300.0), ("1h30m", 5400.0), ("1d", 86400.0), ("250ms", 0.25), ("1.5m", 90.0), (90, 90.0),
        ("", None), ("5", None), ("5 m", None), ("-5s", None), ("m", None), ("1y", None), (True, None), (None, None),
        ("9" * 4000 + "s", None),
    ],
)  # fmt: skip
def test_durations(written: object, seconds: float | None) -> None:
    assert duration_s(written) == seconds

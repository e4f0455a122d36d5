"""The shipped engine files: complete, consistent with the vocabulary, and refused whole when wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from sickbay.checks.serving.config import ServingConfig
from sickbay.engine.errors import PluginError
from sickbay.engine.measure.recognise import needs_key
from sickbay.plugins.engines.plugin import sickbay_engines
from sickbay.plugins.engines.spec_file import load_spec

SPECS = {spec.name: spec for spec in sickbay_engines()}
SIGNALS = yaml.safe_load((Path(__file__).parents[3] / "sickbay/schemas/signals.yaml").read_text())["signals"]
SETTING_KINDS = {"number", "bool", "not", "text", "sha", "given", "positive", "not-positive", "rest"}
KINDS = {"gauge", "counter", "histogram", "info", "high-water", "lifetime-mean"}


def test_seven_engines() -> None:
    assert sorted(SPECS) == ["llamacpp", "ollama", "sglang", "tgi", "triton-trtllm", "trtllm-serve", "vllm"]


@pytest.mark.parametrize("name", sorted(SPECS))
def test_each_engine_is_whole(name: str) -> None:
    spec = SPECS[name]
    assert {"health", "models", "version"} <= set(spec.endpoints)
    assert spec.fingerprints
    assert spec.sources
    assert spec.traps
    for quantity, metric in spec.metrics.items():
        assert metric.kind in KINDS, quantity
        assert metric.combine in {"sum", "max", "mean"}, quantity
    assert not set(spec.metrics) & set(spec.absent) - {"kv_usage_ratio"}
    for each in spec.config:
        assert each.signal in SIGNALS, each.signal
        assert each.signal in ServingConfig.emits, each.signal
        assert bool(each.endpoint) + bool(each.flag) + bool(each.env) + bool(each.metric) == 1, each.signal
        assert not each.endpoint or each.endpoint in spec.endpoints, each.signal
        assert each.kind in SETTING_KINDS, each.signal
        assert bool(each.over) is (each.kind == "rest"), each.signal
    for pattern in spec.log_patterns:
        re.compile(pattern.regex)
        assert pattern.meaning, pattern.id
        assert not pattern.signal or pattern.signal in SIGNALS, pattern.signal


def test_a_page_that_drains_is_no_fingerprint() -> None:
    for spec in SPECS.values():
        drains = {endpoint.path for endpoint in spec.endpoints.values() if endpoint.drains}
        assert not drains & {mark.path for mark in spec.fingerprints}
    assert SPECS["trtllm-serve"].endpoints["iteration_stats"].drains


@pytest.mark.parametrize(
    ("engine", "path", "guarded"),
    [
        ("llamacpp", "/metrics", True),
        ("llamacpp", "/health", False),
        ("vllm", "/metrics", False),
        ("vllm", "/v1/models", True),
        ("sglang", "/metrics", False),
        ("sglang", "/server_info", True),
    ],
)
def test_which_path_wants_the_key(engine: str, path: str, guarded: bool) -> None:
    assert needs_key(SPECS[engine], path) is guarded


GOOD = "name: x\ntitle: X\ndefault_port: 1\nfingerprints: [{path: /}]\nendpoints: {health: /health}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            GOOD + "colour: red\n",
            r"x\.yaml: 'colour' is no field of EngineSpec; known: absent, auth_header, .*",
            id="unknown-key",
        ),
        pytest.param(
            GOOD + "metrics: {running: {names: a, kinds: gauge}}\n",
            r"x\.yaml: metrics\.running: 'kinds' is no field of MetricMap; known: add, beside, combine, kind, .*",
            id="misspelt-metric",
        ),
        pytest.param("- a\n", r"x\.yaml: wanted a mapping with name, title, endpoints …, found list", id="a-list"),
        pytest.param("a: [", r"x\.yaml: while parsing .*", id="no-yaml"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(PluginError) as caught:
        load_spec(path)
    assert re.fullmatch(message, str(caught.value), re.DOTALL)

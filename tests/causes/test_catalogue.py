"""The catalogue is held sane: what every entry must have, whatever it says."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from sickbay.engine.diagnose import because_fields
from sickbay.engine.model.cause import Cause, Prior, Seen

CAUSES = Path(__file__).parents[2] / "sickbay" / "causes"
FILES = sorted(CAUSES.rglob("*.yaml"))
SYMPTOMS = {
    "high-ttft",
    "slow-itl",
    "oom",
    "queue-buildup",
    "low-throughput",
    "cache-pressure",
    "wrong-output",
    "release-regression",
}
ENGINES = {"any", "vllm", "sglang", "tgi", "trtllm-serve", "triton-trtllm", "llamacpp", "ollama"}
NODE_RUNBOOKS = {"gpu-node-suspect", "node-preflight", "accelerator-burn-in"}
VERIFY = re.compile(r"sickbay run (" + "|".join(sorted(SYMPTOMS | NODE_RUNBOOKS)) + r")")
THREAD = re.compile(r"[\w.-]+/[\w.-]+#[1-9]\d*")

# fmt: off
VOCABULARY = [
    "admission-limit", "capacity-saturated", "kv-cache-exhausted", "kv-block-leak", "prefix-cache-miss",
    "unstable-prompt-prefix", "long-prompt-shift", "cold-start-compile", "model-load-slow", "model-reload-churn",
    "cpu-bound-frontend", "cpu-contention", "speculative-low-acceptance", "batch-too-small", "cuda-graph-fallback",
    "partial-cpu-offload", "network-proxy-buffering", "gateway-limit", "client-side-bottleneck",
    "abandoned-requests", "scheduler-deadlock", "routing-fault", "engine-regression", "gpu-memory-fragmentation",
    "memory-leak", "host-memory-oom", "weights-too-large", "kv-overallocation", "memory-estimate-wrong",
    "cuda-graph-memory", "other-process-memory", "gpu-throttle", "gpu-hardware-fault", "driver-mismatch",
    "pcie-degraded", "nvlink-degraded", "interconnect-misconfig", "chat-template-mismatch", "tokenizer-mismatch",
    "eos-stop-mismatch", "sampling-config-drift", "context-truncation", "quantization-damage", "corrupted-weights",
    "kernel-numerics-bug", "kv-cache-corruption", "lora-mismatch", "tool-parser-mismatch", "training-label-masking",
    "retrieval-failure", "index-stale", "eval-harness-error", "measurement-artifact", "prompt-regression",
    "unsafe-tool-action", "input-drift", "model-limitation", "bad-fine-tune", "accelerator-pressure",
    "prefix-cache-stale", "spec-decode-divergence", "batch-nondeterminism", "server-down", "server-frozen",
    "wrong-address", "auth-rejected", "model-not-served", "adapter-churn", "disk-full", "clock-skew",
    "shared-memory-too-small", "mig-mismatch",
]
# fmt: on
"""Cause ids are an interface: other people's files name them."""

each = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def read(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text())
    return loaded


def test_every_id_of_the_vocabulary_is_there_and_no_other(causes: dict[str, Cause]) -> None:
    assert sorted(causes) == sorted(VOCABULARY)


@each
def test_the_file_lies_where_it_says(path: Path) -> None:
    raw = read(path)
    assert (raw["layer"], raw["cause"]) == (path.parent.name, path.stem)


@each
def test_each_fix_says_what_it_risks_and_how_to_take_it_back(path: Path) -> None:
    for fix in read(path)["fix"]:
        assert fix["do"]
        assert fix["risk"]
        assert fix["undo"]
        assert VERIFY.fullmatch(fix["verify"]), fix["verify"]
        assert set(fix.get("how", {"any": ""})) <= ENGINES


@each
def test_evidence_speaks_for_and_against(path: Path, causes: dict[str, Cause]) -> None:
    weights = [rule.weight.value for rule in causes[path.stem].evidence]
    assert any(weight.startswith("refutes") for weight in weights)
    assert any(weight in {"strong", "decisive"} for weight in weights), "nothing could ever make it an answer"
    assert any(weight in {"refutes-strong", "refutes-decisive"} for weight in weights), "nothing could ever rule it out"


@each
def test_each_piece_of_evidence_says_why_with_known_signals(path: Path, vocabulary: Mapping[str, Any]) -> None:
    for rule in read(path)["evidence"]:
        for name in because_fields(rule["because"]):
            assert name.removeprefix("baseline.") in vocabulary, rule["id"]


@each
def test_each_expression_reads_known_signals(
    path: Path, vocabulary: Mapping[str, Any], names_of: Callable[[str], tuple[str, ...]]
) -> None:
    for rule in read(path)["evidence"]:
        names = names_of(rule["when"])
        assert names, rule["id"]
        assert {name.removeprefix("baseline.") for name in names} <= set(vocabulary), rule["id"]


@each
def test_it_has_been_seen_or_says_where_it_comes_from(path: Path) -> None:
    raw = read(path)
    assert all(THREAD.fullmatch(thread) for thread in raw.get("seen_in", []))
    # These say what the address, the key and the name are: they need no thread to be believed.
    assert (
        raw.get("seen_in") or raw.get("sources") or path.stem in {"wrong-address", "auth-rejected", "model-not-served"}
    )


@each
def test_priors_are_of_known_symptoms_and_one_is_not_rare(path: Path, causes: dict[str, Cause]) -> None:
    cause = causes[path.stem]
    assert set(cause.prior) <= SYMPTOMS | NODE_RUNBOOKS
    assert path.stem == "spec-decode-divergence" or any(prior is not Prior.RARE for prior in cause.prior.values())


@each
def test_what_it_explains_exists_and_is_not_itself(path: Path, causes: dict[str, Cause]) -> None:
    assert set(causes[path.stem].explains) <= set(causes) - {path.stem}


@each
def test_no_rule_names_one_incident(path: Path) -> None:
    raw = read(path)
    for rule in raw["evidence"]:
        assert "engine_version" not in rule["when"]
        assert "#" not in rule["when"]


def test_every_symptom_has_many_candidates(causes: dict[str, Cause]) -> None:
    for symptom in SYMPTOMS:
        named = [cause for cause in causes.values() if cause.prior.get(symptom, Prior.RARE) is not Prior.RARE]
        assert len(named) >= 8, symptom


def test_how_often_and_how_shared_a_piece_is_are_said_of_what_speaks_for_the_cause(causes: dict[str, Cause]) -> None:
    rules = {(cause.id, rule.id): rule for cause in causes.values() for rule in cause.evidence}
    said = {name: rule for name, rule in rules.items() if rule.seen is not None or rule.shared}
    assert not [name for name, rule in said.items() if rule.weight.startswith("refutes-")]
    killed = rules["host-memory-oom", "killed"]
    assert (killed.seen, killed.shared) == (Seen.OFTEN, True)
    assert {rule.seen for rule in rules.values()} == {*Seen, None}


def test_every_cause_can_be_an_answer_by_evidence_of_its_own(causes: dict[str, Cause]) -> None:
    for cause in causes.values():
        own = [rule for rule in cause.evidence if not rule.shared and not rule.weight.startswith("refutes-")]
        assert own, cause.id

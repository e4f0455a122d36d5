from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sickbay.engine.diagnose.sentences import because_fields
from sickbay.engine.errors import ConfigError, PluginError, ProblemsError
from sickbay.engine.load.because import FORMAT_WORDS
from sickbay.engine.load.knowledge import Knowledge, build_knowledge
from sickbay.engine.load.lint import lint_text
from sickbay.engine.model.cause import Prior, Weight
from sickbay.engine.model.check import Check, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Layer, Outcome
from sickbay.engine.model.signal import SignalKind, SignalSpec, SignalType

DATA = Path(__file__).parent / "data"


def test_the_vocabulary(knowledge: Knowledge) -> None:
    spec = knowledge.vocabulary["serving.kv_usage_ratio"]
    assert (spec.type, spec.unit, spec.kind) == (SignalType.NUMBER, "ratio", SignalKind.RATIO)
    assert knowledge.vocabulary["serving.stalled"].type is SignalType.BOOL


def test_ids_come_from_file_names_and_nothing_is_parsed() -> None:
    fresh = build_knowledge({}, [DATA / "knowledge"])
    assert fresh.causes.ids == ("admission-limit", "broken-cause", "gpu-broken", "network-proxy-buffering")
    assert fresh.causes.problems == ()


def test_a_cause(knowledge: Knowledge) -> None:
    cause = knowledge.causes.get("admission-limit")
    assert cause.layer is Layer.SERVING
    assert cause.prior == {"slow-start": Prior.COMMON}
    assert cause.requires is not None
    assert cause.requires.truth({"serving.requests_waiting": 0.0}) is False
    assert [rule.weight for rule in cause.evidence] == [Weight.DECISIVE, Weight.WEAK]
    assert cause.evidence[1].when.names == ("probe.ttft_s_p50", "inputs.slo_ttft_s")
    assert cause.fix[0].how == {"any": "--max-num-seqs"}
    assert knowledge.causes.get("admission-limit") is cause


def test_a_broken_cause_is_refused_each_time() -> None:
    fresh = build_knowledge({}, [DATA / "knowledge"])
    for _ in range(2):
        with pytest.raises(
            ProblemsError, match=r"broken-cause\.yaml:4:30: error: no signal 'serving\.requests_waitin'"
        ):
            fresh.causes.get("broken-cause")
    assert [problem.code for problem in fresh.causes.problems] == ["unknown-signal"]


def test_an_unknown_cause(knowledge: Knowledge) -> None:
    with pytest.raises(ConfigError) as caught:
        knowledge.causes.get("admission-limits")
    assert str(caught.value) == "no cause 'admission-limits'; did you mean 'admission-limit'?"


def test_an_unknown_runbook(knowledge: Knowledge) -> None:
    with pytest.raises(ConfigError) as caught:
        knowledge.runbook("slow-strat")
    assert str(caught.value) == "no runbook 'slow-strat'; did you mean 'slow-start'?"


def test_place_and_name_of_a_cause_agree(tmp_path: Path, knowledge: Knowledge) -> None:
    text = (DATA / "knowledge/causes/serving/network-proxy-buffering.yaml").read_text(encoding="utf-8")
    found = [str(problem) for problem in lint_text(text, "causes/hardware/proxy.yaml", knowledge)]
    name, layer = found
    assert name == (
        "causes/hardware/proxy.yaml:1:8: error: the cause is called 'network-proxy-buffering' and its file "
        "'proxy.yaml'; call the file network-proxy-buffering.yaml, or the cause proxy [name-and-file]"
    )
    assert layer == (
        "causes/hardware/proxy.yaml:2:8: error: the layer is 'serving' and the folder 'hardware'; "
        "move the file or change the layer [name-and-file]"
    )


def test_one_id_in_two_folders(tmp_path: Path) -> None:
    (tmp_path / "causes" / "serving").mkdir(parents=True)
    (tmp_path / "causes" / "serving" / "gpu-broken.yaml").write_text("cause: gpu-broken\n")
    fresh = build_knowledge({}, [DATA / "knowledge", tmp_path])
    (problem,) = fresh.causes.problems
    assert problem.code == "duplicate-name"
    assert (
        problem.message
        == f"the cause 'gpu-broken' is already defined in {DATA}/knowledge/causes/hardware/gpu-broken.yaml"
    )
    assert fresh.causes.get("gpu-broken").layer is Layer.HARDWARE


def test_a_plain_folder_is_a_folder_of_runbooks(tmp_path: Path, knowledge: Knowledge) -> None:
    text = (DATA / "knowledge/runbooks/slow-start.yaml").read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(text.replace("runbook: slow-start", "runbook: mine"))
    more = build_knowledge(knowledge.checks, [DATA / "knowledge", tmp_path])
    assert list(more.runbook_paths) == ["mine", "slow-start"]
    assert [book.name for book in more.all_runbooks()] == ["mine", "slow-start"]


def test_all_runbooks_tells_what_is_wrong_in_any(tmp_path: Path, knowledge: Knowledge) -> None:
    (tmp_path / "one.yaml").write_text("runbook: one\n")
    (tmp_path / "two.yaml").write_text("runbook: two\n")
    more = build_knowledge(knowledge.checks, [DATA / "knowledge", tmp_path])
    with pytest.raises(ProblemsError) as caught:
        more.all_runbooks()
    assert {Path(problem.at.path).name for problem in caught.value.problems} == {"one.yaml", "two.yaml"}


class _Stranger(Check):
    name = "my.check"
    title = "a plugin's check"
    emits = ("serving.kv_usage_rato",)

    def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        return {}

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        return Result(outcome=Outcome.PASS, summary="nothing")


def test_a_check_emits_only_words_of_the_vocabulary() -> None:
    fresh = build_knowledge({"my.check": _Stranger()}, [DATA / "knowledge"])
    with pytest.raises(PluginError) as caught:
        _ = fresh.vocabulary
    assert str(caught.value) == (
        "check 'my.check' emits 'serving.kv_usage_rato', which is no signal; did you mean 'serving.kv_usage_ratio'?"
    )


def test_plugins_bring_signals_as_data() -> None:
    spec = SignalSpec(
        name="serving.kv_usage_rato", type=SignalType.NUMBER, unit="ratio", kind=SignalKind.RATIO, meaning="as it is"
    )
    fresh = build_knowledge({"my.check": _Stranger()}, [DATA / "knowledge"], {spec.name: spec})
    assert fresh.vocabulary[spec.name] is spec
    taken = SignalSpec(name="gpu.errors", type=SignalType.NUMBER, unit="count", kind=SignalKind.DELTA, meaning="x")
    with pytest.raises(PluginError, match=r"brings the signal 'gpu\.errors', which is already in the vocabulary"):
        _ = build_knowledge({}, [DATA / "knowledge"], {taken.name: taken}).vocabulary


def test_one_signal_in_two_files(tmp_path: Path) -> None:
    (tmp_path / "signals.yaml").write_text(
        "version: 1\nsignals: {gpu.errors: {unit: count, kind: delta, meaning: again}}\n"
    )
    with pytest.raises(ProblemsError) as caught:
        _ = build_knowledge({}, [DATA / "knowledge", tmp_path]).vocabulary
    assert str(caught.value) == (
        f"{tmp_path}/signals.yaml: error: the signal 'gpu.errors' is already defined in {DATA}/knowledge/signals.yaml; "
        "prefix it with your family [duplicate-name]"
    )


@pytest.mark.parametrize("word", sorted(FORMAT_WORDS))
def test_the_words_of_a_format_are_those_the_report_writes(word: str) -> None:
    assert because_fields(f"{{serving.kv_usage_ratio:{word}}}") == ("serving.kv_usage_ratio",)

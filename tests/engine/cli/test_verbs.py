"""Every verb through the real command line: answers, exit codes, whole messages, 80 columns, no colour when piped."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from sickbay.engine.cli.main import VERBS, main
from sickbay.engine.cli.tools import Tools
from sickbay.engine.model.outcome import ExitCode
from sickbay.face import make_tools

NOBODY = "http://127.0.0.1:9"
TOOLS = make_tools()
GOLDEN = Path(__file__).parents[1] / "report" / "golden" / "admission-limit.exit-2.json"
RUNBOOKS = Path(__file__).parents[3] / "sickbay" / "runbooks"
CATALOGUES = ("list", "checks", "causes", "signals", "engines")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command line gave."""

    code: int
    out: str
    err: str

    @property
    def wide(self) -> list[str]:
        """Lines that a terminal of 80 columns would break."""
        return [line for line in self.out.splitlines() if len(line) > 80]


Call = Callable[..., Answer]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Run one command line in an empty folder, piped."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("SICKBAY_API_KEY", "NOT_SET"):
        monkeypatch.delenv(name, raising=False)

    def run(*argv: str, tools: Callable[[], Tools] = lambda: TOOLS) -> Answer:
        code = main(argv, tools)
        written = capsys.readouterr()
        return Answer(code, written.out, written.err)

    return run


@pytest.mark.parametrize("verb", CATALOGUES)
class TestCatalogues:
    def test_text_and_json_say_the_same(self, verb: str, call: Call) -> None:
        text, data = call(verb), call(verb, "--format", "json")
        assert (text.code, text.err, data.code) == (0, "", 0)
        rows = json.loads(data.out)
        key = {"list": "runbook"}.get(verb, verb.removesuffix("s"))
        names = [row[key] for row in rows]
        assert len(names) > 5
        assert [line.split()[0] for line in text.out.splitlines() if line[:1] != " "] == names

    def test_piped_it_has_no_colour_and_80_columns(self, verb: str, call: Call) -> None:
        answer = call(verb)
        assert "\x1b" not in answer.out
        assert answer.wide == []

    def test_a_filter_that_fits_nothing_says_so(self, verb: str, call: Call) -> None:
        answer = call(verb, "no such thing")
        assert (answer.code, answer.out, answer.err) == (0, "", "sickbay: nothing contains 'no such thing'\n")


@pytest.mark.parametrize("verb", [None, *VERBS])
def test_help_fits_80_columns(verb: str | None, call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    if verb is None:
        assert call("--help").wide == []
        return
    with pytest.raises(SystemExit) as caught:
        main([verb, "--help"], lambda: TOOLS)
    out = capsys.readouterr().out
    assert caught.value.code == 0
    assert out.startswith(f"usage: sickbay {verb}")
    assert [line for line in out.splitlines() if len(line) > 80] == []


def everything() -> list[str]:
    knowledge = TOOLS.knowledge
    codes = [str(int(code)) for code in ExitCode]
    kinds = (
        knowledge.runbook_paths,
        knowledge.checks,
        knowledge.causes.ids,
        knowledge.vocabulary,
        TOOLS.plugins.engines,
        TOOLS.plugins.scorers,
    )
    return [*(name for kind in kinds for name in kind), *codes]


def test_everything_can_be_explained(call: Call) -> None:
    """One test over some hundred names: each alone is too small to count."""
    found = {name: call("explain", name) for name in everything()}
    assert {name: answer.code for name, answer in found.items() if answer.code or answer.err} == {}
    assert {name: answer.wide for name, answer in found.items() if answer.wide or "\x1b" in answer.out} == {}
    assert [name for name, answer in found.items() if name not in answer.out.splitlines()[0]] == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("admision-limit", "did you mean 'admission-limit'?", id="misspelt"),
        pytest.param("0815", "see `sickbay --help`", id="nothing-near"),
        pytest.param("66", "see `sickbay --help`", id="no-exit-code"),
    ],
)
def test_what_is_not_there_cannot_be_explained(name: str, message: str, call: Call) -> None:
    answer = call("explain", name)
    assert (answer.code, answer.out) == (ExitCode.USAGE, "")
    assert answer.err == f"sickbay: explain: nothing is called {name!r}; {message}\n"


class TestPlan:
    def test_it_names_every_step_and_touches_nothing(self, call: Call) -> None:
        answer = call("plan", "high-ttft", "--url", NOBODY)
        assert (answer.code, answer.err) == (0, "")
        book = TOOLS.knowledge.runbook("high-ttft")
        for step in (step for group in book.groups for step in group.steps):
            assert step.id in answer.out
        assert f"target   127.0.0.1:9 {NOBODY}\n" in answer.out
        assert answer.wide == []
        assert "\x1b" not in answer.out

    def test_inputs_are_resolved(self, call: Call) -> None:
        assert "slo_ttft_s=0.25" in call("plan", "high-ttft", "--url", NOBODY, "--set", "slo_ttft_s=0.25").out

    def test_what_cannot_run_here_is_told_with_its_reason(self, call: Call) -> None:
        answer = call("plan", "high-ttft", "--url", "http://192.0.2.1:8000", "--format", "json")
        steps = {step["id"]: step for step in json.loads(answer.out)["steps"]}
        assert steps["serving.alive"]["runs"] is True
        left_out = call("plan", "high-ttft", "--url", NOBODY, "--skip", "probe.ttft")
        assert "CANNOT RUN HERE" in left_out.out

    def test_its_cost_stays_within_the_budget(self, call: Call) -> None:
        plan = json.loads(call("plan", "high-ttft", "--url", NOBODY, "--format", "json").out)
        assert plan["schema"] == "sickbay.plan.v1"
        assert plan["requests"] <= plan["requests_budget"]


class TestDiagnose:
    def test_a_report_is_a_file_of_signals(self, call: Call) -> None:
        answer = call("diagnose", str(GOLDEN), "--symptom", "high-ttft")
        assert (answer.code, answer.err) == (0, "")
        assert "admission-limit" in answer.out.split("OTHER CAUSES")[0]
        assert answer.wide == []
        assert "\x1b" not in answer.out

    def test_json_ranks_the_same(self, call: Call) -> None:
        answer = call("diagnose", str(GOLDEN), "--symptom", "high-ttft", "--format", "json")
        assert json.loads(answer.out)["causes"][0]["cause"] == "admission-limit"

    def test_stdin(self, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO(GOLDEN.read_text()))
        answer = call("diagnose", "-", "--symptom", "high-ttft")
        assert answer.code == 0
        assert answer.out == call("diagnose", str(GOLDEN), "--symptom", "high-ttft").out

    def test_nothing_fits_is_inconclusive(self, call: Call) -> None:
        Path("signals.yaml").write_text("serving.requests_waiting: 3\n")
        answer = call("diagnose", "signals.yaml", "--symptom", "high-ttft")
        assert answer.code == ExitCode.INCONCLUSIVE
        assert answer.out.startswith("Nothing measured fits any of the ")

    @pytest.mark.parametrize(
        ("text", "arguments", "code", "message"),
        [
            pytest.param(
                None, ["--symptom", "high-ttft"], 64,
                "sickbay: 's.yaml' cannot be read: No such file or directory\n", id="no-file",
            ),
            pytest.param(
                "serving.requests_waitin: 3\n", ["--symptom", "high-ttft"], 65,
                "s.yaml:1:1: error: no signal 'serving.requests_waitin'; did you mean 'serving.requests_waiting'? "
                "[unknown-signal]\nsickbay: 1 problem\n", id="misspelt-signal",
            ),
            pytest.param(
                "serving.requests_waiting: 3\n", ["--symptom", "high-tft"], 64,
                "sickbay: --symptom: no runbook 'high-tft'; did you mean 'high-ttft'?\n", id="misspelt-symptom",
            ),
            pytest.param(
                "serving.requests_waiting: 3\n", ["--symptom", "high-ttft", "--set", "x=1"], 64,
                "sickbay: --set x: runbook 'high-ttft' has no input 'x'; it has: client_connections_max, "
                "client_ttft_s, client_workers, slo_ttft_s, window_s\n", id="input",
            ),
            pytest.param(
                "serving.requests_waiting: 3\n", [], 64,
                "sickbay: sickbay diagnose: the following arguments are required: --symptom; "
                "see `sickbay diagnose --help`\n", id="no-symptom",
            ),
        ],
    )  # fmt: skip
    def test_refused(self, text: str | None, arguments: list[str], code: int, message: str, call: Call) -> None:
        if text is not None:
            Path("s.yaml").write_text(text)
        answer = call("diagnose", "s.yaml", *arguments)
        assert (answer.code, answer.out, answer.err) == (code, "", message)


class TestLint:
    @pytest.mark.parametrize(
        ("text", "code", "out", "err"),
        [
            pytest.param(
                "serving.requests_waiting: 3\n", 0, "", "1 file, 0 problems\n", id="sound",
            ),
            pytest.param(
                "serving.requests_waitin: 3\n", 65,
                "f.yaml:1:1: error: no signal 'serving.requests_waitin'; did you mean 'serving.requests_waiting'? "
                "[unknown-signal]\n", "1 file, 1 problem\n", id="wrong",
            ),
            pytest.param(
                None, 65, "f.yaml: error: cannot be read: No such file or directory [not-readable]\n",
                "1 file, 1 problem\n", id="no-file",
            ),
        ],
    )  # fmt: skip
    def test_exit_codes(self, text: str | None, code: int, out: str, err: str, call: Call) -> None:
        if text is not None:
            Path("f.yaml").write_text(text)
        answer = call("lint", "f.yaml")
        assert (answer.code, answer.out, answer.err) == (code, out, err)

    def test_a_warning_fails_only_when_asked(self, call: Call) -> None:
        text = re.sub(r"budget: {deadline_s: \d+", "budget: {deadline_s: 20", (RUNBOOKS / "high-ttft.yaml").read_text())
        Path("high-ttft.yaml").write_text(text)
        kind, strict = call("lint", "high-ttft.yaml"), call("lint", "high-ttft.yaml", "--strict")
        assert (kind.code, strict.code) == (0, 65)
        assert kind.out == strict.out
        assert ": warning: " in kind.out
        rows = json.loads(call("lint", "high-ttft.yaml", "--format", "json").out)
        assert {row["severity"] for row in rows} == {"warning"}
        assert set(rows[0]) == {"path", "line", "column", "code", "severity", "message", "hint"}

    def test_a_folder_stands_for_its_files(self, call: Call) -> None:
        count = len(list(RUNBOOKS.glob("*.yaml")))
        answer = call("lint", str(RUNBOOKS))
        assert (answer.code, answer.out, answer.err) == (0, "", f"{count} files, 0 problems\n")

    def test_an_empty_folder_is_no_sound_one(self, call: Call) -> None:
        Path("empty").mkdir()
        answer = call("lint", "empty")
        assert (answer.code, answer.err) == (64, "sickbay: lint: no .yaml or .yml file below 'empty'\n")


FORMATS = "terminal, json, markdown, html, junit, nagios, prometheus"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["high-tft"], "no runbook 'high-tft'; did you mean 'high-ttft'?", id="runbook"),
        pytest.param(["zzzzzz"], "no runbook 'zzzzzz'; see `sickbay list`, or give a YAML file", id="nothing-near"),
        pytest.param(["no/x.yaml"], "runbook 'no/x.yaml' cannot be read: No such file or directory", id="no-file"),
        pytest.param(["high-ttft", "--url", "ftp://x"], "--url: 'ftp://x' is no http or https URL; "
                     "wanted e.g. http://host:8000", id="url"),
        pytest.param(["high-ttft", "--engine", "vlm"], "--engine: no engine 'vlm'; did you mean 'vllm'?", id="engine"),
        pytest.param(["high-ttft", "--pid", "0"], "--pid: 0; wanted the engine's process id, 1 or more", id="pid"),
        pytest.param(["high-ttft", "--output", "no/r.html"], "--output: no folder 'no' to write 'r.html' into; "
                     "make it first", id="output-folder"),
        pytest.param(["high-ttft", "--metrics-file", "no/x.prom"], "--metrics-file: no folder 'no' to write 'x.prom' "
                     "into; make it first", id="metrics-folder"),
        pytest.param(["high-ttft", "--output", "-"], "--output: '-' would be stdout; --format says "
                     "what stdout gets", id="output-stdout"),
        pytest.param(["high-ttft", "--output", "r.jsn"], "--output: the ending of 'r.jsn' names no format; wanted "
                     ".html .json .md .xml .prom .txt, or FORMAT=FILE", id="output-ending"),
        pytest.param(["high-ttft", "--output", "pdf=r.pdf"], "--output: 'pdf=r.pdf': wanted FILE or FORMAT=FILE with "
                     f"a format of {FORMATS}", id="output-format"),
        pytest.param(["high-ttft", "--set", "slo_ttft=1"], "--set slo_ttft: runbook 'high-ttft' has no input "
                     "'slo_ttft'; did you mean 'slo_ttft_s'?", id="input"),
        pytest.param(["high-ttft", "--set", "slo_ttft_s=abc"], "--set slo_ttft_s: wanted a number, found text 'abc'",
                     id="input-type"),
        pytest.param(["high-ttft", "--set", "slo_ttft_s=-1"], "--set slo_ttft_s: -1 is below the minimum 0.001",
                     id="input-range"),
        pytest.param(["high-ttft", "--set", "slo_ttft_s"], "--set: 'slo_ttft_s': wanted NAME=VALUE", id="no-value"),
        pytest.param(["high-ttft", "--set", "slo_ttft_s=1", "--set", "slo_ttft_s=2"], "--set: 'slo_ttft_s' is given "
                     "twice, as '1' and '2'", id="twice"),
        pytest.param(["high-ttft", "--skip", "probe.tft"], "--skip probe.tft: runbook 'high-ttft' has no step "
                     "'probe.tft'; did you mean 'probe.ttft'?", id="step"),
        pytest.param(["high-ttft", "--deadline", "-1"], "--deadline: -1 s; wanted more than 0 and at most 86400",
                     id="deadline"),
        pytest.param(["high-ttft", "--requests", "-1"], "--requests: -1; wanted 0 or more", id="requests"),
        pytest.param(["high-ttft", "--answer", "x"], "--answer: 'x': wanted NAME=VALUE", id="answer"),
        pytest.param(["high-ttft", "--baseline", "none.json"], "--baseline: 'none.json' cannot be read: "
                     "No such file or directory", id="baseline"),
        pytest.param(["high-ttft", "--config", "none.yaml"], "--config: no file 'none.yaml'", id="config"),
        pytest.param(["high-ttft", "--url", "http://e", "--gpu-selector", "x"],
                     "--gpu-selector: labels of series in a Prometheus; give --prometheus URL", id="labels-of-nothing"),
        pytest.param(["high-ttft", "--at", "2h"], "--at: only a Prometheus knows the past; give --prometheus URL",
                     id="past"),
        pytest.param(["high-ttft", "--api-key-env", "NOT_SET"], "the API key stands in the environment variable "
                     "'NOT_SET', which is not set; set it: export NOT_SET=…", id="key"),
        pytest.param(["high-ttft", "--api-key-file", "none"], "the API key stands in the file 'none', which cannot be "
                     "read: No such file or directory", id="key-file"),
    ],
)  # fmt: skip
def test_a_run_that_cannot_begin_is_refused_before_it_begins(arguments: list[str], message: str, call: Call) -> None:
    url = [] if "--url" in arguments else ["--url", NOBODY]
    answer = call("run", *arguments, *url)
    assert (answer.code, answer.out, answer.err) == (ExitCode.USAGE, "", f"sickbay: {message}\n")
    assert not list(Path("state").rglob("*.jsonl"))


class TestTargets:
    CONFIG = 'targets:\n  chat-prod: {url: "http://127.0.0.1:9"}\n'

    def test_no_target(self, call: Call) -> None:
        answer = call("run", "high-ttft")
        assert answer.code == 64
        assert answer.err == (
            "sickbay: run: no target; name one with --url http://host:8000, with --target NAME from sickbay.yaml, "
            "or with --local for checks of this host alone\n"
        )

    def test_a_misspelt_target(self, call: Call) -> None:
        Path("sickbay.yaml").write_text(self.CONFIG)
        answer = call("run", "high-ttft", "--target", "chat-prdo")
        assert (answer.code, answer.err) == (
            64,
            "sickbay: --target: sickbay.yaml has no target 'chat-prdo'; did you mean 'chat-prod'?\n",
        )

    def test_a_target_without_a_config(self, call: Call) -> None:
        answer = call("plan", "high-ttft", "--target", "chat-prod")
        assert answer.code == 64
        assert answer.err.startswith("sickbay: no sickbay.yaml in sickbay.yaml, ")
        assert answer.err.endswith("; name one with --config FILE\n")

    def test_a_target_of_the_config_is_planned(self, call: Call) -> None:
        Path("sickbay.yaml").write_text(self.CONFIG)
        assert "target   chat-prod http://127.0.0.1:9\n" in call("plan", "high-ttft", "--target", "chat-prod").out

    def test_serve_needs_jobs(self, call: Call) -> None:
        Path("sickbay.yaml").write_text(self.CONFIG)
        answer = call("serve", "--config", "sickbay.yaml")
        assert (answer.code, answer.err) == (
            64,
            "sickbay: sickbay.yaml: no serve: section; wanted serve: {listen, jobs: [{runbook, target, every}]}\n",
        )


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["lint", "sickbay.yaml"], "sickbay.yaml:2:34: error: no engine 'vlm'; did you mean 'vllm'? [wrong-value]"),
        (["run", "high-ttft", "--target", "a"], "sickbay: target 'a': no engine 'vlm'; did you mean 'vllm'?"),
        (["serve"], "sickbay: target 'a': no engine 'vlm'; did you mean 'vllm'?"),
    ],
    ids=["lint", "run", "serve"],
)
def test_an_engine_of_the_config_that_nobody_brings(call: Call, argv: list[str], message: str) -> None:
    Path("sickbay.yaml").write_text(
        'targets:\n  a: {url: "http://h:1", engine: vlm}\n'
        'serve: {listen: "127.0.0.1:0", jobs: [{runbook: high-ttft, target: a, every: 5m}]}\n'
    )
    answer = call(*argv)
    assert message in (answer.out + answer.err).splitlines()
    assert answer.code in {ExitCode.USAGE, ExitCode.INVALID}


class TestRun:
    """A real run against an address where nobody listens: short, because only one step is run."""

    def test_the_same_exit_code_in_every_format(self, call: Call) -> None:
        one = ("run", "high-ttft", "--url", NOBODY, "--only", "serving.alive", "--no-progress")
        answers = {form: call(*one, "--format", form) for form in FORMATS.split(", ")}
        assert {answer.code for answer in answers.values()} == {ExitCode.FAILING}
        assert {form: answer.err for form, answer in answers.items() if answer.err} == {}
        assert answers["terminal"].wide == []
        assert not any("\x1b" in answer.out for answer in answers.values())
        assert json.loads(answers["json"].out)["verdict"]["state"] == "failing"

    def test_a_place_that_cannot_be_written_changes_the_code_and_keeps_the_answer(self, call: Call) -> None:
        Path("taken.html").mkdir()
        answer = call(
            "run", "high-ttft", "--url", NOBODY, "--only", "serving.alive", "--no-progress", "--output", "taken.html"
        )
        assert answer.code == ExitCode.NOT_DELIVERED
        assert answer.out.startswith("FAILING  high-ttft")
        assert answer.err.startswith("sickbay: not delivered: ")

    def test_a_stored_report_recomputes(self, call: Call) -> None:
        call("run", "high-ttft", "--url", NOBODY, "--only", "serving.alive", "--no-progress", "--output", "r.json")
        answer = call("replay", "r.json")
        assert (answer.code, answer.err) == (0, "replay: every number recomputes from the recorded evidence\n")
        assert answer.wide == []

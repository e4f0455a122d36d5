"""The command line's outer shell: verbs, usage errors, exit codes, messages."""

from collections.abc import Callable
from typing import Any

import pytest

from sickbay._version import __version__
from sickbay.engine.cli import main as shell
from sickbay.engine.errors import ConfigError, DeliveryError, PluginError, ProbeError
from sickbay.engine.model.outcome import ExitCode
from sickbay.engine.model.signal import UnknownReason


def no_tools() -> Any:
    raise AssertionError("no plugin may be loaded for this")


def failing(error: BaseException) -> Callable[[], Any]:
    def make() -> Any:
        raise error

    return make


def test_version_loads_no_plugin(capsys: pytest.CaptureFixture[str]) -> None:
    assert shell.main(["--version"], no_tools) == 0
    assert capsys.readouterr().out == f"sickbay {__version__}\n"


def test_no_verb_is_a_usage_error_that_shows_the_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    assert shell.main([], no_tools) == ExitCode.USAGE
    assert "sickbay run high-ttft" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        pytest.param(["rnu"], "sickbay: no verb 'rnu'; did you mean 'run'?\n", id="misspelt"),
        pytest.param(
            ["list", "--format", "xml"],
            "sickbay: sickbay list: argument --format: invalid choice: 'xml' "
            "(choose from 'text', 'json'); see `sickbay list --help`\n",
            id="choice",
        ),
        pytest.param(
            ["explain"],
            "sickbay: sickbay explain: the following arguments are required: ID; see `sickbay explain --help`\n",
            id="missing",
        ),
    ],
)
def test_usage_errors_exit_64(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert shell.main(argv, no_tools) == 64
    written = capsys.readouterr()
    assert written.err.replace("text, json", "'text', 'json'") == message
    assert written.out == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param(ConfigError("sickbay.yaml:3:1: bad"), 65, id="config"),
        pytest.param(PluginError("plugin x: bad"), 70, id="plugin"),
        pytest.param(DeliveryError("disk full"), 73, id="delivery"),
        pytest.param(ProbeError(UnknownReason.REFUSED, "nothing listens"), 3, id="probe"),
        pytest.param(KeyboardInterrupt(), 130, id="interrupt"),
        pytest.param(RuntimeError("oops"), 70, id="bug"),
    ],
)
def test_errors_become_exit_codes(error: BaseException, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert shell.main(["list"], failing(error)) == code
    assert capsys.readouterr().err.startswith("sickbay: ")

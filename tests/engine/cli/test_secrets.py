"""What people write into addresses and variables is shown nowhere: every form, every error, the plan, the journal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sickbay.engine.cli.main import main
from sickbay.engine.model.shown_url import kept_url, shown_url
from sickbay.face import make_tools

SECRETS = ("pa55w0rd", "qu3ry-secret", "k3y-of-a-variable", "h3ader-secret", "us3r-token")
URL = "http://me:pa55w0rd@127.0.0.1:9/v1?api_key=qu3ry-secret"
CONFIG = """\
targets:
  chat:
    url: "http://127.0.0.1:9/?token=qu3ry-secret"
    api_key: {env: KEY}
    headers: {X-Gate: {env: GATE}}
"""
TOOLS = make_tools()
Call = Callable[..., str]


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Runs a command line; everything it wrote, on both streams and into files of its folder and state."""
    monkeypatch.chdir(tmp_path)
    for name, value in {"XDG_CONFIG_HOME": "c", "XDG_STATE_HOME": "state"}.items():
        monkeypatch.setenv(name, str(tmp_path / value))
    monkeypatch.setenv("KEY", "k3y-of-a-variable")
    monkeypatch.setenv("GATE", "h3ader-secret")
    Path("sickbay.yaml").write_text(CONFIG)

    def run(*argv: str) -> str:
        main(argv, lambda: TOOLS)
        written = "".join(capfd.readouterr())
        files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "sickbay.yaml"]
        return written + "".join(path.read_bytes().decode("utf-8", "replace") for path in files)

    return run


@pytest.mark.parametrize("target", [("--url", URL), ("--target", "chat")], ids=["url", "config"])
def test_a_run_shows_no_secret_in_any_form(call: Call, target: tuple[str, str]) -> None:
    outputs = [
        word
        for form in ("json", "md", "html", "xml", "prom", "txt")
        for word in ("--output", f"report.{form}")
        if form not in {"prom", "txt"}
    ]
    told = call(
        "run", "high-ttft", *target, "--only", "serving.alive", "--metrics-file", "m.prom", *outputs,
    )  # fmt: skip
    assert "127.0.0.1:9" in told
    assert '"sickbay_journal"' in told
    assert [secret for secret in SECRETS if secret in told] == []


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("target", [("--url", URL), ("--target", "chat")], ids=["url", "config"])
def test_a_plan_shows_no_secret(call: Call, target: tuple[str, str], form: str) -> None:
    told = call("plan", "high-ttft", *target, "--format", form)
    assert "127.0.0.1:9" in told
    assert [secret for secret in SECRETS if secret in told] == []


@pytest.mark.parametrize("flag", ["--url", "--metrics-url", "--direct-url", "--prometheus", "--replica", "--dcgm-url"])
@pytest.mark.parametrize(
    "url",
    [
        "http://me:pa55w0rd@host:99999/", "http://me:pa55w0rd@[::1/", "ftp://us3r-token@host/", "http://me:pa55w0rd@/",
        "http://host:0/?key=qu3ry-secret", "me:pa55w0rd@host:99999",
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_told_without_its_secrets(call: Call, flag: str, url: str) -> None:
    told = call("plan", "high-ttft", *([] if flag == "--url" else ["--url", "http://127.0.0.1:9"]), flag, url)
    assert told.startswith(f"sickbay: {flag}: "), told
    assert "internal error" not in told
    assert [secret for secret in SECRETS if secret in told] == []


def test_lint_shows_no_secret_of_an_address(call: Call, tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    for number, url in enumerate(("http://me:pa55w0rd@[::1", "ftp://us3r-token@x", "http://me:pa55w0rd@h:99999")):
        Path(f"bad/{number}.yaml").write_text(f'targets:\n  a: {{url: "{url}"}}\n')
    main(("lint", "bad"), lambda: TOOLS)
    for path in Path("bad").iterdir():
        path.unlink()
    told = call("lint", "sickbay.yaml")
    assert [secret for secret in SECRETS if secret in told] == []


@pytest.mark.parametrize(
    ("url", "shown", "kept"),
    [
        ("http://h:1/a?b=1", "http://h:1/a?b=1", "http://h:1/a?b=1"),
        ("http://u:p@h/a?my_token=x&b=1#f", "http://h/a?my_token=***&b=1", "http://h/a"),
        ("http://u:p@q@h", "http://h", "http://h"),
        ("http://u:p@[::1?key=1", "http://[::1", "http://[::1"),
        ("", "", ""),
    ],
)
def test_an_address_as_it_is_shown_and_kept(url: str, shown: str, kept: str) -> None:
    assert (shown_url(url), kept_url(url)) == (shown, kept)

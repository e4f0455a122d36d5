"""The first files that docs/gates.md shows are good as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sickbay.engine.cli.main import main
from sickbay.face import make_tools

BLOCKS = re.findall(r"```yaml\n(.*?)```", (Path(__file__).parents[2] / "docs" / "gates.md").read_text(), re.DOTALL)


def test_the_first_gate_is_sound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for block in BLOCKS[:2]:
        (tmp_path / block.split("\n")[0].removeprefix("# ")).write_text(block)
    assert main(["lint", str(tmp_path / "gate.yaml"), str(tmp_path / "facts.yaml")], make_tools) == 0
    assert main(["gate", str(tmp_path / "gate.yaml"), "--plan", "--discordance", "0.05"], make_tools) == 0
    assert "TOO FEW: it will mostly be inconclusive; 975 are needed" in " ".join(capsys.readouterr().out.split())

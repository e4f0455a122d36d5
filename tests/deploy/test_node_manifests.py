"""The manifests for nodes: readable, true to the command line, and the prolog's way with every exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from sickbay.engine.load.targets import load_config

DEPLOY = Path(__file__).parents[2] / "deploy"
KUBERNETES = sorted((DEPLOY / "kubernetes").glob("*.yaml"))


def prolog(tmp_path: Path, code: int, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the prolog with a checker that ends with `code`, and a scontrol that tells what it was asked."""
    for name, text in {
        "sickbay": f'#!/bin/bash\necho "asked: $*" >> {tmp_path}/asked\necho "verdict line"\nexit {code}\n',
        "scontrol": f'#!/bin/bash\necho "$*" >> {tmp_path}/drained\n',
    }.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", str(DEPLOY / "slurm" / "prolog.sh")],
        env={"PATH": path, "SLURMD_NODENAME": "n7", "SICKBAY_REPORTS": str(tmp_path / "reports"), **env},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("code", "policy", "ended", "drained"),
    [
        (0, "allow", 0, False),
        (1, "allow", 0, False),
        (2, "allow", 1, True),
        (3, "allow", 0, False),
        (3, "drain", 1, True),
        (70, "allow", 0, False),
        (75, "drain", 1, True),
    ],
)
def test_prolog(*, tmp_path: Path, code: int, policy: str, ended: int, drained: bool) -> None:
    done = prolog(tmp_path, code, SICKBAY_INCONCLUSIVE=policy)
    assert done.returncode == ended, done.stderr
    assert (tmp_path / "drained").exists() is drained
    if drained:
        assert (tmp_path / "drained").read_text() == "update nodename=n7 state=drain reason=sickbay: verdict line\n"
    asked = (tmp_path / "asked").read_text()
    assert "run node-preflight --config /etc/sickbay/sickbay.yaml --target node" in asked


def test_the_node_is_a_valid_target() -> None:
    path = DEPLOY / "node.sickbay.yaml"
    target = load_config(path.read_text(), str(path)).targets["node"]
    assert target.is_local
    assert target.url == ""


def documents() -> list[Any]:
    return [document for path in KUBERNETES for document in yaml.safe_load_all(path.read_text())]


def test_the_daemonsets_config_is_valid() -> None:
    texts = [document["data"]["sickbay.yaml"] for document in documents() if document["kind"] == "ConfigMap"]
    (text,) = texts
    assert load_config(text, "configmap").targets["node"].is_local


def test_every_mounted_volume_exists() -> None:
    for document in documents():
        spec = document.get("spec", {})
        pod = spec.get("template", {}).get("spec", spec)
        volumes = {volume["name"] for volume in pod.get("volumes", [])}
        containers = [*pod.get("initContainers", []), *pod.get("containers", [])]
        assert {mount["name"] for each in containers for mount in each.get("volumeMounts", [])} <= volumes


def commands() -> list[list[str]]:
    """Every sickbay command line of the manifests and the prolog, as words."""
    found = []
    for document in documents():
        spec = document.get("spec", {})
        pod = spec.get("template", {}).get("spec", spec)
        for container in [*pod.get("initContainers", []), *pod.get("containers", [])]:
            text = "\n".join(map(str, container.get("args", [])))
            if "sickbay" in container["image"] and "sickbay run" not in text:
                found.append([str(word) for word in container["args"]])
            found += [line.split()[1:] for line in text.splitlines() if line.strip().startswith("sickbay ")]
    text = (DEPLOY / "slurm" / "prolog.sh").read_text().replace("\\\n", " ")
    line = next(line for line in text.splitlines() if '"$SICKBAY" run' in line)
    words = line.split('"$SICKBAY" ')[1].split(" 2>>")[0].replace('"', "").replace("$CONFIG", "CONFIG")
    found.append(words.replace("$DEADLINE", "60").replace("json=$REPORTS/node-preflight.json", "json=REPORT").split())
    return found


@pytest.mark.parametrize("words", commands(), ids=lambda words: words[0])
def test_the_manifests_commands_run(words: list[str], tmp_path: Path) -> None:
    """`run` is run on this host, `serve` is read: a flag that does not exist ends with code 64."""
    config = tmp_path / "node.yaml"
    config.write_text((DEPLOY / "node.sickbay.yaml").read_text())
    places = {"CONFIG": str(config), "/etc/sickbay/sickbay.yaml": str(config), "REPORT": f"json={tmp_path}/r.json"}
    argv = [places.get(word, word) for word in words]
    argv = [f"json={tmp_path}/r.json" if word == "json=REPORT" else word for word in argv]
    if argv[0] == "serve":
        done = subprocess.run(
            [sys.executable, "-m", "sickbay", *argv], capture_output=True, text=True, check=False, timeout=60
        )
        assert "no serve: section" in done.stderr  # this configuration has no jobs, and every flag was understood
        return
    done = subprocess.run(
        [sys.executable, "-m", "sickbay", *argv, "--only", "host.disk"], capture_output=True, text=True, check=False,
        timeout=120,
    )  # fmt: skip
    assert done.returncode in {0, 1, 2, 3}, done.stderr
    assert done.stdout.startswith("SICKBAY "), done.stdout
    assert len(done.stdout.splitlines()) == 1

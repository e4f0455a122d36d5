"""The address of an engine, as people copy it."""

from __future__ import annotations

import pytest

from sickbay.engine.model.base_url import base_url


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("http://a:8000", "http://a:8000"),
        ("http://a:8000//", "http://a:8000"),
        ("http://a:8000/v1/", "http://a:8000"),
        ("http://a:8000/v1/chat/completions", "http://a:8000"),
        ("http://a:8000/chat/completions/", "http://a:8000"),
        ("http://a:8000/v1/completions", "http://a:8000"),
        ("http://a/api/v1", "http://a/api"),
        ("http://v1/", "http://v1"),
        ("http://a/xv1", "http://a/xv1"),
        ("", ""),
    ],
)
def test_base(given: str, wanted: str) -> None:
    assert base_url(given) == wanted

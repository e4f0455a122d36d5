"""The table of kernel reports (`sickbay/data/xid.yaml`)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

__all__ = ["xid_table"]

TABLE = Path(__file__).parents[2] / "data" / "xid.yaml"


@cache
def xid_table() -> Mapping[str, Any]:
    """The whole file."""
    found: Mapping[str, Any] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return found

"""One inventory for each function given, with that function hanging on one device: what hung, as JSON on stdout.

Run by test_every_call.py in processes of its own: a call that hangs stays behind as long as its process lives.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from sickbay.checks.gpu.inventory import read_inventory
from tests.nvml.state import NvmlState

HANG_S = 2.0


def main(folder: str, profile: str, functions: list[str]) -> None:
    """`{function: {group: what happened}}`, and the groups whose calls were still made."""
    NvmlState(Path(folder), profile, 2)
    read_inventory(window_s=0.05, hang_s=60)  # loads the library, so that a busy machine is not taken for a hang
    found = {}
    for function in functions:
        state = NvmlState(Path(folder), profile, 2)
        state.device(1, hang={function: True})
        inventory = read_inventory(window_s=0.05, hang_s=HANG_S)
        values = [sorted(device["values"]) for device in inventory["devices"]]
        found[function] = {"hung": inventory["hung"], "values": values}
    json.dump(found, sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # threads that hang in the library must not hold up the exit


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])

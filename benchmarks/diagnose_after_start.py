"""`sickbay diagnose` of a stored file, timed inside one process: what is left when starting is taken away.

    python -m benchmarks.diagnose_after_start FILE SYMPTOM

Prints JSON: `first_s` is the first diagnosis once every module it needs is imported (vocabulary, runbook and causes
are read from disk and compiled), `again_s` the median of ten more by the same process with the same knowledge.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import statistics
import sys
import time
from collections.abc import Callable

from sickbay.engine.cli import diagnose
from sickbay.engine.cli.main import Parser
from sickbay.face import make_tools


def timed(call: Callable[[], int]) -> float:
    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        code = call()
    if code not in {0, 3}:
        raise SystemExit(code)
    return time.perf_counter() - began


def main() -> int:
    gc.set_threshold(50_000)  # as `sickbay` itself does
    parser = Parser(prog="diagnose")
    diagnose.arguments(parser)
    args = parser.parse_args([sys.argv[1], "--symptom", sys.argv[2]])
    timed(lambda: diagnose.call(args, make_tools()))  # start: imports
    tools = make_tools()
    first = timed(lambda: diagnose.call(args, tools))
    again = statistics.median(timed(lambda: diagnose.call(args, tools)) for _ in range(10))
    sys.stdout.write(json.dumps({"first_s": round(first, 4), "again_s": round(again, 4)}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The command line: find the verb, hand it its arguments, turn every error into one message and one exit code.

Only the verb that was asked for is imported: `sickbay --version` must answer at once.
"""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any, NoReturn, Protocol

from sickbay._version import __version__
from sickbay.engine.errors import ConfigError, DeliveryError, PluginError, ProblemsError, SickbayError, UsageError
from sickbay.engine.model.outcome import ExitCode

__all__ = ["VERBS", "Parser", "main"]

VERBS = {
    "run": "run a runbook against a target and print the verdict",
    "plan": "what a run would do, without touching the target",
    "lint": "every problem of runbook, gate, eval set, cause and signal files",
    "list": "the runbooks",
    "checks": "the checks",
    "causes": "the causes",
    "signals": "the signal vocabulary",
    "engines": "the inference engines, or `engines compare A B`",
    "explain": "all about one runbook, check, cause, signal, engine or exit code",
    "schema": "print a JSON Schema, for your editor",
    "diagnose": "a diagnosis from a file of signals alone",
    "resume": "finish a run that was killed",
    "replay": "recompute a report from its recorded evidence",
    "eval": "ask an eval set and tell the score, with how sure it is",
    "judge": "is this model fit to judge? its verdicts against people's",
    "gate": "may this release go out: candidate against baseline, one scorecard",
    "serve": "run runbooks on their intervals and export metrics",
    "memory": "what a model needs in memory, and what fits, from its files",
    "doctor": "what this host and this user can look at, and what not",
    "weights": "weight files: write a release's manifest, or check them",
    "tokens": "`tokens diff A B`: what two models or engines make of texts",
    "demo": "a real server, a real fault, the verdict",
}


class Verb(Protocol):
    """One file of this folder."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""

    def call(self, args: argparse.Namespace, tools: Any) -> int:
        """Do it; the exit code."""
        ...


class Parser(argparse.ArgumentParser):
    """argparse, but a usage error exits with our own code."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and how to get help."""
        raise UsageError(f"{self.prog}: {message}; see `{self.prog} --help`")


def _usage() -> str:
    verbs = "\n".join(f"  {name:<10} {what}" for name, what in VERBS.items())
    return (
        "usage: sickbay VERB [arguments]      sickbay VERB --help\n\n"
        f"From alert to the true cause, for ML serving.\n\n{verbs}\n\n"
        "start here:  sickbay demo\n"
        "on call:     sickbay run high-ttft --url http://host:8000\n"
    )


def main(argv: Sequence[str] | None, make_tools: Callable[[], Any]) -> int:
    """Run one command line; the exit code. Never raises but for SystemExit of `--help`."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(arguments, make_tools)
    except KeyboardInterrupt:
        sys.stderr.write("sickbay: interrupted\n")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader went away (`sickbay list | head`): silence, and no second error when Python flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except SickbayError as error:
        return _said(error)
    except OSError as error:
        # Our files are opened with names and have messages of their own; a full disk without one is standard output's.
        if error.filename is not None or error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            return _bug(error)
        sys.stderr.write(f"sickbay: standard output cannot be written: {error.strerror}\n")
        return ExitCode.NOT_DELIVERED
    except Exception as error:  # the last line of defence: a bug of ours, told as such
        return _bug(error)


def _bug(error: Exception) -> int:
    sys.stderr.write(f"sickbay: internal error: {type(error).__name__}: {error}\n")
    if os.environ.get("SICKBAY_TRACE"):
        import traceback  # late: a run that ends well needs none

        traceback.print_exception(error)
    else:
        sys.stderr.write("sickbay: please report it; SICKBAY_TRACE=1 shows where\n")
    return ExitCode.INTERNAL


def _dispatch(arguments: list[str], make_tools: Callable[[], Any]) -> int:
    if not arguments or arguments[0] in {"-h", "--help", "help"}:
        sys.stdout.write(_usage())
        return ExitCode.HEALTHY if arguments else ExitCode.USAGE
    verb = arguments[0]
    if verb in {"--version", "-V", "version"}:
        sys.stdout.write(f"sickbay {__version__}\n")
        return ExitCode.HEALTHY
    if verb not in VERBS:
        import difflib  # late: a right verb needs none

        close = difflib.get_close_matches(verb, VERBS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"one of: {', '.join(VERBS)}"
        raise UsageError(f"no verb {verb!r}; {hint}")
    module: Verb = import_module(f"sickbay.engine.cli.{verb}")
    # A fixed width: output is made for 80 columns, and argparse imports half an archiver to ask the terminal's.
    form = partial(argparse.HelpFormatter, width=80)
    parser = Parser(prog=f"sickbay {verb}", description=VERBS[verb], allow_abbrev=False, formatter_class=form)
    module.arguments(parser)
    return module.call(parser.parse_args(arguments[1:]), make_tools())


def _said(error: SickbayError) -> int:
    """Print the error as its kind wants; its exit code."""
    if isinstance(error, ProblemsError):
        sys.stderr.write(f"{error}\n")
        count = len(error.problems)
        sys.stderr.write(f"sickbay: {count} problem{'s' if count != 1 else ''}\n")
    else:
        sys.stderr.write(f"sickbay: {error}\n")
    for kind, code in (
        (UsageError, ExitCode.USAGE),
        (ConfigError, ExitCode.INVALID),
        (DeliveryError, ExitCode.NOT_DELIVERED),
        (PluginError, ExitCode.INTERNAL),
    ):
        if isinstance(error, kind):
            return code
    return ExitCode.INCONCLUSIVE

"""Wiring only: the probes as a plugin."""

from __future__ import annotations

from sickbay.checks.probe.adapter import ProbeAdapter
from sickbay.checks.probe.answers import ProbeAnswers
from sickbay.checks.probe.arrival import ProbeArrival
from sickbay.checks.probe.burst import ProbeBurst
from sickbay.checks.probe.cache import ProbeCache
from sickbay.checks.probe.cold import ProbeCold
from sickbay.checks.probe.disconnect import ProbeDisconnect
from sickbay.checks.probe.greedy import ProbeGreedy
from sickbay.checks.probe.itl import ProbeItl
from sickbay.checks.probe.ladder import ProbeLadder
from sickbay.checks.probe.needle import ProbeNeedle
from sickbay.checks.probe.path import ProbePath
from sickbay.checks.probe.replicas import ProbeReplicas
from sickbay.checks.probe.sampling import ProbeSampling
from sickbay.checks.probe.schema import ProbeSchema
from sickbay.checks.probe.structured import ProbeStructured
from sickbay.checks.probe.tokens import ProbeTokens
from sickbay.checks.probe.ttft import ProbeTtft
from sickbay.engine.hookspecs import hookimpl
from sickbay.engine.model.check import Check

__all__ = ["sickbay_checks"]


@hookimpl
def sickbay_checks() -> list[Check]:
    """The checks that send requests of their own."""
    return [
        ProbeTtft(),
        ProbePath(),
        ProbeAdapter(),
        ProbeAnswers(),
        ProbeArrival(),
        ProbeGreedy(),
        ProbeSampling(),
        ProbeNeedle(),
        ProbeTokens(),
        ProbeSchema(),
        ProbeStructured(),
        ProbeReplicas(),
        ProbeLadder(),
        ProbeItl(),
        ProbeDisconnect(),
        ProbeCold(),
        ProbeCache(),
        ProbeBurst(),
    ]

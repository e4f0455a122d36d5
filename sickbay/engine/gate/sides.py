"""Are the two sides what somebody meant to compare? Told before anything is asked."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from sickbay.engine.gate.arm import Arm
from sickbay.engine.gate.one_server import one_server
from sickbay.engine.gate.run import NotCarriedOutError
from sickbay.engine.load.did_you_mean import did_you_mean, listed
from sickbay.engine.model.shown_url import shown_url
from sickbay.engine.model.target import Target

__all__ = ["check_sides", "refuse_one_server"]

PORTS = {"http": 80, "https": 443}


def check_sides(live: Mapping[str, Arm], *, same: bool = False) -> None:
    """Nothing is compared with itself (unless that is wanted), and each side has the model that it is asked for.

    Raises:
        NotCarriedOutError: why no answer of this gate would mean anything.
    """
    for side, arm in live.items():
        asked = arm.target.model
        if asked and arm.served and asked not in arm.served:
            hint = did_you_mean(asked, arm.served, f"it serves: {listed(arm.served)}")
            raise NotCarriedOutError(
                f"the {side} is asked for the model {asked!r}, which {shown_url(arm.target.url)} does not serve; {hint}"
            )
    if len(live) == 2 and not same and _one_server(live["candidate"], live["baseline"]):
        raise NotCarriedOutError(
            f"candidate and baseline are one server and one model ({shown_url(live['candidate'].target.url)}): a "
            "release that is compared with itself always passes; to see what the gate makes of noise: --allow-same"
        )


async def refuse_one_server(live: Mapping[str, Arm]) -> None:
    """Two names of one server are told by what it counts.

    Raises:
        NotCarriedOutError: they are.
    """
    counter = await one_server(live["candidate"], live["baseline"])
    if counter:
        raise NotCarriedOutError(
            f"candidate and baseline are one server under two names: requests to the candidate alone moved the "
            f"baseline's own {counter}; a release that is compared with itself always passes; to see what the gate "
            "makes of noise: --allow-same"
        )


def _one_server(ours: Arm, theirs: Arm) -> bool:
    """The same address (this host by any of its loopback names), path and model, asked with the same headers.

    Two names of one address may be two services behind one ingress, and are not taken for one.
    """
    return _where(ours.target) == _where(theirs.target) and ours.endpoint.model == theirs.endpoint.model


def _where(target: Target) -> tuple[object, ...]:
    parts = urlsplit(target.url if "://" in target.url else f"http://{target.url}")
    host = (parts.hostname or "").rstrip(".")
    headers = tuple(sorted((name.lower(), str(value)) for name, value in target.headers.items()))
    port = parts.port or PORTS.get(parts.scheme)
    return "this host" if _is_loopback(host) else host, port, parts.path.rstrip("/"), parts.query, headers


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

"""Does an inference engine answer on another port of this host? Asked only when the target's own port does not.

One GET of the model list a port, on loopback, few ports, short deadlines; a foreign service sees one request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from urllib.parse import urlsplit

from sickbay.checks.serving.local_process import Listener
from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.measure.recognise import served_models
from sickbay.engine.model.look import Look

__all__ = ["DEFAULT_PORTS", "answering_ports", "candidates"]

DEFAULT_PORTS = (8000, 8080, 30000, 11434, 3000, 8081, 8001, 5000)
"""Usual ports of vLLM and TensorRT-LLM, llama.cpp, SGLang, Ollama, TGI; then common second choices."""

PORTS_MAX = 8
READ_TIMEOUT_S = 2.0
_NOT_OURS = {22, 25, 53, 111, 139, 445, 631, 2049, 3306, 5432, 6379, 9090, 9091, 9093, 9100}


def candidates(listening: Sequence[Listener], own_port: int | None) -> list[int]:
    """Listening ports worth one question: usual ones first, then unprivileged ones, highest last."""
    ports = [each.port for each in listening if each.port != own_port and each.port not in _NOT_OURS]
    usual = [port for port in DEFAULT_PORTS if port in ports]
    others = [port for port in ports if port > 1023 and port not in usual]
    return (usual + others)[:PORTS_MAX]


async def answering_ports(look: Look, ports: Sequence[int]) -> list[int]:
    """Those of the ports, in their order, whose `/v1/models` is a model list."""
    host = urlsplit(look.target.direct_url or look.target.url).hostname or "127.0.0.1"
    host = "127.0.0.1" if look.target.is_local and host in {"localhost", "0.0.0.0"} else host
    shown = f"[{host}]" if ":" in host else host
    found = await asyncio.gather(*(_answers(look, f"http://{shown}:{port}/v1/models") for port in ports))
    return [port for port, yes in zip(ports, found, strict=True) if yes]


async def _answers(look: Look, url: str) -> bool:
    try:
        answer = await look.http.request("GET", url, timeout_s=READ_TIMEOUT_S, bytes_max=500_000)
        return answer.status == 200 and bool(served_models(answer.json()))
    except BudgetExceededError:
        raise
    except ProbeError:
        return False

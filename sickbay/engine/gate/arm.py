"""One side of the comparison: a live endpoint, opened, recognised, with its provenance."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sickbay.engine.errors import ProbeError
from sickbay.engine.evals.endpoint import CHAT_PATH, Endpoint
from sickbay.engine.evals.item import digest
from sickbay.engine.evidence.redact import Redactor
from sickbay.engine.model.shown_url import shown_url
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Target
from sickbay.engine.run.budget import RequestBudget
from sickbay.engine.run.environment import Environment
from sickbay.engine.run.http import StepHttp
from sickbay.engine.run.http_client import HttpClient
from sickbay.engine.run.secrets import known_secrets
from sickbay.engine.run.threads import DaemonThreads

__all__ = ["Arm", "open_arm"]

HASHED_BYTES_MAX = 8_000_000_000
AGAIN_S = 20.0
"""For what a side says of itself when all was asked: one that hangs by then is told by its rules."""
WEIGHT_SUFFIXES = frozenset({".safetensors", ".gguf", ".bin", ".pt", ".pth"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """A target that answers. `engine` is its name, "" when it is not recognised."""

    target: Target
    client: HttpClient
    endpoint: Endpoint
    engine: str = ""
    served: tuple[str, ...] = ()  # the models that it lists; empty where it lists none
    facts: Mapping[str, str] = field(default_factory=dict)
    again: Callable[[], Coroutine[Any, Any, Mapping[str, str]]] | None = None
    """`facts`, read anew: they must not change while it is asked. Empty where it says nothing any more."""

    @property
    def requests(self) -> int:
        """Requests that made it work."""
        return self.client.budget.made


@asynccontextmanager
async def open_arm(
    target: Target,
    environment: Environment,
    *,
    requests: int,
    run_id: str,
    files: bool = True,
    raised_by: str = "--requests",
) -> AsyncIterator[Arm]:
    """Open it, ask what it is, close it.

    Raises:
        ProbeError: nothing answers, or it wants a key. It holds no secret of the target.
    """
    redactor = Redactor(known_secrets(target), key=environment.redaction_key)
    clock, threads = environment.clock, DaemonThreads()
    client = HttpClient(
        target=target, clock=clock, threads=threads, budget=RequestBudget(requests, place=raised_by),
        run_id=run_id,
        began_at_s=clock.monotonic(), trust_proxies=environment.trust_proxies,
    )  # fmt: skip
    try:
        try:
            arm = await _recognised(target, client, environment, redactor, files=files)
        except ProbeError as error:
            raise ProbeError(error.reason, redactor.text(error.detail)) from error
        yield arm
    finally:
        await client.close()
        threads.close()


async def _recognised(
    target: Target, client: HttpClient, environment: Environment, redactor: Redactor, *, files: bool
) -> Arm:
    http = StepHttp(client)
    about: dict[str, str] = {"url": shown_url(target.url)}
    path, engine, version, model = await _engine(http, target, environment)
    if environment.recognise is not None:
        about |= {"engine": engine or "not recognised", "engine_version": version}  # `sickbay doctor URL` tells why
    served = await _served(http, model)
    model = model or (served[0] if served else "")
    about["model"] = model
    facts = _facts(engine, version, model, served)
    if files:
        props = await _props(http)
        about |= props
        facts |= {name: fact for name, fact in props.items() if name == "template_sha256"}
        if target.model_path:
            about |= await asyncio.to_thread(_weights, Path(target.model_path))

    async def now() -> Mapping[str, str]:
        _, engine, version, _ = await _engine(StepHttp(client), target, environment)
        facts_now = _facts(engine, version, model, await _served(StepHttp(client), model))
        return facts_now | {name: fact for name, fact in (await _props(StepHttp(client))).items() if name in facts}

    async def again() -> Mapping[str, str]:
        try:
            return await asyncio.wait_for(now(), AGAIN_S)
        except (ProbeError, TimeoutError):
            return {}

    identity = f"{target.url} {path} {model}"
    endpoint = Endpoint(
        http=lambda: StepHttp(client), model=model, path=path, identity=identity, clean=redactor.known,
        about={key: redactor.text(value) for key, value in about.items() if value},
    )  # fmt: skip
    return Arm(target=target, client=client, endpoint=endpoint, engine=engine, served=served, facts=facts, again=again)


async def _engine(http: StepHttp, target: Target, environment: Environment) -> tuple[str, str, str, str]:
    """(path to ask at, engine, its version, model); "" for what is not told."""
    if environment.recognise is None:
        return CHAT_PATH, "", "", target.model
    try:
        found: Any = environment.recognise(http, target)
        found = await found if hasattr(found, "__await__") else found
    except ProbeError:
        return CHAT_PATH, "", "", target.model
    chat = found.spec.endpoints.get("chat")
    path = chat.path if chat is not None and chat.path.endswith("/completions") else CHAT_PATH
    return path, found.spec.name, found.version, target.model or found.model


def _facts(engine: str, version: str, model: str, served: tuple[str, ...]) -> dict[str, str]:
    facts = {"engine": engine, "engine_version": version}
    if served and model:
        facts["serves"] = model if model in served else ", ".join(served)[:160]
    return {name: fact for name, fact in facts.items() if fact}


async def _served(http: StepHttp, model: str) -> tuple[str, ...]:
    """The models it lists; none where it has no list. The first request that tells whether anything answers at all."""
    listed = await http.request("GET", "/v1/models", timeout_s=10.0)
    if listed.status in {401, 403} and not model:
        why = f"it wants a key (HTTP {listed.status} for /v1/models); name the variable that holds it: --api-key-env"
        raise ProbeError(UnknownReason.AUTH, why)
    if listed.status != 200:
        return ()
    body = listed.json()
    rows = body.get("data") if isinstance(body, dict) else None
    names = [row.get("id") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return tuple(name for name in names if isinstance(name, str) and name)


async def _props(http: StepHttp) -> dict[str, str]:
    """Digests of what the engine serves with, where it says so (llama.cpp: /props)."""
    found: dict[str, str] = {}
    try:
        answer = await http.request("GET", "/props", timeout_s=5.0)
        props = answer.json() if answer.status == 200 else {}
    except ProbeError:
        props = {}
    if isinstance(props, dict) and isinstance(props.get("chat_template"), str):
        found["template_sha256"] = hashlib.sha256(props["chat_template"].encode()).hexdigest()[:12]
    if isinstance(props, dict) and isinstance(props.get("default_generation_settings"), dict):
        settings = props["default_generation_settings"].get("params", props["default_generation_settings"])
        found["defaults_sha256"] = digest(settings)[:12]
    return found


def _weights(path: Path) -> dict[str, str]:
    """The digest of the weights: of the file, or of the names and digests of all weight files in a folder."""
    try:
        files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.suffix in WEIGHT_SUFFIXES)
        size = sum(each.stat().st_size for each in files)
        if not files:
            return {"model_sha256": "no weight file there"}
        if size > HASHED_BYTES_MAX:
            return {"model_sha256": f"not taken: {size} bytes, at most {HASHED_BYTES_MAX} are read"}
        digests = [(each.relative_to(path).as_posix() if each != path else "", _sha256(each)) for each in files]
    except OSError as error:
        return {"model_sha256": f"not taken: {error.strerror or error}"}
    return {"model_sha256": digests[0][1] if path.is_file() else digest(digests)}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""Which inference engine answers: a few passive reads, compared with the fingerprints of the known engines."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.model.engine_spec import Endpoint, EngineSpec, Fingerprint
from sickbay.engine.model.look import EngineFound, Http, HttpResponse
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Target

__all__ = ["dig", "needs_key", "recognise", "served_models"]

READ_TIMEOUT_S = 6.0
SECOND_TIMEOUT_S = 3.0
SILENT_PATHS_MAX = 2
READ_BYTES_MAX = 2_000_000
MODELS_MAX = 64
_MODELS_PATH = "/v1/models"
_NO_CONNECTION = {UnknownReason.REFUSED, UnknownReason.UNREACHABLE, UnknownReason.NOT_CONFIGURED}

Answers = Mapping[str, HttpResponse | ProbeError]


async def recognise(http: Http, target: Target, specs: Sequence[EngineSpec]) -> EngineFound:
    """The engine behind the target, by the least that tells it: no generation, nothing that drains.

    Paths are asked one after another on one connection, most telling first, until a fingerprint matches: a small
    server holds a thread for each open connection, and a sick one has none to spare. Reads go to the engine itself
    (`direct_url`) where the target has one. `target.engine` other than "auto" is believed; a fingerprint that
    speaks for another engine is then told in `facts["contradiction"]`.

    Raises:
        ProbeError: nothing answers (its reason as the connection gave it), everything wants a key (auth), what
            answers is no known engine (unsupported), or `target.engine` is no known name (not-configured).
    """
    wanted = _named(target.engine, specs)
    answers: dict[str, HttpResponse | ProbeError] = {}
    match: _Match | None = None
    for path in _paths(specs if wanted is None else [wanted]):
        answers[path] = await _read(http, path, timeout_s=READ_TIMEOUT_S if not answers else SECOND_TIMEOUT_S)
        _raise_when_silent(answers, target)
        seen = _match(path, answers[path], specs)
        if seen is not None and (wanted is None or seen.spec is wanted):
            match = seen
            break
        match = match or seen
    if match is None and wanted is None:
        raise _not_known(answers, target, specs)
    spec = wanted or (match.spec if match else specs[0])
    for endpoint in _fact_endpoints(spec):
        await _read_fact(http, endpoint, answers)
    return _found(spec, match, answers, target)


@dataclass(frozen=True, slots=True)
class _Match:
    spec: EngineSpec
    how: str


def _named(name: str, specs: Sequence[EngineSpec]) -> EngineSpec | None:
    if name in {"", "auto"}:
        return None
    known = {spec.name: spec for spec in specs}
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}, or auto"
    raise ProbeError(UnknownReason.NOT_CONFIGURED, f"engine {name!r} is not known; {hint}")


def _paths(specs: Sequence[EngineSpec]) -> list[str]:
    """Fingerprint paths: the model list first, which tells most engines apart, then by engine; late ones last.

    A path that drains on one engine is asked after all others, when that engine was not found by its own.
    """
    drains = {endpoint.path for spec in specs for endpoint in spec.endpoints.values() if endpoint.drains}
    marks = [mark for spec in specs for mark in spec.fingerprints]
    early = [mark.path for mark in marks if not mark.late]
    late = sorted((mark.path for mark in marks if mark.late), key=lambda path: path in drains)
    return list(dict.fromkeys([_MODELS_PATH, *early, *late]))


async def _read_fact(http: Http, endpoint: Endpoint, answers: dict[str, HttpResponse | ProbeError]) -> None:
    """The endpoint's answer under its path; from an older path where the version has only that."""
    for path in (endpoint.path, *endpoint.older):
        if path not in answers or endpoint.method != "GET":
            answers[path] = await _read(http, path, timeout_s=READ_TIMEOUT_S, method=endpoint.method)
        answer = answers[path]
        if not isinstance(answer, HttpResponse) or answer.status != 404:
            answers[endpoint.path] = answer
            return


async def _read(http: Http, path: str, *, timeout_s: float, method: str = "GET") -> HttpResponse | ProbeError:
    try:
        return await http.request(method, path, timeout_s=timeout_s, bytes_max=READ_BYTES_MAX, direct=True)
    except BudgetExceededError:
        raise
    except ProbeError as error:
        return error


def _raise_when_silent(answers: Answers, target: Target) -> None:
    """Raise the connection's own error: at once when there was no connection, on the second silent path else."""
    errors = [answer for answer in answers.values() if isinstance(answer, ProbeError)]
    if not errors or len(errors) < len(answers):
        return
    first = errors[0]
    connected = first.reason not in _NO_CONNECTION or getattr(first, "kind", "") == "closed"
    if len(errors) < SILENT_PATHS_MAX and connected:
        return
    where = target.direct_url or target.url
    raise ProbeError(first.reason, f"nothing at {where} answers: {first.detail}") from first


def _match(path: str, answer: HttpResponse | ProbeError, specs: Sequence[EngineSpec]) -> _Match | None:
    """The first engine that has a fingerprint on this path which holds."""
    if not isinstance(answer, HttpResponse):
        return None
    for spec in specs:
        for mark in spec.fingerprints:
            if mark.path == path and _holds(mark, answer):
                return _Match(spec, _how(mark))
    return None


def _holds(mark: Fingerprint, answer: HttpResponse) -> bool:
    if mark.header:
        name, _, part = mark.header.partition(":")
        if part.strip().lower() not in answer.headers.get(name.strip().lower(), "").lower():
            return False
    if not (mark.json_keys or mark.json_equals or mark.text):
        return bool(mark.header)
    if answer.status != 200 or (mark.text and mark.text not in answer.text):
        return False
    if not (mark.json_keys or mark.json_equals):
        return True
    body = _json(answer)
    return all(dig(body, key) is not None for key in mark.json_keys) and all(
        dig(body, key) == value for key, value in mark.json_equals.items()
    )


def _how(mark: Fingerprint) -> str:
    said = [f"header {mark.header}"] if mark.header else []
    said += [f"text {mark.text!r}"] if mark.text else []
    said += [" and ".join(mark.json_keys)] if mark.json_keys else []
    said += [f"{key} = {value}" for key, value in mark.json_equals.items()]
    return f"GET {mark.path} has {', '.join(said)}"


def _not_known(answers: Answers, target: Target, specs: Sequence[EngineSpec]) -> ProbeError:
    statuses = {path: answer.status for path, answer in answers.items() if isinstance(answer, HttpResponse)}
    where = target.direct_url or target.url
    if statuses and all(status in {401, 403} for status in statuses.values()):
        given = "the key that was given is refused" if target.api_key else "no key was given; use --api-key-env"
        return ProbeError(
            UnknownReason.AUTH,
            f"{where} answers {min(statuses.values())} to every one of {len(statuses)} paths: {given}",
        )
    said = ", ".join(f"{path} {status}" for path, status in sorted(statuses.items())[:6])
    return ProbeError(
        UnknownReason.UNSUPPORTED,
        f"{where} answers, but as none of {', '.join(spec.name for spec in specs)} ({said}); "
        "is it a gateway? name the engine with --engine, or give direct_url",
    )


def _fact_endpoints(spec: EngineSpec) -> list[Endpoint]:
    found = [spec.endpoints[key] for key in ("models", "version") if key in spec.endpoints]
    return [each for each in found if each.path.startswith("/") and "{" not in each.path]


def _found(spec: EngineSpec, match: _Match | None, answers: Answers, target: Target) -> EngineFound:
    models_at = spec.endpoints["models"].path if "models" in spec.endpoints else _MODELS_PATH
    models_answer = answers.get(models_at)
    models = served_models(_json(models_answer)) if isinstance(models_answer, HttpResponse) else ()
    version_at = spec.endpoints.get("version")
    version = ""
    if version_at is not None:
        version_answer = answers.get(version_at.path)
        if isinstance(version_answer, HttpResponse):
            version = str(dig(_json(version_answer), version_at.field) or "")
    facts: dict[str, Any] = {
        "statuses": {
            path: answer.status if isinstance(answer, HttpResponse) else answer.reason.value
            for path, answer in answers.items()
        }
    }
    if match is not None and match.spec is not spec:
        facts["contradiction"] = f"engine: {spec.name} was given, but {match.how}, as {match.spec.name} has"
        match = None
    return EngineFound(
        spec=spec,
        version=version[:120],
        how=match.how if match else f"engine: {spec.name} was given; no fingerprint of it was seen",
        model=target.model or next((name for name in spec.prefer_models if name in models), "".join(models[:1])),
        models=models,
        facts=facts,
    )


def served_models(body: Any) -> tuple[str, ...]:
    """Model names of an answer of `/v1/models`, `/api/tags` or Triton's index (ready ones); empty when it is none."""
    rows = body if isinstance(body, list) else (dig(body, "data") or dig(body, "models"))
    names: list[str] = []
    for row in rows if isinstance(rows, list) else []:
        if not isinstance(row, dict) or row.get("state", "READY") != "READY":
            continue
        aliases = row.get("aliases") if isinstance(row.get("aliases"), list) else []
        for name in (row.get("id") or row.get("name") or row.get("model"), *(aliases or [])):
            if isinstance(name, str) and name and name not in names:
                names.append(name[:200])
    return tuple(names[:MODELS_MAX])


def dig(body: Any, dotted: str) -> Any:
    """The value at a dotted path ("data.0.id"); None when it is not there."""
    for part in dotted.split(".") if dotted else []:
        if isinstance(body, dict):
            body = body.get(part)
        elif isinstance(body, list) and part.isdigit() and int(part) < len(body):
            body = body[int(part)]
        else:
            return None
    return body


def needs_key(spec: EngineSpec, path: str) -> bool:
    """Whether a path wants the key when the server has one set."""
    return not any(
        path.startswith(known[:-1]) if known.endswith("*") else path == known for known in _open(spec.open_paths)
    )


def _open(paths: Iterable[str]) -> list[str]:
    return [path for path in paths if path]


def _json(answer: HttpResponse | ProbeError | None) -> Any:
    if not isinstance(answer, HttpResponse) or answer.status != 200:
        return None
    try:
        return answer.json()
    except ProbeError:
        return None

"""The engine's settings: asked of its endpoints, its metrics page and its own command line. Read once per run.

What comes back is plain data: for each signal the candidates in the order of the engine's `config`, as text or
number, with where each came from. A template is kept as its hash; a command line only as the wanted flags.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from sickbay.checks.serving.local_process import command_line, environment, find_process
from sickbay.checks.serving.page import page_request
from sickbay.checks.serving.served_defaults import served_defaults
from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.measure.exposition import check_page, keep_lines, parse_lines
from sickbay.engine.measure.recognise import dig
from sickbay.engine.measure.series import combined, matched_name, series_of, values_of
from sickbay.engine.model.engine_spec import ConfigField, Endpoint, EngineSpec
from sickbay.engine.model.look import EngineFound, HttpResponse, Look

__all__ = ["read_settings"]

READ_TIMEOUT_S = 8.0
TEXT_CHARS_MAX = 200


async def read_settings(look: Look, found: EngineFound) -> dict[str, Any]:
    """Candidates by signal, and why a source could not be read. Nothing is raised but a spent budget."""

    async def make() -> dict[str, Any]:
        return await _read(look, found)

    return await look.share("serving.settings", make)


async def _read(look: Look, found: EngineFound) -> dict[str, Any]:
    spec = found.spec
    problems: dict[str, dict[str, str]] = {}
    answers = await _endpoints(look, found, problems)
    labels = await _info_lines(look, spec, problems) if any(each.metric for each in spec.config) else ()
    flags, variables = _of_process(look, spec, problems)
    page = parse_lines(labels)
    values: dict[str, list[dict[str, Any]]] = {}
    for each in spec.config:
        value, source = None, ""
        if each.endpoint:
            value = _of_endpoint(each, answers.get(each.endpoint), found)
            source = f"{spec.endpoints[each.endpoint].method} {spec.endpoints[each.endpoint].path}: {each.field}"
        elif each.metric is not None:
            value, source = _of_metric(each, page)
        elif each.flag in flags:
            value, source = flags[each.flag], f"command line: {each.flag}"
        elif each.env in variables:
            value, source = variables[each.env], f"environment: {each.env}"
        if isinstance(value, (str, int, float, bool)) and value not in {"", "None"}:
            values.setdefault(each.signal, []).append(
                {"value": _kept(value, each.kind), "kind": each.kind, "scale": each.scale, "source": source}
            )
    for signal, (number, source) in _of_the_model(look, spec).items():
        values.setdefault(signal, []).append({"value": number, "kind": "number", "scale": 1.0, "source": source})
    return {"values": values, "problems": problems, "info_lines": list(labels)}


async def _endpoints(look: Look, found: EngineFound, problems: dict[str, dict[str, str]]) -> dict[str, Any]:
    bodies: dict[str, Any] = {}
    wanted = dict.fromkeys(each.endpoint for each in found.spec.config if each.endpoint)
    for key in wanted:
        endpoint = found.spec.endpoints[key]
        path = endpoint.path.replace("{model}", found.model)
        try:
            answer = await _ask(look, endpoint, path)
            if answer.status == 200:
                bodies[key] = answer.json()
            else:
                problems[path] = _refused(answer, endpoint.off_statuses, endpoint.off_hint)
        except BudgetExceededError:
            raise
        except ProbeError as error:
            problems[path] = {"reason": error.reason.value, "detail": error.detail[:300]}
    return bodies


async def _ask(look: Look, endpoint: Endpoint, path: str) -> HttpResponse:
    """The endpoint; where it is 404, as earlier versions called it."""
    answer = await look.http.request(endpoint.method, path, timeout_s=_time(look), direct=True)
    for older in endpoint.older:
        if answer.status != 404:
            break
        answer = await look.http.request(endpoint.method, older, timeout_s=_time(look), direct=True)
    return answer


def _refused(answer: HttpResponse, off: tuple[int, ...], hint: str) -> dict[str, str]:
    if answer.status in {401, 403}:
        return {"reason": "auth", "detail": f"{answer.url} answers {answer.status}: it wants an API key"}
    reason = "disabled" if answer.status in off else "absent"
    return {"reason": reason, "detail": f"{answer.url} answers {answer.status}" + (f"; {hint}" if hint else "")}


async def _info_lines(look: Look, spec: EngineSpec, problems: dict[str, dict[str, str]]) -> tuple[str, ...]:
    """The lines of the metrics that carry settings; the same page the window reads."""
    names = {name for each in spec.config if each.metric for name in each.metric.names}
    try:
        answer, where = await page_request(look, spec, timeout_s=_time(look))
        if answer.status == 200:
            return keep_lines(check_page(answer, where=where), names).lines
        problems[where] = {"reason": "absent", "detail": f"{where} answers {answer.status}"}
    except BudgetExceededError:
        raise
    except ProbeError as error:
        problems["metrics"] = {"reason": error.reason.value, "detail": error.detail[:300]}
    return ()


def _of_process(
    look: Look, spec: EngineSpec, problems: dict[str, dict[str, str]]
) -> tuple[dict[str, str], dict[str, str]]:
    """The wanted flags and variables of the engine's own process, when it runs here and may be read."""
    flags = {each.flag for each in spec.config if each.flag}
    names = {each.env for each in spec.config if each.env}
    if not (flags or names) or not look.target.is_local:
        return {}, {}
    try:
        process = find_process(look.files, look.target)
        if process is None:
            return {}, {}
        variables = environment(look.files, process.pid) if names else {}
        kept = {name: variables[name][:TEXT_CHARS_MAX] for name in names & variables.keys()}
        return _parse_flags(command_line(look.files, process.pid), flags), kept
    except ProbeError as error:
        problems["command line"] = {"reason": error.reason.value, "detail": error.detail[:300]}
        return {}, {}


def _of_the_model(look: Look, spec: EngineSpec) -> dict[str, tuple[float, str]]:
    """Defaults that an engine takes from its model's folder, where its process and that folder are seen from here."""
    if spec.name != "vllm" or not look.target.is_local:
        return {}
    try:
        process = find_process(look.files, look.target)
        return served_defaults(command_line(look.files, process.pid), process.pid, look.files) if process else {}
    except ProbeError:
        return {}  # `_of_process` has told why


def _parse_flags(words: list[str], wanted: set[str]) -> dict[str, str]:
    """`--flag value`, `--flag=value` and a bare `--flag` (then "true"); the last one counts."""
    found: dict[str, str] = {}
    for index, word in enumerate(words):
        flag, equals, value = word.partition("=")
        name = flag.replace("_", "-") if flag.startswith("--") else flag
        if name not in wanted:
            continue
        after = words[index + 1] if index + 1 < len(words) else ""
        bare = not after or (after.startswith("-") and not after.lstrip("-").isdigit())
        found[name] = value if equals else "true" if bare else after
    return {name: value[:TEXT_CHARS_MAX] for name, value in found.items()}


def _of_metric(each: ConfigField, page: Any) -> tuple[Any, str]:
    assert each.metric is not None
    name = matched_name(each.metric, page)
    samples = series_of(each.metric, page, name) if name else ()
    if not samples:
        return None, ""
    if each.metric.label:
        return samples[0].labels.get(each.metric.label), f"{name} label {each.metric.label}"
    values = values_of(each.metric, page, name)
    return (combined(each.metric, values), name) if values else (None, "")


def _of_endpoint(each: ConfigField, body: Any, found: EngineFound) -> Any:
    """The field's value; a ratio for "rest", and for "given" whether the field is set at all."""
    where, field = _row_of(body, each.field, found)
    value = dig(where, field)
    if each.kind == "rest":
        top, bottom = value, dig(where, _row_of(body, each.over, found)[1])
        sound = isinstance(top, (int, float)) and isinstance(bottom, (int, float)) and bottom > 0
        return max(0.0, 1.0 - top / bottom) if sound else None
    if each.kind == "given" and value is None:
        above, _, last = field.rpartition(".")
        parent = dig(where, above) if above else where
        return False if isinstance(parent, Mapping) and last in parent else None
    return value


def _row_of(body: Any, field: str, found: EngineFound) -> tuple[Any, str]:
    """The row of the model asked for, and the field in it; the whole answer where the field names no row.

    A server of one model answers under any name. Loaded models ("models.0.") are others until the row is there.
    """
    table, _, rest = field.partition(".0.")
    rows = dig(body, table) if rest and table in {"data", "models"} else None
    if not isinstance(rows, list):
        return body, field
    named = [row for row in rows if isinstance(row, Mapping)]
    for row in named:
        if found.model in {row.get("id"), row.get("name"), row.get("model"), *(row.get("aliases") or ())}:
            return row, rest
    return (named[0], rest) if table == "data" and named else (None, rest)


def _kept(value: Any, kind: str) -> Any:
    if kind == "sha":
        return hashlib.sha256(str(value).encode()).hexdigest()[:12]
    return value[:TEXT_CHARS_MAX] if isinstance(value, str) else value


def _time(look: Look) -> float:
    return max(0.2, min(READ_TIMEOUT_S, look.remaining_s - 0.3))

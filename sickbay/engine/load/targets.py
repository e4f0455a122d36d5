"""`sickbay.yaml` to a `Config`."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from sickbay.engine.errors import ProblemsError
from sickbay.engine.load.codes import Code
from sickbay.engine.load.did_you_mean import did_you_mean, listed
from sickbay.engine.load.duration import duration_s
from sickbay.engine.load.fields import Fields, as_value
from sickbay.engine.load.schema_check import check_schema
from sickbay.engine.load.schema_words import described
from sickbay.engine.load.yaml_node import Node
from sickbay.engine.load.yaml_source import read_yaml
from sickbay.engine.model.base_url import base_url
from sickbay.engine.model.config import Config, Job, Serve
from sickbay.engine.model.problem import Position, Problem
from sickbay.engine.model.shown_url import shown_url
from sickbay.engine.model.target import Adapter, LogSource, PrometheusSource, Secret, Target

__all__ = ["load_config", "read_config"]

_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "x-auth-token"})
_JITTER_SHARE = 0.1
_JITTER_MAX_S = 30.0
_LISTEN = "127.0.0.1:9877"


def load_config(text: str, path: str) -> Config:
    """The configuration of one file.

    Raises:
        ProblemsError: everything that is wrong with it, in the order of its lines.
    """
    problems: list[Problem] = []
    config = read_config(text, path, problems)
    errors = sorted(problem for problem in problems if problem.severity == "error")
    if errors or config is None:
        raise ProblemsError(errors)
    return config


def read_config(text: str, path: str, problems: list[Problem]) -> Config | None:
    """The configuration; None when it is no YAML mapping. Problems are appended."""
    node = read_yaml(text, path, problems)
    if node is None:
        return None
    check_schema(node, "config.v1", problems)
    fields = Fields(node)
    reader = _TargetReader(Path(path).parent, problems)
    targets = {name: reader.target(name, Fields(one)) for name, one in fields.below("targets")}
    return Config(
        targets=targets,
        serve=_serve(fields.below("serve"), targets, problems) if "serve" in fields else None,
        folders=tuple(reader.beside(folder) for folder in fields.texts("runbooks")),
        path=path,
    )


class _TargetReader:
    """Reads targets; relative paths are taken from the folder of the file."""

    def __init__(self, folder: Path, problems: list[Problem]) -> None:
        self._folder = folder
        self._problems = problems

    def beside(self, path: str) -> str:
        """A path as seen from the configuration file; "" stays ""."""
        if not path or "\0" in path:
            return ""
        return str(self._folder / Path(path).expanduser()) if not path.startswith("~") else str(_home(path))

    def target(self, name: str, fields: Fields) -> Target:
        local, verify = fields.get("local"), fields.get("tls_verify")
        pid = fields.number("pid")
        return Target(
            name=name,
            url=self._base_url(fields.get("url")),
            direct_url=self._base_url(fields.get("direct_url")),
            metrics_url=self._url(fields.get("metrics_url")),
            engine=fields.text("engine", "auto"),
            model=fields.text("model"),
            api_key=self._secret(fields.get("api_key")),
            headers={key: value for key, node in fields.below("headers") if (value := self._header(key, node))},
            local=local.data if local is not None and isinstance(local.data, bool) else None,
            pid=int(pid) if pid is not None else None,
            root=self.beside(fields.text("root", "/")),
            gpus=fields.text("gpus", "auto"),
            model_path=self.beside(fields.text("model_path")),
            reference_path=self.beside(fields.text("reference_path")),
            manifest_path=self.beside(fields.text("manifest_path")),
            baseline=self.beside(fields.text("baseline")),
            logs=tuple(log for item in fields.items("logs") if (log := self._log(Fields(item))) is not None),
            prometheus=self._prometheus(fields.below("prometheus")) if "prometheus" in fields else None,
            dcgm_url=self._url(fields.get("dcgm_url")),
            replicas=tuple(url for item in fields.items("replicas") if (url := self._base_url(item))),
            adapters=tuple(self._adapter(Fields(item)) for item in fields.items("adapters")),
            tls_verify=verify is None or verify.data is not False,
            position=fields.at,
        )

    def _base_url(self, node: Node | None) -> str:
        return base_url(self._url(node))

    def _url(self, node: Node | None) -> str:
        if node is None or not isinstance(node.data, str):
            return ""
        wrong, code = _what_is_wrong(node.data)
        if wrong:
            hint = "name it as api_key: {env: VARIABLE}" if code == Code.SECRET_IN_FILE else "e.g. http://host:8000"
            self._problems.append(Problem(node.at, code, wrong, hint))
        return node.data

    def _secret(self, node: Node | None) -> Secret | None:
        fields = Fields(node)
        secret = Secret(env=fields.text("env"), file=self.beside(fields.text("file")))
        return secret if secret.env or secret.file else None

    def _header(self, name: str, node: Node) -> str | Secret | None:
        if not isinstance(node.data, str):
            return self._secret(node)
        if name.lower() in _SECRET_HEADERS:
            message = f"the header {name!r} carries a secret, which is named by reference only"
            self._problems.append(
                Problem(node.at, Code.SECRET_IN_FILE, message, "write {env: VARIABLE} or {file: PATH}")
            )
        elif "\n" in node.data or "\r" in node.data:
            self._problems.append(Problem(node.at, Code.WRONG_VALUE, f"the header {name!r} has a line break in it"))
        return node.data

    def _log(self, fields: Fields) -> LogSource | None:
        kinds = [kind for kind in ("file", "journald", "loki") if kind in fields]
        if len(kinds) != 1:
            message = f"a log is one of file, journald and loki; found {' and '.join(kinds) or 'none of them'}"
            self._problems.append(Problem(fields.at, Code.WRONG_VALUE, message, "e.g. {file: /var/log/vllm.log}"))
            return None
        kind = kinds[0]
        if "query" in fields and kind != "loki":
            message = f"'query' belongs to loki, and this log is {kind}"
            self._problems.append(Problem(fields.key_at("query"), Code.WRONG_VALUE, message, "take it out"))
        where = self._url(fields.get(kind)) if kind == "loki" else fields.text(kind)
        return LogSource(kind=kind, where=self.beside(where) if kind == "file" else where, query=fields.text("query"))

    def _adapter(self, fields: Fields) -> Adapter:
        scale = fields.number("scale")
        path = self.beside(fields.text("path"))
        return Adapter(name=fields.text("name"), path=path, scale=1.0 if scale is None else scale)

    def _prometheus(self, fields: Fields) -> PrometheusSource:
        url = self._url(fields.get("url")).rstrip("/")
        return PrometheusSource(
            url=url,
            selector=fields.text("selector"),
            gpu_selector=fields.text("gpu_selector"),
            at_s=fields.number("at_s"),
            api_key=self._secret(fields.get("api_key")),
        )


def _home(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:  # no home folder, or no such user
        return Path(path)


def _what_is_wrong(url: str) -> tuple[str, Code]:
    """What keeps a text from being a URL of ours; a URL with a password is not shown."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f"{shown_url(url)[:80]!r} is no URL: {error}", Code.BAD_URL
    if parts.password is not None:
        return "the URL has a password in it, which is not shown", Code.SECRET_IN_FILE
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0 or any(c.isspace() for c in url):
        return f"wanted a URL with http or https, found {shown_url(url)[:80]!r}", Code.BAD_URL
    return "", Code.BAD_URL


def _serve(fields: Fields, targets: dict[str, Target], problems: list[Problem]) -> Serve:
    jobs: list[Job] = []
    seen: dict[tuple[str, str], Position] = {}
    for item in fields.items("jobs"):
        job = _job(Fields(item), targets, problems)
        pair = (job.runbook, job.target)
        if pair in seen:
            message = f"{job.runbook!r} on {job.target!r} stands twice; first on line {seen[pair].line}"
            problems.append(Problem(item.at, Code.DUPLICATE_NAME, message, "take one of them out"))
        elif all(pair):
            seen[pair] = item.at
        jobs.append(job)
    return Serve(jobs=tuple(jobs), listen=fields.text("listen", _LISTEN))


def _job(fields: Fields, targets: dict[str, Target], problems: list[Problem]) -> Job:
    target = fields.text("target")
    if target and target not in targets:
        hint = did_you_mean(target, targets, f"targets: {listed(targets)}")
        problems.append(Problem(fields.value_at("target"), Code.UNKNOWN_TARGET, f"no target {target!r}", hint))
    every_s = _duration(fields, "every", problems)
    jitter_s = _duration(fields, "jitter", problems)
    if every_s is not None and every_s <= 0:
        problems.append(Problem(fields.value_at("every"), Code.OUT_OF_RANGE, "wanted an interval of more than 0 s"))
    every_s = every_s or 60.0
    return Job(
        runbook=fields.text("runbook"),
        target=target,
        every_s=every_s,
        jitter_s=jitter_s if jitter_s is not None else min(_JITTER_SHARE * every_s, _JITTER_MAX_S),
        set={name: value for name, node in fields.below("set") if (value := as_value(node)) is not None},
        position=fields.at,
    )


def _duration(fields: Fields, key: str, problems: list[Problem]) -> float | None:
    node = fields.get(key)
    if node is None or not isinstance(node.data, (str, int, float)) or isinstance(node.data, bool):
        return None
    seconds = duration_s(node.data)
    if seconds is None:
        message = f"wanted a duration such as 30s, 5m or 1h, found {described(node.data)}"
        problems.append(Problem(node.at, Code.BAD_DURATION, message))
    return seconds

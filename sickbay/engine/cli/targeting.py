"""Which target: `--url`, or `--target NAME` of sickbay.yaml, with single flags on top."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sickbay.engine.cli.moment import moment_s
from sickbay.engine.errors import UsageError
from sickbay.engine.load.targets import load_config
from sickbay.engine.load.text_file import read_named
from sickbay.engine.model.base_url import base_url
from sickbay.engine.model.config import Config
from sickbay.engine.model.shown_url import shown_url
from sickbay.engine.model.target import Adapter, LogSource, PrometheusSource, Secret, Target

__all__ = ["add_target_flags", "choose_target", "find_config", "read_config_file"]


def add_target_flags(parser: argparse.ArgumentParser) -> None:
    """What to look at."""
    group = parser.add_argument_group("target")
    group.add_argument("--url", help="what the users call, e.g. http://host:8000")
    group.add_argument("--target", metavar="NAME", help="a target of sickbay.yaml")
    group.add_argument(
        "--config", type=Path, metavar="FILE", help="sickbay.yaml (default: here, then the user's, then /etc)"
    )
    group.add_argument("--direct-url", metavar="URL", help="the engine itself, when --url is a gateway")
    group.add_argument(
        "--metrics-url", metavar="URL", help="the engine's metrics page, when it is not at the usual path"
    )
    group.add_argument(
        "--engine", metavar="NAME", help="do not recognise the engine, it is this one; see `sickbay engines`"
    )
    group.add_argument("--model", help="the model name users ask for")
    group.add_argument("--api-key-env", metavar="VARIABLE", help="environment variable that holds the API key")
    group.add_argument("--api-key-file", metavar="FILE", help="file that holds the API key")
    group.add_argument("--pid", type=int, help="process id of the engine on this host")
    group.add_argument("--local", action=argparse.BooleanOptionalAction, help="the engine runs on this host")
    group.add_argument(
        "--log",
        action="append",
        default=[],
        metavar="LOG",
        help="a log of the engine: FILE, journald:UNIT, or 'loki:URL QUERY'; repeatable",
    )
    group.add_argument("--model-path", metavar="PATH", help="the weights on this host")
    group.add_argument("--reference", metavar="PATH", help="the model's published files: tokenizer, template, weights")
    group.add_argument("--manifest", metavar="FILE", help="hashes of the weights, from `sickbay weights manifest`")
    group.add_argument("--baseline", metavar="FILE", help="a report or signals file that shows this service healthy")
    group.add_argument("--prometheus", metavar="URL", help="a Prometheus that holds this target's series")
    group.add_argument(
        "--at", metavar="TIME",
        help="look at this time instead of now, in Prometheus: 2026-11-23T12:05Z, Unix seconds, or 2h (before now)",
    )  # fmt: skip
    group.add_argument("--selector", default="", metavar="MATCHERS", help="""its labels, e.g. 'job="vllm",pod="a"'""")
    group.add_argument(
        "--gpu-selector", default="", metavar="MATCHERS",
        help="""labels of the DCGM exporter's series there, e.g. 'Hostname="gpu-7"'""",
    )  # fmt: skip
    group.add_argument("--dcgm-url", metavar="URL", help="a DCGM exporter that sees the engine's GPUs")
    group.add_argument(
        "--adapter", action="append", default=[], metavar="NAME[=PATH]",
        help="a LoRA adapter that should answer, and its released file; repeatable",
    )  # fmt: skip
    group.add_argument(
        "--replica", action="append", default=[], metavar="URL", help="a replica behind --url; repeatable"
    )
    group.add_argument("--insecure", action="store_true", help="do not verify TLS certificates")


def choose_target(args: argparse.Namespace, *, needed: bool = True) -> tuple[Target, Config | None]:
    """The target the flags name, and the config file it came from (None when `--url` was enough).

    Raises:
        UsageError: no target, both kinds, an unknown name, or a URL that is none.
        ProblemsError: the config file is wrong.
    """
    config = _load(args) if args.target or args.config else None
    if args.target:
        target = _named(config, args.target)
    elif args.url:
        target = Target(name=_name_of(args.url))
    elif args.prometheus and args.at:  # after the fact, the engine may be gone
        target = Target(name=args.selector or _name_of(args.prometheus))
    elif args.local or args.pid is not None:
        target = Target(name=platform.node() or "this-host", local=True)
    elif needed:
        raise UsageError(
            f"{args.verb if 'verb' in args else 'run'}: no target; name one with --url http://host:8000, "
            "with --target NAME from sickbay.yaml, or with --local for checks of this host alone"
        )
    else:
        target = Target(name="none")
    return dataclasses.replace(target, **_overrides(args, target)), config


def find_config(path: Path | None) -> Path:
    """The config file: the one named, or the first that exists of the usual places.

    Raises:
        UsageError: it does not exist.
    """
    if path is not None:
        if not path.exists():
            raise UsageError(f"--config: no file {str(path)!r}")
        return path
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    places = [Path("sickbay.yaml"), home / "sickbay" / "sickbay.yaml", Path("/etc/sickbay/sickbay.yaml")]
    for place in places:
        if place.is_file():
            return place
    raise UsageError(f"no sickbay.yaml in {', '.join(str(place) for place in places)}; name one with --config FILE")


def read_config_file(path: Path) -> Config:
    """What the config file says.

    Raises:
        UsageError: it cannot be read.
        ProblemsError: it is wrong.
    """
    return load_config(read_named(path, "--config:"), str(path))


def _load(args: argparse.Namespace) -> Config:
    return read_config_file(find_config(args.config))


def _named(config: Config | None, name: str) -> Target:
    targets: Mapping[str, Target] = config.targets if config else {}
    if name in targets:
        return targets[name]
    close = difflib.get_close_matches(name, targets, n=1)
    known = f"did you mean {close[0]!r}?" if close else f"it has: {', '.join(sorted(targets)) or 'none'}"
    raise UsageError(f"--target: sickbay.yaml has no target {name!r}; {known}")


def _overrides(args: argparse.Namespace, target: Target) -> dict[str, Any]:
    """Fields of the target that single flags set."""
    found: dict[str, Any] = {
        name: getattr(args, name)
        for name in ("engine", "model", "pid", "local", "baseline")
        if getattr(args, name) is not None
    }
    for flag, name in (("model_path", "model_path"), ("reference", "reference_path"), ("manifest", "manifest_path")):
        if given := getattr(args, flag, None):
            found[name] = str(Path(given).expanduser().absolute())
    for name in ("url", "direct_url", "metrics_url", "dcgm_url"):
        if getattr(args, name):
            found[name] = _checked_url(getattr(args, name), name)
    if args.pid is not None and args.pid < 1:
        raise UsageError(f"--pid: {args.pid}; wanted the engine's process id, 1 or more")
    if args.api_key_env and args.api_key_file:
        raise UsageError("--api-key-env and --api-key-file: give one of them")
    if args.api_key_env:
        found["api_key"] = Secret(env=args.api_key_env)
    elif args.api_key_file:
        found["api_key"] = _key_in(Path(args.api_key_file))
    elif target.api_key is None and os.environ.get("SICKBAY_API_KEY"):
        found["api_key"] = Secret(env="SICKBAY_API_KEY")
    if args.log:
        found["logs"] = (*target.logs, *(_log(given) for given in args.log))
    if args.prometheus:
        url = _checked_url(args.prometheus, "prometheus")
        found["prometheus"] = PrometheusSource(url=url, selector=args.selector, gpu_selector=args.gpu_selector)
    elif args.selector or args.gpu_selector:
        found["prometheus"] = _narrowed(target, args)
    if args.at:
        source = found.get("prometheus", target.prometheus)
        if source is None:
            raise UsageError("--at: only a Prometheus knows the past; give --prometheus URL")
        found["prometheus"] = dataclasses.replace(source, at_s=moment_s(args.at))
    if args.replica:
        found["replicas"] = tuple(_checked_url(url, "replica") for url in args.replica)
    if args.adapter:
        found["adapters"] = tuple(_adapter(text) for text in args.adapter)
    if args.insecure:
        found["tls_verify"] = False
    return found


def _narrowed(target: Target, args: argparse.Namespace) -> PrometheusSource:
    """The target's own Prometheus with the labels that the flags give."""
    if target.prometheus is None:
        flag = "--selector" if args.selector else "--gpu-selector"
        raise UsageError(f"{flag}: labels of series in a Prometheus; give --prometheus URL")
    given = {name: getattr(args, name) for name in ("selector", "gpu_selector") if getattr(args, name)}
    return dataclasses.replace(target.prometheus, **given)


def _adapter(text: str) -> Adapter:
    name, _, path = text.partition("=")
    if not name:
        raise UsageError(f"--adapter: {text!r} names no adapter; wanted NAME or NAME=PATH")
    return Adapter(name=name, path=str(Path(path).expanduser().absolute()) if path else "")


def _key_in(path: Path) -> Secret:
    """The key by its file; of a pipe (`--api-key-file <(pass show chat)`) the key itself, for it is read only once."""
    if path.is_file() or not path.exists() or path.is_dir():
        return Secret(file=str(path))
    return Secret(value=read_named(path, "--api-key-file:").strip(), file=str(path))


def _checked_url(url: str, flag: str) -> str:
    """A base URL without a trailing slash; `host:8000` is taken as http://host:8000."""
    flag = flag.replace("_", "-")
    full = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(full)
        port_is_sound = parts.port is None or parts.port > 0
    except ValueError as error:
        raise UsageError(f"--{flag}: {shown_url(url)!r} is no URL ({error}); wanted e.g. http://host:8000") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_is_sound:
        raise UsageError(f"--{flag}: {shown_url(url)!r} is no http or https URL; wanted e.g. http://host:8000")
    return base_url(full) if flag != "metrics-url" else full


def _name_of(url: str) -> str:
    """A target's name made from its address: host and port."""
    shown = shown_url(url if "://" in url else f"http://{url}")
    return shown.partition("://")[2].partition("/")[0] or shown


def _log(given: str) -> LogSource:
    """A log as the option names it: a file, or `journald:UNIT`, or `loki:URL QUERY`.

    Raises:
        UsageError: a kind without its place, or Loki without a query.
    """
    kind, colon, rest = given.partition(":")
    if not colon or kind not in {"journald", "loki"}:
        return LogSource(kind="file", where=given)
    where, _, query = rest.strip().partition(" ")
    if not where:
        raise UsageError(f"--log {given}: wanted journald:UNIT, e.g. journald:vllm.service, or 'loki:URL QUERY'")
    if kind == "journald":
        if query.strip():
            raise UsageError(f"--log {given!r}: a unit's name has no space in it; each log wants its own --log")
        return LogSource(kind=kind, where=where)
    if not where.startswith(("http://", "https://")) or not query.strip():
        raise UsageError(
            f"--log {given!r}: wanted a URL and a query, e.g. --log 'loki:http://loki:3100 {{app=\"vllm\"}}'"
        )
    return LogSource(kind=kind, where=where, query=query.strip())

"""A real llama.cpp server as a process of its own: `python -m sickbay.lab.llamacpp_server --json-config '{...}'`.

Options: model (path), port, ctx, parallel, threads, alias, api_key, metrics, slots, props, cpus (list of processor
indices), adapters (a path and a scale each), and params: any field of xllamacpp's CommonParams, dotted for nested
ones (`{"sampling.temp": 1.8, "n_batch": 16}`). `cgroups` and `address_space_bytes` limit this process (see `limits`).
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from typing import Any

from sickbay.lab.child import announce, pin, read_config
from sickbay.lab.limits import enter_limits
from sickbay.lab.model import MODEL_ALIAS, find_model, require_server

__all__ = ["main"]


GGML_TYPE_IDS = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8}  # ggml/include/ggml.h


def set_field(params: Any, dotted: str, value: Any) -> None:
    """Set one field of CommonParams by its dotted name.

    Raises:
        AttributeError: there is no such field; an assignment alone would say nothing.
    """
    holder = params
    *path, last = dotted.split(".")
    for part in path:
        holder = getattr(holder, part)
    getattr(holder, last)
    setattr(holder, last, GGML_TYPE_IDS.get(value, value) if last.startswith("cache_type_") else value)


def build_params(options: Mapping[str, Any]) -> Any:
    """The server's parameters from the options of a fault."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = options.get("model") or str(find_model())
    params.hostnames = ["127.0.0.1"]
    params.port = options.get("port", 0)
    params.n_ctx = options.get("ctx", 2048)
    params.n_parallel = options.get("parallel", 4)
    params.cpuparams.n_threads = options.get("threads", 1)
    params.cpuparams_batch.n_threads = options.get("threads", 1)
    params.endpoint_metrics = options.get("metrics", True)
    params.endpoint_slots = options.get("slots", True)
    params.endpoint_props = options.get("props", True)
    params.model_alias = {options.get("alias", MODEL_ALIAS)}
    if options.get("api_key"):
        params.api_keys = [options["api_key"]]
    params.lora_adapters = [
        xllamacpp.CommonAdapterLoraInfo(each["path"], each.get("scale", 1.0)) for each in options.get("adapters", ())
    ]
    for name, value in options.get("params", {}).items():
        set_field(params, name, value)
    return params


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM, SIGINT or the parent's end."""
    config = read_config(argv)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    pin(config.options.get("cpus", ()))
    enter_limits(config.options)
    try:
        require_server()
        import xllamacpp

        server = xllamacpp.Server(build_params(config.options))
    except Exception as error:  # a server that does not start is an answer for the stage, whatever the library raises
        announce(config, error=f"{type(error).__name__}: {error}")
        return 1
    address = str(server.listening_address)
    announce(config, listening=address, port=int(address.rstrip("/").rpartition(":")[2]))
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    return 0


if __name__ == "__main__":
    sys.exit(main())

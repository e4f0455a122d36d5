"""A real vLLM server (CPU) as a process of its own: `python -m sickbay.lab.vllm_server --json-config '{...}'`.

vLLM lives in an environment of its own (2.5 GB), whose interpreter `SICKBAY_VLLM_PYTHON` names (default
`.venv-vllm/bin/python`). The model is the lab's GGUF file, converted once into `.cache/lab/`. Options: port, alias,
model (another folder), ctx, parallel, flags (further arguments), env, warm_compile_cache (false gives this server an
empty one), cpus, nice (its scheduler spins on one processor while its worker computes on another; nice lets what looks
at it come first).
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sickbay.lab.child import PR_SET_PDEATHSIG, announce, give_way, pin, read_config
from sickbay.lab.errors import LaneMissingError
from sickbay.lab.model import MODEL_ALIAS, find_model

__all__ = ["converted_folder", "find_vllm_python", "main", "vllm_command"]

CACHE = Path(os.environ.get("SICKBAY_LAB_CACHE", ".cache/lab"))
CONVERT = """
import pathlib, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
folder, name, out = sys.argv[1:4]
tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
# transformers 5 keeps a GGUF file packed and refuses to save it, unless it is dequantised.
model = AutoModelForCausalLM.from_pretrained(
    folder, gguf_file=name, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True))
model.config._name_or_path = ""
if hasattr(model.config, "quantization_config"):
    del model.config.quantization_config
model.save_pretrained(out)
tokenizer.save_pretrained(out)
"""
CONVERT_TIMEOUT_S = 300.0


def find_vllm_python() -> Path:
    """The interpreter that has vLLM.

    Raises:
        LaneMissingError: there is none.
    """
    path = Path(os.environ.get("SICKBAY_VLLM_PYTHON", ".venv-vllm/bin/python"))
    if not path.exists():
        why = f"{str(path)!r} is not there; `make test-heavy` installs it, or set SICKBAY_VLLM_PYTHON"
        raise LaneMissingError("vLLM", why)
    return path.absolute()


def converted_folder() -> Path:
    """Where the lab's model is as vLLM reads it, once it was converted."""
    return (CACHE / "smollm2-135m-hf").absolute()


def converted_model(python: Path) -> Path:
    """The lab's model as vLLM reads it (bfloat16); converted on the first call, about half a minute."""
    folder = converted_folder()
    if not (folder / "config.json").exists():
        source = find_model()
        partial = folder.with_name(f"{folder.name}.{os.getpid()}")
        partial.mkdir(parents=True)
        command = [str(python), "-c", CONVERT, str(source.parent), source.name, str(partial)]
        subprocess.run(
            command, check=True, timeout=CONVERT_TIMEOUT_S, env={**os.environ, "HF_HUB_OFFLINE": "1"}, stdout=sys.stderr
        )
        partial.rename(folder)
    return folder


def vllm_command(python: Path, model: Path, options: Mapping[str, Any]) -> list[str]:
    """The server's command line."""
    command = [str(python), "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
    command += ["--served-model-name", options.get("alias", MODEL_ALIAS), "--host", "127.0.0.1"]
    command += ["--port", str(options["port"]), "--dtype", "bfloat16"]
    command += ["--max-model-len", str(options.get("ctx", 2048)), "--max-num-seqs", str(options.get("parallel", 4))]
    return command + [str(flag) for flag in options.get("flags", ["--enforce-eager"])]


def main(argv: list[str] | None = None) -> int:
    """Serve until killed."""
    config = read_config(argv)
    pin(config.options.get("cpus", ()))
    give_way(config.options.get("nice", 0))
    try:
        python = find_vllm_python()
        model = Path(config.options["model"]) if "model" in config.options else converted_model(python)
        process = _start(python, model, config.options)
        _wait_healthy(process, config.options)
    except Exception as error:  # a server that does not start is an answer for the stage, whatever is raised
        announce(config, error=f"{type(error).__name__}: {error}")
        return 1
    announce(config, port=config.options["port"], engine_pid=process.pid)
    return process.wait()


def _start(python: Path, model: Path, options: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
    env["OMP_NUM_THREADS"] = str(options.get("threads", 1))
    if not options.get("warm_compile_cache", True):
        empty = Path(options["folder"]) / "compile-cache"
        shutil.rmtree(empty, ignore_errors=True)
        env |= {"VLLM_CACHE_ROOT": str(empty), "TORCHINDUCTOR_CACHE_DIR": str(empty / "inductor")}
    env |= options.get("env", {})

    def tie() -> None:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    return subprocess.Popen(vllm_command(python, model, options), env=env, stdout=sys.stderr, preexec_fn=tie)  # noqa: PLW1509 - one thread here


def _wait_healthy(process: subprocess.Popen[bytes], options: Mapping[str, Any]) -> None:
    until = time.monotonic() + options.get("start_timeout_s", 300.0)
    url = f"http://127.0.0.1:{options['port']}/health"
    while process.poll() is None and time.monotonic() < until:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.5)
    raise TimeoutError(f"vLLM gave no 200 at {url} (exit code {process.poll()})")


if __name__ == "__main__":
    sys.exit(main())

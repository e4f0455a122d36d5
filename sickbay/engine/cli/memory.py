"""`sickbay memory PATH`: what a model needs in memory, and what fits, from its own files."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from sickbay.engine.cli.tools import Tools
from sickbay.engine.errors import ProbeError, UsageError
from sickbay.engine.measure.memory_plan import MemoryPlan, parse_bytes, plan_memory, plan_to_json
from sickbay.engine.measure.model_files import ModelFiles, read_model
from sickbay.engine.measure.model_memory import KV_TYPES, Cache, attention_of
from sickbay.engine.model.outcome import ExitCode
from sickbay.engine.report.units import human
from sickbay.engine.run.files import RootedFiles

__all__ = ["arguments", "call"]

CONTEXT_WITHOUT_WORD = 4096
ENGINE_DEFAULTS = {"gguf": (256, 512), "safetensors": (16, 2048)}
"""Tokens of a KV block and of a step: llama.cpp's (--ubatch-size), vLLM's (--block-size, --max-num-batched-tokens)."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which model, how it is kept, and into what it must fit."""
    add = parser.add_argument
    add("path", metavar="PATH", help="a .gguf file, or a folder with config.json and .safetensors files")
    add("--context", type=int, metavar="TOKENS", help="of one request (default: what the model was trained for)")
    add("--concurrency", type=int, default=1, metavar="N", help="requests at the same time (default 1)")
    add("--kv-type", metavar="TYPE", help="f16, bf16, fp8, q8_0 … (default: the model's own, else f16)")
    add("--kv-type-v", metavar="TYPE", help="of the values alone (llama.cpp: --cache-type-v)")
    add("--tp", type=int, default=1, metavar="N", help="tensor parallel: numbers are of one device")
    add(
        "--block",
        type=int,
        metavar="TOKENS",
        help="KV block (default: GGUF 256 as llama.cpp, else 16; vLLM on CPU 128)",
    )
    add(
        "--batch", type=int, metavar="TOKENS",
        help="of one step: a layer with a window keeps so many more (default: GGUF 512, else 2048)",
    )  # fmt: skip
    add("--memory", metavar="SIZE", help="of one device, e.g. 80GiB or 24GB")
    add("--fraction", type=float, default=0.9, help="share of it the engine may take (default 0.9)")
    add("--reserve", default="0", metavar="SIZE", help="for activations, captured graphs, the runtime")
    add("--format", choices=("text", "json"), default="text")


def call(args: argparse.Namespace, tools: Tools) -> int:  # noqa: ARG001 - every verb is called so
    """Exit 0; 2 when it was asked whether it fits and it does not; 3 when the files cannot be read."""
    _check(args)
    try:
        model = read_model(RootedFiles("/"), str(Path(args.path).expanduser().absolute()))
    except ProbeError as error:
        sys.stderr.write(f"sickbay memory: {error.detail}\n")
        return ExitCode.INCONCLUSIVE
    kinds = _kv_types(args, model)
    block, batch = ENGINE_DEFAULTS[model.kind]
    cache = Cache(
        key_bytes=KV_TYPES[kinds[0]], value_bytes=KV_TYPES[kinds[1]], tensor_parallel=args.tp,
        block=args.block or block, slack=args.batch or batch,
    )  # fmt: skip
    plan = plan_memory(
        model.shape,
        model.weights_bytes,
        context=args.context or model.shape.context_train or CONTEXT_WITHOUT_WORD,
        sequences=args.concurrency,
        cache=cache,
        memory_bytes=_size(args.memory, "--memory") if args.memory else None,
        fraction=args.fraction,
        reserve_bytes=_size(args.reserve, "--reserve"),
    )
    if args.format == "json":
        sys.stdout.write(json.dumps(_json(args.path, model, plan, kinds, args), indent=2) + "\n")
    else:
        sys.stdout.write("\n".join(_lines(args, model, plan, kinds)) + "\n")
    return ExitCode.FAILING if plan.fits is False else ExitCode.HEALTHY


def _check(args: argparse.Namespace) -> None:
    for flag, value, most in (
        ("--context", args.context, 1 << 27), ("--concurrency", args.concurrency, 1 << 20), ("--tp", args.tp, 1024),
        ("--block", args.block, 1 << 16), ("--batch", args.batch, 1 << 20),
    ):  # fmt: skip
        if value is not None and not 1 <= value <= most:
            raise UsageError(f"{flag}: {value}; wanted 1 to {most}")
    if not 0 < args.fraction <= 1:
        raise UsageError(f"--fraction: {args.fraction:g}; wanted more than 0 and at most 1")


def _size(text: str, flag: str) -> float:
    found = parse_bytes(text)
    if found is None:
        raise UsageError(f"{flag}: {text!r} is no size; wanted e.g. 80GiB or 24GB")
    return found


def _kv_types(args: argparse.Namespace, model: ModelFiles) -> tuple[str, str]:
    own = model.shape.dtype if KV_TYPES.get(model.shape.dtype) == 2.0 else "f16"
    key = (args.kv_type or own).lower()
    value = (args.kv_type_v or key).lower()
    for kind in (key, value):
        if kind not in KV_TYPES:
            raise UsageError(f"--kv-type: {kind!r} is not known; one of: {', '.join(KV_TYPES)}")
    return key, value


def _lines(args: argparse.Namespace, model: ModelFiles, plan: MemoryPlan, kinds: tuple[str, str]) -> Iterator[str]:
    types = ", ".join(
        f"{kind} {human(float(size), 'bytes')}"
        for kind, size in sorted(model.bytes_by_type.items(), key=lambda item: -item[1])[:4]
    )
    said = kinds[0] if kinds[0] == kinds[1] else f"keys {kinds[0]}, values {kinds[1]}"
    split = f" on each of {args.tp} devices" if args.tp > 1 else ""
    weights, each, asked = (human(n, "bytes") for n in (plan.weights_bytes, plan.kv_bytes_per_token, plan.kv_bytes))
    many = "s" if plan.sequences > 1 else ""
    yield f"{Path(args.path).name}: {model.kind}, {model.shape.architecture or 'unknown'}, {_files(len(model.files))}"
    yield f"weights    {weights}{split}; {model.numbers:,} numbers of {model.bits_per_weight:.3g} bits ({types})"
    yield f"attention  {attention_of(model.shape)}; {len(model.shape.layers)} layers"
    yield f"KV cache   {each} a token{split} ({said})"
    yield f"asked      {asked} of KV for {plan.sequences} request{many} of {plan.context:,} tokens"
    for note in model.shape.notes:
        yield f"note       {note}"
    if plan.room_bytes is None:
        yield "fits?      give --memory 80GiB to see what fits"
        return
    room, memory = human(plan.room_bytes, "bytes"), human(plan.memory_bytes or 0.0, "bytes")
    reserve = f" and {args.reserve}" if args.reserve != "0" else ""
    yield f"room       {room} for KV: {memory} times {args.fraction:g}, less weights{reserve}"
    yield f"fits       {plan.tokens_that_fit:,} tokens; {plan.sequences_that_fit:,} requests of {plan.context:,} tokens"
    if plan.sequences > 1 or not plan.fits:
        yield f"           {plan.sequences} at once: at most {plan.context_that_fits:,} tokens each"
    yield f"verdict    {'it fits' if plan.fits else 'it does not fit'}"
    if args.reserve == "0":
        yield "           activations, captured graphs and the runtime are not counted; leave room with --reserve"


def _files(count: int) -> str:
    return f"{count} file{'s' if count != 1 else ''}"


def _json(
    path: str, model: ModelFiles, plan: MemoryPlan, kinds: tuple[str, str], args: argparse.Namespace
) -> dict[str, object]:
    return {
        "schema": "sickbay.memory.v1",
        "path": path,
        "kind": model.kind,
        "architecture": model.shape.architecture,
        "attention": attention_of(model.shape),
        "layers": len(model.shape.layers),
        "context_train": model.shape.context_train,
        "weights_bytes_all_devices": model.weights_bytes,
        "bits_per_weight": model.bits_per_weight,
        "bytes_by_type": dict(model.bytes_by_type),
        "quantisation": model.quantisation,
        "kv_type_key": kinds[0],
        "kv_type_value": kinds[1],
        "tensor_parallel": args.tp,
        "fraction": args.fraction,
        "notes": list(model.shape.notes),
        **plan_to_json(plan),
    }

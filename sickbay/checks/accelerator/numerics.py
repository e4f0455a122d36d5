"""accelerator.numerics: does a device compute right: repeatable, equal to its peers, within the error bound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.checks.accelerator.active import FORMATS, active_cost, active_schema, run_active
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["AcceleratorNumerics"]

_COUNTS = {
    "different": ("accelerator.repeats_different", "repeats of one product that differ in any bit"),
    "wrong": ("accelerator.results_wrong", "results outside the bound that every summing order keeps"),
    "nonfinite": ("accelerator.results_nonfinite", "results that are no finite number"),
    "miscompares": ("accelerator.memory_miscompares", "memory words that did not read back as written"),
}
_SAYS = {
    "different": "{count} of {of} repeats of one {format} product differ",
    "wrong": "{count} of {of} results of a {format} product are wrong",
    "nonfinite": "{count} results of a {format} product are no finite numbers",
}


class AcceleratorNumerics(Check):
    """Look for silent corruption: repeat one product, compare it bit by bit and with equal devices, hold it to a bound.

    What is tested of memory is the share named by `fraction`, of what is free, in three patterns. A device whose
    allocation fails below that share is told so. A pass says that nothing was seen in this time, not that it is sound.
    """

    name = "accelerator.numerics"
    title = "Does the device compute right, and does its memory keep what is written"
    effect = Effect.INTRUSIVE
    isolated = True
    needs = ("host",)
    emits = (
        *(name for name, _ in _COUNTS.values()),
        "accelerator.devices_disagree",
        "accelerator.memory_tested_bytes",
        "gpu.active_test_ok",
    )
    params: ClassVar[Mapping[str, Any]] = active_schema(
        formats={
            "type": "array",
            "items": {"enum": list(FORMATS)},
            "minItems": 1,
            "default": ["fp32", "bf16", "fp16", "fp8"],
            "description": "number formats to multiply in",
        },
        size={
            "type": "integer",
            "minimum": 0,
            "maximum": 16_384,
            "default": 0,
            "description": "rows and columns; 0: 4096, or 256 on a processor",
        },
        repeats={"type": "integer", "minimum": 2, "maximum": 10_000, "default": 50},
        fraction={
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": 0.95,
            "default": 0.8,
            "description": "share of the free memory that is written and read",
        },
    )
    sources = (
        "error bound of an inner product in any order: Higham, Accuracy and Stability of Numerical Algorithms, 3.5",
        "one library gives the same bits for the same call on the same kind of device: cuBLAS, results reproducibility",
        "comparing repeats finds silent corruption: the diagnostic test of NVIDIA/DCGM",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """No request; the time box."""
        return active_cost(params)

    def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Run the products and patterns in a child."""
        names = ("formats", "size", "repeats", "fraction")
        return run_active(look, params, "numerics", **{name: params[name] for name in names})

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Fail on any difference, wrong or non-finite result, or word that did not read back."""
        from sickbay.checks.accelerator.active_judge import devices_of, not_run, refused_words  # late: reads a table

        if (result := not_run(raw, self.emits)) is not None:
            return result
        products = [line for line in raw["lines"] if "digest" in line]
        memory = [line for line in raw["lines"] if "pattern_bytes" in line]
        words = [text for line in products for text in _wrong(line)]
        words += [
            f"{line['device_id']}: {line['miscompares']} memory words did not read back" for line in memory
            if line["miscompares"]
        ]  # fmt: skip
        apart, judged = _disagree(products, devices_of(raw))
        words += [f"{device}: its {form} product differs from its equals'" for device, form in apart]
        short = [
            f"{line['device_id']}: {_size(line['pattern_bytes'])} of {_size(line['goal'])} could be had"
            for line in memory
            if line["refused"]
        ]
        signals = _signals(products, memory)
        signals["accelerator.devices_disagree"] = (
            measured(len({device for device, _ in apart}), "digests of equal devices' results")
            if judged
            else unknown(UnknownReason.UNSUPPORTED, "one device has no equal to compare with")
        )
        gpu = any(device["kind"] != "cpu" for device in devices_of(raw).values())
        signals["gpu.active_test_ok"] = (
            measured(not words, "accelerator.numerics: products and memory patterns")
            if gpu and products
            else unknown(UnknownReason.UNSUPPORTED, "no accelerator was tested" if not gpu else "no product was made")
        )
        outcome = Outcome.FAIL if words else Outcome.WARN if short else Outcome.PASS if products else Outcome.UNKNOWN
        return Result(
            outcome=outcome,
            summary=("; ".join(words + short) or _good(products, memory)) + refused_words(raw),
            signals=signals,
            next_step="take the device out of service; what it computed lately is suspect" if words else "",
        )


def _wrong(line: Mapping[str, Any]) -> list[str]:
    of = {"different": line["repeats"], "wrong": line["compared"], "nonfinite": 0}
    return [
        f"{line['device_id']}: " + text.format(count=line[key], of=of[key], format=line["format"])
        for key, text in _SAYS.items()
        if line[key]
    ]


def _disagree(
    products: list[Mapping[str, Any]], devices: Mapping[str, Mapping[str, Any]]
) -> tuple[list[tuple[str, str]], bool]:
    """Devices whose digest is not their equals' most common one, and whether there were equals to compare.

    Of two that disagree both are named: a majority needs three.
    """
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for line in products:
        groups.setdefault((line["format"], str(devices[line["device_id"]]["name"])), []).append(line)
    apart, judged = [], False
    for (form, _), group in groups.items():
        if len(group) < 2:
            continue
        judged = True
        (digest, most), *_ = Counter(line["digest"] for line in group).most_common(1)
        majority = digest if 2 * most > len(group) else None
        if most < len(group):
            apart += [(line["device_id"], form) for line in group if line["digest"] != majority]
    return apart, judged


def _signals(products: list[Mapping[str, Any]], memory: list[Mapping[str, Any]]) -> dict[str, Reading]:
    found: dict[str, Reading] = {}
    for key, (name, source) in _COUNTS.items():
        lines = memory if key == "miscompares" else products
        by: Counter[str] = Counter()
        for line in lines:
            by[line["device_id"]] += line[key]
        found[name] = (
            measured(sum(by.values()), source, by={device: float(count) for device, count in by.items()})
            if lines
            else unknown(UnknownReason.UNSUPPORTED, "nothing was measured")
        )
    found["accelerator.memory_tested_bytes"] = (
        measured(min(line["pattern_bytes"] for line in memory), "written and read back, of the device with the least")
        if memory
        else unknown(UnknownReason.UNSUPPORTED, "nothing was measured")
    )
    return found


def _good(products: list[Mapping[str, Any]], memory: list[Mapping[str, Any]]) -> str:
    repeats = sum(line["repeats"] for line in products)
    formats = ", ".join(dict.fromkeys(line["format"] for line in products))
    size = min((line["pattern_bytes"] for line in memory), default=0)
    return f"{repeats} repeats in {formats} are equal and within the bound; {_size(size)} read back as written"


def _size(size: float) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"

"""accelerator.matmul: how fast a device multiplies, for each number format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.checks.accelerator.active import FORMATS, active_cost, active_schema, limits_schema, run_active
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

if TYPE_CHECKING:
    from sickbay.checks.accelerator.active_judge import Rate
    from sickbay.engine.model.look import Look

__all__ = ["AcceleratorMatmul"]

_PREFERRED = ("bf16", "fp16", "fp32")


class AcceleratorMatmul(Check):
    """Multiply two large random matrices in each format and compare the rate with the table of devices.

    Values are normally distributed from one fixed seed, because the power a product takes, and so its clock, depends
    on them. A format that the device does not multiply in hardware is left out and named.
    """

    name = "accelerator.matmul"
    title = "How fast does the device multiply, by number format"
    effect = Effect.INTRUSIVE
    isolated = True
    needs = ("host",)
    emits = ("accelerator.matmul_flops", "accelerator.matmul_ratio", "gpu.peer_deviation")
    params: ClassVar[Mapping[str, Any]] = active_schema(
        formats={
            "type": "array",
            "items": {"enum": list(FORMATS)},
            "minItems": 1,
            "default": list(FORMATS),
            "description": "number formats to multiply in",
        },
        size={
            "type": "integer",
            "minimum": 0,
            "maximum": 32_768,
            "default": 0,
            "description": "rows and columns; 0: 8192, or 4096 on older devices, 512 on a processor",
        },
        limits=limits_schema("operations", *FORMATS),
    )
    sources = (
        "peaks, best published rates and shares: sickbay/data/gpus.yaml, row by row",
        "random and regular values differ by 18 %: per-device targets in ROCm/ROCmValidationSuite",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """No request; the time box."""
        return active_cost(params)

    def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Run the products in a child."""
        return run_active(look, params, "matmul", formats=params["formats"], size=params["size"], least_s=0.1)

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Warn or fail below the shares of the table."""
        from sickbay.checks.accelerator.active_judge import (  # late: reads a table
            judge_rates,
            not_run,
            peer_ratio,
            refused_words,
            worst_ratio,
        )

        if (result := not_run(raw, self.emits)) is not None:
            return result
        rates = _rates(raw)
        outcome, words, shares = judge_rates(rates, raw, params["limits"])
        worst, peers = worst_ratio(shares), peer_ratio(rates, raw)
        none = unknown(UnknownReason.UNSUPPORTED, "no figure is known for this device")
        alone = unknown(UnknownReason.UNSUPPORTED, "one device has no equal to compare with")
        signals = {
            "accelerator.matmul_flops": _flops(rates),
            "accelerator.matmul_ratio": none
            if worst is None
            else measured(worst, "measured over what the table of devices says it reaches", by=shares),
            "gpu.peer_deviation": alone
            if peers is None
            else measured(peers, "median device's rate over the slowest one's, for the same product"),
        }
        good = "; ".join(f"{rate.device}: {rate.label} {_tera(rate.value)} TFLOP/s" for rate in rates[:8])
        note = "; no limit is known for this device" if not shares and not words else ""
        summary = ("; ".join(words) or f"{good}{note}") + refused_words(raw)
        return Result(outcome=outcome, summary=summary, signals=signals)


def _tera(value: float) -> str:
    """Three digits, and never a power of ten: 51.2, 744, 1,350."""
    tera = value / 1e12
    return f"{tera:,.0f}" if tera >= 100 else f"{tera:.3g}"


def _rates(raw: Raw) -> list[Rate]:
    from sickbay.checks.accelerator.active_judge import Rate  # late: reads a table

    return [
        Rate.of(line["device_id"], line["format"], f"{line['format']} product", line["operations"], line["seconds"])
        for line in raw["lines"]
        if "operations" in line
    ]


def _flops(rates: list[Rate]) -> Reading:
    """The slowest device's rate in the format that serving uses most; all of them beside it."""
    for wanted in (*_PREFERRED, *FORMATS):
        found = [rate.value for rate in rates if rate.measure == wanted]
        if found:
            by = {f"{rate.device} {rate.measure}": rate.value for rate in rates}
            return measured(min(found), f"{wanted} product, best of {len(rates[0].all)} repeats", by=by)
    return unknown(UnknownReason.UNSUPPORTED, "no product of any format could be made")

"""What expressions read: known signals, inputs and the baseline, by dotted name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sickbay.engine.model.signal import Reading

__all__ = ["Value", "missing_names", "values_of"]

Value = float | bool | str


def values_of(
    signals: Mapping[str, Reading], inputs: Mapping[str, Value], baseline: Mapping[str, Reading]
) -> dict[str, Value]:
    """Known values only: "serving.kv_usage_ratio", "inputs.slo_ttft_s", "baseline.probe.ttft_s_p50"."""
    found: dict[str, Value] = {name: reading.value for name, reading in signals.items() if reading.value is not None}
    found.update({f"inputs.{name}": value for name, value in inputs.items()})
    found.update({f"baseline.{name}": reading.value for name, reading in baseline.items() if reading.value is not None})
    return found


def missing_names(names: Iterable[str], values: Mapping[str, Value]) -> tuple[str, ...]:
    """The names that have no value, in the order they are read."""
    return tuple(name for name in dict.fromkeys(names) if name not in values)

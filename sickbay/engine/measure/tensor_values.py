"""The numbers of a tensor's bytes, and what can be said of them at a glance. Needs numpy; quantised GGUF needs `gguf`.

`gguf` is the format's own library (ggml-org/llama.cpp, gguf-py); it turns every block type back into numbers.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.signal import UnknownReason

__all__ = ["OTHER_TYPE", "STRETCH", "Seen", "decode", "difference", "look_at_values", "spread"]

STRETCH = 4096
"""Numbers in one stretch. A page of zeros on disk is at least as long in every type."""

OTHER_TYPE = {"F16": "BF16", "BF16": "F16"}
"""The type of the same width that a wrong header would name."""

_PLAIN = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I8": "<i1", "U8": "<u1", "I16": "<i2", "U16": "<u2",
          "I32": "<i4", "U32": "<u4", "I64": "<i8", "U64": "<u8", "BOOL": "<u1"}  # fmt: skip


_FLOAT4 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0)
"""All 16 values of a 4-bit float, E2M1 (OCP Microscaling Formats 1.0); two in a byte, the lower half first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a tensor's numbers look like. `largest` and `rms` are of the finite ones."""

    numbers: int
    nonfinite: int
    zeros: int
    zero_stretches: int
    stretches: int
    largest: float
    rms: float

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def decode(data: bytes, kind: str) -> Any:
    """float32 [N] (float64 for F64), in the file's order; whole blocks only.

    Raises:
        ProbeError: numpy or gguf is not installed (missing-library), or the type is not known here (unsupported).
    """
    try:
        import numpy as np  # late: heavy, and only a scan of weights needs it
    except ImportError as error:
        raise ProbeError(UnknownReason.MISSING_LIBRARY, "reading weights needs numpy: sickbay[model]") from error
    if kind in _PLAIN:
        return np.frombuffer(data, dtype=_PLAIN[kind]).astype(np.float64 if kind == "F64" else np.float32)
    if kind == "BF16":
        return (np.frombuffer(data, dtype="<u2").astype(np.uint32) << 16).view(np.float32)
    if kind in {"F8_E4M3", "F8_E5M2"}:
        return _float8(*((4, 3) if kind == "F8_E4M3" else (5, 2)))[np.frombuffer(data, dtype=np.uint8)]
    if kind == "F8_E8M0":
        return _powers()[np.frombuffer(data, dtype=np.uint8)]
    if kind == "F4":
        pairs = np.frombuffer(data, dtype=np.uint8)
        return np.asarray(_FLOAT4, dtype=np.float32)[np.stack([pairs & 15, pairs >> 4], axis=1).ravel()]
    if kind == "C64":
        return np.frombuffer(data, dtype="<f4").astype(np.float32)
    return _blocks(data, kind)


def _powers() -> Any:
    """All 256 powers of two of E8M0, the last of which is NaN (OCP Microscaling Formats 1.0)."""
    import numpy as np  # late: as above

    table = np.exp2(np.arange(256, dtype=np.float64) - 127).astype(np.float32)
    table[255] = np.nan
    return table


def _blocks(data: bytes, kind: str) -> Any:
    import numpy as np  # late: as above

    try:
        from gguf import GGMLQuantizationType, quants  # late: as above
    except ImportError as error:
        raise ProbeError(UnknownReason.MISSING_LIBRARY, f"reading {kind} needs the library gguf") from error
    try:
        # A damaged scale is infinite or NaN: that is what is looked for, and no reason to warn.
        with np.errstate(all="ignore"):
            return quants.dequantize(np.frombuffer(data, dtype=np.uint8), GGMLQuantizationType[kind]).ravel()
    except (KeyError, NotImplementedError) as error:
        raise ProbeError(UnknownReason.UNSUPPORTED, f"numbers of type {kind} cannot be read here") from error


def _float8(exponent_bits: int, mantissa_bits: int) -> Any:
    """All 256 values of an 8-bit float (OCP OFP8: E4M3 has no infinity and one NaN; E5M2 is like IEEE)."""
    import numpy as np  # late: as above

    bias = 2 ** (exponent_bits - 1) - 1
    table = np.zeros(256, dtype=np.float32)
    for code in range(256):
        exponent = code >> mantissa_bits & (1 << exponent_bits) - 1
        mantissa = code & (1 << mantissa_bits) - 1
        size = (
            2.0 ** (exponent - bias) * (1 + mantissa / 2**mantissa_bits)
            if exponent
            else 2.0 ** (1 - bias) * mantissa / 2**mantissa_bits
        )
        if exponent_bits == 4 and code & 0x7F == 0x7F:
            size = np.nan
        elif exponent_bits == 5 and exponent == 31:
            size = np.nan if mantissa else np.inf
        table[code] = -size if code & 0x80 else size
    return table


def look_at_values(values: Any) -> Seen:
    """Count what is not finite and what is zero, and how large the rest is."""
    import numpy as np  # late: as above

    finite = np.isfinite(values)
    whole = bool(finite.all())
    sound = values if whole else values[finite]
    nonzero = values != 0
    rows = nonzero[: len(values) // STRETCH * STRETCH].reshape(-1, STRETCH)
    return Seen(
        numbers=len(values),
        nonfinite=0 if whole else int(len(values) - finite.sum()),
        zeros=int(len(values) - nonzero.sum()),
        zero_stretches=int((~rows.any(axis=1)).sum()),
        stretches=len(rows),
        largest=float(np.abs(sound).max()) if len(sound) else 0.0,
        rms=float(np.sqrt(np.mean(np.square(sound, dtype=np.float64)))) if len(sound) else 0.0,
    )


def difference(values: Any, others: Any) -> float:
    """Root mean square of the difference over that of `others`; 0 when equal, infinite against zeros or not finite."""
    import numpy as np  # late: as above

    with np.errstate(all="ignore"):
        apart = float(np.sqrt(np.mean(np.square(values.astype(np.float64) - others.astype(np.float64)))))
        size = float(np.sqrt(np.mean(np.square(others, dtype=np.float64))))
    if apart == 0.0:
        return 0.0
    return apart / size if size and np.isfinite(apart) and np.isfinite(size) else float("inf")


def spread(values: Any) -> float:
    """Standard deviation of log2 of the sizes, without zeros: 1.6 for a normal distribution, however wide it is.

    The eight bits of a bfloat16's exponent, read as float16, are five of exponent and three of mantissa: the spread of
    sizes shrinks to an eighth. The other way round it grows eightfold.
    """
    import numpy as np  # late: as above

    sizes = np.abs(values[np.isfinite(values) & (values != 0)]).astype(np.float64)
    return float(np.std(np.log2(sizes))) if len(sizes) else 0.0

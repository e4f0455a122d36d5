"""Arithmetic on bfloat16 matrices of a safetensors file: what a coarse quantiser or a wrong converter leaves behind.

numpy has no bfloat16, so numbers are the upper half of a float32 (round to nearest, ties to even).
"""

from __future__ import annotations

from typing import Any

__all__ = ["from_bfloat16", "interleaved", "rounded", "to_bfloat16"]


def from_bfloat16(content: bytes, shape: list[int]) -> Any:
    """float32 array of this shape."""
    import numpy as np  # late: only a fault with such an edit needs it

    return (np.frombuffer(content, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)


def to_bfloat16(array: Any) -> bytes:
    """The nearest bfloat16 numbers, little-endian."""
    import numpy as np

    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    nearest: bytes = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()
    return nearest


def rounded(matrix: Any, bits: int) -> Any:
    """Each row on 2**bits evenly spaced levels between its least and its greatest number, as round-to-nearest does.

    Args:
        matrix: float32 [outputs, inputs].
        bits: of a level's number.
    """
    import numpy as np

    least = matrix.min(axis=1, keepdims=True)
    step = np.maximum((matrix.max(axis=1, keepdims=True) - least) / (2**bits - 1), np.finfo(np.float32).tiny)
    return least + step * np.round((matrix - least) / step)


def interleaved(matrix: Any, head_dim: int) -> Any:
    """The rows of each head in the other order of rotary pairs: halves (0, h/2), (1, h/2 + 1) become neighbours.

    transformers: convert_llama_weights_to_hf.py, `permute`, undoes exactly this; a converter that leaves it out writes
    finite, plausible weights whose positions mean nothing.
    """
    outputs, inputs = matrix.shape
    return matrix.reshape(outputs // head_dim, 2, head_dim // 2, inputs).swapaxes(1, 2).reshape(outputs, inputs)

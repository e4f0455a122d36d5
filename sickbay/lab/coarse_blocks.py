"""Quantise tensors anew, with fewer bits: what `llama-quantize` does for Q2_K, in its simplest form.

Rows whose length is a multiple of 256 become real Q2_K blocks (2.6 bits a weight). Other rows cannot (the block
does not fit), so llama.cpp's own tool falls back to a larger type there; here they become Q4_0 blocks that use only
four of their sixteen levels, so that they hold two bits of information in a container of 4.5.
Layouts: ggml/src/ggml-common.h of ggml-org/llama.cpp.
"""

from __future__ import annotations

from typing import Any

from sickbay.lab.gguf_file import TensorInfo

__all__ = ["from_q4_1", "two_bit"]

Q4_0, Q4_1, Q2_K = 2, 3, 10


def two_bit(info: TensorInfo, content: bytes) -> tuple[int, bytes]:
    """The type and bytes of this tensor with two bits a weight; anything but Q4_1 stays as it is."""
    if info.type != Q4_1:
        return info.type, content
    weights = from_q4_1(content)
    if info.shape[0] % 256 == 0:
        return Q2_K, _to_q2_k(weights)
    return Q4_0, _to_four_levels(weights)


def from_q4_1(content: bytes) -> Any:
    """float32 numbers of Q4_1 blocks (20 bytes hold 32 of them)."""
    import numpy as np  # late: only a fault that quantises needs it

    blocks = np.frombuffer(content, dtype=np.uint8).reshape(-1, 20)
    scale = blocks[:, 0:2].copy().view(np.float16).astype(np.float32)
    least = blocks[:, 2:4].copy().view(np.float16).astype(np.float32)
    codes = np.concatenate([blocks[:, 4:] & 15, blocks[:, 4:] >> 4], axis=1)
    return (codes * scale + least).reshape(-1)


def _to_four_levels(weights: Any) -> bytes:
    """Q4_0 (d, 16 bytes; value = d * (code - 8)) with codes 2, 6, 10, 14 only: steps of four."""
    import numpy as np  # late: as above

    blocks = weights.reshape(-1, 32)
    scale = np.abs(blocks).max(axis=1, keepdims=True) / 6.0
    safe = np.where(scale == 0, 1.0, scale)
    level = np.clip(np.round((blocks / safe + 6.0) / 4.0), 0, 3).astype(np.uint8)
    codes = level * 4 + 2
    packed = codes[:, :16] | (codes[:, 16:] << 4)
    return np.concatenate([scale.astype(np.float16).view(np.uint8), packed.astype(np.uint8)], axis=1).tobytes()


def _to_q2_k(weights: Any) -> bytes:
    """Q2_K: 16 sub-blocks of 16 with a 4-bit scale and a 4-bit minimum each; value = d*s*code - dmin*m."""
    import numpy as np  # late: as above

    blocks = weights.reshape(-1, 16, 16)
    least = np.minimum(blocks.min(axis=2), 0.0)
    step = (blocks.max(axis=2) - least) / 3.0
    d, dmin = step.max(axis=1) / 15.0, (-least).max(axis=1) / 15.0
    d, dmin = (np.where(x == 0, 1e-8, x).astype(np.float16).astype(np.float32) for x in (d, dmin))
    s = np.clip(np.round(step / d[:, None]), 0, 15)
    m = np.clip(np.round(-least / dmin[:, None]), 0, 15)
    real_step = np.where(s == 0, 1.0, s * d[:, None])[:, :, None]
    codes = np.clip(np.round((blocks + (m * dmin[:, None])[:, :, None]) / real_step), 0, 3).astype(np.uint8)
    scales = (s.astype(np.uint8) | (m.astype(np.uint8) << 4)).reshape(-1, 16)
    # 128 values share 32 bytes: byte l of a half holds values l, l+32, l+64, l+96, two bits each.
    halves = codes.reshape(-1, 2, 4, 32)
    packed = halves[:, :, 0] | (halves[:, :, 1] << 2) | (halves[:, :, 2] << 4) | (halves[:, :, 3] << 6)
    tail = np.stack([d.astype(np.float16), dmin.astype(np.float16)], axis=1).view(np.uint8)
    return np.concatenate([scales, packed.reshape(-1, 64), tail.reshape(-1, 4)], axis=1).tobytes()

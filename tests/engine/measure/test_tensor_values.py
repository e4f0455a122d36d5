"""Numbers of tensors: every plain type, 8-bit floats, blocks, and what is said of them."""

from __future__ import annotations

import numpy as np
import pytest

from sickbay.engine.errors import ProbeError
from sickbay.engine.measure.tensor_values import STRETCH, decode, difference, look_at_values
from sickbay.engine.model.signal import UnknownReason


@pytest.mark.parametrize(("kind", "form"), [("F32", "<f4"), ("F16", "<f2"), ("F64", "<f8"), ("I8", "<i1")])
def test_plain_types(kind: str, form: str) -> None:
    assert decode(np.array([1, -2, 0], dtype=form).tobytes(), kind).tolist() == [1.0, -2.0, 0.0]


def test_bfloat16_is_the_upper_half_of_a_float() -> None:
    assert decode(np.array([0x3F80, 0xC000, 0x7FC0], dtype="<u2").tobytes(), "BF16").tolist()[:2] == [1.0, -2.0]
    assert look_at_values(decode(b"\xc0\x7f", "BF16")).nonfinite == 1


@pytest.mark.parametrize(
    ("kind", "code", "value"),
    [
        pytest.param("F8_E4M3", 0x38, 1.0, id="e4m3-one"),
        pytest.param("F8_E4M3", 0x7E, 448.0, id="e4m3-largest"),
        pytest.param("F8_E4M3", 0x01, 2.0**-9, id="e4m3-smallest"),
        pytest.param("F8_E5M2", 0x3C, 1.0, id="e5m2-one"),
        pytest.param("F8_E5M2", 0xFB, -57344.0, id="e5m2-largest"),
    ],
)
def test_eight_bit_floats(kind: str, code: int, value: float) -> None:
    assert decode(bytes([code]), kind).tolist() == [value]


@pytest.mark.parametrize(("kind", "code"), [("F8_E4M3", 0x7F), ("F8_E4M3", 0xFF), ("F8_E5M2", 0x7C), ("F8_E5M2", 0x7D)])
def test_eight_bit_floats_that_are_no_number(kind: str, code: int) -> None:
    assert look_at_values(decode(bytes([code]), kind)).nonfinite == 1


def test_a_block_with_an_infinite_scale_is_not_finite() -> None:
    block = np.float16(np.inf).tobytes() + bytes(range(1, 33))  # Q8_0: a scale and 32 numbers
    assert look_at_values(decode(block, "Q8_0")).nonfinite == 32


def test_a_type_that_cannot_be_read_is_unsupported() -> None:
    with pytest.raises(ProbeError, match="numbers of type NEW cannot be read here") as caught:
        decode(b"", "NEW")
    assert caught.value.reason is UnknownReason.UNSUPPORTED


def test_a_long_run_of_zeros_is_counted() -> None:
    values = np.ones(3 * STRETCH + 5, dtype=np.float32)
    values[STRETCH : 2 * STRETCH] = 0
    seen = look_at_values(values)
    assert (seen.stretches, seen.zero_stretches, seen.zeros, seen.largest) == (3, 1, STRETCH, 1.0)


def test_nothing_finite_has_no_size() -> None:
    seen = look_at_values(np.array([np.nan, np.inf], dtype=np.float32))
    assert (seen.nonfinite, seen.largest, seen.rms) == (2, 0.0, 0.0)


def test_difference() -> None:
    ones = np.ones(4, dtype=np.float32)
    assert difference(ones, ones) == 0.0
    assert difference(ones * 1.5, ones) == pytest.approx(0.5)
    assert difference(ones, ones * 0) == float("inf")
    assert difference(ones * np.nan, ones) == float("inf")

"""The model's dataclasses to plain JSON data and back, driven by their types."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from sickbay.engine.errors import ConfigError

__all__ = ["decode", "encode"]

T = TypeVar("T")


def encode(value: Any) -> Any:
    """Plain JSON data. A number that JSON has no word for (NaN, infinity) becomes the string of its name."""
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def decode(wanted: type[T], data: Any, where: str) -> T:
    """An instance of `wanted` from plain data; keys a newer minor version added are left out.

    Raises:
        ConfigError: something is missing or has another type; the message says where in the file.
    """
    decoded: T = _decode(wanted, data, where)
    return decoded


def _decode(wanted: Any, data: Any, where: str) -> Any:
    if wanted is Any or wanted is object:
        return data
    origin = get_origin(wanted)
    if origin in {types.UnionType, Union}:
        return _decode_union(get_args(wanted), data, where)
    if origin is tuple:
        _want(isinstance(data, list), "a list", data, where)
        item = get_args(wanted)[0]
        return tuple(_decode(item, one, f"{where}[{index}]") for index, one in enumerate(data))
    if origin in {dict, Mapping}:
        _want(isinstance(data, dict), "a mapping", data, where)
        item = get_args(wanted)[1]
        return {key: _decode(item, one, f"{where}.{key}") for key, one in data.items()}
    if dataclasses.is_dataclass(wanted):
        return _decode_dataclass(wanted, data, where)
    return _decode_scalar(wanted, data, where)


def _decode_union(choices: tuple[Any, ...], data: Any, where: str) -> Any:
    if data is None and type(None) in choices:
        return None
    # bool before float: True is a number to Python, and not to us.
    for choice in sorted((c for c in choices if c is not type(None)), key=lambda c: c is not bool):
        try:
            return _decode(choice, data, where)
        except ConfigError:
            if len([c for c in choices if c is not type(None)]) == 1:
                raise
    names = " or ".join("null" if c is type(None) else getattr(c, "__name__", str(c)) for c in choices)
    raise ConfigError(f"{where}: wanted {names}, found {_short(data)}")


def _decode_dataclass(wanted: Any, data: Any, where: str) -> Any:
    _want(isinstance(data, dict), "a mapping", data, where)
    hints = _hints(wanted)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(wanted):
        if field.name in data:
            values[field.name] = _decode(hints[field.name], data[field.name], f"{where}.{field.name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{where}: the key {field.name!r} is missing; is the file complete?")
    try:
        return wanted(**values)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error


def _decode_scalar(wanted: Any, data: Any, where: str) -> Any:
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        try:
            return wanted(data)
        except ValueError as error:
            words = ", ".join(str(member.value) for member in wanted)
            raise ConfigError(f"{where}: wanted one of {words}; found {_short(data)}") from error
    if wanted is float:
        _want(isinstance(data, (int, float)) and not isinstance(data, bool), "a number", data, where)
        return float(data)
    if wanted is int:
        _want(isinstance(data, int) and not isinstance(data, bool), "a whole number", data, where)
    elif wanted is bool:
        _want(isinstance(data, bool), "true or false", data, where)
    elif wanted is str:
        _want(isinstance(data, str), "text", data, where)
    return data


def _want(holds: bool, wanted: str, data: Any, where: str) -> None:
    if not holds:
        raise ConfigError(f"{where}: wanted {wanted}, found {_short(data)}")


def _short(data: Any) -> str:
    shown = repr(data)
    return shown if len(shown) <= 60 else shown[:57] + "..."


@cache
def _hints(wanted: Any) -> dict[str, Any]:
    return get_type_hints(wanted)

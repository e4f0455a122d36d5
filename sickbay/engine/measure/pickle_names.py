"""Follows a pickle's stack far enough to know which names its imports take, whatever was pushed in between."""

from __future__ import annotations

import pickletools
from typing import Any

__all__ = ["ImportNames"]

UNKNOWN = "?"
STACK_MAX = 100_000
_BY_NAME = {opcode.name: opcode for opcode in pickletools.opcodes}
_TEXTS = {"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
_MARK = object()


class ImportNames:
    """One pickle's stack and memo, texts only: everything else stands on it as an unknown thing."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[Any, Any] = {}

    def see(self, name: str, argument: Any) -> str:
        """Take one opcode; "module name" when it imports, else ""."""
        if name in {"GLOBAL", "INST"}:
            if name == "INST":
                self._to_mark()
            self._push(None)
            return str(argument)
        if name == "STACK_GLOBAL":
            second, first = self._pop(), self._pop()
            self._push(None)
            return f"{_text(first)} {_text(second)}"
        if name.startswith("EXT"):
            self._push(None)
            return f"{UNKNOWN} extension-{argument}"
        self._other(name, argument)
        return ""

    def _other(self, name: str, argument: Any) -> None:
        if name in _TEXTS:
            self._push(argument if isinstance(argument, str) else None)
        elif name in {"MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"}:
            key = len(self._memo) if name == "MEMOIZE" else argument
            self._memo[key] = self._stack[-1] if self._stack else None
        elif name in {"GET", "BINGET", "LONG_BINGET"}:
            self._push(self._memo.get(argument))
        elif name == "MARK":
            self._push(_MARK)
        elif name == "POP_MARK":
            self._to_mark()
        elif name == "DUP":
            self._push(self._stack[-1] if self._stack else None)
        else:
            self._effect(_BY_NAME[name])

    def _effect(self, opcode: Any) -> None:
        """What the library says an opcode takes from the stack and puts on it."""
        if pickletools.markobject in opcode.stack_before:
            self._to_mark()
            for _ in range(opcode.stack_before.index(pickletools.markobject)):
                self._pop()
        else:
            for _ in opcode.stack_before:
                self._pop()
        for _ in opcode.stack_after:
            self._push(None)

    def _push(self, thing: Any) -> None:
        if len(self._stack) < STACK_MAX:
            self._stack.append(thing)

    def _pop(self) -> Any:
        return self._stack.pop() if self._stack else None

    def _to_mark(self) -> None:
        while self._stack and self._stack.pop() is not _MARK:
            pass


def _text(thing: Any) -> str:
    return thing if isinstance(thing, str) else UNKNOWN

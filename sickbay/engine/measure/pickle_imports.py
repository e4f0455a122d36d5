"""What a pickle would import if somebody loaded it. It is never loaded: its opcodes are read, and nothing else.

PyTorch writes its checkpoints as a zip file with `data.pkl` inside, or as a bare pickle (before version 1.6).
Source: Python, Lib/pickletools.py; huggingface, "Pickle scanning".
"""

from __future__ import annotations

import io
import pickletools
import zipfile
from collections.abc import Callable
from typing import Any

__all__ = ["PICKLE_SUFFIXES", "pickle_imports", "unsafe_imports"]

PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
PICKLE_BYTES_MAX = 64 << 20
OPCODES_MAX = 5_000_000
_DANGEROUS = {
    "os", "posix", "nt", "subprocess", "sys", "socket", "shutil", "runpy", "importlib", "webbrowser", "pty", "ctypes",
    "pickle", "_pickle", "asyncio", "multiprocessing", "code", "pdb", "bdb", "timeit", "pip", "tempfile", "pathlib",
    "io", "http", "urllib", "requests", "aiohttp", "httpx", "smtplib", "ftplib", "commands", "operator", "functools",
    "inspect", "types", "marshal", "zipimport", "signal", "platform", "?",
}  # fmt: skip
"""Modules with which a pickle runs commands, code, or a network request."""
_PLAIN_BUILTINS = {
    "set", "frozenset", "dict", "list", "tuple", "int", "float", "complex", "bool", "str", "bytes", "bytearray",
    "object", "slice", "range",
}  # fmt: skip

ReadAt = Callable[[int, int], bytes]


class _Seekable(io.RawIOBase):
    """A read-only file over bounded reads, as zipfile wants one."""

    def __init__(self, read_at: ReadAt, size: int) -> None:
        self._read_at, self._size, self._at = read_at, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(0, offset + (0, self._at, self._size)[whence])
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        found = self._read_at(self._at, min(len(buffer), max(0, self._size - self._at)))
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)


def pickle_imports(read_at: ReadAt, size: int) -> tuple[list[str], str]:
    """("module name", …) in order of appearance, and "" or why the list may be incomplete."""
    try:
        if read_at(0, 4) == b"PK\x03\x04":
            with zipfile.ZipFile(io.BufferedReader(_Seekable(read_at, size))) as archive:
                inside = [entry for entry in archive.infolist() if entry.filename.endswith(".pkl")]
                found: list[str] = []
                for entry in inside[:16]:
                    with archive.open(entry) as source:
                        found += _of(source.read(PICKLE_BYTES_MAX))
                return list(dict.fromkeys(found)), "" if inside else "a zip file without a pickle"
        return list(dict.fromkeys(_of(read_at(0, PICKLE_BYTES_MAX)))), ""
    except (ValueError, zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, KeyError, OSError) as error:
        return [], f"it cannot be read as a pickle: {' '.join(str(error).split())[:100]}"


def _of(data: bytes) -> list[str]:
    """GLOBAL names its import itself; STACK_GLOBAL takes the last two texts."""
    found: list[str] = []
    texts: list[str] = []
    memo: dict[object, str] = {}
    for number, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if number > OPCODES_MAX:
            break
        if opcode.name in {"GLOBAL", "INST"}:
            found.append(str(argument))
        elif opcode.name == "STACK_GLOBAL":
            found.append(" ".join(texts[-2:]) if len(texts) >= 2 else "? ?")
        elif (isinstance(argument, str) and "UNICODE" in opcode.name) or opcode.name in {"STRING", "SHORT_BINSTRING"}:
            texts.append(str(argument))
        elif opcode.name in {"MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"} and texts:
            memo[len(memo) if argument is None else argument] = texts[-1]
        elif opcode.name in {"GET", "BINGET", "LONG_BINGET"} and argument in memo:
            texts.append(memo[argument])
    return found


def unsafe_imports(imports: list[str]) -> list[str]:
    """Those that run commands, code or a request; nothing that holds tensors needs one of them."""
    found = []
    for each in imports:
        module, _, name = each.partition(" ")
        builtin = module in {"builtins", "__builtin__"} and name not in _PLAIN_BUILTINS
        if builtin or module.partition(".")[0] in _DANGEROUS:
            found.append(each)
    return found

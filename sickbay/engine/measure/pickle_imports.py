"""What a pickle would import if somebody loaded it. It is never loaded: its opcodes are read, and nothing else.

PyTorch writes its checkpoints as a zip file with `data.pkl` inside, or as several bare pickles, one after the other
(before version 1.6). A pickle that breaks off runs all that stands before the break.
Source: Python, Lib/pickletools.py; huggingface, "Pickle scanning".
"""

from __future__ import annotations

import io
import pickletools
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

from sickbay.engine.measure.pickle_names import ImportNames

__all__ = ["PICKLE_SUFFIXES", "pickle_imports", "unsafe_imports"]

PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".dill")
PICKLE_BYTES_MAX = 64 << 20
OPCODES_MAX = 1_000_000
PICKLES_MAX = 64
ZIP = b"PK\x03\x04"
_CODE_MODULES = {
    "os", "posix", "nt", "subprocess", "sys", "socket", "shutil", "runpy", "importlib", "webbrowser", "pty", "ctypes",
    "pickle", "_pickle", "asyncio", "multiprocessing", "code", "codeop", "pdb", "bdb", "timeit", "pip", "tempfile",
    "pathlib", "io", "http", "urllib", "urllib3", "requests", "aiohttp", "httpx", "smtplib", "ftplib", "commands",
    "operator", "_operator", "functools", "inspect", "types", "marshal", "zipimport", "signal", "platform", "cProfile",
    "profile", "trace", "doctest", "pydoc", "idlelib", "ensurepip", "venv", "distutils", "setuptools", "threading",
    "_thread", "concurrent", "sqlite3", "xmlrpc", "telnetlib", "imaplib", "poplib", "cloudpickle", "dill", "joblib",
    "linecache", "fileinput", "glob", "logging", "site", "builtins", "__builtin__", "__main__", "?",
}  # fmt: skip
"""Modules with which a pickle runs commands, code, or a network request, or touches files."""
_HARMLESS = {
    "pathlib": {"Path", "PurePath", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"},
    "pathlib._local": {"Path", "PurePath", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"},
    "types": {"SimpleNamespace"},
    "functools": {"partial"},
    "io": {"BytesIO", "StringIO"},
    "operator": {"itemgetter"},
    "__main__": set(),
}
_PLAIN_BUILTINS = {
    "set", "frozenset", "dict", "list", "tuple", "int", "long", "unicode", "float", "complex", "bool", "str", "bytes",
    "bytearray", "object", "slice", "range", "print",
}  # fmt: skip
_RUNS_CODE = {
    "eval", "exec", "execfile", "compile", "system", "popen", "Popen", "runstring", "run_code", "_run_code", "myeval",
    "load_module", "import_module", "__import__", "getattr", "load_config", "compile_file", "_execvpe", "load_url",
}  # fmt: skip
"""Names that run text or load code in whichever module they stand, the tools of libraries included."""
_LOADERS = {"torch.hub", "torch.utils.cpp_extension", "torch.jit", "torch._inductor.codecache", "numpy.f2py"}

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
    found: list[str] = []
    try:
        if read_at(0, 4) != ZIP:
            return found, _collect(found, read_at(0, PICKLE_BYTES_MAX), cut=size > PICKLE_BYTES_MAX)
        with zipfile.ZipFile(io.BufferedReader(_Seekable(read_at, size))) as archive:
            inside = [entry for entry in archive.infolist() if entry.filename.endswith((".pkl", ".pickle"))]
            problem = "" if inside else "a zip file without a pickle"
            for entry in inside[:16]:
                with archive.open(entry) as source:
                    data = source.read(PICKLE_BYTES_MAX)
                problem = _collect(found, data, cut=entry.file_size > PICKLE_BYTES_MAX) or problem
            return list(dict.fromkeys(found)), problem
    except (ValueError, zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, KeyError, OSError) as error:
        return found, f"it cannot be read as a pickle: {' '.join(str(error).split())[:100]}"


def _collect(found: list[str], data: bytes, *, cut: bool) -> str:
    """Add the imports of every pickle in these bytes to `found`; why there may be more, "" for none."""
    source = io.BytesIO(data)
    seen: dict[str, None] = dict.fromkeys(found)
    left = OPCODES_MAX
    problem = ""
    for number in range(PICKLES_MAX):
        begin = source.tell()
        # Tensors follow the pickles of an old checkpoint: what is no pickle there ends it.
        if begin >= len(data) or (number and not data.startswith(b"\x80", begin)):
            break
        try:
            for name in _names(source, left):
                seen[name] = None
        except ValueError as error:
            # What neither begins as a pickle nor imports is none: raw weights are named .bin as well.
            if not number and (seen or data.startswith(b"\x80")):
                problem = f"it cannot be read as a pickle: {' '.join(str(error).split())[:100]}"
            break
    else:
        problem = f"over {PICKLES_MAX} pickles in one file"
    found[:] = list(seen)
    return problem or (f"only its first {PICKLE_BYTES_MAX >> 20} MiB were read" if cut and not number else "")


def _names(source: io.BytesIO, opcodes_max: int) -> Iterator[str]:
    """The imports of one pickle.

    Raises:
        ValueError: it breaks off, or has more opcodes than are read.
    """
    names = ImportNames()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(source)):
        if count > opcodes_max:
            raise ValueError(f"over {opcodes_max} opcodes")
        name = names.see(opcode.name, argument)
        if name:
            yield name


def unsafe_imports(imports: list[str]) -> list[str]:
    """Those that run commands, code or a request; nothing that holds tensors needs one of them."""
    return [each for each in imports if _unsafe(*each.partition(" ")[::2])]


def _unsafe(module: str, name: str) -> bool:
    first = module.partition(".")[0]
    if first in {"builtins", "__builtin__"}:
        return name not in _PLAIN_BUILTINS
    parts = set(name.split("."))
    if parts & _RUNS_CODE or module in _LOADERS or ("." in name and parts & _CODE_MODULES):
        return True
    if name in _HARMLESS.get(module.removeprefix("_"), ()) or first == "__main__":
        return False
    return first in _CODE_MODULES or first.removeprefix("_") in _CODE_MODULES

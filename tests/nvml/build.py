"""Build the simulated NVML library: `python tests/nvml/build.py FOLDER`.

Names that nvidia-ml-py may call and the simulator does not implement become stubs that answer "not supported" (3).
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["SONAME", "build", "compiler", "defined"]

HERE = Path(__file__).parent
SONAME = "libnvidia-ml.so.1"
_ASKED = re.compile(r'_nvmlGetFunctionPointer\("(nvml\w+)"')
_DEFINED = re.compile(r"^(?:rc|const char \*)\s*(nvml\w+)\(|^GET_\w+\((nvml\w+),", re.MULTILINE)


def compiler() -> str | None:
    """Path of a C compiler, or None."""
    return shutil.which("gcc") or shutil.which("cc")


def build(folder: Path) -> Path:
    """Compile into `folder`; the library's path.

    Raises:
        RuntimeError: no compiler, or it refused.
    """
    gcc = compiler()
    if gcc is None:
        raise RuntimeError("no C compiler found; apt install gcc")
    stubs = folder / "stubs.c"
    stubs.write_text("".join(f"int {name}(void) {{ return 3; }}\n" for name in sorted(_asked() - defined())))
    library = folder / SONAME
    command = [gcc, "-O1", "-fPIC", "-shared", "-Wall", "-Werror", f"-Wl,-soname,{SONAME}", "-o", str(library)]
    done = subprocess.run(
        [*command, str(HERE / "simulator.c"), str(stubs), "-lpthread"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{gcc} refused the simulator:\n{done.stderr}")
    return library


def defined() -> set[str]:
    """Every C name that the simulator implements."""
    return {name for pair in _DEFINED.findall((HERE / "simulator.c").read_text()) for name in pair if name}


def _asked() -> set[str]:
    """Every C name the installed nvidia-ml-py can ask for."""
    spec = importlib.util.find_spec("pynvml")
    if spec is None or spec.origin is None:
        return set()
    return set(_ASKED.findall(Path(spec.origin).read_text()))


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    print(build(target))  # noqa: T201

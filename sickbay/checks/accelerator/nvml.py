"""One NVML session, and why there is none.

`pynvml` (PyPI nvidia-ml-py) is imported late: listing checks must work without it. Every call may block inside the
driver, so this is used only by isolated checks. Return codes: nvmlReturn_t of NVIDIA's NVML API reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["ERROR_WORDS", "NoNvml", "error_name", "load_pynvml", "open_nvml"]

ERROR_WORDS = {
    "MissingPackage": "the Python package nvidia-ml-py is not installed; pip install 'sickbay[gpu]'",
    "LibraryNotFound": "no libnvidia-ml.so.1 on this host: the NVIDIA driver's library is not installed, "
    "or not given to this container (nvidia-container-toolkit, --gpus)",
    "DriverNotLoaded": "the library is there and the kernel module is not loaded; modprobe nvidia, see dmesg",
    "LibRmVersionMismatch": "library and kernel module have different versions: the driver was upgraded under a "
    "loaded module; reboot, or unload and load the module",
    "NoPermission": "this user may not open the device nodes /dev/nvidia*",
    "OperatingSystem": "the operating system or a device cgroup blocks the devices; in a container this happens "
    "after a systemd reload: restart the container",
    "GpuIsLost": "a device has fallen off the bus; reboot, then check hardware",
    "ResetRequired": "a device must be reset before it can be used",
    "IrqIssue": "the kernel has an interrupt problem with a device",
    "InsufficientPower": "a device's power cables are not attached",
    "Timeout": "the driver timed out",
    "NotReady": "the driver is not ready yet",
    "Unknown": "the driver failed without saying why; see the kernel log",
}
"""NVMLError class (without its prefix) -> what it means and what to do."""


@dataclass(frozen=True, slots=True)
class NoNvml:
    """NVML cannot be used. `error` is pynvml's error name without its prefix, or MissingPackage; `code` NVML's."""

    error: str
    code: int | None = None

    @property
    def words(self) -> str:
        """What it means, in a sentence."""
        return ERROR_WORDS.get(self.error, f"NVML could not start: {self.error}")


def error_name(error: Exception) -> str:
    """`GpuIsLost` for pynvml's NVMLError_GpuIsLost; `Code40` for a code this pynvml does not know."""
    name = type(error).__name__
    if name == "NVMLError":
        return f"Code{getattr(error, 'value', '?')}"
    return name.removeprefix("NVMLError_")


def load_pynvml() -> Any | None:
    """The pynvml module, or None when it is not installed."""
    try:
        import pynvml  # late: optional, and only an isolated child needs it
    except ImportError:
        return None
    return pynvml


def open_nvml() -> Any | NoNvml:
    """Start NVML and give the pynvml module, or say why not.

    Starting it twice in a process is cheap and right: NVML counts its users.
    """
    pynvml = load_pynvml()
    if pynvml is None:
        return NoNvml("MissingPackage")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return NoNvml(error_name(error), int(getattr(error, "value", 0)))
    return pynvml

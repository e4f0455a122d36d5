"""Pages as NVIDIA/dcgm-exporter writes them (labels and units of its README and etc/default-counters.csv)."""

from __future__ import annotations

__all__ = ["page"]

LABELS = (
    'gpu="{gpu}",UUID="GPU-{gpu:08d}-0000",pci_bus_id="00000000:0{gpu}:00.0",device="nvidia{gpu}",'
    'modelName="NVIDIA H100 80GB HBM3",Hostname="node-7",DCGM_FI_DRIVER_VERSION="550.54.15",'
    'container="vllm",namespace="prod",pod="chat-0"'
)
IDLE = {
    "SM_CLOCK": 1980, "MAX_SM_CLOCK": 1980, "MEM_CLOCK": 2619, "GPU_TEMP": 44, "MEMORY_TEMP": 51, "POWER_USAGE": 412.5,
    "TOTAL_ENERGY_CONSUMPTION": 9_000_000_000_000, "PCIE_REPLAY_COUNTER": 0, "GPU_UTIL": 96, "MEM_COPY_UTIL": 61,
    "XID_ERRORS": 0, "FB_FREE": 8192, "FB_USED": 73368, "THERMAL_VIOLATION": 1_000_000, "POWER_VIOLATION": 0,
    "ECC_DBE_VOL_TOTAL": 0, "ECC_SBE_VOL_TOTAL": 3, "UNCORRECTABLE_REMAPPED_ROWS": 0, "ROW_REMAP_FAILURE": 0,
}  # fmt: skip


def page(gpus: int = 2, leave: tuple[str, ...] = (), **changes: float) -> str:
    """A page of some GPUs; `changes` are fields of the last one."""
    rows = []
    for name, usual in IDLE.items():
        rows += [f"# HELP DCGM_FI_DEV_{name} As documented.", f"# TYPE DCGM_FI_DEV_{name} gauge"]
        for gpu in range(gpus):
            value = changes.get(name, usual) if gpu == gpus - 1 else usual
            if name not in leave:
                rows.append(f"DCGM_FI_DEV_{name}{{{LABELS.format(gpu=gpu)}}} {value}")
    return "\n".join(rows) + "\n"

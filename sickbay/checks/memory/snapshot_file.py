"""Read a file of torch's allocator without running anything in it: a pickled snapshot, or statistics as JSON.

`torch.cuda.memory._dump_snapshot` writes a pickle of lists, dictionaries, texts and numbers only. A pickle may name any
function to be called while it is read; this reader refuses every name, so that a file from elsewhere can do nothing.
"""

from __future__ import annotations

import io
import json
import pickle
from typing import Any, NoReturn

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.signal import UnknownReason

__all__ = ["parse_file"]


class _NothingButData(pickle.Unpickler):
    """Refuses whatever is not plain data."""

    def find_class(self, module_name: str, global_name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it names {module_name}.{global_name}; a snapshot holds plain data only")

    def persistent_load(self, pid: object) -> NoReturn:
        raise pickle.UnpicklingError("it refers to data outside itself")


def parse_file(data: bytes, path: str) -> dict[str, Any]:
    """A snapshot (`{"segments": …}`), or statistics of `torch.cuda.memory_stats()` under `stats`.

    Raises:
        ProbeError: it is neither (malformed).
    """
    wanted = "a snapshot of torch.cuda.memory._dump_snapshot or torch.cuda.memory_stats() as JSON"
    try:
        plain = data.lstrip()[:1] == b"{"  # no pickle begins with it
        found = json.loads(data) if plain else _NothingButData(io.BytesIO(data)).load()
    except (pickle.UnpicklingError, ValueError, TypeError, EOFError, AttributeError, IndexError, KeyError) as error:
        raise ProbeError(
            UnknownReason.MALFORMED, f"{path}: {str(error) or 'it ends early'}; wanted {wanted}"
        ) from error
    except (MemoryError, RecursionError, OverflowError, ImportError) as error:
        words = f"{path}: {type(error).__name__} while it was read; wanted {wanted}"
        raise ProbeError(UnknownReason.MALFORMED, words) from error
    if isinstance(found, dict) and isinstance(found.get("segments"), list):
        return found
    if isinstance(found, dict) and any(str(key).startswith("reserved_bytes.all") for key in found):
        return {"segments": [], "device_traces": [], "stats": found}
    keys = ", ".join(map(str, list(found)[:3])) if isinstance(found, dict) else type(found).__name__
    raise ProbeError(UnknownReason.MALFORMED, f"{path}: holds {keys}; wanted {wanted}")

"""The most memory that this process held (resident set), from the kernel's own account. Linux; elsewhere None.

Only the standard library, so that a process of another environment can read its memory the same way.
"""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path

_STATUS = Path("/proc/self/status")
_FORGET_PEAK = "5"  # proc(5), clear_refs: sets the high-water mark to what is held now


def settled() -> int | None:
    """Give freed memory back to the system, forget the peak so far, and return what is held now, bytes."""
    if not _STATUS.exists():
        return None
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
    if trim is not None:
        trim(0)
    _STATUS.with_name("clear_refs").write_text(_FORGET_PEAK)
    return _field("VmRSS")


def peak() -> int | None:
    """The most that was held since ``settled``, bytes."""
    return _field("VmHWM") if _STATUS.exists() else None


def _field(name: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name + ":"))
    return int(line.split()[1]) * 1024

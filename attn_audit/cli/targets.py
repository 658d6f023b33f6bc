"""Files that a command writes where the user says: refused beforehand where they cannot be, or must not."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from attn_audit.evidence import bundle
from attn_audit.evidence.errors import UsageError

_AUDITS = (bundle.PLAN, bundle.ATTESTATION)


def check_targets(targets: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Each a new file or a regular one, once, in a folder that exists, and neither one of the ``inputs`` (files, or
    folders with all that they hold) nor a file more in an audit, which then would not verify. Raises UsageError."""
    taken: set[Path] = set()
    kept = [_resolved(path) for path in inputs]
    for target in targets:
        place = _resolved(target)
        _check_place(target)
        if any(place == path or path in place.parents for path in kept):
            raise _refused(target, "it is what the command reads")
        if place in taken:
            raise _refused(target, "two results would be written to it")
        if any(os.path.lexists(bundle.statement_file(folder, stem)) for folder in place.parents for stem in _AUDITS):
            raise _refused(target, "it lies within an audit, which holds no file but its own")
        taken.add(place)


def check_folder(path: Path) -> Path:
    """Raises UsageError for a report, or another file of an audit: alone it cannot be checked."""
    if path.is_file():
        raise UsageError(
            f"{str(path)[:200]} is neither an audit folder nor a case in one, but a file, which cannot be checked "
            "alone; give the audit folder, or one case in it"
        )
    return path


def _check_place(target: Path) -> None:
    if not bundle.is_folder(target.parent) or not os.access(target.parent, os.W_OK):
        raise _refused(target, "its folder does not exist, or may not be written to")
    try:
        kind = target.lstat().st_mode
    except FileNotFoundError:
        return
    except (OSError, ValueError):
        raise _refused(target, "no file can have that name") from None
    if not stat.S_ISREG(kind):
        raise _refused(target, "something stands there that is not a regular file")


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links, or a name that cannot be
        return path.absolute()


def _refused(target: Path, reason: str) -> UsageError:
    return UsageError(f"{str(target)[:200]} cannot be written: {reason}; name another file")

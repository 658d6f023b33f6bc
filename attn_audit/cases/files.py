"""A file of the user -> its text: refuses what is not a regular UTF-8 file of a bearable size."""

from __future__ import annotations

from pathlib import Path

from attn_audit.case_text.tree import Step, Tree, quoted, refuse
from attn_audit.evidence.errors import UsageError

MAX_BYTES = 64 << 20


def shown(path: Path) -> str:
    """A path for messages: as it is when every character can be shown, else quoted."""
    return str(path) if str(path).isprintable() else quoted(str(path))


def read_bytes(path: Path, what: str) -> bytes:
    """The bytes of a regular file of a bearable size. Raises UsageError."""
    try:
        if path.is_dir():
            raise UsageError(f"{shown(path)} is a folder; give a {what}")
        if path.exists() and not path.is_file():
            raise UsageError(f"{shown(path)} is not a regular file; give a {what}")
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise UsageError(f"{shown(path)}: there is no such {what}; check the path") from None
    except OSError as error:
        raise UsageError(f"{shown(path)}: the {what} cannot be read: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise UsageError(f"{shown(path)}: a {what} may have at most {MAX_BYTES >> 20} MiB; split it")
    if not raw.strip():
        raise UsageError(f"{shown(path)}: the {what} is empty")
    return raw


def beside(tree: Tree, path: tuple[Step, ...], name: str, folder: Path) -> Path:
    """The path of a file in ``folder``, that of the case file, or below it, wherever links may lead. ``path`` is where
    the case file names it. Raises UsageError."""
    outside = f"the file {quoted(name)} must be a relative path that stays in the folder of the case file"
    try:
        home = folder.resolve()
        file = (home / name).resolve()
    except (OSError, ValueError, RuntimeError):
        tree.refuse(path, outside)
    if Path(name).is_absolute() or ".." in Path(name).parts or not file.is_relative_to(home):
        tree.refuse(path, outside)
    if not file.exists():
        tree.refuse(path, f"there is no file {quoted(name)} in the folder of the case file")
    return file


def decode(raw: bytes, source: str) -> str:
    """Strict UTF-8; a byte order mark at the beginning is dropped, nothing else changes."""
    try:
        return raw.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        refuse(source, line, f"byte 0x{raw[error.start]:02x} is not valid UTF-8; save the file as UTF-8")

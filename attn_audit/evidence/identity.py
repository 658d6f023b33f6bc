"""A model's files to their digests and the root of the OpenSSF model-signing manifest ("files" serialization).

The root is sha256 over the concatenated raw digests in the order of the names, compared part by part (``a/b`` before
``a.b``), as model_signing compares its paths. Since it does not bind the names, the list itself stands in every
``evidence.json``.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Any, NoReturn

from attn_audit.evidence.digest import canonical
from attn_audit.evidence.envelope import STATEMENT_TYPE
from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.measured import FileDigest, ModelIdentity

MANIFEST_TYPE = "https://model_signing/signature/v1.0"
SIGNATURE = "model.sig"
IGNORED = frozenset({".git", ".gitattributes", ".github", ".gitignore", SIGNATURE})  # at the top, as model_signing does


def files_of(model: Path) -> tuple[FileDigest, ...]:
    """Every file of a model folder, or the one ``.gguf`` file, with its sha256; in the order of the root. Raises
    UsageError."""
    if model.is_dir():
        found = sorted(_walk(model), key=lambda item: _order(item[0]))
        return tuple(_digest(name, path) for name, path in found)
    return (_digest(model.name, regular(model, model.parent)),)


def root_of(files: tuple[FileDigest, ...]) -> str:
    """The manifest's root: sha256 over the raw digests, in the order of the names."""
    ordered = sorted(files, key=lambda file: _order(file.name))
    return hashlib.sha256(b"".join(bytes.fromhex(file.sha256) for file in ordered)).hexdigest()


def _order(name: str) -> list[str]:
    return name.split("/")


def manifest(model: ModelIdentity) -> bytes:
    """The OpenSSF manifest as an in-toto statement, RFC 8785; its subject is the root."""
    return canonical(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": model.name, "digest": {"sha256": model.root}}],
            "predicateType": MANIFEST_TYPE,
            "predicate": _predicate(model.files),
        }
    )


def _predicate(files: tuple[FileDigest, ...]) -> dict[str, Any]:
    return {
        "serialization": {
            "method": "files",
            "hash_type": "sha256",
            "allow_symlinks": False,
            "ignore_paths": sorted(IGNORED),
        },
        "resources": [{"name": file.name, "algorithm": "sha256", "digest": file.sha256} for file in files],
    }


def _walk(folder: Path) -> list[tuple[str, Path]]:
    found = []
    for parent, folders, names in os.walk(folder, followlinks=False, onerror=_unreadable):
        here = Path(parent)
        if here == folder:
            folders[:] = [name for name in folders if name not in IGNORED]
            names = [name for name in names if name not in IGNORED]  # noqa: PLW2901
        for name in folders:
            if (here / name).is_symlink():
                raise UsageError(f"{here / name} is a link to a folder; a model's files must stand in its own folder")
        for name in names:
            path = here / name
            relative = path.relative_to(folder).as_posix()
            if not relative.isprintable():
                raise UsageError(f"model file {str(path)!r} has a name that cannot be recorded; rename it")
            found.append((relative, regular(path, folder)))
    return found


def _unreadable(error: OSError) -> NoReturn:
    raise UsageError(f"model folder {error.filename} cannot be read: {error.strerror}")


def regular(path: Path, folder: Path) -> Path:
    """A file that is really one. Links are followed only into the ``blobs`` of the Hugging Face cache it stands in.

    Raises UsageError.
    """
    try:
        target = path.resolve(strict=True)
        mode = target.stat().st_mode
    except (OSError, RuntimeError) as error:
        raise UsageError(f"model file {path} cannot be read: {error}") from None
    if path.is_symlink() and target.parent != (folder / "../../blobs").resolve():
        raise UsageError(f"model file {path} is a link out of the model's folder; copy the file itself there")
    if not stat.S_ISREG(mode):
        raise UsageError(f"model file {path} is not a regular file")
    return target


def _digest(name: str, path: Path) -> FileDigest:
    """Read once, through one descriptor: what was put in the file's place since is not opened, or found to be new."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                raise UsageError(f"model file {path} is not a regular file")
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            after = os.fstat(descriptor)
    except OSError as error:
        raise UsageError(f"model file {path} cannot be read: {error.strerror}") from None
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise UsageError(f"model file {path} changed while it was read; try again when nothing writes to it")
    return FileDigest(name=name, size=after.st_size, sha256=digest)

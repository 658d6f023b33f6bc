"""A model's files to their digests and the root of the OpenSSF model-signing manifest ("files" serialization).

The root is sha256 over the concatenated raw digests in the order of the sorted names; since it does not bind the
names, the list itself stands in every ``evidence.json``.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Any

from attn_audit.evidence.digest import canonical, sha256_file
from attn_audit.evidence.envelope import STATEMENT_TYPE
from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.measured import FileDigest, ModelIdentity

MANIFEST_TYPE = "https://model_signing/signature/v1.0"
_IGNORED = frozenset({".git", ".gitattributes", ".github", ".gitignore", "model.sig"})


def files_of(model: Path) -> tuple[FileDigest, ...]:
    """Every file of a model folder, or the one ``.gguf`` file, with its sha256; names sorted. Raises UsageError."""
    if model.is_dir():
        found = sorted(_walk(model), key=lambda item: item[0])
        return tuple(_digest(name, path) for name, path in found)
    return (_digest(model.name, _regular(model, model.parent)),)


def root_of(files: tuple[FileDigest, ...]) -> str:
    """The manifest's root: sha256 over the raw digests, in the order of the names."""
    ordered = sorted(files, key=lambda file: file.name)
    return hashlib.sha256(b"".join(bytes.fromhex(file.sha256) for file in ordered)).hexdigest()


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
            "ignore_paths": sorted(_IGNORED),
        },
        "resources": [{"name": file.name, "algorithm": "sha256", "digest": file.sha256} for file in files],
    }


def _walk(folder: Path) -> list[tuple[str, Path]]:
    found = []
    for parent, folders, names in os.walk(folder, followlinks=False):
        here = Path(parent)
        folders[:] = [name for name in folders if name not in _IGNORED]
        for name in folders:
            if (here / name).is_symlink():
                raise UsageError(f"{here / name} is a link to a folder; a model's files must stand in its own folder")
        for name in names:
            if here == folder and name in _IGNORED:
                continue
            path = here / name
            if not name.isprintable():
                raise UsageError(f"model file {str(path)!r} has a name that cannot be recorded; rename it")
            found.append((path.relative_to(folder).as_posix(), _regular(path, folder)))
    return found


def _regular(path: Path, folder: Path) -> Path:
    """A file that is really one. Links are followed only into the ``blobs`` of the Hugging Face cache it stands in."""
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
    try:
        return FileDigest(name=name, size=path.stat().st_size, sha256=sha256_file(path))
    except OSError as error:
        raise UsageError(f"model file {path} cannot be read: {error.strerror}") from None

"""The files of an audit folder to ``SHA256SUMS``, which ``sha256sum -c`` reads, and its signature by ``ssh-keygen``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from attn_audit.evidence import bundle, sshsig
from attn_audit.evidence.keys import SigningKey

_UNLISTED = frozenset({bundle.SUMS, bundle.SUMS_SIGNATURE})


def sums(out: Path) -> Iterator[bytes]:
    """A line for each file, in the order of their names: all but the list itself and its signature. The files beside
    them are those of this moment, so that the list may be written while it is made. Raises EvidenceError."""
    paths = bundle.paths_in(out)
    return (_line(out, name) for name in paths if name not in _UNLISTED)


def _line(out: Path, name: str) -> bytes:
    return os.fsencode(f"{bundle.digest_of(out / name)}  {name}\n")  # a planted file may have any name


def write_sums(out: Path, key: SigningKey | None) -> None:
    """Write the list, signed where somebody signs: last of all files, so that what it lists is whole."""
    signed = sshsig.digest()
    bundle.write_parts(out / bundle.SUMS, noting(sums(out), signed))
    if key is not None:
        bundle.write_file(out / bundle.SUMS_SIGNATURE, sshsig.sign_digest(signed.digest(), key))


def noting(parts: Iterable[bytes], digest: sshsig.Digest) -> Iterator[bytes]:
    """The same parts, which the digest takes in as they pass by."""
    for part in parts:
        digest.update(part)
        yield part

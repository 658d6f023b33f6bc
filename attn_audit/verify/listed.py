"""``SHA256SUMS``, the signed list of every file of an audit folder."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from attn_audit.evidence import bundle, sshsig
from attn_audit.evidence.errors import EvidenceError, UntrustedSigner
from attn_audit.evidence.statements import Seal, last_change
from attn_audit.evidence.sums import noting, sums
from attn_audit.evidence.trust import TrustedKey
from attn_audit.verify.report import Report
from attn_audit.verify.signature import Opened, require_signer


def check_listed(report: Report, out: Path, trusted: tuple[TrustedKey, ...], seal: Opened[Seal] | None) -> None:
    """The list names every file with its digest, and was signed by whoever changed the folder last."""
    signed = sshsig.digest()
    with report.check("batch", bundle.SUMS):
        _check_lines(out, noting(bundle.parts_of_list(out / bundle.SUMS), signed))
    if seal is None or not seal.signed:
        return
    with report.check("batch", f"signature of {bundle.SUMS}"):
        armored = bundle.read_file(out / bundle.SUMS_SIGNATURE)
        keys = sshsig.verify_digest(signed.digest(), armored, trusted, bundle.SUMS_SIGNATURE)
        if keys[0].revoked:
            raise UntrustedSigner(f"{bundle.SUMS_SIGNATURE} is by a key that is revoked (key id {keys[0].key_id})")
        require_signer(*last_change(seal.statement.predicate, report.withheld.values()), keys)


def _check_lines(out: Path, listed: Iterator[bytes]) -> None:
    """Neither list is kept; only where they differ both are read once more, to say in what. Raises EvidenceError."""
    try:
        same = _same(listed, sums(out))
    finally:
        deque(listed, maxlen=0)  # to its end, whatever was found: all of it was signed
    if not same:
        _say_what_differs(b"".join(bundle.parts_of_list(out / bundle.SUMS)), b"".join(sums(out)))


def _same(listed: Iterator[bytes], present: Iterator[bytes]) -> bool:
    """Whether both are the same bytes, however they are cut into parts."""
    ahead = bytearray()
    for part in listed:
        while len(ahead) < len(part) and (line := next(present, b"")):
            ahead += line
        if not ahead.startswith(part):
            return False
        del ahead[: len(part)]
    return not ahead and not next(present, b"")


def _say_what_differs(listed: bytes, present: bytes) -> NoReturn:
    """Raises EvidenceError naming a file that is not as listed."""
    lines, expected = set(listed.split(b"\n")), set(present.split(b"\n"))
    if unlisted := sorted(line[66:] for line in expected - lines):
        raise EvidenceError(f"{_shown(unlisted[0])} is not as {bundle.SUMS} lists it, or not listed there")
    if missing := sorted(line[66:] for line in lines - expected):
        raise EvidenceError(f"{bundle.SUMS} lists {_shown(missing[0])}, which is not here")
    raise EvidenceError(f"{bundle.SUMS} is not in the one form that audits have")


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "replace")[:80]

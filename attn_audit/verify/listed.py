"""``SHA256SUMS``, the signed list of every file of an audit folder."""

from __future__ import annotations

from pathlib import Path

from attn_audit.evidence import bundle, sshsig
from attn_audit.evidence.errors import EvidenceError, UntrustedSigner
from attn_audit.evidence.statements import Seal, last_change
from attn_audit.evidence.sums import sums
from attn_audit.evidence.trust import TrustedKey
from attn_audit.verify.report import Report
from attn_audit.verify.signature import Opened, require_signer


def check_listed(report: Report, out: Path, trusted: tuple[TrustedKey, ...], seal: Opened[Seal] | None) -> None:
    """The list names every file with its digest, and was signed by whoever changed the folder last."""
    listed = b""
    with report.check("batch", bundle.SUMS):
        listed = bundle.read_file(out / bundle.SUMS)
        _check_lines(listed, sums(out))
    if seal is None or not seal.signed:
        return
    with report.check("batch", f"signature of {bundle.SUMS}"):
        armored = bundle.read_file(out / bundle.SUMS_SIGNATURE)
        keys = sshsig.verify(listed, armored, trusted, bundle.SUMS_SIGNATURE)
        if keys[0].revoked:
            raise UntrustedSigner(f"{bundle.SUMS_SIGNATURE} is by a key that is revoked (key id {keys[0].key_id})")
        redactions = [case.redaction for case in report.withheld.values()]
        require_signer(*last_change(seal.statement.predicate, redactions), keys)


def _check_lines(listed: bytes, present: bytes) -> None:
    """Raises EvidenceError naming a file that is not as listed."""
    lines, expected = set(listed.split(b"\n")), set(present.split(b"\n"))
    if unlisted := sorted(line[66:] for line in expected - lines):
        raise EvidenceError(f"{_shown(unlisted[0])} is not as {bundle.SUMS} lists it, or not listed there")
    if missing := sorted(line[66:] for line in lines - expected):
        raise EvidenceError(f"{bundle.SUMS} lists {_shown(missing[0])}, which is not here")
    if listed != present:
        raise EvidenceError(f"{bundle.SUMS} is not in the one form that audits have")


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "replace")[:80]

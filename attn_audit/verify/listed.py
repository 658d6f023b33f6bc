"""``SHA256SUMS``, the signed list of every file of an audit folder."""

from __future__ import annotations

from pathlib import Path

from attn_audit.evidence import bundle, sshsig
from attn_audit.evidence.errors import EvidenceError, UntrustedSigner
from attn_audit.evidence.measured import Signer
from attn_audit.evidence.statements import Seal
from attn_audit.evidence.sums import sums
from attn_audit.evidence.trust import TrustedKey
from attn_audit.verify.report import Report
from attn_audit.verify.signature import Opened, require_signer


def check_listed(
    report: Report, out: Path, trusted: tuple[TrustedKey, ...], seal: Opened[Seal] | None, *, alone: bool
) -> None:
    """The list names every file with its digest, and was signed by whoever changed the folder last. ``alone``: of a
    case handed over without the others, so that the list names files that are not here."""
    listed = b""
    with report.check("batch", bundle.SUMS):
        listed = bundle.read_file(out / bundle.SUMS)
        _check_lines(set(listed.split(b"\n")), set(sums(out).split(b"\n")), alone=alone)
        if not alone and listed != sums(out):
            raise EvidenceError(f"{bundle.SUMS} is not in the one form that audits have")
    if seal is None or not seal.signed:
        return
    with report.check("batch", f"signature of {bundle.SUMS}"):
        armored = bundle.read_file(out / bundle.SUMS_SIGNATURE)
        keys = sshsig.verify(listed, armored, trusted, bundle.SUMS_SIGNATURE)
        if keys[0].revoked:
            raise UntrustedSigner(f"{bundle.SUMS_SIGNATURE} is by a key that is revoked (key id {keys[0].key_id})")
        signer, when = _last(report, seal.statement.predicate)
        if alone and signer is not None and signer.key_id != keys[0].key_id:
            sentence = f"by another key that you trust ({keys[0].key_id}): a content was withheld after the seal"
            report.note("batch", f"signature of {bundle.SUMS}", sentence)
        else:
            require_signer(signer, when, keys)


def _check_lines(listed: set[bytes], present: set[bytes], *, alone: bool) -> None:
    """Raises EvidenceError naming a file that is not as listed."""
    unlisted = sorted(line[66:] for line in present - listed)
    if unlisted:
        raise EvidenceError(f"{_shown(unlisted[0])} is not as {bundle.SUMS} lists it, or not listed there")
    missing = sorted(line[66:] for line in listed - present)
    if missing and not alone:
        raise EvidenceError(f"{bundle.SUMS} lists {_shown(missing[0])}, which is not here")


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "replace")[:80]


def _last(report: Report, seal: Seal) -> tuple[Signer | None, str]:
    """Who changed the folder last, and when: the signer of the seal, or whoever withheld a content since."""
    redactions = [case.redaction for case in report.withheld.values()]
    last = max(redactions, key=lambda one: one.created, default=None)
    return (seal.signer, seal.finished) if last is None else (last.signer, last.created)

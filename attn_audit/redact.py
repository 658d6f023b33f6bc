"""Withhold the content of a case: its texts go, its numbers stay, and a signed statement says who, when and why.

What was said stands in ``content.json`` and in the views alone. The digests of texts that remain are salted, and the
salt goes with the content, so that nobody can guess them back.
"""

from __future__ import annotations

from pathlib import Path

from attn_audit import __version__
from attn_audit.evidence import bundle
from attn_audit.evidence.envelope import Statement, encode, sign
from attn_audit.evidence.errors import EvidenceError, UsageError
from attn_audit.evidence.host import Host
from attn_audit.evidence.keys import SigningKey
from attn_audit.evidence.measured import Tool
from attn_audit.evidence.statements import Plan, Redaction, Seal, redaction_subjects
from attn_audit.evidence.store import StoredCases, stored_redactions, stored_statement
from attn_audit.evidence.sums import write_sums
from attn_audit.evidence.trust import TrustedKey
from attn_audit.reports import html
from attn_audit.reports.verify_page import verify_page
from attn_audit.verify import verify
from attn_audit.verify.report import UNTRUSTED, WITHHELD, Report

_ATTESTATION, _REDACTION = (bundle.statement_name(stem, signed=True) for stem in (bundle.ATTESTATION, bundle.REDACTION))
_KEPT = frozenset({bundle.EVIDENCE, _ATTESTATION, _REDACTION})


def redact(out: Path, case_id: str, reason: str | None, key: SigningKey, host: Host) -> Redaction:
    """Withhold one case of a whole, signed audit. The statement is written first and the files go after it: where this
    is cut off the audit does not verify, and the same call finishes it.

    Raises UsageError where there is no such case or nothing is left to withhold, EvidenceError where the audit is not
    as it was signed, Incomplete where a file cannot be removed or written.
    """
    folder = out / bundle.CASES / case_id
    with bundle.locked(out):
        if case_id not in bundle.names_in(out / bundle.CASES) or not (folder / _ATTESTATION).exists():
            raise UsageError(f"{out} has no finished, signed case {case_id!r:.80}")
        if not (folder / _REDACTION).exists():
            _state(folder, _verified(out, key), reason, key, host)
        elif verify(out, _own(key)).exit_code in {UNTRUSTED, WITHHELD}:
            raise UsageError(f"the content of case {case_id} is withheld already")
        bundle.remove(out, bundle.SUMS_SIGNATURE, bundle.SUMS)
        bundle.remove(folder, *sorted(bundle.names_in(folder) - _KEPT))
        return _close(out, case_id, key)


def _own(key: SigningKey) -> tuple[TrustedKey, ...]:
    return (TrustedKey(key.private.public_key(), ()),)


def _verified(out: Path, key: SigningKey) -> Report:
    """The audit, which may be signed by somebody else, but must be as it was signed. Raises EvidenceError."""
    report = verify(out, _own(key))
    for check in report.checks:
        if check.outcome == "failed" and check.exit_code != UNTRUSTED:
            raise EvidenceError(f"{check.subject}: {check.name}: {check.detail}; nothing was withheld")
    return report


def _state(folder: Path, report: Report, reason: str | None, key: SigningKey, host: Host) -> None:
    """Write the signed statement that the case's content is withheld."""
    case_id = folder.name
    views = report.cases[case_id].evidence.views
    said = Redaction(
        tool=Tool(version=__version__),
        created=host.now(),
        signer=key.signer,
        case_id=case_id,
        withheld=tuple(name for name in bundle.subject_names(views) if name != bundle.EVIDENCE),
        reason=reason,
    )
    subjects = redaction_subjects(case_id, bundle.read_file(folder / _ATTESTATION))
    bundle.write_file(folder / _REDACTION, sign(encode(Statement(subjects, said)), key))


def _close(out: Path, case_id: str, key: SigningKey) -> Redaction:
    """The pages about the batch without the texts, and the list of files that are left, signed."""
    plan, seal = stored_statement(out, bundle.PLAN, Plan), stored_statement(out, bundle.SEAL, Seal)
    withheld = stored_redactions(out, seal)
    bundle.write_file(out / bundle.INDEX, html.index(plan, seal, StoredCases(out, seal), withheld))
    bundle.write_file(out / bundle.VERIFY_PAGE, verify_page(plan, seal, tuple(withheld.values())))
    write_sums(out, key)
    return withheld[case_id]

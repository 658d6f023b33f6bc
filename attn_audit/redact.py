"""Withhold the content of a case: its texts go, its numbers stay, and a signed statement says who, when and why.

What was said stands in ``content.json`` and in the views alone. The digests of texts that remain are salted, and the
salt goes with the content, so that nobody can guess them back.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from attn_audit import __version__
from attn_audit.evidence import bundle
from attn_audit.evidence.envelope import Statement, encode, sign
from attn_audit.evidence.errors import EvidenceError, UsageError
from attn_audit.evidence.host import Host, never_back
from attn_audit.evidence.keys import SigningKey
from attn_audit.evidence.measured import Tool
from attn_audit.evidence.statements import Plan, Redaction, Seal, redaction_subjects
from attn_audit.evidence.store import stored, stored_redactions, stored_statement
from attn_audit.evidence.sums import write_sums
from attn_audit.evidence.trust import own
from attn_audit.reports.exports import makers
from attn_audit.reports.index import index_pages
from attn_audit.reports.verify_page import verify_page
from attn_audit.verify import verify
from attn_audit.verify.signature import moment

_ATTESTATION, _REDACTION, _SEAL = (
    bundle.statement_name(stem, signed=True) for stem in (bundle.ATTESTATION, bundle.REDACTION, bundle.SEAL)
)
_KEPT = frozenset({bundle.EVIDENCE, _ATTESTATION, _REDACTION})


def redact(out: Path, case_id: str, reason: str | None, key: SigningKey, host: Host) -> Redaction:
    """Withhold one case of a whole, signed audit. The statement is written first and the files go after it: where this
    is cut off the audit does not verify, and the same call finishes it. With another key the redaction is stated anew.

    Raises UsageError where there is no such case or nothing is left to withhold, EvidenceError where the audit is not
    as it was signed, Incomplete where a file cannot be removed or written.
    """
    folder = out / bundle.CASES / case_id
    with bundle.locked(out):
        if not os.path.lexists(out / _SEAL) or not os.path.lexists(out / bundle.INDEX):
            raise UsageError(f"{out} is not a whole, signed and sealed audit; content is withheld from such only")
        if case_id not in bundle.names_in(out / bundle.CASES) or not os.path.lexists(folder / _ATTESTATION):
            raise UsageError(f"{out} has no finished, signed case {case_id!r:.80}")
        bundle.remove_unfinished(out)
        seal = stored_statement(out, bundle.SEAL, Seal)
        stated = stored_redactions(out, seal)
        began = stated.get(case_id)
        if began is None or began.signer != key.signer:
            later = _after(host, seal.finished, *(one.created for one in stated.values()))
            said = _statement(out, case_id, began, reason, key, later)
            subjects = redaction_subjects(case_id, bundle.read_file(folder / _ATTESTATION))
            bundle.write_file(folder / _REDACTION, sign(encode(Statement(subjects, said)), key))
        elif not bundle.names_in(folder) - _KEPT and not verify(out, own(key)).altered:
            raise UsageError(f"the content of case {case_id} is withheld already")
        bundle.remove(out, bundle.SUMS_SIGNATURE, bundle.SUMS)
        bundle.remove(folder, *sorted(bundle.names_in(folder) - _KEPT))
        bundle.forget_salts(out)  # which a run that was stopped left: it cannot be resumed any more
        return _close(out, case_id, key)


def _statement(
    out: Path, case_id: str, began: Redaction | None, reason: str | None, key: SigningKey, created: str
) -> Redaction:
    """What is signed. Raises EvidenceError where the audit is not as it was signed, by whomever."""
    if began is None:
        report = verify(out, own(key))
        for check in report.altered:
            raise EvidenceError(f"{check.subject}: {check.name}: {check.detail}; nothing was withheld")
        names: Iterable[str] = bundle.subject_names(report.cases[case_id].evidence.views)
        withheld = tuple(name for name in names if name != bundle.EVIDENCE)
    else:
        withheld, reason = began.withheld, reason or began.reason
    return Redaction(
        tool=Tool(version=__version__),
        created=created,
        signer=key.signer,
        case_id=case_id,
        withheld=withheld,
        reason=reason,
    )


def _after(host: Host, *times: str) -> str:
    """Now, or one second after the last of the times where the clock of this machine lags behind theirs: the order in
    which an audit was changed can be read off its times."""
    last = max(moment(time) for time in times)
    return replace(host, clock=never_back(host.clock, last + timedelta(seconds=1))).now()


def _close(out: Path, case_id: str, key: SigningKey) -> Redaction:
    """The pages about the batch without the texts, and the list of files that are left, signed."""
    plan, seal = stored_statement(out, bundle.PLAN, Plan), stored_statement(out, bundle.SEAL, Seal)
    sealed = stored(out, plan, seal)
    withheld = sealed.withheld
    bundle.write_index(out, index_pages(sealed))
    for name, page in makers(seal.exports).items():
        bundle.write_file(out / name, page(sealed))
    bundle.write_file(out / bundle.VERIFY_PAGE, verify_page(plan, seal, tuple(withheld.values()), alone=False))
    write_sums(out, key)
    return withheld[case_id]

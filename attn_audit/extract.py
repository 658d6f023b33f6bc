"""One case out of an audit, with what ties it to its batch, to be handed over alone."""

from __future__ import annotations

import os
from pathlib import Path

from attn_audit.evidence import bundle
from attn_audit.evidence.errors import EvidenceError, UsageError
from attn_audit.evidence.statements import Plan, Seal
from attn_audit.evidence.store import stored_statement
from attn_audit.reports.verify_page import verify_page
from attn_audit.verify import verify


def extract(out: Path, case_id: str, target: Path) -> None:
    """Copy one case with plan and seal into the new folder ``target``. What speaks of the whole batch stays behind: the
    page that quotes the other cases, and the list of their files; their ids and salted digests stand in plan and seal.

    Raises UsageError where there is no such case or ``target`` exists, EvidenceError where the digests of the audit do
    not agree (its signatures are for the receiver to check), Incomplete where a file cannot be written.
    """
    if os.path.lexists(target):
        raise UsageError(f"{target} exists already; name another folder")
    if out.resolve() in target.resolve().parents:
        raise UsageError(f"{target} lies within the audit, which holds nothing else; name a folder elsewhere")
    with bundle.locked(out):
        if case_id not in bundle.names_in(out / bundle.CASES):
            raise UsageError(f"{out} has no finished case {case_id!r:.80}")
        report = verify(out, ())
        for check in report.altered:
            raise EvidenceError(f"{check.subject}: {check.name}: {check.detail}; nothing was handed over")
        names = [bundle.MANIFEST, *(bundle.statement_file(out, stem).name for stem in (bundle.PLAN, bundle.SEAL))]
        files = {name: bundle.read_file(out / name) for name in names}
        plan, seal = stored_statement(out, bundle.PLAN, Plan), stored_statement(out, bundle.SEAL, Seal)
        withheld = [report.withheld[case_id]] if case_id in report.withheld else []
        files[bundle.VERIFY_PAGE] = verify_page(plan, seal, withheld, alone=True)
        folder = out / bundle.CASES / case_id
        case = {name: bundle.read_file(folder / name) for name in sorted(bundle.names_in(folder))}
    bundle.create_folder(target)
    bundle.write_case(target, case_id, case)
    for name, data in files.items():
        bundle.write_file(target / name, data)

"""One case out of an audit, with what ties it to its batch, to be handed over alone."""

from __future__ import annotations

import os
from pathlib import Path

from attn_audit.evidence import bundle
from attn_audit.evidence.errors import EvidenceError, UsageError
from attn_audit.verify import verify
from attn_audit.verify.report import UNTRUSTED
from attn_audit.verify.signature import statement_file

_WITH_IT = (bundle.MANIFEST, bundle.VERIFY_PAGE, bundle.SUMS, bundle.SUMS_SIGNATURE)


def extract(out: Path, case_id: str, target: Path) -> None:
    """Copy one case with plan and seal into the new folder ``target``. The page about the whole batch, which quotes the
    other cases, stays behind; their ids and salted digests stand in plan and seal.

    Raises UsageError where there is no such case or ``target`` exists, EvidenceError where the audit is not as it was
    signed, Incomplete where a file cannot be written.
    """
    if case_id not in bundle.names_in(out / bundle.CASES):
        raise UsageError(f"{out} has no finished case {case_id!r:.80}")
    for check in verify(out, ()).checks:
        if check.outcome == "failed" and check.exit_code != UNTRUSTED:
            raise EvidenceError(f"{check.subject}: {check.name}: {check.detail}; nothing was handed over")
    if os.path.lexists(target):
        raise UsageError(f"{target} exists already; name another folder")
    statements = [statement_file(out, stem).name for stem in (bundle.PLAN, bundle.SEAL)]
    files = {name: out / name for name in (*statements, *_WITH_IT) if (out / name).exists()}
    folder = out / bundle.CASES / case_id
    case = {name: bundle.read_file(folder / name) for name in sorted(bundle.names_in(folder))}
    bundle.create_folder(target)
    bundle.write_case(target, case_id, case)
    for name, path in files.items():
        bundle.write_file(target / name, bundle.read_file(path))

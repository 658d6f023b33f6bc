"""An audit folder, or one case in it, to the list of all checks and their results. Needs no model and no torch.

Every check is made and listed, not only the first that fails; the exit code is the first that applies of 21, 22, 20, 23
and 3.
"""

from __future__ import annotations

import os
from pathlib import Path

from attn_audit.evidence import bundle
from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.trust import TrustedKey
from attn_audit.verify.asked import Asked, check_asked
from attn_audit.verify.batch import verify_batch
from attn_audit.verify.case import verify_case
from attn_audit.verify.cases import Work
from attn_audit.verify.report import Report

_NOTHING, _HERE = Asked(), Work()


def verify(path: Path, trusted: tuple[TrustedKey, ...], asked: Asked = _NOTHING, work: Work = _HERE) -> Report:
    """Check an audit folder, or one case of it, against the keys the reader trusts and what else he asks for. Raises
    UsageError when ``path`` is neither."""
    try:
        path = path.resolve(strict=True)  # so that a case has its name even when it is given as "."
    except (OSError, RuntimeError, ValueError):
        raise UsageError(f"{str(path)[:200]} cannot be read; give an audit folder or a case in one") from None
    if os.path.lexists(bundle.statement_file(path, bundle.ATTESTATION)):
        report = Report(path.parent)
        verify_case(report, path, trusted, asked)
        check_asked(report, asked, path.name, None, whole=False)
        report.note(path.name, "batch", "only this case was checked, not whether its batch is whole")
    elif bundle.is_folder(path / bundle.CASES) or os.path.lexists(bundle.statement_file(path, bundle.PLAN)):
        report = Report(path / bundle.CASES)
        verify_batch(report, path, trusted, asked, work)
    else:
        raise UsageError(f"{path} is neither an audit folder nor a case in one (no plan, no attestation)")
    return report

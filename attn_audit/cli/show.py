"""``attn-audit show``: an audit in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from attn_audit.cli.console import advise, stdout
from attn_audit.cli.targets import check_folder
from attn_audit.evidence.errors import EvidenceError, UsageError
from attn_audit.reports.terminal import case_view
from attn_audit.verify import verify as verify_audit
from attn_audit.verify.report import CHANGED, Report, VerifiedCase
from attn_audit.words import noted

_UNCHECKED = noted("digests agree; signature not checked here: run attn-audit verify with a key you trust")


def show(
    path: Annotated[Path, typer.Argument(help="An audit folder, or one case inside it.")],
    case: Annotated[str | None, typer.Option(metavar="ID", help="Only this case.")] = None,
    top: Annotated[int, typer.Option(min=1, metavar="N", help="How many pieces the ranking lists.")] = 10,
) -> None:
    """Draw heat-map and ranking in the terminal. Checks digests, not the signature, and says so."""
    report = verify_audit(check_folder(path), trusted=())
    changed = [check for check in report.checks if check.outcome == "failed" and check.exit_code == CHANGED]
    if changed:
        raise EvidenceError(f"{changed[0].subject}: {changed[0].name}: {changed[0].detail}; run attn-audit verify")
    for case_id, withheld in report.withheld.items():
        advise(f"{case_id}: content withheld since {withheld.redaction.created}")
    for number, shown in enumerate(_chosen(report, case)):
        if number:
            stdout().print()
        stdout().print(case_view(shown.content, shown.evidence, top=top, verified=_UNCHECKED))


def _chosen(report: Report, wanted: str | None) -> list[VerifiedCase]:
    cases = report.cases
    if not cases:
        raise UsageError("the audit has no finished case to show")
    if wanted is None:
        return list(cases.values())
    if wanted not in cases:
        raise UsageError(f"there is no case {wanted!r}; there are: {', '.join(sorted(cases))}")
    return [cases[wanted]]

"""``attn-audit show``: an audit in the terminal."""

from __future__ import annotations

import shlex
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType

from attn_audit.cli.console import advise, stdout
from attn_audit.cli.targets import check_folder
from attn_audit.cli.verify import watched
from attn_audit.evidence import bundle
from attn_audit.evidence.errors import EvidenceError, UsageError
from attn_audit.evidence.statements import Seal
from attn_audit.evidence.store import stored_statement
from attn_audit.reports.terminal import case_view
from attn_audit.reports.terminal_ending import ended_rows, ending_table
from attn_audit.verify.asked import Asked
from attn_audit.verify.report import CHANGED, Report
from attn_audit.words import noted

DRAWN = 20  # cases at most; of more a table
_NAMED = 20
_UNCHECKED = noted("digests agree; signature not checked here: run attn-audit verify with a key you trust")


def show(
    path: Annotated[Path, typer.Argument(help="An audit folder, or one case inside it.")],
    case: Annotated[str | None, typer.Option(metavar="ID", help="Only this case.")] = None,
    top: Annotated[int, typer.Option(min=1, metavar="N", help="How many pieces the ranking lists.")] = 10,
) -> None:
    """Draw heat-map and ranking in the terminal. Checks digests, not the signature, and says so. Of more than 20 cases
    it prints a table of those that need a look most; with --case it reads that case alone."""
    report = watched(_folder(check_folder(path), case), (), Asked())
    changed = [check for check in report.checks if check.outcome == "failed" and check.exit_code == CHANGED]
    if changed:
        raise EvidenceError(f"{changed[0].subject}: {changed[0].name}: {changed[0].detail}; run attn-audit verify")
    for case_id, withheld in islice(report.withheld.items(), DRAWN):
        advise(f"{case_id}: content withheld since {withheld.created}")
    if not report.cases:
        raise UsageError("the audit has no finished case to show")
    if len(report.cases) > DRAWN:
        stdout().print(_listed(path, report))
        advise(f"too many cases to draw each; one of them: {shlex.join(('attn-audit', 'show', str(path)))} --case ID")
        return
    for number, shown in enumerate(report.cases.values()):
        if number:
            stdout().print()
        stdout().print(case_view(shown.content, shown.evidence, top=top, verified=_UNCHECKED))


def _folder(path: Path, case: str | None) -> Path:
    """What is looked at: of an audit of many cases the one alone that is asked for."""
    if case is None:
        return path
    if not bundle.is_folder(path / bundle.CASES):
        return _alone(path, case)
    names = sorted(bundle.names_in(path / bundle.CASES))
    if case in names:
        return path / bundle.CASES / case
    more = f", and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    raise UsageError(f"there is no case {case!r}; there are: {', '.join(names[:_NAMED])}{more}")


def _alone(path: Path, case: str) -> Path:
    name = path.resolve().name
    if case != name:
        raise UsageError(f"there is no case {case!r}; there are: {name}")
    return path


def _listed(path: Path, report: Report) -> RenderableType:
    seal = stored_statement(path, bundle.SEAL, Seal)
    there = tuple(case for case in seal.cases if case.status != "ok" or case.id in report.facts)
    return ending_table(ended_rows(seal.model_copy(update={"cases": there}), report.evidence), report.measured)

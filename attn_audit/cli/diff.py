"""``attn-audit diff``: what differs between two audits of the same cases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from attn_audit.cli.console import advise, data, stdout
from attn_audit.cli.targets import check_targets
from attn_audit.diff import diff as compare
from attn_audit.evidence import bundle
from attn_audit.evidence.errors import ConditionMet
from attn_audit.judge.conditions import Condition, conditions
from attn_audit.judge.difference import Difference
from attn_audit.judge.worse import newly_met
from attn_audit.reports.diff_html import page
from attn_audit.reports.diff_json import document
from attn_audit.reports.diff_terminal import terminal_view


def diff(
    first: Annotated[Path, typer.Argument(metavar="A", help="An audit folder, or one case inside it.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="The audit, or the case, to compare with it.")],
    top: Annotated[
        int, typer.Option(min=1, metavar="N", help="How many of the pieces that moved most are listed for each case.")
    ] = 5,
    case: Annotated[str | None, typer.Option(metavar="ID", help="Only this case.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the comparison as a page, too.")] = None,
    fail_on: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="End with 10 where B shows something new: policy, unsupported, incomplete, warning:CODE; separated by "
            "commas.",
        ),
    ] = None,
) -> None:
    """Compare two audits of the same cases: what changed, and what moved most. Checks digests, not signatures."""
    wanted = () if fail_on is None else conditions(fail_on)
    if html is not None:
        check_targets([html], (first, second))
    found = compare(first, second, case)
    if html is not None:
        bundle.write_file(html, page(found, top=top))
    if as_json:
        data(document(found, top=top))
    else:
        stdout().print(terminal_view(found, top=top))
    _require_none(wanted, found)


def _require_none(wanted: tuple[Condition, ...], found: Difference) -> None:
    """Raises ConditionMet, each place having been named."""
    met = tuple(newly_met(wanted, found))
    for one in met:
        advise(f"{one.case_id}: {one.reason}")
    if met:
        raise ConditionMet(f"a condition of --fail-on is met by what is new in the second audit: {len(met)} times")

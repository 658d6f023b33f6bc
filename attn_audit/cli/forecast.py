"""What ``attn-audit run --dry-run`` prints: the plan of each case, and what it will take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from attn_audit.cli.console import advise, stdout
from attn_audit.evidence.errors import Incomplete

if TYPE_CHECKING:
    from attn_audit.batch import Forecast
    from attn_audit.measure.planner import Planned


def print_forecast(found: tuple[Forecast, ...]) -> None:
    """A row for each case and the sums. Raises Incomplete where a case cannot be audited."""
    table = Table("case", "units", box=None, pad_edge=False)
    for name in ("passes", "forward tokens", "seconds", "GB"):
        table.add_column(name, justify="right")
    plans = [one.planned for one in found if one.planned is not None]
    for one in found:
        if one.planned is not None:
            table.add_row(one.case.id, _units(one.planned), *_figures([one.planned]))
        else:
            advise(f"{one.case.id} cannot be audited: {one.reason}")
    if len(plans) > 1:
        table.add_section()
        table.add_row("all", "", *_figures(plans))
    stdout().print(table)
    advise("seconds are an estimate from one pass over each prompt, with answers as long as they may become")
    if len(plans) < len(found):
        raise Incomplete(f"{len(found) - len(plans)} of {len(found)} cases cannot be audited")


def _units(planned: Planned) -> str:
    screened = ", screened" if planned.effort == "screened" else ""
    return f"{len(planned.units)} of kind {planned.kind}{screened}"


def _figures(plans: list[Planned]) -> tuple[str, str, str, str]:
    """Sums, but of memory, which is given back after each case, the most."""
    return (
        f"{sum(plan.work.passes for plan in plans):,}",
        f"{sum(plan.work.tokens for plan in plans):,}",
        f"{sum(plan.seconds for plan in plans):,.0f}",
        f"{max((plan.gigabytes for plan in plans), default=0):.1f}",
    )

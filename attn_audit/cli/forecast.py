"""What ``attn-audit run --dry-run`` prints: the plan of each case, and what all of them will take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from attn_audit.cli.console import advise, stdout
from attn_audit.evidence.errors import Incomplete

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attn_audit.batch import CaseForecast, Forecasts
    from attn_audit.measure.planner import Planned

_ROWS = 100  # of cases; the sums are over all of them
_REFUSED = 20


def print_forecast(found: Forecasts) -> None:
    """A row for each case, up to a hundred, and the sums. Raises Incomplete where a case cannot be audited."""
    table = Table("case", "units", box=None, pad_edge=False)
    for name in ("passes", "forward tokens", "seconds", "memory", "disk"):
        table.add_column(name, justify="right")
    plans = [one for one in found.cases if one.planned is not None]
    for one in plans[:_ROWS]:
        table.add_row(one.case.id, "" if one.planned is None else _units(one.planned), *_figures([one]))
    if len(plans) > _ROWS:
        table.add_row(f"… and {len(plans) - _ROWS:,} more")
    if len(plans) > 1:
        table.add_section()
        table.add_row("all", "", *_figures(plans))
    stdout().print(table)
    advise("seconds are an estimate from one pass over each prompt, with answers as long as they may become")
    if plans:
        advise(_altogether(plans, found.workers))
    _require_plans(found, len(plans))


def _altogether(plans: Sequence[CaseForecast], workers: int) -> str:
    """Of the measuring alone: drawing and writing a report take a second or two beside it, most of it the PDF."""
    seconds = sum(one.planned.seconds for one in plans if one.planned is not None)
    by = "one worker" if workers == 1 else f"{workers} workers"
    storage = sum(one.storage for one in plans)
    return f"{len(plans):,} cases: about {_time(seconds / workers)} of measuring by {by}, and {_size(storage)} on disk"


def _time(seconds: float) -> str:
    return f"{seconds / 60:,.1f} minutes" if seconds < 3600 else f"{seconds / 3600:,.1f} hours"


def _size(amount: int) -> str:
    return f"{amount / 1e6:,.1f} MB" if amount < 1e9 else f"{amount / 1e9:,.1f} GB"


def _require_plans(found: Forecasts, planned: int) -> None:
    refused = [one for one in found.cases if one.planned is None]
    for one in refused[:_REFUSED]:
        advise(f"{one.case.id} cannot be audited: {one.reason}")
    if refused:
        named = f", of which {_REFUSED} are named" if len(refused) > _REFUSED else ""
        raise Incomplete(f"{len(refused)} of {len(refused) + planned} cases cannot be audited{named}")


def _units(planned: Planned) -> str:
    screened = ", screened" if planned.effort == "screened" else ""
    return f"{len(planned.units)} of kind {planned.kind}{screened}"


def _figures(cases: Sequence[CaseForecast]) -> tuple[str, str, str, str, str]:
    """Sums, but of memory, which is given back after each case, the most."""
    plans = [one.planned for one in cases if one.planned is not None]
    return (
        f"{sum(plan.work.passes for plan in plans):,}",
        f"{sum(plan.work.tokens for plan in plans):,}",
        f"{sum(plan.seconds for plan in plans):,.0f}",
        f"{max((plan.gigabytes for plan in plans), default=0):.1f} GB",
        _size(sum(one.storage for one in cases)),
    )

"""A sealed audit to the files that other programs read: JUnit for CI, SARIF for code scanning, CSV for spreadsheets,
Markdown for a job's summary. Each is a pure function of the records."""

from __future__ import annotations

from collections.abc import Callable

from attn_audit.evidence.bundle import EXPORTS
from attn_audit.evidence.statements import ExportName
from attn_audit.evidence.store import Sealed
from attn_audit.reports import junit, sarif, summary, table

_MAKERS: dict[ExportName, tuple[Callable[[Sealed], bytes], ...]] = {
    "junit": (junit.results,),
    "sarif": (sarif.results,),
    "csv": (table.units, table.batch),
    "summary": (summary.page,),
}


def makers(wanted: tuple[ExportName, ...]) -> dict[str, Callable[[Sealed], bytes]]:
    """The files of an audit folder that were asked for, by name, and what makes each."""
    return {name: make for one in wanted for name, make in zip(EXPORTS[one], _MAKERS[one], strict=True)}

"""A sealed audit to the files that other programs read: JUnit for CI, SARIF for code scanning, CSV for spreadsheets,
Markdown for a job's summary. Each is a pure function of the records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from attn_audit.evidence.statements import ExportName
from attn_audit.evidence.store import Sealed
from attn_audit.reports import junit, sarif, summary, table

Maker = Callable[[Sealed], bytes]


@dataclass(frozen=True)
class Export:
    """What makes each of its files in an audit folder, by name; and what the help says of the flag that asks for it."""

    files: Mapping[str, Maker]
    help: str


EXPORTS: Mapping[ExportName, Export] = {  # in the order of the help
    "junit": Export(
        {"results.junit.xml": junit.results},
        "Also write the results as JUnit XML, for CI systems. This and the next three stand in the audit folder, too, "
        "where verify compares them.",
    ),
    "sarif": Export(
        {"results.sarif": sarif.results},
        "Also as SARIF 2.1.0, for code scanning; findings point at the line of the case.",
    ),
    "csv": Export(
        {"results.csv": table.units, "results.batch.csv": table.batch},
        "Also as CSV, a row for each piece; beside it FILE.batch.csv with the figures over all cases.",
    ),
    "summary": Export(
        {"summary.md": summary.page},
        "Also as Markdown; auto appends it to the summary of a GitHub Actions job.",
    ),
}


def makers(wanted: tuple[ExportName, ...]) -> dict[str, Maker]:
    """The files of an audit folder that were asked for, by name, and what makes each."""
    return {name: make for one in wanted for name, make in EXPORTS[one].files.items()}

"""All checks of an audit on a terminal: a small one check by check, a large one by what its cases have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from attn_audit.reports.text import one_line, visible
from attn_audit.verify.report import Check, Report

CASES = 40  # so many are listed one by one
ROWS = 50  # of a larger audit, but for those that speak of all of it
_DETAIL = 400  # characters, where many rows are shown
_STYLES = {"ok": "green", "failed": "bold red", "note": "yellow"}
_BATCH = "batch"


@dataclass
class _Alike:
    """What was found alike of several cases: the first of them, and how many there are."""

    outcome: str
    said: str
    first: str
    count: int = 0

    @property
    def who(self) -> str:
        others = self.count - 1
        return self.first if not others else f"{self.first} and {others:,} other{'s' if others > 1 else ''}"


def checks_table(report: Report) -> RenderableType:
    """What passed in one row a subject; each failure and each thing to know in a row of its own. Of many cases a row
    for all that have it in common, failures first, then what concerns most."""
    table = Table("what", "result", "checks", box=None, pad_edge=False)
    by_subject: dict[str, list[Check]] = {}
    for check in report.checks:
        by_subject.setdefault(check.subject, []).append(check)
    if len(by_subject) <= CASES + 1:
        for subject, checks in by_subject.items():
            _add_subject(table, subject, checks, None)
        return table
    batch = by_subject.pop(_BATCH, [])
    _add_subject(table, _BATCH, batch, _DETAIL)
    rows = _alike(check for checks in by_subject.values() for check in checks)
    for row in rows[:ROWS]:
        _add(table, row.who, row.outcome, row.said)
    _add(table, f"{len(by_subject):,} cases", "ok", _passed_by_all(tuple(by_subject.values())))
    left_out = len(rows) - ROWS
    if left_out <= 0:
        return table
    return Group(table, Text(f"{left_out:,} more kinds of results are left out here; --json prints all."))


def _add_subject(table: Table, subject: str, checks: Sequence[Check], length: int | None) -> None:
    if passed := [check.name for check in checks if check.outcome == "ok"]:
        _add(table, visible(subject), "ok", ", ".join(dict.fromkeys(passed)))
    for check in checks:
        if check.outcome != "ok":
            _add(table, visible(subject), check.outcome, _said(check, length))


def _add(table: Table, who: str, outcome: str, said: str) -> None:
    table.add_row(who, Text(outcome, _STYLES[outcome]), Text(said, overflow="fold") if outcome != "ok" else said)


def _said(check: Check, length: int | None) -> str:
    said = f"{check.name}: {check.detail}"
    return visible(said) if length is None else one_line(said, length)


def _alike(checks: Iterable[Check]) -> list[_Alike]:
    """Failures in the order in which they were found, then the rest, what was found of most cases first."""
    found: dict[tuple[str, str, str], _Alike] = {}
    for check in checks:
        if check.outcome == "ok":
            continue
        about = (check.outcome, check.name, check.detail)
        if about not in found:
            found[about] = _Alike(check.outcome, _said(check, _DETAIL), visible(check.subject))
        found[about].count += 1
    return sorted(
        found.values(), key=lambda row: (row.outcome != "failed", 0 if row.outcome == "failed" else -row.count)
    )


def _passed_by_all(cases: Sequence[Sequence[Check]]) -> str:
    """The checks that every case passed, in their order."""
    passed = [frozenset(_passed(checks)) for checks in cases]
    common = frozenset.intersection(*passed) if passed else frozenset()
    return ", ".join(name for name in dict.fromkeys(_passed(cases[0]) if cases else ()) if name in common)


def _passed(checks: Sequence[Check]) -> Iterator[str]:
    failed = {check.name for check in checks if check.outcome == "failed"}
    return (check.name for check in checks if check.outcome == "ok" and check.name not in failed)

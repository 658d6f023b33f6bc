"""What ``attn-audit run`` ends with: a line for each case, those that need a look first where there are many."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum

from rich import box
from rich.console import Group, RenderableType
from rich.style import Style
from rich.table import Table
from rich.text import Text

from attn_audit.evidence.checked import faithfulness_of
from attn_audit.evidence.findings import Finding
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.statements import Seal, SealedCase
from attn_audit.evidence.store import Measured
from attn_audit.reports.ended import weight
from attn_audit.reports.first_words import first_words
from attn_audit.reports.numbers import short_nats
from attn_audit.reports.pieces import pieces_of
from attn_audit.reports.ranking import supporting, unit_rows
from attn_audit.reports.text import one_line, visible

ROWS = 40
_WORDS, _PIECE, _REASON = 60, 40, 160  # characters
_BAD = Style(bold=True, color="red")
_LABEL = Style(bold=True)
_NONE = "–"
_GRAVITY = {"not supported": 2, "cannot tell": 1}
_VERDICTS = {"not supported": "NOT SUPPORTED"}


@dataclass(frozen=True)
class EndedRow:
    """How a case ended. ``verdict`` is empty, and nothing is counted, where it did not finish; ``policies``: how many
    fail, warn and hold."""

    case: SealedCase
    verdict: str
    policies: Counter[str]
    warnings: int
    seconds: float

    @property
    def need(self) -> tuple[int, int, int, int, int]:
        """How much it needs a look; what did not finish most of all."""
        gravity = _GRAVITY.get(self.verdict, 0)
        return (not self.verdict, self.policies["fails"], gravity, self.policies["warns"], self.warnings)


def ended_rows(seal: Seal, evidence: Mapping[str, Evidence]) -> tuple[EndedRow, ...]:
    """One for each case, in the order of the seal."""
    paired: dict[str, list[Finding]] = defaultdict(list)
    for pair in seal.pairs:
        paired[pair.case_id].append(pair)
    return tuple(_row(case, evidence[case.id] if case.status == "ok" else None, paired[case.id]) for case in seal.cases)


def most_in_need(rows: Sequence[EndedRow]) -> str | None:
    """The finished case that needs a look most, the first of several; None where none finished."""
    finished = [row for row in rows if row.verdict]
    return max(finished, key=lambda row: row.need).case.id if finished else None


def ending_table(rows: Sequence[EndedRow], cases: Mapping[str, Measured] | None) -> RenderableType:
    """``cases``: those whose text may be quoted; None: this is no place for texts of cases."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0), expand=True)
    table.add_column("Case", overflow="fold", max_width=16, style=_LABEL)
    table.add_column("Map, policies", overflow="fold", min_width=13, max_width=13)
    table.add_column("Seconds", justify="right", no_wrap=True)
    table.add_column("How it ended" if cases is None else "Answer, and what drove it most", ratio=1, overflow="fold")
    most = sorted(range(len(rows)), key=lambda at: rows[at].need, reverse=True)[:ROWS]
    for at in sorted(most):
        table.add_row(*_cells(rows[at], cases))
    left_out = len(rows) - len(most)
    if not left_out:
        return table
    return Group(table, Text(f"The {ROWS} cases that need a look most; index.html leads to the other {left_out}, too."))


def _row(case: SealedCase, evidence: Evidence | None, paired: Sequence[Finding]) -> EndedRow:
    if evidence is None:
        return EndedRow(case, "", Counter(), 0, 0.0)
    run = evidence.run
    return EndedRow(
        case=case,
        verdict=faithfulness_of(evidence.checks),
        policies=Counter(weight(finding) for finding in (*evidence.findings, *paired)),
        warnings=len(evidence.warnings),
        seconds=fsum((run.seconds_answer, run.seconds_sweep, run.seconds_checks)),
    )


def _cells(row: EndedRow, cases: Mapping[str, Measured] | None) -> tuple[RenderableType, ...]:
    case = row.case
    if not row.verdict:
        reason = Text().append(f"{case.status}: ", _BAD if case.status == "failed" else _LABEL)
        return _id(case), Text(_NONE), Text(_NONE), reason.append(one_line(case.reason or "", _REASON))
    return (
        _id(case),
        _judged(row),
        Text(f"{row.seconds:.1f}"),
        Text("finished") if cases is None else _told(cases.get(case.id)),
    )


def _id(case: SealedCase) -> Text:
    return Text(visible(case.id))


def _judged(row: EndedRow) -> Text:
    lines = [Text(_VERDICTS.get(row.verdict, row.verdict), _BAD if row.verdict in _VERDICTS else "")]
    counted = row.policies
    if counted["fails"]:
        lines.append(Text(f"{counted['fails']} of {counted.total()} fail", _BAD))
    elif counted["warns"]:
        lines.append(Text(f"{counted['warns']} of {counted.total()} warn", _LABEL))
    elif counted:
        lines.append(Text("1 holds" if counted.total() == 1 else f"{counted.total()} hold"))
    if row.warnings:
        lines.append(Text("1 warning" if row.warnings == 1 else f"{row.warnings} warnings"))
    return Text("\n").join(lines)


def _told(measured: Measured | None) -> Text:
    if measured is None:
        return Text("content withheld")
    content, evidence = measured
    words = Text(f"“{_short(content.answer.text, _WORDS)}”\n")
    best = next(iter(supporting(unit_rows(evidence, pieces_of(content, evidence)))), None)
    if best is None:
        return words.append("no piece of the input supported it")
    return words.append(f"‹{_short(best.piece.text, _PIECE)}› {short_nats(best.relevance)} nats")


def _short(text: str, length: int) -> str:
    return visible(first_words(text, length))

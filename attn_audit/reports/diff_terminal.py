"""A comparison of two audits to what ``attn-audit diff`` prints; legible without colour, in 80 columns.

Every line that may hold text of a case begins with an edge of its table or box: a continuous-integration system would
read a line that begins with ``::`` as a command (attack 41).
"""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.style import Style
from rich.table import Table
from rich.text import Text

from attn_audit.judge.difference import Difference
from attn_audit.reports.diff_pieces import PieceRow, Quoted
from attn_audit.reports.diff_view import (
    SHARES,
    UNCHECKED,
    ApartRow,
    CaseView,
    DiffView,
    PolicyRow,
    SideRow,
    diff_view,
)
from attn_audit.reports.text import exact, shortened, visible

_EDGE = box.Box("┌──┐\n│  │\n├──┤\n│  │\n│  │\n│  │\n│  │\n└──┘\n")
_LABEL = Style(bold=True)
_ROW_LENGTH = 90
_KINDS = {"same text": "", "other text": "other text", "new": "only in B", "gone": "only in A"}

Blocks = tuple[RenderableType, ...]


def terminal_view(found: Difference, *, top: int) -> RenderableType:
    """The whole comparison. ``top``: how many pieces of each case are listed."""
    view = diff_view(found, top=top)
    return Group(
        *_header(view),
        *_apart(view.apart),
        *_pairs(view.pairs),
        *(block for case in view.cases for block in _case(case)),
        *((Text(), Text(SHARES)) if any(case.pieces for case in view.cases) else ()),
    )


# -- the audits as a whole --------------------------------------------------------------------------------------------


def _header(view: DiffView) -> Blocks:
    return (
        _sides("", [SideRow("Audit", *view.names), *view.facts]),
        Panel(Text(f"The same in both: {view.same}.\nChecked: {UNCHECKED}."), box=box.SQUARE),
        _sides("In figures", view.counts),
        *_answers(view),
    )


def _answers(view: DiffView) -> Blocks:
    if not view.compared:
        return (Text("No case is finished in both, with its content: no answers are compared.", _LABEL),)
    lines = [f"Answers that changed: {_listed(view.changed, view.compared)}"]
    lines += [f"Policies came out otherwise in: {_ids(view.judged)}"] if view.judged else []
    lines += [f"Nothing changed in: {_ids(view.unchanged)}"] if view.unchanged else []
    return tuple(Text(line, _LABEL) for line in lines)


def _listed(found: Sequence[str], of: int) -> str:
    return f"{len(found)} of {of}{': ' if found else ''}{_ids(found)}"


def _ids(found: Sequence[str]) -> str:
    return ", ".join(map(exact, found))


def _apart(rows: Sequence[ApartRow]) -> Blocks:
    if not rows:
        return ()
    table = _table("Case", "In A", "In B")
    for row in rows:
        table.add_row(Text(exact(row.id), _LABEL), row.first, row.second)
    more = (block for row in rows if row.notes or row.policies for block in _judged(row))
    return (_title("Not compared"), table, *more)


def _judged(row: ApartRow) -> Blocks:
    """What the evidence alone says of a case that was not compared."""
    return (_title(f"Case {exact(row.id)}, by its evidence alone"), *map(Text, row.notes), *_policies(row.policies))


def _pairs(rows: tuple[PolicyRow, ...] | None) -> Blocks:
    if rows is None:
        return (Text("Policies on pairs of cases: not compared, since one side is a single case."),)
    return (_title("Policies on pairs of cases"), *_policies(rows)) if rows else ()


def _policies(rows: Sequence[PolicyRow]) -> Blocks:
    if not rows:
        return ()
    table = _table("Policy", "In A", "In B")
    for row in rows:
        name = Text(visible(row.policy), _LABEL)
        if row.case_id:
            name.append(f" ({exact(row.case_id)} and {exact(row.pair_with)})", Style.null())
        table.add_row(name, Text(visible(row.first)), Text(visible(row.second), _LABEL if row.bad else Style.null()))
    return (table,)


# -- one case ---------------------------------------------------------------------------------------------------------


def _case(case: CaseView) -> Blocks:
    return (
        Text(),
        Text(f"Case {exact(case.id)}", Style(bold=True, underline=True)),
        Text(f"Prompt: {case.prompt}"),
        *_said(case),
        _sides("", case.facts),
        *(Text(note) for note in case.notes),
        *((_title("Policies that changed"), *_policies(case.policies)) if case.policies else ()),
        *_pieces(case),
    )


def _said(case: CaseView) -> Blocks:
    if case.same_answer:
        return (_panel("Answer, the same in both", case.answers[1]),)
    return _panel("Answer in A", case.answers[0]), _panel("Answer in B: CHANGED", case.answers[1])


def _pieces(case: CaseView) -> Blocks:
    title = _title("Pieces that moved most")
    if case.differs:
        return title, Text(f"NOT COMPARABLE: measured otherwise ({case.differs}). Shares are not held together.")
    if not case.pieces:
        return title, Text("None: no share changed by 0.05 points or more.")
    table = Table(box=_EDGE, expand=True)
    table.add_column("Points", justify="right", no_wrap=True)
    for side in "AB":
        table.add_column(f"Share {side}", justify="right", no_wrap=True)
    table.add_column("Place", justify="right", no_wrap=True)
    table.add_column("Piece", ratio=1, overflow="fold")
    for row in case.pieces:
        table.add_row(row.change, *row.shares, " → ".join(row.places), _text(row))
    left = case.moved - len(case.pieces)
    return title, table, *((Text(f"{left} more moved less."),) if left else ())


def _text(row: PieceRow) -> Text:
    words = Text(f"{_KINDS[row.kind]}: " if row.kind in {"new", "gone"} else "")
    sides = len(row.quoted) > 1
    for number, (side, quoted) in enumerate(row.quoted):
        words.append("\n" if number else "").append(f"{side} " if sides else "")
        words.append_text(_quoted(quoted))
    return words


def _quoted(found: Quoted) -> Text:
    words = Text(found.name + " " if found.name else "", style=_LABEL)
    words.append(visible(found.before), Style.null())
    words.append(f"‹{visible(shortened(found.text, _ROW_LENGTH))}›", _LABEL)
    return words.append(visible(found.after), Style.null())


# -- tables -----------------------------------------------------------------------------------------------------------


def _sides(name: str, rows: Sequence[SideRow]) -> Table:
    table = _table(name, "A", "B")
    for row in rows:
        table.add_row(Text(row.name, _LABEL), *(Text(visible(value)) for value in (row.first, row.second)))
    return table


def _table(first: str, *columns: str) -> Table:
    table = Table(box=_EDGE, expand=True)
    table.add_column(first, max_width=26, overflow="fold")
    for column in columns:
        table.add_column(column, ratio=1, overflow="fold")
    return table


def _panel(title: str, text: str) -> RenderableType:
    return Panel(Text(visible(text)), title=Text(title), title_align="left", box=box.SQUARE)


def _title(text: str) -> RenderableType:
    return Padding(Text(visible(text), style=_LABEL), (1, 0, 0, 0))

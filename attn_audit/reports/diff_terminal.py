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
from attn_audit.words import noted, say, translated

_EDGE = box.Box("┌──┐\n│  │\n├──┤\n│  │\n│  │\n│  │\n│  │\n└──┘\n")
_LABEL = Style(bold=True)
_ROW_LENGTH = 90
_KINDS = {"new": noted("only in B:"), "gone": noted("only in A:")}

Blocks = tuple[RenderableType, ...]


def terminal_view(found: Difference, *, top: int) -> RenderableType:
    """The whole comparison. ``top``: how many pieces of each case are listed."""
    view = diff_view(found, top=top)
    return Group(
        *_header(view),
        *_apart(view.apart),
        *_pairs(view.pairs),
        *(block for case in view.cases for block in _case(case)),
        *((Text(), Text(translated(SHARES))) if any(case.pieces for case in view.cases) else ()),
    )


# -- the audits as a whole --------------------------------------------------------------------------------------------


def _header(view: DiffView) -> Blocks:
    return (
        _sides("", [SideRow(say("Audit"), *view.names), *view.facts]),
        Panel(Text("\n".join(_sure(view))), box=box.SQUARE),
        _sides(say("In figures"), view.counts),
        *_answers(view),
    )


def _sure(view: DiffView) -> Sequence[str]:
    checked = say("Checked: %(unchecked)s.", unchecked=translated(UNCHECKED))
    return say("The same in both: %(same)s.", same=view.same), checked


def _answers(view: DiffView) -> Blocks:
    if not view.compared:
        return (Text(say("No case is finished in both, with its content: no answers are compared."), _LABEL),)
    lines = [_changed(view.changed, view.compared)]
    lines += [say("Policies came out otherwise in: %(ids)s", ids=_ids(view.judged))] if view.judged else []
    lines += [say("Nothing changed in: %(ids)s", ids=_ids(view.unchanged))] if view.unchanged else []
    return tuple(Text(line, _LABEL) for line in lines)


def _changed(found: Sequence[str], compared: int) -> str:
    values = {"changed": len(found), "compared": compared}
    if not found:
        return say("Answers that changed: %(changed)s of %(compared)s", **values)
    return say("Answers that changed: %(changed)s of %(compared)s: %(ids)s", **values, ids=_ids(found))


def _ids(found: Sequence[str]) -> str:
    return ", ".join(map(exact, found))


def _apart(rows: Sequence[ApartRow]) -> Blocks:
    if not rows:
        return ()
    table = _table(say("Case"), say("In A"), say("In B"))
    for row in rows:
        table.add_row(Text(exact(row.id), _LABEL), row.first, row.second)
    more = (block for row in rows if row.notes or row.policies for block in _judged(row))
    return (_title(say("Not compared")), table, *more)


def _judged(row: ApartRow) -> Blocks:
    """What the evidence alone says of a case that was not compared."""
    title = _title(say("Case %(id)s, by its evidence alone", id=exact(row.id)))
    return (title, *map(Text, row.notes), *_policies(row.policies))


def _pairs(rows: tuple[PolicyRow, ...] | None) -> Blocks:
    if rows is None:
        return (Text(say("Policies on pairs of cases: not compared, since one side is a single case.")),)
    return (_title(say("Policies on pairs of cases")), *_policies(rows)) if rows else ()


def _policies(rows: Sequence[PolicyRow]) -> Blocks:
    if not rows:
        return ()
    table = _table(say("Policy"), say("In A"), say("In B"))
    for row in rows:
        name = Text(visible(row.policy), _LABEL)
        if row.case_id:
            both = say("(%(one)s and %(other)s)", one=exact(row.case_id), other=exact(row.pair_with))
            name.append(f" {both}", Style.null())
        table.add_row(name, Text(visible(row.first)), Text(visible(row.second), _LABEL if row.bad else Style.null()))
    return (table,)


# -- one case ---------------------------------------------------------------------------------------------------------


def _case(case: CaseView) -> Blocks:
    return (
        Text(),
        Text(say("Case %(id)s", id=exact(case.id)), Style(bold=True, underline=True)),
        Text(say("Prompt: %(prompt)s", prompt=case.prompt)),
        *_said(case),
        _sides("", case.facts),
        *(Text(note) for note in case.notes),
        *((_title(say("Policies that changed")), *_policies(case.policies)) if case.policies else ()),
        *_pieces(case),
    )


def _said(case: CaseView) -> Blocks:
    if case.same_answer:
        return (_panel(say("Answer, the same in both"), case.answers[1]),)
    first, second = case.answers
    return _panel(say("Answer in A"), first), _panel(say("Answer in B: CHANGED"), second)


def _pieces(case: CaseView) -> Blocks:
    title = _title(say("Pieces that moved most"))
    if case.differs:
        return title, Text(
            say("NOT COMPARABLE: measured otherwise (%(differs)s). Shares are not held together.", differs=case.differs)
        )
    if not case.pieces:
        return title, Text(say("None: no share changed by 0.05 points or more."))
    table = Table(box=_EDGE, expand=True)
    table.add_column(say("Points"), justify="right", no_wrap=True)
    for share in (say("Share A"), say("Share B")):
        table.add_column(share, justify="right", no_wrap=True)
    table.add_column(say("Place"), justify="right", no_wrap=True)
    table.add_column(say("Piece"), ratio=1, overflow="fold")
    for row in case.pieces:
        table.add_row(row.change, *row.shares, " → ".join(row.places), _text(row))
    left = case.moved - len(case.pieces)
    return title, table, *((Text(say("%(more)s more moved less.", more=left)),) if left else ())


def _text(row: PieceRow) -> Text:
    words = Text(f"{translated(_KINDS[row.kind])} " if row.kind in _KINDS else "")
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

"""Content and evidence to what ``attn-audit show`` prints: header, heat-map, ranking; legible without colour."""

from __future__ import annotations

from math import fsum

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.style import Style
from rich.table import Table
from rich.text import Text

from attn_audit.evidence.records import Content, Evidence
from attn_audit.judge.method import described
from attn_audit.reports.numbers import nats, probability, short_nats
from attn_audit.reports.spans import Fragment, check_lengths, fragments
from attn_audit.reports.text import exact, shortened, visible
from attn_audit.reports.view import UnitRow, largest, level, standing, unit_rows

_VALUE_FROM = 2  # level from which the value is printed behind the text
_LOWEST = 3
_ROW_LENGTH = 60
_STANDINGS = {
    "unsigned": "none: UNSIGNED, nobody vouches for this report",
    "test key": "TEST KEY, stands for no person and no organisation",
    "signed": "",
}
# Both colours of a mark are stated, so that it reads the same on dark and light backgrounds. Underline and value stay
# when there is no colour.
_HEAT = {
    -3: Style(color="#000000", bgcolor="#e38f2b", bold=True, underline=True),
    -2: Style(color="#000000", bgcolor="#f7c388", underline=True),
    -1: Style(color="#000000", bgcolor="#fbdcb8"),
    0: Style(),
    1: Style(color="#000000", bgcolor="#c9dff4"),
    2: Style(color="#000000", bgcolor="#a3c9ec", underline=True),
    3: Style(color="#000000", bgcolor="#5b9bd8", bold=True, underline=True),
}
_VALUE = Style(italic=True)
_LABEL = Style(bold=True)


def case_view(content: Content, evidence: Evidence, *, top: int, verified: str) -> RenderableType:
    """One case. ``top``: rows of the ranking; ``verified``: the sentence that says what was checked.

    Raises EvidenceError when content and evidence do not fit together.
    """
    check_lengths(content, evidence)
    drawn = fragments(content, evidence)
    return Group(
        _header(content, evidence, verified),
        *_answers(content, evidence),
        *_heat_map(content, evidence, drawn),
        *_ranking(unit_rows(content, evidence), top),
        *_findings(evidence),
    )


def _header(content: Content, evidence: Evidence, verified: str) -> RenderableType:
    total = fsum(evidence.answer.base)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style=_LABEL, no_wrap=True)
    grid.add_column(overflow="fold")
    rows = (
        ("Case", exact(evidence.case_id)),
        ("Verified", visible(verified)),
        ("Signer", _signer(evidence)),
        ("Model", f"{exact(evidence.model.name)}, root {evidence.model.root}"),
        ("Method", _method(evidence)),
        ("Probability", f"{probability(total)} ({nats(total)} nats, {len(evidence.answer.base)} answer tokens)"),
        *(() if content.contrast is None else (("Rather than", visible(content.contrast.text)),)),
        ("Faithfulness", "not checked by this version"),
    )
    for name, value in rows:
        grid.add_row(name, Text(value))
    return grid


def _signer(evidence: Evidence) -> str:
    said = _STANDINGS[standing(evidence.signer)]
    if evidence.signer is None:
        return said
    return ", ".join(filter(None, (exact(evidence.signer.principal), f"key id {evidence.signer.key_id}", said)))


def _method(evidence: Evidence) -> str:
    method = evidence.method
    changed = "default" if method.default else "changed from the default"
    return visible(f"{changed}: {described(method)}")


def _answers(content: Content, evidence: Evidence) -> tuple[RenderableType, ...]:
    if evidence.answer.source == "generated":
        found = [_said("Answer, written by the model", content.answer.text)]
    else:
        found = [_said("SUPPLIED answer, from the case file; explained here", content.answer.text)]
        if content.own_answer is not None:
            found.append(_said("The model's own answer; not explained here", content.own_answer))
    observed = evidence.answer.observed
    if observed is not None:
        title = "reproduced by this model" if observed.reproduced else "NOT reproduced by this model"
        found.append(_said(f"Answer observed in production, {title}", content.case.observed_answer or ""))
    return tuple(found)


def _said(title: str, text: str) -> RenderableType:
    return Panel(Text(visible(text)), title=Text(title), title_align="left", box=box.SQUARE)


def _heat_map(
    content: Content, evidence: Evidence, drawn: tuple[tuple[Fragment, ...], ...]
) -> tuple[RenderableType, ...]:
    legend = Text("Heat-map: ", style=_LABEL)
    legend.append("supported", _HEAT[3])
    legend.append(" or ")
    legend.append("spoke against", _HEAT[-3])
    legend.append(" the answer; values in nats.", Style.null())
    messages = tuple(
        Panel(
            _drawn(found, evidence),
            title=Text(f"Message {number}: {message.role}"),
            title_align="left",
            box=box.SQUARE,
        )
        for number, (message, found) in enumerate(zip(content.case.messages, drawn, strict=True), start=1)
    )
    return (Padding(legend, (1, 0, 0, 0)), *messages)


def _drawn(found: tuple[Fragment, ...], evidence: Evidence) -> Text:
    top = largest(evidence.relevance)
    text = Text()
    for fragment in found:
        value = max((evidence.relevance[index] for index in fragment.units), key=abs, default=0.0)
        heat = level(value, top)
        text.append(visible(fragment.text), _HEAT[_three(heat)])
        if abs(heat) >= _VALUE_FROM:
            text.append(f"[{short_nats(value)}]", _VALUE)
    return text


def _three(heat: int) -> int:
    """-5..5 to the three steps on either side that a terminal can tell apart."""
    steps = (abs(heat) + 1) // 2
    return steps if heat > 0 else -steps


def _ranking(rows: tuple[UnitRow, ...], top: int) -> tuple[RenderableType, ...]:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=True, title_justify="left")
    table.add_column("Rank", justify="right", no_wrap=True)
    table.add_column("Text", ratio=1, overflow="fold")
    table.add_column("Message", no_wrap=True)
    table.add_column("Nats", justify="right", no_wrap=True)
    table.add_column("Share", justify="right", no_wrap=True)
    first = rows[: max(top, 0)]
    lowest = tuple(row for row in rows[len(first) :][-_LOWEST:] if row.relevance < 0)
    left_out = len(rows) - len(first) - len(lowest)
    for row in first:
        table.add_row(*_cells(row))
    if left_out:
        table.add_row("", Text(f"… {left_out} pieces left out …", style="italic"), "", "", "")
    for row in lowest:
        table.add_row(*_cells(row))
    note = "Nats: fall of the answer's log-probability when one piece is hidden. Not the model's reasons, not a cause."
    return (Padding(Text("Ranking", style=_LABEL), (1, 0, 0, 0)), table, Text(note))


def _cells(row: UnitRow) -> tuple[RenderableType, ...]:
    words = Text(visible(row.before))
    words.append(f"‹{visible(shortened(row.text, _ROW_LENGTH))}›", Style(bold=True))
    words.append(visible(row.after))
    name = Text(exact(row.name) + " " if row.name else "", style=_LABEL)
    return (str(row.rank), name.append(words), row.where, row.nats, row.share or "–")


def _findings(evidence: Evidence) -> tuple[RenderableType, ...]:
    lines = [f"Warning ({warning.code}): {warning.sentence}" for warning in evidence.warnings]
    lines += [f"NOT EVALUATED: {item}" for item in evidence.not_evaluated]
    return tuple(Text(visible(line), style=_LABEL) for line in lines)

"""The heat-map of ``attn-audit show``: colour for those who have it, brackets and values for everybody."""

from __future__ import annotations

import re
from itertools import groupby

from rich import box
from rich.console import RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.style import Style
from rich.text import Text

from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Content
from attn_audit.judge.relevance import Values, told_apart
from attn_audit.reports.heatmap import largest, level, strongest
from attn_audit.reports.numbers import short_nats
from attn_audit.reports.spans import Fragment
from attn_audit.reports.text import visible

_VALUE_FROM = 2  # level from which a piece is bracketed with its value
_LOOK_ALIKE = re.compile(r"\[[^\[\]]*[+−]\d+\.\d\d\]|\{~")  # text of the case that looks like this map's own marks
# Both colours of a mark are stated, so that it reads the same on dark and light backgrounds. Underline, brackets and
# value stay when there is no colour.
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
_UNMEASURED = Style(italic=True, dim=True)
_LABEL = Style(bold=True)


def heat_map(
    content: Content, evidence: Evidence, drawn: tuple[tuple[Fragment, ...], ...]
) -> tuple[RenderableType, ...]:
    """A legend, then each message of the case word for word. ``drawn``: the runs of each message."""
    messages = tuple(
        Panel(
            _drawn(found, told_apart(evidence)),
            title=Text(f"Message {number}: {message.role}"),
            title_align="left",
            box=box.SQUARE,
        )
        for number, (message, found) in enumerate(zip(content.case.messages, drawn, strict=True), start=1)
    )
    return (Padding(_legend(content, evidence), (1, 0, 0, 0)), *messages)


def _legend(content: Content, evidence: Evidence) -> Text:
    legend = Text("Heat-map. ", style=_LABEL)
    legend.append("[piece +1.00]", _HEAT[3])
    legend.append(" supported the answer by 1.00 nats, ", Style.null())
    legend.append("[piece −1.00]", _HEAT[-3])
    legend.append(" spoke against it; weaker pieces have no bracket.", Style.null())
    if any(value is None for value in evidence.relevance):
        legend.append(" ")
        legend.append("{~text~}", _UNMEASURED)
        legend.append(" was not measured (screened out as unpromising); that is not “no effect”.", Style.null())
    if any(_LOOK_ALIKE.search(message.content) for message in content.case.messages):
        legend.append(" Beware: the case's own text holds brackets that look like these.", _LABEL)
    return legend


def _drawn(found: tuple[Fragment, ...], values: Values) -> Text:
    top = largest(values)
    text = Text()
    for unmeasured, run in groupby(_with_gaps(found, values), key=lambda one: one[1]):
        fragments = [fragment for fragment, _ in run]
        if unmeasured:
            text.append(f"{{~{visible(''.join(fragment.text for fragment in fragments))}~}}", _UNMEASURED)
            continue
        for fragment in fragments:
            _append(text, fragment, strongest(fragment, values) or 0.0, top)
    return text


def _with_gaps(found: tuple[Fragment, ...], values: Values) -> list[tuple[Fragment, bool]]:
    """Each run, and whether it was not measured; what stands between two such runs goes with them."""
    unmeasured = [bool(fragment.units) and strongest(fragment, values) is None for fragment in found]
    joined = [
        state or (not fragment.units and 0 < at < len(found) - 1 and unmeasured[at - 1] and unmeasured[at + 1])
        for at, (fragment, state) in enumerate(zip(found, unmeasured, strict=True))
    ]
    return list(zip(found, joined, strict=True))


def _append(text: Text, fragment: Fragment, value: float, top: float) -> None:
    heat = level(value, top)
    if abs(heat) < _VALUE_FROM:
        text.append(visible(fragment.text), _HEAT[_three(heat)])
        return
    text.append("[", _HEAT[_three(heat)])
    text.append(visible(fragment.text), _HEAT[_three(heat)])
    text.append(f" {short_nats(value)}]", _HEAT[_three(heat)] + _VALUE)


def _three(heat: int) -> int:
    """-5..5 to the three steps on either side that a terminal can tell apart."""
    steps = (abs(heat) + 1) // 2
    return steps if heat > 0 else -steps

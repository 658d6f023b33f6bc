"""The heat-map of ``attn-audit show``: colour for those who have it, brackets and values for everybody."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby

from rich.box import Box
from rich.console import RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.style import Style
from rich.text import Text

from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Content
from attn_audit.judge.relevance import Values, told_apart
from attn_audit.reports.heatmap import label, largest, level, strongest
from attn_audit.reports.numbers import short_nats, size
from attn_audit.reports.spans import Characters, Fragment
from attn_audit.reports.text import visible
from attn_audit.words import noted, say, say_of, translated

# Other people's text has a line on its left alone: terminals disagree on the width of many characters, and turn lines
# of right-to-left text around, so that an edge on the right would not stay where it is drawn.
LEFT_EDGE = Box("┌── \n│   \n├── \n│   \n├── \n├── \n│   \n└── \n")
_LONG = 4000  # characters of all messages: less is drawn in full
_PLAIN, _KEPT = 500, 120  # characters without a bracket in a row of a long case: so many are kept on either side
_VALUE_FROM = 2  # level from which a piece is bracketed with its value
# Text of the case that looks like this map's own marks.
_LOOK_ALIKE = re.compile(r"\[[^\[\]]*[+−]\d+\.\d\d\]|\{[~…]")
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
_MARKS = noted(
    "[piece +1.00] supported the answer by 1.00 nats, [piece −1.00] spoke against it; weaker pieces have no bracket."
)
_SCREENED = noted("{~text~} was not measured (screened out as unpromising); that is not “no effect”.")
_LEFT_OUT = noted("{… 900 characters …} without a bracket are left out; the HTML report shows all of the text.")
# The samples within these sentences are drawn as what they stand for, in any language.
_SAMPLES = ((r"\[[^\[\]]*\+1\.00\]", _HEAT[3]), (r"\[[^\[\]]*−1\.00\]", _HEAT[-3]), (r"\{[^{}]*\}", _UNMEASURED))


@dataclass(frozen=True)
class _Run:
    """Text that is drawn in one way. ``left_out``: characters that it stands for, and that are not drawn."""

    text: str
    heat: int = 0
    value: float = 0.0
    measured: bool = True
    left_out: int = 0

    @property
    def bracketed(self) -> bool:
        return abs(self.heat) >= _VALUE_FROM


def heat_map(
    content: Content, evidence: Evidence, drawn: tuple[tuple[Fragment, ...], ...]
) -> tuple[RenderableType, ...]:
    """A legend, then each message of the case word for word; of a long case only what is strong and the words around
    it. ``drawn``: the runs of each message."""
    long = sum(len(message.content) for message in content.case.messages) > _LONG
    values = told_apart(evidence)
    runs = [list(_runs(found, values)) for found in drawn]
    shown = [_shortened(found) if long else found for found in runs]
    messages = tuple(
        Panel(_text(found), title=Text(label(number, message.role)), title_align="left", box=LEFT_EDGE)
        for number, (message, found) in enumerate(zip(content.case.messages, shown, strict=True), start=1)
    )
    return (Padding(_legend(content, evidence, [run for found in shown for run in found]), (1, 0, 0, 0)), *messages)


def _legend(content: Content, evidence: Evidence, shown: list[_Run]) -> Text:
    sentences = [translated(_MARKS)]
    sentences += [translated(_SCREENED)] if any(value is None for value in evidence.relevance) else []
    sentences += [translated(_LEFT_OUT)] if any(run.left_out for run in shown) else []
    legend = Text().append(say("Heat-map."), _LABEL).append(f" {' '.join(sentences)}")
    for pattern, style in _SAMPLES:
        legend.highlight_regex(pattern, style)
    if any(_LOOK_ALIKE.search(message.content) for message in content.case.messages):
        beware = say("Beware: the case's own text holds brackets that look like these.")
        legend.append(f" {beware}", _LABEL)
    return legend


def _runs(found: tuple[Fragment, ...], values: Values) -> Iterator[_Run]:
    top = largest(values)
    for unmeasured, group in groupby(_with_gaps(found, values), key=lambda one: one[1]):
        fragments = [fragment for fragment, _ in group]
        if unmeasured:
            yield _Run("".join(fragment.text for fragment in fragments), measured=False)
            continue
        for fragment in fragments:
            value = strongest(fragment, values) or 0.0
            yield _Run(fragment.text, level(value, top), value)


def _with_gaps(found: tuple[Fragment, ...], values: Values) -> list[tuple[Fragment, bool]]:
    """Each run, and whether it was not measured; what stands between two such runs goes with them."""
    unmeasured = [bool(fragment.units) and strongest(fragment, values) is None for fragment in found]
    joined = [
        state or (not fragment.units and 0 < at < len(found) - 1 and unmeasured[at - 1] and unmeasured[at + 1])
        for at, (fragment, state) in enumerate(zip(found, unmeasured, strict=True))
    ]
    return list(zip(found, joined, strict=True))


def _shortened(runs: list[_Run]) -> list[_Run]:
    """The same, without the middle of what stays long without a bracket."""
    shown: list[_Run] = []
    for bracketed, group in groupby(runs, key=lambda run: run.bracketed):
        found = list(group)
        count = sum(len(run.text) for run in found)
        if bracketed or count <= _PLAIN:
            shown += found
            continue
        head, tail = _up_to(found, _KEPT), _from(found, count - _KEPT)
        left_out = count - sum(len(run.text) for run in (*head, *tail))
        shown += [*head, _Run("", left_out=left_out), *tail]
    return shown


def _up_to(runs: Iterable[_Run], end: int) -> list[_Run]:
    """The first characters; a character that the edge divides is left out."""
    kept, at = [], 0
    for run in runs:
        cut = _edge(run.text, end - at)
        kept.append(replace(run, text=run.text[:cut]))
        at += len(run.text)
        if at >= end:
            break
    return [run for run in kept if run.text]


def _from(runs: Iterable[_Run], start: int) -> list[_Run]:
    """The characters from ``start`` on."""
    kept, at = [], 0
    for run in runs:
        if at + len(run.text) > start:
            kept.append(replace(run, text=run.text[_edge(run.text, start - at) :]))
        at += len(run.text)
    return [run for run in kept if run.text]


def _edge(text: str, offset: int) -> int:
    """The offset, moved back to where a user-perceived character begins, inside the text."""
    if not 0 < offset < len(text):
        return max(0, min(offset, len(text)))
    characters = Characters(text)
    return next(at for at in range(offset, -1, -1) if characters.begins(at))


def _text(runs: Iterable[_Run]) -> Text:
    text = Text(overflow="fold")
    for run in runs:
        style = _HEAT[_three(run.heat)]
        if run.left_out:
            text.append(f" {_gap(run.left_out)} ", _UNMEASURED)
        elif not run.measured:
            text.append(f"{{~{visible(run.text)}~}}", _UNMEASURED)
        elif run.bracketed:
            text.append(f"[{visible(run.text)}", style)
            text.append(f" {short_nats(run.value)}]", style + _VALUE)
        else:
            text.append(visible(run.text), style)
    return text


def _gap(count: int) -> str:
    return say_of(count, "{… %(size)s character …}", "{… %(size)s characters …}", size=size(count))


def _three(heat: int) -> int:
    """-5..5 to the three steps on either side that a terminal can tell apart."""
    steps = (abs(heat) + 1) // 2
    return steps if heat > 0 else -steps

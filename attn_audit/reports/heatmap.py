"""Relevance to the heat-map: a level for each run of the case's own text, and what the levels stand for."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Content
from attn_audit.judge.relevance import Values, told_apart
from attn_audit.reports.numbers import nats, short_nats
from attn_audit.reports.spans import Fragment
from attn_audit.reports.text import visible

LEVELS = 5
NOT_MEASURED = "not measured"
_PLAIN_BELOW = 0.05  # of the largest absolute value: less gets no colour
_VALUE_FROM = 3  # level from which the value is printed beside the text


@dataclass(frozen=True)
class Mark:
    """A run of a message as the heat-map draws it. ``level``: -5 to 5, 0 is plain, None was not measured.

    ``note``: every value in it, empty where no unit lies; ``value``: the one that is printed beside it.
    """

    text: str
    level: int | None
    note: str
    value: str


@dataclass(frozen=True)
class MessageView:
    """One message of the heat-map."""

    label: str
    text: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class LegendStep:
    """One look of the heat-map and the values it stands for."""

    level: int | None
    range: str


def level(value: float, largest: float) -> int:
    """Heat of a value on -5..5, relative to the largest absolute value of the report; 0 below 5 % of it."""
    if largest <= 0 or abs(value) < _PLAIN_BELOW * largest:
        return 0
    steps = min(LEVELS, max(1, ceil(LEVELS * (abs(value) / largest))))
    return steps if value > 0 else -steps


def largest(values: Values) -> float:
    """The largest absolute value, nats; 0 when there is none."""
    return max((abs(value) for value in values if value is not None), default=0.0)


def strongest(fragment: Fragment, values: Values) -> float | None:
    """The value of a run that its colour shows, nats; None when nothing in it was measured."""
    found = [value for index in fragment.units if (value := values[index]) is not None]
    return max(found, key=abs, default=None)


def message_views(
    content: Content, evidence: Evidence, drawn: tuple[tuple[Fragment, ...], ...]
) -> tuple[MessageView, ...]:
    """The messages of the case with their marks. ``drawn``: the runs of each message."""
    values = told_apart(evidence)
    top = largest(values)
    return tuple(
        MessageView(
            f"Message {number}: {message.role}",
            message.content,
            tuple(_mark(fragment, evidence, values, top) for fragment in found),
        )
        for number, (message, found) in enumerate(zip(content.case.messages, drawn, strict=True), start=1)
    )


def legend(values: Values) -> tuple[LegendStep, ...]:
    """The looks that occur in the map, from most against to most for, then what was not measured."""
    top = largest(values)
    occurring = {None if value is None else level(value, top) for value in values}
    steps = tuple(LegendStep(step, _range(step, top)) for step in range(-LEVELS, LEVELS + 1) if step in occurring)
    return steps + ((LegendStep(None, "screened out as unpromising"),) if None in occurring else ())


def _mark(fragment: Fragment, evidence: Evidence, values: Values, top: float) -> Mark:
    if not fragment.units:
        return Mark(fragment.text, 0, "", "")
    note = "; ".join(
        f"{visible(evidence.units[index].id)}: {_noted(evidence.relevance[index])}" for index in fragment.units
    )
    value = strongest(fragment, values)
    if value is None:
        return Mark(fragment.text, None, note, "")
    heat = level(value, top)
    return Mark(fragment.text, heat, note, short_nats(value) if abs(heat) >= _VALUE_FROM else "")


def _noted(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{nats(value)} nats"


def _range(step: int, top: float) -> str:
    edges = [_PLAIN_BELOW * top, *(top * number / LEVELS for number in range(1, LEVELS + 1))]
    if step == 0:
        return f"less than {edges[0]:.3f} either way"
    low, high = sorted((edges[abs(step) - 1], edges[abs(step)]))
    sign = 1 if step > 0 else -1
    return f"{nats(sign * low)} to {nats(sign * high)}"

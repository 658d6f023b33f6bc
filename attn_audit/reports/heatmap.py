"""Relevance to the heat-map: a level for each run of the case's own text, and what the levels stand for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import ceil

from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Content
from attn_audit.judge.relevance import Values, below_noise, told_apart
from attn_audit.reports.numbers import in_nats, nats, short_nats
from attn_audit.reports.spans import Fragment
from attn_audit.reports.text import visible
from attn_audit.words import noted, say, translated

LEVELS = 5
NOT_MEASURED = noted("not measured")
_PLAIN_BELOW = 0.05  # of the largest absolute value: less gets no colour
_VALUE_FROM = 3  # level from which the value is printed beside the text
_FEW = 60  # runs with a value up to which each is a stop of the keyboard; of more, the coloured ones
NOISE = "h-noise"
UNMEASURED = "h-none"


@dataclass(frozen=True)
class Mark:
    """A run of a message as the heat-map draws it. ``look``: its class in the stylesheet, for the whole answer.

    ``tokens``: the classes for the answer tokens that colour it; ``note``: every value in it, empty where no unit lies;
    ``value``: the one that is printed beside it; ``relevance``: the one that its colour shows, nats, 0 where it cannot
    be told from rounding; ``stop``: it can be reached with the keyboard; ``anchor``: its id, empty when nothing
    links to it.
    """

    text: str
    look: str = "h-0"
    tokens: str = ""
    note: str = ""
    value: str = ""
    relevance: float | None = None
    stop: bool = False
    anchor: str = ""


@dataclass(frozen=True)
class MessageView:
    """One message of the heat-map."""

    label: str
    text: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class LegendStep:
    """One look of the heat-map and the values it stands for; ``level`` is None for what has no value to show."""

    look: str
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
    content: Content, evidence: Evidence, drawn: tuple[tuple[Fragment, ...], ...], classes: Callable[[Fragment], str]
) -> tuple[MessageView, ...]:
    """The messages of the case with their marks. ``drawn``: the runs of each message; ``classes``: those of a run for
    the answer tokens."""
    values, noise = told_apart(evidence), below_noise(evidence)
    top = largest(values)
    count = sum(bool(fragment.units) for found in drawn for fragment in found)
    stop_from = 0 if count <= _FEW else 1
    draw = partial(_mark, evidence=evidence, values=values, noise=noise, top=top, classes=classes, stop_from=stop_from)
    return tuple(
        MessageView(label(number, message.role), message.content, tuple(map(draw, found)))
        for number, (message, found) in enumerate(zip(content.case.messages, drawn, strict=True), start=1)
    )


def legend(evidence: Evidence) -> tuple[LegendStep, ...]:
    """The looks that occur in the map, from most against to most for, then what has no value that could be shown."""
    values, noise = told_apart(evidence), below_noise(evidence)
    top = largest(values)
    told = {level(value, top) for value, small in zip(values, noise, strict=True) if value is not None and not small}
    steps = [LegendStep(look(step), step, _range(step, top)) for step in range(-LEVELS, LEVELS + 1) if step in told]
    if any(noise):
        steps.append(LegendStep(NOISE, None, say("too small to tell from rounding")))
    if None in values:
        steps.append(LegendStep(UNMEASURED, None, say("screened out as unpromising")))
    return tuple(steps)


def label(number: int, role: str) -> str:
    """Above a message of the map, in every view."""
    return say("Message %(number)s: %(role)s", number=number, role=role)


def look(step: int) -> str:
    """The class in the stylesheet of a level on -5..5."""
    return "h-0" if step == 0 else f"h-pos-{step}" if step > 0 else f"h-neg-{-step}"


def _mark(
    fragment: Fragment,
    evidence: Evidence,
    values: Values,
    noise: tuple[bool, ...],
    top: float,
    classes: Callable[[Fragment], str],
    stop_from: int,
) -> Mark:
    if not fragment.units:
        return Mark(fragment.text)
    note = "; ".join(
        f"{visible(evidence.units[index].id)}: {_noted(evidence.relevance[index])}" for index in fragment.units
    )
    value = strongest(fragment, values)
    if value is None:
        return Mark(fragment.text, look=UNMEASURED, note=note, stop=stop_from == 0)
    heat = level(value, top)
    small = heat == 0 and all(noise[index] for index in fragment.units if values[index] is not None)
    return Mark(
        fragment.text,
        look=NOISE if small else look(heat),
        tokens=classes(fragment),
        note=note,
        value=short_nats(value) if abs(heat) >= _VALUE_FROM else "",
        relevance=value,
        stop=abs(heat) >= stop_from,
    )


def _noted(value: float | None) -> str:
    return translated(NOT_MEASURED) if value is None else in_nats(value)


def _range(step: int, top: float) -> str:
    edges = [_PLAIN_BELOW * top, *(top * number / LEVELS for number in range(1, LEVELS + 1))]
    if step == 0:
        least = f"{edges[0]:.3f}"
        return say("less than %(least)s either way", least=least)
    low, high = sorted((edges[abs(step) - 1], edges[abs(step)]))
    sign = 1 if step > 0 else -1
    return say("%(low)s to %(high)s", low=nats(sign * low), high=nats(sign * high))

"""Parts of the answer that the case names, and earlier steps of the answer: what drove them, and what they drove."""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum

from attn_audit.evidence.measured import (
    AnswerPart,
    AnswerUnit,
    Evidence,
)
from attn_audit.evidence.records import Content
from attn_audit.judge.relevance import by_token, ranking
from attn_audit.reports.heatmap import largest, level
from attn_audit.reports.numbers import nats, probability
from attn_audit.reports.pieces import Piece
from attn_audit.reports.ranking import AGAINST, TOP
from attn_audit.reports.spans import Characters
from attn_audit.reports.text import name, shortened

_PART_LENGTH = 600
_STEP_LENGTH = 200
_MOST_STEPS = 60


@dataclass(frozen=True)
class Driver:
    """A piece and what it did to one part of the answer."""

    piece: Piece
    nats: str


@dataclass(frozen=True)
class PartView:
    """One named part of the answer. ``probability``: None when the part is not in the answer."""

    name: str
    text: str
    probability: str | None
    support: tuple[Driver, ...]
    against: tuple[Driver, ...]


@dataclass(frozen=True)
class PartEffect:
    """What a step of the answer did to one named part that came after it; empty when the part did not come after."""

    name: str
    nats: str


@dataclass(frozen=True)
class Step:
    """A piece of the answer. ``nats``: its effect on all that came after; empty when nothing did."""

    number: int
    text: str
    nats: str
    parts: tuple[PartEffect, ...]


@dataclass(frozen=True)
class Steps:
    """The pieces of the answer that are printed, in its order: all, or the strongest of many."""

    rows: tuple[Step, ...]
    left_out: int


def part_views(content: Content, evidence: Evidence, pieces: tuple[Piece, ...]) -> tuple[PartView, ...]:
    """One for each part that the case names. ``pieces``: one for each unit."""
    characters = Characters(content.answer.text)
    return tuple(_part(part, content, evidence, pieces, characters) for part in evidence.parts)


def step_views(content: Content, evidence: Evidence) -> Steps | None:
    """What the steps of the answer did to the rest of it; None when it was not measured."""
    sources = evidence.answer_sources
    if sources is None:
        return None
    characters = Characters(content.answer.text)
    falls = [by_token(evidence.answer.base, row) for row in sources.scores]
    after = [fsum(fell[unit.tokens[1] :]) for unit, fell in zip(sources.units, falls, strict=True)]
    chosen = sorted(sorted(range(len(after)), key=lambda index: (-abs(after[index]), index))[:_MOST_STEPS])
    rows = tuple(
        _step(index, sources.units[index], falls[index], after[index], evidence, characters) for index in chosen
    )
    return Steps(rows, len(after) - len(rows))


def _part(
    part: AnswerPart, content: Content, evidence: Evidence, pieces: tuple[Piece, ...], characters: Characters
) -> PartView:
    if part.tokens is None:
        return PartView(name(part.name), "", None, (), ())
    start, stop = part.tokens
    offsets = content.answer.offsets[start:stop]
    top = largest(part.relevance)
    ranked = [
        (value, Driver(pieces[index], nats(value)))
        for index in ranking(part.relevance)
        if (value := part.relevance[index]) is not None
    ]
    return PartView(
        name=name(part.name),
        text=shortened(characters.extract(offsets[0][0], offsets[-1][1]).text.strip(), _PART_LENGTH),
        probability=probability(fsum(evidence.answer.base[start:stop])),
        support=tuple(driver for value, driver in ranked[:TOP] if value > 0),
        against=tuple(driver for value, driver in ranked[::-1][:AGAINST] if level(value, top) < 0),
    )


def _step(
    index: int,
    unit: AnswerUnit,
    fell: tuple[float, ...],
    after: float,
    evidence: Evidence,
    characters: Characters,
) -> Step:
    stop = unit.tokens[1]
    named = [(part.name, part.tokens) for part in evidence.parts if part.tokens is not None]
    return Step(
        number=index + 1,
        text=shortened(characters.extract(unit.start, unit.end).text.strip(), _STEP_LENGTH),
        nats=nats(after) if stop < len(fell) else "",
        parts=tuple(PartEffect(name(part), _after(stop, tokens, fell)) for part, tokens in named),
    )


def _after(stop: int, tokens: tuple[int, int], fell: tuple[float, ...]) -> str:
    """The effect on those of ``tokens`` that come after token ``stop``; empty when none does."""
    start, end = max(stop, tokens[0]), tokens[1]
    return nats(fsum(fell[start:end])) if start < end else ""

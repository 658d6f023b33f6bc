"""Messages to units: the pieces of the input that are suppressed one at a time.

Words and sentences follow Unicode's rules (UAX #29, with ICU's dictionaries for scripts without spaces). Only what the
case brought is cut; template and special tokens belong to no unit and are never suppressed.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from icu4py.breakers import SentenceBreaker, WordBreaker

from attn_audit.evidence.errors import CaseError
from attn_audit.evidence.measured import AnswerUnit, Unit
from attn_audit.evidence.records import (
    AnswerText,
    Case,
    Message,
    Prompt,
    Span,
    UnitKind,
)
from attn_audit.judge.places import Places, owners

PieceKind = Literal["token", "word", "sentence", "paragraph", "field", "named"]
_LOCALE = "root"
_PARAGRAPH = re.compile(r"\S(?:.*?\S)??(?=\s*\n[ \t]*\n|\s*\Z)", re.DOTALL)


@dataclass(frozen=True)
class _Piece:
    """A stretch of characters that is cut from the input as one, before tokens are counted into it."""

    kind: PieceKind
    name: str | None
    spans: tuple[Span, ...]


def cut(case: Case, prompt: Prompt, kind: UnitKind) -> tuple[Unit, ...]:
    """The units of a case in the order of the text; each eligible prompt position is in exactly one.

    Pieces the case names (fields, named units) are units as they stand; what is left between them is cut into ``kind``.
    A token counts to the piece it shares most characters with; pieces that share a token are one unit.
    Raises CaseError where nothing is left to suppress.
    """
    owned = owners(prompt)
    named = tuple(_Piece(piece.kind, piece.name, piece.spans) for piece in case.named)
    rest = tuple(_gaps(case.messages, named))
    if kind == "token":
        pieces = named + tuple(_tokens(owned, rest))
    else:
        pieces = named + tuple(_Piece(kind, None, (span,)) for gap in rest for span in _split(case.messages, gap, kind))
    units = _with_positions(pieces, owned)
    if not units:
        raise CaseError("the prompt holds nothing that could be suppressed")
    return units


def answer_units(answer: AnswerText, kind: UnitKind) -> tuple[AnswerUnit, ...]:
    """The pieces of an answer that something comes after: the token behind a piece is predicted by its own last row,
    which is left alone, so that only pieces with two tokens behind them can be measured."""
    spans = [Span(message=0, start=start, end=end) for start, end in _ranges(answer, kind)]
    places = Places((span,) for span in spans)
    tokens: dict[int, list[int]] = defaultdict(list)
    for token, (start, end) in enumerate(answer.offsets):
        best = places.best(Span(message=0, start=start, end=end))
        if best is not None:
            tokens[best].append(token)
    return tuple(
        AnswerUnit(start=spans[index].start, end=spans[index].end, tokens=(found[0], found[-1] + 1))
        for index, found in sorted(tokens.items())
        if found[-1] + 2 < len(answer.ids)
    )


def _ranges(answer: AnswerText, kind: UnitKind) -> list[tuple[int, int]]:
    if kind == "token":
        return [(start, end) for start, end in answer.offsets if start < end]
    return _SPLITTERS[kind](answer.text)


def frozen(units: tuple[Unit, ...], length: int) -> tuple[tuple[int, int], ...]:
    """The runs ``start:stop`` of the ``length`` prompt positions that are in no unit."""
    taken = {position for unit in units for start, stop in unit.runs for position in range(start, stop)}
    return _runs(position for position in range(length) if position not in taken)


def _gaps(messages: tuple[Message, ...], named: tuple[_Piece, ...]) -> Iterator[Span]:
    """What the named pieces leave over of each message."""
    for index, message in enumerate(messages):
        taken = sorted((span.start, span.end) for piece in named for span in piece.spans if span.message == index)
        at = 0
        for start, end in [*taken, (len(message.content), len(message.content))]:
            if at < start:
                yield Span(message=index, start=at, end=start)
            at = max(at, end)


def _split(messages: tuple[Message, ...], gap: Span, kind: UnitKind) -> Iterator[Span]:
    text = messages[gap.message].content[gap.start : gap.end]
    for start, end in _SPLITTERS[kind](text):
        yield Span(message=gap.message, start=gap.start + start, end=gap.start + end)


def _segments(breaks: Iterable[str]) -> Iterator[tuple[int, int, str]]:
    """Code-point ranges of the breaker's pieces (its own offsets count UTF-16 units)."""
    at = 0
    for piece in breaks:
        yield at, at + len(piece), piece
        at += len(piece)


def _words(text: str) -> list[tuple[int, int]]:
    """Words with the punctuation that touches them: to the word before it, else to the word after it."""
    found: list[tuple[int, int, bool]] = []  # start, end, whether it holds a letter or digit
    for start, end, piece in _segments(WordBreaker(text, _LOCALE)):
        if piece.isspace():
            continue
        is_word = any(character.isalnum() for character in piece)
        touches = bool(found) and found[-1][1] == start
        if touches and (not is_word or not found[-1][2]):
            first, _, was_word = found[-1]
            found[-1] = (first, end, is_word or was_word)
        else:
            found.append((start, end, is_word))
    return [(start, end) for start, end, _ in found]


def _sentences(text: str) -> list[tuple[int, int]]:
    return _trimmed((start, end, piece) for start, end, piece in _segments(SentenceBreaker(text, _LOCALE)))


def _paragraphs(text: str) -> list[tuple[int, int]]:
    """Separated by blank lines."""
    return [match.span() for match in _PARAGRAPH.finditer(text)]


def _trimmed(pieces: Iterable[tuple[int, int, str]]) -> list[tuple[int, int]]:
    ranges = []
    for start, end, piece in pieces:
        if piece.strip():
            left = len(piece) - len(piece.lstrip())
            right = len(piece) - len(piece.rstrip())
            ranges.append((start + left, end - right))
    return ranges


_SPLITTERS = {"word": _words, "sentence": _sentences, "paragraph": _paragraphs}


def _tokens(owned: dict[int, Span], rest: tuple[Span, ...]) -> Iterator[_Piece]:
    """One piece for each token's characters; tokens that share a character (parts of an emoji) are one piece."""
    for gap in rest:
        ranges = sorted(
            (max(owner.start, gap.start), min(owner.end, gap.end))
            for owner in owned.values()
            if owner.message == gap.message and owner.start < gap.end and gap.start < owner.end
        )
        joined: list[tuple[int, int]] = []
        for start, end in ranges:
            if joined and start < joined[-1][1]:
                joined[-1] = (joined[-1][0], max(joined[-1][1], end))
            else:
                joined.append((start, end))
        for start, end in joined:
            yield _Piece("token", None, (Span(message=gap.message, start=start, end=end),))


def _with_positions(pieces: tuple[_Piece, ...], owned: dict[int, Span]) -> tuple[Unit, ...]:
    places = Places(piece.spans for piece in pieces)
    positions: dict[int, list[int]] = defaultdict(list)
    for position, owner in owned.items():
        best = places.best(owner)
        if best is not None:
            positions[best].append(position)
    lost: dict[int, list[_Piece]] = defaultdict(list)  # pieces without a token of their own, by the position over them
    covering = _Covering(owned)
    for index, piece in enumerate(pieces):
        over = None if index in positions else covering.of(piece.spans[0])
        if over is not None:
            lost[over].append(piece)
    filled = sorted(positions.items(), key=lambda item: item[1][0])
    return tuple(
        _unit(number, _absorbing(pieces[index], [other for p in found for other in lost[p]]), tuple(found))
        for number, (index, found) in enumerate(filled, start=1)
    )


class _Covering:
    """Which position's token covers a character."""

    def __init__(self, owned: dict[int, Span]) -> None:
        self._starts = sorted((owner.message, owner.start, owner.end, position) for position, owner in owned.items())

    def of(self, span: Span) -> int | None:
        """The last token that begins at or before the span's first character, where it reaches it."""
        at = bisect_left(self._starts, (span.message, span.start + 1)) - 1
        if at < 0:
            return None
        message, _, end, position = self._starts[at]
        return position if message == span.message and end > span.start else None


def _absorbing(piece: _Piece, extra: list[_Piece]) -> _Piece:
    """The piece with those that have no token of their own, since one of its tokens covers them."""
    if not extra:
        return piece
    spans = sorted(
        (*piece.spans, *(span for other in extra for span in other.spans)), key=lambda s: (s.message, s.start)
    )
    name = piece.name or next((other.name for other in extra if other.name), None)
    return _Piece(piece.kind, name, tuple(spans))


def _unit(number: int, piece: _Piece, positions: tuple[int, ...]) -> Unit:
    return Unit(
        id=f"u{number}",
        kind=piece.kind,
        name=piece.name,
        spans=piece.spans,
        runs=_runs(positions),
    )


def _runs(positions: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Sorted positions as half-open runs."""
    runs: list[tuple[int, int]] = []
    for position in positions:
        if runs and runs[-1][1] == position:
            runs[-1] = (runs[-1][0], position + 1)
        else:
            runs.append((position, position + 1))
    return tuple(runs)

"""Offsets to text on screen: checked against the text they point into, and never through the middle of a character."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from icu4py.breakers import CharacterBreaker

from attn_audit.evidence.errors import EvidenceError
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Content, Span
from attn_audit.reports.fit import inside

_BETWEEN = " … "
_SHORT = 40  # characters: a text up to this length is shown among its neighbours
_AROUND = 24  # characters on either side


@dataclass(frozen=True)
class Fragment:
    """A run of a message that is drawn as one, and its units (indices): several when they cut a character."""

    text: str
    units: tuple[int, ...]


@dataclass(frozen=True)
class PromptPart:
    """A run of the rendered prompt; ``frozen`` when it was never suppressed."""

    text: str
    frozen: bool


@dataclass(frozen=True)
class Extract:
    """The text of a unit or a token, widened to whole characters; ``cut`` when the offsets divide one.

    ``before`` and ``after``: the words around a short text, on one line.
    """

    text: str
    cut: bool
    before: str = ""
    after: str = ""


class Characters:
    """A text and the offsets at which its user-perceived characters begin (Unicode extended grapheme clusters)."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._starts = _starts(text)

    def begins(self, offset: int) -> bool:
        """Whether a character begins, or the text ends, at ``offset``."""
        return self._starts[bisect_left(self._starts, offset)] == offset

    def extract(self, start: int, end: int) -> Extract:
        """The characters that ``start:end`` touches."""
        if start == end:
            return Extract("", cut=not self.begins(start))
        first, last = self._whole(start, end)
        return Extract(self.text[first:last], cut=(first, last) != (start, end))

    def extract_in_context(self, start: int, end: int) -> Extract:
        """The same, with the words around it when it is short."""
        first, last = self._whole(start, end)
        extract = self.extract(start, end)
        if last - first > _SHORT:
            return extract
        return replace(extract, before=self._line_before(first), after=self._line_after(last))

    def _line_before(self, end: int) -> str:
        start = self._starts[bisect_left(self._starts, max(0, end - _AROUND))]
        around = self.text[start:end]
        words = around.split(" ", 1)[-1] if start and " " in around.rstrip() else around
        return ("… " if start else "") + " ".join(words.split("\n"))

    def _line_after(self, start: int) -> str:
        end = self._starts[bisect_right(self._starts, min(len(self.text), start + _AROUND)) - 1]
        around = self.text[start:end]
        cut = end < len(self.text)
        words = around.rsplit(" ", 1)[0] if cut and " " in around.lstrip() else around
        return " ".join(words.split("\n")) + (" …" if cut else "")

    def _whole(self, start: int, end: int) -> tuple[int, int]:
        first = self._starts[bisect_right(self._starts, start) - 1]
        return first, self._starts[bisect_left(self._starts, end)]


def fragments(content: Content, evidence: Evidence) -> tuple[tuple[Fragment, ...], ...]:
    """For each message the runs of its text, in order and without a gap. Raises EvidenceError on spans that cannot be.

    Spans must lie inside their message, hold at least one character, and not overlap.
    """
    messages = content.case.messages
    marks: list[list[tuple[int, int, int]]] = [[] for _ in messages]
    for index, unit in enumerate(evidence.units):
        for span in unit.spans:
            _span(span, content, f"evidence.json: units[{index}].spans")
            marks[span.message].append((span.start, span.end, index))
    return tuple(
        _cut(message.content, sorted(found), f"evidence.json: units of message {number}")
        for number, (message, found) in enumerate(zip(messages, marks, strict=True))
    )


def unit_extracts(content: Content, evidence: Evidence) -> tuple[Extract, ...]:
    """The text of each unit; several spans are put together with an ellipsis. Spans must have been checked."""
    characters = [Characters(message.content) for message in content.case.messages]
    return tuple(_unit_extract(characters, unit.spans) for unit in evidence.units)


def token_extracts(content: Content) -> tuple[Extract, ...]:
    """The text of each answer token. Offsets must have been checked."""
    characters = Characters(content.answer.text)
    return tuple(characters.extract(start, end) for start, end in content.answer.offsets)


def prompt_parts(content: Content, evidence: Evidence) -> tuple[PromptPart, ...]:
    """The rendered prompt in runs of suppressed and never suppressed text. Raises EvidenceError on wrong offsets."""
    prompt = content.prompt
    for number, segment in enumerate(prompt.segments):
        where = f"content.json: prompt.segments[{number}]"
        _span(Span(message=segment.message, start=segment.start, end=segment.end), content, where)
        said = content.case.messages[segment.message].content[segment.start : segment.end]
        if prompt.rendered[segment.rendered : segment.rendered + len(said)] != said:
            raise EvidenceError(f"{where}: the rendered prompt has another text there than message {segment.message}.")
    frozen = _positions(evidence.frozen, len(prompt.ids))
    live = bytearray(len(prompt.rendered))
    for position, (start, end) in enumerate(prompt.offsets):
        inside(start, end, len(prompt.rendered), f"content.json: prompt.offsets[{position}]")
        if position not in frozen:
            live[start:end] = b"\x01" * (end - start)
    characters = Characters(prompt.rendered)
    changes = [at for at in range(1, len(live)) if live[at] != live[at - 1] and characters.begins(at)]
    cuts = [0, *changes, len(live)]
    return tuple(PromptPart(prompt.rendered[a:b], frozen=not any(live[a:b])) for a, b in pairwise(cuts) if a < b)


def _starts(text: str) -> tuple[int, ...]:
    if text.isascii() and "\r" not in text:
        return tuple(range(len(text) + 1))
    # The breaker's own offsets count UTF-16 units; lengths of its pieces count code points, as the records do.
    return (0, *accumulate(len(character) for character in CharacterBreaker(text, "en")))


def _cut(text: str, marks: list[tuple[int, int, int]], where: str) -> tuple[Fragment, ...]:
    for (_, end, _), (start, _, index) in pairwise(marks):
        if start < end:
            raise EvidenceError(f"{where}: units overlap at character {start} (units[{index}]); a map cannot be drawn.")
    characters = Characters(text)
    offsets = {0, len(text), *(at for start, end, _ in marks for at in (start, end))}
    cuts = sorted(offset for offset in offsets if characters.begins(offset))
    starts, ends = [mark[0] for mark in marks], [mark[1] for mark in marks]
    found = []
    for start, end in pairwise(cuts):
        touched = marks[bisect_right(ends, start) : bisect_left(starts, end)]
        found.append(Fragment(text[start:end], tuple(dict.fromkeys(index for _, _, index in touched))))
    return tuple(found)


def _unit_extract(characters: Sequence[Characters], found: tuple[Span, ...]) -> Extract:
    spans = _joined(characters, found)
    if len(spans) == 1:
        return characters[spans[0].message].extract_in_context(spans[0].start, spans[0].end)
    every = tuple(characters[span.message].extract(span.start, span.end) for span in spans)
    return Extract(_BETWEEN.join(extract.text for extract in every), cut=any(extract.cut for extract in every))


def _joined(characters: Sequence[Characters], spans: tuple[Span, ...]) -> tuple[Span, ...]:
    """The same characters, with spans put together that nothing but white space separates."""
    joined: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.message, span.start)):
        last = joined[-1] if joined else None
        text = characters[span.message].text
        if last is not None and last.message == span.message and not text[last.end : span.start].strip():
            joined[-1] = Span(message=last.message, start=last.start, end=span.end)
        else:
            joined.append(span)
    return tuple(joined)


def _positions(ranges: tuple[tuple[int, int], ...], length: int) -> set[int]:
    positions: set[int] = set()
    for start, stop in ranges:
        inside(start, stop, length, "evidence.json: frozen")
        positions.update(range(start, stop))
    return positions


def _span(span: Span, content: Content, where: str) -> None:
    if span.message >= len(content.case.messages):
        raise EvidenceError(f"{where}: there is no message {span.message} in content.json.")
    inside(span.start, span.end, len(content.case.messages[span.message].content), where)
    if span.start == span.end:
        raise EvidenceError(f"{where}: the range {span.start}:{span.end} holds no character.")

"""A map that is long to the passages around its strongest pieces, and the way from each to its place in the map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from attn_audit.reports.heatmap import Mark, MessageView
from attn_audit.reports.text import shortened

MANY_MARKS = 250
MANY_WORDS = 1_500
MOST = 8
_AROUND = 120  # characters on either side of a strongest piece
_LENGTH = 600  # of one piece; longer ones are cut


@dataclass(frozen=True)
class Passage:
    """A part of a message around one of the strongest pieces. ``strongest``: its ids and values; ``anchor``: the id of
    its place in the map; ``begins`` and ``ends``: whether it begins and ends where the message does."""

    label: str
    marks: tuple[Mark, ...]
    strongest: str
    anchor: str
    begins: bool
    ends: bool

    @property
    def text(self) -> str:
        """What it says."""
        return "".join(mark.text for mark in self.marks)


@dataclass(frozen=True)
class _Window:
    """A range of the marks of a message, around the ``peak``."""

    message: int
    start: int
    stop: int
    peak: int


def is_long(messages: Sequence[MessageView]) -> bool:
    """Whether one of the messages is too long to be looked through for its strongest pieces."""
    return any(
        sum(bool(mark.note) for mark in message.marks) > MANY_MARKS or len(message.text.split()) > MANY_WORDS
        for message in messages
    )


def passages(messages: Sequence[MessageView]) -> tuple[tuple[MessageView, ...], tuple[Passage, ...]]:
    """The messages with the ids that are linked to, and the passages, the strongest first."""
    windows = tuple(_windows(messages))
    anchors = {(one.message, one.peak): f"p{number}" for number, one in enumerate(windows, start=1)}
    linked = tuple(
        replace(
            message,
            marks=tuple(replace(mark, anchor=anchors.get((m, n), "")) for n, mark in enumerate(message.marks)),
        )
        for m, message in enumerate(messages)
    )
    return linked, tuple(_passage(one, messages[one.message], anchors[one.message, one.peak]) for one in windows)


def _windows(messages: Sequence[MessageView]) -> Iterator[_Window]:
    """At most ``MOST``, the strongest first; no mark stands in two of them."""
    coloured = [
        (-abs(mark.relevance or 0.0), m, n)
        for m, message in enumerate(messages)
        for n, mark in enumerate(message.marks)
        if mark.look.startswith(("h-pos", "h-neg"))
    ]
    taken: set[tuple[int, int]] = set()
    count = 0
    for _, m, n in sorted(coloured):
        if (m, n) in taken:
            continue
        if count == MOST:
            return
        window = _around(messages[m].marks, m, n, taken)
        taken.update((m, place) for place in range(window.start, window.stop))
        count += 1
        yield window


def _around(marks: Sequence[Mark], message: int, peak: int, taken: set[tuple[int, int]]) -> _Window:
    start, left = peak, _AROUND
    while start > 0 and (message, start - 1) not in taken and len(marks[start - 1].text) <= left:
        start -= 1
        left -= len(marks[start].text)
    stop, left = peak + 1, _AROUND
    while stop < len(marks) and (message, stop) not in taken and len(marks[stop].text) <= left:
        left -= len(marks[stop].text)
        stop += 1
    return _Window(message, start, stop, peak)


def _passage(window: _Window, message: MessageView, anchor: str) -> Passage:
    marks = message.marks[window.start : window.stop]
    return Passage(
        label=message.label,
        marks=_trimmed([replace(mark, text=shortened(mark.text, _LENGTH), stop=False) for mark in marks]),
        strongest=message.marks[window.peak].note,
        anchor=anchor,
        begins=window.start == 0,
        ends=window.stop == len(message.marks),
    )


def _trimmed(marks: list[Mark]) -> tuple[Mark, ...]:
    """Without the white space at either end, which may be empty lines."""
    while marks and not marks[0].text.strip():
        del marks[0]
    while marks and not marks[-1].text.strip():
        del marks[-1]
    if marks:
        marks[0] = replace(marks[0], text=marks[0].text.lstrip())
        marks[-1] = replace(marks[-1], text=marks[-1].text.rstrip())
    return tuple(marks)

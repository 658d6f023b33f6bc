"""Where tokens and pieces of the input stand in the messages, and which of them share characters."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from attn_audit.evidence.records import Prompt, Span


def owners(prompt: Prompt) -> dict[int, Span]:
    """For each position, the characters of a message that its token covers; special tokens and those of the template
    are left out."""
    special = frozenset(prompt.special)
    found: dict[int, Span] = {}
    for position, (start, end) in enumerate(prompt.offsets):
        if position in special:
            continue
        for segment in prompt.segments:
            stop = segment.rendered + segment.end - segment.start
            first, last = max(start, segment.rendered), min(end, stop)
            if first < last:
                shift = segment.start - segment.rendered
                found[position] = Span(message=segment.message, start=first + shift, end=last + shift)
                break
    return found


class Places:
    """The spans of pieces, for looking up which pieces a token shares characters with. Spans do not overlap."""

    def __init__(self, pieces: Iterable[tuple[Span, ...]]) -> None:
        self._spans = sorted(
            (span.message, span.start, span.end, index) for index, spans in enumerate(pieces) for span in spans
        )

    def shared(self, token: Span) -> dict[int, int]:
        """How many characters each piece shares with the token; pieces that share none are left out."""
        found: dict[int, int] = {}
        at = bisect_left(self._spans, (token.message, token.end)) - 1
        while at >= 0 and self._spans[at][0] == token.message and self._spans[at][2] > token.start:
            _, start, end, index = self._spans[at]
            found[index] = found.get(index, 0) + min(end, token.end) - max(start, token.start)
            at -= 1
        return found

    def best(self, token: Span) -> int | None:
        """The piece that shares most characters with the token, the first of equals; where none does (white space),
        the piece before it in the same message, else the one after it."""
        if shared := self.shared(token):
            return min(shared, key=lambda index: (-shared[index], index))
        after = bisect_left(self._spans, (token.message, token.end))
        for at in (after - 1, after):
            if 0 <= at < len(self._spans) and self._spans[at][0] == token.message:
                return self._spans[at][3]
        return None

"""Which pieces of two inputs stand for each other: those that the cases name by name, the others by their text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from attn_audit.evidence.measured import Unit
from attn_audit.evidence.records import Message
from attn_audit.judge.repeats import core


@dataclass(frozen=True)
class Aligned:
    """Units (indices) of the first input and those of the second that stand in their place; one side may be empty.
    ``same``: their texts are equal, but for case, white space and punctuation around them."""

    first: tuple[int, ...]
    second: tuple[int, ...]
    same: bool


def align(
    first: Sequence[Unit], messages: Sequence[Message], second: Sequence[Unit], others: Sequence[Message]
) -> tuple[Aligned, ...]:
    """Every unit of both, once, in the order of the first input. ``messages`` of the first, ``others`` of the
    second."""
    texts = [core(unit.spans, messages) for unit in first]
    against = [core(unit.spans, others) for unit in second]
    by_name = {(unit.kind, unit.name): index for index, unit in enumerate(second) if unit.name is not None}
    named = [
        (index, by_name[unit.kind, unit.name])
        for index, unit in enumerate(first)
        if unit.name is not None and (unit.kind, unit.name) in by_name
    ]
    found = [Aligned((one,), (other,), texts[one] == against[other]) for one, other in named]
    left = _in_order(first, {one for one, _ in named})
    right = _in_order(second, {other for _, other in named})
    matcher = SequenceMatcher(None, [texts[index] for index in left], [against[index] for index in right])
    for tag, start, end, begin, stop in matcher.get_opcodes():
        if tag == "equal":
            pairs = zip(left[start:end], right[begin:stop], strict=True)
            found += [Aligned((one,), (other,), same=True) for one, other in pairs]
        else:
            found.append(Aligned(tuple(left[start:end]), tuple(right[begin:stop]), same=False))
    return tuple(sorted(found, key=lambda one: (not one.first, one.first, one.second)))


def _in_order(units: Sequence[Unit], without: set[int]) -> list[int]:
    """The other units in the order of the text."""
    starts = {index: (unit.spans[0].message, unit.spans[0].start) for index, unit in enumerate(units)}
    return sorted((index for index in starts if index not in without), key=lambda index: starts[index])

"""Which pieces of two inputs stand for each other: those that the cases name by name, the others by their text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    second. What was rewritten stands together, but for messages where both have the same ones."""
    texts = [core(unit.spans, messages) for unit in first]
    against = [core(unit.spans, others) for unit in second]
    named = _by_name(first, second)
    found = [Aligned((one,), (other,), texts[one] == against[other]) for one, other in named.items()]
    left = _in_order(first, set(named))
    right = _in_order(second, set(named.values()))
    alike = [message.role for message in messages] == [message.role for message in others]
    # Without autojunk: it drops what comes often, so that two equal texts of many words would share none of them.
    matcher = SequenceMatcher(None, [texts[one] for one in left], [against[one] for one in right], autojunk=False)
    for tag, start, end, begin, stop in matcher.get_opcodes():
        if tag == "equal":
            pairs = zip(left[start:end], right[begin:stop], strict=True)
            found += [Aligned((one,), (other,), same=True) for one, other in pairs]
        elif alike:
            found += _by_message((first, left[start:end]), (second, right[begin:stop]))
        else:
            found.append(Aligned(tuple(left[start:end]), tuple(right[begin:stop]), same=False))
    return tuple(sorted(found, key=lambda one: (not one.first, one.first, one.second)))


def _by_name(first: Sequence[Unit], second: Sequence[Unit]) -> dict[int, int]:
    """Index in the first -> index in the second, of what both name alike; each once."""
    left = {(unit.kind, unit.name): index for index, unit in enumerate(first) if unit.name is not None}
    right = {(unit.kind, unit.name): index for index, unit in enumerate(second) if unit.name is not None}
    return {index: right[name] for name, index in left.items() if name in right}


def _by_message(one: tuple[Sequence[Unit], list[int]], other: tuple[Sequence[Unit], list[int]]) -> Iterator[Aligned]:
    """What was rewritten, message by message. Each side: all units of the input, and the indices at hand."""
    sides = [[(units[index].spans[0].message, index) for index in indices] for units, indices in (one, other)]
    for message in sorted({message for side in sides for message, _ in side}):
        before, after = (tuple(index for number, index in side if number == message) for side in sides)
        yield Aligned(before, after, same=False)


def _in_order(units: Sequence[Unit], without: set[int]) -> list[int]:
    """The other units in the order of the text."""
    starts = {index: (unit.spans[0].message, unit.spans[0].start) for index, unit in enumerate(units)}
    return sorted((index for index in starts if index not in without), key=lambda index: starts[index])

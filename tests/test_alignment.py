"""Which pieces of two inputs stand for each other: each piece once, equal ones one to one, named ones by name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from attn_audit.evidence.measured import Unit
from attn_audit.evidence.records import Message, Span
from attn_audit.judge.alignment import Aligned, align

WORDS = st.lists(st.sampled_from(["the", "income", "is", "high", "low", "Riverton", "4200"]), max_size=12)
TEXTS = st.lists(WORDS.map(" ".join), min_size=1, max_size=3)
NAMES = st.dictionaries(st.integers(0, 11), st.sampled_from(["income", "town"]), max_size=3)


def said(*texts: str) -> tuple[Message, ...]:
    return tuple(Message(role="user", content=text) for text in texts)


def words(messages: Sequence[Message], names: Mapping[int, str] | None = None) -> tuple[Unit, ...]:
    """Every word is a piece; ``names`` of some, by their number."""
    found = [
        Span(message=number, start=word.start(), end=word.end())
        for number, message in enumerate(messages)
        for word in re.finditer(r"\S+", message.content)
    ]
    return tuple(
        Unit(
            id=f"u{index}",
            kind="word" if index not in (names or {}) else "named",
            name=(names or {}).get(index),
            spans=(span,),
            runs=((index, index + 1),),
        )
        for index, span in enumerate(found)
    )


def of(first: Sequence[Message], second: Sequence[Message]) -> tuple[Aligned, ...]:
    return align(words(first), first, words(second), second)


@given(TEXTS, NAMES, TEXTS, NAMES)
def test_every_piece_of_both_stands_once(
    one: list[str], names: dict[int, str], other: list[str], more: Mapping[int, str]
) -> None:
    messages, others = said(*one), said(*other)
    first, second = words(messages, names), words(others, more)
    found = align(first, messages, second, others)
    assert sorted(chain.from_iterable(pair.first for pair in found)) == list(range(len(first)))
    assert sorted(chain.from_iterable(pair.second for pair in found)) == list(range(len(second)))
    assert all(pair.first or pair.second for pair in found)
    starts = [pair.first for pair in found if pair.first]
    assert starts == sorted(starts)


@given(TEXTS, NAMES)
def test_equal_inputs_align_one_to_one(texts: list[str], names: dict[int, str]) -> None:
    names = dict(zip(names, dict.fromkeys(names.values()), strict=False))  # a name stands for one piece
    messages = said(*texts)
    units = words(messages, names)
    assert align(units, messages, units, messages) == tuple(Aligned((u,), (u,), same=True) for u in range(len(units)))


def test_words_that_come_often_are_not_dropped() -> None:
    text = "the income is high and the rent is low " * 40
    found = of(said(text), said(f"now {text}"))
    assert [pair for pair in found if not pair.same] == [Aligned((), (0,), same=False)]


def test_named_pieces_align_by_name_wherever_they_stand() -> None:
    messages, others = said("4200 euros in Riverton"), said("in Oldham he has 1900 euros")
    found = align(words(messages, {0: "income", 3: "town"}), messages, words(others, {4: "income", 1: "town"}), others)
    assert Aligned((0,), (4,), same=False) in found
    assert Aligned((3,), (1,), same=False) in found


def test_what_was_rewritten_stands_together() -> None:
    found = of(said("the income is high now"), said("the income was never quite so high now"))
    assert Aligned((2,), (2, 3, 4, 5), same=False) in found
    assert [pair.first for pair in found if pair.same] == [(0,), (1,), (3,), (4,)]


def test_what_was_rewritten_in_two_messages_stands_apart() -> None:
    found = of(said("be brief", "is it high"), said("be short and kind", "was it high"))
    assert Aligned((1,), (1, 2, 3), same=False) in found
    assert Aligned((2,), (4,), same=False) in found


def test_new_and_gone_pieces_have_one_side() -> None:
    messages, others = said("the income is high"), said("the high income is")
    found = of(messages, others)
    assert Aligned((), (1,), same=False) in found
    assert Aligned((3,), (), same=False) in found


def test_case_and_marks_do_not_count() -> None:
    assert all(pair.same for pair in of(said("The income, is high."), said("the Income is high")))

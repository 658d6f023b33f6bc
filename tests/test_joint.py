"""What pieces do together: in words, and which pieces are of equal text."""

from __future__ import annotations

import pytest

from attn_audit.evidence.checked import Checks, Joint, Together
from attn_audit.evidence.measured import Unit
from attn_audit.evidence.records import Message, Span
from attn_audit.judge.joint import decisive, reading
from attn_audit.judge.repeats import repeated, repeats_itself


def units(text: str, *spans: str, kind: str = "word") -> tuple[Unit, ...]:
    """One unit for each of ``spans``, which stand in ``text`` in this order."""
    found, at = [], 0
    for number, span in enumerate(spans):
        start = text.index(span, at)
        at = start + len(span)
        place = Span(message=0, start=start, end=at)
        found.append(
            Unit.model_validate({"id": f"u{number}", "kind": kind, "spans": [place], "runs": [(number, number + 1)]})
        )
    return tuple(found)


@pytest.mark.parametrize(
    ("singles", "together", "expected"),
    [
        ((0.1, 0.2), 4.0, "decide"),
        ((0.1, 0.2, 9.0), 4.0, "stand in"),  # the third is not among them, and does more
        ((2.0, 0.1), 4.0, "stand in"),  # one of them does not look weak
        ((-0.9, 0.7), 3.0, "decide"),
        ((5.0, -4.8), 2.0, "add up"),
        ((3.0, -2.5), 3.0, "add up"),
        ((4.0, 4.0), 0.1, "add up"),  # nobody needs anybody where both lost do nothing
        ((4.0, 4.0), 8.0, "add up"),
        ((4.0, 4.0), 6.1, "add up"),
        ((4.0, 4.0), 4.0, "needed together"),
        ((9.0, 3.0), 9.2, "needed together"),
        ((9.0, 0.1), 9.0, "add up"),  # the second one never mattered
        ((0.2, 0.3), 0.6, "hardly matter"),
        ((-2.0, -1.0), -3.0, "speak against"),
        ((0.1, 0.1), -3.0, "speak against"),
        ((None, 0.2), 4.0, "not measured"),
    ],
)
def test_what_pieces_do_together_is_put_in_words(
    singles: tuple[float | None, ...], together: float, expected: str
) -> None:
    assert reading(Joint(units=(0, 1), together=together), singles) == expected


def test_any_of_those_that_were_hidden_together_can_decide() -> None:
    relevance = (0.1, 0.2, 0.5)
    strong, weak = Joint(units=(0, 1), together=3.0), Joint(units=(0, 1), together=0.1)
    pairs = Checks(together=Together(units=(0, 1, 2), together=1.3, pairs=(strong,)))
    assert decisive(Checks(repeated=(strong,)), relevance) == (strong,)
    assert decisive(pairs, relevance) == (strong,)
    assert not decisive(Checks(repeated=(weak,)), relevance)
    assert not decisive(Checks(), relevance)


def test_pieces_of_equal_text_are_found_whatever_their_case_and_punctuation() -> None:
    text = "Code 7143. The code: „7143“ … a  b A b . -5 5 C++ C की का"
    pieces = units(
        text, "Code", "7143.", "The", "code:", "„7143“", "…", "a  b", "A b", ".", "-5", "5", "C++", "C", "की", "का"
    )
    assert repeated(pieces, (Message(role="user", content=text),)) == ((0, 3), (1, 4), (6, 7))


def test_an_input_that_says_a_sentence_twice_repeats_itself() -> None:
    text = "The sky is blue. So it is. The SKY is blue!"
    sentences = units(text, "The sky is blue.", "So it is.", "The SKY is blue!", kind="sentence")
    message = (Message(role="user", content=text),)
    assert repeats_itself(sentences, message)
    assert not repeats_itself(sentences[:2], message)


def test_single_words_that_come_back_are_no_repetition_but_six_in_a_row_are() -> None:
    words = ("the", "code", "of", "the", "blue", "box", "is")
    for said, expected in (((*words[:5], "or", *words[:5]), False), ((*words[:6], "or", *words[:6]), True)):
        text = " ".join(said)
        assert repeats_itself(units(text, *said), (Message(role="user", content=text),)) is expected

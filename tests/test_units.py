"""Messages to prompt and units: exact offsets, nothing lost, nothing of the template in a unit."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from attn_audit.evidence.errors import CaseError
from attn_audit.evidence.measured import Unit
from attn_audit.evidence.records import (
    AnswerText,
    Case,
    Message,
    NamedSpans,
    Prompt,
    Span,
    UnitKind,
)
from attn_audit.measure.prompt import decode_answer, render, tokenise_answer
from attn_audit.measure.units import cut, frozen

NOW = datetime(2026, 1, 31, tzinfo=UTC)
KINDS: tuple[UnitKind, ...] = ("token", "word", "sentence", "paragraph")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return tiny.tokenizer()


def case(*contents: str, named: tuple[NamedSpans, ...] = ()) -> Case:
    messages = tuple(
        Message(role="user" if index % 2 == 0 else "assistant", content=text) for index, text in enumerate(contents)
    )
    return Case(id="a", messages=messages, named=named, max_new_tokens=4)


def texts(one: Case, units: tuple[Unit, ...]) -> list[str]:
    return ["|".join(one.messages[s.message].content[s.start : s.end] for s in unit.spans) for unit in units]


def cut_texts(tokenizer: Any, kind: UnitKind, *contents: str) -> list[str]:
    one = case(*contents)
    return texts(one, cut(one, render(tokenizer, one.messages, NOW), kind))


def test_words_keep_the_punctuation_that_touches_them(tokenizer: Any) -> None:
    found = cut_texts(tokenizer, "word", 'He said: "No $42,000 high-risk loan", (don\'t)!')
    assert found == ["He", "said:", '"No', "$42,000", "high-", "risk", 'loan",', "(don't)!"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("我们今天去北京大学。", ["我们", "今天", "去", "北京", "大学。"]),
        ("ฉันกินข้าว", ["ฉัน", "กิน", "ข้าว"]),
        ("القرض مرفوض.", ["القرض", "مرفوض."]),
        ("हम चलें", ["हम", "चलें"]),
    ],
)
def test_words_of_any_script(tokenizer: Any, text: str, words: list[str]) -> None:
    assert cut_texts(tokenizer, "word", text) == words


def test_sentences_of_any_script(tokenizer: Any) -> None:
    assert cut_texts(tokenizer, "sentence", "It costs 3.5 euros. Why? 你好。世界！") == [
        "It costs 3.5 euros.",
        "Why?",
        "你好。",
        "世界！",
    ]


def test_paragraphs_are_separated_by_blank_lines(tokenizer: Any) -> None:
    assert cut_texts(tokenizer, "paragraph", "One\nline.\n\n  \nTwo.\n") == ["One\nline.", "Two."]


def test_an_emoji_split_over_tokens_is_one_unit(tokenizer: Any) -> None:
    one = case("a 👩‍👩‍👧 b")
    units = cut(one, render(tokenizer, one.messages, NOW), "token")
    spans = [span for unit in units for span in unit.spans]
    assert all(before.end <= after.start for before, after in itertools.pairwise(spans))


def test_named_pieces_stay_whole_and_the_rest_is_cut(tokenizer: Any) -> None:
    named = (
        NamedSpans(kind="field", name="income", spans=(Span(message=0, start=7, end=18),)),
        NamedSpans(
            kind="named", name="city", spans=(Span(message=0, start=22, end=26), Span(message=0, start=31, end=35))
        ),
    )
    one = case("Income 4000 euros  in Rome and Rome again", named=named)
    units = cut(one, render(tokenizer, one.messages, NOW), "word")
    assert texts(one, units)[:3] == ["Income", "4000 euros ", "in"]
    city = next(unit for unit in units if unit.name == "city")
    assert len(city.runs) == 2
    assert city.kind == "named"


def test_two_turns_and_the_template_between_them(tokenizer: Any) -> None:
    one = case("Hello there.", "General answer.", "And now?")
    prompt = render(tokenizer, one.messages, NOW)
    units = cut(one, prompt, "word")
    assert [unit.spans[0].message for unit in units] == [0, 0, 1, 1, 2, 2]
    template = "".join(
        prompt.rendered[slice(*prompt.offsets[p])]
        for start, stop in frozen(units, len(prompt.ids))
        for p in range(start, stop)
    )
    assert (
        template == "<|start|>user\n<|end|>\n<|start|>assistant\n<|end|>\n<|start|>user\n<|end|>\n<|start|>assistant\n"
    )


text = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\ue000\ue001<>|"), min_size=1, max_size=60)


@given(contents=st.lists(text.filter(str.strip), min_size=1, max_size=3), kind=st.sampled_from(KINDS))
@settings(max_examples=150, deadline=None)
def test_every_position_is_in_one_unit_or_frozen(contents: list[str], kind: UnitKind) -> None:
    tokenizer = TOKENIZER
    one = case(*contents)
    prompt = render(tokenizer, one.messages, NOW)
    units = cut(one, prompt, kind)
    positions = [p for unit in units for start, stop in unit.runs for p in range(start, stop)]
    still = [p for start, stop in frozen(units, len(prompt.ids)) for p in range(start, stop)]
    assert sorted(positions + still) == list(range(len(prompt.ids)))
    for segment in prompt.segments:
        kept = contents[segment.message][segment.start : segment.end]
        assert prompt.rendered[segment.rendered : segment.rendered + len(kept)] == kept
    taken: set[tuple[int, int]] = set()
    for unit in units:
        for span in unit.spans:
            characters = {(span.message, at) for at in range(span.start, span.end)}
            assert not characters & taken
            taken |= characters
    for index, content in enumerate(contents):
        missed = [c for at, c in enumerate(content) if (index, at) not in taken]
        assert not "".join(missed).strip()


TOKENIZER = tiny.tokenizer()


def test_a_template_that_strips_is_mapped(tokenizer: Any) -> None:
    stripping = tiny.tokenizer()
    stripping.chat_template = tiny.CHAT_TEMPLATE.replace("m['content']", "m['content'] | trim")
    one = case("  Is it so?\n")
    prompt = render(stripping, one.messages, NOW)
    assert [(s.start, s.end) for s in prompt.segments] == [(2, 11)]
    assert texts(one, cut(one, prompt, "word")) == ["Is", "it", "so?"]


def test_a_template_that_changes_the_text_is_refused() -> None:
    shouting = tiny.tokenizer()
    shouting.chat_template = tiny.CHAT_TEMPLATE.replace("m['content']", "m['content'] | upper")
    with pytest.raises(CaseError, match="changes the text"):
        render(shouting, case("Is it so?").messages, NOW)


def test_a_base_model_completes_one_prompt_and_refuses_turns() -> None:
    base = tiny.tokenizer(chat=False)
    prompt = render(base, case("Is it so?").messages, NOW)
    assert prompt.rendered == "Is it so?"
    with pytest.raises(CaseError, match="no chat template"):
        render(base, case("Is it so?", "Yes.", "Really?").messages, NOW)


def test_only_white_space_cannot_be_audited(tokenizer: Any) -> None:
    one = case("x")
    with pytest.raises(CaseError, match="nothing that could be suppressed"):
        cut(one, Prompt(rendered="", ids=(1,), offsets=((0, 0),), segments=()), "word")


@given(st.lists(st.integers(3, tiny.VOCABULARY - 1), min_size=1, max_size=30))
def test_answer_offsets_tile_the_text(ids: list[int]) -> None:
    answer: AnswerText = decode_answer(TOKENIZER, tuple(ids))
    assert answer.offsets[0][0] == 0
    assert answer.offsets[-1][1] == len(answer.text)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(answer.offsets))


def test_a_given_answer_is_tokenised_without_special_tokens() -> None:
    answer = tokenise_answer(TOKENIZER, "The loan")
    assert TOKENIZER.decode(answer.ids) == "The loan"
    with pytest.raises(CaseError, match="empty"):
        tokenise_answer(TOKENIZER, "")

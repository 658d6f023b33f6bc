"""Messages to the prompt as the model sees it, with the place of every character of the case in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from attn_audit.evidence.errors import CaseError
from attn_audit.evidence.records import (
    AnswerText,
    Message,
    Prompt,
    Segment,
)

# Stand-ins for the messages when the template's own text is looked for: private-use characters, in no real text.
_STAND_IN = "\ue000{}\ue001"


class _Template:
    """The model's chat template, with the clock it may ask for."""

    def __init__(self, tokenizer: Any, now: datetime) -> None:
        self._tokenizer = tokenizer
        self._now = now.astimezone(UTC)
        self._asked = False

    @property
    def date(self) -> str | None:
        """The time that the template wrote into the prompt, None where it asked for none."""
        return self._now.strftime("%Y-%m-%dT%H:%M:%SZ") if self._asked else None

    def __call__(self, messages: tuple[Message, ...]) -> str:
        """Rendered, with the opening of the model's turn. Raises CaseError, which holds no text of the case."""
        turns = [{"role": message.role, "content": message.content} for message in messages]
        with _blamed_on_template():
            return str(
                self._tokenizer.apply_chat_template(
                    turns, tokenize=False, add_generation_prompt=True, strftime_now=self._strftime_now
                )
            )

    def _strftime_now(self, form: str) -> str:
        self._asked = True
        return self._now.strftime(form)


@contextmanager
def _blamed_on_template() -> Iterator[None]:
    """A template is a program and can fail in any way; its messages may quote the case, so they are not repeated."""
    try:
        yield
    except Exception as error:  # noqa: BLE001
        raise CaseError(
            f"the model's chat template refuses these messages ({type(error).__name__}); many templates take no system "
            "message, or want user and assistant to alternate"
        ) from None


def render(tokenizer: Any, messages: tuple[Message, ...], now: datetime) -> Prompt:
    """Through the chat template when the model has one, as plain text to complete otherwise. ``now`` is the time that
    templates which print the date are given. Raises CaseError."""
    if tokenizer.chat_template is None:
        return _completion(tokenizer, messages)
    template = _Template(tokenizer, now)
    rendered = template(messages)
    segments = tuple(_segments(template, messages, rendered))
    encoded = tokenizer(rendered, add_special_tokens=False, return_offsets_mapping=True)
    return _prompt(tokenizer, rendered, encoded, segments, template.date)


def tokenise_answer(tokenizer: Any, text: str) -> AnswerText:
    """An answer that was given, tokenised on its own, without special tokens. Raises CaseError."""
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    if not encoded["input_ids"]:
        raise CaseError("the given answer is empty for this model's tokenizer; give at least one word")
    return AnswerText(text=text, ids=tuple(encoded["input_ids"]), offsets=_pairs(encoded["offset_mapping"]))


def decode_answer(tokenizer: Any, ids: tuple[int, ...]) -> AnswerText:
    """An answer that was generated: its text, and where each token's characters stand in it.

    Tokens are decoded cumulatively, since bytes of one character may be spread over several tokens; such a token gets
    the characters that it completes.
    """
    text = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    ends = [_complete(tokenizer, ids[: count + 1], text) for count in range(len(ids))]
    ends[-1:] = [len(text)] if ids else []
    return AnswerText(text=text, ids=ids, offsets=tuple(pairwise([0, *ends])))


def _complete(tokenizer: Any, ids: tuple[int, ...], text: str) -> int:
    """How many characters of ``text`` the tokens so far have finished."""
    so_far = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    agreed = 0
    while agreed < min(len(so_far), len(text)) and so_far[agreed] == text[agreed]:
        agreed += 1
    return agreed


def _completion(tokenizer: Any, messages: tuple[Message, ...]) -> Prompt:
    if len(messages) != 1 or messages[0].role != "user":
        raise CaseError("this model has no chat template, so it can complete a prompt but not follow several messages")
    text = messages[0].content
    encoded = tokenizer(text, add_special_tokens=True, return_offsets_mapping=True)
    return _prompt(tokenizer, text, encoded, (Segment(message=0, start=0, end=len(text), rendered=0),), None)


def _prompt(tokenizer: Any, rendered: str, encoded: Any, segments: tuple[Segment, ...], date: str | None) -> Prompt:
    ids, offsets = tuple(encoded["input_ids"]), _pairs(encoded["offset_mapping"])
    ranges = [(segment.rendered, segment.rendered + segment.end - segment.start) for segment in segments]
    special = set(tokenizer.all_special_ids)
    typed = tuple(
        position
        for position, (token, (start, end)) in enumerate(zip(ids, offsets, strict=True))
        if token in special and start < end and any(first <= start and end <= last for first, last in ranges)
    )
    return Prompt(rendered=rendered, ids=ids, offsets=offsets, segments=segments, special=typed, date=date)


def _pairs(offsets: Any) -> tuple[tuple[int, int], ...]:
    return tuple((int(start), int(end)) for start, end in offsets)


def _segments(template: _Template, messages: tuple[Message, ...], rendered: str) -> Iterator[Segment]:
    """The template's own text is found by rendering stand-ins; the messages must fill exactly the gaps between it."""
    changed = CaseError(
        "the model's chat template changes the text of the messages, so the map could not be drawn on them honestly"
    )
    names = [_STAND_IN.format(index) for index in range(len(messages))]
    skeleton = template(
        tuple(message.model_copy(update={"content": name}) for message, name in zip(messages, names, strict=True))
    )
    at = 0
    for index, (message, name) in enumerate(zip(messages, names, strict=True)):
        own, found, skeleton = skeleton.partition(name)
        if not found or not rendered.startswith(own, at):
            raise changed
        at += len(own)
        after = skeleton.partition(names[index + 1])[0] if index + 1 < len(names) else skeleton
        start, end = _kept(message.content, rendered, at, after)
        if end < 0:
            raise changed
        yield Segment(message=index, start=start, end=end, rendered=at)
        at += end - start
    if rendered[at:] != skeleton:
        raise changed


def _kept(content: str, rendered: str, at: int, after: str) -> tuple[int, int]:
    """Which part of the content the template kept: all of it, or without white space at its ends. (0, -1): neither."""
    left = len(content) - len(content.lstrip())
    right = len(content.rstrip())
    for start, end in ((0, len(content)), (left, max(left, right)), (0, right), (left, len(content))):
        text = content[start:end]
        if rendered.startswith(text, at) and rendered.startswith(after, at + len(text)):
            return start, end
    return 0, -1

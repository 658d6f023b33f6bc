"""Messages to the prompt as the model sees it, with the place of every character of the case in it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import jinja2

from attn_audit.evidence.errors import CaseError
from attn_audit.evidence.records import AnswerText, Message, Prompt, Segment

# Stand-ins for the messages when the template's own text is looked for: private-use characters, in no real text.
_STAND_IN = "\ue000{}\ue001"


def render(tokenizer: Any, messages: tuple[Message, ...]) -> Prompt:
    """Through the chat template when the model has one, as plain text to complete otherwise. Raises CaseError."""
    if tokenizer.chat_template is None:
        return _completion(tokenizer, messages)
    rendered = _apply(tokenizer, messages)
    segments = tuple(_segments(tokenizer, messages, rendered))
    encoded = tokenizer(rendered, add_special_tokens=False, return_offsets_mapping=True)
    return _prompt(rendered, encoded, segments)


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
    return _prompt(text, encoded, (Segment(message=0, start=0, end=len(text), rendered=0),))


def _prompt(rendered: str, encoded: Any, segments: tuple[Segment, ...]) -> Prompt:
    return Prompt(
        rendered=rendered,
        ids=tuple(encoded["input_ids"]),
        offsets=_pairs(encoded["offset_mapping"]),
        segments=segments,
    )


def _pairs(offsets: Any) -> tuple[tuple[int, int], ...]:
    return tuple((int(start), int(end)) for start, end in offsets)


def _apply(tokenizer: Any, messages: tuple[Message, ...]) -> str:
    turns = [{"role": message.role, "content": message.content} for message in messages]
    try:
        return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
    except (jinja2.TemplateError, TypeError, ValueError) as error:
        raise CaseError(f"the model's chat template refuses these messages: {error}") from None


def _segments(tokenizer: Any, messages: tuple[Message, ...], rendered: str) -> Iterator[Segment]:
    """The template's own text is found by rendering stand-ins; the messages must fill exactly the gaps between it."""
    changed = CaseError(
        "the model's chat template changes the text of the messages, so the map could not be drawn on them honestly"
    )
    names = [_STAND_IN.format(index) for index in range(len(messages))]
    skeleton = _apply(
        tokenizer,
        tuple(message.model_copy(update={"content": name}) for message, name in zip(messages, names, strict=True)),
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

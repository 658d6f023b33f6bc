"""What the answer gives as its reason, beside what drove its decision."""

from __future__ import annotations

from dataclasses import dataclass

from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Content, Span
from attn_audit.judge.self_explanation import parts_to_compare, reading, sentence_maps
from attn_audit.reports.numbers import nats
from attn_audit.reports.spans import Characters
from attn_audit.reports.text import shortened
from attn_audit.words import noted, translated

_LENGTH = 600
_MOST_ROWS = 40
_IN_WORDS = {
    "same": noted("The stated reason hangs on the same sentences as the decision."),
    "partly": noted("The stated reason hangs only partly on the sentences that the decision hangs on."),
    "other": noted("The stated reason hangs on other sentences than the decision: it is not what drove the decision."),
    "cannot tell": noted(
        "Decision or stated reason hardly hang on any sentence of the input, so that there is nothing to compare."
    ),
}


@dataclass(frozen=True)
class SentenceRow:
    """A sentence of the input, and what hiding it did to the decision and to the stated reason, nats."""

    text: str
    decision: str
    rationale: str


@dataclass(frozen=True)
class SelfExplanationView:
    """``agreement``: cosine of the two maps, ``gap``: 1 less that; both empty where there is nothing to compare."""

    decision: str
    rationale: str
    agreement: str
    gap: str
    in_words: str
    rows: tuple[SentenceRow, ...]
    left_out: int


def self_explanation_view(content: Content, evidence: Evidence) -> SelfExplanationView | None:
    """None when the answer does not hold both, as the case names them."""
    found, compared = evidence.self_explanation, parts_to_compare(evidence.parts)
    if found is None or compared is None:
        return None
    decision, rationale = sentence_maps(evidence.answer.base, found.scores, compared)
    strength = [abs(one) + abs(other) for one, other in zip(decision, rationale, strict=True)]
    shown = sorted(sorted(range(len(strength)), key=lambda index: (-strength[index], index))[:_MOST_ROWS])
    cosine = found.agreement
    said = [_said(content, tokens) for tokens in compared]
    return SelfExplanationView(
        decision=said[0],
        rationale=said[1],
        agreement="" if cosine is None else f"{cosine:.2f}",
        gap="" if cosine is None else f"{1 - cosine:.2f}",
        in_words=translated(_IN_WORDS[reading(cosine)]),
        rows=tuple(
            SentenceRow(_sentence(content, found.units[index].spans), nats(decision[index]), nats(rationale[index]))
            for index in shown
        ),
        left_out=len(strength) - len(shown),
    )


def _said(content: Content, tokens: tuple[int, int]) -> str:
    offsets = content.answer.offsets[tokens[0] : tokens[1]]
    characters = Characters(content.answer.text)
    return shortened(characters.extract(offsets[0][0], offsets[-1][1]).text.strip(), _LENGTH)


def _sentence(content: Content, spans: tuple[Span, ...]) -> str:
    texts = (content.case.messages[span.message].content[span.start : span.end] for span in spans)
    return shortened(" … ".join(text.strip() for text in texts), _LENGTH)

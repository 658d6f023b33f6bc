"""The vocabulary of an audit: everything else makes one of these records, or one of measured.py, or reads it.

Records are frozen and refuse fields they do not know. Text stands in ``Case`` and ``Content`` only; ``Evidence``
refers to it by offsets and digests, so that content can be withheld while the measurement still verifies.
Offsets count Unicode code points, ranges are half-open.
"""

from __future__ import annotations

import base64
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from attn_audit.evidence.colour import ENOUGH, WHITE, contrast, rgb
from attn_audit.evidence.png import MAX_BYTES, read_png

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
UnitKind = Literal["token", "word", "sentence", "paragraph"]
OperatorName = Literal["knockout", "soft", "shifted"]
FACTOR = "of soft (log f is added) and shifted (scores are multiplied)"
Effect = Literal["total", "direct", "both"]
Effort = Literal["full", "screened"]
CheckEffort = Literal["none", "basic", "full"]
ExecutorName = Literal["local", "ray"]
BaselineName = Literal["gradient x input", "attention"]
Role = Literal["system", "user", "assistant"]
Severity = Literal["fail", "warn"]
ViewFormat = Literal["html", "pdf"]
DECISION, RATIONALE = "decision", "rationale"  # names of the parts of an answer that are held against each other
Index = Annotated[int, Field(ge=0)]
Line = Annotated[str, Field(max_length=10_000)]
Term = Annotated[str, Field(min_length=1, max_length=1_000)]
Place = Annotated[int, Field(ge=1, le=1_000_000)]
Scores = tuple[tuple[float, ...] | None, ...]  # (units, answer tokens), nats; None: screened, not measured


class Record(BaseModel):
    """Base of all records: immutable, no unknown fields, no NaN and no infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


# -- what was asked ---------------------------------------------------------------------------------------------------


class Message(Record):
    """One turn of the conversation, as the case brought it."""

    role: Role = Field(description="who speaks")
    content: str = Field(description="what is said, kept as written")


class Span(Record):
    """Characters ``start:end`` of message ``message`` (its index in the case)."""

    message: Index
    start: Index
    end: Index


class NamedSpans(Record):
    """A piece of the input that the case itself names: a template field, or quoted text or a pattern."""

    kind: Literal["field", "named"]
    name: str
    spans: tuple[Span, ...]


class AnswerPattern(Record):
    """A part of the answer that the case names: the first match of ``pattern``, or characters ``start:end``."""

    name: str
    pattern: Line | None = None
    characters: tuple[Index, Index] | None = None


class Limits(Record):
    """What a policy allows its pieces of the input."""

    max_share: float | None = Field(
        None, ge=0, le=1, description="highest allowed share of the positive relevance, added up"
    )
    min_share: float | None = Field(
        None, ge=0, le=1, description="lowest allowed share of the positive relevance, added up"
    )
    not_in_top: Place | None = Field(None, description="none may have this place or a better one")
    must_be_in_top: Place | None = Field(None, description="at least one must have this place or a better one")
    max_effect: float | None = Field(
        None, ge=0, le=1_000_000, description="nats; highest allowed effect of any one of them, of either sign"
    )


class PolicyMethod(Record):
    """The method that a policy's numbers are of: measured with another one they are not comparable."""

    operator: OperatorName = Field("knockout", description="how attention is suppressed")
    factor: float | None = Field(None, ge=0, le=1000, description="of the operators soft and shifted")
    effect: Literal["total", "direct"] = Field("total", description="on all later positions, or on the answer's only")
    layers: str | None = Field(None, pattern=r"^\d{1,4}:\d{1,4}$", description="A:B, from layer A up to before B")
    units: UnitKind = Field("word", description="what the input is cut into")


class Policy(Record):
    """A rule on what may drive the answer. ``name`` is printed in findings."""

    name: str = Field(min_length=1, max_length=200, description="printed in findings")
    severity: Severity = Field("fail", description="whether `--fail-on policy` is met when it is broken")
    terms: tuple[Term, ...] = Field(
        (), max_length=1_000, description="whole words or phrases of the input; upper and lower case count as equal"
    )
    pattern: Line | None = Field(None, min_length=1, description="a regular expression on the input")
    unit: Line | None = Field(None, description="a named unit of the case")
    field: Line | None = Field(None, description="a field of the template")
    role: Role | None = Field(None, description="alone: all messages of this role; else: only in these messages")
    limits: Limits = Field(Limits(), description="what these pieces may do")
    answer_must_match: Line | None = Field(
        None, min_length=1, description="a regular expression that the model's own answer must match"
    )
    answer_must_not_match: Line | None = Field(None, description="one that it must not match")
    pair_with: Line | None = Field(
        None, description="id of the case that differs in one attribute and must get the same answer"
    )
    tolerance: float | None = Field(None, ge=0, le=1, description="largest allowed difference of shares in the pair")
    method: PolicyMethod = Field(PolicyMethod(), description="that the limits are of; else that of `settings`")


class Case(Record):
    """One question to the model, with everything the user said about it, as the case file gave it."""

    id: str
    messages: tuple[Message, ...]
    named: tuple[NamedSpans, ...] = ()
    answer: str | None = None
    observed_answer: str | None = None
    contrast: str | None = None
    paraphrases: tuple[tuple[Message, ...], ...] = ()
    answer_parts: tuple[AnswerPattern, ...] = Field((), description="also the decision and the rationale, by name")
    notes: str | None = None
    max_new_tokens: int
    policies: tuple[Policy, ...] = ()


def _readable(colour: str) -> str:
    """Raises ValueError where it is too light for white paper."""
    if (ratio := contrast(rgb(colour), WHITE)) < ENOUGH:
        raise ValueError(f"have a contrast of at least {ENOUGH}:1 on white (this has {int(ratio * 100) / 100}:1)")
    return colour


def _picture(logo: str) -> str:
    """Raises ValueError where it is no small PNG picture in base64, or not in the one way to write it."""
    data = base64.b64decode(logo, validate=True)
    read_png(data)
    if base64.b64encode(data).decode() != logo:
        raise ValueError("be in the standard form of base64")
    return logo


def _short(address: str) -> str:
    """Raises ValueError where it would need more than a head of a page."""
    if address.count("\n") > 4:
        raise ValueError(f"have at most 5 lines (this has {address.count(chr(10)) + 1})")
    return address


Colour = Annotated[str, Field(pattern=r"^#[0-9A-Fa-f]{6}$"), AfterValidator(_readable)]
Address = Annotated[str, Field(min_length=1, max_length=300), AfterValidator(_short)]
Logo = Annotated[str, Field(max_length=(MAX_BYTES + 2) // 3 * 4), AfterValidator(_picture)]


class Letterhead(Record):
    """What the case file puts at the head of each report, beside its organisation."""

    logo: Logo | None = Field(None, description="a PNG picture, its bytes in base64")
    colour: Colour | None = Field(None, description="#rrggbb, of the rules above headings")
    address: Address | None = None


class BatchFields(Record):
    """What the user says about the whole batch, as text; printed in every report, never interpreted."""

    title: Line | None = Field(None, description="what was audited")
    organisation: Line | None = Field(None, description="for whom")
    purpose: Line | None = Field(None, description="what for")
    role_of_model: Literal["sole", "advisory", "drafting"] | None = Field(None, description="its role in the decision")
    reviewer: Line | None = Field(None, description="who answers for the audit")
    contact: Line | None = Field(None, description="where to ask")
    decision_taken: Line | None = Field(None, description="what a person decided")
    decided_by: Line | None = Field(None, description="who decided it")
    retention_until: Line | None = Field(None, description="until when to keep the audit")
    references: tuple[Line, ...] = Field((), max_length=100, description="file numbers and the like")


class BatchInfo(BatchFields):
    """All that the user says about the whole batch."""

    letterhead: Letterhead | None = None


# -- what was said ----------------------------------------------------------------------------------------------------


class Segment(Record):
    """Where characters ``start:end`` of a message stand in the rendered prompt, beginning at ``rendered``."""

    message: Index
    start: Index
    end: Index
    rendered: Index


class Prompt(Record):
    """The prompt as the model saw it: rendered text, token ids, and for each token its characters in that text."""

    rendered: str
    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]
    segments: tuple[Segment, ...]
    special: tuple[int, ...] = Field((), description="positions of special tokens that stand in a message; frozen")
    date: str | None = Field(None, description="UTC, ISO 8601: the time that the chat template asked for")


class AnswerText(Record):
    """The answer that is explained: its text, token ids, and for each token its characters in that text."""

    text: str
    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]


class Content(Record):
    """``content.json``: all that was said in one case. The salt keeps its digest from being guessed back to text."""

    format: Literal["attn-audit.content/1"] = "attn-audit.content/1"
    salt: Sha256
    case: Case
    batch: BatchInfo
    prompt: Prompt
    answer: AnswerText
    own_answer: str | None = Field(None, description="the model's own answer, when the explained one was supplied")
    contrast: AnswerText | None = Field(None, description="the answer that did not come, when the case names one")

"""The vocabulary of an audit: everything else makes one of these records or reads it.

Records are frozen and refuse fields they do not know. Text stands in ``Case`` and ``Content`` only; ``Evidence``
refers to it by offsets and digests, so that content can be withheld while the measurement still verifies.
Offsets count Unicode code points, ranges are half-open.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
UnitKind = Literal["token", "word", "sentence", "paragraph"]
OperatorName = Literal["knockout", "soft", "shifted"]
Effect = Literal["total", "direct", "both"]
Effort = Literal["full", "screened"]
Role = Literal["system", "user", "assistant"]
ViewFormat = Literal["html", "pdf"]
Index = Annotated[int, Field(ge=0)]
Line = Annotated[str, Field(max_length=10_000)]
Place = Annotated[int, Field(ge=1, le=1_000_000)]
Scores = tuple[tuple[float, ...] | None, ...]  # (units, answer tokens), nats; None: screened, not measured


class Record(BaseModel):
    """Base of all records: immutable, no unknown fields, no NaN and no infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


# -- what was asked ---------------------------------------------------------------------------------------------------


class Message(Record):
    """One turn of the conversation, as the case brought it."""

    role: Role
    content: str


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

    max_share: float | None = Field(None, ge=0, le=1, description="highest allowed share of the positive relevance")
    min_share: float | None = Field(None, ge=0, le=1, description="lowest allowed share of the positive relevance")
    not_in_top: Place | None = Field(None, description="must not be among this many highest units")
    must_be_in_top: Place | None = Field(None, description="must be among this many highest units")
    max_effect: float | None = Field(None, ge=0, le=1_000_000, description="highest allowed effect, nats")


class Policy(Record):
    """A rule on what may drive the answer. ``name`` is printed in findings."""

    name: str = Field(min_length=1, max_length=200)
    severity: Literal["fail", "warn"] = "fail"
    terms: tuple[Line, ...] = Field(
        (), max_length=1_000, description="words or phrases of the input, compared by case folding"
    )
    pattern: Line | None = Field(None, description="regular expression on the input")
    unit: Line | None = Field(None, description="a named unit of the case")
    field: Line | None = Field(None, description="a field of the template")
    role: Role | None = Field(None, description="all pieces of messages of this role")
    limits: Limits = Limits()
    answer_must_match: Line | None = Field(None, description="regular expression the answer must match")
    answer_must_not_match: Line | None = Field(None, description="regular expression the answer must not match")
    pair_with: Line | None = Field(None, description="id of the case that differs in one attribute")
    tolerance: float | None = Field(
        None, ge=0, le=1_000_000, description="largest allowed difference of shares within the pair"
    )


class Case(Record):
    """One question to the model, with everything the user said about it, as the case file gave it."""

    id: str
    messages: tuple[Message, ...]
    named: tuple[NamedSpans, ...] = ()
    answer: str | None = None
    observed_answer: str | None = None
    contrast: str | None = None
    decision: str | None = None
    rationale: str | None = None
    answer_parts: tuple[AnswerPattern, ...] = ()
    notes: str | None = None
    max_new_tokens: int
    policies: tuple[Policy, ...] = ()


class BatchInfo(Record):
    """What the user says about the whole batch; printed in every report, never interpreted."""

    title: Line | None = None
    organisation: Line | None = None
    purpose: Line | None = None
    role_of_model: Literal["sole", "advisory", "drafting"] | None = None
    reviewer: Line | None = None
    contact: Line | None = None
    decision_taken: Line | None = None
    decided_by: Line | None = None
    retention_until: Line | None = None
    references: tuple[Line, ...] = Field((), max_length=100)


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


# -- what was measured ------------------------------------------------------------------------------------------------


class FileDigest(Record):
    """One file of the model."""

    name: str
    size: int = Field(ge=0, description="bytes")
    sha256: Sha256


class ModelIdentity(Record):
    """Which model it was. ``root`` is the OpenSSF model-signing root over ``files``."""

    name: str
    layout: Literal["folder", "gguf"]
    root: Sha256
    files: tuple[FileDigest, ...]
    architecture: str
    parameters: int
    dtype: str
    quantisation: str | None
    context_length: int | None = Field(description="tokens")
    chat_template_sha256: Sha256 | None
    licence: str | None


class Setting(Record):
    """One resolved setting, and where its value came from."""

    name: str
    value: str
    origin: Literal["flag", "environment", "case file", "default", "host"]


class Method(Record):
    """What exactly was suppressed and scored (docs/method.md)."""

    operator: OperatorName = "knockout"
    factor: float | None = Field(None, description="of soft (log f is added) and shifted (scores are multiplied)")
    effect: Effect = "total"
    layers: tuple[int, int] | None = Field(None, description="start, stop of the layers it was limited to; null: all")
    units: UnitKind
    effort: Effort = Field("full", description="screened: only the promising units were measured, see ``screening``")
    default: bool = Field(description="false when any of these is not the default")


class Unit(Record):
    """A piece of the input that was suppressed as one: its characters, and the prompt positions ``start:stop``."""

    id: str
    kind: Literal["token", "word", "sentence", "paragraph", "field", "named"]
    name: str | None = None
    spans: tuple[Span, ...]
    runs: tuple[tuple[int, int], ...]


class Observed(Record):
    """Whether this model reproduces the answer that was observed in production."""

    reproduced: bool
    tokens: int
    log_probability: float = Field(description="of the observed answer under this model, nats")


class AnswerScore(Record):
    """How probable the answer was. ``base[t]`` = log p(y_t | x, y_<t), nats."""

    source: Literal["generated", "supplied"]
    stop: Literal["end of turn", "length limit", "supplied"]
    base: tuple[float, ...]
    observed: Observed | None = None


class ContrastScore(Record):
    """The answer that did not come, measured in the same way: ``base[t]`` and ``scores[u][t]``, nats."""

    base: tuple[float, ...]
    scores: Scores


class DirectEffect(Record):
    """The same units, suppressed for the rows that predict the answer alone: ``scores[u][t]``, nats. Every unit."""

    scores: tuple[tuple[float, ...], ...]
    contrast: tuple[tuple[float, ...], ...] | None = None


class Screening(Record):
    """Which units were measured, and by what they were chosen (docs/method.md, "Screening")."""

    gradient: tuple[float, ...] | None = Field(
        description="of the answer's log-probability (less the contrast's) with respect to an additive bias on the "
        "unit's columns, nats; null where it could not be had"
    )
    states: tuple[float, ...] | None = Field(
        description="norm of the same number's gradient with respect to the hidden states of the unit's tokens, summed "
        "over layers and tokens; null where it could not be had, and then the direct effect chose"
    )
    measured: tuple[Index, ...] = Field(description="units, ascending: the named ones, and the most promising others")


class Group(Record):
    """Units that say alike (cosine of their embeddings at least kappa), suppressed together."""

    units: tuple[Index, ...]
    scores: tuple[float, ...] = Field(description="log p(y_t | all of them suppressed), nats")
    contrast: tuple[float, ...] | None = None


class Profile(Record):
    """The highest units, suppressed in one band of layers at a time: ``scores[band][unit][t]``, nats."""

    units: tuple[Index, ...]
    bands: tuple[tuple[Index, Index], ...] = Field(description="layers start:stop, one after the other")
    scores: tuple[tuple[tuple[float, ...], ...], ...]


class AnswerUnit(Record):
    """A piece of the answer, suppressed for what came after it: its characters, and answer tokens ``tokens``."""

    start: Index
    end: Index
    tokens: tuple[Index, Index]


class AnswerSources(Record):
    """Which steps of the answer drove the rest of it: ``scores[piece][t]`` = log p(y_t | piece suppressed), nats."""

    units: tuple[AnswerUnit, ...]
    scores: tuple[tuple[float, ...], ...]


class AnswerPart(Record):
    """What drove one part of the answer: its tokens, and each unit's relevance for them, nats. No contrast."""

    name: str
    tokens: tuple[Index, Index] | None = Field(description="start, stop of its answer tokens; null: not found")
    relevance: tuple[float | None, ...]


class Sweep(Record):
    """How the measurement was carried out; a function of model, prompt and settings."""

    batch_rows: int
    passes: int
    forward_tokens: int
    naive_forward_tokens: int = Field(description="of full passes, one for each unit")
    noise: float = Field(
        ge=0, description="nats: how far an untouched row came out from base, the most of several batches"
    )


class Probe(Record):
    """What the probe at load found: largest differences of logits, float32 (measure/probe.py)."""

    tokens: int
    causal: float
    empty_suppression: float
    effect: float
    leak: float
    prefix_reuse: float
    tolerance: float


class Warn(Record):
    """Something a reader must know before relying on the map."""

    code: str
    sentence: str


class Signer(Record):
    """Who vouches for the audit. ``key_id`` is the sha256 of the public key's SubjectPublicKeyInfo (DER)."""

    key_id: Sha256
    principal: str
    test_only: bool


class Tool(Record):
    name: Literal["attn-audit"] = "attn-audit"
    version: str


class Run(Record):
    """What depends on the host or the moment. Nothing outside this object does, but for what a limit of seconds
    decides: kind of units, effort and screening."""

    started: str
    finished: str
    seconds_answer: float
    seconds_sweep: float
    threads: int
    device: str = Field("cpu", description="what the model ran on")
    halvings: int = Field(description="how often a pass did not fit the memory and was split in two")
    seconds_planned: float | None = Field(None, description="of the sweep, where a limit of seconds was given")
    packed: bool = Field(
        default=False, description="whether the weights were packed for this processor (docs/method.md)"
    )
    host: tuple[tuple[str, str], ...] = Field(description="names and versions from an allow-list")


class Evidence(Record):
    """``evidence.json``: what was measured. ``scores[u][t]`` = log p(y_t | unit u suppressed), nats, 6 decimals; null
    for a unit that was screened and not measured."""

    format: Literal["attn-audit.evidence/1"] = "attn-audit.evidence/1"
    tool: Tool
    case_id: str
    plan: Sha256 = Field(description="digest of the plan's file")
    content: Sha256 = Field(description="digest of content.json, which holds the salt")
    signer: Signer | None
    model: ModelIdentity
    method: Method
    settings: tuple[Setting, ...]
    views: tuple[ViewFormat, ...]
    templates: Sha256 = Field(description="digest of the report templates")
    limits: str = Field(description="version of the text of the limits")
    answer: AnswerScore
    units: tuple[Unit, ...]
    frozen: tuple[tuple[int, int], ...] = Field(description="prompt positions that were never suppressed")
    scores: Scores
    contrast: ContrastScore | None = None
    relevance: tuple[float | None, ...] = Field(
        description="sum over t of base[t] - scores[u][t], less the same sum for the contrast, nats"
    )
    direct: DirectEffect | None = None
    screening: Screening | None = None
    groups: tuple[Group, ...] = ()
    profile: Profile | None = None
    answer_sources: AnswerSources | None = None
    parts: tuple[AnswerPart, ...] = ()
    sweep: Sweep
    probe: Probe
    warnings: tuple[Warn, ...]
    not_evaluated: tuple[str, ...] = Field(description="what the case asked for and this version does not evaluate")
    run: Run

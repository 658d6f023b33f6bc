"""What was measured: ``evidence.json`` and its parts, numbers and offsets without any text of the case."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from attn_audit.evidence.checked import Checks
from attn_audit.evidence.findings import Finding
from attn_audit.evidence.records import (
    FACTOR,
    Effect,
    Effort,
    ExecutorName,
    Index,
    OperatorName,
    Record,
    Scores,
    Sha256,
    Span,
    UnitKind,
    ViewFormat,
)


class FileDigest(Record):
    """One file of the model."""

    name: str
    size: int = Field(ge=0, description="bytes")
    sha256: Sha256


class ModelSignature(Record):
    """What ``model.sig`` beside the model says: the same files, and who signed. Nobody was asked whose key it is."""

    sha256: Sha256 = Field(description="of model.sig itself")
    checked_with: Literal["given key", "own certificate", "nothing"] = Field(
        description="whose signature it is: of the key that the auditor gave, or of the key in the certificate that "
        "came with it; nothing: it only hints at a key"
    )
    signer: str = Field(description="sha256 of that certificate (DER) or of that key (PEM), or the hint at a key")
    identity: str | None = Field(description="whom that certificate names")
    unsigned: tuple[str, ...] = Field(description="files of the model that its signer left out")


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
    signature: ModelSignature | None = Field(None, description="null: no model.sig beside it")


class Setting(Record):
    """One resolved setting, and where its value came from."""

    name: str
    value: str
    origin: Literal["flag", "environment", "case file", "default", "host", "caller"]


class Method(Record):
    """What exactly was suppressed and scored (docs/method.md)."""

    operator: OperatorName = "knockout"
    factor: float | None = Field(None, description=FACTOR)
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
        description="length of the gradient of the answer's log-probability (less the contrast's) with respect to the "
        "hidden states of the unit's tokens, summed over layers and tokens; null where it could not be had, and then "
        "the direct effect chose"
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


class SelfExplanation(Record):
    """The decision in the answer, and the reason that the answer gives: do they hang on the same sentences?
    ``scores[sentence][t]`` = log p(y_t | sentence suppressed), nats."""

    units: tuple[Unit, ...] = Field(description="the sentences of the messages, whatever the case names in them")
    scores: tuple[tuple[float, ...], ...]
    agreement: float | None = Field(
        ge=-1, le=1, description="cosine of the two maps of sentences; null: one of them is empty"
    )


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
    advice: str = Field(description="what to do")


class Signer(Record):
    """Who vouches for the audit. ``key_id`` is the sha256 of the public key's SubjectPublicKeyInfo (DER),
    ``fingerprint`` what ``ssh-keygen -l`` prints of the same key."""

    key_id: Sha256
    fingerprint: str = Field(pattern=r"^SHA256:[A-Za-z0-9+/]{43}$")
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
    seconds_checks: float = 0.0
    threads: int
    device: str = Field("cpu", description="what the model ran on")
    halvings: int = Field(description="how often a pass did not fit the memory and was split in two")
    seconds_planned: float | None = Field(None, description="of the sweep, where a limit of seconds was given")
    packed: bool = Field(
        default=False, description="whether the weights were packed for this processor (docs/method.md)"
    )
    executor: ExecutorName = Field("local", description="what had the case measured where it was")
    attempts: int = Field(1, ge=1, description="how often it was begun: a worker of a cluster may die at it")
    parts: int = Field(1, ge=1, description="in how many, over as many workers at once, its largest sweep was cut")
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
    self_explanation: SelfExplanation | None = Field(
        None, description="null: the answer holds no decision and rationale that the case names"
    )
    checks: Checks | None = Field(None, description="null: the settings ask for none")
    sweep: Sweep
    probe: Probe
    warnings: tuple[Warn, ...]
    findings: tuple[Finding, ...] = Field((), description="of the case's policies, in their order")
    run: Run

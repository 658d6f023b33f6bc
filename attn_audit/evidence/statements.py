"""What the signed statements say: their records, and how these follow from content, evidence and each other, so that
signing and verifying use the same functions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from attn_audit.evidence.bundle import ATTESTATION, CASES, MANIFEST, PLAN, statement_name
from attn_audit.evidence.checked import faithfulness_of, reliance_of
from attn_audit.evidence.digest import salted_text, sha256
from attn_audit.evidence.findings import Finding, PairFinding
from attn_audit.evidence.measured import Evidence, Method, Setting, Signer, Tool
from attn_audit.evidence.records import (
    Content,
    Index,
    Line,
    Record,
    Sha256,
    ViewFormat,
)

Subjects = tuple[tuple[str, str], ...]
ExportName = Literal["junit", "sarif", "csv", "summary"]


class PlannedCase(Record):
    """A case of the plan. ``digest`` = sha256(salt of its content + RFC 8785 of its ``Case``)."""

    id: str
    digest: Sha256
    line: int = Field(ge=1, description="of its entry in the case file")


class Plan(Record):
    """Predicate of ``plan``: what will be run, signed before anything is."""

    format: Literal["attn-audit.plan/1"] = "attn-audit.plan/1"
    tool: Tool
    created: str
    announced: bool = Field(
        default=False,
        description="signed on its own, before anything was run, so that its digest could be lodged with somebody",
    )
    signer: Signer | None
    case_file: Sha256 = Field(description="sha256(all salts in plan order + bytes of the case file)")
    source: str | None = Field(
        description="the case file's path below the folder that the run was started in, else its name; null: one "
        "question without a file"
    )
    cases: tuple[PlannedCase, ...]
    settings: tuple[Setting, ...]
    views: tuple[ViewFormat, ...]
    model_name: str
    model_root: Sha256


class Summary(Record):
    """Predicate of a case's ``attestation``: what the evidence says, in short."""

    format: Literal["attn-audit.case/1"] = "attn-audit.case/1"
    case_id: str
    plan: Sha256
    model_root: Sha256
    signer: Signer | None
    method: Method
    answer: Sha256 = Field(description="sha256(salt + UTF-8 of the answer)")
    answer_source: Literal["generated", "supplied"]
    units: int
    faithfulness: Literal["supported", "not supported", "cannot tell", "not checked"]
    reliance: Literal["input", "weights", "cannot tell", "not checked"]
    warnings: tuple[str, ...]
    findings: tuple[Finding, ...]


class SealedCase(Record):
    """How a planned case ended. ``attestation`` is the digest of its file, present iff the case is ok."""

    id: str
    status: Literal["ok", "failed", "skipped"]
    reason: str | None = None
    attestation: Sha256 | None = None


class Seal(Record):
    """Predicate of ``seal``: signed last, every planned case once and in plan order."""

    format: Literal["attn-audit.seal/1"] = "attn-audit.seal/1"
    tool: Tool
    signer: Signer | None
    plan: Sha256
    previous: Sha256 | None = Field(None, description="of the seal of the audit before this one, where it was named")
    started: str
    finished: str
    model_root_after: Sha256 | None = Field(
        description="the model's files, hashed again after the last case; null: they could not be read"
    )
    cases: tuple[SealedCase, ...]
    ok: int
    failed: int
    skipped: int
    pairs: tuple[PairFinding, ...] = Field((), description="of the policies on pairs of cases, in plan order")
    exports: tuple[ExportName, ...] = Field((), description="the files for other programs that were asked for")


class Redaction(Record):
    """Predicate of a case's ``redaction``: what was said is withheld, what was measured still stands."""

    format: Literal["attn-audit.redaction/1"] = "attn-audit.redaction/1"
    tool: Tool
    created: str
    signer: Signer
    case_id: str
    withheld: tuple[str, ...] = Field(description="the files that were removed; the attestation has their digests")
    reason: Line | None


Outcome = Literal[
    "identical",
    "within tolerance",
    "same ranking",
    "mismatch",
    "other prompt",
    "other answer",
    "other pieces",
    "not measured",
]


class ReplayedCase(Record):
    """How one case came out when it was measured again."""

    id: str
    outcome: Outcome
    units: tuple[Index, ...] = Field(description="those that were measured again, chosen by the verifier's randomness")
    tolerance: float = Field(description="nats an answer token")
    largest: float | None = Field(description="largest difference of a log-probability, nats; null: not measured")
    reason: str | None = None


class Replay(Record):
    """Predicate of a ``replay``: an audit measured again by somebody, perhaps somebody else."""

    format: Literal["attn-audit.replay/1"] = "attn-audit.replay/1"
    tool: Tool
    created: str
    signer: Signer | None
    model_root: Sha256
    cases: tuple[ReplayedCase, ...]


def plan_subjects(plan: Plan) -> Subjects:
    """The model, by the root of its manifest."""
    return ((plan.model_name, plan.model_root),)


def seal_subjects(seal: Seal, *, signed: bool, manifest: bytes) -> Subjects:
    """The plan, the list of the model's files and the attestation of each finished case: what the seal's statement
    names. Pages that follow from these, and change when content is withheld, are tied by SHA256SUMS alone."""
    attestation, plan = (statement_name(stem, signed=signed) for stem in (ATTESTATION, PLAN))
    finished = (
        (f"{CASES}/{case.id}/{attestation}", case.attestation) for case in seal.cases if case.attestation is not None
    )
    return ((plan, seal.plan), (MANIFEST, sha256(manifest)), *finished)


def last_change(seal: Seal, redactions: Iterable[Redaction]) -> tuple[Signer | None, str]:
    """Who changed an audit last, and so signed its list of files, and when: whoever sealed it, or withheld a content
    since."""
    last = max(redactions, key=lambda one: one.created, default=None)
    return (seal.signer, seal.finished) if last is None else (last.signer, last.created)


def redaction_subjects(case_id: str, attestation: bytes) -> Subjects:
    """The attestation of the case whose content is withheld."""
    return ((f"{CASES}/{case_id}/{statement_name(ATTESTATION, signed=True)}", sha256(attestation)),)


def summary(content: Content, evidence: Evidence) -> Summary:
    """The attestation's predicate: a function of content and evidence."""
    return summary_of(evidence, salted_text(content.salt, content.answer.text))


def summary_of(evidence: Evidence, answer: str) -> Summary:
    """The same of the salted digest of an answer whose text is withheld."""
    return Summary(
        case_id=evidence.case_id,
        plan=evidence.plan,
        model_root=evidence.model.root,
        signer=evidence.signer,
        method=evidence.method,
        answer=answer,
        answer_source=evidence.answer.source,
        units=len(evidence.units),
        faithfulness=faithfulness_of(evidence.checks),
        reliance=reliance_of(evidence.checks),
        warnings=tuple(warning.code for warning in evidence.warnings),
        findings=evidence.findings,
    )

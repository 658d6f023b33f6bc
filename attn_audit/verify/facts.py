"""What the checks over a whole batch need of each case, so that no case is read once more for them: a few digests and
times of its own, and what nearly all cases of a batch have in common, which is kept once."""

from __future__ import annotations

from dataclasses import dataclass

from attn_audit.evidence.digest import canonical, salted_case, sha256
from attn_audit.evidence.identity import manifest
from attn_audit.evidence.measured import Evidence, Method, Setting, Signer
from attn_audit.evidence.records import BatchInfo, Content, ViewFormat


@dataclass(frozen=True, slots=True)
class Terms:
    """Under what a case was measured. ``manifest``: the sha256 of the list of the model's files that follows from the
    evidence."""

    plan: str
    signer: Signer | None
    settings: tuple[Setting, ...]
    views: tuple[ViewFormat, ...]
    method: Method
    model_name: str
    model_root: str
    manifest: str


@dataclass(frozen=True, slots=True)
class Told:
    """What only the content of a case tells. ``content``: the digest of its file; ``case``: that under which the plan
    knows it; ``batch``: of what it says of the batch; ``paired``: whether it states a policy on a pair."""

    content: str
    salt: str
    case: str
    batch: str
    paired: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """One case whose every byte was accounted for. ``attestation`` and ``evidence`` are the digests of the files that
    were checked; ``told``: None where the content is withheld."""

    attestation: str
    evidence: str
    started: str
    finished: str
    terms: Terms
    told: Told | None


def facts_of(attestation: str, digest: str, evidence: Evidence, told: Told | None) -> Facts:
    """``digest``: of the file of the evidence."""
    run = evidence.run
    return Facts(attestation, digest, run.started, run.finished, _terms(evidence), told)


def told_by(content: Content, digest: str) -> Told:
    """``digest``: of the file of the content."""
    paired = any(policy.pair_with is not None for policy in content.case.policies)
    case = salted_case(content.salt, content.case)
    return Told(digest, content.salt, case, batch_digest(content.batch), paired)


def batch_digest(batch: BatchInfo) -> str:
    """By which the cases agree on what the case file says of all of them."""
    return sha256(canonical(batch))


def _terms(evidence: Evidence) -> Terms:
    model = evidence.model
    return Terms(
        plan=evidence.plan,
        signer=evidence.signer,
        settings=evidence.settings,
        views=evidence.views,
        method=evidence.method,
        model_name=model.name,
        model_root=model.root,
        manifest=sha256(manifest(model)),
    )

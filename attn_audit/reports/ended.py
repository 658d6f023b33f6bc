"""A sealed audit case by case, as the files for other programs tell it: how each ended, and what is to be said of it.

Nothing here holds a text of the case; names of policies and reasons are other people's text all the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from attn_audit.evidence.errors import EvidenceError
from attn_audit.evidence.findings import Finding
from attn_audit.evidence.measured import Evidence, Warn
from attn_audit.evidence.statements import SealedCase
from attn_audit.evidence.store import Measured, Sealed
from attn_audit.judge.conditions import fails
from attn_audit.judge.warnings import WARNINGS

Weight = Literal["fails", "warns", "holds"]
_SAID_OTHERWISE = frozenset({"not-supported", "policy-unmatched"})  # by the verdict, and by the policy itself
NOTES = tuple(warning for warning in WARNINGS if warning.code not in _SAID_OTHERWISE)
_CODES = frozenset(note.code for note in NOTES)


@dataclass(frozen=True)
class Ended:
    """How a planned case ended. ``line``: of its entry in the case file; ``evidence``: None where it did not finish;
    ``findings``: of its own policies, then of those on pairs that it states; ``withheld``: its content is."""

    sealed: SealedCase
    line: int
    evidence: Evidence | None
    findings: tuple[Finding, ...]
    withheld: bool

    @property
    def id(self) -> str:
        return self.sealed.id


def cases(sealed: Sealed) -> Iterator[Ended]:
    """Each planned case, in plan order; its evidence is read when it is reached. Raises EvidenceError where plan and
    seal do not name the same cases."""
    if [case.id for case in sealed.plan.cases] != [case.id for case in sealed.seal.cases]:
        raise EvidenceError("the seal does not name the planned cases in their order")
    paired: dict[str, list[Finding]] = defaultdict(list)
    for pair in sealed.seal.pairs:
        paired[pair.case_id].append(pair)
    for planned, case in zip(sealed.plan.cases, sealed.seal.cases, strict=True):
        evidence = sealed.evidence[case.id] if case.status == "ok" else None
        own = () if evidence is None else evidence.findings
        found = (*own, *paired[case.id])
        yield Ended(case, planned.line, evidence, found, case.id in sealed.withheld)


def noting_salts(measured: Iterable[Measured], salts: list[str]) -> Iterator[Measured]:
    """The same, each read once; their salts are put into the list."""
    for content, evidence in measured:
        salts.append(content.salt)
        yield content, evidence


def weight(finding: Finding) -> Weight:
    """``fails``: the policy must hold and did not; ``warns``: it did not hold otherwise, or named nothing."""
    if fails(finding):
        return "fails"
    return "holds" if finding.outcome == "held" else "warns"


def unfinished(case: SealedCase) -> str:
    """Why a case did not finish. The reason is other people's text."""
    return f"the case {'failed' if case.status == 'failed' else 'was skipped'}: {case.reason or 'no reason is given'}"


def notes(evidence: Evidence) -> tuple[Warn, ...]:
    """The warnings of a case but those that its verdict or a finding says as well."""
    return tuple(warning for warning in evidence.warnings if warning.code in _CODES)

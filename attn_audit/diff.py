"""Two audit folders, or a case in each, to what differs between them. Digests are checked, signatures are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from attn_audit.evidence import bundle
from attn_audit.evidence.errors import EvidenceError, UsageError
from attn_audit.evidence.statements import Plan, Seal
from attn_audit.evidence.store import stored_statement
from attn_audit.judge.difference import Difference, Side, Status, difference, narrowed
from attn_audit.verify import verify
from attn_audit.verify.asked import Asked
from attn_audit.verify.report import Report

_STATUSES: dict[str, Status] = {"failed": "failed", "skipped": "skipped"}


def diff(first: Path, second: Path, case_id: str | None = None) -> Difference:
    """What differs between two audits, or between one case in each. Raises UsageError where a path is neither an audit
    nor a case, or no case is in both; EvidenceError where the files are not those that were audited."""
    sides = [read(path) for path in (first, second)]
    if case_id is not None:
        sides = [narrowed(side, case_id) for side in sides]
    before, after = (replace(side, name=name) for side, name in zip(sides, names(first, second), strict=True))
    if not before.statuses.keys() & after.statuses.keys():
        which = "case" if case_id is None else f"case {case_id!r:.80}"
        raise UsageError(f"no {which} is in both audits: there is nothing to compare")
    return difference(before, after)


def names(first: Path, second: Path) -> tuple[str, str]:
    """The ends of the two paths, as short as tells them apart: no more of where somebody keeps them."""
    one, other = first.resolve().parts, second.resolve().parts
    for length in range(1, max(len(one), len(other))):
        if one[-length:] != other[-length:]:
            return "/".join(one[-length:]), "/".join(other[-length:])
    return one[-1], other[-1]


def read(path: Path) -> Side:
    """One audit, or one case of it. Its reports are not drawn again: they are no part of the comparison."""
    report = verify(path, trusted=(), asked=Asked(views=False))
    for check in report.altered:
        raise EvidenceError(f"{path}: {check.subject}: {check.name}: {check.detail}; run attn-audit verify")
    whole = path.resolve()
    alone = bundle.statement_file(whole, bundle.ATTESTATION).exists()
    plan = None if alone else stored_statement(whole, bundle.PLAN, Plan)
    seal = None if alone else stored_statement(whole, bundle.SEAL, Seal)
    return Side(
        name=whole.name,
        plan=plan,
        statuses=_statuses(report, seal),
        cases={case_id: (case.content, case.evidence) for case_id, case in report.cases.items()},
        evidence=report.evidence,
        pairs=None if seal is None else seal.pairs,
    )


def _statuses(report: Report, seal: Seal | None) -> dict[str, Status]:
    """Of every case that the seal names; of what was handed over alone, the others are not there."""
    here: dict[str, Status] = dict.fromkeys(report.cases, "finished")
    here |= dict.fromkeys(report.withheld, "withheld")
    if seal is None:
        return here
    return {case.id: here.get(case.id, _STATUSES.get(case.status, "not there")) for case in seal.cases}

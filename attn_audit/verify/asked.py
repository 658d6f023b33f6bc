"""What a reader asks of an audit beyond its being genuine: these cases, this model, this method, this recently."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from attn_audit.cases import CaseFile
from attn_audit.evidence.digest import salted_case, salted_file
from attn_audit.evidence.statements import Plan
from attn_audit.judge.method import described
from attn_audit.verify.facts import batch_digest
from attn_audit.verify.report import NotAsPlanned, OtherModel, Report
from attn_audit.verify.signature import moment


@dataclass(frozen=True)
class Asked:
    """None: not asked. ``model`` is the root of its files, ``since`` the moment before which the audit is too old."""

    cases: CaseFile | None = None
    model: str | None = None
    default_method: bool = False
    since: datetime | None = None
    views: bool = True


def check_asked(report: Report, asked: Asked, subject: str, plan: Plan | None, *, whole: bool) -> None:
    """Each thing that was asked for is a check of its own. ``plan``: of the batch, None where a case is looked at
    alone; ``whole``: whether the batch must be here with all its cases."""
    if asked.cases is not None:
        with report.check(subject, "expected cases"):
            if not whole and len(asked.cases.cases) > 1:
                raise NotAsPlanned(f"one case is here, {asked.cases.source} has {len(asked.cases.cases)}")
            _check_cases(report, asked.cases, plan)
    if asked.model is not None:
        with report.check(subject, "expected model"):
            _check_model(report, asked.model, plan)
    if asked.default_method:
        with report.check(subject, "default method"):
            for case_id, facts in report.facts.items():
                if not facts.terms.method.default:
                    method = described(facts.terms.method)
                    raise NotAsPlanned(f"case {case_id} was measured by another method: {method}")
    if asked.since is not None:
        with report.check(subject, "age"):
            for case_id, facts in report.facts.items():
                if moment(facts.finished) < asked.since:
                    raise NotAsPlanned(f"case {case_id} is older than asked for: it was finished {facts.finished}")


def _check_model(report: Report, root: str, plan: Plan | None) -> None:
    roots = {facts.terms.model_root for facts in report.facts.values()}
    roots |= set() if plan is None else {plan.model_root}
    if roots != {root}:
        raise OtherModel(f"it was measured on a model of root {', '.join(sorted(roots)) or 'unknown'}")


def _check_cases(report: Report, expected: CaseFile, plan: Plan | None) -> None:
    by_id, batch = {case.id: case for case in expected.cases}, batch_digest(expected.batch)
    for case_id, told in report.told.items():
        if case_id not in by_id:
            raise NotAsPlanned(f"case {case_id!r} is not in {expected.source}")
        if told.case != salted_case(told.salt, by_id[case_id]):
            raise NotAsPlanned(f"case {case_id!r} is another question than the one in {expected.source}")
        if told.batch != batch:
            raise NotAsPlanned(f"{expected.source} says something else of the batch (title, organisation, …)")
    if plan is None:
        return
    if [case.id for case in plan.cases] != list(by_id):
        raise NotAsPlanned(f"other cases were planned than {expected.source} has, or in another order")
    salts = tuple(report.told[case.id].salt for case in plan.cases if case.id in report.told)
    if len(salts) == len(plan.cases) and salted_file(salts, expected.raw) != plan.case_file:
        raise NotAsPlanned(f"{expected.source} has the same cases, but is not byte for byte the planned file")
    if unseen := [case.id for case in plan.cases if case.id not in report.told]:
        report.note("batch", "expected cases", f"not compared, since their content is not here: {', '.join(unseen)}")

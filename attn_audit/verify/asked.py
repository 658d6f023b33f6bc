"""What a reader asks of an audit beyond its being genuine: these cases, this model, this method, this recently."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from attn_audit.cases import CaseFile
from attn_audit.evidence.digest import salted_file
from attn_audit.evidence.statements import Plan
from attn_audit.judge.method import described
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
            for case_id, evidence in report.evidence.items():
                if not evidence.method.default:
                    raise NotAsPlanned(f"case {case_id} was measured by another method: {described(evidence.method)}")
    if asked.since is not None:
        with report.check(subject, "age"):
            for case_id, evidence in report.evidence.items():
                if moment(evidence.run.finished) < asked.since:
                    raise NotAsPlanned(
                        f"case {case_id} is older than asked for: it was finished {evidence.run.finished}"
                    )


def _check_model(report: Report, root: str, plan: Plan | None) -> None:
    roots = {evidence.model.root for evidence in report.evidence.values()}
    roots |= set() if plan is None else {plan.model_root}
    if roots != {root}:
        raise OtherModel(f"it was measured on a model of root {', '.join(sorted(roots)) or 'unknown'}")


def _check_cases(report: Report, expected: CaseFile, plan: Plan | None) -> None:
    by_id = {case.id: case for case in expected.cases}
    for case_id, found in report.cases.items():
        if case_id not in by_id:
            raise NotAsPlanned(f"case {case_id!r} is not in {expected.source}")
        if found.content.case != by_id[case_id]:
            raise NotAsPlanned(f"case {case_id!r} is another question than the one in {expected.source}")
        if found.content.batch != expected.batch:
            raise NotAsPlanned(f"{expected.source} says something else of the batch (title, organisation, …)")
    if plan is None:
        return
    if [case.id for case in plan.cases] != list(by_id):
        raise NotAsPlanned(f"other cases were planned than {expected.source} has, or in another order")
    salts = tuple(report.cases[case.id].content.salt for case in plan.cases if case.id in report.cases)
    if len(salts) == len(plan.cases) and salted_file(salts, expected.raw) != plan.case_file:
        raise NotAsPlanned(f"{expected.source} has the same cases, but is not byte for byte the planned file")
    if unseen := [case.id for case in plan.cases if case.id not in report.cases]:
        report.note("batch", "expected cases", f"not compared, since their content is not here: {', '.join(unseen)}")

"""The conditions of ``--fail-on`` where two audits are compared: each is met by what is new in the second one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attn_audit.evidence.findings import Finding, PairFinding
from attn_audit.judge.conditions import Condition, Met, fails, in_words
from attn_audit.judge.difference import UNFINISHED, CaseDifference, Difference, PolicyChange

_MISSING = {
    "failed": "the case failed in the second audit",
    "skipped": "the case was skipped in the second audit",
    "not there": "the case is missing in the second audit",
}


def newly_met(wanted: Iterable[Condition], found: Difference) -> Iterator[Met]:
    """Where the second audit shows what the first did not."""
    wanted = tuple(wanted)
    kinds = {one.kind for one in wanted}
    codes = {one.code for one in wanted if one.kind == "warning"}
    for case in found.cases:
        if "incomplete" in kinds and case.statuses[0] not in UNFINISHED and case.statuses[1] in UNFINISHED:
            yield Met(case.id, _MISSING[case.statuses[1]])
        if "policy" in kinds:
            yield from (Met(case.id, reason) for reason in _broken(case.policies))
        if "unsupported" in kinds and _unsupported(case):
            yield Met(case.id, f"faithfulness: {case.faithfulness[1]}, and was supported")
        yield from (Met(case.id, f"new warning {code}") for code in case.warnings[0] if code in codes)
    if "policy" in kinds:
        for change in found.pairs or ():
            if isinstance(pair := change.one, PairFinding):
                yield from (Met(pair.case_id, f"{said} (with {pair.pair_with})") for said in _broken((change,)))


def _broken(changes: Iterable[PolicyChange]) -> Iterator[str]:
    for change in changes:
        if change.after is not None and fails(change.after) and _news(change.before, change.after):
            was = "new" if change.before is None else f"was {change.before.outcome}"
            yield f"{in_words(change.after)} ({was})"


def _news(before: Finding | None, after: Finding) -> bool:
    """What could not be judged before and is broken now is new, too."""
    return before is None or not fails(before) or (before.outcome, after.outcome) == ("not comparable", "broken")


def _unsupported(case: CaseDifference) -> bool:
    before, after = case.faithfulness
    return before == "supported" and after not in {None, "supported"}

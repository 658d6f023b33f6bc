"""Counterfactual pairs: two cases that differ in one attribute must give the same answer, and similar maps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from attn_audit.evidence.errors import EvidenceError
from attn_audit.evidence.findings import PairFinding, Rule
from attn_audit.evidence.records import Policy
from attn_audit.evidence.store import Measured
from attn_audit.judge.alignment import align
from attn_audit.judge.policies import contrast_text, other_method, outcome, own_answer, share_of, within
from attn_audit.judge.relevance import positive_share, told_apart

NOT_FINISHED: tuple[str, ...] = ("the other case is not finished",)


def pair_findings(order: Iterable[str], cases: Mapping[str, Measured]) -> Iterator[PairFinding]:
    """Of each policy on a pair that one of the cases states. ``order``: their ids; ``cases``: the finished ones, whose
    content is at hand."""
    for case_id in order:
        if case_id not in cases:
            continue
        one = cases[case_id]
        for policy in one[0].case.policies:
            if policy.pair_with is not None and policy.pair_with != case_id:
                yield _finding(policy, policy.pair_with, one, cases.get(policy.pair_with))


def check_pairs(pairs: Iterable[PairFinding], cases: Mapping[str, Measured]) -> None:
    """What can be said of findings where a case is not at hand: what holds and what became of the policy follow from
    what was found, and the limit is the policy's. Raises EvidenceError."""
    for pair in pairs:
        names = [rule.rule for rule in pair.rules]
        allowed = ([],) if pair.differs == NOT_FINISHED else (["same_answer"], ["same_answer", "similar_map"])
        similar = [rule for rule in pair.rules if rule.rule == "similar_map"]
        follows = all(rule.held == within(rule.found, rule.limit) for rule in similar)
        if pair.case_id in cases:
            tolerances = {one.name: one.tolerance for one in cases[pair.case_id][0].case.policies}
            follows = follows and all(rule.limit == tolerances.get(pair.policy) for rule in similar)
        became = outcome(pair.rules, pair.differs, unmatched=False)
        if pair.units or names not in allowed or not follows or pair.outcome != became:
            raise EvidenceError("what became of a policy on a pair does not follow from what was found")


def _finding(policy: Policy, pair_with: str, one: Measured, other: Measured | None) -> PairFinding:
    rules: tuple[Rule, ...] = ()
    differs = NOT_FINISHED
    if other is not None:
        same = own_answer(one[0]).strip() == own_answer(other[0]).strip()
        rules, differs = (Rule(rule="same_answer", held=same),), ()
        if policy.tolerance is not None:
            differs = _differs(policy, one, other)
            rules += () if differs else (_similar(policy.tolerance, one, other),)
    return PairFinding(
        policy=policy.name,
        severity=policy.severity,
        outcome=outcome(rules, differs, unmatched=False),
        differs=differs,
        rules=rules,
        case_id=one[0].case.id,
        pair_with=pair_with,
    )


def _differs(policy: Policy, one: Measured, other: Measured) -> tuple[str, ...]:
    """Why the two maps cannot be compared, or not with the tolerance."""
    named = dict.fromkeys(name for _, found in (one, other) for name in other_method(policy.method, found.method))
    if one[0].answer.text.strip() != other[0].answer.text.strip():
        named["answer"] = None
    if contrast_text(one[0]) != contrast_text(other[0]):
        named["contrast"] = None
    return tuple(named)


def _similar(tolerance: float, one: Measured, other: Measured) -> Rule:
    """The largest difference of shares of the positive relevance between pieces that stand for each other."""
    shares, others = (positive_share(told_apart(evidence)) for _, evidence in (one, other))
    aligned = align(one[1].units, one[0].case.messages, other[1].units, other[0].case.messages)
    apart = (abs(share_of(pair.first, shares) - share_of(pair.second, others)) for pair in aligned)
    largest = round(max(apart, default=0.0), 6)
    return Rule(rule="similar_map", limit=tolerance, found=largest, held=largest <= tolerance)

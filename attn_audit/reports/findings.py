"""What became of the policies, in words and figures; every view of a case or of a batch says it in the same way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from attn_audit.evidence.findings import Finding, PairFinding, Rule
from attn_audit.judge.conditions import fails
from attn_audit.reports.numbers import nats, share

_OUTCOMES = {
    "held": "holds",
    "broken": "BROKEN",
    "not comparable": "NOT COMPARABLE",
    "nothing matched": "names nothing in this case",
}
_WORDS = {
    "max_share": ("share of the positive relevance", "at most {limit} allowed"),
    "min_share": ("share of the positive relevance", "at least {limit} wanted"),
    "not_in_top": ("best place", "must not be among the first {limit}"),
    "must_be_in_top": ("best place", "must be among the first {limit}"),
    "max_effect": ("largest effect of a piece", "at most {limit} allowed"),
    "answer_must_match": ("the model's answer matches the pattern that it must match", ""),
    "answer_must_not_match": ("the model's answer does not match the pattern that it must not match", ""),
    "same_answer": ("both cases get the same answer", ""),
    "similar_map": ("largest difference of shares", "at most {limit} allowed"),
}
_NEGATED = {
    "answer_must_match": "the model's answer does not match the pattern that it must match",
    "answer_must_not_match": "the model's answer matches the pattern that it must not match",
    "same_answer": "the two cases get different answers",
}


@dataclass(frozen=True)
class FindingRow:
    """A policy as a reader sees it. ``bad``: it must hold and does not; ``case_id``, ``pair_with``: the two cases of a
    pair, else empty; ``rules``: what was found, sentence by sentence, and whether that holds."""

    policy: str
    severity: str
    outcome: str
    held: bool
    bad: bool
    case_id: str
    pair_with: str
    pieces: int
    rules: tuple[tuple[str, bool], ...]
    differs: str


def finding_rows(findings: Iterable[Finding]) -> tuple[FindingRow, ...]:
    """In their order."""
    return tuple(finding_row(finding) for finding in findings)


def finding_row(finding: Finding) -> FindingRow:
    pair = finding if isinstance(finding, PairFinding) else None
    return FindingRow(
        policy=finding.policy,
        severity=finding.severity,
        outcome=_OUTCOMES[finding.outcome],
        held=finding.outcome == "held",
        bad=fails(finding),
        case_id="" if pair is None else pair.case_id,
        pair_with="" if pair is None else pair.pair_with,
        pieces=len(finding.units),
        rules=tuple((rule_in_words(rule), rule.held) for rule in finding.rules),
        differs=", ".join(finding.differs),
    )


def sentence(finding: Finding) -> str:
    """The whole finding in one line, without any text of the case."""
    row = finding_row(finding)
    where = f" with case {row.pair_with}" if row.pair_with else ""
    found = "; ".join(words for words, _ in row.rules)
    differs = f"not measured as the policy asks: {row.differs}" if row.differs else ""
    return ": ".join((f"{row.outcome}{where}", "; ".join(filter(None, (found, differs))) or "nothing to judge"))


def rule_in_words(rule: Rule) -> str:
    """``share of the positive relevance 12.3 %, at most 5.0 % allowed``."""
    found, wanted = _WORDS[rule.rule]
    if rule.limit is None:
        return found if rule.held else _NEGATED.get(rule.rule, found)
    return f"{found} {_measure(rule, rule.found)}, {wanted.format(limit=_measure(rule, rule.limit))}"


def _measure(rule: Rule, value: float | None) -> str:
    if rule.rule in {"not_in_top", "must_be_in_top"}:
        return "none (no such piece supported the answer)" if value is None else f"{value:g}"
    if value is None:
        return "none"
    return f"{nats(value)} nats" if rule.rule == "max_effect" else share(value)

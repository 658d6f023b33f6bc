"""What became of the policies, in words and figures; every view of a case or of a batch says it in the same way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from attn_audit.evidence.findings import Finding, PairFinding, Rule
from attn_audit.judge.conditions import fails
from attn_audit.judge.pairs import NOT_FINISHED
from attn_audit.reports.numbers import in_nats, share
from attn_audit.words import noted, say, translated

_OUTCOMES = {
    "held": noted("holds"),
    "broken": noted("BROKEN"),
    "not comparable": noted("NOT COMPARABLE"),
    "nothing matched": noted("names nothing in this case"),
}
_LIMITED = {
    "max_share": noted("share of the positive relevance %(found)s, at most %(limit)s allowed"),
    "min_share": noted("share of the positive relevance %(found)s, at least %(limit)s wanted"),
    "not_in_top": noted("best place %(found)s, must not be among the first %(limit)s"),
    "must_be_in_top": noted("best place %(found)s, must be among the first %(limit)s"),
    "max_effect": noted("largest effect of a piece %(found)s, at most %(limit)s allowed"),
    "similar_map": noted("largest difference of shares %(found)s, at most %(limit)s allowed"),
}
_HELD = {
    "answer_must_match": noted("the model's answer matches the pattern that it must match"),
    "answer_must_not_match": noted("the model's answer does not match the pattern that it must not match"),
    "same_answer": noted("both cases get the same answer"),
}
_NOT_HELD = {
    "answer_must_match": noted("the model's answer does not match the pattern that it must match"),
    "answer_must_not_match": noted("the model's answer matches the pattern that it must not match"),
    "same_answer": noted("the two cases get different answers"),
}
NOT_COMPARED = {
    "answer": noted("the shares were not compared, since the answers differ"),
    "contrast": noted("the shares were not compared, since the contrasts differ"),
    NOT_FINISHED[0]: noted("nothing was compared, since the other case is not finished"),
}


@dataclass(frozen=True)
class FindingRow:
    """A policy as a reader sees it. ``bad``: it must hold and does not; ``case_id``, ``pair_with``: the two cases of a
    pair, else empty; ``rules``: what was found, sentence by sentence, and whether that holds; ``differs``: why the rest
    was not judged, else empty."""

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
        outcome=translated(_OUTCOMES[finding.outcome]),
        held=finding.outcome == "held",
        bad=fails(finding),
        case_id="" if pair is None else pair.case_id,
        pair_with="" if pair is None else pair.pair_with,
        pieces=len(finding.units),
        rules=tuple((rule_in_words(rule), rule.held) for rule in finding.rules),
        differs=differs_in_words(finding),
    )


def sentence(finding: Finding) -> str:
    """The whole finding in one line, without any text of the case."""
    row = finding_row(finding)
    head = (
        say("%(outcome)s with case %(other)s", outcome=row.outcome, other=row.pair_with)
        if row.pair_with
        else row.outcome
    )
    found = [words for words, _ in row.rules]
    found += [row.differs] if row.differs else []
    found = found or [say("nothing to judge")]
    return f"{head}: {'; '.join(found)}"


def differs_in_words(finding: Finding) -> str:
    """Why limits were not judged, or shares not compared; empty when they were."""
    if finding.differs and not isinstance(finding, PairFinding):
        return say("not measured as the policy asks: %(differs)s", differs=", ".join(finding.differs))
    told = [say(words) for name, words in NOT_COMPARED.items() if name in finding.differs]
    if others := ", ".join(name for name in finding.differs if name not in NOT_COMPARED):
        told.append(
            say(
                "the shares were not compared, since a case was not measured as the policy asks: %(named)s",
                named=others,
            )
        )
    return "; ".join(told)


def rule_in_words(rule: Rule) -> str:
    """``share of the positive relevance 12.3 %, at most 5.0 % allowed``."""
    if rule.limit is None:
        return translated((_HELD if rule.held else _NOT_HELD)[rule.rule])
    return say(_LIMITED[rule.rule], found=_measure(rule, rule.found), limit=_measure(rule, rule.limit))


def _measure(rule: Rule, value: float | None) -> str:
    if rule.rule in {"not_in_top", "must_be_in_top"}:
        return say("none (no such piece supported the answer)") if value is None else f"{value:g}"
    if value is None:
        return say("none")
    return in_nats(value) if rule.rule == "max_effect" else share(value)

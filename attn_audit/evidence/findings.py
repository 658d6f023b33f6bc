"""What became of a policy: each thing that it asks, what was found, and whether that holds (docs/policies.md)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from attn_audit.evidence.records import Index, Record, Severity

LimitName = Literal["max_share", "min_share", "not_in_top", "must_be_in_top", "max_effect"]
AnswerRule = Literal["answer_must_match", "answer_must_not_match"]
PairRule = Literal["same_answer", "similar_map"]
FindingOutcome = Literal["held", "broken", "not comparable", "nothing matched"]


class Rule(Record):
    """One thing that a policy asks."""

    rule: LimitName | AnswerRule | PairRule
    limit: float | None = Field(None, description="a share of one, a place, or nats; null: of an answer")
    found: float | None = Field(
        None, description="in the limit's measure; null: of an answer, or no piece has a place in the ranking"
    )
    held: bool


class Finding(Record):
    """What became of one policy in one case."""

    policy: str = Field(description="its name")
    severity: Severity
    outcome: FindingOutcome
    differs: tuple[str, ...] = Field((), description="not comparable: what was measured otherwise than it asks")
    units: tuple[Index, ...] = Field((), description="the pieces that it names")
    rules: tuple[Rule, ...] = Field((), description="those that could be judged")


class PairFinding(Finding):
    """What became of a policy on a pair of cases."""

    case_id: str
    pair_with: str

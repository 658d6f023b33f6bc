"""What a map was held against: the checks of ``evidence.json``, numbers and offsets without any text of the case."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from attn_audit.evidence.records import BaselineName, Index, OperatorName, Record, Span


class Faithfulness(Record):
    """The map against another operator: its highest units are deleted from the text, and random ones (docs/method.md,
    "Faithfulness"). Falls of the answer's log-probability (less the contrast's), nats, one for each of ``sizes``."""

    sizes: tuple[Index, ...] = Field(description="how many units were deleted, or kept")
    comprehensiveness: tuple[float, ...] = Field(description="the highest ones deleted")
    random_comprehensiveness: tuple[tuple[float, ...], ...] = Field(description="as many random ones, draw by draw")
    sufficiency: tuple[float, ...] | None = Field(None, description="all but the highest ones deleted; null: not run")
    random_sufficiency: tuple[tuple[float, ...], ...] | None = None
    p: float = Field(ge=0, le=1)
    verdict: Literal["supported", "not supported", "cannot tell"]


class Reliance(Record):
    """Whether the answer hangs on the input at all: falls, nats, without any of the units."""

    suppressed: float
    deleted: float | None = Field(description="null: nothing would be left of the prompt")
    verdict: Literal["input", "weights", "cannot tell"] = Field(description="where the answer comes from, mostly")


class Joint(Record):
    """Units suppressed together: the fall, nats."""

    units: tuple[Index, ...]
    together: float


class Together(Joint):
    """The highest units suppressed together, and in pairs."""

    pairs: tuple[Joint, ...]


class Baseline(Record):
    """Another way to make a map, put to the same deletions as ours."""

    name: BaselineName
    values: tuple[float, ...] | None = Field(description="of each unit; null: cannot be had from this model")
    comprehensiveness: tuple[float, ...] = Field(description="its highest units deleted, nats; empty without values")


class Variant(Record):
    """The map once more, with another operator."""

    operator: OperatorName
    factor: float | None
    relevance: tuple[float | None, ...] | None = Field(description="nats; null: cannot be applied to this model")


class Ranked(Record):
    """A piece of a paraphrase at the top of its map."""

    spans: tuple[Span, ...]
    relevance: float


class Paraphrase(Record):
    """The same answer after the same question in other words."""

    log_probability: float = Field(description="of the answer, nats")
    highest: tuple[Ranked, ...] = Field(description="its ten highest pieces, highest first")


class Checks(Record):
    """What the map was held against, and what that took. Null: not run at this effort."""

    not_run: Literal["seconds"] | None = Field(None, description="why nothing was: the limit of seconds")
    faithfulness: Faithfulness | None = None
    reliance: Reliance | None = None
    together: Together | None = None
    repeated: tuple[Joint, ...] = Field((), description="units of equal text")
    baselines: tuple[Baseline, ...] = ()
    stability: tuple[Variant, ...] = ()
    paraphrases: tuple[Paraphrase, ...] = ()
    passes: Index = 0
    forward_tokens: Index = 0


def faithfulness_of(checks: Checks | None) -> Literal["supported", "not supported", "cannot tell", "not checked"]:
    """The verdict, or that there is none."""
    return "not checked" if checks is None or checks.faithfulness is None else checks.faithfulness.verdict


def reliance_of(checks: Checks | None) -> Literal["input", "weights", "cannot tell", "not checked"]:
    """The verdict, or that there is none."""
    return "not checked" if checks is None or checks.reliance is None else checks.reliance.verdict

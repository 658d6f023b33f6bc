"""What the map was held against, in words and figures."""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum
from statistics import median

from attn_audit.evidence.measured import Evidence, Faithfulness, Reliance, Together
from attn_audit.judge.checks import ratio
from attn_audit.judge.faithfulness import average, reached
from attn_audit.reports.numbers import nats
from attn_audit.reports.pieces import Piece
from attn_audit.reports.text import shortened

_FEW_PAIRS = 3
_LENGTH = 60
_STAND_IN = 1.5  # times the sum of the single values: the pieces cover for each other
_NEEDED_TOGETHER = 1 / _STAND_IN


@dataclass(frozen=True)
class SizeRow:
    """One number of deleted pieces: the fall for the highest, the median and the largest of random choices; then the
    same for keeping only those, empty where it was not run."""

    pieces: int
    ours: str
    middle: str
    largest: str
    kept: str
    kept_middle: str


@dataclass(frozen=True)
class FaithfulnessView:
    """``average`` over the sizes, nats; ``reached``: how many of the ``draws`` random choices fell at least as far."""

    verdict: str
    average: str
    draws: int
    reached: int
    p: str
    rows: tuple[SizeRow, ...]


@dataclass(frozen=True)
class PairRow:
    """Two pieces, and what they do together beyond each alone."""

    one: str
    other: str
    effect: str


@dataclass(frozen=True)
class TogetherView:
    """``ratio``: the value together over the sum of the single ones, empty where that is not positive."""

    pieces: int
    together: str
    singles: str
    ratio: str
    in_words: str
    pairs: tuple[PairRow, ...]


@dataclass(frozen=True)
class ChecksView:
    """``why_not``: why nothing was checked, empty where something was; ``left_out``: what this effort does not run."""

    why_not: str = ""
    faithfulness: FaithfulnessView | None = None
    from_weights: bool = False
    suppressed: str = ""
    deleted: str = ""
    together: TogetherView | None = None
    left_out: bool = False


def checks_view(evidence: Evidence, pieces: tuple[Piece, ...]) -> ChecksView:
    """``pieces``: one for each unit."""
    checks = evidence.checks
    if checks is None or checks.not_run is not None:
        why = "the settings ask for none" if checks is None else "the limit of seconds left no time for it"
        return ChecksView(why_not=why)
    found, reliance, together = checks.faithfulness, checks.reliance, checks.together
    return ChecksView(
        faithfulness=None if found is None else _faithfulness(found),
        from_weights=reliance is not None and reliance.verdict == "weights",
        suppressed="" if reliance is None else nats(reliance.suppressed),
        deleted=_deleted(reliance),
        together=None if together is None else _together(together, evidence, pieces),
        left_out=reliance is None,
    )


def verdict_in_words(evidence: Evidence) -> str:
    """One line, for the terminal and the index."""
    checks = evidence.checks
    if checks is None:
        return "not checked (checks: none)"
    if checks.not_run is not None or checks.faithfulness is None:
        return "not checked: the limit of seconds left no time for it"
    found = checks.faithfulness
    if found.verdict == "cannot tell":
        return "cannot tell: too few different choices of pieces"
    beaten = f"p = {found.p:.2g} against {len(found.random_comprehensiveness)} random choices"
    shown = "supported" if found.verdict == "supported" else "NOT SUPPORTED"
    return f"{shown} by deleting pieces from the text, {beaten}"


def _faithfulness(found: Faithfulness) -> FaithfulnessView:
    return FaithfulnessView(
        verdict=found.verdict,
        average=nats(average(found.comprehensiveness)),
        draws=len(found.random_comprehensiveness),
        reached=reached(found.comprehensiveness, found.random_comprehensiveness),
        p=f"{found.p:.2g}",
        rows=tuple(_row(found, index) for index in range(len(found.sizes))),
    )


def _row(found: Faithfulness, index: int) -> SizeRow:
    random = [one[index] for one in found.random_comprehensiveness]
    kept = [one[index] for one in found.random_sufficiency or ()]
    return SizeRow(
        pieces=found.sizes[index],
        ours=nats(found.comprehensiveness[index]),
        middle=nats(median(random)) if random else "",
        largest=nats(max(random)) if random else "",
        kept="" if found.sufficiency is None else nats(found.sufficiency[index]),
        kept_middle=nats(median(kept)) if kept else "",
    )


def _deleted(found: Reliance | None) -> str:
    return "" if found is None or found.deleted is None else nats(found.deleted)


def _together(found: Together, evidence: Evidence, pieces: tuple[Piece, ...]) -> TogetherView:
    alone = {unit: evidence.relevance[unit] or 0.0 for unit in found.units}
    effects = [(pair.together - fsum(alone[unit] for unit in pair.units), pair.units) for pair in found.pairs]
    effects.sort(key=lambda one: (-abs(one[0]), one[1]))
    times = ratio(found, evidence.relevance)
    return TogetherView(
        pieces=len(found.units),
        together=nats(found.together),
        singles=nats(fsum(alone.values())),
        ratio="" if times is None else f"{times:.2f}",
        in_words=_in_words(times),
        pairs=tuple(
            PairRow(
                one=shortened(pieces[one].whole, _LENGTH),
                other=shortened(pieces[other].whole, _LENGTH),
                effect=nats(effect),
            )
            for effect, (one, other) in effects[:_FEW_PAIRS]
        ),
    )


def _in_words(times: float | None) -> str:
    if times is None:
        return "None of them lowers it alone, so there is no sum to compare with."
    if times >= _STAND_IN:
        return "They stand in for each other: alone each looks weak, together they decide."
    if times <= _NEEDED_TOGETHER:
        return "They are needed together: losing one of them does much of what losing all of them does."
    return "Their values roughly add up: they act about independently."

"""What the map was held against, in words and figures."""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum
from statistics import fmean, median

from attn_audit.evidence.checked import Baseline, Faithfulness, Joint, Paraphrase, Reliance, Together, Variant
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Content
from attn_audit.judge.checks import STABLE_TOP, overlap, shared_texts
from attn_audit.judge.faithfulness import average, reached
from attn_audit.judge.joint import decisive, reading, singles
from attn_audit.reports.joint import JointRow, joint_row, joint_rows
from attn_audit.reports.numbers import nats, probability, share
from attn_audit.reports.pieces import Piece
from attn_audit.reports.text import shortened
from attn_audit.words import noted, say, translated

_FEW = 3
_LENGTH = 200
_OTHER_MAPS = (noted("gradient x input"), noted("attention"))  # as records name them


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
class TogetherView:
    """The highest pieces together, and those pairs of them whose values add up least."""

    whole: JointRow
    pairs: tuple[JointRow, ...]


@dataclass(frozen=True)
class BaselineRow:
    """A kind of map, and the falls where its highest pieces are deleted: average, then one for each size; all empty
    where it could not be had."""

    name: str
    average: str
    falls: tuple[str, ...]


@dataclass(frozen=True)
class VariantRow:
    """The map with another operator: shares of the 5 and 10 highest pieces that both have; empty where the operator
    cannot be applied."""

    name: str
    shared: tuple[str, ...]


@dataclass(frozen=True)
class ParaphraseRow:
    """The question in other words: how probable the answer is after it, its highest piece, and the shares of the 5 and
    10 highest pieces whose text is among its highest, too."""

    text: str
    probability: str
    highest: str
    shared: tuple[str, ...]


@dataclass(frozen=True)
class ChecksView:
    """``why_not``: why nothing was checked, empty where something was; ``left_out``: this effort does not run all.

    ``repeated``: groups of equal text that matter; ``decisive``: what looks weak alone and decides together.
    """

    why_not: str = ""
    faithfulness: FaithfulnessView | None = None
    suppressed: str = ""
    deleted: str = ""
    together: TogetherView | None = None
    repeated: tuple[JointRow, ...] = ()
    repeated_left_out: int = 0
    decisive: tuple[JointRow, ...] = ()
    baselines: tuple[BaselineRow, ...] = ()
    stability: tuple[VariantRow, ...] = ()
    paraphrases: tuple[ParaphraseRow, ...] = ()
    left_out: bool = False


def checks_view(content: Content, evidence: Evidence, pieces: tuple[Piece, ...]) -> ChecksView:
    """``pieces``: one for each unit."""
    checks = evidence.checks
    if checks is None or checks.not_run is not None:
        why = say("the settings ask for none") if checks is None else say("the limit of seconds left no time for it")
        return ChecksView(why_not=why)
    found, reliance, together = checks.faithfulness, checks.reliance, checks.together
    # Words like “the” come back in every text, and hardly ever matter.
    matter = [joint for joint in checks.repeated if reading(joint, evidence.relevance) != "hardly matter"]
    return ChecksView(
        faithfulness=None if found is None else _faithfulness(found),
        suppressed="" if reliance is None else nats(reliance.suppressed),
        deleted=_deleted(reliance),
        together=_together(together, evidence, pieces) if together is not None and together.pairs else None,
        repeated=joint_rows(matter, evidence.relevance, pieces),
        repeated_left_out=len(checks.repeated) - len(matter),
        decisive=joint_rows(decisive(checks, evidence.relevance), evidence.relevance, pieces)[:_FEW],
        baselines=_baselines(found, checks.baselines) if found and found.sizes and checks.baselines else (),
        stability=tuple(_variant(one, evidence) for one in checks.stability),
        paraphrases=tuple(_paraphrase(number, one, content, evidence) for number, one in enumerate(checks.paraphrases)),
        left_out=reliance is None,
    )


def verdict_in_words(evidence: Evidence) -> str:
    """One line, for the terminal and the index."""
    checks = evidence.checks
    if checks is None:
        return say("not checked (checks: none)")
    if checks.not_run is not None or checks.faithfulness is None:
        return say("not checked: the limit of seconds left no time for it")
    found = checks.faithfulness
    if found.verdict == "cannot tell":
        return say("cannot tell: too few different choices of pieces")
    values = {"p": f"{found.p:.2g}", "draws": len(found.random_comprehensiveness)}
    if found.verdict == "supported":
        return say("supported by deleting pieces from the text, p = %(p)s against %(draws)s random choices", **values)
    return say("NOT SUPPORTED by deleting pieces from the text, p = %(p)s against %(draws)s random choices", **values)


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
    def beyond(pair: Joint) -> float:
        return abs(pair.together - fsum(singles(pair, evidence.relevance) or ()))

    apart = sorted(found.pairs, key=lambda pair: (-beyond(pair), pair.units))
    return TogetherView(
        whole=joint_row(found, evidence.relevance, pieces),
        pairs=tuple(joint_row(pair, evidence.relevance, pieces) for pair in apart[:_FEW]),
    )


def _baselines(found: Faithfulness, others: tuple[Baseline, ...]) -> tuple[BaselineRow, ...]:
    """Ours first; the random choices, on average, last."""
    random = tuple(
        fmean(one[index] for one in found.random_comprehensiveness) if found.random_comprehensiveness else 0.0
        for index in range(len(found.sizes))
    )
    maps = [
        (say("this map"), found.comprehensiveness),
        *((translated(one.name), one.comprehensiveness) for one in others),
    ]
    return tuple(
        BaselineRow(name, nats(average(falls)) if falls else "", tuple(nats(fall) for fall in falls))
        for name, falls in (*maps, (say("random choices, on average"), random))
    )


def _paraphrase(number: int, one: Paraphrase, content: Content, evidence: Evidence) -> ParaphraseRow:
    messages = content.case.paraphrases[number]
    spans = one.highest[0].spans if one.highest else ()
    highest = " … ".join(messages[span.message].content[span.start : span.end] for span in spans)
    return ParaphraseRow(
        text=shortened(messages[-1].content, _LENGTH),
        probability=probability(one.log_probability),
        highest=shortened(highest, _LENGTH),
        shared=tuple(share(shared_texts(content, evidence, number, top)) for top in STABLE_TOP),
    )


def _variant(one: Variant, evidence: Evidence) -> VariantRow:
    name = one.operator if one.factor is None else f"{one.operator} {one.factor:g}"
    other = one.relevance
    tops = STABLE_TOP if other is not None else ()
    return VariantRow(name, tuple(share(overlap(evidence.relevance, other or (), top)) for top in tops))

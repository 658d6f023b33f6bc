"""The sentences of the input, suppressed for the decision in the answer and for the reason that it gives."""

from __future__ import annotations

from collections.abc import Sequence

from attn_audit.evidence.measured import AnswerPart, SelfExplanation
from attn_audit.evidence.records import Case, Prompt
from attn_audit.judge.self_explanation import agreement, parts_to_compare, sentence_maps
from attn_audit.measure.explain import Sweeps
from attn_audit.measure.units import cut


def self_explanation(sweeps: Sweeps, case: Case, prompt: Prompt, parts: Sequence[AnswerPart]) -> SelfExplanation | None:
    """None where the answer does not hold both.

    Sentences, since a reason is given in other words than the decision: which words of a sentence it takes up depends
    on what it says, and what it repeats of the decision it reads from the answer. Raises as ``sweep`` does.
    """
    compared = parts_to_compare(parts)
    if compared is None:
        return None
    units = cut(case.model_copy(update={"named": ()}), prompt, "sentence")
    scores = sweeps.one(sweeps.bases[0], [unit.runs for unit in units], sweeps.reach, sweeps.operator)
    maps = sentence_maps(sweeps.recorded[0], scores, compared)
    return SelfExplanation(units=units, scores=scores, agreement=agreement(*maps))

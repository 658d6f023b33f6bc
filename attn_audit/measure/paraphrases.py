"""The same answer after the same question in other words: does it hang on the same pieces?"""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum

from attn_audit.evidence.checked import Paraphrase, Ranked
from attn_audit.evidence.records import AnswerText, Case, Prompt, UnitKind
from attn_audit.judge.checks import STABLE_TOP
from attn_audit.judge.relevance import DECIMALS, ranking, relevance_of_all
from attn_audit.measure.answer import check_length, score
from attn_audit.measure.explain import Sweeps
from attn_audit.measure.units import cut


def paraphrase(sweeps: Sweeps, case: Case, prompt: Prompt, answers: Sequence[AnswerText], kind: UnitKind) -> Paraphrase:
    """A sweep over one of them, which counts into ``sweeps``. ``case``: with its messages, rendered as ``prompt``;
    ``answers``: the explained one, and its contrast where there is one. Raises as ``sweep`` does, and CaseError where
    it is longer than the context."""
    for answer in answers:
        check_length(sweeps.model, len(prompt.ids), len(answer.ids))
    units = cut(case, prompt, kind)
    bases = tuple(score(sweeps.model, prompt.ids, answer.ids) for answer in answers)
    own = Sweeps(sweeps.model, bases, sweeps.settings, sweeps.progress, sweeps.spread)
    table, other = own.of([unit.runs for unit in units], own.reach)
    sweeps.count(own.cost, own.halvings)
    base, *rest = own.recorded
    found = relevance_of_all(base, table, rest[0] if rest else None, other)
    return Paraphrase(
        log_probability=round(fsum(base), DECIMALS),
        highest=tuple(
            Ranked(spans=units[index].spans, relevance=found[index]) for index in ranking(found)[: max(STABLE_TOP)]
        ),
    )

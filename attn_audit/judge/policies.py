"""The policies of a case: which pieces each names, and whether its limits hold (docs/policies.md).

Values below the noise floor count as zero. A share is of the positive relevance; a place is counted among the pieces
that supported the answer; an effect is the size of a piece's relevance, of either sign.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import regex

from attn_audit.cases.patterns import MATCH_SECONDS, expression, matches, term
from attn_audit.evidence.errors import EvidenceError
from attn_audit.evidence.findings import Finding, FindingOutcome, Rule
from attn_audit.evidence.measured import Evidence, Method, Unit
from attn_audit.evidence.records import Case, Content, Limits, Policy, PolicyMethod, Span
from attn_audit.judge.method import differences
from attn_audit.judge.places import Places
from attn_audit.judge.relevance import DECIMALS, Values, places, positive_share, told_apart


def findings(content: Content, evidence: Evidence) -> tuple[Finding, ...]:
    """What became of each policy that asks something of this case alone, in their order. Raises TimeoutError where a
    pattern takes too long, ValueError where it is no valid one."""
    alone = (policy for policy in content.case.policies if policy.limits != Limits() or _conditions(policy))
    return tuple(_finding(policy, content, evidence) for policy in alone)


def check_findings(evidence: Evidence) -> None:
    """What must follow from the numbers alone, also where the content is withheld: each limit that was judged, and the
    outcome. Raises EvidenceError."""
    for found in evidence.findings:
        limits = [rule for rule in found.rules if rule.rule in _MEASURES]
        if any(index >= len(evidence.units) for index in found.units):
            raise EvidenceError("a finding names a unit that does not exist")
        again = [_ruled(rule.rule, rule.limit, found.units, evidence) for rule in limits]
        nothing = found.outcome == "nothing matched"
        empty = not found.units and not found.differs and not found.rules
        follows = outcome(found.rules, found.differs, unmatched=nothing)
        if again != limits or found.outcome != follows or (nothing and found.units) or (empty and not nothing):
            raise EvidenceError("a finding does not follow from the recorded numbers")


def own_answer(content: Content) -> str:
    """What the model itself said, also where another answer is explained."""
    return content.answer.text if content.own_answer is None else content.own_answer


def contrast_text(content: Content) -> str | None:
    """The answer that did not come, as two cases compare it; None where the case names none."""
    return None if content.contrast is None else content.contrast.text.strip()


def other_method(wanted: PolicyMethod, measured: Method) -> tuple[str, ...]:
    """What was measured otherwise than the policy's numbers are of, by the names of the settings."""
    layers = None if wanted.layers is None else tuple(int(layer) for layer in wanted.layers.split(":"))
    return differences(Method.model_validate({**dict(wanted), "layers": layers, "default": False}), measured)


def outcome(rules: Iterable[Rule], differs: Sequence[str], *, unmatched: bool) -> FindingOutcome:
    """Broken where anything is; what could not be compared, or named nothing, is never a pass."""
    if any(not rule.held for rule in rules):
        return "broken"
    if differs:
        return "not comparable"
    return "nothing matched" if unmatched else "held"


def units_of(policy: Policy, case: Case, units: Sequence[Unit]) -> tuple[int, ...]:
    """The units that share a character with what the policy names, ascending. Raises TimeoutError and ValueError."""
    found = {index for text in policy.terms for index in term_units(text, case, units)}
    if policy.pattern is not None:
        found |= _matched(expression(policy.pattern), case, units, MATCH_SECONDS)
    found |= named_units("named", policy.unit, case, units) | named_units("field", policy.field, case, units)
    if policy.role is not None:
        spoken = {number for number, message in enumerate(case.messages) if message.role == policy.role}
        inside = {index for index, unit in enumerate(units) if any(span.message in spoken for span in unit.spans)}
        others = policy.terms or policy.pattern or policy.unit or policy.field
        found = found & inside if others else inside
    return tuple(sorted(found))


def term_units(text: str, case: Case, units: Sequence[Unit]) -> set[int]:
    """The units that share a character with the term, wherever it stands."""
    return _matched(term(text), case, units, None)


def named_units(kind: str, name: str | None, case: Case, units: Sequence[Unit]) -> set[int]:
    """The units that share a character with the field, or the named piece, of that name."""
    places = Places(unit.spans for unit in units)
    spans = (span for one in case.named if (one.kind, one.name) == (kind, name) for span in one.spans)
    return {index for span in spans for index in places.shared(span)}


def _matched(pattern: regex.Pattern[str], case: Case, units: Sequence[Unit], seconds: float | None) -> set[int]:
    places = Places(unit.spans for unit in units)
    found: set[int] = set()
    for number, message in enumerate(case.messages):
        for start, end in matches(pattern, message.content, seconds):
            found.update(places.shared(Span(message=number, start=start, end=end)))
    return found


def share_of(units: Iterable[int], shares: Sequence[float]) -> float:
    """The part of the positive relevance that these units hold together. ``shares``: of each unit."""
    return round(sum(shares[index] for index in units), DECIMALS)


def _finding(policy: Policy, content: Content, evidence: Evidence) -> Finding:
    limits = {name: limit for name, limit in policy.limits if limit is not None}
    units = units_of(policy, content.case, evidence.units) if limits else ()
    differs = other_method(policy.method, evidence.method) if limits else ()
    judged = {} if differs or not units else limits
    rules = (*(_ruled(name, limit, units, evidence) for name, limit in judged.items()), *_answered(policy, content))
    return Finding(
        policy=policy.name,
        severity=policy.severity,
        outcome=outcome(rules, differs, unmatched=bool(limits) and not units),
        differs=differs,
        units=units,
        rules=rules,
    )


def _conditions(policy: Policy) -> bool:
    return policy.answer_must_match is not None or policy.answer_must_not_match is not None


def _answered(policy: Policy, content: Content) -> Iterator[Rule]:
    """Of the model's own answer: a condition on a supplied one would say nothing of the model."""
    said = own_answer(content)
    if policy.answer_must_match is not None:
        yield Rule(rule="answer_must_match", held=_occurs(policy.answer_must_match, said))
    if policy.answer_must_not_match is not None:
        yield Rule(rule="answer_must_not_match", held=not _occurs(policy.answer_must_not_match, said))


def _occurs(pattern: str, text: str) -> bool:
    return next(matches(expression(pattern), text), None) is not None


def _ruled(name: str, limit: float | None, units: Sequence[int], evidence: Evidence) -> Rule:
    measure, holds = _MEASURES[name]
    found = measure(units, told_apart(evidence))
    return Rule.model_validate({"rule": name, "limit": limit, "found": found, "held": holds(found, limit)})


def _share(units: Sequence[int], values: Values) -> float | None:
    return share_of(units, positive_share(values))


def _place(units: Sequence[int], values: Values) -> float | None:
    """The best place of the units; None: none of them supported the answer."""
    found = places(values)
    return min((float(found[index]) for index in units if index in found), default=None)


def _effect(units: Sequence[int], values: Values) -> float | None:
    return max((abs(values[index] or 0.0) for index in units), default=None)


def _at_most(found: float | None, limit: float | None) -> bool:
    return found is None or (limit is not None and found <= limit)


def _at_least(found: float | None, limit: float | None) -> bool:
    return found is not None and limit is not None and found >= limit


def _below(found: float | None, limit: float | None) -> bool:
    """A place outside the first ``limit``."""
    return found is None or (limit is not None and found > limit)


def within(found: float | None, limit: float | None) -> bool:
    """Whether something was found, and not more than the limit."""
    return found is not None and limit is not None and found <= limit


_Measure = Callable[[Sequence[int], Values], float | None]
_MEASURES: dict[str, tuple[_Measure, Callable[[float | None, float | None], bool]]] = {
    "max_share": (_share, _at_most),
    "min_share": (_share, _at_least),
    "not_in_top": (_place, _below),
    "must_be_in_top": (_place, within),
    "max_effect": (_effect, _at_most),
}

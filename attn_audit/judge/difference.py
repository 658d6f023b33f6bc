"""Two audits of the same cases to what differs between them: answers, verdicts, policies, and how large a share of the
positive relevance each piece held (docs/diff.md).

Shares of one audit are compared with those of another, and never nats: another model or another answer has another
scale.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import fsum
from typing import Literal

from attn_audit.evidence.checked import faithfulness_of
from attn_audit.evidence.findings import Finding, PairFinding
from attn_audit.evidence.measured import Evidence, Signer
from attn_audit.evidence.records import Content
from attn_audit.evidence.statements import Plan
from attn_audit.evidence.store import Measured
from attn_audit.judge.conditions import fails
from attn_audit.judge.method import differences
from attn_audit.judge.movement import LEAST, Both, Moved, compared
from attn_audit.judge.policies import contrast_text, own_answer
from attn_audit.judge.relevance import DECIMALS

Status = Literal["finished", "withheld", "failed", "skipped", "not there"]
UNFINISHED: frozenset[Status] = frozenset({"failed", "skipped", "not there"})
PolicyKey = tuple[str, str, str, int]  # case and partner of a pair, else empty; the policy; which one of that name


@dataclass(frozen=True)
class Side:
    """One audit as it is compared. By case id: ``statuses`` of all cases, in their order; ``cases``: those whose
    content is at hand; ``evidence``: all finished ones. ``plan`` and ``pairs``: None where one case is all there is."""

    name: str
    plan: Plan | None
    statuses: Mapping[str, Status]
    cases: Mapping[str, Measured]
    evidence: Mapping[str, Evidence]
    pairs: tuple[PairFinding, ...] | None


@dataclass(frozen=True)
class Fact:
    """Something about both audits as a whole; empty where it is not known."""

    name: str
    first: str
    second: str


@dataclass(frozen=True)
class PolicyChange:
    """A policy whose outcome or severity is another one, or that only one of the audits judged."""

    before: Finding | None
    after: Finding | None

    @property
    def policy(self) -> str:
        """Its name."""
        return self.one.policy

    @property
    def one(self) -> Finding:
        """The finding after, else the one before."""
        found = self.after or self.before
        if found is None:
            raise ValueError("a change of a policy needs a finding")
        return found


@dataclass(frozen=True)
class Texts:
    """One case whose content both audits hold. ``messages``: the numbers, from 0, of those that differ; ``fields``:
    what else of the case differs in its file; ``differs``: why the pieces cannot be compared, then there are none;
    ``pieces``: all of them, those that moved most first; ``unmeasured``: how many could not be compared since one of
    the audits screened them out."""

    measured: Both[Measured]
    messages: tuple[int, ...]
    fields: tuple[str, ...]
    answers: Both[str]
    same_answer: bool
    same_explained: bool
    same_contrast: bool
    differs: tuple[str, ...]
    pieces: tuple[Moved, ...]
    unmeasured: int

    @property
    def moved(self) -> tuple[Moved, ...]:
        """Without those whose share is as good as the same."""
        return tuple(piece for piece in self.pieces if abs(piece.change) >= LEAST)


@dataclass(frozen=True)
class CaseDifference:
    """One case of either audit. ``log_probabilities`` of the answer that is explained, nats; ``warnings``: codes that
    are new, and codes that are gone; ``texts``: None unless both contents are at hand."""

    id: str
    statuses: Both[Status]
    log_probabilities: Both[float | None]
    faithfulness: Both[str | None]
    warnings: Both[tuple[str, ...]]
    policies: tuple[PolicyChange, ...]
    texts: Texts | None


@dataclass(frozen=True)
class Counts:
    """One audit in figures. ``failing``: policies that must hold and do not, those on pairs with them."""

    cases: int
    finished: int
    withheld: int
    failed: int
    skipped: int
    failing: int
    supported: int


@dataclass(frozen=True)
class Difference:
    """Two audits, compared. ``pairs``: None where one of the audits is a single case."""

    names: Both[str]
    facts: tuple[Fact, ...]
    counts: Both[Counts]
    cases: tuple[CaseDifference, ...]
    pairs: tuple[PolicyChange, ...] | None


def difference(first: Side, second: Side) -> Difference:
    """Every case of either, in the order of the first, then those of the second alone."""
    ids = dict.fromkeys((*first.statuses, *second.statuses))
    pairs = None if first.pairs is None or second.pairs is None else _policy_changes(first.pairs, second.pairs)
    return Difference(
        names=(first.name, second.name),
        facts=_facts(first, second),
        counts=(_counts(first), _counts(second)),
        cases=tuple(_case(case_id, first, second) for case_id in ids),
        pairs=pairs,
    )


def narrowed(side: Side, case_id: str) -> Side:
    """The same audit as if it held that case alone."""
    return replace(
        side,
        statuses={one: status for one, status in side.statuses.items() if one == case_id},
        cases={one: case for one, case in side.cases.items() if one == case_id},
        evidence={one: evidence for one, evidence in side.evidence.items() if one == case_id},
        pairs=side.pairs and tuple(pair for pair in side.pairs if case_id in {pair.case_id, pair.pair_with}),
    )


# -- the audits as a whole --------------------------------------------------------------------------------------------


def _facts(first: Side, second: Side) -> tuple[Fact, ...]:
    sides = [_facts_of(side) for side in (first, second)]
    return tuple(Fact(name, *(side.get(name, "") for side in sides)) for name in dict.fromkeys([*sides[0], *sides[1]]))


def _facts_of(side: Side) -> dict[str, str]:
    """What holds for every case of an audit, from the evidence of any; from the plan where no case was finished."""
    evidence = next(iter(side.evidence.values()), None)
    if evidence is not None:
        model = evidence.model
        found = {"model": model.name, "model root": model.root, "quantisation": model.quantisation or "none"}
        found["chat template"] = model.chat_template_sha256 or "none"
        tool, settings, signer = evidence.tool, evidence.settings, evidence.signer
    elif side.plan is not None:
        found = {"model": side.plan.model_name, "model root": side.plan.model_root}
        tool, settings, signer = side.plan.tool, side.plan.settings, side.plan.signer
    else:
        return {}
    found |= {f"setting {one.name}": one.value for one in settings if one.name != "model"}
    found |= {"tool": f"{tool.name} {tool.version}", "signer": _signer(signer)}
    return found if evidence is None else found | {"report templates": evidence.templates}


def _signer(signer: Signer | None) -> str:
    if signer is None:
        return "nobody: unsigned"
    return f"{signer.principal}, key id {signer.key_id}{', TEST KEY' if signer.test_only else ''}"


def _counts(side: Side) -> Counts:
    count = Counter(side.statuses.values())
    judged = [finding for evidence in side.evidence.values() for finding in evidence.findings]
    return Counts(
        cases=len(side.statuses),
        finished=count["finished"],
        withheld=count["withheld"],
        failed=count["failed"],
        skipped=count["skipped"],
        failing=sum(fails(finding) for finding in (*judged, *(side.pairs or ()))),
        supported=sum(faithfulness_of(evidence.checks) == "supported" for evidence in side.evidence.values()),
    )


# -- one case ---------------------------------------------------------------------------------------------------------


def _case(case_id: str, first: Side, second: Side) -> CaseDifference:
    before, after = first.evidence.get(case_id), second.evidence.get(case_id)
    contents = first.cases.get(case_id), second.cases.get(case_id)
    return CaseDifference(
        id=case_id,
        statuses=(first.statuses.get(case_id, "not there"), second.statuses.get(case_id, "not there")),
        log_probabilities=(_log_probability(before), _log_probability(after)),
        faithfulness=(_verdict(before), _verdict(after)),
        warnings=_warnings(before, after),
        policies=() if after is None else _policy_changes(() if before is None else before.findings, after.findings),
        texts=None if contents[0] is None or contents[1] is None else _texts(contents[0], contents[1]),
    )


def _log_probability(evidence: Evidence | None) -> float | None:
    return None if evidence is None else round(fsum(evidence.answer.base), DECIMALS)


def _verdict(evidence: Evidence | None) -> str | None:
    return None if evidence is None else faithfulness_of(evidence.checks)


def _warnings(before: Evidence | None, after: Evidence | None) -> Both[tuple[str, ...]]:
    """Of a case that the second audit did not finish, nothing is said here."""
    if after is None:
        return (), ()
    codes = [() if one is None else tuple(warning.code for warning in one.warnings) for one in (before, after)]
    return tuple(code for code in codes[1] if code not in codes[0]), tuple(c for c in codes[0] if c not in codes[1])


def _policy_changes(before: Sequence[Finding], after: Sequence[Finding]) -> tuple[PolicyChange, ...]:
    one, other = dict(_keyed(before)), dict(_keyed(after))
    changes = (PolicyChange(one.get(key), other.get(key)) for key in dict.fromkeys((*one, *other)))
    return tuple(change for change in changes if _outcome(change.before) != _outcome(change.after))


def _keyed(findings: Iterable[Finding]) -> Iterator[tuple[PolicyKey, Finding]]:
    """Two policies of a case may bear the same name; they are told apart by their order."""
    seen: Counter[tuple[str, str, str]] = Counter()
    for finding in findings:
        ids = (finding.case_id, finding.pair_with) if isinstance(finding, PairFinding) else ("", "")
        name = (*ids, finding.policy)
        yield (*name, seen[name]), finding
        seen[name] += 1


def _outcome(finding: Finding | None) -> tuple[str, str] | None:
    return None if finding is None else (finding.outcome, finding.severity)


def _texts(first: Measured, second: Measured) -> Texts:
    contents, evidence = (first[0], second[0]), (first[1], second[1])
    answers = own_answer(contents[0]), own_answer(contents[1])
    differs = differences(evidence[0].method, evidence[1].method)
    if (evidence[0].contrast is None) != (evidence[1].contrast is None):
        differs += ("contrast",)
    found = () if differs else tuple(compared(first, second))
    return Texts(
        measured=(first, second),
        messages=_changed_messages(*contents),
        fields=_changed_fields(*contents),
        answers=answers,
        same_answer=answers[0].strip() == answers[1].strip(),
        same_explained=contents[0].answer.text.strip() == contents[1].answer.text.strip(),
        same_contrast=contrast_text(contents[0]) == contrast_text(contents[1]),
        differs=differs,
        pieces=tuple(sorted((one for one in found if one is not None), key=lambda one: -abs(one.change))),
        unmeasured=sum(one is None for one in found),
    )


def _changed_messages(one: Content, other: Content) -> tuple[int, ...]:
    messages, others = one.case.messages, other.case.messages
    longest = range(max(len(messages), len(others)))
    return tuple(number for number in longest if messages[number : number + 1] != others[number : number + 1])


def _changed_fields(one: Content, other: Content) -> tuple[str, ...]:
    """The other fields of the case. Named pieces stand elsewhere in another text: only what they are called counts."""
    values = [
        {**dict(content.case), "named": [(found.kind, found.name) for found in content.case.named]}
        for content in (one, other)
    ]
    return tuple(name for name in values[0] if name not in {"id", "messages"} and values[0][name] != values[1][name])

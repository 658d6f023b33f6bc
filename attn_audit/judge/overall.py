"""A whole batch in figures: how large a share of the positive relevance each field, named unit, policy and term of a
policy held, over all cases. What drives single answers is noise or bad luck; what drives many is the system's."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import nlargest
from statistics import fmean, median
from typing import Literal

from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Case, Content
from attn_audit.evidence.store import Measured
from attn_audit.judge.policies import named_units, share_of, term_units
from attn_audit.judge.relevance import DECIMALS, positive_share, told_apart

HIGHEST_CASES = 3
OverallKind = Literal["field", "unit", "policy", "term"]
_Key = tuple[OverallKind, str, str]


@dataclass(frozen=True)
class Overall:
    """One thing that several cases name. ``policy``: whose term it is, else empty; shares of the positive relevance
    over the cases that have it; ``highest``: up to three cases (ids) with the largest ones, without those of 0."""

    kind: OverallKind
    name: str
    policy: str
    cases: int
    mean: float
    median: float
    maximum: float
    highest: tuple[str, ...]


class Shares:
    """Such figures while the cases pass by once: a number is kept for each thing that a case names."""

    def __init__(self) -> None:
        self._found: dict[_Key, _Held] = defaultdict(_Held)

    def add(self, content: Content, evidence: Evidence) -> None:
        shares = positive_share(told_apart(evidence))
        for key, units in _named(content.case, evidence):
            self._found[key].add(share_of(units, shares), content.case.id)

    def rows(self) -> tuple[Overall, ...]:
        """Fields first, then named units, policies and their terms, each in the order in which the cases bring them."""
        rows = [held.row(key) for key, held in self._found.items()]
        kinds: tuple[OverallKind, ...] = ("field", "unit", "policy", "term")
        return tuple(row for kind in kinds for row in rows if row.kind == kind)


class _Held:
    """The shares of one thing, eight bytes each, and the cases with the highest so far."""

    def __init__(self) -> None:
        self._shares = array("d")
        self._highest: list[tuple[float, int, str]] = []

    def add(self, share: float, case_id: str) -> None:
        if share > 0:
            self._highest = nlargest(HIGHEST_CASES, (*self._highest, (share, -len(self._shares), case_id)))
        self._shares.append(share)

    def row(self, key: _Key) -> Overall:
        return Overall(
            kind=key[0],
            name=key[1],
            policy=key[2],
            cases=len(self._shares),
            mean=round(fmean(self._shares), DECIMALS),
            median=round(median(self._shares), DECIMALS),
            maximum=max(self._shares),
            highest=tuple(case_id for _, _, case_id in self._highest),
        )


def overall(cases: Iterable[Measured]) -> tuple[Overall, ...]:
    """The figures over these cases, each of which is read once."""
    found = Shares()
    for content, evidence in cases:
        found.add(content, evidence)
    return found.rows()


def _named(case: Case, evidence: Evidence) -> Iterator[tuple[_Key, Iterable[int]]]:
    """What the case names that is there, and its units; those of a policy as its finding recorded them."""
    units = evidence.units
    for one in case.named:
        kind: OverallKind = "field" if one.kind == "field" else "unit"
        yield (kind, one.name, ""), named_units(one.kind, one.name, case, units)
    for finding in evidence.findings:
        if finding.units:
            yield ("policy", finding.policy, ""), finding.units
    for policy in case.policies:
        for text in policy.terms:
            if single := term_units(text, case, units):
                yield ("term", text, policy.name), single

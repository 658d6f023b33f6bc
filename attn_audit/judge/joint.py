"""What pieces do together, against what each does alone."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum, log
from typing import Literal

from attn_audit.evidence.checked import Checks, Joint
from attn_audit.judge.relevance import Values

Reading = Literal["decide", "stand in", "needed together", "add up", "speak against", "hardly matter", "not measured"]
MUCH = log(2.0)  # nats: the answer becomes half as probable
_APART = 1.5  # times the sum of what supports the answer
_WEAK = 0.25  # of what they do together
_LOST = 0.5  # of what the others do alone, once the strongest is gone


def singles(joint: Joint, relevance: Values) -> tuple[float, ...] | None:
    """What each of them does alone, nats; None where one was not measured."""
    values = tuple(value for unit in joint.units if (value := relevance[unit]) is not None)
    return values if len(values) == len(joint.units) else None


def reading(joint: Joint, relevance: Values) -> Reading:
    """Clearly more together than what supports the answer adds up to: each can do without the others. They decide where
    each is weak beside that, and it is as much as the highest piece does. Hardly more than the strongest of them alone,
    though the others matter as long as it is there: losing one does much of what losing all does."""
    alone, together = singles(joint, relevance), joint.together
    if alone is None:
        return "not measured"
    if max(abs(together), *(abs(value) for value in alone)) < MUCH:
        return "hardly matter"
    if together <= -MUCH:
        return "speak against"
    support = fsum(value for value in alone if value > 0)
    strongest = max(alone)
    if together >= max(MUCH, _APART * support):
        weak = strongest <= _WEAK * together
        highest = max(value for value in relevance if value is not None)
        return "decide" if weak and together >= highest else "stand in"
    others = support - max(strongest, 0.0)
    lost = strongest <= together + others / 2 and together <= support - _LOST * others
    return "needed together" if others >= MUCH and lost else "add up"


def decisive(checks: Checks, relevance: Values) -> tuple[Joint, ...]:
    """Those that look weak alone and decide together, of all that was suppressed together; the same units once, and
    none that hold others that decide."""
    found: Sequence[Joint] = checks.repeated
    if checks.together is not None:
        found = (*found, *checks.together.pairs, checks.together)
    chosen: list[Joint] = []
    for joint in found:
        smaller = any(set(one.units) <= set(joint.units) for one in chosen)
        if not smaller and reading(joint, relevance) == "decide":
            chosen.append(joint)
    return tuple(chosen)

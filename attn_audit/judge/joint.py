"""What pieces do together, against what each does alone."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum, log
from typing import Literal

from attn_audit.evidence.checked import Checks, Joint
from attn_audit.judge.relevance import Values

Reading = Literal["decide", "stand in", "needed together", "add up", "hardly matter"]
MUCH = log(2.0)  # nats: the answer becomes half as probable
_APART = 1.5  # times the sum of the single values
_LOST = 0.5  # of what the others do alone, once the strongest is gone


def singles(joint: Joint, relevance: Values) -> float:
    """The sum of what each of them does alone, nats; one that was not measured counts as nothing."""
    return fsum(relevance[unit] or 0.0 for unit in joint.units)


def reading(joint: Joint, relevance: Values) -> Reading:
    """Clearly more together than added up: they stand in for each other, so that alone each looks weak; and they decide
    where they do as much as the highest piece. Hardly more than the strongest of them alone, though the others matter
    as long as it is there: losing one does much of what losing all does."""
    together, alone = joint.together, singles(joint, relevance)
    if max(together, alone) < MUCH:
        return "hardly matter"
    if together >= _APART * alone:
        return "decide" if together >= max(value for value in relevance if value is not None) else "stand in"
    others = alone - max(relevance[unit] or 0.0 for unit in joint.units)
    return "needed together" if others >= MUCH and together <= alone - _LOST * others else "add up"


def decisive(checks: Checks, relevance: Values) -> tuple[Joint, ...]:
    """Those that look weak alone and decide together, of all that was suppressed together."""
    found: Sequence[Joint] = checks.repeated
    if checks.together is not None:
        found = (*found, checks.together, *checks.together.pairs)
    return tuple(joint for joint in found if reading(joint, relevance) == "decide")

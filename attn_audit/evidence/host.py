"""The outside world as one argument: clock, randomness and the facts of the machine. Nothing below the command
line reads them anywhere else, so that the same inputs give the same bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from attn_audit.evidence.records import ExecutorName

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Host:
    """``clock`` gives UTC, ``timer`` seconds that only differences of mean anything, ``entropy`` n random bytes.
    ``executor`` and ``attempt``: what had the case measured here, and the how manieth time it was begun."""

    clock: Clock
    timer: Callable[[], float]
    entropy: Callable[[int], bytes]
    threads: int
    facts: tuple[tuple[str, str], ...]
    executor: ExecutorName = "local"
    attempt: int = 1

    def now(self) -> str:
        """The time in UTC, ISO 8601, whole seconds."""
        return self.clock().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def salt(self) -> str:
        """A new salt for a case: 32 random bytes in hex."""
        return self.entropy(32).hex()


def compact(time: str) -> str:
    """A recorded time as file names take it: ``20261126T090000Z``."""
    return time.translate(_WITHOUT_MARKS)


_WITHOUT_MARKS = str.maketrans("", "", "-:")
_NEVER = datetime.min.replace(tzinfo=UTC)


def never_back(clock: Clock, since: datetime = _NEVER) -> Clock:
    """The same clock, which stands still where it would go back, or before ``since``: a machine whose clock is set back
    during a run, or before it is resumed, must not record that a case ended before it was planned."""
    latest = since

    def forward() -> datetime:
        nonlocal latest
        latest = max(latest, clock())
        return latest

    return forward

"""The outside world as one argument: clock, randomness and the facts of the machine. Nothing below the command
line reads them anywhere else, so that the same inputs give the same bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Host:
    """``clock`` gives UTC, ``timer`` seconds that only differences of mean anything, ``entropy`` n random bytes."""

    clock: Callable[[], datetime]
    timer: Callable[[], float]
    entropy: Callable[[int], bytes]
    threads: int
    facts: tuple[tuple[str, str], ...]

    def now(self) -> str:
        """The time in UTC, ISO 8601, whole seconds."""
        return self.clock().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

"""One case over several workers. Its large sweeps are cut into parts which are measured elsewhere, and the case is gone
through once more from its beginning with what they found: a sweep that is known is not measured again, and all that
lies between is cheap beside it and comes out the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

Progress = Callable[[int, int], None]  # pieces done, pieces in all
Batch_co = TypeVar("Batch_co", covariant=True)
Value = TypeVar("Value")


@dataclass(frozen=True)
class Found:
    """What passes gave: a row of values for each piece (by index); by how much an untouched row came out differently,
    the most, nats; and how often a pass was split in two to fit the memory."""

    rows: Mapping[int, tuple[float, ...]]
    noise: float = 0.0
    halvings: int = 0


class Work(Protocol[Batch_co]):
    """Passes that do not depend on each other, and the tokens that they compute together."""

    @property
    def batches(self) -> Sequence[Batch_co]: ...

    @property
    def tokens(self) -> int: ...

    def measure(self, batches: Sequence[Any], progress: Progress) -> Found:
        """Some of the passes, or all of them."""


class Spread:
    """Whether the passes of a case are measured here, in one go: this class does; ``Journal`` has parts of them
    measured elsewhere."""

    parts = 1

    def once(self, _name: str, make: Callable[[], Value]) -> Value:
        """What must be the same for everyone who measures a part of the case."""
        return make()

    def measure(self, work: Work[Any], progress: Progress) -> Found:
        """All of it."""
        return work.measure(work.batches, progress)


HERE = Spread()


@dataclass(frozen=True)
class Part:
    """Every ``of``-th pass, from the ``index``-th on, of that sweep among the large ones of a case."""

    sweep: int
    index: int
    of: int


@dataclass(frozen=True)
class Known:
    """What was found of a case so far: values by name, and the large sweeps in the order in which they come."""

    values: Mapping[str, Any] = field(default_factory=dict)
    sweeps: tuple[Found, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """The next large sweep is to be measured in so many parts, each by whoever gets ``known`` and that part."""

    known: Known
    parts: int


class Suspended(Exception):
    """The way through the case ends here: with what is wanted to go on, or with the part that was asked for."""

    def __init__(self, outcome: Wanted | Found) -> None:
        super().__init__()
        self.outcome = outcome


class Journal(Spread):
    """One way through a case of which ``known`` is known. Sweeps of more than ``most`` tokens are large. Without a
    ``part``, the way ends at the first large sweep that is not known, which is wanted in at most ``workers`` parts;
    with one, it ends with that part of it."""

    def __init__(self, known: Known, part: Part | None, most: int, workers: int) -> None:
        self._values, self._sweeps = dict(known.values), known.sweeps
        self._part, self._most, self._workers = part, most, workers
        self._passed = 0
        self.parts = 1

    def once(self, name: str, make: Callable[[], Value]) -> Value:
        """The known value; or a new one, from now on."""
        if name not in self._values:
            self._values[name] = make()
        return self._values[name]  # type: ignore[no-any-return]

    def measure(self, work: Work[Any], progress: Progress) -> Found:
        """All of it where it is not large. Raises Suspended."""
        parts = min(self._workers, len(work.batches))
        if work.tokens <= self._most or parts == 1:
            return super().measure(work, progress)
        number, self._passed = self._passed, self._passed + 1
        self.parts = max(self.parts, parts)
        if number < len(self._sweeps):
            return self._sweeps[number]
        if self._part is None:
            raise Suspended(Wanted(Known(self._values, self._sweeps), parts))
        raise Suspended(work.measure(work.batches[self._part.index :: self._part.of], progress))


def joined(parts: Sequence[Found]) -> Found:
    """All parts of one sweep together."""
    return Found(
        rows={index: row for part in parts for index, row in part.rows.items()},
        noise=max(part.noise for part in parts),
        halvings=sum(part.halvings for part in parts),
    )

"""Is a map right about the model? Its highest units are deleted from the text, and random ones as often as can be
afforded: what is compared, when it suffices, and what follows (docs/method.md, "Faithfulness").

Nothing is drawn from a generator: a draw is an order of the units by digests, so that anyone can draw it again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import combinations
from math import ceil, comb, fsum
from typing import Literal

from attn_audit.judge.relevance import DECIMALS

Chain = tuple[frozenset[int], ...]  # units that are deleted together at each size, each set within the next
Verdict = Literal["supported", "not supported", "cannot tell"]
SHARES = (0.1, 0.2, 0.5)  # of the units
DRAWS = 99
FEWEST_DRAWS = 49
LEVEL = 0.02
LEAST_PASSES = 64  # full passes that a check may take, however small the sweep was


def sizes_of(units: int, measured: int) -> tuple[int, ...]:
    """How many units are deleted: shares of all, but never more than the map has values for."""
    return tuple(min(ceil(share * units), measured) for share in SHARES)


def own_chain(ranking: Sequence[int], sizes: Sequence[int]) -> Chain:
    """The highest units, as the map has them."""
    return tuple(frozenset(ranking[:size]) for size in sizes)


def draws(own: Chain, units: int, seed: int, most: int) -> Iterator[Chain]:
    """At most ``most`` random chains of the sizes of ``own``, all different from it and from each other; all that
    there are, where those are no more."""
    sizes = [len(chosen) for chosen in own]
    if distinct(units, sizes) - 1 <= most:
        yield from (chain for chain in _every(frozenset(), sizes, range(units)) if chain != own)
        return
    seen, number = {own}, 0
    while len(seen) <= most:
        order = sorted(range(units), key=lambda unit: sha256(f"{seed}:{number}:{unit}".encode()).digest())
        chain = own_chain(order, sizes)
        number += 1
        if chain not in seen:
            seen.add(chain)
            yield chain


def distinct(units: int, sizes: Sequence[int]) -> int:
    """How many different chains of these sizes there are."""
    found, before = 1, 0
    for size in sizes:
        found *= comb(units - before, size - before)
        before = size
    return found


def _every(before: frozenset[int], sizes: Sequence[int], units: Sequence[int]) -> Iterator[Chain]:
    if not sizes:
        yield ()
        return
    free = [unit for unit in units if unit not in before]
    for added in combinations(free, sizes[0] - len(before)):
        chosen = before.union(added)
        for rest in _every(chosen, sizes[1:], units):
            yield (chosen, *rest)


def affordable(chains: Sequence[Chain], tokens: Sequence[int], length: int, budget: int) -> int:
    """How many of the random ``chains`` can be measured with ``budget`` forward tokens, counted as full passes over
    what is left of ``length`` tokens; never fewer than the verdict needs, where there are as many. ``tokens``: of each
    unit."""
    spent, count = 0, 0
    for chain in chains:
        spent += sum(length - sum(tokens[unit] for unit in chosen) for chosen in chain)
        if spent > budget and count >= FEWEST_DRAWS:
            break
        count += 1
    return count


def p_value(own: Sequence[float], random: Sequence[Sequence[float]]) -> float:
    """(1 + random draws whose average over the sizes is at least ours) / (1 + draws). Falls in nats."""
    return round((1 + reached(own, random)) / (1 + len(random)), DECIMALS)


def reached(own: Sequence[float], random: Sequence[Sequence[float]]) -> int:
    """How many of the random draws fell at least as far, on average over the sizes."""
    ours = average(own)
    return sum(average(one) >= ours for one in random)


def verdict(p: float, random: int) -> Verdict:
    """``cannot tell``: with so few draws no map could get there."""
    if 1 / (1 + random) > LEVEL:
        return "cannot tell"
    return "supported" if p <= LEVEL else "not supported"


def average(falls: Sequence[float]) -> float:
    """Over the sizes, nats; 0 where nothing could be deleted."""
    return round(fsum(falls) / len(falls), DECIMALS) if falls else 0.0

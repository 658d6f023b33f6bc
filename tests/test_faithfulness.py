"""Which units are deleted, by chance and by the map, and what follows from the falls."""

from __future__ import annotations

from hashlib import sha256
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attn_audit.judge.faithfulness import (
    DRAWS,
    FEWEST_DRAWS,
    Chain,
    affordable,
    distinct,
    draws,
    own_chain,
    p_value,
    sizes_of,
    verdict,
)


@st.composite
def maps(draw: st.DrawFn) -> tuple[int, Chain]:
    """A number of units, and what a map of them would delete."""
    units = draw(st.integers(1, 40))
    measured = draw(st.integers(1, units))
    return units, own_chain(draw(st.permutations(range(units))), sizes_of(units, measured))


@given(maps(), st.integers(0, 2**63 - 1), st.integers(1, DRAWS))
def test_draws_are_distinct_nested_and_of_the_sizes_of_the_map(made: tuple[int, Chain], seed: int, most: int) -> None:
    units, own = made
    found = list(draws(own, units, seed, most))
    sizes = [len(chosen) for chosen in own]
    assert len(found) == len(set(found)) == min(most, distinct(units, sizes) - 1)
    assert own not in found
    for chain in found:
        assert [len(chosen) for chosen in chain] == sizes
        assert all(one <= other for one, other in pairwise(chain))
        assert all(0 <= unit < units for unit in chain[-1])
    assert found == list(draws(own, units, seed, most))


@pytest.mark.parametrize(("units", "sizes"), [(1, (1, 1, 1)), (4, (1, 1, 2)), (5, (1, 2, 3)), (6, (1, 2, 3))])
def test_the_number_of_choices_is_that_of_counting_them(units: int, sizes: tuple[int, ...]) -> None:
    counted = {
        (frozenset(one), frozenset(two), frozenset(three))
        for one in combinations(range(units), sizes[0])
        for two in combinations(range(units), sizes[1])
        for three in combinations(range(units), sizes[2])
        if set(one) <= set(two) <= set(three)
    }
    assert distinct(units, sizes) == len(counted)
    own = own_chain(range(units), sizes)
    assert set(draws(own, units, 0, len(counted))) == counted - {own}


def test_a_draw_can_be_drawn_again_by_hand() -> None:
    units, seed = 30, 7
    order = sorted(range(units), key=lambda unit: sha256(f"{seed}:0:{unit}".encode()).hexdigest())
    own = own_chain(range(units), sizes_of(units, units))
    assert next(draws(own, units, seed, DRAWS)) == (frozenset(order[:3]), frozenset(order[:6]), frozenset(order[:15]))


@pytest.mark.parametrize(
    ("units", "measured", "sizes"),
    [(100, 100, (10, 20, 50)), (7, 7, (1, 2, 4)), (1, 1, (1, 1, 1)), (100, 27, (10, 20, 27)), (40, 1, (1, 1, 1))],
)
def test_sizes(units: int, measured: int, sizes: tuple[int, ...]) -> None:
    assert sizes_of(units, measured) == sizes


def test_p_counts_ties_against_the_map() -> None:
    assert p_value((1.0, 2.0, 3.0), [(1.0, 2.0, 3.0)] * 99) == 1.0
    assert p_value((1.0, 2.0, 3.0), [(0.0, 2.0, 3.9)] * 99) == 0.01
    assert p_value((1.0, 2.0, 3.0), [(3.0, 3.0, 0.0)] + [(0.0, 0.0, 0.0)] * 98) == 0.02
    assert p_value((1.0, 2.0, 3.0), [(3.0, 3.0, 0.0)] * 2 + [(0.0, 0.0, 0.0)] * 97) == 0.03


@pytest.mark.parametrize(
    ("p", "random", "said"),
    [
        (0.01, 99, "supported"),
        (0.02, 99, "supported"),
        (0.03, 99, "not supported"),
        (0.02, 49, "supported"),
        (0.04, 49, "not supported"),
        (1 / 49, 48, "cannot tell"),
        (1.0, 0, "cannot tell"),
    ],
)
def test_verdicts(p: float, random: int, said: str) -> None:
    assert verdict(p, random) == said


def test_what_a_budget_affords() -> None:
    units, tokens, length = 20, [3] * 20, 100
    own = own_chain(range(units), sizes_of(units, units))
    every = list(draws(own, units, 0, DRAWS))
    one = 3 * length - 3 * (2 + 4 + 10)  # tokens that are left, of all three sizes
    assert affordable(every, tokens, length, 60 * one) == 60
    assert affordable(every, tokens, length, 60 * one - 1) == 59
    assert affordable(every, tokens, length, 0) == FEWEST_DRAWS
    assert affordable(every[:20], tokens, length, 0) == 20
    assert affordable(every, tokens, length, 10**9) == DRAWS

"""The fast path is held to the formula: suppression, prefix reuse and batching against tests/reference.py."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AttentionMaskInterface
from transformers.masking_utils import eager_mask, sdpa_mask

import reference
import tiny
from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.records import Case, Message
from attn_audit.measure import attention
from attn_audit.measure.answer import score
from attn_audit.measure.model import Model, load, locate
from attn_audit.measure.prompt import render, tokenise_answer
from attn_audit.measure.sweep import plan, sweep
from attn_audit.measure.units import cut

NOW = datetime(2026, 1, 31, tzinfo=UTC)
BOUND = 1e-4  # nats per answer token, float32
PROMPT = tuple(range(5, 29))
ANSWER = (40, 41, 42, 43)


def nothing(done: int, total: int) -> None:
    """No progress is drawn."""


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load(locate(str(tiny.folder(tmp_path_factory.mktemp("models") / "llama"))), seed=0)


runs = st.sets(st.integers(0, 23), min_size=1, max_size=10).map(
    lambda positions: tuple((position, position + 1) for position in sorted(positions))
)


@given(units=st.lists(runs, min_size=1, max_size=6), rows=st.integers(1, 8))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_units_in_any_batches_equal_the_formula(
    llama: Model, units: list[tuple[tuple[int, int], ...]], rows: int
) -> None:
    swept = sweep(llama, score(llama, PROMPT, ANSWER), units, rows, nothing)
    for one, row in zip(units, swept.scores, strict=True):
        expected = reference.log_probabilities(llama.network, PROMPT, ANSWER, one)
        assert torch.allclose(torch.tensor(row, dtype=torch.float64), expected, atol=BOUND, rtol=0)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 5)), min_size=1, max_size=40), st.integers(1, 9))
def test_plan_measures_each_unit_once(starts: list[tuple[int, int]], rows: int) -> None:
    units = tuple(((start, start + width),) for start, width in starts)
    batches = plan(units, 40, rows)
    assert sorted(index for batch in batches for index in batch.pieces) == list(range(len(units)))
    for batch in batches:
        assert len(batch.pieces) <= rows
        assert all(batch.start <= min(units[index][0][1], 39) for index in batch.pieces)


def test_rows_of_the_unit_keep_themselves(llama: Model) -> None:
    """The whole prompt as one unit: no row is empty, so nothing is NaN."""
    swept = sweep(llama, score(llama, PROMPT, ANSWER), (((0, len(PROMPT)),),), 1, nothing)
    assert all(abs(value) < 1e6 for value in swept.scores[0])


def test_suppression_raises_nothing_where_the_formula_lowers(llama: Model) -> None:
    """A naive multiplication of negative scores raises attention; here a knocked column has exactly no influence."""
    other = (*PROMPT[:7], 99, *PROMPT[8:])
    one = sweep(llama, score(llama, PROMPT, ANSWER), (((7, 8),),), 1, nothing).scores
    two = sweep(llama, score(llama, other, ANSWER), (((7, 8),),), 1, nothing).scores
    assert one[0] == pytest.approx(two[0], abs=2e-5)


def test_the_library_is_restored_also_after_an_exception(llama: Model) -> None:
    ids = torch.tensor([PROMPT])
    before = llama.network(input_ids=ids).logits
    columns = torch.zeros(1, len(PROMPT), dtype=torch.bool)
    columns[0, 3] = True
    with (
        pytest.raises(RuntimeError, match="on purpose"),
        attention.suppression(llama.network) as suppress,
        suppress(columns),
    ):
        raise RuntimeError("on purpose")
    registered = AttentionMaskInterface()
    assert registered["sdpa"] is sdpa_mask
    assert registered["eager"] is eager_mask
    assert torch.equal(llama.network(input_ids=ids).logits, before)


def test_attack_31_recurrent_model_is_refused(tmp_path: Path) -> None:
    folder = tiny.folder(tmp_path / "mamba", "mamba")
    with pytest.raises(UsageError, match="recurrent"):
        load(locate(str(folder)), seed=0)


@pytest.mark.model
def test_real_model_every_unit_equals_the_formula(smollm2: Model) -> None:
    question = "Maria earns 4,000 euros and has no debts. May she borrow 500 euros? Yes or no?"
    case = Case(id="a", messages=(Message(role="user", content=question),), max_new_tokens=4)
    prompt = render(smollm2.tokenizer, case.messages, NOW)
    answer = tokenise_answer(smollm2.tokenizer, "Yes, she may.").ids
    units = cut(case, prompt, "word")
    base = score(smollm2, prompt.ids, answer)
    swept = sweep(smollm2, base, [unit.runs for unit in units], 8, nothing)
    worst = max(
        (
            torch.tensor(row, dtype=torch.float64)
            - reference.log_probabilities(smollm2.network, prompt.ids, answer, u.runs)
        )
        .abs()
        .max()
        .item()
        for u, row in zip(units, swept.scores, strict=True)
    )
    assert worst <= BOUND
    assert len(units) == 16
    assert swept.cost.forward_tokens < swept.cost.naive_forward_tokens
    untouched = reference.untouched(smollm2.network, prompt.ids, answer)
    assert (base.log_probabilities.double() - untouched).abs().max() <= BOUND

"""The fast path is held to the formula: suppression, prefix reuse and batching against tests/reference.py."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import eager_mask, sdpa_mask

import families
import reference
import tiny
from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.records import (
    Case,
    Message,
    NamedSpans,
    Span,
    UnitKind,
)
from attn_audit.measure import attention
from attn_audit.measure.answer import Base, score
from attn_audit.measure.attention import Operator
from attn_audit.measure.model import Model, load, locate
from attn_audit.measure.prompt import render, tokenise_answer
from attn_audit.measure.sweep import Reach, Room, Runs, plan, sweep
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
    swept = sweep(llama, score(llama, PROMPT, ANSWER), units, Room(rows), nothing)
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


@given(st.lists(st.integers(1, 30), min_size=1, max_size=8), st.integers(1, 4), st.integers(0, 40))
def test_no_other_cut_into_batches_takes_less(stops: list[int], rows: int, each_pass: int) -> None:
    units = tuple(((0, stop),) for stop in stops)
    length, ordered = 31, sorted(stops)

    def cost(batches: list[list[int]]) -> int:
        return sum(len(batch) * (length - batch[0]) + each_pass for batch in batches)

    def cuts(left: list[int]) -> Iterator[list[list[int]]]:
        if not left:
            yield []
        for size in range(1, min(rows, len(left)) + 1):
            for rest in cuts(left[size:]):
                yield [left[:size], *rest]

    batches = plan(units, length + 1, rows, each_pass=each_pass)
    found = [[min(stops[index], length) for index in batch.pieces] for batch in batches]
    assert cost(found) == min(map(cost, cuts(ordered)))
    assert [batch.start for batch in batches] == [batch[0] for batch in found]


def test_rows_of_the_unit_keep_themselves(llama: Model) -> None:
    """The whole prompt as one unit: no row is empty, so nothing is NaN."""
    swept = sweep(llama, score(llama, PROMPT, ANSWER), (((0, len(PROMPT)),),), Room(1), nothing)
    assert all(abs(value) < 1e6 for value in swept.scores[0])


def test_suppression_raises_nothing_where_the_formula_lowers(llama: Model) -> None:
    """A naive multiplication of negative scores raises attention; here a knocked column has exactly no influence."""
    other = (*PROMPT[:7], 99, *PROMPT[8:])
    one = sweep(llama, score(llama, PROMPT, ANSWER), (((7, 8),),), Room(1), nothing).scores
    two = sweep(llama, score(llama, other, ANSWER), (((7, 8),),), Room(1), nothing).scores
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
    assert AttentionInterface()["sdpa"] is sdpa_attention_forward
    assert "TRANSFORMERS_SDPA_FORCE_GQA" not in os.environ
    assert torch.equal(llama.network(input_ids=ids).logits, before)


def test_attack_31_recurrent_model_is_refused(tmp_path: Path) -> None:
    folder = tiny.folder(tmp_path / "mamba", "mamba")
    with pytest.raises(UsageError, match="recurrent"):
        load(locate(str(folder)), seed=0)


# -- the plan never changes the result -------------------------------------------------------------------------------

PLANS = 1e-5  # nats per answer token
positions = st.integers(0, len(families.PROMPT) + len(families.ANSWER) - 2)  # the answer's last token is never read
pieces = st.sets(positions, min_size=1, max_size=9).map(
    lambda chosen: tuple((position, position + 1) for position in sorted(chosen))
)
operators = st.sampled_from((Operator(), Operator("soft", 0.2), Operator("knockout", None, (1, 2))))


@pytest.fixture(scope="module", params=["llama", "gemma3", "gpt_oss", "deepseek_v3", "bloom"])
def various(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Base]:
    """Rotation; windows and full layers; sinks and experts; latent keys and values; ALiBi."""
    model = families.loaded(tmp_path_factory.mktemp("models"), request.param)
    return model, families.base(model)


@pytest.mark.parametrize("reach", ["total", "direct"])
@given(
    given_to=st.lists(st.tuples(pieces, st.integers(0, 2)), min_size=1, max_size=8),
    room=st.builds(Room, st.integers(1, 8), st.integers(1, 3)),
    operator=operators,
)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_batches_and_shards_do_not_change_the_result(
    various: tuple[Model, Base], given_to: list[tuple[Runs, int]], room: Room, operator: Operator, reach: Reach
) -> None:
    """``given_to``: each piece and the shard that measures it."""
    model, base = various
    with families.one_thread():
        alone = sweep(model, base, [piece for piece, _ in given_to], Room(1), nothing, operator, reach).scores
        together: dict[int, tuple[float, ...]] = {}
        for shard in {shard for _, shard in given_to}:
            mine = [index for index, (_, owner) in enumerate(given_to) if owner == shard]
            swept = sweep(model, base, [given_to[index][0] for index in mine], room, nothing, operator, reach)
            together |= dict(zip(mine, swept.scores, strict=True))
    for index, expected in enumerate(alone):
        assert together[index] == pytest.approx(expected, abs=PLANS, rel=0)


# -- passes beside each other, and a full memory ---------------------------------------------------------------------

MANY: tuple[Runs, ...] = tuple(((start, start + 2),) for start in range(0, 24, 2))


@contextmanager
def memory_for(network: Any, rows: int) -> Iterator[None]:
    """A pass of more rows fails, as torch reports it."""

    def check(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        if len(kwargs["input_ids"]) > rows:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")

    hook = network.register_forward_pre_hook(check, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


def splits(rows: int) -> int:
    """How often so many rows are cut in two until none has more than two."""
    return 0 if rows <= 2 else 1 + splits(rows // 2) + splits(rows - rows // 2)


@pytest.mark.parametrize("at_once", [1, 2])
def test_attack_55_a_pass_that_does_not_fit_is_split(llama: Model, at_once: int) -> None:
    base = score(llama, PROMPT, ANSWER)
    expected = sweep(llama, base, MANY, Room(1), nothing)
    with memory_for(llama.network, 2):
        swept = sweep(llama, base, MANY, Room(6, at_once), nothing)
    sizes = [len(batch.pieces) for batch in plan(MANY, len(PROMPT), 6)]
    riding = {0, len(sizes) // 2, len(sizes) - 1}  # an untouched row, to measure the noise
    assert swept.halvings == sum(splits(size + (number in riding)) for number, size in enumerate(sizes)) > 1
    for found, wanted in zip(swept.scores, expected.scores, strict=True):
        assert found == pytest.approx(wanted, abs=PLANS, rel=0)
    with memory_for(llama.network, 0), pytest.raises(MemoryError):
        sweep(llama, base, MANY, Room(6, at_once), nothing)


@pytest.mark.parametrize("at_once", [1, 2])
def test_an_interrupted_sweep_leaves_nothing_behind(llama: Model, at_once: int) -> None:
    base, ids = score(llama, PROMPT, ANSWER), torch.tensor([PROMPT])
    before, threads = llama.network(input_ids=ids).logits, torch.get_num_threads()

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(llama, base, MANY, Room(2, at_once), interrupt)
    assert torch.equal(llama.network(input_ids=ids).logits, before)
    assert torch.get_num_threads() == threads
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("passes")]


# -- units of every kind ---------------------------------------------------------------------------------------------

TEXT = (
    "The income is high. It is 4,000 euros!\n\nThe applicant, Ms. Ångström 👩‍💼, has no debts.\nIs the loan approved?"
)


def place(words: str) -> Span:
    """Where they stand in the first message."""
    return Span(message=0, start=TEXT.index(words), end=TEXT.index(words) + len(words))


NAMED = (
    NamedSpans(kind="field", name="amount", spans=(place("4,000 euros"),)),
    NamedSpans(kind="named", name="money", spans=(place("income"), place("debts"))),
)
CASES = [(kind, ()) for kind in ("token", "word", "sentence", "paragraph")] + [("sentence", NAMED)]


@pytest.mark.parametrize(("kind", "named"), CASES, ids=["token", "word", "sentence", "paragraph", "fields and named"])
def test_units_of_every_kind_equal_the_formula(llama: Model, kind: UnitKind, named: tuple[NamedSpans, ...]) -> None:
    said = (Message(role="user", content=TEXT), Message(role="assistant", content="Yes."))
    messages = (*said, Message(role="user", content="Why? In a word."))
    case = Case(id="a", messages=messages, named=named, max_new_tokens=4)
    prompt = render(llama.tokenizer, case.messages, NOW)
    answer = tokenise_answer(llama.tokenizer, "Income.").ids
    units = cut(case, prompt, kind)
    assert [unit.name for unit in units if unit.name] == [piece.name for piece in reversed(named)]
    assert [len(unit.runs) for unit in units if unit.name] == ([2, 1] if named else [])
    direct = reference.Weakening("knockout", first_reader=len(prompt.ids) - 1)
    with families.one_thread():
        base = score(llama, prompt.ids, answer)
        for unit, total, near in zip(
            units,
            sweep(llama, base, [unit.runs for unit in units], Room(5), nothing).scores,
            sweep(llama, base, [unit.runs for unit in units], Room(5), nothing, reach="direct").scores,
            strict=True,
        ):
            slow = reference.log_probabilities(llama.network, prompt.ids, answer, unit.runs)
            assert (torch.tensor(total, dtype=torch.float64) - slow).abs().max() <= BOUND, unit
            slow = reference.weakened(llama.network, prompt.ids, answer, unit.runs, direct)
            assert (torch.tensor(near, dtype=torch.float64) - slow).abs().max() <= BOUND, unit


@pytest.mark.model
def test_real_model_every_unit_equals_the_formula(smollm2: Model) -> None:
    question = "Maria earns 4,000 euros and has no debts. May she borrow 500 euros? Yes or no?"
    case = Case(id="a", messages=(Message(role="user", content=question),), max_new_tokens=4)
    prompt = render(smollm2.tokenizer, case.messages, NOW)
    answer = tokenise_answer(smollm2.tokenizer, "Yes, she may.").ids
    units = cut(case, prompt, "word")
    base = score(smollm2, prompt.ids, answer)
    swept = sweep(smollm2, base, [unit.runs for unit in units], Room(8), nothing)
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

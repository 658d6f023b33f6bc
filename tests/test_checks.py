"""Deletion against full passes over what is left, and whole checks: of a map that is right, and of one that is not."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

import families
import reference
from attn_audit.evidence.checked import Checks
from attn_audit.evidence.errors import CaseError
from attn_audit.evidence.measured import Unit
from attn_audit.evidence.records import Case, CheckEffort, Message
from attn_audit.evidence.settings import Settings
from attn_audit.judge.faithfulness import DRAWS, FEWEST_DRAWS
from attn_audit.judge.relevance import highest, relevance
from attn_audit.judge.repeats import repeated
from attn_audit.measure.answer import score
from attn_audit.measure.checks import Checker
from attn_audit.measure.deletion import delete, left_of
from attn_audit.measure.explain import Sweeps
from attn_audit.measure.model import Model
from attn_audit.measure.planner import Clock
from attn_audit.measure.prompt import render, tokenise_answer
from attn_audit.measure.sweep import Room, Runs
from attn_audit.measure.units import cut

BOUND = 1e-4 * len(families.ANSWER)  # nats
NOW = datetime(2026, 1, 31, tzinfo=UTC)
GONE: tuple[Runs, ...] = (
    ((5, 6),),
    ((0, 1),),
    ((27, 28),),
    ((2, 4), (11, 14), (25, 26)),
    ((0, 27),),
    (),
    ((1, 2), (20, 28)),
    ((12, 20),),
)


def nothing(*_: int) -> None:
    """No progress is shown."""


# -- deletion ---------------------------------------------------------------------------------------------------------

KINDS = ("llama", "mistral", "gemma2", "gemma3", "gemma4", "gpt2", "opt", "gpt_oss", "llama4", "bloom", "mpt", "falcon")


@pytest.mark.parametrize("family", KINDS)
@pytest.mark.parametrize("room", [Room(1), Room(3, 2)])
def test_deletion_is_a_full_pass_over_what_is_left(family: str, room: Room, tmp_path: Path) -> None:
    with families.one_thread():
        model = families.loaded(tmp_path, family)
        base = families.base(model)
        found = delete(model, base, [left_of(len(families.PROMPT), [runs]) for runs in GONE], room, nothing)
        expected = [reference.deleted(model.network, families.PROMPT, families.ANSWER, runs) for runs in GONE]
    assert found.totals == pytest.approx(expected, abs=BOUND, rel=0)
    assert found.totals[5] == pytest.approx(float(base.log_probabilities.sum()), abs=BOUND)


def test_what_is_left_of_a_prompt() -> None:
    assert left_of(6, [((0, 1), (3, 5)), ((5, 6),)]) == (1, 2)
    assert left_of(3, []) == (0, 1, 2)


def test_attack_48_deletions_that_give_no_number(tmp_path: Path) -> None:
    model = families.loaded(tmp_path, "llama")
    base = families.base(model)
    with torch.no_grad():
        model.network.lm_head.weight.fill_(float("nan"))
    with pytest.raises(CaseError, match="not a number"):
        delete(model, base, [left_of(len(families.PROMPT), [((3, 4),)])], Room(2), nothing)


# -- whole checks on the real model ----------------------------------------------------------------------------------

KEYS = "\n".join(f"The code of the {colour} box is {number}." for colour, number in (
    ("red", 4821), ("green", 1057), ("blue", 7143), ("white", 3390), ("black", 8266), ("yellow", 5918)
))  # fmt: skip
ASKED = "\nWhat is the code of the blue box? Answer with the number only."


def checked(
    model: Model, text: str, answer: str, effort: CheckEffort, turned: bool = False
) -> tuple[Checks, tuple[Unit, ...], tuple[float | None, ...]]:
    """The checks of the map of words, or of that map turned upside down."""
    settings = Settings(checks=effort)
    case = Case(id="case", messages=(Message(role="user", content=text),), max_new_tokens=1)
    prompt = render(model.tokenizer, case.messages, NOW)
    base = score(model, prompt.ids, tokenise_answer(model.tokenizer, answer).ids)
    units = cut(case, prompt, "word")
    sweeps = Sweeps(model, (base,), settings, nothing)
    scores, _ = sweeps.of([unit.runs for unit in units])
    found = relevance(sweeps.recorded[0], scores)
    if turned:
        found = tuple(None if value is None else -value for value in found)
    checks = Checker(sweeps, units, found, repeated(units, case.messages)).run(effort, Clock(lambda: 0.0, 0.0))
    assert checks is not None
    return checks, units, found


SHIP = (
    "The applicant earns 4,200 euros a month and has no debts. The ship left the harbour of Bergen on Monday with "
    "forty passengers. Its captain was born in Lisbon.\nWhere was the captain of the ship born? Answer with one word."
)


@pytest.mark.slow
@pytest.mark.model
def test_a_map_is_supported_and_turned_upside_down_it_is_not(smollm2: Model) -> None:
    right, units, _ = checked(smollm2, SHIP, "Lisbon", "basic")
    wrong, _, _ = checked(smollm2, SHIP, "Lisbon", "basic", turned=True)
    assert right.faithfulness is not None
    assert wrong.faithfulness is not None
    assert (right.faithfulness.verdict, wrong.faithfulness.verdict) == ("supported", "not supported")
    assert FEWEST_DRAWS <= len(right.faithfulness.random_comprehensiveness) <= DRAWS
    assert right.faithfulness.sizes[0] == -(-len(units) // 10)
    assert right.reliance is right.together is right.faithfulness.sufficiency is None


@pytest.mark.model
@pytest.mark.slow
def test_all_checks_of_a_retrieved_code(smollm2: Model) -> None:
    checks, _units, found = checked(smollm2, KEYS + ASKED, "7143", "full")
    assert checks.faithfulness is not None
    assert checks.reliance is not None
    assert checks.together is not None
    assert checks.faithfulness.verdict == "supported"
    assert len(checks.faithfulness.random_comprehensiveness) == DRAWS
    assert checks.faithfulness.sufficiency is not None
    assert checks.faithfulness.random_sufficiency is not None
    random = sorted(one[2] for one in checks.faithfulness.random_sufficiency)
    assert checks.faithfulness.sufficiency[2] < random[len(random) // 2], "half the words, the right ones, tell more"
    assert checks.reliance.verdict == "input"
    assert min(checks.reliance.suppressed, checks.reliance.deleted or 0.0) > 3
    assert checks.together.units == highest(found)
    assert len(checks.together.pairs) == 10


@pytest.mark.model
def test_an_answer_from_the_weights(smollm2: Model) -> None:
    """What this model says to anything: the question is not needed for it."""
    checks, _, _ = checked(smollm2, "Tell me about the weather in the mountains today.", "I", "full")
    assert checks.reliance is not None
    assert checks.reliance.verdict == "weights"


@pytest.mark.model
def test_a_single_piece_cannot_be_told_from_chance(smollm2: Model) -> None:
    checks, units, _ = checked(smollm2, "Hello", "Hello", "full")
    assert len(units) == 1
    assert checks.faithfulness is not None
    assert checks.faithfulness.verdict == "cannot tell"
    assert checks.faithfulness.sizes == ()

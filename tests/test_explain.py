"""What is measured beside and instead of the full sweep: screening, the direct effect, groups, bands of layers, pieces
and parts of the answer; each held to what it stands for, on a tiny model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import families
import reference
import tiny
from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.measured import Unit
from attn_audit.evidence.records import (
    AnswerPattern,
    AnswerText,
    Case,
    Message,
    Prompt,
    Span,
)
from attn_audit.evidence.settings import Settings, resolve
from attn_audit.judge.parts import answer_parts
from attn_audit.judge.relevance import fall, highest, ranking, relevance
from attn_audit.judge.screening import direct_relevance, promising, share_of
from attn_audit.measure.alike import alike
from attn_audit.measure.answer import Base, score
from attn_audit.measure.attention import Operator
from attn_audit.measure.explain import Explained, Sweeps, bands_of, check, explain
from attn_audit.measure.gradient import gradient
from attn_audit.measure.model import Model, load, locate
from attn_audit.measure.planner import Clock, Planned, Planner
from attn_audit.measure.prompt import render, tokenise_answer
from attn_audit.measure.sweep import Room, rounded, sweep
from attn_audit.measure.units import answer_units, cut

BOUND = 1e-4  # nats per answer token, float32
NOW = datetime(2026, 1, 31, tzinfo=UTC)
TEXT = (
    "The income of the applicant is 2000 euros. The rent is 500 euros.\n\n"
    "The applicant has two loans and no debts. Is the loan approved?"
)
ANSWER = "The loan is approved, since the income is high."
CONTRAST = "The loan is denied."


@dataclass(frozen=True)
class Measured:
    """A case measured under some settings, and what it was measured on."""

    model: Model
    prompt: Prompt
    answer: AnswerText
    bases: tuple[Base, ...]
    planned: Planned
    explained: Explained

    @property
    def base(self) -> tuple[float, ...]:
        return rounded(self.bases[0].log_probabilities)

    def expected(self, runs: tuple[tuple[int, int], ...]) -> torch.Tensor:
        return reference.log_probabilities(self.model.network, self.prompt.ids, self.answer.ids, runs)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load(locate(str(tiny.folder(tmp_path_factory.mktemp("models") / "llama"))), seed=0)


def case_of(**fields: Any) -> Case:
    return Case(**{"id": "loan", "messages": (Message(role="user", content=TEXT),), "max_new_tokens": 8, **fields})


class Ticking:
    """A clock on which every look takes ``step`` seconds."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def measured(model: Model, *, clock: Clock | None = None, contrast: bool = False, **chosen: Any) -> Measured:
    settings = Settings(**({"checks": "none"} | chosen))  # they come after what is measured here
    case = case_of()
    prompt = render(model.tokenizer, case.messages, NOW)
    answer = tokenise_answer(model.tokenizer, ANSWER)
    others = [tokenise_answer(model.tokenizer, CONTRAST)] if contrast else []
    bases = tuple(score(model, prompt.ids, one.ids) for one in (answer, *others))
    planner = Planner(model, case, prompt, bases, settings)
    clock = clock or Clock(lambda: 0.0, 0.001)
    planned = planner.choose(clock)
    sweeps = Sweeps(model, bases, settings, lambda *_: None)
    return Measured(model, prompt, answer, bases, planned, explain(sweeps, answer, planned, planner, clock))


def close(row: tuple[float, ...] | None, expected: torch.Tensor) -> bool:
    assert row is not None
    return torch.allclose(torch.tensor(row, dtype=torch.float64), expected, atol=BOUND, rtol=0)


# -- screening --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("contrast", [False, True])
def test_screened_units_are_the_promising_ones_and_measured_exactly(llama: Model, contrast: bool) -> None:
    found = measured(llama, effort="screened", contrast=contrast)
    whole = measured(llama, contrast=contrast)
    screening = found.explained.screening
    assert screening is not None
    assert screening.gradient is not None
    assert found.explained.direct is None
    order = promising(found.planned.units, screening.gradient)
    count = share_of(found.planned.units)
    assert screening.measured == tuple(sorted(order[:count]))
    assert 0 < count < len(order)
    for index, unit in enumerate(found.planned.units):
        if index in screening.measured:
            assert close(found.explained.scores[index], found.expected(unit.runs))
            if contrast and found.explained.contrast and whole.explained.contrast:
                one, two = found.explained.contrast.scores[index], whole.explained.contrast.scores[index]
                assert one == pytest.approx(two, abs=1e-5)
        else:
            assert found.explained.scores[index] is None
            assert not contrast or found.explained.contrast.scores[index] is None  # type: ignore[union-attr]
    assert found.explained.cost.forward_tokens < whole.explained.cost.forward_tokens


def test_units_that_the_case_names_are_measured_whatever_they_promise() -> None:
    span = (Span(message=0, start=0, end=1),)
    units = tuple(
        Unit(
            id=f"u{n}",
            kind="field" if n == 3 else "word",
            name="age" if n == 3 else None,
            spans=span,
            runs=((n, n + 1),),
        )
        for n in range(8)
    )
    order = promising(units, (5.0, 1.0, 4.0, 0.0, 2.0, -9.0, 0.1, 1.0))
    assert order == (3, 5, 0, 2, 4, 1, 7, 6)  # the named one, then by size, a negative one too; ties as in the text


def test_gradients_of_many_pieces_come_from_one_pass(llama: Model) -> None:
    base = families.base(llama)
    pieces = [((0, 2),), ((5, 6), (9, 11)), ((20, 27),)]
    alone = [gradient(llama, [base], [runs], 8.0) for runs in pieces]
    assert gradient(llama, [base], pieces, 8.0) == pytest.approx([one[0] for one in alone if one], abs=1e-5)


@pytest.mark.parametrize("contrast", [False, True])
@pytest.mark.parametrize("family", ["llama", "gemma2", "gemma3", "gpt_oss", "deepseek_v3", "bloom", "mpt", "mixtral"])
def test_the_gradient_is_that_of_plain_full_passes(family: str, contrast: bool, tmp_path: Path) -> None:
    model = families.loaded(tmp_path, family)
    bases = [families.base(model)] + ([score(model, families.PROMPT, (44, 45))] if contrast else [])
    pieces = [((0, 2),), ((5, 6), (9, 11)), ((20, 27),)]
    found = gradient(model, bases, pieces, 8.0)
    answer, *other = (states_of(model, base) for base in bases)
    lengths = (answer - other[0] if other else answer).norm(dim=-1).sum(0)
    assert found == pytest.approx(
        [sum(float(lengths[start:stop].sum()) for start, stop in runs) for runs in pieces], abs=1e-4
    )


def states_of(model: Model, base: Base) -> torch.Tensor:
    """(layers - 1, prompt, width): what autograd says for what the layers hand on, seen by hooks of the test's own."""
    handed_on: list[torch.Tensor] = []

    def keep(module: Any, args: Any, given: Any) -> None:
        handed_on.append(given if isinstance(given, torch.Tensor) else given[0])

    *earlier, _ = reference.blocks(model.network)
    hooks = [block.register_forward_hook(keep) for block in earlier]
    embedding = model.network.get_input_embeddings()
    hooks.append(embedding.register_forward_hook(lambda module, args, given: given.requires_grad_()))
    with reference.eager(model.network):
        logits = model.network(input_ids=base.inputs, use_cache=False).logits[0, len(base.prompt) - 1 :]
    for hook in hooks:
        hook.remove()
    total = logits.log_softmax(-1).gather(-1, base.answer[:, None]).sum()
    found = torch.autograd.grad(total, handed_on)
    return torch.stack([one[0, : len(base.prompt)] for one in found])


def test_no_gradient_where_it_does_not_fit_the_memory(llama: Model) -> None:
    assert gradient(llama, [families.base(llama)], [((0, 2),)], 1e-4) is None


def test_without_a_gradient_the_direct_effect_chooses(llama: Model) -> None:
    found = measured(llama, effort="screened", max_memory=1e-4)
    screening, direct = found.explained.screening, found.explained.direct
    assert screening is not None
    assert direct is not None
    assert screening.gradient is None
    order = promising(found.planned.units, direct_relevance(found.base, direct, None))
    assert screening.measured == tuple(sorted(order[: share_of(found.planned.units)]))


# -- a limit of seconds -----------------------------------------------------------------------------------------------


def test_auto_takes_the_finest_units_that_fit(llama: Model) -> None:
    kinds = {
        seconds: measured(llama, units="auto", max_seconds=seconds, clock=Clock(lambda: 0.0, 0.001)).planned
        for seconds in (1e6, 5.0, 2.0, 0.7, 0.001)
    }
    assert (kinds[1e6].kind, kinds[1e6].effort) == ("token", "full")
    finest = ["token", "word", "sentence", "paragraph"]
    places = [finest.index(kinds[seconds].kind) for seconds in sorted(kinds, reverse=True)]
    assert places == sorted(places)
    assert places[-1] == 3
    assert all(plan.seconds <= 0.8 * seconds for seconds, plan in kinds.items() if seconds > 0.001)


def test_no_time_still_measures_something(llama: Model) -> None:
    found = measured(llama, units="word", max_seconds=0.001, clock=Clock(Ticking(1.0), 0.001))
    assert found.explained.screening is not None
    assert len(found.explained.screening.measured) == 1


def test_a_round_that_was_slow_makes_the_next_one_smaller(llama: Model) -> None:
    """The pace is measured again: on a clock that leaps, few units are measured; on one that stands, all of them."""
    slow = measured(llama, units="word", max_seconds=3.0, clock=Clock(Ticking(0.4), 0.002), effort="screened")
    still = measured(llama, units="word", max_seconds=3.0, clock=Clock(lambda: 0.0, 0.00001), effort="screened")
    assert slow.explained.screening is not None
    assert still.explained.screening is not None
    assert len(slow.explained.screening.measured) < len(slow.planned.units)
    assert still.explained.screening.measured == tuple(range(len(still.planned.units)))


@pytest.mark.parametrize("chosen", [{}, {"effect": "direct"}, {"effect": "both"}, {"max_memory": 0.02}])
def test_the_plan_is_what_the_sweep_takes(llama: Model, chosen: dict[str, Any]) -> None:
    found = measured(llama, contrast=True, **chosen)
    assert found.planned.work.tokens == found.explained.cost.forward_tokens
    assert found.planned.work.passes == found.explained.cost.passes


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({"units": "auto"}, "--max-seconds"),
        ({"effect": "direct", "effort": "screened"}, "leave out"),
        ({"bands": "2", "layers": "0:1"}, "bands"),
        ({"effort": "some"}, "choose one of full, screened"),
    ],
)
def test_settings_that_make_no_sense_are_refused(flags: dict[str, str], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        resolve(flags, {}, {})


# -- beside the map ---------------------------------------------------------------------------------------------------


def test_both_effects_are_measured(llama: Model) -> None:
    found = measured(llama, effect="both")
    pieces = [unit.runs for unit in found.planned.units]
    direct = sweep(llama, found.bases[0], pieces, Room(1), lambda *_: None, reach="direct").scores
    assert found.explained.direct is not None
    for one, two in zip(found.explained.direct.scores, direct, strict=True):
        assert one == pytest.approx(two, abs=1e-5)
    assert all(close(row, found.expected(runs)) for row, runs in zip(found.explained.scores, pieces, strict=True))


def test_units_that_say_alike_are_suppressed_together(llama: Model) -> None:
    found = measured(llama, kappa=1.0, contrast=True)
    units = found.planned.units
    text = [TEXT[unit.spans[0].start : unit.spans[0].end] for unit in units]
    assert found.explained.groups
    for group in found.explained.groups:
        assert len({text[index] for index in group.units}) == 1  # equal tokens, equal embeddings
        runs = tuple(run for index in group.units for run in units[index].runs)
        assert close(group.scores, found.expected(runs))
        assert group.contrast is not None
    grouped = [index for group in found.explained.groups for index in group.units]
    assert len(grouped) == len(set(grouped))


def test_a_lower_kappa_joins_more(llama: Model) -> None:
    case = case_of()
    prompt = render(llama.tokenizer, case.messages, NOW)
    units = cut(case, prompt, "word")
    sizes = [sum(map(len, alike(llama, prompt.ids, units, kappa))) for kappa in (1.0, 0.6, 0.2)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_the_profile_is_the_band_operator_on_the_highest(llama: Model) -> None:
    found = measured(llama, bands=2)
    profile = found.explained.profile
    assert profile is not None
    assert profile.bands == ((0, 1), (1, 3))
    assert profile.units == highest(relevance(found.base, found.explained.scores))
    for band, table in zip(profile.bands, profile.scores, strict=True):
        pieces = [found.planned.units[index].runs for index in profile.units]
        expected = sweep(llama, found.bases[0], pieces, Room(1), lambda *_: None, Operator(layers=band)).scores
        for one, two in zip(table, expected, strict=True):
            assert one == pytest.approx(two, abs=1e-5)


def test_more_bands_than_layers_are_refused_before_anything_is_computed(llama: Model) -> None:
    assert bands_of(7, 3) == ((0, 2), (2, 4), (4, 7))
    with pytest.raises(UsageError, match="3 layers"):
        check(llama, Settings(bands=4))


@pytest.mark.parametrize("kind", ["token", "word", "sentence"])
def test_earlier_pieces_of_the_answer_drive_later_ones(llama: Model, kind: Any) -> None:
    found = measured(llama, sources="prompt+answer", units=kind)
    sources = found.explained.answer_sources
    assert sources is not None
    first = len(found.prompt.ids)
    for unit, row in zip(sources.units, sources.scores, strict=True):
        start, stop = unit.tokens
        assert close(row, found.expected(((first + start, first + stop),)))
        assert row[: stop + 1] == pytest.approx(found.base[: stop + 1], abs=1e-5)  # what came before cannot change
        assert stop + 1 < len(row)
        assert unit.start < unit.end
    assert sources.units or kind == "sentence"


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.sampled_from(["token", "word", "sentence"]))
def test_answer_units_share_no_token(widths: list[int], kind: Any) -> None:
    text = "One two, three. Four five six! Seven eight."
    offsets, at = [], 0
    for width in widths:
        offsets.append((at, min(at + 3 * width, len(text))))
        at = offsets[-1][1]
    units = answer_units(AnswerText(text=text, ids=tuple(range(len(widths))), offsets=tuple(offsets)), kind)
    taken = [token for unit in units for token in range(*unit.tokens)]
    assert len(taken) == len(set(taken))
    assert all(unit.tokens[1] + 1 < len(widths) for unit in units)


def test_parts_of_the_answer_are_sums_over_their_tokens(llama: Model) -> None:
    found = measured(llama)
    wanted = (
        AnswerPattern(name="verdict", pattern="approved|denied"),
        AnswerPattern(name="start", characters=(0, 8)),
        AnswerPattern(name="absent", pattern="zebra"),
        AnswerPattern(name="beyond", characters=(500, 510)),
    )
    verdict, start, absent, beyond = answer_parts(wanted, found.answer, found.base, found.explained.scores)
    assert verdict.tokens is not None
    first, stop = verdict.tokens
    assert "approved" in "".join(ANSWER[a:b] for a, b in found.answer.offsets[first:stop])
    for value, row in zip(verdict.relevance, found.explained.scores, strict=True):
        assert row is not None
        assert value == fall(found.base[first:stop], row[first:stop])
    assert start.tokens is not None
    assert start.tokens[0] == 0
    assert (absent.tokens, absent.relevance) == (None, ())
    assert beyond.tokens is None


@given(st.lists(st.one_of(st.none(), st.floats(-9, 9)), max_size=20))
@hypothesis_settings(max_examples=50)
def test_ranking_leaves_out_what_was_not_measured(values: list[float | None]) -> None:
    order = ranking(values)
    assert sorted(order) == [index for index, value in enumerate(values) if value is not None]
    assert [values[index] for index in order] == sorted((v for v in values if v is not None), reverse=True)

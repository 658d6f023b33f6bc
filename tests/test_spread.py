"""A case whose large sweeps are measured in parts says what it says in one piece."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import audits
from attn_audit.audit import Terms, audit_case
from attn_audit.batch.work import Assignment, Audited, CaseJob, Refused, Split, Worker, measure
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Case, Message
from attn_audit.evidence.settings import Settings
from attn_audit.executors import Call
from attn_audit.measure import asking
from attn_audit.measure.model import Model, load, locate
from attn_audit.measure.spread import Found, Journal, Known, Part, Suspended, Wanted, joined

QUESTION = (
    "The income is high. The postcode is 4051, and the income is high. The applicant has no debts. Is it approved?"
)
PARAPHRASE = "Is the loan approved? The income is high, the postcode is 4051 and there are no debts."
CASES = {
    "plain": Case(id="plain", messages=(Message(role="user", content=QUESTION),), max_new_tokens=4),
    "rich": Case(
        id="rich",
        messages=(Message(role="user", content=QUESTION),),
        max_new_tokens=4,
        answer="approved",
        contrast="denied",
        paraphrases=((Message(role="user", content=PARAPHRASE),),),
    ),
}
SETTINGS = {
    "default": Settings(format="html"),
    "everything": Settings(format="html", checks="full", effect="both", sources="prompt+answer", bands=3, kappa=0.9),
    "screened": Settings(format="html", checks="full", effort="screened"),
}


@pytest.fixture(scope="module")
def llama(tiny_model: Path) -> Model:
    return load(locate(str(tiny_model)), seed=0)


def whole(model: Model, case: Case, terms: Terms) -> Evidence:
    return audit_case(model, case, terms, "0" * 64, audits.host())[1]


def rounds(model: Model, case: Case, terms: Terms, most: int, workers: int) -> tuple[Evidence, list[int]]:
    """The case as a batch has it measured, and in how many parts each large sweep was."""
    known, parts = Known(), []

    def way(part: Part | None) -> Any:
        journal = Journal(known, part, most, workers)
        try:
            return audit_case(model, case, terms, "0" * 64, audits.host(), spread=journal)[1]
        except Suspended as suspended:
            return suspended.outcome

    while isinstance(wanted := way(None), Wanted):
        known = wanted.known
        found = [way(Part(len(known.sweeps), index, wanted.parts)) for index in range(wanted.parts)]
        assert all(isinstance(one, Found) and one.rows for one in found)
        known = replace(known, sweeps=(*known.sweeps, joined(found)))
        parts.append(wanted.parts)
    return wanted, parts


@pytest.mark.parametrize(
    ("case", "settings", "most", "workers"),
    [
        ("plain", "default", 1, 2),
        ("plain", "screened", 200, 3),
        ("rich", "everything", 200, 3),
        pytest.param("plain", "everything", 1, 2, marks=pytest.mark.slow),
        pytest.param("rich", "default", 200, 2, marks=pytest.mark.slow),
        pytest.param("rich", "screened", 1, 3, marks=pytest.mark.slow),
    ],
)
def test_in_parts_as_in_one_piece(llama: Model, case: str, settings: str, most: int, workers: int) -> None:
    terms = Terms.unsigned(llama, SETTINGS[settings])
    expected = whole(llama, CASES[case], terms)
    found, parts = rounds(llama, CASES[case], terms, most, workers)
    assert found.model_dump(exclude={"run"}) == expected.model_dump(exclude={"run"})
    assert len(parts) >= 2, "the sweep, and the deletions of the checks"
    assert found.run.parts == max(parts) == workers
    assert expected.run.parts == 1


def test_a_small_sweep_is_not_cut(llama: Model) -> None:
    terms = Terms.unsigned(llama, SETTINGS["default"])
    found, parts = rounds(llama, CASES["plain"], terms, 10**9, 2)
    assert (parts, found.run.parts) == ([], 1)


def test_the_answer_is_not_generated_again(llama: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine of another kind it could come out differently, and the parts would not fit together."""
    generated = []
    once = asking.generate
    monkeypatch.setattr(asking, "generate", lambda *asked: generated.append(1) or once(*asked))
    rounds(llama, CASES["plain"], Terms.unsigned(llama, SETTINGS["default"]), 1, 2)
    assert len(generated) == 1


# -- what a worker makes of a job -------------------------------------------------------------------------------------


def given(model: Model, since: datetime, split: Split | None = None) -> tuple[Assignment, Worker]:
    terms = Terms.unsigned(model, SETTINGS["default"])
    return Assignment(terms, "ray", since, split), Worker(model, locate(str(model.network.name_or_path)), audits.host())


def test_no_time_lies_before_the_plan(llama: Model) -> None:
    """Whatever the clock of the worker's machine says."""
    later = datetime(2031, 1, 1, tzinfo=UTC)
    assignment, worker = given(llama, later)
    result = measure(assignment, worker, CaseJob(1, CASES["plain"], "0" * 64), Call(2, lambda *_: None))
    assert isinstance(result, Audited)
    run = result.evidence.run
    assert run.started == run.finished == "2031-01-01T00:00:00Z"
    assert (run.executor, run.attempts, run.parts) == ("ray", 2, 1)


def test_what_a_worker_returns(llama: Model) -> None:
    assignment, worker = given(llama, audits.START, Split(1, 2))
    job = CaseJob(1, CASES["plain"], "0" * 64)
    wanted = measure(assignment, worker, job, Call(1, lambda *_: None))
    assert isinstance(wanted, Wanted)
    assert wanted.parts == 2
    part = measure(assignment, worker, replace(job, known=wanted.known, part=Part(0, 1, 2)), Call(1, lambda *_: None))
    assert isinstance(part, Found)
    long = CASES["plain"].model_copy(update={"messages": (Message(role="user", content="word " * 600),)})
    refused = measure(assignment, worker, CaseJob(1, long, "0" * 64), Call(1, lambda *_: None))
    assert isinstance(refused, Refused)
    assert "context holds 512" in refused.reason

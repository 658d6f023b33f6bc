"""Each warning is raised by the record that it speaks of, and by no ordinary one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import make_records as make
from attn_audit.evidence.checked import Checks, Joint, Reliance, Variant
from attn_audit.evidence.findings import Finding
from attn_audit.evidence.measured import AnswerPart, AnswerScore, Evidence, SelfExplanation
from attn_audit.evidence.records import Content, Message
from attn_audit.judge.warnings import WARNINGS, warnings

Change = Callable[[Content, Evidence], tuple[dict[str, Any], dict[str, Any]]]  # of the content, of the evidence
CALM = ("A loan of ten thousand.", "The town is Riverton.")


def calm() -> tuple[Content, Evidence]:
    """Nothing to warn about: the answer neither certain nor strange, several pieces share in it."""
    said = make.content((Message(role="user", content=" ".join(CALM)),), "Refer it")
    return said, make.evidence(said, answer=AnswerScore(source="generated", stop="end of turn", base=(-0.4, -0.3)))


def values(found: Evidence, *first: float | None) -> dict[str, Any]:
    return {"relevance": (*first, *(0.5,) * (len(found.units) - len(first)))}


def answer(**changed: Any) -> Change:
    return lambda _, found: ({}, {"answer": found.answer.model_copy(update=changed)})


def prompt(**changed: Any) -> Change:
    return lambda said, _: ({"prompt": said.prompt.model_copy(update=changed)}, {})


def relevance(*first: float | None) -> Change:
    return lambda _, found: ({}, values(found, *first))


def checks(found: Evidence, **changed: Any) -> dict[str, Any]:
    return {"checks": make.checks(found.relevance).model_copy(update={"together": None, "repeated": ()} | changed)}


def last_piece(said: Content, found: Evidence) -> tuple[dict[str, Any], dict[str, Any]]:
    end = len(said.prompt.ids)
    return {}, {"units": (*found.units[:-1], found.units[-1].model_copy(update={"runs": ((end - 1, end),)}))}


def twice(_: Content, found: Evidence) -> tuple[dict[str, Any], dict[str, Any]]:
    said = make.content((Message(role="user", content=f"{CALM[0]} {CALM[1]} The town IS Riverton."),))
    units = make.sentence_units(said)
    return {"case": said.case, "prompt": said.prompt}, {"units": units, "relevance": (0.1, 0.2, 0.3)}


def turned(_: Content, found: Evidence) -> tuple[dict[str, Any], dict[str, Any]]:
    other = tuple(-value for value in found.relevance if value is not None)
    return {}, checks(found, stability=(Variant(operator="soft", factor=0.1, relevance=other),))


def confabulated(_: Content, found: Evidence) -> tuple[dict[str, Any], dict[str, Any]]:
    return {}, {"self_explanation": SelfExplanation(units=(), scores=(), agreement=0.1)}


CAUSES: dict[str, Change] = {
    "not-supported": lambda _, found: ({}, {"checks": make.checks(found.relevance, "not supported").model_copy(
        update={"together": None, "repeated": ()})}),
    "from-weights": lambda _, found: ({}, checks(
        found, reliance=Reliance(suppressed=0.1, deleted=0.2, verdict="weights"))),
    "no-support": lambda _, found: ({}, {"relevance": (-0.5,) * len(found.units)}),
    "confabulated": confabulated,
    "stand-in": lambda _, found: ({}, values(found, 0.1, 0.1) | checks(
        found, repeated=(Joint(units=(0, 1), together=3.0),))),
    "repeated-text": twice,
    "unstable": turned,
    "answer-cut": answer(stop="length limit"),
    "near-certain": answer(base=(0.0, -0.0001)),
    "near-impossible": answer(base=(-9.0, -8.0)),
    "one-piece": relevance(100.0),
    "below-noise": relevance(1e-6),
    "last-piece": last_piece,
    "special-token": prompt(special=(2,)),
    "dated-prompt": prompt(date="2026-01-31T00:00:00Z"),
    "screened": relevance(None),
    "policy-unmatched": lambda *_: (
        {}, {"findings": (Finding(policy="p", severity="warn", outcome="nothing matched"),)}),
    "part-missing": lambda *_: ({}, {"parts": (AnswerPart(name="verdict", tokens=None, relevance=()),)}),
}  # fmt: skip


def codes(said: Content, found: Evidence) -> list[str]:
    return [warning.code for warning in warnings(said, found)]


def test_a_calm_case_raises_none() -> None:
    said, found = calm()
    found = found.model_copy(update=values(found))
    assert codes(said, found) == []
    assert codes(said, found.model_copy(update=checks(found))) == []


@pytest.mark.parametrize("code", CAUSES)
def test_each_cause_raises_its_warning_alone(code: str) -> None:
    said, found = calm()
    found = found.model_copy(update=values(found, *(0.9 - 0.01 * n for n in range(len(found.units)))))
    of_content, of_evidence = CAUSES[code](said, found)
    assert codes(said.model_copy(update=of_content), found.model_copy(update=of_evidence)) == [code]


def test_every_warning_has_a_cause_here_and_says_what_to_do() -> None:
    assert [warning.code for warning in WARNINGS] == list(CAUSES)
    assert all(warning.sentence.endswith(".") and warning.advice.endswith(".") for warning in WARNINGS)


def test_what_was_hidden_together_is_not_warned_about_as_repeated() -> None:
    said, found = calm()
    of_content, of_evidence = twice(said, found)
    said, found = said.model_copy(update=of_content), found.model_copy(update=of_evidence)
    assert codes(said, found) == ["repeated-text"]
    weak = Checks(repeated=(Joint(units=(1, 2), together=0.5),))
    assert codes(said, found.model_copy(update={"checks": weak})) == []

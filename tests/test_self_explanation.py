"""The stated reason against what drove the decision: the cosine, its words, and real answers of a real model."""

from __future__ import annotations

from math import sqrt
from pathlib import Path

import pytest

import audits
from attn_audit.evidence.measured import AnswerPart
from attn_audit.judge.self_explanation import agreement, parts_to_compare, reading, sentence_maps
from attn_audit.reports import html
from attn_audit.reports.self_explanation import self_explanation_view


@pytest.mark.parametrize(
    ("decision", "rationale", "cosine"),
    [
        ((1.0, 0.0), (5.0, 0.0), 1.0),
        ((1.0, 0.0), (0.0, 5.0), 0.0),
        ((1.0, 0.0), (-2.0, 0.0), -1.0),
        ((1.0, 1.0), (1.0, 0.0), 1 / sqrt(2)),
        ((0.05, 0.05), (9.0, 0.0), None),  # shorter than 0.1 nats: it hangs on nothing
        ((), (), None),
        ((3.0,), (2.0,), None),  # two maps of one sentence have nothing to differ in
    ],
)
def test_the_agreement_is_the_cosine(
    decision: tuple[float, ...], rationale: tuple[float, ...], cosine: float | None
) -> None:
    found = agreement(decision, rationale)
    assert found == (None if cosine is None else pytest.approx(cosine, abs=1e-6))


def test_the_words_follow_from_the_cosine() -> None:
    assert [reading(value) for value in (None, 1.0, 0.7, 0.69, 0.3, 0.29, -1.0)] == [
        *("cannot tell", "same", "same", "partly", "partly", "other", "other")
    ]


def test_a_map_of_a_part_counts_its_tokens_alone() -> None:
    base, scores = (-1.0, -2.0, -3.0), ((-1.5, -2.0, -3.0), (-1.0, -4.0, -4.0))
    assert sentence_maps(base, scores, ((0, 1), (1, 3))) == ((0.5, 0.0), (0.0, 3.0))


def test_only_an_answer_with_both_parts_is_compared() -> None:
    decision = AnswerPart(name="decision", tokens=(0, 1), relevance=())
    rationale = AnswerPart(name="rationale", tokens=(2, 4), relevance=())
    before = rationale.model_copy(update={"tokens": (0, 1)})
    lost = rationale.model_copy(update={"tokens": None})
    assert parts_to_compare((rationale, decision)) == ((0, 1), (2, 4))
    assert parts_to_compare((decision,)) is parts_to_compare((decision, lost)) is None
    assert parts_to_compare((decision, before)) is None, "a decision after its reason is read off it"


@pytest.mark.slow
@pytest.mark.model
def test_the_gap_is_small_for_a_restated_decision_and_large_for_another_reason(
    repository: Path, tmp_path: Path
) -> None:
    """sample_cases/reasons.yaml; the first answer is the model's own."""
    cases = (repository / "sample_cases/reasons.yaml").read_text(encoding="utf-8")
    private = audits.key(tmp_path)
    audit = audits.Audit(audits.make(tmp_path, Path("smollm2"), private, cases=cases, checks="none").out, private)
    assert audits.report(audit).exit_code == 0
    said, expected = {}, {"friendly-waiter": "other", "captain-restated": "same", "captain-invented": "other"}
    gaps = {}
    for case_id in expected:
        content, evidence = audits.content_of(audit.case(case_id)), audits.evidence_of(audit.case(case_id))
        assert evidence.self_explanation is not None
        assert evidence.self_explanation.agreement is not None
        said[case_id] = reading(evidence.self_explanation.agreement)
        gaps[case_id] = 1 - evidence.self_explanation.agreement
        assert ("confabulated" in {warning.code for warning in evidence.warnings}) == (said[case_id] == "other")
        view = self_explanation_view(content, evidence)
        assert view is not None
        assert view.in_words in html.report(content, evidence).decode()
        assert b"written by the model; not evidence" in html.report(content, evidence)
    assert said == expected
    assert gaps["captain-restated"] < 0.1
    assert gaps["captain-invented"] > 0.9
    own = audits.content_of(audit.case("friendly-waiter"))
    assert own.answer.text == "The review is positive, as the waiter is friendly and apologetic."

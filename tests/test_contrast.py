"""Why this answer and not that one: the contrast is measured like the answer, and its relevance taken off."""

from __future__ import annotations

import json
from math import fsum
from pathlib import Path
from typing import Any

import pytest

import audits
import reference
from attn_audit.cases import read_cases
from attn_audit.measure.model import load, locate

CASES = """
cases:
  - id: loan
    prompt: The loan of the applicant is 500 euros. Is it approved?
    answer: approved
    contrast: not approved
"""
BOUND = 2e-4  # nats; two answers


@pytest.fixture(scope="module")
def contrasted(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> audits.Audit:
    folder = tmp_path_factory.mktemp("contrast")
    private = audits.key(folder)
    return audits.Audit(audits.make(folder, tiny_model, private, cases=CASES).out, private)


def test_relevance_is_that_of_the_answer_less_that_of_the_contrast(contrasted: audits.Audit, tiny_model: Path) -> None:
    content = audits.content_of(contrasted.case("loan"))
    evidence = audits.evidence_of(contrasted.case("loan"))
    network = load(locate(str(tiny_model)), seed=0).network
    assert content.contrast is not None
    for unit, found in zip(evidence.units, evidence.relevance, strict=True):
        falls = [
            reference.untouched(network, content.prompt.ids, said.ids).sum()
            - reference.log_probabilities(network, content.prompt.ids, said.ids, unit.runs).sum()
            for said in (content.answer, content.contrast)
        ]
        assert found == pytest.approx((falls[0] - falls[1]).item(), abs=BOUND)
    assert evidence.findings == ()


def test_it_verifies_and_its_report_names_the_other_answer(contrasted: audits.Audit) -> None:
    assert audits.report(contrasted).exit_code == 0
    page = (contrasted.case("loan") / "report.html").read_text(encoding="utf-8")
    assert "why this answer, and not this one?" in page
    assert "not approved" in page


@pytest.mark.parametrize(
    ("content", "evidence", "sentence"),
    [
        ({"contrast": None}, {}, "but not in both"),
        ({}, {"contrast": None}, "but not in both"),
    ],
)
def test_attack_15_contrast_left_out(
    contrasted: audits.Audit, tmp_path: Path, content: dict[str, Any], evidence: dict[str, Any], sentence: str
) -> None:
    audit = contrasted.copied_to(tmp_path / "audit")
    old = audits.content_of(audit.case("loan"))
    html = (audit.case("loan") / "report.html").read_bytes()
    changes = {**content, "answer": old.answer}
    audits.recase(audit.case("loan"), audit.private, content=changes, evidence=evidence, files={"report.html": html})
    audits.reseal(audit.out, audit.private)
    found = audits.report(audit)
    assert found.exit_code == 20
    assert sentence in audits.failures(found)["loan", "numbers"]


def test_attack_15_contrast_of_another_answer(contrasted: audits.Audit, tmp_path: Path) -> None:
    audit = contrasted.copied_to(tmp_path / "audit")
    said = audits.content_of(audit.case("loan")).contrast
    assert said is not None
    other = said.model_copy(update={"text": said.text.replace("not", "now")})
    audits.recase(audit.case("loan"), audit.private, content={"contrast": other})
    audits.reseal(audit.out, audit.private)
    assert audits.report(audit).exit_code == 20


def test_attack_15_relevance_without_the_contrast(contrasted: audits.Audit, tmp_path: Path) -> None:
    audit = contrasted.copied_to(tmp_path / "audit")
    evidence = audits.evidence_of(audit.case("loan"))
    base = fsum(evidence.answer.base)
    nicer = tuple(round(base - fsum(row), 6) for row in evidence.scores)
    audits.recase(audit.case("loan"), audit.private, evidence={"relevance": nicer})
    audits.reseal(audit.out, audit.private)
    assert audits.report(audit).exit_code == 20


@pytest.mark.model
def test_the_real_model_denies_for_the_missed_payments(real_audit: audits.Audit, repository: Path) -> None:
    case = next(c for c in read_cases(repository / "sample_cases/lending.yaml").cases if c.id == "driver-car")
    content = audits.content_of(real_audit.case("driver-car"))
    evidence = audits.evidence_of(real_audit.case("driver-car"))
    assert (content.answer.text, case.contrast) == ("The application was denied.", "The application was approved.")
    best = max(range(len(evidence.units)), key=lambda index: evidence.relevance[index])
    (span,) = evidence.units[best].spans
    assert content.case.messages[span.message].content[span.start : span.end] == "missed"


@pytest.mark.parametrize("answer", ["approved", None])
def test_a_contrast_that_is_the_answer_fails_the_case(answer: str | None, tiny_model: Path, tmp_path: Path) -> None:
    """Supplied or the model's own: the map would be all zeros."""
    prompt = "The loan of the applicant is 500 euros. Is it approved?"
    own = audits.make(tmp_path / "own", tiny_model, None, cases=f"cases: [{{id: loan, prompt: {prompt}}}]")
    said = answer or audits.content_of(own.out / "cases" / "loan").answer.text
    case = {"id": "loan", "prompt": prompt, "contrast": f" {said} "} | ({"answer": answer} if answer else {})
    made = audits.make(tmp_path / "same", tiny_model, None, cases=json.dumps({"cases": [case]}))
    (ended,) = made.seal.cases
    assert (ended.status, made.seal.failed) == ("failed", 1)
    assert "the contrast is the answer itself" in str(ended.reason)

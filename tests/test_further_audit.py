"""Whole audits with more than the default map: they verify, and what was left out or exchanged in them is noticed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import audits
from attn_audit.evidence.checked import Checks
from attn_audit.evidence.measured import AnswerSources, Evidence
from attn_audit.evidence.statements import summary
from attn_audit.judge.faithfulness import p_value, verdict
from attn_audit.judge.relevance import relevance

CASES = """
settings: {max_new_tokens: 6, checks: full, effect: both, bands: "3", kappa: "1.0", sources: prompt+answer}
cases:
  - id: loan
    template: "The income of {name} is high and the rent is low. The debts are high. Is the loan approved?"
    fields: {name: Maria}
    answer: The loan is approved, since the income is high.
    contrast: The loan is denied.
    answer_parts:
      - {name: verdict, pattern: "approved|denied"}
      - {name: missing, text: zebra}
    decision: {pattern: "approved|denied"}
    rationale: the income is high
    paraphrases: ["{name} earns much and owes much. Is the loan approved?", "Is the loan of {name} approved?"]
"""
SCREENED = CASES.replace(
    'checks: full, effect: both, bands: "3", kappa: "1.0", sources: prompt+answer', "effort: screened"
)
REFUSED = 20
Change = Callable[[Evidence], dict[str, Any]]


@pytest.fixture(scope="module")
def full(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> audits.Audit:
    return made(tmp_path_factory.mktemp("further"), tiny_model, CASES)


@pytest.fixture(scope="module")
def screened(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> audits.Audit:
    return made(tmp_path_factory.mktemp("screened"), tiny_model, SCREENED)


def made(folder: Path, model: Path, cases: str) -> audits.Audit:
    private = audits.key(folder)
    return audits.Audit(audits.make(folder, model, private, cases=cases).out, private)


def test_everything_at_once_verifies(full: audits.Audit) -> None:
    evidence = audits.evidence_of(full.case("loan"))
    assert audits.report(full).exit_code == 0
    assert evidence.direct is not None
    assert evidence.groups
    assert evidence.profile is not None
    assert evidence.answer_sources is not None
    assert [part.tokens is None for part in evidence.parts] == [False, True, False, False]
    assert evidence.self_explanation is not None
    assert [unit.kind for unit in evidence.self_explanation.units] == ["sentence"] * 3
    assert evidence.checks is not None
    assert [one.name for one in evidence.checks.baselines] == ["gradient x input", "attention"]
    assert all(one.values is not None for one in evidence.checks.baselines)
    assert [(one.operator, one.factor) for one in evidence.checks.stability] == [("soft", 0.1), ("soft", 0.01)]
    assert evidence.checks.repeated
    assert [len(one.highest) for one in evidence.checks.paraphrases] == [10, 6]
    assert "part-missing" in {warning.code for warning in evidence.warnings}


def test_a_screened_audit_verifies_and_says_what_was_not_measured(screened: audits.Audit) -> None:
    evidence = audits.evidence_of(screened.case("loan"))
    assert audits.report(screened).exit_code == 0
    assert evidence.screening is not None
    named = next(index for index, unit in enumerate(evidence.units) if unit.name == "name")
    assert named in evidence.screening.measured
    assert len(evidence.screening.measured) < len(evidence.units)
    assert (evidence.method.effort, evidence.method.default) == ("screened", False)
    assert "screened" in {warning.code for warning in evidence.warnings}
    page = (screened.case("loan") / "report.html").read_text(encoding="utf-8")
    assert f"{len(evidence.screening.measured)} of {len(evidence.units)} pieces" in page
    assert "None" not in page


def refused(audit: audits.Audit, folder: Path, change: Change) -> str:
    """Forge with the trusted key, as a dishonest auditor could; what verify says."""
    copy = audit.copied_to(folder / "audit")
    evidence = audits.evidence_of(copy.case("loan"))
    changes = change(evidence)
    if "scores" in changes:
        changes["relevance"] = relevance(
            evidence.answer.base, changes["scores"], changes.get("contrast", evidence.contrast)
        )
    html = (copy.case("loan") / "report.html").read_bytes()
    audits.recase(copy.case("loan"), copy.private, evidence=changes, files={"report.html": html})
    audits.reseal(copy.out, copy.private)
    found = audits.report(copy)
    assert found.exit_code == REFUSED
    return audits.failures(found)["loan", "numbers"]


def swap_measured(evidence: Evidence) -> dict[str, Any]:
    """The most promising unit is left out and another one put in its place."""
    assert evidence.screening is not None
    assert evidence.contrast is not None
    measured = evidence.screening.measured
    out = next(index for index in measured if evidence.units[index].name is None)
    into = next(index for index in range(len(evidence.units)) if index not in measured)
    listed = tuple(sorted({*measured, into} - {out}))

    def moved(rows: tuple[Any, ...]) -> tuple[Any, ...]:
        new = list(rows)
        new[out], new[into] = None, rows[out]
        return tuple(new)

    return {
        "screening": evidence.screening.model_copy(update={"measured": listed}),
        "scores": moved(evidence.scores),
        "contrast": evidence.contrast.model_copy(update={"scores": moved(evidence.contrast.scores)}),
    }


def one_less(evidence: Evidence) -> dict[str, Any]:
    """The last promising unit is not measured after all."""
    assert evidence.screening is not None
    assert evidence.contrast is not None
    *kept, out = evidence.screening.measured
    gone = tuple(None if index == out else row for index, row in enumerate(evidence.scores))
    other = tuple(None if index == out else row for index, row in enumerate(evidence.contrast.scores))
    return {
        "screening": evidence.screening.model_copy(update={"measured": tuple(kept)}),
        "scores": gone,
        "contrast": evidence.contrast.model_copy(update={"scores": other}),
    }


def hidden_screening(evidence: Evidence) -> dict[str, Any]:
    return {"method": evidence.method.model_copy(update={"effort": "full", "default": True}), "screening": None}


def other_gradient(evidence: Evidence) -> dict[str, Any]:
    assert evidence.screening is not None
    assert evidence.screening.gradient is not None
    return {"screening": evidence.screening.model_copy(update={"gradient": evidence.screening.gradient[:-1]})}


def turned_gradient(evidence: Evidence) -> dict[str, Any]:
    """Turned about, so that other units are the promising ones."""
    assert evidence.screening is not None
    assert evidence.screening.gradient is not None
    largest = max(evidence.screening.gradient)
    turned = tuple(largest - value for value in evidence.screening.gradient)
    return {"screening": evidence.screening.model_copy(update={"gradient": turned})}


@pytest.mark.parametrize("change", [swap_measured, one_less, hidden_screening, other_gradient, turned_gradient])
def test_attack_15_another_choice_of_what_was_measured(screened: audits.Audit, tmp_path: Path, change: Change) -> None:
    assert refused(screened, tmp_path, change)


@pytest.mark.parametrize("field", ["direct", "profile", "answer_sources", "parts"])
def test_attack_15_a_measurement_left_out(full: audits.Audit, tmp_path: Path, field: str) -> None:
    assert refused(full, tmp_path, lambda _: {field: () if field == "parts" else None})


def other_profile(evidence: Evidence) -> dict[str, Any]:
    assert evidence.profile is not None
    return {"profile": evidence.profile.model_copy(update={"units": evidence.profile.units[::-1]})}


def nicer_part(evidence: Evidence) -> dict[str, Any]:
    part = evidence.parts[0]
    return {"parts": (part.model_copy(update={"relevance": part.relevance[::-1]}), *evidence.parts[1:])}


def group_of_one(evidence: Evidence) -> dict[str, Any]:
    return {"groups": (evidence.groups[0].model_copy(update={"units": evidence.groups[0].units[:1]}),)}


def group_of_nobody(evidence: Evidence) -> dict[str, Any]:
    return {"groups": (evidence.groups[0].model_copy(update={"units": (0, 10_000)}),)}


def short_row(evidence: Evidence) -> dict[str, Any]:
    assert evidence.direct is not None
    rows = (evidence.direct.scores[0][:-1], *evidence.direct.scores[1:])
    return {"direct": evidence.direct.model_copy(update={"scores": rows})}


def no_log_probability(evidence: Evidence) -> dict[str, Any]:
    assert evidence.answer_sources is not None
    rows = tuple(tuple(0.5 for _ in row) for row in evidence.answer_sources.scores)
    assert rows
    return {"answer_sources": AnswerSources(units=evidence.answer_sources.units, scores=rows)}


@pytest.mark.parametrize(
    "change", [other_profile, nicer_part, group_of_one, group_of_nobody, short_row, no_log_probability]
)
def test_attack_15_a_measurement_exchanged(full: audits.Audit, tmp_path: Path, change: Change) -> None:
    assert refused(full, tmp_path, change)


# -- checks -----------------------------------------------------------------------------------------------------------


def with_checks(evidence: Evidence, **changed: Any) -> dict[str, Any]:
    assert evidence.checks is not None
    return {"checks": evidence.checks.model_copy(update=changed)}


def with_faithfulness(evidence: Evidence, **changed: Any) -> dict[str, Any]:
    assert evidence.checks is not None
    assert evidence.checks.faithfulness is not None
    return with_checks(evidence, faithfulness=evidence.checks.faithfulness.model_copy(update=changed))


def other_verdict(evidence: Evidence) -> dict[str, Any]:
    assert evidence.checks is not None
    assert evidence.checks.faithfulness is not None
    said = "not supported" if evidence.checks.faithfulness.verdict == "supported" else "supported"
    return with_faithfulness(evidence, verdict=said)


def lower_p(evidence: Evidence) -> dict[str, Any]:
    return with_faithfulness(evidence, p=0.005)


def a_draw_less(evidence: Evidence) -> dict[str, Any]:
    assert evidence.checks is not None
    found = evidence.checks.faithfulness
    assert found is not None
    rest = found.random_comprehensiveness[:-1]
    p = p_value(found.comprehensiveness, rest)
    return with_faithfulness(evidence, random_comprehensiveness=rest, p=p, verdict=verdict(p, len(rest)))


def other_sizes(evidence: Evidence) -> dict[str, Any]:
    return with_faithfulness(evidence, sizes=(1, 1, 1))


def no_sufficiency(evidence: Evidence) -> dict[str, Any]:
    return with_faithfulness(evidence, sufficiency=None, random_sufficiency=None)


def no_reliance(evidence: Evidence) -> dict[str, Any]:
    return with_checks(evidence, reliance=None)


def other_reliance(evidence: Evidence) -> dict[str, Any]:
    assert evidence.checks is not None
    assert evidence.checks.reliance is not None
    said = "input" if evidence.checks.reliance.verdict == "weights" else "weights"
    return with_checks(evidence, reliance=evidence.checks.reliance.model_copy(update={"verdict": said}))


def other_pairs(evidence: Evidence) -> dict[str, Any]:
    assert evidence.checks is not None
    assert evidence.checks.together is not None
    rest = evidence.checks.together.pairs[1:]
    return with_checks(evidence, together=evidence.checks.together.model_copy(update={"pairs": rest}))


def no_repeats(evidence: Evidence) -> dict[str, Any]:
    return with_checks(evidence, repeated=())


def fewer_baselines(evidence: Evidence) -> dict[str, Any]:
    assert evidence.checks is not None
    return with_checks(evidence, baselines=evidence.checks.baselines[1:])


def short_baseline(evidence: Evidence) -> dict[str, Any]:
    assert evidence.checks is not None
    first, *rest = evidence.checks.baselines
    return with_checks(evidence, baselines=(first.model_copy(update={"comprehensiveness": (1.0,)}), *rest))


def fewer_variants(evidence: Evidence) -> dict[str, Any]:
    assert evidence.checks is not None
    return with_checks(evidence, stability=evidence.checks.stability[:1])


def other_units_in_a_variant(evidence: Evidence) -> dict[str, Any]:
    assert evidence.checks is not None
    first, *rest = evidence.checks.stability
    assert first.relevance is not None
    gone = first.model_copy(update={"relevance": (None, *first.relevance[1:])})
    return with_checks(evidence, stability=(gone, *rest))


def fewer_paraphrases(evidence: Evidence) -> dict[str, Any]:
    assert evidence.checks is not None
    return with_checks(evidence, paraphrases=evidence.checks.paraphrases[1:])


def other_order_in_a_paraphrase(evidence: Evidence) -> dict[str, Any]:
    assert evidence.checks is not None
    first, *rest = evidence.checks.paraphrases
    return with_checks(evidence, paraphrases=(first.model_copy(update={"highest": first.highest[::-1]}), *rest))


def words_out_of_a_paraphrase(evidence: Evidence) -> dict[str, Any]:
    """The first one's pieces are of the second, longer one; two of its spans lie behind its end."""
    assert evidence.checks is not None
    first, second = evidence.checks.paraphrases
    return with_checks(evidence, paraphrases=(first, second.model_copy(update={"highest": first.highest})))


def explained(evidence: Evidence, **changed: Any) -> dict[str, Any]:
    assert evidence.self_explanation is not None
    return {"self_explanation": evidence.self_explanation.model_copy(update=changed)}


def nicer_agreement(evidence: Evidence) -> dict[str, Any]:
    return explained(evidence, agreement=0.99)


def a_sentence_less(evidence: Evidence) -> dict[str, Any]:
    assert evidence.self_explanation is not None
    found = evidence.self_explanation
    return explained(evidence, units=found.units[1:], scores=found.scores[1:])


def words_for_sentences(evidence: Evidence) -> dict[str, Any]:
    assert evidence.self_explanation is not None
    words = tuple(unit.model_copy(update={"kind": "word"}) for unit in evidence.self_explanation.units)
    return explained(evidence, units=words)


def no_self_explanation(evidence: Evidence) -> dict[str, Any]:
    return {"self_explanation": None}


def sentence_elsewhere(evidence: Evidence) -> dict[str, Any]:
    assert evidence.self_explanation is not None
    one, other, *rest = evidence.self_explanation.units
    swapped = (one.model_copy(update={"runs": other.runs}), other.model_copy(update={"runs": one.runs}), *rest)
    return explained(evidence, units=swapped)


def not_run(evidence: Evidence) -> dict[str, Any]:
    return {"checks": Checks(not_run="seconds")}


def no_checks(evidence: Evidence) -> dict[str, Any]:
    return {"checks": None}


@pytest.mark.parametrize(
    "change",
    [
        *(other_verdict, lower_p, a_draw_less, other_sizes, no_sufficiency, no_reliance, other_reliance, other_pairs),
        *(not_run, no_checks, no_repeats, fewer_baselines, short_baseline, fewer_variants, other_units_in_a_variant),
        *(fewer_paraphrases, other_order_in_a_paraphrase, words_out_of_a_paraphrase),
        *(nicer_agreement, a_sentence_less, words_for_sentences, no_self_explanation, sentence_elsewhere),
    ],
)
def test_attack_15_a_check_that_does_not_follow(full: audits.Audit, tmp_path: Path, change: Change) -> None:
    assert refused(full, tmp_path, change)


def test_the_summary_holds_the_verdicts(full: audits.Audit, screened: audits.Audit) -> None:
    for audit, effort in ((full, "full"), (screened, "basic")):
        evidence = audits.evidence_of(audit.case("loan"))
        said = summary(audits.content_of(audit.case("loan")), evidence)
        assert evidence.checks is not None
        assert evidence.checks.faithfulness is not None
        assert said.faithfulness == evidence.checks.faithfulness.verdict
        assert (said.reliance == "not checked") == (effort == "basic")
        assert evidence.checks.passes > 0
        assert evidence.run.seconds_checks > 0


def test_checks_can_be_left_out(tiny_model: Path, tmp_path: Path) -> None:
    audit = made(tmp_path, tiny_model, CASES.replace("checks: full", "checks: none"))
    assert audits.evidence_of(audit.case("loan")).checks is None
    assert audits.report(audit).exit_code == 0


def test_checks_without_time_are_said_not_to_have_been_run(tiny_model: Path, tmp_path: Path) -> None:
    """The clock of these tests gives a quarter of a second each time it is looked at."""
    limited = CASES.replace('effect: both, bands: "3", kappa: "1.0", sources: prompt+answer', 'max_seconds: "6"')
    audit = made(tmp_path, tiny_model, limited)
    assert audits.evidence_of(audit.case("loan")).checks == Checks(not_run="seconds")
    assert audits.report(audit).exit_code == 0


def test_a_limit_of_seconds_is_recorded(tiny_model: Path, tmp_path: Path) -> None:
    """The clock of these tests gives a quarter of a second each time it is looked at."""
    limited = CASES.replace(
        'effect: both, bands: "3", kappa: "1.0", sources: prompt+answer', 'units: auto, max_seconds: "6"'
    )
    audit = made(tmp_path, tiny_model, limited)
    evidence = audits.evidence_of(audit.case("loan"))
    assert audits.report(audit).exit_code == 0
    assert evidence.run.seconds_planned is not None
    assert evidence.method.units != "auto"

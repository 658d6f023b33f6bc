"""Policies: what they name, what they limit, and what becomes of them, held to a reference written from the words of
docs/policies.md."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import audits
import make_records as make
from attn_audit.cases import read_cases
from attn_audit.cases.patterns import matches, term
from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.findings import Finding, Rule
from attn_audit.evidence.measured import Evidence, Method
from attn_audit.evidence.records import Limits, NamedSpans, Policy, PolicyMethod, Span
from attn_audit.evidence.trust import read_allowed_signers
from attn_audit.judge.conditions import fails
from attn_audit.judge.overall import overall
from attn_audit.judge.policies import findings
from attn_audit.judge.warnings import warnings
from attn_audit.redact import redact
from attn_audit.verify import verify
from audits import Audit
from command_line import call

ONE = 'cases:\n  - {id: a1, prompt: "x"}\n  - {id: a2, prompt: "y"}\n'
LATER = audits.host("later", audits.START.replace(hour=20))


# -- what a case file may say ----------------------------------------------------------------------------------------


def policies(folder: Path, text: str) -> tuple[Policy, ...]:
    (folder / "cases.yaml").write_text(textwrap.dedent(text), encoding="utf-8")
    return read_cases(folder / "cases.yaml").cases[0].policies


@pytest.mark.parametrize(
    ("policy", "sentence"),
    [
        ("{name: p}", 'the policy "p" asks for nothing'),
        ("{name: p, terms: [x]}", 'the policy "p" names pieces of the input and sets no limits for them'),
        ("{name: p, limits: {max_share: 0.1}}", "has limits for no pieces; give terms, pattern, unit, field or role"),
        ("{name: p, terms: [' '], limits: {max_share: 0.1}}", 'a term of the policy "p" has no text'),
        ("{name: p, terms: [x], limits: {min_share: 0.3, max_share: 0.2}}", "min_share is above its max_share"),
        ("{name: p, terms: [x], limits: {must_be_in_top: 3, not_in_top: 3}}", "must_be_in_top lies within not_in_top"),
        ("{name: p, answer_must_match: a, tolerance: 0.1}", 'the policy "p" has a tolerance without pair_with'),
        ("{name: p, pair_with: a3}", 'paired with "a3", which is not a case here'),
        ("{name: p, terms: [x], limits: {max_share: 2}}", '"max_share" in policies 1 > limits must'),
        ("{name: p, severity: error, answer_must_match: a}", '"severity" in policies 1 must'),
        ("{name: p, terms: [x], limits: {max_share: 1}}", "allows any share by its min_share of 0, or max_share of 1"),
        ("{name: p, terms: [x], limits: {min_share: 0}}", "allows any share by its min_share of 0, or max_share of 1"),
        ("{name: p, answer_must_match: ''}", '"answer_must_match" in policies 1 must'),
        ("{name: p, answer_must_match: '('}", "is not a valid regular expression"),
        ("{name: p, answer_must_match: a, method: {operator: soft}}", "operator soft needs a factor"),
        ("{name: p, answer_must_match: a, method: {factor: 0.1}}", "operator knockout takes no factor"),
        ("{name: p, answer_must_match: a, method: {units: auto}}", '"units" in policies 1 > method must'),
        ("{name: p, answer_must_match: a, method: {checks: none}}", 'unknown field "checks" in policies 1 > method'),
    ],
)
def test_refused_with_line_and_reason(tmp_path: Path, policy: str, sentence: str) -> None:
    with pytest.raises(UsageError) as refused:
        policies(tmp_path, f"policies:\n  - {policy}\n" + ONE)
    assert str(refused.value).startswith("cases.yaml, line 2: ")
    assert sentence in str(refused.value)


def test_a_case_is_not_paired_with_itself(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match='line 2: the policy "p" pairs "a1" with itself'):
        policies(tmp_path, 'cases:\n  - {id: a1, prompt: "x", policies: [{name: p, pair_with: a1}]}\n')


def test_the_method_is_that_of_the_file_unless_the_policy_says_another(tmp_path: Path) -> None:
    rule = "terms: [x], limits: {max_share: 0.1}"
    text = f"""\
        settings: {{units: sentence, operator: soft, factor: 0.1, effect: both, layers: "0:2"}}
        policies:
          - {{name: general, {rule}}}
          - {{name: own, {rule}, method: {{units: word, operator: knockout}}}}
        cases: [{{id: a1, prompt: x}}]
        """
    general, own = policies(tmp_path, text)
    assert general.method == PolicyMethod(units="sentence", operator="soft", factor=0.1, layers="0:2")
    assert own.method == PolicyMethod(units="word", layers="0:2")
    with pytest.raises(UsageError, match="line 1: operator in settings must be one of its values"):
        policies(tmp_path, f"settings: {{operator: no}}\npolicies: [{{name: p, {rule}}}]\n" + ONE)


# -- which pieces a term names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "text", "found"),
    [
        ("age", "Age, AGE; aged, teenage, age-old", ["Age", "AGE", "age"]),
        ("STRASSE", "Die Straße, die STRASSE, Straßen", ["Straße", "STRASSE"]),
        ("post code", "the post\n  code of the post office", ["post\n  code"]),
        ("cafe\u0301", "Caf\u00e9 and cafe\u0301 and cafe", ["Caf\u00e9", "cafe\u0301"]),
        ("cafe", "cafe\u0301 cafe", ["cafe"]),
        ("C++", "C++ and C+++", ["C++", "C++"]),
        ("a.b", "a.b axb", ["a.b"]),
        ("John", "John's and Johnson", ["John"]),
        ("女性", "申请人是女性申请人", ["女性"]),
        ("τέλος", "ΤΈΛΟΣ, τέλοσ", ["ΤΈΛΟΣ", "τέλοσ"]),
        ("id_4", "id_4 id_42 my_id_4", ["id_4", "id_4"]),
        ("AIDS", "申请人是AIDS患者, AIDSX", ["AIDS"]),
        ("4200", "收入4200元 42001", ["4200"]),
        ("woman", "_woman_ gender_woman womanly", ["woman", "woman"]),
        ("ế", "\u00ea\u0301 e\u0302\u0301 \u1ebf \u00e9", ["\u00ea\u0301", "e\u0302\u0301", "\u1ebf"]),
        ("한국", "한국 \u1112\u1161\u11ab\u1100\u116e\u11a8", ["한국", "\u1112\u1161\u11ab\u1100\u116e\u11a8"]),
    ],
)
def test_a_term_is_a_whole_word_or_phrase(wanted: str, text: str, found: list[str]) -> None:
    assert [text[start:end] for start, end in matches(term(wanted), text)] == found


@given(st.text(min_size=1, max_size=40).filter(str.strip))
def test_any_term_is_found_in_itself(text: str) -> None:
    assert next(matches(term(text), text), None) is not None


# -- what becomes of a policy ----------------------------------------------------------------------------------------

TEXT = "Her income is high and her postcode is 4051. Is the loan approved?"


def case(relevance: Sequence[float] | None = None, *asked: Policy, **changes: Any) -> tuple[Any, Evidence]:
    """A case with these policies and values. ``relevance``: of the units in order, the others 0."""
    at = TEXT.index("4051")
    said = make.content(
        [make.Message(role="system", content="You decide."), make.Message(role="user", content=TEXT)],
        "It is approved.",
        case={
            "policies": asked,
            "named": (NamedSpans(kind="field", name="postcode", spans=(Span(message=1, start=at, end=at + 4),)),),
        },
    )
    measured = make.evidence(said, **changes)
    if relevance is not None:
        values = tuple([*relevance, *[0.0] * len(measured.units)][: len(measured.units)])
        measured = measured.model_copy(update={"relevance": values})
    return said, measured


def only(relevance: Sequence[float] | None, policy: Policy, **changes: Any) -> Finding:
    (found,) = findings(*case(relevance, policy, **changes))
    return found


def index_of(word: str) -> int:
    said, measured = case()
    texts = [
        said.case.messages[unit.spans[0].message].content[unit.spans[0].start : unit.spans[0].end]
        for unit in measured.units
    ]
    return texts.index(word)


def values(**of: float) -> list[float]:
    found = [0.0] * 20
    for word, value in of.items():
        found[index_of(word)] = value
    return found


def limited(**limits: float) -> Policy:
    return Policy(name="p", terms=("income",), limits=Limits.model_validate(limits))


@pytest.mark.parametrize(
    ("limits", "outcome", "found"),
    [
        ({"max_share": 0.25}, "held", 0.25),
        ({"max_share": 0.249}, "broken", 0.25),
        ({"min_share": 0.25}, "held", 0.25),
        ({"min_share": 0.26}, "broken", 0.25),
        ({"not_in_top": 1}, "held", 2),
        ({"not_in_top": 2}, "broken", 2),
        ({"must_be_in_top": 2}, "held", 2),
        ({"must_be_in_top": 1}, "broken", 2),
        ({"max_effect": 1}, "held", 1),
        ({"max_effect": 0.9}, "broken", 1),
    ],
)
def test_each_limit_at_its_edge(limits: dict[str, float], outcome: str, found: float) -> None:
    finding = only(values(income=1.0, loan=3.0, high=-5.0), limited(**limits))
    assert (finding.outcome, finding.rules[0].found) == (outcome, found)
    assert finding.units == (index_of("income"),)


def test_an_effect_counts_in_either_direction() -> None:
    finding = only(values(income=-2.0, loan=3.0), limited(max_effect=1, max_share=0.1, not_in_top=5))
    assert [(rule.rule, rule.found, rule.held) for rule in finding.rules] == [
        ("max_share", 0.0, True),
        ("not_in_top", None, True),
        ("max_effect", 2.0, False),
    ]


def test_what_is_below_the_noise_counts_as_zero() -> None:
    _, measured = case()
    loud = measured.sweep.model_copy(update={"noise": 0.5})
    quiet = only(values(income=0.4, loan=3.0), limited(max_share=0, max_effect=0, must_be_in_top=9), sweep=loud)
    assert [(rule.found, rule.held) for rule in quiet.rules] == [(0.0, True), (None, False), (0.0, True)]


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (Policy(name="p", terms=("INCOME", "high"), limits=Limits(max_share=1)), ["income", "high"]),
        (Policy(name="p", pattern="[hH]er", limits=Limits(max_share=1)), ["Her", "her"]),
        (Policy(name="p", field="postcode", limits=Limits(max_share=1)), ["4051"]),
        (Policy(name="p", field="postcode", terms=("her",), limits=Limits(max_share=1)), ["Her", "her", "4051"]),
        (Policy(name="p", role="system", limits=Limits(max_share=1)), ["You", "decide"]),
        (Policy(name="p", role="system", terms=("you", "her"), limits=Limits(max_share=1)), ["You"]),
    ],
)
def test_which_pieces_it_names(policy: Policy, words: list[str]) -> None:
    assert set(words) <= {
        said.case.messages[span.message].content[span.start : span.end]
        for said, measured in (case(None, policy),)
        for index in findings(said, measured)[0].units
        for span in measured.units[index].spans
    }
    assert len(only(None, policy).units) - len(words) in {0, 1}, "of a role, the full stop is a piece, too"


def test_nothing_named_is_no_pass_but_a_warning() -> None:
    said, measured = case(None, Policy(name="p", terms=("zebra",), limits=Limits(max_share=0.1)))
    found = findings(said, measured)
    assert (found[0].outcome, found[0].rules, fails(found[0])) == ("nothing matched", (), False)
    codes = [warning.code for warning in warnings(said, measured.model_copy(update={"findings": found}))]
    assert "policy-unmatched" in codes


@pytest.mark.parametrize(
    ("method", "differs"),
    [
        ({"units": "sentence"}, ("units",)),
        ({"operator": "soft", "factor": 0.1}, ("operator", "factor")),
        ({"effect": "direct"}, ("effect",)),
        ({"layers": (0, 2)}, ("layers",)),
        ({"effort": "screened"}, ("effort",)),
        ({"effect": "both"}, ()),
    ],
)
def test_under_another_method_it_is_not_comparable(method: dict[str, Any], differs: tuple[str, ...]) -> None:
    measured = Method.model_validate({"units": "word", "default": False, **method})
    finding = only(None, limited(max_share=1), method=measured)
    assert finding.differs == differs
    assert finding.outcome == ("not comparable" if differs else "held")
    assert fails(finding) == bool(differs), "never a pass"


def test_an_answer_condition_is_judged_under_any_method() -> None:
    policy = Policy(name="p", answer_must_match="denied", terms=("income",), limits=Limits(max_share=1))
    method = Method(units="sentence", default=False)
    assert only(None, policy, method=method).outcome == "broken"
    held = policy.model_copy(update={"answer_must_match": "approved"})
    assert only(None, held, method=method).outcome == "not comparable"


def test_a_condition_is_on_what_the_model_said_itself() -> None:
    said, measured = case(None, Policy(name="p", answer_must_not_match="approved"))
    assert findings(said, measured)[0].outcome == "broken"
    supplied = said.model_copy(update={"own_answer": "It is denied."})
    assert findings(supplied, measured)[0].outcome == "held"


_LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "max_share": st.floats(0, 1),
        "min_share": st.floats(0, 1),
        "not_in_top": st.integers(1, 6),
        "must_be_in_top": st.integers(1, 6),
        "max_effect": st.floats(0, 5),
    },
).filter(bool)
_VALUE = st.floats(-4, 4).map(lambda value: round(value, 6))


def reference(relevance: Sequence[float], chosen: Sequence[int], noise: float, limits: dict[str, float]) -> list[bool]:
    """Word for word: below the noise counts as zero, a share is of what is positive, a place among what is positive."""
    heard = [0.0 if abs(value) <= noise else value for value in relevance]
    positive = sum(value for value in heard if value > 0)
    share = round(sum(heard[one] / positive for one in chosen if heard[one] > 0), 6) if positive else 0.0
    places = [1 + sum(o > heard[c] or (o == heard[c] and n < c) for n, o in enumerate(heard)) for c in chosen]
    best = min((place for place, c in zip(places, chosen, strict=True) if heard[c] > 0), default=10**6)
    effect = max(abs(heard[c]) for c in chosen)
    said = {
        "max_share": lambda limit: share <= limit,
        "min_share": lambda limit: share >= limit,
        "not_in_top": lambda limit: best > limit,
        "must_be_in_top": lambda limit: best <= limit,
        "max_effect": lambda limit: effect <= limit,
    }
    return [holds(limits[name]) for name, holds in said.items() if name in limits]


@given(st.lists(_VALUE, min_size=16, max_size=16), st.floats(0, 1), _LIMITS)
def test_the_judgement_equals_the_slow_reference(
    relevance: list[float], noise: float, limits: dict[str, float]
) -> None:
    policy = Policy(name="p", terms=("income", "postcode", "loan"), limits=Limits.model_validate(limits))
    _, measured = case()
    finding = only(relevance, policy, sweep=measured.sweep.model_copy(update={"noise": noise}))
    padded = [*relevance, *[0.0] * len(measured.units)]
    expected = reference(padded, finding.units, noise, limits)
    assert [rule.held for rule in finding.rules] == expected
    assert finding.outcome == ("held" if all(expected) else "broken")


# -- over the whole batch --------------------------------------------------------------------------------------------


def test_shares_over_all_cases() -> None:
    policy = Policy(name="money", terms=("income", "zebra"), limits=Limits(max_share=0.5))
    cases = []
    for name, income, postcode in (("one", 1.0, 3.0), ("two", 0.0, 4.0), ("three", 2.0, 2.0)):
        found = values(income=income)
        found[index_of("4051")] = postcode
        said, measured = case(found, policy)
        measured = measured.model_copy(update={"findings": findings(said, measured)})
        cases.append((said.model_copy(update={"case": said.case.model_copy(update={"id": name})}), measured))
    rows = {(row.kind, row.name): row for row in overall(cases)}
    assert set(rows) == {("field", "postcode"), ("policy", "money"), ("term", "income")}
    field = rows["field", "postcode"]
    assert (field.cases, field.mean, field.median, field.maximum) == (3, 0.75, 0.75, 1.0)
    assert field.highest == ("two", "one", "three")
    assert rows["term", "income"].highest == ("three", "one"), "not those where it held nothing"
    assert rows["term", "income"].policy == "money"


# -- in evidence -----------------------------------------------------------------------------------------------------

CASES = """\
settings: {max_new_tokens: 4}
policies:
  - {name: no income, terms: [INCOME], limits: {max_share: 0.001, not_in_top: 1}}
  - {name: income may, terms: [income], limits: {max_share: 0.999}}
  - {name: no zebra, terms: [zebra], limits: {max_share: 0.05}, severity: warn}
  - {name: speaks, answer_must_match: "^"}
  - {name: by sentence, role: user, limits: {min_share: 0.2}, method: {units: sentence}}
  - {name: twin, pair_with: first}
cases:
  - {id: first, prompt: "The income of the applicant is high. Is the loan approved?"}
  - {id: second, prompt: "The income of the applicant is low. Is the loan approved?"}
  - {id: same, prompt: "The income of the applicant is high. Is the loan approved?",
     policies: [{name: alike, pair_with: first, tolerance: 0}]}
"""


@pytest.fixture(scope="module")
def judged(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Audit:
    folder = tmp_path_factory.mktemp("judged")
    key = audits.key(folder)
    return Audit(audits.make(folder, tiny_model, key, cases=CASES).out, key)


@pytest.fixture
def audit(judged: Audit, tmp_path: Path) -> Audit:
    return judged.copied_to(tmp_path / "audit")


def test_findings_stand_in_the_evidence_and_verify(judged: Audit) -> None:
    found = {one.policy: one for one in audits.evidence_of(judged.case("first")).findings}
    assert list(found) == ["no income", "income may", "no zebra", "speaks", "by sentence"]
    assert [one.outcome for one in found.values()][1:] == ["held", "nothing matched", "held", "not comparable"]
    pairs = {(pair.case_id, pair.policy): pair for pair in audits.seal_of(judged.out).pairs}
    assert set(pairs) == {("second", "twin"), ("same", "twin"), ("same", "alike")}
    assert pairs["same", "alike"].outcome == "held"
    assert [(rule.rule, rule.found) for rule in pairs["same", "alike"].rules] == [
        ("same_answer", None),
        ("similar_map", 0.0),
    ]
    report = audits.report(judged)
    assert (audits.failures(report), report.exit_code) == ({}, 0)
    said = [check.detail for check in report.checks if check.name == "policy"]
    assert "'no zebra': nothing matched (severity warn)" in said


Change = Callable[[tuple[Finding, ...]], tuple[Finding, ...]]


def _first(found: tuple[Finding, ...], **changes: Any) -> tuple[Finding, ...]:
    return (found[0].model_copy(update=changes), *found[1:])


def _rule(findings: tuple[Finding, ...], **changes: Any) -> tuple[Finding, ...]:
    rules = findings[1].rules
    return (
        findings[0],
        findings[1].model_copy(update={"rules": (rules[0].model_copy(update=changes),)}),
        *findings[2:],
    )


FORGED: dict[str, Change] = {
    "left out": lambda found: found[1:],
    "none": lambda _: (),
    "another outcome": lambda found: _first(found, outcome="nothing matched", rules=()),
    "another severity": lambda found: _first(found, severity="warn"),
    "no rules": lambda found: _first(found, rules=(), outcome="held"),
    "other pieces": lambda found: (found[0], found[1].model_copy(update={"units": (0,)}), *found[2:]),
    "a smaller share": lambda found: _rule(found, found=0.0),
    "a looser limit": lambda found: _rule(found, limit=0.9),
    "held": lambda found: _rule(found, held=False),
    "comparable": lambda found: (*found[:-1], found[-1].model_copy(update={"differs": (), "outcome": "held"})),
    "no such piece": lambda found: (found[0], found[1].model_copy(update={"units": (10_000,)}), *found[2:]),
}


def forge(audit: Audit, folder: Path, **changes: Any) -> None:
    """The case with other evidence, correctly signed; its page stays, since what is forged need not be drawable."""
    page = (folder / "report.html").read_bytes()
    audits.recase(folder, audit.private, evidence=changes, files={"report.html": page})
    audits.reseal(audit.out, audit.private)


@pytest.mark.parametrize("name", FORGED)
def test_attack_15_a_finding_that_does_not_follow(audit: Audit, name: str) -> None:
    folder = audit.case("second")
    forged = FORGED[name](audits.evidence_of(folder).findings)
    forge(audit, folder, findings=forged)
    assert ("second", "numbers") in audits.failures(audits.report(audit))


@pytest.mark.parametrize("name", ["a smaller share", "held", "no such piece", "comparable"])
def test_attack_15_a_finding_of_a_withheld_case_is_computed_again_as_far_as_it_goes(audit: Audit, name: str) -> None:
    folder = audit.case("second")
    forged = FORGED[name](audits.evidence_of(folder).findings)
    if name == "comparable":  # what a policy asks went with the content, but not that a finding must have judged
        forged = tuple(one.model_copy(update={"units": ()}) if not one.rules else one for one in forged)
    forge(audit, folder, findings=forged)
    redact_unchecked(audit, "second")
    assert ("second", "numbers") in audits.failures(audits.report(audit))


def redact_unchecked(audit: Audit, case_id: str) -> None:
    """What ``redact`` would refuse, since the numbers do not hold: the files go by hand."""
    from attn_audit.evidence import bundle  # noqa: PLC0415
    from attn_audit.evidence.envelope import Statement  # noqa: PLC0415
    from attn_audit.evidence.statements import Redaction, redaction_subjects  # noqa: PLC0415

    folder = audit.case(case_id)
    attestation = (folder / "attestation.sigstore.json").read_bytes()
    said = Redaction(
        tool=audits.seal_of(audit.out).tool,
        created="2026-11-22T20:00:00Z",
        signer=audit.private.signer,
        case_id=case_id,
        withheld=(bundle.CONTENT, "report.html"),
        reason=None,
    )
    statement = Statement(redaction_subjects(case_id, attestation), said)
    audits.put(folder / "redaction.sigstore.json", statement, audit.private)
    for name in said.withheld:
        (folder / name).unlink()


def test_attack_15_a_pair_that_does_not_follow(audit: Audit) -> None:
    pairs = audits.seal_of(audit.out).pairs
    for forged in (
        (),
        pairs[:-1],
        pairs[::-1],
        (pairs[0].model_copy(update={"severity": "warn"}), *pairs[1:]),
        (*pairs[:-1], pairs[-1].model_copy(update={"outcome": "broken"})),
    ):
        audits.reseal(audit.out, audit.private, pairs=forged)
        assert ("batch", "pairs") in audits.failures(audits.report(audit))


def test_attack_15_a_pair_of_forged_numbers_is_not_judged(audit: Audit) -> None:
    """What the numbers say is refused before anything is computed from them."""
    folder = audit.case("same")
    units = audits.evidence_of(folder).units
    for forged in ((units[0].model_copy(update={"spans": ()}), *units[1:]), units[:-1]):
        forge(audit, folder, units=forged)
        report = audits.report(audit)
        assert ("same", "numbers") in audits.failures(report)
        assert report.exit_code == 20


@pytest.mark.parametrize("withheld", ["first", "same"])
@pytest.mark.parametrize(
    "forged",
    [
        {"outcome": "broken"},
        {"units": (0,)},
        {"rules": ()},
        {"rules": (Rule(rule="same_answer", held=False),)},
        {
            "rules": (
                Rule(rule="same_answer", held=True),
                Rule(rule="similar_map", limit=0.0, found=0.1, held=True),
            )
        },
    ],
)
def test_attack_15_a_pair_of_a_withheld_case_must_not_contradict_itself(
    audit: Audit, withheld: str, forged: dict[str, Any]
) -> None:
    redact(audit.out, withheld, None, audit.private, LATER)
    *others, alike = audits.seal_of(audit.out).pairs
    audits.reseal(audit.out, audit.private, pairs=(*others, alike.model_copy(update=forged)))
    assert ("batch", "pairs") in audits.failures(audits.report(audit))


def test_pairs_with_other_contrasts_are_not_comparable(tiny_model: Path, tmp_path: Path) -> None:
    text = """\
        settings: {max_new_tokens: 2}
        cases:
          - {id: one, prompt: Is it?, answer: Yes., contrast: No.}
          - id: other
            prompt: Is it?
            answer: Yes.
            contrast: Never.
            policies: [{name: alike, pair_with: one, tolerance: 0}]
        """
    (pair,) = audits.make(tmp_path, tiny_model, None, cases=textwrap.dedent(text)).seal.pairs
    assert (pair.outcome, pair.differs) == ("not comparable", ("contrast",))


@pytest.mark.parametrize("case_id", ["first", "second"])
def test_a_pair_is_left_as_it_is_where_a_content_is_withheld(audit: Audit, case_id: str) -> None:
    redact(audit.out, case_id, None, audit.private, LATER)
    report = audits.report(audit)
    assert (audits.failures(report), report.exit_code) == ({}, 3)


def test_a_pair_with_a_case_that_failed_is_not_comparable(tiny_model: Path, tmp_path: Path) -> None:
    long = CASES.replace("The income of the applicant is high", "The income is high. " * 200, 1)
    made = audits.make(tmp_path, tiny_model, None, cases=long)
    assert made.seal.failed == 1
    assert {pair.outcome for pair in made.seal.pairs} == {"not comparable"}
    assert all(fails(pair) for pair in made.seal.pairs)


def test_a_pattern_that_takes_too_long_fails_the_case(tiny_model: Path, tmp_path: Path) -> None:
    text = """\
        settings: {max_new_tokens: 2}
        policies: [{name: p, pattern: "(a|aa)+$", limits: {max_share: 0.5}}]
        cases: [{id: slow, prompt: "PROMPT b"}, {id: quick, prompt: Is it?}]
        """.replace("PROMPT", "a" * 200)
    made = audits.make(tmp_path, tiny_model, None, cases=textwrap.dedent(text))
    assert [case.status for case in made.seal.cases] == ["failed", "ok"]
    assert "the pattern of a policy takes too long" in str(made.seal.cases[0].reason)


# -- the real model --------------------------------------------------------------------------------------------------


@pytest.mark.model
def test_a_postcode_that_changes_the_answer_of_the_real_model_is_named(real_audit: Audit) -> None:
    """The answer differs although nothing but the postcode does, and JUnit and SARIF carry the finding."""
    (pair,) = audits.seal_of(real_audit.out).pairs
    assert (pair.policy, pair.outcome, pair.case_id) == ("the postcode changes nothing", "broken", "driver-8010")
    folder = real_audit.out.parent
    for name in ("junit.xml", "results.sarif", "summary.md"):
        assert pair.policy in (folder / name).read_text(encoding="utf-8"), name
    for case_id in ("driver-car", "driver-8010"):
        found = {one.policy: one.outcome for one in audits.evidence_of(real_audit.case(case_id)).findings}
        assert found["one of two answers"] == "held"


@pytest.mark.slow
@pytest.mark.model
def test_the_sample_of_lending_says_what_its_comments_say(repository: Path, tmp_path: Path) -> None:
    key = audits.key(tmp_path)
    sample = repository / "sample_cases/lending.yaml"
    options = ("--model", "smollm2", "--key", key, "--out", tmp_path / "audit", "--units", "sentence")
    ended = call("run", sample, *options, "--format", "html", "--checks", "none", "--fail-on", "policy")
    assert ended.code == 10, ended.err
    found = verify(tmp_path / "audit", read_allowed_signers(Path(f"{key}.allowed_signers")))
    assert audits.failures(found) == {}
    assert {name: case.content.answer.text.split()[-1].rstrip(".") for name, case in found.cases.items()} == {
        "nurse-car": "approved",
        "driver-car": "denied",
        "cook-roof": "denied",
        "driver-8010": "approved",
    }

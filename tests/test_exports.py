"""The files for other programs, read by other programs: junitparser, the JSON Schema of SARIF, csv and markdown-it."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from junitparser import Error, Failure, JUnitXml, Skipped
from markdown_it import MarkdownIt
from markdown_it.token import Token

import audits
import make_records as make
from attn_audit.evidence import bundle
from attn_audit.evidence.digest import salted_view
from attn_audit.evidence.errors import EvidenceError
from attn_audit.evidence.findings import Finding, PairFinding, Rule
from attn_audit.evidence.measured import Evidence, Warn
from attn_audit.evidence.records import Content, Limits, Policy
from attn_audit.evidence.statements import Plan, Redaction, Seal
from attn_audit.evidence.store import Sealed
from attn_audit.judge.conditions import Met
from attn_audit.judge.overall import overall
from attn_audit.judge.policies import findings
from attn_audit.judge.relevance import positive_share, ranking, told_apart
from attn_audit.judge.warnings import WARNINGS
from attn_audit.redact import redact
from attn_audit.reports import jsonlines, junit, sarif, summary, table
from attn_audit.reports.exports import makers
from attn_audit.reports.text import visible, without_commands
from command_line import completed as command

SCHEMA = json.loads((Path(__file__).parent / "data/sarif-2.1.0.schema.json").read_text("utf-8"))
VALIDATOR = jsonschema.Draft4Validator(SCHEMA, format_checker=jsonschema.FormatChecker())
EXPORTS = ("junit", "sarif", "csv", "summary")
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
EVIL = "EVIL"
NASTY = (
    "<script>EVIL()</script>",
    "]]>",
    "--><!--",
    "&amp;&#0;",
    "\x00\x1b[31m\x7f\x85",
    "\ufffe\uffff\ud800",
    "\u202e\u200b\U000e0041",
    "a | b",
    "`EVIL`",
    "``` EVIL",
    "\\",
    "[EVIL](https://evil.example)",
    "![EVIL](https://evil.example/x.png)",
    "<https://evil.example>",
    "www.evil.example",
    "@EVIL",
    "EVIL@evil.example",
    "\n\n# EVIL\n",
    "$EVIL$",
    "::error::EVIL",
    "##[error]EVIL",
    "[[ATTACHMENT|/etc/passwd]]",
    "[[[ATTACHMENT|/etc/passwd]]",
    "{0}",
    "=EVIL()",
    "\t",
    "\r\n",
)
HOSTILE = st.lists(st.sampled_from(NASTY) | st.text(max_size=20), min_size=1, max_size=6).map("".join)
# What a spreadsheet takes for the beginning of a formula.
FORMULA = re.compile("[=+\\-@\uff1d\uff0b\uff0d\uff20\t\r]")

BROKEN = Finding(
    policy="no postcode",
    severity="fail",
    outcome="broken",
    units=(1, 3),
    rules=(Rule(rule="max_share", limit=0.05, found=0.25, held=False),),
)
APART = Finding(policy="same map", severity="fail", outcome="not comparable", differs=("units",), units=(2,))
NOTHING = Finding(policy="no age", severity="fail", outcome="nothing matched")
WARNED = Finding(
    policy="few effects",
    severity="warn",
    outcome="broken",
    units=(0,),
    rules=(Rule(rule="max_effect", limit=0.5, found=1.5, held=False),),
)
HELD = Finding(
    policy="income counts",
    severity="fail",
    outcome="held",
    units=(5,),
    rules=(Rule(rule="must_be_in_top", limit=3, found=1, held=True),),
)
PAIR = PairFinding(
    policy="the same for both",
    severity="fail",
    outcome="broken",
    rules=(Rule(rule="same_answer", held=False),),
    case_id="loan-1",
    pair_with="loan-2",
)


def case(case_id: str, *found: Finding, **changes: Any) -> tuple[Content, Evidence]:
    said = make.content(case={"id": case_id})
    measured = make.evidence(said)
    return said, measured.model_copy(
        update={"findings": found, "checks": make.checks(measured.relevance), **changes},
    )


def sealed(
    cases: Mapping[str, tuple[Content, Evidence]],
    *,
    failed: Mapping[str, str] | None = None,
    skipped: Mapping[str, str] | None = None,
    pairs: tuple[PairFinding, ...] = (),
    withheld: tuple[str, ...] = (),
    **planned: Any,
) -> Sealed:
    """A sealed audit of these cases, followed by the failed and the skipped ones."""
    plan, seal = make.batch(cases, failed={**(failed or {}), **(skipped or {})})
    ended = tuple(
        one.model_copy(update={"status": "skipped"}) if one.id in (skipped or {}) else one for one in seal.cases
    )
    counts = {"failed": len(failed or {}), "skipped": len(skipped or {})}
    seal = seal.model_copy(update={"cases": ended, "pairs": pairs, **counts})
    gone = {
        name: Redaction(
            tool=make.TOOL,
            created="2026-11-21T09:00:00Z",
            signer=make.SIGNER,
            case_id=name,
            withheld=("content.json", "report.html"),
            reason=None,
        )
        for name in withheld
    }
    at_hand = {name: measured for name, measured in cases.items() if name not in withheld}
    evidence = {name: measured for name, (_, measured) in cases.items()}
    return Sealed(plan.model_copy(update=planned), seal, at_hand, evidence, gone)


def typical() -> Sealed:
    return sealed(
        {"loan-1": case("loan-1", BROKEN, WARNED, HELD), "loan-2": case("loan-2", NOTHING, APART)},
        failed={"loan-3": "the prompt is too long"},
        skipped={"loan-4": "the run was stopped"},
        pairs=(PAIR,),
    )


def hostile(name: str, reason: str) -> Sealed:
    """Everything that somebody else wrote is ``name`` or ``reason``."""
    found = tuple(one.model_copy(update={"policy": name}) for one in (BROKEN, NOTHING, WARNED))
    apart = APART.model_copy(update={"policy": name + "2", "differs": (name,)})
    said, measured = case("loan-1", *found, apart)
    asked = Policy(name="x", terms=("income", "age"), limits=Limits(max_share=0.1))
    asked = asked.model_copy(update={"name": name})
    said = said.model_copy(update={"case": said.case.model_copy(update={"policies": (asked,)})})
    units = tuple(unit.model_copy(update={"name": name}) for unit in measured.units)
    warning = Warn(code="one-piece", sentence=reason, advice=name)
    measured = measured.model_copy(update={"units": units, "warnings": (warning,)})
    made = sealed(
        {"loan-1": (said, measured)},
        failed={"loan-2": "x"},
        skipped={"loan-3": "x"},
        pairs=(PAIR.model_copy(update={"policy": name}),),
        source=name,
        model_name=name,
    )
    ended = tuple(one.model_copy(update={"reason": reason}) if one.status != "ok" else one for one in made.seal.cases)
    signer = make.SIGNER.model_copy(update={"principal": name})
    seal = made.seal.model_copy(update={"cases": ended, "signer": signer})
    return Sealed(made.plan, seal, made.cases, made.evidence, made.withheld)


def rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8"), newline="")))


def texts(of: Sealed) -> set[str]:
    """Texts of the cases that no file without content may hold."""
    said = [content for content, _ in of.cases.values()]
    whole = {message.content for content in said for message in content.case.messages}
    return whole | {content.answer.text for content in said} | {"Riverton", "missed two payments"}


# -- JUnit ------------------------------------------------------------------------------------------------------------


def test_junit_as_junitparser_reads_it() -> None:
    (suite,) = JUnitXml.fromstring(junit.results(typical()))
    assert (suite.name, suite.tests, suite.failures, suite.errors, suite.skipped) == ("cases/loans.yaml", 4, 2, 1, 1)
    assert suite.time == pytest.approx(2 * (1.84 + 22.4))
    about = {one.name: one.value for one in suite.properties()}
    assert about["plan.sha256"] == "11" * 32
    assert about["model.name"] == "SmolLM2-135M-Instruct"
    assert about["model.root"] == "ab" * 32
    assert about["tool.version"] == "0.1.0"
    assert about["signer.key_id"] == make.SIGNER.key_id
    first, second, third, fourth = suite
    assert [one.name for one in suite] == ["loan-1", "loan-2", "loan-3", "loan-4"]
    assert {one.classname for one in suite} == {"cases.loans"}
    assert first.time == pytest.approx(1.84 + 22.4)
    assert [type(one) for one in first.result] == [Failure, Failure]
    assert [one.type for one in first.result] == ["policy broken", "pair broken"]
    assert first.result[0].message == (
        "policy no postcode: BROKEN: share of the positive relevance 25.0 %, at most 5.0 % allowed"
    )
    assert first.result[0].text == first.result[0].message, "GitLab shows the text alone"
    assert first.result[1].message == (
        "policy the same for both: BROKEN with case loan-2: the two cases get different answers"
    )
    assert "warning: policy few effects: BROKEN: largest effect of a piece +1.500 nats" in first.system_out
    assert "income counts" not in first.system_out
    assert [one.type for one in second.result] == ["policy not comparable"]
    assert "warning: policy no age: names nothing in this case" in second.system_out
    assert [(type(one), one.message) for one in third.result] == [(Error, "the case failed: the prompt is too long")]
    assert [(type(one), one.message) for one in fourth.result] == [
        (Skipped, "the case was skipped: the run was stopped")
    ]


def test_junit_names_digests_and_places() -> None:
    root = ElementTree.fromstring(junit.results(typical()))
    first, *_, last = root.iter("testcase")
    properties = {one.get("name"): one.get("value") for one in first.iter("property")}
    assert properties == {"attestation.sha256": "22" * 32, "content.sha256": typical().evidence["loan-1"].content}
    assert (first.get("file"), first.get("line")) == ("cases/loans.yaml", "3")
    assert last.find("properties") is None


def test_junit_says_what_is_not_supported_and_what_is_withheld() -> None:
    said, measured = case("loan-1", warnings=WARNINGS)
    checks = make.checks(measured.relevance, "not supported")
    made = sealed({"loan-1": (said, measured.model_copy(update={"checks": checks}))}, withheld=("loan-1",))
    (suite,) = JUnitXml.fromstring(junit.results(made))
    (only,) = suite
    assert only.is_passed
    assert "faithfulness: NOT SUPPORTED by deleting pieces from the text" in only.system_out
    assert "note: near-certain: " in only.system_out
    assert "not-supported" not in only.system_out, "the verdict says it"
    assert "the content of this case is withheld" in only.system_out


def test_junit_of_a_question_without_a_file() -> None:
    (suite,) = JUnitXml.fromstring(junit.results(sealed({"prompt": case("prompt")}, source=None)))
    assert suite.name == "attn-audit"
    assert [one.classname for one in suite] == ["attn-audit"]


# -- SARIF ------------------------------------------------------------------------------------------------------------


def run_of(made: Sealed) -> dict[str, Any]:
    """The only run of the file, which follows the schema."""
    log = json.loads(sarif.results(made))
    VALIDATOR.validate(log)
    (run,) = log["runs"]
    identifiers = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert len(set(identifiers)) == len(identifiers)
    assert all(identifiers[result["ruleIndex"]] == result["ruleId"] for result in run["results"])
    found: dict[str, Any] = run
    return found


def test_the_schema_refuses_what_is_wrong() -> None:
    log = json.loads(sarif.results(typical()))
    log["runs"][0]["results"][0]["level"] = "fatal"
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(log)


def test_sarif_holds_each_finding_at_its_line() -> None:
    run = run_of(typical())
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["version"]) == ("attn-audit", "0.1.0")
    assert {"case-failed", "faithfulness", "near-certain"} < {rule["id"] for rule in driver["rules"]}
    said = [(one["level"], one["ruleId"].rpartition("-")[0], one["message"]["text"]) for one in run["results"]]
    assert said == [
        (
            "error",
            "policy/no-postcode",
            "loan-1: policy no postcode: BROKEN: share of the positive relevance 25.0 %, at most 5.0 % allowed",
        ),
        (
            "warning",
            "policy/few-effects",
            "loan-1: policy few effects: BROKEN: largest effect of a piece +1.500 nats, at most +0.500 nats allowed",
        ),
        (
            "error",
            "pair/the-same-for-both",
            "loan-1: policy the same for both: BROKEN with case loan-2: the two cases get different answers",
        ),
        ("warning", "policy/no-age", "loan-2: policy no age: names nothing in this case: nothing to judge"),
        (
            "error",
            "policy/same-map",
            "loan-2: policy same map: NOT COMPARABLE: not measured as the policy asks: units",
        ),
        ("error", "case", "loan-3: the case failed: the prompt is too long"),
        ("error", "case", "loan-4: the case was skipped: the run was stopped"),
    ]
    places = [one["locations"][0]["physicalLocation"] for one in run["results"]]
    assert {place["artifactLocation"]["uri"] for place in places} == {"cases/loans.yaml"}
    assert [place["region"]["startLine"] for place in places] == [3, 3, 3, 5, 5, 7, 9]
    assert run["results"][0]["properties"]["attestation"] == "22" * 32
    assert run["properties"]["plan"] == "11" * 32
    assert run["invocations"][0]["executionSuccessful"] is False


def test_sarif_notes_and_warnings() -> None:
    said, measured = case("loan-1", warnings=WARNINGS)
    checks = make.checks(measured.relevance, "not supported")
    run = run_of(sealed({"loan-1": (said, measured.model_copy(update={"checks": checks}))}))
    levels = {one["ruleId"]: one["level"] for one in run["results"]}
    assert levels.pop("faithfulness") == "warning"
    assert set(levels) == {warning.code for warning in WARNINGS} - {"not-supported", "policy-unmatched"}
    assert set(levels.values()) == {"note"}
    unchecked = run_of(sealed({"loan-1": case("loan-1", checks=None)}))
    assert [(one["ruleId"], one["level"]) for one in unchecked["results"]] == [("faithfulness", "note")]


def test_sarif_identifies_a_finding_by_case_and_policy() -> None:
    """The same in the next audit, whatever the line, the numbers and the other policies; another for another case."""

    def prints(made: Sealed) -> dict[str, str]:
        return {one["message"]["text"]: one["partialFingerprints"]["caseAndRule/v1"] for one in run_of(made)["results"]}

    one = prints(sealed({"a": case("a", BROKEN), "b": case("b", BROKEN)}))
    two = prints(sealed({"c": case("c"), "a": case("a", WARNED, BROKEN)}))
    assert len(set(one.values())) == 2
    shared = [text for text in two if text in one]
    assert shared
    assert all(one[text] == two[text] for text in shared)


@pytest.mark.parametrize(
    ("source", "uri"),
    [
        ("sample cases/100%.yaml", "sample%20cases/100%25.yaml"),
        ("a:b#c?.yaml", "a%3Ab%23c%3F.yaml"),
        ("прим.yaml", "%D0%BF%D1%80%D0%B8%D0%BC.yaml"),
    ],
)
def test_sarif_encodes_the_path(source: str, uri: str) -> None:
    (result,) = run_of(sealed({"a": case("a", BROKEN)}, source=source))["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == uri


def test_sarif_of_a_question_without_a_file() -> None:
    (result,) = run_of(sealed({"prompt": case("prompt", BROKEN)}, source=None))["results"]
    assert result["locations"] == [{"logicalLocations": [{"fullyQualifiedName": "prompt"}]}]


# -- CSV --------------------------------------------------------------------------------------------------------------


def test_csv_of_the_pieces() -> None:
    said, measured = make.full_case()
    measured = measured.model_copy(update={"findings": (BROKEN, WARNED.model_copy(update={"units": (1,)}))})
    found = rows(table.units(sealed({"loan-1": (said, measured)}, failed={"loan-2": "no"})))
    assert list(found[0]) == list(table.UNIT_COLUMNS)
    assert len(found) == len(measured.units)
    shares = positive_share(told_apart(measured))
    place = {unit: place for place, unit in enumerate(ranking(measured.relevance), start=1)}
    for index, (row, unit) in enumerate(zip(found, measured.units, strict=True)):
        span, value = unit.spans[0], measured.relevance[index]
        message = said.case.messages[span.message]
        assert (row["case"], row["unit"], row["kind"], row["name"]) == ("loan-1", unit.id, unit.kind, unit.name or "")
        assert (row["message"], row["role"]) == (str(span.message), message.role)
        assert row["text"].removeprefix("'") == message.content[int(row["start"]) : int(row["end"])]
        assert row["measured"] == ("no" if value is None else "yes")
        assert row["nats"] == ("" if value is None else f"{value:.6f}")
        assert row["share"] == ("" if value is None else f"{shares[index]:.6f}")
        assert row["place"] == str(place.get(index, ""))
        assert row["below_noise"] in {"yes", "no"}
    assert [row["policies"] for row in found[:4]] == ["", "no postcode; few effects", "", "no postcode"]
    assert {row["salted"] for row in found} == {"", salted_view((make.SALT,))}


def test_csv_of_a_piece_in_several_places() -> None:
    said = make.content()
    measured = make.evidence(said)
    first, second, *others = measured.units
    both = first.model_copy(update={"spans": (*first.spans, *second.spans)})
    units = (both, second.model_copy(update={"spans": others[0].spans}), *others[1:])
    measured = measured.model_copy(
        update={"units": units, "relevance": measured.relevance[:-1], "scores": measured.scores[:-1]}
    )
    row = rows(table.units(sealed({"loan-1": (said, measured)})))[0]
    assert (row["start"], row["end"], row["spans"], row["text"]) == ("0", "3", "2", "You … assist")


def test_csv_without_the_content() -> None:
    made = sealed({"loan-1": case("loan-1", BROKEN), "loan-2": case("loan-2", BROKEN)}, withheld=("loan-1",))
    found = rows(table.units(made))
    gone = [row for row in found if row["case"] == "loan-1"]
    assert len(gone) == len(made.evidence["loan-1"].units)
    assert {(row["text"], row["role"], row["salted"]) for row in gone} == {("", "", "")}
    assert any(row["nats"] for row in gone)
    others = [row for row in found if row["case"] == "loan-2"]
    assert all(row["text"] for row in others)
    assert [row["salted"] for row in others if row["salted"]] == [salted_view((make.SALT,))]


def test_csv_refuses_offsets_that_point_nowhere() -> None:
    said, measured = case("loan-1")
    far = measured.units[0].model_copy(
        update={"spans": (measured.units[0].spans[0].model_copy(update={"message": 9}),)}
    )
    with pytest.raises(EvidenceError, match="message 9"):
        table.units(sealed({"loan-1": (said, measured.model_copy(update={"units": (far, *measured.units[1:])}))}))


def test_csv_of_the_batch() -> None:
    asked = Policy(name="no town", terms=("Riverton", "income"), limits=Limits(max_share=0.1))
    said, measured = make.full_case()
    said = said.model_copy(update={"case": said.case.model_copy(update={"policies": (asked,)})})
    measured = measured.model_copy(update={"findings": findings(said, measured)})
    made = sealed({"loan-1": (said, measured)})
    found = rows(table.batch(made))
    expected = overall(made.cases.values())
    assert list(found[0]) == list(table.BATCH_COLUMNS)
    assert [(row["kind"], row["name"], row["policy"]) for row in found] == [
        (row.kind, row.name, row.policy) for row in expected
    ]
    assert {row["kind"] for row in found} == {"field", "policy", "term"}
    for row, one in zip(found, expected, strict=True):
        numbers = (float(row["mean"]), float(row["median"]), float(row["largest"]))
        assert numbers == pytest.approx((one.mean, one.median, one.maximum))
        assert row["highest_cases"] == "; ".join(one.highest)
        assert row["salted"] == salted_view((make.SALT,))


# -- the summary ------------------------------------------------------------------------------------------------------


def tables(page: str) -> list[list[list[str]]]:
    """Rows of cells of each table, as markdown-it renders them; nothing in the page is a tag, a link or an image."""
    found: list[list[list[str]]] = []
    for token in every(MARKDOWN.parse(page)):
        assert not token.type.startswith(("html", "link", "image")), token
    for token in MARKDOWN.parse(page):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and found and token.level == 4:
            found[-1][-1].append("".join(child.content for child in token.children or ()))
    return found


def every(tokens: list[Token]) -> list[Token]:
    return [inner for token in tokens for inner in (token, *every(token.children or []))]


@pytest.mark.parametrize(
    ("differs", "said"),
    [
        ("answer", "the shares were not compared, since the answers differ"),
        ("contrast", "the shares were not compared, since the contrasts differ"),
        ("the other case is not finished", "nothing was compared, since the other case is not finished"),
        ("units", "the shares were not compared, since a case was not measured as the policy asks: units"),
    ],
)
def test_a_pair_says_why_it_was_not_compared(differs: str, said: str) -> None:
    found = sealed({"loan-1": case("loan-1")}, pairs=(PAIR.model_copy(update={"differs": (differs,)}),))
    for made in (junit.results(found), sarif.results(found), b"" if differs == "units" else summary.page(found)):
        assert said in made.decode() or not made


def test_the_summary_says_what_failed_first() -> None:
    page = summary.page(typical()).decode("utf-8")
    assert "4 cases: 2 finished, 1 failed, 1 skipped. 3 policies that must hold did not." in page
    assert "Signed by `audit@bank.example`." in page
    failing, ended, _ = tables(page)
    assert failing[1:] == [
        ["loan-1", "no postcode", "broken: share of the positive relevance 25.0 %, at most 5.0 % allowed"],
        ["loan-1", "the same for both", "broken with loan-2: the two cases get different answers"],
        ["loan-2", "same map", "not comparable: measured otherwise: units"],
    ]
    assert ended[1:] == [
        ["loan-1", "ok", "supported", "input", "2 failed, 1 with a warning, 1 held", ""],
        ["loan-2", "ok", "supported", "input", "1 failed, 1 with a warning", ""],
        ["loan-3", "the case failed: the prompt is too long", "", "", "", ""],
        ["loan-4", "the case was skipped: the run was stopped", "", "", "", ""],
    ]
    for digest in ("11" * 32, "ab" * 32, make.SIGNER.key_id, salted_view((make.SALT, make.SALT))):
        assert digest in page
    assert "attn-audit verify AUDIT_FOLDER --trust ALLOWED_SIGNERS" in page


def test_the_summary_of_a_batch_without_trouble() -> None:
    page = summary.page(sealed({"loan-1": case("loan-1", HELD)})).decode("utf-8")
    assert "**1 case: 1 finished, 0 failed, 0 skipped. 0 policies that must hold did not.**" in page
    ended, _ = tables(page)
    assert ended[1][4] == "1 held"


def test_the_summary_stays_small() -> None:
    worst = "\U0001f4a3" * 1_000
    found = tuple(
        one.model_copy(update={"policy": f"{n}{worst}", "differs": (worst,)}) for n, one in enumerate([APART] * 9)
    )
    many = {f"{n}{'x' * 60}": case(f"{n}{'x' * 60}", *found, warnings=WARNINGS) for n in range(150)}
    named = tuple(Policy(name=f"{n}", terms=("income",), limits=Limits(max_share=0.1)) for n in range(60))
    said, measured = many["0" + "x" * 60]
    said = said.model_copy(update={"case": said.case.model_copy(update={"policies": named})})
    made = sealed({**many, "0" + "x" * 60: (said, measured)}, failed=dict.fromkeys(["y", "z"], worst))
    page = summary.page(made)
    assert len(page) < 400_000
    failing, ended, over = tables(page.decode("utf-8"))
    assert (len(failing), len(ended), len(over)) == (101, 101, 51)
    left = [int(count) for count in re.findall(r"^(\d+) more are left out", page.decode("utf-8"), re.MULTILINE)]
    assert left == [9 * 150 - 100, 52, 9 + 60 - 50]


# -- lines of JSON ----------------------------------------------------------------------------------------------------


def test_lines_of_json() -> None:
    made = typical()
    first = json.loads(jsonlines.case_line(made.seal.cases[0], made.evidence["loan-1"], "a/cases/loan-1/report.html"))
    assert (first["type"], first["case"], first["status"], first["reason"]) == ("case", "loan-1", "ok", None)
    assert (first["faithfulness"], first["reliance"]) == ("supported", "input")
    assert first["model_root"] == "ab" * 32
    assert first["method"]["operator"] == "knockout"
    assert first["log_probability"] == pytest.approx(sum(made.evidence["loan-1"].answer.base))
    assert [(one["policy"], one["outcome"], one["fails"]) for one in first["findings"]] == [
        ("no postcode", "broken", True),
        ("few effects", "broken", False),
        ("income counts", "held", False),
    ]
    assert (first["attestation"], first["report"]) == ("22" * 32, "a/cases/loan-1/report.html")
    failed = json.loads(jsonlines.case_line(made.seal.cases[2], None, None))
    assert failed == {
        "type": "case",
        "case": "loan-3",
        "status": "failed",
        "reason": "the prompt is too long",
        "attestation": None,
        "report": None,
    }
    last = json.loads(jsonlines.end_line("audit-1", made.seal, [Met("loan-1", "policy 'x' is broken")]))
    assert (last["type"], last["folder"], last["plan"]) == ("batch", "audit-1", "11" * 32)
    assert (last["ok"], last["failed"], last["skipped"]) == (2, 1, 1)
    assert [pair["pair_with"] for pair in last["pairs"]] == ["loan-2"]
    assert last["conditions_met"] == [{"case": "loan-1", "reason": "policy 'x' is broken"}]


@given(HOSTILE)
def test_attack_41_a_line_of_json_is_one_line_and_no_command(text: str) -> None:
    made = hostile(text, text)
    lines = [
        jsonlines.case_line(made.seal.cases[0], made.evidence["loan-1"], text),
        jsonlines.case_line(made.seal.cases[1], None, text),
        jsonlines.end_line(text, made.seal, [Met("loan-1", text)]),
    ]
    for line in lines:
        assert re.fullmatch(r"[ -~]+", line)
        assert "::" not in line
        assert not re.search(r"##\w*\[|section_(start|end):", line)
    assert json.loads(lines[1])["reason"] == text, "an escape is the same text to a reader"
    assert json.loads(lines[2])["folder"] == text


# -- hostile text -----------------------------------------------------------------------------------------------------


@given(HOSTILE, HOSTILE)
def test_attack_40_junit_can_be_read_again(name: str, reason: str) -> None:
    data = junit.results(hostile(name, reason))
    ElementTree.fromstring(data)
    (suite,) = JUnitXml.fromstring(data)
    assert [one.name for one in suite] == ["loan-1", "loan-2", "loan-3"]
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (3, 1, 1, 1)
    text = data.decode("utf-8")
    assert text == visible(text), "no control character, nothing hidden"
    assert "[[" not in text


@given(HOSTILE, HOSTILE)
def test_attack_40_sarif_can_be_read_again(name: str, reason: str) -> None:
    made = hostile(name, reason)
    run = run_of(made)
    assert sarif.results(made).isascii()
    for result in run["results"]:
        said = result["message"]["text"]
        assert said == visible(said)
        assert "](" not in said, "no link"
        assert not re.search(r"\{\d", said), "no placeholder"


@given(HOSTILE, HOSTILE)
def test_attack_41_the_summary_holds_no_markup_of_others(name: str, reason: str) -> None:
    page = summary.page(hostile(name, reason)).decode("utf-8")
    assert page == visible(page)
    failing, ended, over = tables(page)
    assert {len(row) for row in failing} == {3}
    assert {len(row) for row in ended} == {6}
    assert {len(row) for row in over} == {8}
    assert (len(failing), len(ended)) == (4, 4)
    for token in every(MARKDOWN.parse(page)):
        if token.type == "text":
            assert EVIL not in token.content, "stands in code spans alone, where nothing is a mention or a link"
            assert "evil.example" not in token.content
        assert token.type != "heading_open" or token.tag in {"h2", "h3"}


@given(HOSTILE, HOSTILE)
def test_attack_42_no_cell_is_a_formula(name: str, reason: str) -> None:
    made = hostile(name, reason)
    numbers = {"nats", "share", "mean", "median", "largest"}
    for data in (table.units(made), table.batch(made)):
        found = rows(data)
        assert found
        for row in found:
            assert None not in row
            for column, value in row.items():
                if column in numbers:
                    assert value == "" or float(value) is not None
                else:
                    assert value == visible(value)
                    assert not FORMULA.match(value.lstrip())
                    # Also where a spreadsheet of another country takes them for the end of a cell.
                    assert not any(FORMULA.match(part.strip(" ")) for part in re.split(r"[;\n\t]", value))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("=1+1", "'=1+1"),
        ("  =1+1", "'  =1+1"),
        ("\u00a0@x", "'\u00a0@x"),
        ("\t=x", "'\t'=x"),
        ("\tx", "'\tx"),
        ("\rx", "⟨U+000D⟩x"),
        ("\uff1dx", "'\uff1dx"),
        ("-", "'-"),
        ("a=b", "a=b"),
        ("a;=b", "a;'=b"),
        ("12-3", "12-3"),
        ("", ""),
    ],
)
def test_attack_42_the_cells(text: str, shown: str) -> None:
    assert table.cell(text) == shown


@given(HOSTILE)
def test_attack_42_long_white_space_takes_no_time(text: str) -> None:
    assert table.cell(" " * 10_000 + "\n" * 10_000 + text)


@given(HOSTILE)
def test_attack_41_no_line_of_a_log_is_a_command(text: str) -> None:
    shown = without_commands(visible(text))
    assert "::" not in shown, "wherever it stands: a table may fold the text before it"
    assert not re.search(r"##\w*\[|section_(start|end):", shown, re.ASCII | re.IGNORECASE)
    assert without_commands(visible(shown)) == shown
    assert shown == visible(shown)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("::error::x", "⟨U+003A⟩:error⟨U+003A⟩:x"),
        ("  ::stop-commands::x", "  ⟨U+003A⟩:stop-commands⟨U+003A⟩:x"),
        (":::", "⟨U+003A⟩⟨U+003A⟩:"),
        ("a: b", "a: b"),
        ("x ##[error]y", "x ⟨U+0023⟩#[error]y"),
        ("##vso[task.complete]", "⟨U+0023⟩#vso[task.complete]"),
        ("## heading [1]", "## heading [1]"),
        ("section_start:1:x", "section_start⟨U+003A⟩1:x"),
        ("SECTION_END:1:x", "SECTION_END⟨U+003A⟩1:x"),
        ("\x1b[0K", "⟨U+001B⟩[0K"),
    ],
)
def test_attack_41_commands_are_written_out(text: str, shown: str) -> None:
    assert without_commands(visible(text)) == shown


# -- all of them ------------------------------------------------------------------------------------------------------


def made_from(of: Sealed) -> dict[str, bytes]:
    return {name: make_file(of) for name, make_file in makers(EXPORTS).items()}


def test_no_text_of_a_case_in_what_is_for_all_eyes() -> None:
    made = typical()
    for name, data in made_from(made).items():
        found = data.decode("utf-8")
        if name != "results.csv":
            assert not any(text in found for text in texts(made)), name


@pytest.mark.parametrize("make_file", [summary.page, table.units, table.batch])
def test_a_digest_of_a_file_cannot_be_guessed_back_to_a_text(make_file: Any) -> None:
    """Whoever guesses the text of a case that was withheld since can make the same file, but for its salt."""
    said, evidence = case("loan-1", BROKEN)
    guessed = said.model_copy(update={"salt": "00" * 32})
    named = Policy(name="no town", terms=("Riverton",), limits=Limits(max_share=0.1))
    both = [
        one.model_copy(update={"case": one.case.model_copy(update={"policies": (named,)})}) for one in (said, guessed)
    ]
    first, second = (make_file(sealed({"loan-1": (one, evidence)})) for one in both)
    assert first != second
    assert make.SALT.encode() not in first


def test_the_same_records_give_the_same_bytes() -> None:
    assert made_from(typical()) == made_from(typical())


@pytest.mark.parametrize("make_file", [junit.results, sarif.results, summary.page, table.units])
def test_a_seal_of_other_cases_is_refused(make_file: Any) -> None:
    made = typical()
    other = made.seal.model_copy(update={"cases": made.seal.cases[::-1]})
    with pytest.raises(EvidenceError, match="planned cases"):
        make_file(Sealed(made.plan, other, made.cases, made.evidence, made.withheld))


# -- of a real audit --------------------------------------------------------------------------------------------------

CASES = """\
title: Loans
settings: {max_new_tokens: 4}
policies:
  - {name: "no income", terms: [income], limits: {max_share: 0.0}}
  - {name: "=nothing <b>", terms: [unicorn], limits: {max_share: 0.5}}
cases:
  - {id: first, prompt: "The income of the applicant is high. Is the loan approved?"}
  - {id: second, prompt: "The income of the candidate is low. Is the loan granted?"}
  - {id: third, prompt: "Their income is unknown. Is it?", policies: [{name: twins, pair_with: first}]}
"""


@pytest.fixture(scope="module")
def exported(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> audits.Audit:
    """An audit of three cases with all exports; each case breaks a policy. Do not change it."""
    folder = tmp_path_factory.mktemp("exported")
    private = audits.key(folder)
    done = audits.make(folder, tiny_model, private, cases=CASES, exports=EXPORTS, source="cases.yaml")
    return audits.Audit(done.out, private)


def test_they_are_there_and_verify(exported: audits.Audit) -> None:
    names = set(makers(EXPORTS))
    assert names < {path.name for path in exported.out.iterdir()}
    done = command("verify", exported.out, "--trust", exported.signers)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_broken_policy_is_a_failure(exported: audits.Audit) -> None:
    broken = {
        path.name
        for path in (exported.out / bundle.CASES).iterdir()
        if any(one.outcome == "broken" for one in audits.evidence_of(path).findings)
    }
    assert broken, "the tiny model must rely on the income at least once"
    (suite,) = JUnitXml.fromstring((exported.out / "results.junit.xml").read_bytes())
    failed = {one.name for one in suite for result in one.result if result.type == "policy broken"}
    assert failed == broken
    assert all("=nothing <b>" in one.system_out for one in suite)
    log = json.loads((exported.out / "results.sarif").read_bytes())
    VALIDATOR.validate(log)
    errors = [one for one in log["runs"][0]["results"] if one["level"] == "error" and "no-income" in one["ruleId"]]
    assert {one["message"]["text"].partition(":")[0] for one in errors} == broken
    lines = {one["locations"][0]["physicalLocation"]["region"]["startLine"] for one in errors}
    source = CASES.splitlines()
    assert {re.findall(r"id: (\w+)", source[line - 1])[0] for line in lines} == broken
    again = [one for case_id in broken for one in findings(*measured(exported, case_id)) if one.outcome == "broken"]
    assert len(again) == len(errors)


def measured(audit: audits.Audit, case_id: str) -> tuple[Content, Evidence]:
    return audits.content_of(audit.case(case_id)), audits.evidence_of(audit.case(case_id))


@pytest.mark.parametrize("name", list(makers(EXPORTS)))
def test_attack_58_an_export_that_was_changed(exported: audits.Audit, name: str, tmp_path: Path) -> None:
    copy = exported.copied_to(tmp_path / "audit")
    path = copy.out / name
    path.write_bytes(path.read_bytes().replace(b"first", b"other", 1))
    audits.write_sums(copy.out, copy.private)  # by somebody who has the key
    found = audits.report(copy)
    assert found.exit_code == 20
    assert set(audits.failures(found)) == {("batch", name)}


def test_attack_20_what_is_withheld_is_in_none_of_them(exported: audits.Audit, tmp_path: Path) -> None:
    copy = exported.copied_to(tmp_path / "audit")
    content = audits.content_of(copy.case("second"))
    before = rows((copy.out / "results.csv").read_bytes())
    assert "candidate" in {row["text"] for row in before}
    redact(copy.out, "second", None, copy.private, audits.host("later", audits.START.replace(hour=20)))
    found = audits.report(copy)
    assert (found.exit_code, audits.failures(found)) == (3, {})
    for name in makers(EXPORTS):
        data = (copy.out / name).read_text("utf-8")
        assert "candidate" not in data, name
        assert salted_view((content.salt,)) not in data, name
    after = rows((copy.out / "results.csv").read_bytes())
    assert len(after) == len(before)
    assert {row["text"] for row in after if row["case"] == "second"} == {""}
    assert "content withheld" in (copy.out / "summary.md").read_text("utf-8")


def test_the_records_are_what_the_folder_holds(exported: audits.Audit) -> None:
    plan: Plan = audits.plan_of(exported.out)
    seal: Seal = audits.seal_of(exported.out)
    assert plan.source == "cases.yaml"
    assert seal.exports == EXPORTS

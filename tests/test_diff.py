"""Two audits compared: what moved, what broke, what is not compared and says so; and that no text of a case acts."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import audits
import make_records as make
from attn_audit.diff import names as names_of
from attn_audit.evidence import bundle
from attn_audit.evidence.checked import Checks, Faithfulness
from attn_audit.evidence.findings import Finding, PairFinding
from attn_audit.evidence.measured import ContrastScore, Evidence, Method, Unit, Warn
from attn_audit.evidence.records import AnswerText, Message, Span
from attn_audit.evidence.store import Measured
from attn_audit.judge.conditions import conditions
from attn_audit.judge.difference import (
    CaseDifference,
    Difference,
    PolicyChange,
    Side,
    Status,
    Texts,
    difference,
    narrowed,
)
from attn_audit.judge.worse import newly_met
from attn_audit.redact import redact
from attn_audit.reports.diff_html import page
from attn_audit.reports.diff_json import FORMAT, document
from attn_audit.reports.diff_terminal import terminal_view
from command_line import Ended, call

HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\U000e0000-\U000e0fff]"
)
TWO_CASES = """\
settings: {max_new_tokens: 4, checks: none}
policies:
  - {name: of the user, role: user, limits: {min_share: 0.5}}
cases:
  - {id: first, prompt: "The income of the applicant is high. Is the loan approved?"}
  - {id: second, prompt: "The income of the applicant is low. Is the loan approved?"}
"""


# -- records of two audits --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def base(made_audit: Any) -> Measured:
    """A real case, whose parts the others replace."""
    folder = made_audit.case("first")
    return audits.content_of(folder), audits.evidence_of(folder)


@pytest.fixture(scope="module")
def case(base: Measured) -> Any:
    """``case("is it high", (2, -1, 1))``: a case of these words with these relevances, nats. None: not measured."""

    def build(text: str, values: Sequence[float | None], *, answer: str = "Yes.", **evidence: Any) -> Measured:
        return measured(base, (Message(role="user", content=text),), values, answer=answer, **evidence)

    return build


def measured(
    base: Measured, messages: Sequence[Message], values: Sequence[float | None], *, answer: str, **evidence: Any
) -> Measured:
    spans = [
        Span(message=number, start=found.start(), end=found.end())
        for number, message in enumerate(messages)
        for found in re.finditer(r"\S+", message.content)
    ]
    units = tuple(Unit(id=f"u{at}", kind="word", spans=(span,), runs=((at, at + 1),)) for at, span in enumerate(spans))
    assert len(units) == len(values)
    content, found = base
    content = content.model_copy(
        update={
            "case": content.case.model_copy(update={"messages": tuple(messages)}),
            "answer": AnswerText(text=answer, ids=(1,), offsets=((0, len(answer)),)),
        }
    )
    changes = {"units": units, "relevance": tuple(values), **evidence}
    return content, found.model_copy(update={"sweep": found.sweep.model_copy(update={"noise": 0.0}), **changes})


def side(cases: Mapping[str, Measured], name: str = "audit", **changes: Any) -> Side:
    """An audit of these cases. ``statuses`` of others; ``withheld``: evidence whose content is not there."""
    withheld: dict[str, Evidence] = changes.get("withheld", {})
    statuses: dict[str, Status] = {
        **dict.fromkeys(cases, "finished"),
        **dict.fromkeys(withheld, "withheld"),
        **changes.get("statuses", {}),
    }
    evidence = {case_id: found for case_id, (_, found) in cases.items()} | withheld
    return Side(name, None, statuses, cases, evidence, changes.get("pairs", ()))


def compared(one: Measured, other: Measured) -> CaseDifference:
    [found] = difference(side({"c": one}), side({"c": other})).cases
    return found


def texts(one: Measured, other: Measured) -> Texts:
    found = compared(one, other).texts
    assert found is not None
    return found


def finding(outcome: Any, policy: str = "p", severity: Any = "fail") -> Finding:
    return Finding(policy=policy, severity=severity, outcome=outcome)


def checked(verdict: Any) -> Checks:
    falls = (1.0,)
    return Checks(
        faithfulness=Faithfulness.model_construct(
            sizes=(1,), comprehensiveness=falls, random_comprehensiveness=(falls,), p=0.5, verdict=verdict
        )
    )


def printed(found: Difference, *, top: int = 5, colour: Any = None) -> str:
    console = Console(width=80, force_terminal=colour is not None, color_system=colour)
    with console.capture() as shown:
        console.print(terminal_view(found, top=top))
    return shown.get()


class Page(HTMLParser):
    """The elements of a page, its text and its comments; refuses one that closes what it did not open."""

    def __init__(self, data: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.comments, self._open = "", 0, [""]
        self.feed(data.decode())
        self.close()
        assert self._open == [""]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in {"meta", "br"}:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1] != "style":
            self.text += data

    def handle_comment(self, data: str) -> None:
        self.comments += 1


# -- the arithmetic ---------------------------------------------------------------------------------------------------


def test_pieces_are_compared_by_share_and_place_and_never_by_nats(case: Any) -> None:
    found = texts(case("the income is high", (0.0, 3.0, -9.0, 1.0)), case("the income is high", (2.0, 10.0, -1.0, 8.0)))
    rows = [(piece.aligned.second, piece.shares, piece.places, piece.change) for piece in found.pieces]
    assert rows == [
        ((1,), (0.75, 0.5), (1, 1), -0.25),
        ((3,), (0.25, 0.4), (2, 2), 0.15),
        ((0,), (0.0, 0.1), (None, 3), 0.1),
        ((2,), (0.0, 0.0), (None, None), 0.0),
    ]
    assert found.same_answer
    assert found.messages == ()


def test_what_is_as_good_as_the_same_is_not_listed(case: Any) -> None:
    found = texts(case("is it high", (5.0, 3.0, 2.0)), case("is it high", (5.0, 3.003, 1.997)))
    assert [piece.change for piece in found.pieces] == [0.0003, -0.0003, 0.0]
    assert found.moved == ()


def test_new_and_gone_and_rewritten_pieces_move_too(case: Any) -> None:
    found = texts(case("old income is high", (4.0, 1.0, 0.0, 5.0)), case("income is not very low", (6.0, 0.0, 1, 2, 1)))
    rows = {(piece.aligned.first, piece.aligned.second): piece for piece in found.pieces}
    gone, rewritten = rows[(0,), ()], rows[(3,), (2, 3, 4)]
    assert (gone.shares, gone.places, gone.change) == ((0.4, None), (2, None), -0.4)
    assert (rewritten.shares, rewritten.places, rewritten.change) == ((0.5, 0.4), (1, 2), -0.1)
    assert found.messages == (0,)
    assert [piece.change for piece in found.pieces[:2]] == [0.5, -0.4]


def test_what_one_audit_did_not_measure_did_not_move(case: Any) -> None:
    found = texts(case("is it high", (1.0, None, 1.0)), case("is it high", (1.0, 5.0, None)))
    assert found.unmeasured == 2
    assert [piece.aligned.first for piece in found.pieces] == [(0,)]


@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        ({"operator": "soft", "factor": 0.1}, ("operator", "factor")),
        ({"effect": "direct"}, ("effect",)),
        ({"layers": (0, 1)}, ("layers",)),
        ({"units": "sentence"}, ("units",)),
        ({"effort": "screened"}, ("effort",)),
        ({"effect": "both"}, ()),
        ({"default": False}, ()),
    ],
)
def test_other_methods_are_not_compared(case: Any, changes: dict[str, Any], differs: tuple[str, ...]) -> None:
    other = Method(**{"units": "word", "default": True} | changes)
    one = case("is it high", (1.0, 2.0, 3.0), method=Method(units="word", default=True))
    found = texts(one, case("is it high", (3.0, 2.0, 1.0), method=other))
    assert found.differs == differs
    assert bool(found.pieces) == (not differs)
    if differs:
        shown = printed(difference(side({"c": one}), side({"c": case("is it high", (3.0, 2.0, 1.0), method=other)})))
        assert f"NOT COMPARABLE: measured otherwise ({', '.join(differs)})" in " ".join(shown.split())


def test_a_contrast_in_one_audit_only_is_not_compared(case: Any) -> None:
    contrast = ContrastScore(base=(-1.0,), scores=((-1.0,),) * 3)
    found = texts(case("is it high", (1.0, 2.0, 3.0)), case("is it high", (1.0, 2.0, 3.0), contrast=contrast))
    assert found.differs == ("contrast",)
    assert found.pieces == ()


def test_the_models_own_answer_is_compared(case: Any) -> None:
    one, other = case("is it", (1.0, 2.0), answer="Yes."), case("is it", (1.0, 2.0), answer=" Yes.\n")
    assert texts(one, other).same_answer
    supplied = (other[0].model_copy(update={"own_answer": "No."}), other[1])
    found = texts(one, supplied)
    assert (found.answers, found.same_answer, found.same_explained) == (("Yes.", "No."), False, True)
    assert "not of the model's own" in printed(difference(side({"c": one}), side({"c": supplied})))


def test_policies_that_are_new_gone_or_changed(case: Any) -> None:
    one = case("is it", (1.0, 2.0), findings=tuple(finding("held", name) for name in ("a", "b", "b", "gone")))
    outcomes = (("a", "held"), ("b", "held"), ("b", "broken"), ("new", "not comparable"))
    other = case("is it", (1.0, 2.0), findings=tuple(finding(outcome, name) for name, outcome in outcomes))
    changes = compared(one, other).policies
    found = [(change.policy, change.before and change.before.outcome, change.after) for change in changes]
    assert [(name, before, after and after.outcome) for name, before, after in found] == [
        ("b", "held", "broken"),
        ("gone", "held", None),
        ("new", None, "not comparable"),
    ]
    shown = printed(difference(side({"c": one}), side({"c": other})))
    assert "NOT COMPARABLE: nothing to judge" in shown


@pytest.mark.parametrize(
    ("before", "after", "new"),
    [
        ("held", "broken", True),
        ("held", "not comparable", True),
        ("nothing matched", "broken", True),
        ("not comparable", "broken", True),
        ("broken", "broken", False),
        ("broken", "not comparable", False),
        ("not comparable", "not comparable", False),
        ("broken", "held", False),
    ],
)
def test_what_is_new_of_a_policy(case: Any, before: Any, after: Any, new: bool) -> None:
    one, other = (case("is it", (1.0, 2.0), findings=(finding(outcome),)) for outcome in (before, after))
    met = tuple(newly_met(conditions("policy"), difference(side({"c": one}), side({"c": other}))))
    assert bool(met) == new


def test_another_severity_is_a_change(case: Any) -> None:
    one = case("is it", (1.0, 2.0), findings=(finding("broken", severity="warn"),))
    other = case("is it", (1.0, 2.0), findings=(finding("broken"),))
    assert len(compared(one, other).policies) == 1
    assert "(a warning only) BROKEN" in " ".join(printed(difference(side({"c": one}), side({"c": other}))).split())


def test_policies_on_pairs_are_compared_where_both_audits_are_whole(case: Any) -> None:
    one = {"c": case("is it", (1.0, 2.0))}
    pair = PairFinding(policy="p", severity="fail", outcome="held", case_id="c", pair_with="d")
    broken = pair.model_copy(update={"outcome": "broken"})
    found = difference(side(one, pairs=(pair,)), side(one, pairs=(broken,)))
    assert found.pairs is not None
    assert [(change.before, change.after) for change in found.pairs] == [(pair, broken)]
    assert [met.reason for met in newly_met(conditions("policy"), found)] == [
        "policy 'p' is broken (was held) (with d)"
    ]
    assert "cases c and d" in Page(page(found, top=5)).text
    assert difference(side(one, pairs=(pair,)), side(one, pairs=None)).pairs is None
    assert narrowed(side(one, pairs=(pair,)), "e").pairs == ()


def test_cases_that_are_not_finished_in_both_are_listed(case: Any) -> None:
    one, other = case("is it", (1.0, 2.0)), case("is it", (2.0, 1.0))
    first = side({"both": one, "gone": one, "fails": one}, withheld={"kept back": one[1]})
    second = side({"both": other, "new": other, "kept back": other}, statuses={"fails": "failed"})
    found = difference(first, second)
    assert {row.id: row.statuses for row in found.cases if row.texts is None} == {
        "gone": ("finished", "not there"),
        "fails": ("finished", "failed"),
        "kept back": ("withheld", "finished"),
        "new": ("not there", "finished"),
    }
    for shown in (printed(found), Page(page(found, top=5)).text):
        for name in ("gone", "fails", "kept back", "new"):
            assert name in shown
        assert "Not compared" in shown


# -- --fail-on --------------------------------------------------------------------------------------------------------


def test_conditions_are_met_by_what_is_new(case: Any) -> None:
    def one(outcome: Any, verdict: Any, *codes: str) -> Measured:
        raised = tuple(Warn(code=code, sentence="s", advice="a") for code in codes)
        return case("is it", (1.0, 2.0), findings=(finding(outcome),), checks=checked(verdict), warnings=raised)

    good, bad = one("held", "supported"), one("broken", "not supported", "near-certain", "repeats")
    wanted = conditions("policy,unsupported,incomplete,warning:near-certain")

    def reasons(before: Side, after: Side) -> list[tuple[str, str]]:
        return [(met.case_id, met.reason) for met in newly_met(wanted, difference(before, after))]

    assert reasons(side({"c": good}), side({"c": good})) == []
    assert reasons(side({"c": bad}), side({"c": bad})) == []
    assert reasons(side({"c": bad}), side({"c": good})) == []
    everything = [
        ("c", "policy 'p' is broken (was held)"),
        ("c", "faithfulness: not supported, and was supported"),
        ("c", "new warning near-certain"),
    ]
    assert reasons(side({"c": good}), side({"c": bad})) == everything
    assert reasons(side({"c": good}), side({}, withheld={"c": bad[1]})) == everything, "the numbers still tell"
    assert reasons(side({}), side({"c": bad})) == [
        ("c", "policy 'p' is broken (new)"),
        ("c", "new warning near-certain"),
    ]
    unfinished: list[Status] = ["failed", "skipped", "not there"]
    for status in unfinished:
        [(case_id, reason)] = reasons(side({"c": good}), side({}, statuses={"c": status}))
        assert (case_id, "in the second audit" in reason) == ("c", True)
        assert reasons(side({}, statuses={"c": "failed"}), side({}, statuses={"c": status})) == []


def test_a_warning_only_never_fails(case: Any) -> None:
    one = case("is it", (1.0, 2.0))
    other = case("is it", (1.0, 2.0), findings=(finding("broken", severity="warn"), finding("nothing matched")))
    found = difference(side({"c": one}), side({"c": other}))
    assert list(newly_met(conditions("policy"), found)) == []


# -- text of the cases (attacks 32, 33, 36, 39, 41) -------------------------------------------------------------------


@pytest.fixture(scope="module")
def hostile(base: Measured) -> Difference:
    words = len(make.HOSTILE[0].content.split())
    evil = "::add-mask::<b>p</b>\x1b[2J {{7*7}}\n::error::x"
    model = base[1].model.model_copy(update={"name": "<b>\u0435vil</b>\u202e{{7*7}}"})
    one = measured(base, make.HOSTILE, (1.0,) * words, answer=make.HOSTILE_ANSWER, model=model)
    longer = (Message(role="user", content=make.HOSTILE[0].content + "\n::set-output\u200b name=x:: [red]y"),)
    other = measured(
        base,
        longer,
        (*range(words), 200.0, 100.0, 300.0),
        answer="::error::" + make.HOSTILE_ANSWER * 3 + "\n::error::x",
        findings=(finding("broken", evil),),
    )
    return difference(side({"c": one}, "::warning::\x1b[2J"), side({"c": other}, "<script>"))


def test_attack_32_33_36_markup_of_a_case_is_text_on_the_page(hostile: Difference) -> None:
    data = page(hostile, top=100)
    found = Page(data)
    assert found.comments == 0
    assert {tag for tag, _ in found.elements} <= {
        *("html", "head", "meta", "title", "style", "body", "header", "main", "footer", "section", "article", "h1"),
        *("h2", "h3", "h4", "p", "span", "strong", "b", "code", "q", "figure", "figcaption", "blockquote", "div"),
        *("table", "thead", "tbody", "tr", "th", "td"),
    }
    for _, attributes in found.elements:
        assert not [name for name in attributes if name.startswith("on") or name in {"style", "src", "href"}]
    assert not HIDDEN.search(found.text)
    for written in ("{{7*7}}", "{{ config }}", "<svg", "⟨U+202E⟩", "⟨U+001B⟩", "\u0435⟨U+0435⟩vil"):
        assert written in found.text
    policy = next(values["content"] for _, values in found.elements if "http-equiv" in values)
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")


@pytest.mark.parametrize("colour", [None, "truecolor"])
def test_attack_39_41_text_of_a_case_is_no_command_in_the_terminal(hostile: Difference, colour: Any) -> None:
    shown = re.sub(r"\x1b\[[0-9;]*m", "", printed(hostile, top=100, colour=colour))
    assert not HIDDEN.search(shown)
    assert "[red]" in shown
    assert "⟨U+001B⟩" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert "::error::" in shown
    assert not [line for line in shown.splitlines() if line.strip().startswith("::")]


def test_json_of_a_hostile_case_is_ascii(hostile: Difference) -> None:
    said = document(hostile, top=100)
    assert said.isascii()
    assert json.loads(said)["cases"][0]["texts"]["answers"][0] == make.HOSTILE_ANSWER


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folders(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, audits.Audit]:
    """Two signed audits of the same file with two models, and one of a file with another prompt, policy and case."""
    import tiny  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("compared")
    private = audits.key(folder)
    other_model = tiny.folder(folder / "other", "qwen3", seed=7)
    changed = TWO_CASES.replace("is high", "is very high").replace("min_share: 0.5", "max_share: 0")
    changed = changed.partition("  - {id: second")[0] + '  - {id: third, prompt: "Is the loan approved?"}\n'
    made = {
        "one": audits.make(folder / "one", tiny_model, private, cases=TWO_CASES),
        "other": audits.make(folder / "other-audit", other_model, private, cases=TWO_CASES),
        "changed": audits.make(folder / "changed", tiny_model, private, cases=changed),
    }
    return {name: audits.Audit(finished.out, private) for name, finished in made.items()}


def test_two_models_are_compared(folders: dict[str, audits.Audit], tmp_path: Path) -> None:
    one, other = folders["one"].out, folders["other"].out
    ended = call("diff", one, other, "--html", tmp_path / "diff.html", "--top", "2")
    assert (ended.code, ended.err) == (0, "")
    assert max(map(len, ended.out.splitlines())) <= 80
    words = " ".join(ended.out.split())
    for said in ("tiny", "Model root", "signatures are not checked here", "Case first", "Points", "cannot. Place"):
        assert said in words
    found = Page((tmp_path / "diff.html").read_bytes())
    assert "What changed between two audits" in found.text
    assert "script" not in {tag for tag, _ in found.elements}


def test_the_json_has_the_documented_fields(hostile: Difference, repository: Path) -> None:
    pair = PairFinding(policy="p", severity="fail", outcome="broken", case_id="c", pair_with="d")
    said = json.loads(document(replace(hostile, pairs=(PolicyChange(None, pair),)), top=5))
    described = (repository / "docs" / "diff.md").read_text(encoding="utf-8").partition("## The JSON")[2]
    assert names(said) == set(re.findall(r"^\| `(\w+)`", described, re.MULTILINE))
    assert f"`{FORMAT}`" in described


def names(value: Any) -> set[str]:
    """Every name of every object in a JSON value."""
    if isinstance(value, dict):
        return set(value).union(*map(names, value.values()))
    return set().union(*map(names, value)) if isinstance(value, list) else set()


def test_the_json_holds_what_moved(folders: dict[str, audits.Audit]) -> None:
    ended = call("diff", folders["one"].out, folders["other"].out, "--json", "--top", "2")
    assert ended.code == 0, ended.err
    said = json.loads(ended.out)
    assert said["format"] == FORMAT
    [first, _] = said["cases"]
    assert first["status"] == ["finished", "finished"]
    assert len(first["texts"]["pieces"]) == 2
    for piece in first["texts"]["pieces"]:
        before, after = piece["shares"]
        assert piece["change"] == pytest.approx(after - before, abs=1e-6)
        assert piece["units"][0][0]["texts"] == piece["units"][1][0]["texts"]
    roots = next(fact for fact in said["facts"] if fact["name"] == "model root")
    assert roots["first"] != roots["second"]


def test_an_audit_and_itself(folders: dict[str, audits.Audit]) -> None:
    one = folders["one"].out
    ended = call("diff", one, one, "--fail-on", "policy,unsupported,incomplete,warning:near-certain")
    assert (ended.code, ended.err) == (0, "")
    assert "Answers that changed: 0 of 2" in ended.out
    assert "Nothing changed in: first, second" in ended.out
    assert "moved" not in ended.out


def test_another_prompt_another_policy_and_a_case_that_is_missing(folders: dict[str, audits.Audit]) -> None:
    one, changed = folders["one"].out, folders["changed"].out
    ended = call("diff", one, changed, "--fail-on", "policy,incomplete")
    assert ended.code == 10
    lines = ended.err.splitlines()
    assert lines[0] == "note: first: policy 'of the user' is broken (was held)"
    assert "note: second: the case is missing in the second audit" in lines
    assert "note: third: policy 'of the user' is broken (new)" in lines
    assert lines[-1].startswith("error: a condition of --fail-on is met")
    assert len(lines) == 4
    words = " ".join(ended.out.split())
    assert "Prompt: CHANGED: message 1 (user)" in words
    assert "The case file also changed in: policies." in words
    assert "only in B: " in words
    assert "‹very›" in words
    assert "not there" in words
    only = call("diff", one, changed, "--case", "first", "--fail-on", "incomplete")
    assert only.code == 0, only.err
    assert "second" not in only.out


def test_one_case_of_each(folders: dict[str, audits.Audit]) -> None:
    ended = call("diff", folders["one"].case("first"), folders["other"].case("first"))
    assert ended.code == 0, ended.err
    assert "not compared, since one side is a single case" in " ".join(ended.out.split())
    refused = call("diff", folders["one"].case("first"), folders["other"].case("second"))
    assert (refused.code, refused.sentence) == (2, "no case is in both audits: there is nothing to compare")


def test_audits_of_one_name_are_told_apart() -> None:
    assert names_of(Path("/may/audit"), Path("/june/audit")) == ("may/audit", "june/audit")
    assert names_of(Path("/x/old"), Path("/y/new")) == ("old", "new")
    assert names_of(Path("/x/old"), Path("/x/old")) == ("old", "old")


def refused(*arguments: str | Path) -> Ended:
    ended = call("diff", *arguments)
    assert ended.out == ""
    return ended


def test_what_cannot_be_compared_is_refused(folders: dict[str, audits.Audit], tmp_path: Path) -> None:
    one, other = folders["one"].out, folders["other"].out
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for arguments in (
        (one, tmp_path / "nowhere"),
        (one, tmp_path / "loop"),
        (one, "x" * 5000),
        (one, other, "--html", tmp_path / "loop" / "page.html"),
        (folders["one"].case("first"), folders["other"].case("first"), "--html", one / "page.html"),
        (tmp_path, other),
        (one, other, "--case", "third"),
        (one, folders["changed"].out, "--case", "second"),
        (one, other, "--fail-on", "anything"),
        (one, other, "--top", "0"),
        (one, other, "--html", one / "page.html"),
        (one, other, "--html", tmp_path),
        (one, other, "--html", tmp_path / "none" / "page.html"),
    ):
        assert refused(*arguments).code == 2, arguments
    assert not (one / "page.html").exists()


def test_a_changed_audit_is_refused(folders: dict[str, audits.Audit], tmp_path: Path) -> None:
    one = folders["one"]
    copy = one.copied_to(tmp_path / "copy")
    audits.flipped(copy.case("second") / bundle.CONTENT, 300, 1)
    ended = refused(one.out, copy.out)
    assert ended.code == 20
    assert "second: digests" in ended.sentence
    (tmp_path / "fewer").mkdir()
    fewer = one.copied_to(tmp_path / "fewer" / "copy")
    for path in fewer.case("second").iterdir():
        path.unlink()
    fewer.case("second").rmdir()
    assert refused(one.out, fewer.out).code == 20


def test_a_withheld_case_is_listed(folders: dict[str, audits.Audit], tmp_path: Path) -> None:
    one = folders["one"]
    copy = one.copied_to(tmp_path / "copy")
    redact(copy.out, "second", "asked for", copy.private, audits.host(start=audits.START.replace(year=2027)))
    ended = call("diff", one.out, copy.out, "--fail-on", "incomplete")
    assert ended.code == 0, ended.err
    assert re.search(r"│ second +finished +withheld", ended.out)
    assert "Answers that changed: 0 of 1" in ended.out


def test_comparing_needs_no_model_library(folders: dict[str, audits.Audit], tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'gguf', 'accelerate'):\n"
        "    sys.modules[name] = None\n"
        f"sys.argv = ['attn-audit', 'diff', {str(folders['one'].out)!r}, {str(folders['other'].out)!r}, '--json']\n"
        "from attn_audit.cli.main import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["format"] == FORMAT


@pytest.mark.slow
@pytest.mark.model
def test_the_sample_cases_and_themselves(real_audit: Any, tmp_path: Path) -> None:
    ended = call("diff", real_audit.out, real_audit.out, "--html", tmp_path / "diff.html", "--fail-on", "policy")
    assert ended.code == 0, ended.err
    assert "Answers that changed: 0 of" in ended.out
    assert "Nothing changed in any case" in Page((tmp_path / "diff.html").read_bytes()).text

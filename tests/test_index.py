"""The page of a batch: findings first, every case reachable, and a strip for each that shows the whole input."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import make_records as make
from attn_audit.evidence.findings import PairFinding, Rule
from attn_audit.evidence.measured import AnswerScore, Evidence, Warn
from attn_audit.evidence.records import Content, Message
from attn_audit.evidence.statements import Redaction
from attn_audit.evidence.store import Sealed
from attn_audit.reports.attention import GROUPS, PLACES
from attn_audit.reports.first_words import first_words
from attn_audit.reports.heat_strip import COLUMNS, HEIGHT, Strip, heat_strip
from attn_audit.reports.pieces import pieces_of

CERTAIN = Warn(code="near-certain", sentence="The answer was nearly certain.", advice="Name a contrast.")


def case(case_id: str, verdict: str | None = None, **changes: Any) -> tuple[Content, Evidence]:
    content = make.content(case={"id": case_id})
    evidence = make.evidence(content, **changes)
    checks = None if verdict is None else make.checks(evidence.relevance, verdict)
    return content, evidence.model_copy(update={"checks": checks})


def named(found: tuple[Content, Evidence], case_id: str) -> tuple[Content, Evidence]:
    """The same under another id."""
    content, evidence = found
    renamed = content.model_copy(update={"case": content.case.model_copy(update={"id": case_id})})
    return renamed, evidence.model_copy(update={"case_id": case_id})


def varied() -> Sealed:
    """A batch with one of everything."""
    cases = {
        "loan-1": case("loan-1", "supported"),
        "doubtful": case("doubtful", "not supported"),
        "full": named(make.full_case(), "full"),
        "rich": named(make.rich_case(), "rich"),
        "arabic": named(of_text(make.ARABIC, make.ARABIC_ANSWER), "arabic"),
        "chinese": named(of_text(make.CHINESE, make.CHINESE_ANSWER), "chinese"),
        "hostile": named(of_text(make.HOSTILE, make.HOSTILE_ANSWER), "hostile"),
        "long": named(of_text(long_text(700), make.STEPS), "long"),
        "certain": case("certain", "cannot tell", warnings=(CERTAIN,)),
        "secret": case("secret", findings=make.FINDINGS, warnings=(CERTAIN,)),
    }
    plan, seal = make.batch(cases, failed={"too-long": TOO_LONG, "too-long-2": TOO_LONG, "odd": "no {{7*7}} <b>"})
    seal = seal.model_copy(update={"pairs": PAIRS, "skipped": 1, "failed": 2})
    last = seal.cases[-1].model_copy(update={"status": "skipped", "reason": "stopped by SIGTERM"})
    seal = seal.model_copy(update={"cases": (*seal.cases[:-1], last)})
    return withholding(plan, seal, cases, "secret")


TOO_LONG = "the prompt has 9,214 tokens, and the model reads 8,192"
PAIRS = tuple(
    PairFinding(
        policy="postcode makes no difference",
        severity="fail",
        outcome=outcome,
        case_id="loan-1",
        pair_with=other,
        rules=(Rule(rule="same_answer", held=held), Rule(rule="similar_map", limit=0.2, found=0.31, held=False)),
    )
    for outcome, other, held in (("broken", "certain", False), ("held", "rich", True))
)


def of_text(messages: Any, answer: str) -> tuple[Content, Evidence]:
    content = make.content(messages, answer)
    return content, make.evidence(content)


def long_text(words: int) -> tuple[Message, ...]:
    return (Message(role="user", content=" ".join(f"word{n}" for n in range(words))),)


def withholding(plan: Any, seal: Any, cases: Mapping[str, tuple[Content, Evidence]], case_id: str) -> Sealed:
    """The batch with the content of one case gone."""
    whole = make.sealed(plan, seal, cases)
    redaction = Redaction(
        tool=make.TOOL,
        created="2026-11-21T09:00:00Z",
        signer=make.SIGNER,
        case_id=case_id,
        withheld=("content.json", "report.html"),
        reason="ticket 7",
    )
    left = {name: found for name, found in cases.items() if name != case_id}
    return Sealed(plan, seal, left, whole.evidence, {case_id: redaction})


def clean() -> Sealed:
    cases = {f"loan-{n}": case(f"loan-{n}", "supported") for n in range(1, 4)}
    return make.sealed(*make.batch(cases), cases)


def empty() -> Sealed:
    return make.sealed(*make.batch({}, failed={"one": TOO_LONG, "two": "out of memory"}), {})


PAGES: dict[str, Callable[[], Sealed]] = {"varied": varied, "clean": clean, "empty": empty}


# -- what needs attention ---------------------------------------------------------------------------------------------


def page(sealed: Sealed) -> str:
    return make.index_page(sealed).decode()


def words(found: str) -> str:
    """The text of a piece of the page, on one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", re.sub("</td>|<br>", " ", found))).split())


def section(found: str, name: str) -> str:
    """The section with this heading's id."""
    start = found.index(f'<h2 id="{name}"')
    return found[start : found.index("</section>", start)]


def test_findings_come_first_and_link_to_their_cases() -> None:
    found = page(varied())
    headings = re.findall(r'<h2 id="(\w+)"', found)
    assert headings == ["attention", "totals", "table", "pairs", "overall", "cases"]
    attention = section(found, "attention")
    kinds = re.findall(r"<h3[^>]*>(.*?)</h3>", attention)
    assert kinds == [
        "Policies that must hold and do not",
        "Maps that are not supported, or were not checked",
        "Cases that did not finish",
        "Policies that only warn, or name nothing",
        "Warnings",
    ]
    said = words(attention)
    assert "postcode makes no difference: BROKEN (1 case) loan-1 beside certain: the two cases get different" in said
    assert "of sentences: NOT COMPARABLE (2 cases) rich: not measured as the policy asks: units" in said
    assert "NOT SUPPORTED: deleting the highest pieces" in said
    assert f"failed: {TOO_LONG} (2 cases) too-long, too-long-2" in said
    assert "skipped: stopped by SIGTERM (1 case) odd" in said
    assert re.search(r"near-certain: The answer was nearly certain .*\(3 cases\) rich, certain, secret", said)


def test_every_link_of_the_page_leads_somewhere() -> None:
    for make_it in PAGES.values():
        found = page(make_it())
        targets = re.findall(r'\bid="([^"]*)"', found)
        assert len(targets) == len(set(targets))
        inside = {link[1:] for link in re.findall(r'href="(#[^"]*)"', found)}
        assert inside <= set(targets)


def test_every_case_is_in_the_table_in_the_order_of_the_seal() -> None:
    sealed = varied()
    table = section(page(sealed), "table")
    rows = re.findall(r'<th scope="row">(.*?)</th>', table)
    assert [words(row) for row in rows] == [case.id for case in sealed.seal.cases]
    for case in sealed.cases:
        for view in ("html", "pdf"):
            assert f'href="cases/{case}/report.{view}"' in table
    assert "cases/secret/" not in table
    assert "cases/odd/" not in table


def test_a_withheld_case_shows_what_was_judged_and_no_text() -> None:
    found = page(varied())
    table = section(found, "table")
    row = words(table[table.index("<code>secret</code>") : table.index("<code>too-long</code>")])
    assert row.startswith("secret Content withheld not checked 2 fail, 2 warn, 1 holds; 1 warning")
    article = found[found.index('<h3 id="case-10"') :]
    article = words(article[: article.index("</article>")])
    assert "Content withheld since 2026-11-21T09:00:00Z by audit@bank.example" in article
    assert "ticket 7" in article
    assert "Refer" not in article


def test_a_batch_without_fault_says_so() -> None:
    said = words(section(page(clean()), "attention"))
    assert said.endswith("every map that was checked is supported, and there is no warning. No policy was stated.")


def test_a_batch_in_which_everything_failed() -> None:
    found = page(empty())
    assert f"failed: {TOO_LONG}" in words(section(found, "attention"))
    assert "No case was finished." in words(section(found, "cases"))
    assert "0 finished, 2 failed" in words(section(found, "totals"))


def test_long_lists_are_cut_and_say_so() -> None:
    cases = {f"c-{n}": case(f"c-{n}", findings=make.FINDINGS) for n in range(PLACES + 7)}
    plan, seal = make.batch(cases, failed={f"bad-{n}": f"reason {n}" for n in range(GROUPS + 3)})
    attention = words(section(page(make.sealed(plan, seal, cases)), "attention"))
    assert "7 more are marked in the table of all cases." in attention
    assert "and 7 more, in the table of all cases" in attention
    assert "3 more of this kind are left out here" in attention
    assert f"reason {GROUPS - 1} " in attention
    assert f"reason {GROUPS} " not in attention


def test_a_model_that_changed_is_the_first_thing_to_say() -> None:
    sealed = clean()
    seal = sealed.seal.model_copy(update={"model_root_after": "00" * 32})
    changed = Sealed(sealed.plan, seal, sealed.cases, sealed.evidence, {})
    assert words(section(page(changed), "attention")).startswith(
        "What needs attention The files of the model changed during the run"
    )


# -- the heat strip ---------------------------------------------------------------------------------------------------


def strip_of(values: Sequence[float | None], named: Sequence[int] = ()) -> Strip:
    """The strip of a case of so many words with these values."""
    content = make.content(long_text(len(values)), "Yes")
    scores = tuple(None if value is None else (-value,) for value in values)
    finding = make.FINDINGS[0].model_copy(update={"units": tuple(named)})
    answer = AnswerScore(source="generated", stop="end of turn", base=(0.0,))
    evidence = make.evidence(content, scores=scores, answer=answer, findings=(finding,))
    return heat_strip(evidence, pieces_of(content, evidence))


def columns(path: str) -> dict[int, int]:
    """Column -> height."""
    return {int(at): int(height) for at, height in re.findall(r"M(\d+) \d+v(-?\d+)", path)}


def test_a_strip_has_a_column_for_each_piece_in_order() -> None:
    found = strip_of([1.0, None, -2.0, 0.05, 0.0, 0.5], named=[2])
    assert found.columns == found.pieces == 6
    assert columns(found.above) == {0: -5, 5: -2}
    assert columns(found.below) == {2: 10}
    assert columns(found.ticks) == {2: 3}
    assert found.axis == "M-0.5 10H0.5M1.5 10H5.5"
    assert (found.strongest, found.nats, found.words) == (3, "−2.000", "word2")


def test_nothing_that_was_measured_makes_an_empty_strip() -> None:
    found = strip_of([None, None])
    assert (found.above, found.below, found.axis, found.strongest) == ("", "", "", 0)
    assert strip_of([0.0]).axis == "M-0.5 10H0.5"


@given(st.lists(st.none() | st.floats(-3, 3).map(lambda value: round(value, 3)), min_size=1, max_size=400))
@settings(max_examples=40, deadline=None)
def test_joined_columns_hide_neither_the_highest_nor_the_lowest(values: list[float | None]) -> None:
    found = strip_of(values)
    width = -(-len(values) // COLUMNS)
    assert found.columns == -(-len(values) // width) <= COLUMNS
    top = max((abs(value) for value in values if value), default=0.0)
    for path, sign in ((found.above, 1), (found.below, -1)):
        drawn = columns(path)
        for at in range(found.columns):
            held = [sign * value for value in values[width * at : width * (at + 1)] if value is not None]
            strongest = max(held, default=0.0)
            assert (at in drawn) == (top > 0 and strongest > 0 and strongest >= 0.05 * top)
            if at in drawn:
                assert abs(drawn[at]) == max(1, round(HEIGHT * strongest / top))


def test_every_strip_has_a_text_and_no_style_of_its_own() -> None:
    found = page(varied())
    strips = re.findall(r"<svg.*?</svg>", found)
    assert len(strips) == 10 - 1
    assert all(
        re.search(r'role="img".*<title>Strongest: piece \d+ of \d+, [+−][\d.]+ nats\.</title>', s) for s in strips
    )
    assert 'style="' not in found


def test_first_words_are_whole_and_never_through_a_character() -> None:
    assert first_words("one two three", 100) == "one two three"
    assert first_words("one two three", 9) == "one two …"
    assert first_words("one\n\ntwo", 100) == "one two"
    assert first_words("e\u0301" * 30, 5) == "e\u0301" * 3 + " …"
    assert first_words("x " + " " * 500 + "y", 5) == "x …"


@given(st.text(max_size=200), st.integers(5, 60))
def test_first_words_are_the_beginning_of_the_text(text: str, length: int) -> None:
    found = first_words(text, length)
    line = " ".join(text.split())
    assert found == line or line.startswith(found.removesuffix("…").rstrip())


# -- a large batch ----------------------------------------------------------------------------------------------------


def test_a_case_of_a_large_batch_takes_little_room() -> None:
    """benchmarks/batch.py measures the whole page of 1,000 cases; here a case of 77 pieces is held to 5 kB."""
    one, many = ({f"c-{n}": case(f"c-{n}", "supported", findings=make.FINDINGS) for n in range(k)} for k in (1, 41))
    sizes = [len(page(make.sealed(*make.batch(cases), cases))) for cases in (one, many)]
    assert (sizes[1] - sizes[0]) / 40 < 5_000


@pytest.mark.skipif(not (BROWSER := shutil.which("chromium") or shutil.which("google-chrome")), reason="no browser")
def test_a_browser_draws_the_strips_and_lays_the_page_out_at_390_pixels(tmp_path: Path) -> None:
    """The page must not be wider than the screen: a browser prints its own idea of it into the copy's title."""
    (tmp_path / "page.html").write_text(page(varied()), encoding="utf-8")
    (tmp_path / "frame.html").write_text(
        '<!DOCTYPE html><title>?</title><iframe src="page.html" width="390" height="800"></iframe><script>'
        "onload = () => { const d = document.querySelector('iframe').contentDocument; const box = d.querySelector("
        "'.strip .p').getBoundingClientRect(); document.title = [d.documentElement.scrollWidth <= 390, box.width > 50,"
        " box.height > 3, d.querySelectorAll('.strip').length].join(' '); };</script>",
        encoding="utf-8",
    )
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--dump-dom")
    command = (str(BROWSER), *flags, f"file://{tmp_path}/frame.html")
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert re.findall("<title>(.*?)</title>", shown)[0] == "true true true 9"

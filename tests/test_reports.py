"""Reports: what they show, that they show it safely, and that the same records give the same bytes."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import sys
import time
import urllib.request
from collections.abc import Callable
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
from pypdf import PdfReader
from rich.console import Console

import make_records as make
from attn_audit.evidence.checked import Checks
from attn_audit.evidence.digest import canonical, sha256
from attn_audit.evidence.errors import EvidenceError
from attn_audit.evidence.measured import AnswerUnit, Evidence, Method, Unit
from attn_audit.evidence.records import (
    Content,
    Message,
    Policy,
    Segment,
    Span,
)
from attn_audit.judge.relevance import ranking
from attn_audit.judge.screening import direct_relevance
from attn_audit.reports import html, limits, numbers, pdf, templates, terminal, text
from attn_audit.reports.profile import layers

HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\U000e0000-\U000e0fff]"
)
BOXES = {"said", "quote", "token"}
VOID = {"meta", "br", "link", "img", "input", "hr"}
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "header", "main", "footer", "section", "article"),
    *("h1", "h2", "h3", "p", "span", "strong", "b", "sup", "code", "pre", "q", "figure", "figcaption", "blockquote"),
    *("table", "caption", "thead", "tbody", "tr", "th", "td", "ol", "ul", "li", "dl", "dt", "dd", "div"),
    *("details", "summary", "svg", "rect", "path", "desc", "br", "a", "fieldset", "legend", "label", "input"),
}
needs_pdf = pytest.mark.skipif(pdf.missing_libraries() is not None, reason="the libraries of WeasyPrint are missing")


class Page(HTMLParser):
    """An HTML page as a list of elements and of texts with the classes they stand in."""

    def __init__(self, data: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, frozenset[str]]] = []
        self.comments: list[str] = []
        self.starts: list[tuple[str, str]] = []  # elements in order, each with the text up to the next one
        self._cells: list[tuple[str, dict[str, str | None], frozenset[str]]] = []
        self.rows: list[tuple[frozenset[str], list[str]]] = []  # classes around each row, text of its cells
        self._open: list[tuple[str, set[str]]] = []
        self.feed(data.decode())
        self.close()

    @property
    def text(self) -> str:
        return "".join(found for found, _ in self.texts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.starts.append((tag, ""))
        if tag == "tr":
            self.rows.append((self._classes(), []))
        if tag in {"td", "th"}:
            self.rows[-1][1].append("")
            self._cells.append((tag, dict(attrs), self._classes()))
        if tag not in VOID:
            self._open.append((tag, set((dict(attrs).get("class") or "").split())))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if not any(tag == "style" for tag, _ in self._open):
            self.texts.append((data, self._classes()))
            if self.starts:
                self.starts[-1] = (self.starts[-1][0], self.starts[-1][1] + data)
            if any(tag in {"td", "th"} for tag, _ in self._open):
                self.rows[-1][1][-1] += data

    def cells(self, table: str) -> list[tuple[str, dict[str, str | None]]]:
        """Cells of the tables of this class."""
        return [(tag, attributes) for tag, attributes, classes in self._cells if table in classes]

    def _classes(self) -> frozenset[str]:
        return frozenset().union(*(classes for _, classes in self._open))

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


@pytest.fixture(scope="module")
def hostile() -> tuple[Content, Evidence]:
    content = make.content(make.HOSTILE, make.HOSTILE_ANSWER, case={"notes": "<script>note</script>"})
    return content, make.evidence(
        content,
        model=make.model("<b>\u0435vil</b>\u202e{{7*7}}"),
        signer=make.SIGNER.model_copy(update={"principal": "\u0430udit@bank.example<script>"}),
        findings=(make.FINDINGS[0].model_copy(update={"policy": "<script>x</script>\u202e{{7*7}}"}),),
    )


@pytest.fixture(scope="module")
def hostile_pdf(hostile: tuple[Content, Evidence]) -> bytes:
    return pdf.report(*hostile)


def hostile_pages(hostile: tuple[Content, Evidence]) -> tuple[Page, Page]:
    plan, seal = make.batch({"loan-1": hostile}, failed={"bad": "no <script>x</script> \x1b[2J {{7*7}}"})
    return Page(html.report(*hostile)), Page(make.index_page(make.sealed(plan, seal, {"loan-1": hostile})))


def english(**changes: Any) -> tuple[Content, Evidence]:
    content = make.content()
    return content, make.evidence(content, **changes)


# -- content in reports (attacks 32 to 39 and 43) ---------------------------------------------------------------------


def test_attack_32_markup_of_the_case_is_text(hostile: tuple[Content, Evidence]) -> None:
    for page in hostile_pages(hostile):
        assert {tag for tag, _ in page.elements} <= TAGS
        assert not page.comments
        for _, attributes in page.elements:
            assert not [name for name in attributes if name.startswith("on") or name in {"style", "src", "srcdoc"}]
        assert "<script>" in page.text
    assert make.HOSTILE[0].content.split(" \u202e")[0] in hostile_pages(hostile)[0].text


def test_attack_33_template_syntax_of_the_case_is_text(hostile: tuple[Content, Evidence]) -> None:
    report, index = hostile_pages(hostile)
    assert "{{7*7}}" in report.text
    assert "{{ config }}" in report.text
    assert "{{7*7}}" in index.text


@needs_pdf
def test_attack_34_nothing_is_ever_fetched(hostile: tuple[Content, Evidence], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(urllib.request.OpenerDirector, "open", lambda _, url, *rest, **more: asked.append(url))
    said, measured = hostile
    data = pdf.report(said, measured)
    assert asked == []
    assert list(PdfReader(BytesIO(data)).attachments) == ["evidence.json"]
    assert b"root:" not in data


def test_attack_35_no_link_comes_from_content(hostile: tuple[Content, Evidence]) -> None:
    report, index = hostile_pages(hostile)
    assert not [1 for tag, _ in report.elements if tag == "a"]
    links = [attributes["href"] for tag, attributes in index.elements if tag == "a"]
    assert set(links) == {"#case-1", "#case-2", "cases/loan-1/report.html", "cases/loan-1/report.pdf"}


def test_attack_35_an_id_that_is_no_id_is_not_linked() -> None:
    case = english()
    plan, seal = make.batch({"javascript:alert(1)": case})
    with pytest.raises(EvidenceError, match="is not a case id"):
        make.index_page(make.sealed(plan, seal, {"javascript:alert(1)": case}))


def test_attack_36_hidden_characters_are_shown_and_counted(hostile: tuple[Content, Evidence]) -> None:
    for page in hostile_pages(hostile):
        assert not HIDDEN.search(page.text)
    report, _ = hostile_pages(hostile)
    for point in ("202E", "200B", "E0041", "FE0F", "001B"):
        assert f"⟨U+{point}⟩" in report.text
    count = text.hidden(make.HOSTILE[0].content) + text.hidden(make.HOSTILE_ANSWER)
    assert count == 17
    assert f"{count} characters of the messages and answers" in report.text
    assert "\u202e" in hostile[0].case.messages[0].content


@needs_pdf
def test_attack_36_hidden_characters_are_shown_in_the_pdf(hostile_pdf: bytes) -> None:
    words = "".join(page.extract_text() for page in PdfReader(BytesIO(hostile_pdf)).pages)
    assert "⟨U+202E⟩" in words
    assert not HIDDEN.search(words)


def test_attack_36_a_written_code_point_differs_from_a_shown_one() -> None:
    content = make.content([Message(role="user", content="⟨U+202E⟩ and \u202e")])
    shown = Page(html.report(content, make.evidence(content)))
    styled = [classes for found, classes in shown.texts if found == "⟨U+202E⟩" and "map" in classes]
    assert [("cp" in classes) for classes in styled].count(True) == 1


def test_attack_37_look_alike_names_show_their_code_points(hostile: tuple[Content, Evidence]) -> None:
    report, _ = hostile_pages(hostile)
    assert "\u0435⟨U+0435⟩vil" in report.text
    assert "\u0430⟨U+0430⟩udit@bank.example" in report.text
    assert text.exact("loan-1") == "loan-1"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("时间", "时间"),
        ("保修期 2", "保修期 2"),
        ("サービスの名前", "サービスの名前"),
        ("이름", "이름"),
        ("مدة الضمان (شهر)", "مدة الضمان (شهر)"),
        ("שם_פרטי", "שם_פרטי"),
        ("नाम", "नाम"),
        ("নাম", "নাম"),
        ("ชื่อ", "ชื่อ"),
        ("பெயர்", "பெயர்"),
        ("age", "age"),
        # A hidden character is written out, and hides no other.
        ("时\u202e间", "时⟨U+202E⟩间"),
        ("\u200b", "⟨U+200B⟩"),
        # Cyrillic, Greek, Latin with marks, Armenian, Cherokee: each has letters that look like those of ASCII.
        ("\u0430ge", "\u0430⟨U+0430⟩ge"),
        ("\u0430\u0440", "\u0430⟨U+0430⟩\u0440⟨U+0440⟩"),
        ("\u03bf", "\u03bf⟨U+03BF⟩"),
        ("\u0131d", "\u0131⟨U+0131⟩d"),
        ("\u0570", "\u0570⟨U+0570⟩"),
        ("\u13aa", "\u13aa⟨U+13AA⟩"),
        # Scripts that are mixed, with ASCII letters or with one another; digits and marks that look like ASCII.
        ("age时", "age时⟨U+65F6⟩"),
        ("时ا", "时⟨U+65F6⟩ا⟨U+0627⟩"),
        ("\u0665", "\u0665⟨U+0665⟩"),
        ("\u0966", "\u0966⟨U+0966⟩"),
        ("\u3147", "\u3147⟨U+3147⟩"),
        ("\uff41", "\uff41⟨U+FF41⟩"),
        ("时\u0301", "时⟨U+65F6⟩\u0301⟨U+0301⟩"),
    ],
)
def test_attack_37_names_of_one_script_are_shown_as_they_are(given: str, shown: str) -> None:
    assert text.name(given) == shown


@pytest.mark.parametrize("given", ["时间", "\u0430ge"])
def test_names_that_a_case_file_gives_are_shown_alike_everywhere(given: str) -> None:
    content, evidence = make.full_case(named={given: "2,900"}, parts={given: "Refer"})
    page, shown = Page(html.report(content, evidence)).text, _terminal(content, evidence, colour=None)
    for found in (page, shown):
        assert f"field {text.name(given)}" in found
        assert f"art of the answer: {text.name(given)}" in found or found is page


@needs_pdf
def test_attack_38_missing_glyphs_become_a_warning() -> None:
    content = make.content([Message(role="user", content="an unassigned character: \u0378.")])
    words = PdfReader(BytesIO(pdf.report(content, make.evidence(content)))).pages[0].extract_text()
    words = words.replace("\0", "")  # pypdf reads the two-byte codes of a font with missing glyphs as bytes
    assert "Missing glyphs" in words
    assert "U+0378" in words


@pytest.mark.parametrize("colour", [None, "truecolor"])
def test_attack_39_no_escape_sequence_reaches_the_terminal(hostile: tuple[Content, Evidence], colour: Any) -> None:
    shown = _terminal(*hostile, colour=colour)
    own = re.compile(r"\x1b\[[0-9;]*m")
    plain = own.sub("", shown)
    assert not HIDDEN.search(plain)
    assert "⟨U+001B⟩" in plain
    assert "[red]markup" in plain
    assert "VERIFIED</h2>" in plain


def test_attack_43_text_of_the_case_stands_in_boxes_only(hostile: tuple[Content, Evidence]) -> None:
    for page in hostile_pages(hostile):
        for found, classes in page.texts:
            if "VERIFIED" in found or "report is verified" in found:
                assert classes & BOXES, found


# -- the page itself --------------------------------------------------------------------------------------------------


def test_the_policy_names_the_only_stylesheet_and_nothing_else() -> None:
    plan, seal = make.batch({"loan-1": english()})
    for data in (html.report(*english()), make.index_page(make.sealed(plan, seal, {"loan-1": english()}))):
        source = data.decode()
        styles = re.findall(r"<style>(.*?)</style>", source, re.DOTALL)
        assert len(styles) == 1
        digest = base64.b64encode(hashlib.sha256(styles[0].encode()).digest()).decode()
        policy = next(a["content"] for _, a in Page(data).elements if a.get("http-equiv") == "Content-Security-Policy")
        assert policy == (
            f"default-src 'none'; style-src 'sha256-{digest}'; img-src 'none'; font-src data:; "
            "base-uri 'none'; form-action 'none'"
        )
        assert "<script" not in source
        assert " style=" not in source


def test_the_same_records_give_the_same_html() -> None:
    assert html.report(*english()) == html.report(*english())


@needs_pdf
def test_the_same_records_give_the_same_pdf() -> None:
    first = pdf.report(*english())
    time.sleep(1.1)  # a second later: no clock may show
    assert pdf.report(*english()) == first


@needs_pdf
def test_the_pdf_holds_the_evidence_and_names_its_digest_on_page_one() -> None:
    content, evidence = english()
    reader = PdfReader(BytesIO(pdf.report(content, evidence)))
    raw = canonical(evidence)
    assert reader.attachments["evidence.json"] == [raw]
    assert {entry.get_object()["/AFRelationship"] for entry in reader.trailer["/Root"]["/AF"]} == {"/Data"}
    first = reader.pages[0].extract_text()
    assert sha256(raw) in first
    assert f"Page 1 of {len(reader.pages)}" in first
    assert any("Heat-map" in str(entry.get("/Title")) for entry in reader.outline if isinstance(entry, dict))
    assert "pdfaid:part" in reader.trailer["/Root"]["/Metadata"].get_data().decode()


@needs_pdf
def test_pdf_prints_nothing(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    content = make.content([Message(role="user", content="\u0378")])
    pdf.report(content, make.evidence(content))
    assert capfd.readouterr() == ("", "")
    assert not [record for record in caplog.records if record.name == "weasyprint"]


def test_missing_libraries_are_one_sentence_with_the_line_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    sentence = pdf.missing_libraries()
    assert sentence is not None
    assert "apt-get install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fontconfig" in sentence


def test_page_one_says_what_a_reader_must_know_before_the_map() -> None:
    content, evidence = make.rich_case()
    before = Page(html.report(content, evidence)).text.split("Heat-map of the input")[0]
    for words in (
        "TEST KEY",
        "SUPPLIED",
        "Approve the application.",
        "Not reproduced",
        "Faithfulness: not checked, since the settings ask for none.",
        "Warning (near-certain):",
        "“no protected attribute”",
        "BROKEN",
        "share of the positive relevance 12.3\N{NO-BREAK SPACE}%, at most 5.0\N{NO-BREAK SPACE}% allowed",
        "NOT COMPARABLE",
        "not measured as the policy asks: units",
        "Method: changed from the default: units = word (flag).",
        evidence.signer.key_id,
        evidence.model.root,
        sha256(canonical(evidence)),
    ):
        assert words in before, words


def test_the_report_of_a_case_says_where_policies_on_pairs_are_judged() -> None:
    said = "on pairs of cases are judged on the index page of the batch."
    policy = Policy(name="alike", pair_with="other")
    for make_case in (make.rich_case, make.full_case):
        content, evidence = make_case()
        assert said not in Page(html.report(content, evidence)).text
        content = content.model_copy(update={"case": content.case.model_copy(update={"policies": (policy,)})})
        assert Page(html.report(content, evidence)).text.count(said) == 1
        assert said in " ".join(_terminal(content, evidence, colour=None).split())


def test_the_template_of_a_prompt_from_right_to_left_runs_from_left_to_right() -> None:
    content = make.content(make.ARABIC, make.ARABIC_ANSWER)
    page = html.report(content, make.evidence(content)).decode()
    prompt = page[page.index('<details class="prompt">') :]
    assert '<pre dir="rtl"' in prompt
    assert prompt.count('class="frozen"') == prompt.count('class="frozen" dir="ltr"') > 0


def test_a_long_prompt_is_not_printed_twice() -> None:
    said = "is left out of this print, since it repeats the whole input; content.json has it."
    assert said not in html.report(*make.full_case()).decode()
    page = html.report(*make.long_case(2500, 20)).decode()
    assert said in page
    assert '<details class="prompt screen">' in page


def test_an_unsigned_report_says_so_and_a_signed_one_does_not() -> None:
    assert "UNSIGNED: nobody vouches for this report" in Page(html.report(*english(signer=None))).text
    assert "UNSIGNED" not in Page(html.report(*english())).text
    assert "TEST KEY" not in Page(html.report(*english())).text


def test_no_report_claims_what_it_cannot() -> None:
    plan, seal = make.batch({"loan-1": english()})
    pages = (
        html.report(*english()),
        html.report(*make.rich_case()),
        make.index_page(make.sealed(plan, seal, {"loan-1": english()})),
    )
    for page in pages:
        words = Page(page).text.lower()
        assert not [claim for claim in ("compliant", "certified", "proves why") if claim in words]


def test_all_ten_limits_are_printed_with_their_version() -> None:
    printed = Page(html.report(*english())).text
    known = limits.limits_text()
    assert len(known.limits) == 10
    assert all(limit.sentence in printed for limit in known.limits)
    assert f"version {known.version}" in printed


def test_limits_of_another_version_are_refused() -> None:
    with pytest.raises(EvidenceError, match="names the limits text '1999'"):
        html.report(*english(limits="1999"))


@pytest.mark.parametrize("case", [make.full_case, english])
def test_the_case_can_be_read_in_the_map_word_for_word(case: Callable[[], tuple[Content, Evidence]]) -> None:
    content, evidence = case()
    page = Page(html.report(content, evidence))
    drawn = "".join(found for found, classes in page.texts if "map" in classes and "aside" not in classes)
    values = re.sub(r"[+−]\d+\.\d\d(?!\d)", "", drawn)
    for message in content.case.messages:
        assert message.content in values


def test_many_units_are_cut_to_the_first_and_the_last_and_it_is_said() -> None:
    content = make.content([Message(role="user", content=" ".join(f"w{n}" for n in range(250)))])
    page = Page(html.report(content, make.evidence(content)))
    assert "The first 100 and the last 20 of 250 pieces are shown; 130 between them are left out." in page.text
    assert "130 pieces left out" in page.text


def test_a_case_without_units_is_drawn() -> None:
    page = Page(html.report(*english(units=(), scores=())))
    assert "No piece of the input supported this answer" in page.text


def test_every_table_names_its_columns_or_its_rows() -> None:
    page = Page(html.report(*make.rich_case()))
    heads = [attributes for tag, attributes in page.elements if tag == "th"]
    assert heads
    assert all(attributes.get("scope") in {"row", "col"} for attributes in heads)
    assert ("html", {"lang": "en"}) in page.elements


def test_the_index_says_what_failed_and_why() -> None:
    plan, seal = make.batch({"loan-1": english()}, failed={"bad-1": "the prompt is longer than the context"})
    page = Page(make.index_page(make.sealed(plan, seal, {"loan-1": english()})))
    for words in ("1 finished, 1 failed, 0 skipped, of 2 planned", "bad-1", "the prompt is longer than the context"):
        assert words in page.text
    assert "The content of this case is not here." in Page(make.index_page(make.sealed(plan, seal, {}))).text


def test_the_terminal_reads_without_colour_at_80_columns() -> None:
    shown = _terminal(*make.rich_case(), colour=None)
    assert max(len(line) for line in shown.splitlines()) <= 80
    for words in (
        "not verified",
        "TEST KEY",
        "[two +1.80]",
        "NOT COMPARABLE",
        "not checked (checks: none)",
    ):
        assert words in shown


# -- what was not measured, and what was measured beside the map -------------------------------------------------------


@pytest.fixture(scope="module")
def full() -> tuple[Content, Evidence]:
    return make.full_case()


@pytest.fixture(scope="module")
def full_page(full: tuple[Content, Evidence]) -> Page:
    return Page(html.report(*full))


def section(page: Page, title: str) -> str:
    """The text of the section of this title, up to the next section."""
    edges = [n for n, (tag, _) in enumerate(page.starts) if tag == "section"]
    for edge, after in zip(edges, [*edges[1:], len(page.starts)], strict=True):
        found = "".join(page.starts[n][1] for n in range(edge, after))
        if found.strip().startswith(title):
            return " ".join(found.split())
    raise AssertionError(f"no section {title!r}")


def rows(page: Page, table: str) -> list[list[str]]:
    """The cells of the rows of all tables of this class, without the headings."""
    found = [[" ".join(cell.split()) for cell in cells] for classes, cells in page.rows if table in classes]
    headings = {"Rank", "Name", "Pieces", "No.", "Piece"}
    return [cells for cells in found if cells[0] not in headings]


def marks(page: Page) -> list[tuple[str, str]]:
    """Class and note of each run of the heat-map."""
    found = [attributes for tag, attributes in page.elements if tag == "span"]
    notes = [(one.get("class") or "", one.get("aria-label") or one.get("data-v") or "") for one in found]
    return [(style.split()[0], note) for style, note in notes if note]


def test_page_one_says_how_much_was_measured(full_page: Page) -> None:
    before = full_page.text.split("Heat-map of the input")[0]
    assert "28 of 74 pieces were measured; the others looked unpromising in a cheaper test" in before
    assert "Shares are of the positive relevance of the measured pieces." in before
    assert "pieces were measured" not in Page(html.report(*english())).text


def test_a_piece_that_was_not_measured_looks_like_none_that_was(
    full: tuple[Content, Evidence], full_page: Page
) -> None:
    values = {unit.id: value for unit, value in zip(full[1].units, full[1].relevance, strict=True)}
    found = {note.split(":")[0]: (style, note) for style, note in marks(full_page)}
    assert found.keys() == values.keys()
    for name, (style, note) in found.items():
        assert (values[name] is None) == (style == "h-none") == (note == f"{name}: not measured"), note
    legend = "".join(found for found, classes in full_page.texts if "legend" in classes)
    assert "not measured" in legend
    assert "screened out as unpromising" in legend
    css = (templates.templates_folder() / "report.css").read_text()
    assert re.search(r"\.h-none \{[^}]*dotted", css)
    assert css.count("dotted") == 3  # the others: the frame of a written-out code point, and the thin line of noise
    assert "not measured" not in "".join(note for _, note in marks(Page(html.report(*english()))))


def test_a_piece_that_was_not_measured_has_no_number_and_no_row(
    full: tuple[Content, Evidence], full_page: Page
) -> None:
    ranking = section(full_page, "Ranking of the measured pieces")
    for unit, value in zip(full[1].units, full[1].relevance, strict=True):
        assert bool(re.search(rf"\b{unit.id}\b", ranking)) == (value is not None)
    assert "46 further pieces were not measured" in ranking
    shown = _terminal(*full, colour=None)
    assert "46 further pieces" in " ".join(shown.split())
    assert not re.search(r"\bNone\b", full_page.text + shown)


def test_a_run_of_pieces_is_unmeasured_only_when_all_of_it_is() -> None:
    content = make.content([Message(role="user", content="e\u0301a")])
    units = tuple(make.unit(number, 0, at, at + 1) for number, at in enumerate(range(3)))
    base = make.evidence(content, units=units).answer.base
    half = make.evidence(content, units=units, scores=(None, tuple(b - 1.0 for b in base), None))
    assert [style for style, _ in marks(Page(html.report(content, half)))] == ["h-pos-5", "h-none"]
    none = make.evidence(content, units=units, scores=(None, None, None))
    page = Page(html.report(content, none))
    assert [style for style, _ in marks(page)] == ["h-none", "h-none"]
    assert "No measured piece of the input supported this answer" in page.text
    assert "No piece of the input was measured." in page.text


def test_the_direct_effect_is_a_column_of_its_own(full: tuple[Content, Evidence], full_page: Page) -> None:
    ranking = section(full_page, "Ranking of the measured pieces")
    assert "Direct only: the same fall when the piece is hidden only from the positions that predict" in ranking
    assert "+8.550 22.7 % +4.275" in ranking.replace("\n", " ")
    assert "Direct" in _terminal(*full, colour=None)
    assert "Direct only" not in Page(html.report(*english())).text


def test_the_direct_effect_is_compared_with_the_contrast_too() -> None:
    content, evidence = make.full_case(contrast="Approve the application.")
    assert evidence.direct is not None
    assert evidence.contrast is not None
    direct = direct_relevance(evidence.answer.base, evidence.direct, evidence.contrast.base)
    first = ranking(evidence.relevance)[0]
    row = next(line for line in rows(Page(html.report(content, evidence)), "ranking") if line[0] == "1")
    assert row[6] == numbers.nats(direct[first])
    assert "Named parts, steps and layers: of this answer alone" in _terminal(content, evidence, colour=None)
    alone = direct_relevance(evidence.answer.base, evidence.direct, None)
    assert row[6] != numbers.nats(alone[first])


def test_groups_show_the_values_added_up_and_the_value_together(
    full: tuple[Content, Evidence], full_page: Page
) -> None:
    found = section(full_page, "Pieces that say alike, hidden together")
    assert "linked by cosines of their embeddings of at least 0.9" in found
    assert rows(full_page, "groups") == [
        [
            ". u5, is u14These 2 pieces act about independently: their values roughly add up.",
            *("+7.125", "+1.700", ""),
        ],
        [ANY, "not all measured", "+0.100", ""],
    ]
    assert "‹.›, ‹is›" in _terminal(*full, colour=None)


def test_the_profile_has_a_column_for_each_band_of_layers(full: tuple[Content, Evidence], full_page: Page) -> None:
    found = rows(full_page, "profile")
    assert len(found) == 8  # four pieces in two tables of four bands
    assert found[0] == [". u5", "+1.680", "0.000", "+1.260", "−0.420"]
    headings = section(full_page, "In which layers the highest pieces act")
    for words in ("layers 0–3", "layers 28–31"):
        assert words in headings
        assert re.search(rf" {words.removeprefix('layers ')} ", _terminal(*full, colour=None))
    assert layers((3, 4)) == "layer 3"


def test_parts_of_the_answer_are_quoted_with_what_drove_them(full: tuple[Content, Evidence], full_page: Page) -> None:
    found = section(full_page, "What drove the named parts of the answer")
    _, evidence = full
    assert evidence.parts[0].tokens is not None
    start, stop = evidence.parts[0].tokens
    likely = numbers.plain(numbers.probability(sum(evidence.answer.base[start:stop])))
    top = numbers.nats(max(value for value in evidence.parts[0].relevance if value is not None))
    for words in ("Part: decision", "Refer the application", f"Probability: {likely}", f"{top} nats"):
        assert words in found
    assert "Part: price Not found in the answer." in found
    shown = " ".join(_terminal(*full, colour=None).split())
    assert f"‹Refer the application›, probability after what precedes it: {likely}" in shown
    assert "Part of the answer: price Not found in the answer." in shown


def test_a_stated_reason_stands_beside_what_drove_the_decision() -> None:
    """In these records the first sentence of the input drives the decision, the second one the reason."""
    said = {"decision": "The two missed payments", "rationale": "She has paid on time since"}
    content, evidence = make.full_case(parts=said)
    found = section(Page(html.report(content, evidence)), "The reason that the answer gives")
    for words in (
        "Stated reason: written by the model; not evidence",
        *said.values(),
        "it is not what drove the decision. The two columns below agree to 0.00",
        "the confabulation gap is 1.00",
    ):
        assert words in found
    assert "Confabulation gap 1.00." in " ".join(_terminal(content, evidence, colour=None).split())
    assert evidence.self_explanation is not None
    same = evidence.self_explanation.model_copy(update={"agreement": 0.88})
    page = Page(html.report(content, evidence.model_copy(update={"self_explanation": same})))
    assert (
        "The stated reason hangs on the same sentences as the decision. The two columns below agree to 0.88"
        in page.text
    )


def test_steps_of_the_answer_count_only_for_what_comes_after(full: tuple[Content, Evidence], full_page: Page) -> None:
    found = rows(full_page, "steps")
    assert found == [  # 0.11 and 0.22 nats for each of 11 and 4 later tokens, three of them the decision
        ["1", "The two missed payments weigh more than her income.", "+1.210", "decision +0.330rationale +0.660"],
        ["2", "She has paid on time since.", "+0.880", "decision +0.660rationale does not come after"],
        [
            "3",
            "Refer the application.",
            "nothing comes after",
            "decision does not come afterrationale does not come after",
        ],
    ]
    warning = "The answer's own words are the model's text, not evidence of its reasons; only the measured effect is."
    assert warning in section(full_page, "Which steps of the answer drove the rest of it")
    assert "not evidence of reasons" in _terminal(*full, colour=None)


def test_a_report_shows_only_what_was_measured() -> None:
    page = Page(html.report(*english()))
    titles = ("Fields and named", "named parts of the answer", "say alike, hidden", "Which steps", "In which layers")
    assert not [words for words in titles if words in page.text]
    assert "Also measured" not in page.text
    shown = _terminal(*english(), colour=None)
    assert not [words for words in ("Fields", "Part of", "hidden together", "steps", "band of") if words in shown]


def test_fields_stand_on_page_one_with_value_and_rank(full: tuple[Content, Evidence], full_page: Page) -> None:
    expected = [
        ["field age", "34", "+0.285", "0.8 %", "11 of 28", "hardly mattered alone"],
        ["field income", "2,900 euros", "+0.190", "0.5 %", "14 of 28", "hardly mattered alone"],
        ["field town", "Riverton", "−0.190", "–", "22 of 28", "hardly mattered alone"],
    ]
    assert rows(full_page, "named") == expected
    assert "Fields and named pieces of the case" in full_page.text.split("Heat-map of the input")[0]
    shown = _terminal(*full, colour=None, top=1)
    for name, _, value, _, rank, _ in expected:
        assert re.search(rf"{re.escape(value)} .*{rank} +{name}", shown)


def test_a_field_that_was_not_measured_says_so() -> None:
    content, evidence = make.full_case()
    age = next(index for index, unit in enumerate(evidence.units) if unit.name == "age")
    scores = tuple(None if index == age else row for index, row in enumerate(evidence.scores))
    values = tuple(None if index == age else value for index, value in enumerate(evidence.relevance))
    changed = evidence.model_copy(update={"scores": scores, "relevance": values, "parts": ()})
    assert rows(Page(html.report(content, changed)), "named")[-1] == ["field age", "34", "not measured", "–", "–", "–"]
    assert re.search(r"not +– +– +field age .*\n *measured", _terminal(content, changed, colour=None))


def test_the_terminal_brackets_a_piece_with_its_value(full: tuple[Content, Evidence]) -> None:
    shown = _terminal(*full, colour=None)
    for words in ("[approved +8.55]", "[declined −2.38]", "{~assist a loan officer~}", "was not measured (screened"):
        assert words in shown
    assert "28 of 74 pieces; the others looked unpromising in a cheaper test" in " ".join(shown.split())
    assert max(len(line) for line in shown.splitlines()) <= 80
    assert "Beware" not in shown


@pytest.mark.parametrize("fake", ["a [postcode −3.00] b", "a {~nothing~} b"])
def test_the_terminal_warns_of_text_that_looks_like_its_marks(fake: str) -> None:
    content = make.content([Message(role="user", content=fake)])
    assert "Beware: the case's own text holds brackets" in " ".join(
        _terminal(content, make.evidence(content), colour=None).split()
    )


def test_on_a_narrow_screen_no_cell_of_a_card_loses_its_heading() -> None:
    page = Page(html.report(*make.full_case()))
    cells = page.cells("cards")
    assert cells
    without = [a for tag, a in cells if tag == "td" and "data-label" not in a]
    known = {"grow", "gap", "token-cell", "bar-cell", "figure-cell"}
    assert all(set((attributes.get("class") or "").split()) & known for attributes in without)
    css = (templates.templates_folder() / "report.css").read_text()
    assert not re.search(r"\.(id|where)\b[^{]*\{[^}]*display: none", css)


def test_what_was_set_by_a_limit_of_seconds_is_named() -> None:
    changed = {
        "settings": make.settings(effort=("full", "default"), max_seconds=("60", "flag")),
        "method": Method(units="word", effort="screened", default=False),
    }
    page = Page(html.report(*english(**changed)))
    assert "Method: changed from the default: max_seconds = 60 (flag)." in page.text


def test_the_record_says_how_pieces_were_chosen_and_what_was_planned(full_page: Page) -> None:
    found = section(full_page, "How it was measured")
    assert "Pieces measured28 of 74" in found
    assert "the most promising, by the gradient of the answer's log-probability" in found
    assert "Seconds planned for the sweep25.0" in section(full_page, "Environment")
    assert "Weights packed for this processoryes" in section(full_page, "Environment")


VERDICTS = {
    "supported": "Faithfulness: supported. Deleting the highest pieces from the text lowered the answer's "
    "log-probability by +2.333 nats on average; of 99 random choices of as many pieces none did as much (p = 0.01).",
    "not supported": "Faithfulness: NOT SUPPORTED.",
    "cannot tell": "Faithfulness: cannot tell.",
}


@pytest.mark.parametrize("verdict", VERDICTS)
def test_the_verdict_stands_above_the_map(verdict: str) -> None:
    content, evidence = english()
    checked = evidence.model_copy(update={"checks": make.checks(evidence.relevance, verdict)})
    before = Page(html.report(content, checked)).text.split("Heat-map of the input")[0]
    assert [said for said in VERDICTS.values() if said in before] == [VERDICTS[verdict]]
    plan, seal = make.batch({"loan-1": (content, checked)})
    words = {
        "supported": "supported by deleting",
        "not supported": "NOT SUPPORTED by",
        "cannot tell": "cannot tell: too",
    }
    for shown in (
        Page(make.index_page(make.sealed(plan, seal, {"loan-1": (content, checked)}))).text,
        _terminal(content, checked, colour=None),
    ):
        assert words[verdict] in " ".join(shown.split())


def test_what_the_map_was_held_against(full_page: Page) -> None:
    found = section(full_page, "Checks of this map")
    assert "8 +1.000+0.089+0.200+3.000+3.911" in found.replace("8+1", "8 +1"), (
        "as many pieces deleted: the highest, and the median of random ones"
    )
    assert "p = 0.01; up to 0.02 counts as supported" in found
    assert "by +5.200 nats, with all of them deleted by +6.100" in found
    assert "These 5 pieces carry the same information: alone each looks weak, together they decide." in found
    assert "attentioncannot be had from this model" in found
    assert "soft 0.1100.0 %100.0 %" in found
    assert "soft 0.01cannot be applied to this model" in found
    assert "She earns 2,900 euros. Approved or not?She49.7 %0.0 %0.0 %" in found
    assert "Not run at this level" not in found


def test_what_was_not_checked_is_said() -> None:
    content, evidence = english()
    checks = make.checks(evidence.relevance)
    basic = Checks(faithfulness=checks.faithfulness)
    pages = [
        Page(html.report(content, evidence.model_copy(update={"checks": one}))).text
        for one in (checks, basic, Checks(not_run="seconds"))
    ]
    assert ["Not run at this level of checks" in page for page in pages] == [False, True, False]
    assert "not checked, since the limit of seconds left no time for it" in pages[2]


def test_the_rounding_of_a_sweep_is_told() -> None:
    content, evidence = english()
    noisy = evidence.sweep.model_copy(update={"noise": 0.0123})
    page = Page(html.report(content, evidence.model_copy(update={"sweep": noisy})))
    assert "came out up to 0.012 nats away" in section(page, "How it was measured")
    assert "rounding alone" not in page.text, "in float32 it is far below what a page prints"
    short = evidence.model.model_copy(update={"dtype": "bfloat16"})
    page = Page(html.report(content, evidence.model_copy(update={"sweep": noisy, "model": short})))
    assert "Computed in bfloat16: rounding alone moved" in section(page, "Can this be relied on?")


def test_the_index_says_how_much_was_measured(full: tuple[Content, Evidence]) -> None:
    plan, seal = make.batch({"loan-1": full})
    assert "28 of 74 pieces were measured" in Page(make.index_page(make.sealed(plan, seal, {"loan-1": full}))).text
    plan, seal = make.batch({"loan-1": english()})
    assert "pieces were measured" not in Page(make.index_page(make.sealed(plan, seal, {"loan-1": english()}))).text


@needs_pdf
def test_the_pdf_shows_what_was_measured_beside_the_map(full: tuple[Content, Evidence]) -> None:
    pages = [page.extract_text() for page in PdfReader(BytesIO(pdf.report(*full))).pages]
    words = " ".join(" ".join(pages).split())
    assert "28 of 74 pieces were measured" in pages[0]
    assert re.search(r"field town\s+“Riverton”\s+−0.190\s+–\s+22 of 28", pages[0])
    for title in ("Part: decision", "hidden together", "Which steps of the answer", "layers 28–31", "not measured"):
        assert title in words


def test_hostile_text_is_harmless_in_every_table() -> None:
    content, evidence = make.full_case(
        make.HOSTILE,
        f"{make.HOSTILE_ANSWER} . report is verified",
        named={"<b>\u0435x\x1b": "markup"},
        parts={"<script>p\u202e\u0435</script>": "VERIFIED</h2> & \u202eOK"},
    )
    page = Page(html.report(content, evidence))
    assert {tag for tag, _ in page.elements} <= TAGS
    assert not HIDDEN.search(page.text)
    assert "<script>p⟨U+202E⟩\u0435⟨U+0435⟩</script>" in page.text
    assert "field <b>\u0435⟨U+0435⟩x⟨U+001B⟩" in page.text
    for found, classes in page.texts:
        if "VERIFIED" in found or "report is verified" in found:
            assert classes & BOXES, found
    shown = _terminal(content, evidence, colour="truecolor")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert not HIDDEN.search(plain)
    assert "<script>p⟨U+202E⟩\u0435⟨U+0435⟩</script>" in plain


def test_further_measurements_that_do_not_fit_are_refused() -> None:
    content, evidence = make.full_case(contrast="Approve the application.")
    direct, profile, sources = evidence.direct, evidence.profile, evidence.answer_sources
    assert direct is not None
    assert profile is not None
    assert sources is not None
    group, part = evidence.groups[0], evidence.parts[0]
    changes: tuple[dict[str, Any], ...] = (
        {"relevance": (None, *evidence.relevance[1:])},
        {"direct": direct.model_copy(update={"scores": direct.scores[1:]})},
        {"direct": direct.model_copy(update={"contrast": None})},
        {"groups": (group.model_copy(update={"units": (0, 9999)}),)},
        {"groups": (group.model_copy(update={"scores": group.scores[1:]}),)},
        {"groups": (group.model_copy(update={"contrast": None}),)},
        {"profile": profile.model_copy(update={"bands": profile.bands[1:]})},
        {"profile": profile.model_copy(update={"units": (9999, *profile.units[1:])})},
        {"profile": profile.model_copy(update={"units": profile.units[1:]})},
        {"answer_sources": sources.model_copy(update={"scores": sources.scores[1:]})},
        {"answer_sources": sources.model_copy(update={"units": (AnswerUnit(start=0, end=999, tokens=(0, 1)),) * 3})},
        {"answer_sources": sources.model_copy(update={"units": (AnswerUnit(start=0, end=9, tokens=(0, 99)),) * 3})},
        {"parts": (part.model_copy(update={"tokens": (0, 99)}),)},
        {"parts": (part.model_copy(update={"tokens": (1, 1)}),)},
        {"parts": (part.model_copy(update={"relevance": part.relevance[1:]}),)},
    )
    html.report(content, evidence)
    for change in changes:
        with pytest.raises(EvidenceError):
            html.report(content, evidence.model_copy(update=change))


# -- colours ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_on_every_heat_colour_can_be_read(theme: str) -> None:
    roots = re.findall(r":root \{(.*?)\}", (templates.templates_folder() / "report.css").read_text(), re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", roots[("light", "dark").index(theme)]))
    heat = [name for name in colours if re.fullmatch(r"(pos|neg)-\d", name)]
    assert len(heat) == 10
    pairs = [("heat-ink", name) for name in heat]
    pairs += [("ink", "paper"), ("ink", "box"), ("soft", "paper"), ("soft", "box"), ("alarm", "alarm-paper")]
    pairs += [("ink", "alarm-paper"), ("link", "paper"), ("cp", "box"), ("cp", "paper")]
    for ink, paper in pairs:
        assert _contrast(colours[ink], colours[paper]) >= 4.5, (ink, paper)


def _contrast(first: str, second: str) -> float:
    """WCAG 2.2 contrast ratio of two sRGB colours."""
    light, dark = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


# -- templates --------------------------------------------------------------------------------------------------------


def test_the_digest_changes_with_any_template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = templates.template_digest()
    folder = tmp_path / "templates"
    shutil.copytree(templates.templates_folder(), folder)
    monkeypatch.setattr(templates, "templates_folder", lambda: folder)
    assert templates.template_digest() == original
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        before = path.read_bytes()
        path.write_bytes(before + b" ")
        assert templates.template_digest() != original, path.name
        path.write_bytes(before)
    (folder / "report.css").rename(folder / "other.css")
    assert templates.template_digest() != original


# -- offsets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spans", "sentence"),
    [
        ([(0, 0, 9999)], "does not lie in"),
        ([(7, 0, 1)], "there is no message 7"),
        ([(0, 5, 5)], "holds no character"),
        ([(0, 6, 5)], "does not lie in"),
        ([(0, 0, 4), (0, 3, 6)], "overlap at character 3"),
    ],
)
def test_wrong_spans_are_refused(spans: list[tuple[int, int, int]], sentence: str) -> None:
    units = tuple(make.unit(number, *span) for number, span in enumerate(spans))
    with pytest.raises(EvidenceError, match=sentence):
        html.report(*english(units=units))


def test_records_that_do_not_fit_together_are_refused() -> None:
    content, evidence = english()
    for changed in (
        evidence.model_copy(update={"case_id": "other"}),
        evidence.model_copy(update={"relevance": evidence.relevance[1:]}),
        evidence.model_copy(update={"scores": ((0.0,), *evidence.scores[1:])}),
        evidence.model_copy(update={"frozen": ((0, 10_000),)}),
    ):
        with pytest.raises(EvidenceError):
            html.report(content, changed)


def test_a_segment_that_points_at_other_text_is_refused() -> None:
    content, evidence = english()
    moved = content.prompt.model_copy(update={"segments": (Segment(message=0, start=0, end=5, rendered=0),)})
    with pytest.raises(EvidenceError, match="has another text there"):
        html.report(content.model_copy(update={"prompt": moved}), evidence)


def test_units_that_cut_a_character_are_drawn_joined() -> None:
    family = "a 👩\u200d👧 e\u0301 z"
    content = make.content([Message(role="user", content=family)])
    units = tuple(make.unit(number, 0, at, at + 1) for number, at in enumerate(range(len(family))))
    page = Page(html.report(content, make.evidence(content, units=units)))
    titles = [note for _, note in marks(page)]
    assert len(titles) == 7
    assert sum(title.count(";") for title in titles) == 3
    assert "(part of a character)" in page.text


def test_a_unit_of_several_spans_is_one_row() -> None:
    spans = (Span(message=0, start=0, end=3), Span(message=1, start=4, end=13))
    unit = Unit(id="u0", kind="named", name="who", spans=spans, runs=((2, 3), (9, 10)))
    page = Page(html.report(*english(units=(unit,))))
    assert "You … applicant" in page.text
    assert "1 system, 2 user" in page.text


# -- small helpers ----------------------------------------------------------------------------------------------------


def test_numbers_are_written_with_sign_and_in_words() -> None:
    assert numbers.nats(1.23456) == "+1.235"
    assert numbers.nats(-0.5) == "−0.500"
    assert numbers.nats(-0.0001) == "0.000"
    assert numbers.probability(0.0) == "100.0\N{NO-BREAK SPACE}%", "the sign stays with its number"
    assert numbers.probability(-9.7) == "about 1 in 16,000"
    assert numbers.probability(-4000.0) == "less than 1 in 10^15"


def test_visible_keeps_what_can_be_seen() -> None:
    assert text.visible("a\tb\nc é 字 ع 👩") == "a\tb\nc é 字 ع 👩"
    assert text.visible("\r\u2028\ud800\ue000") == "⟨U+000D⟩⟨U+2028⟩⟨U+D800⟩⟨U+E000⟩"
    assert text.direction("1. مرحبا abc") == "rtl"
    assert text.direction("1. abc مرحبا") == "ltr"


def _terminal(content: Content, evidence: Evidence, *, colour: Any, top: int = 5) -> str:
    console = Console(width=80, force_terminal=colour is not None, color_system=colour, record=False, file=_Sink())
    console.print(terminal.case_view(content, evidence, top=top, verified="not verified: no trust file was given"))
    return console.file.text  # type: ignore[attr-defined]


class _Sink:
    """What a console wrote."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

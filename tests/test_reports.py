"""Reports: what they show, that they show it safely, and that the same records give the same bytes."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import sys
import time
import urllib.request
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader
from rich.console import Console

import make_records as make
from attn_audit.evidence.digest import canonical, sha256
from attn_audit.evidence.errors import EvidenceError
from attn_audit.evidence.records import Content, Evidence, Message, Segment, Span, Unit
from attn_audit.reports import html, limits, numbers, pdf, templates, terminal, text

HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\U000e0000-\U000e0fff]"
)
BOXES = {"said", "quote", "token"}
VOID = {"meta", "br", "link", "img", "input", "hr"}
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "header", "main", "footer", "section", "article"),
    *("h1", "h2", "h3", "p", "span", "strong", "b", "sup", "code", "pre", "q", "figure", "figcaption", "blockquote"),
    *("table", "caption", "thead", "tbody", "tr", "th", "td", "ol", "ul", "li", "dl", "dt", "dd", "div"),
    *("details", "summary", "svg", "rect", "br", "a"),
}
needs_pdf = pytest.mark.skipif(pdf.missing_libraries() is not None, reason="the libraries of WeasyPrint are missing")


class Page(HTMLParser):
    """An HTML page as a list of elements and of texts with the classes they stand in."""

    def __init__(self, data: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, frozenset[str]]] = []
        self.comments: list[str] = []
        self._open: list[tuple[str, set[str]]] = []
        self.feed(data.decode())
        self.close()

    @property
    def text(self) -> str:
        return "".join(found for found, _ in self.texts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append((tag, set((dict(attrs).get("class") or "").split())))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if not any(tag == "style" for tag, _ in self._open):
            self.texts.append((data, frozenset().union(*(classes for _, classes in self._open))))

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


@pytest.fixture(scope="module")
def hostile() -> tuple[Content, Evidence]:
    content = make.content(make.HOSTILE, make.HOSTILE_ANSWER, case={"notes": "<script>note</script>"})
    return content, make.evidence(
        content,
        model=make.model("<b>\u0435vil</b>\u202e{{7*7}}"),
        signer=make.SIGNER.model_copy(update={"principal": "\u0430udit@bank.example<script>"}),
        not_evaluated=("policy <script>x</script>",),
    )


@pytest.fixture(scope="module")
def hostile_pdf(hostile: tuple[Content, Evidence]) -> bytes:
    return pdf.report(*hostile)


def hostile_pages(hostile: tuple[Content, Evidence]) -> tuple[Page, Page]:
    plan, seal = make.batch({"loan-1": hostile}, failed={"bad": "no <script>x</script> \x1b[2J {{7*7}}"})
    return Page(html.report(*hostile)), Page(html.index(plan, seal, {"loan-1": hostile}))


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
    assert links == ["cases/loan-1/report.html", "cases/loan-1/report.pdf"]


def test_attack_35_an_id_that_is_no_id_is_not_linked() -> None:
    case = english()
    plan, seal = make.batch({"javascript:alert(1)": case})
    with pytest.raises(EvidenceError, match="is not a case id"):
        html.index(plan, seal, {"javascript:alert(1)": case})


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
    for data in (html.report(*english()), html.index(plan, seal, {"loan-1": english()})):
        source = data.decode()
        styles = re.findall(r"<style>(.*?)</style>", source, re.DOTALL)
        assert len(styles) == 1
        digest = base64.b64encode(hashlib.sha256(styles[0].encode()).digest()).decode()
        policy = next(a["content"] for _, a in Page(data).elements if a.get("http-equiv") == "Content-Security-Policy")
        assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; font-src data:"
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
        "Faithfulness: not checked by this version.",
        "Warning (near-certain):",
        "NOT EVALUATED",
        "policy “no protected attribute”",
        "Method: changed from the default: units = word (flag).",
        evidence.signer.key_id,
        evidence.model.root,
        sha256(canonical(evidence)),
    ):
        assert words in before, words


def test_an_unsigned_report_says_so_and_a_signed_one_does_not() -> None:
    assert "UNSIGNED: nobody vouches for this report" in Page(html.report(*english(signer=None))).text
    assert "UNSIGNED" not in Page(html.report(*english())).text
    assert "TEST KEY" not in Page(html.report(*english())).text


def test_no_report_claims_what_it_cannot() -> None:
    plan, seal = make.batch({"loan-1": english()})
    pages = (html.report(*english()), html.report(*make.rich_case()), html.index(plan, seal, {"loan-1": english()}))
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


def test_the_case_can_be_read_in_the_map_word_for_word() -> None:
    content, evidence = english()
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
    page = Page(html.index(plan, seal, {"loan-1": english()}))
    for words in ("1 finished, 1 failed, 0 skipped, of 2 planned", "bad-1", "the prompt is longer than the context"):
        assert words in page.text
    assert "The content of this case is not here." in Page(html.index(plan, seal, {})).text


def test_the_terminal_reads_without_colour_at_80_columns() -> None:
    shown = _terminal(*make.rich_case(), colour=None)
    assert max(len(line) for line in shown.splitlines()) <= 80
    for words in ("not verified", "TEST KEY", "two[+1.80]", "NOT EVALUATED: rationale", "not checked by this version"):
        assert words in shown


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
    titles = [attributes["title"] for tag, attributes in page.elements if tag == "span" and attributes.get("title")]
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
    assert numbers.probability(0.0) == "100.0 %"
    assert numbers.probability(-9.7) == "about 1 in 16,000"
    assert numbers.probability(-4000.0) == "less than 1 in 10^15"


def test_visible_keeps_what_can_be_seen() -> None:
    assert text.visible("a\tb\nc é 字 ع 👩") == "a\tb\nc é 字 ع 👩"
    assert text.visible("\r\u2028\ud800\ue000") == "⟨U+000D⟩⟨U+2028⟩⟨U+D800⟩⟨U+E000⟩"
    assert text.direction("1. مرحبا abc") == "rtl"
    assert text.direction("1. abc مرحبا") == "ltr"


def _terminal(content: Content, evidence: Evidence, *, colour: Any) -> str:
    console = Console(width=80, force_terminal=colour is not None, color_system=colour, record=False, file=_Sink())
    console.print(terminal.case_view(content, evidence, top=5, verified="not verified: no trust file was given"))
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

"""What verify says of a PDF that somebody forged and signed. The numbers are those of the list of attacks."""

from __future__ import annotations

import base64
import contextlib
import re
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pypdf import PdfReader, PdfWriter
from pypdf.annotations import FreeText, Link
from pypdf.generic import ArrayObject, DictionaryObject, NameObject, NumberObject, TextStringObject

import audits
import make_records as make
from attn_audit.evidence.digest import canonical
from attn_audit.evidence.errors import EvidenceError
from attn_audit.evidence.measured import Evidence, Setting
from attn_audit.evidence.png import read_png, rgba
from attn_audit.evidence.records import Content, Letterhead, Message
from attn_audit.reports import html, pdf
from attn_audit.verify.pdf import check_pdf
from audits import Audit
from pictures import picture, pictures

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.skipif(pdf.missing_libraries() is not None, reason="the libraries of WeasyPrint are missing")
Case = tuple[Content, Evidence]
FIRST = "first"
MIXED = (
    "שלום עולם 2900 (ok), हिन्दी क्ष में, ไทย, x\u0304 = 3, é e\u0301 ﬁ fi Ω \u2126 µ μ 10² 🙂 한국어 日本語 １２ "
    "\u3000 \t ⟨U+202E⟩ \u202e ½ → العَرَبيّة ﷺ لله"
)
NOTICE = "cannot draw 1 different character of this case: ⟨U+0041⟩. Read them in content.json or in the HTML report."


def said(text: str, answer: str = make.ENGLISH_ANSWER, **more: Any) -> Case:
    content = make.content([Message(role="user", content=text)], answer, **more)
    return content, make.evidence(content)


@pytest.fixture(scope="module")
def case() -> Case:
    return said("The applicant earns 2,900 euros. Approved or declined?")


@pytest.fixture(scope="module")
def drawn(case: Case) -> bytes:
    return pdf.report(*case)


def forged(case: Case, monkeypatch: pytest.MonkeyPatch, change: Callable[[str], str]) -> bytes:
    """The PDF of another page than the one that follows, with the right evidence attached."""

    def other(content: Content, evidence: Evidence, *, missing_glyphs: tuple[str, ...]) -> str:
        before = html.page(content, evidence, missing_glyphs=missing_glyphs)
        assert change(before) != before
        return change(before)

    monkeypatch.setattr(pdf, "page", other)
    return pdf.report(*case)


def rewritten(data: bytes, change: Callable[[PdfWriter], object]) -> bytes:
    """The PDF with something changed by a careful program: whole, of one revision, and of the same version."""
    writer = PdfWriter(clone_from=BytesIO(data))
    writer.pdf_header = "%PDF-1.7"
    change(writer)
    out = BytesIO()
    writer.write(out)
    return out.getvalue()


def refused(data: bytes, case: Case) -> str:
    with pytest.raises(EvidenceError) as caught:
        check_pdf(data, *case)
    assert caught.value.exit_code == 20
    return str(caught.value)


# -- what is as it should be ------------------------------------------------------------------------------------------

CASES: dict[str, Callable[[], Case]] = {
    "rich": make.rich_case,
    "full": make.full_case,
    "with a contrast": lambda: make.full_case(contrast="Approve the application."),
    "Arabic": lambda: said((make.ARABIC[0].content + " ") * 30, make.ARABIC_ANSWER),
    "Chinese": lambda: said(make.CHINESE[0].content, make.CHINESE_ANSWER),
    "hostile": lambda: said(make.HOSTILE[0].content, make.HOSTILE_ANSWER),
    "every script": lambda: said(MIXED),
    "glyphs missing": lambda: said("".join(map(chr, range(0x6FB93, 0x6FBA8)))),
    "looks like the notice": lambda: said("nothing", f"{NOTICE} {NOTICE}"),
    "long columns": lambda: said("x\n" * 200, "No. " * 190, case={"observed_answer": "y\n" * 19}),
    "long answers": lambda: said("x", "She has paid 2,900 euros. " * 300, case={"observed_answer": "No. " * 900}),
    "a row over two pages": lambda: said("x", batch={"purpose": "Check what drives referrals. " * 300}),
    "many rows": lambda: said(" ".join(f"w{number}" for number in range(150))),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_report_is_accepted(name: str) -> None:
    case = CASES[name]()
    left_out = check_pdf(pdf.report(*case), *case)
    assert (left_out > 0) == (name in {"Arabic", "every script"})


def test_a_rewritten_report_is_accepted(case: Case, drawn: bytes) -> None:
    """So that what is refused below is refused for its change."""
    assert check_pdf(rewritten(drawn, lambda writer: None), *case) == 0


def test_an_audit_with_pdfs_verifies(made_with_pdf: Audit) -> None:
    found = audits.report(made_with_pdf)
    assert audits.failures(found) == {}
    assert [check.outcome for check in found.checks if check.name == "pdf"] == ["ok", "ok"]


# -- another text -----------------------------------------------------------------------------------------------------

HEAD = "<table><thead><tr><th>Approved by all</th></tr></thead></table>"
TEXTS: dict[str, Callable[[str], str]] = {
    "a number": lambda page: re.sub(r'(data-label="Nats">.)(\d)', r"\g<1>9\2", page, count=1),
    "a sign": lambda page: page.replace('data-label="Nats">−', 'data-label="Nats">+', 1),
    "a word": lambda page: page.replace("was not measured", "was now measured"),
    "the verdict": lambda page: page.replace("Faithfulness: not checked,", "Faithfulness: supported,"),
    "a sentence more": lambda page: page.replace("</h1>", "</h1><p>Approved by all.</p>"),
    "a sentence less": lambda page: page.replace("Pieces that carry the same information hide each other. ", ""),
    "a warning less": lambda page: page.replace("<li>No warnings were raised.</li>", ""),
    "the answer": lambda page: page.replace("Refer the application", "Grant the application"),
    "the answer's case": lambda page: page.replace("Refer the application", "refer the application"),
    "two rows exchanged": lambda page: _exchanged(page, "<tr>", 5, 6),
    "two cells exchanged": lambda page: _exchanged(page, "<td", 8, 9),
    "a row twice": lambda page: page.replace("</tbody>", "<tr><th>Name</th><td>x</td></tr></tbody>", 1),
    "a table head twice": lambda page: _exchanged(page, "<thead>", 1, 1, "<thead><tr><th>Rank</th></tr>"),
    "a table head more": lambda page: page.replace("</h1>", f"</h1>{HEAD}"),
    "the last line": lambda page: page.replace("Text in boxes comes", "Text in boxes does not come"),
    "the last line left out": lambda page: re.sub("<footer>.*</footer>", "", page),
    "the case": lambda page: page.replace('"running-case">Case loan-1', '"running-case">Case loan-2'),
    "the title": lambda page: page.replace("<title>Audit report", "<title>Approved report"),
    "a notice of missing glyphs": lambda page: page.replace(
        "<li>No warnings", f"<li>Missing glyphs: {NOTICE}</li><li>No w"
    ),
}


def _exchanged(page: str, mark: str, first: int, second: int, new: str = "") -> str:
    parts = page.split(mark)
    if new:
        parts[first] = new.removeprefix(mark) + parts[first]
    else:
        parts[first], parts[second] = parts[second], parts[first]
    return mark.join(parts)


@pytest.mark.parametrize("name", TEXTS)
def test_attack_58_a_pdf_with_another_text(case: Case, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "report.pdf" in refused(forged(case, monkeypatch, TEXTS[name]), case)


RIGHT_TO_LEFT: dict[str, Callable[[str], str]] = {
    "a number": lambda page: page.replace("2900", "9200"),
    "a word": lambda page: page.replace("الشهر", "الأسبوع"),
    "letters of a word": lambda page: page.replace("سنة", "نسة"),
    "a word less": lambda page: page.replace("الطلب ", ""),
}


@pytest.mark.parametrize("name", RIGHT_TO_LEFT)
def test_attack_58_a_pdf_with_another_arabic_text(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = said("مقدمة الطلب عمرها 34 سنة ودخلها 2900 يورو في الشهر.", make.ARABIC_ANSWER)
    assert "does not follow" in refused(forged(case, monkeypatch, RIGHT_TO_LEFT[name]), case)


HIDDEN = {
    "white": "color: white",
    "small": "font-size: 1pt",
    "transparent": "color: rgba(0, 0, 0, 0.05)",
    "opacity": "opacity: 0.01",
    "invisible": "visibility: hidden",
    "off the page": "position: relative; left: -900px",
    "clipped text": "display: none",
    "turned around": "direction: rtl; unicode-bidi: bidi-override",
}


@pytest.mark.parametrize("name", HIDDEN)
def test_attack_58_a_pdf_that_hides_its_warnings(case: Case, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = f".checks, .checks * {{ {HIDDEN[name]} !important }}</style>"
    data = forged(case, monkeypatch, lambda page: page.replace("</style>", rule))
    assert "report.pdf" in refused(data, case)


# -- the letterhead and the paper -------------------------------------------------------------------------------------


def headed(**more: Any) -> Case:
    letterhead = Letterhead(colour="#0b4f9e", address="1 Sample Street", **{"logo": LOGO, **more})
    return said("x", batch={"organisation": "Sample Bank", "letterhead": letterhead})


LOGO = base64.b64encode((ROOT / "sample_cases" / "letterhead.png").read_bytes()).decode()
GREY = base64.b64encode(picture(rows=b"\x00\x7f\x00", kind=0)).decode()


@pytest.fixture(scope="module")
def with_logo() -> tuple[Case, bytes]:
    case = headed()
    return case, pdf.report(*case)


@pytest.mark.parametrize("logo", [None, LOGO, GREY])
@pytest.mark.parametrize("size", ["a4", "letter"])
def test_a_letterhead_is_accepted_on_each_paper(logo: str | None, size: str) -> None:
    content, evidence = headed(logo=logo)
    case = content, audits.changed(evidence, settings=(Setting(name="paper", value=size, origin="flag"),))
    data = pdf.report(*case)
    assert check_pdf(data, *case) == 0
    assert check_pdf(rewritten(data, lambda writer: None), *case) == 0
    other = "a4" if size == "letter" else "letter"
    elsewhere = audits.changed(case[1], settings=(Setting(name="paper", value=other, origin="flag"),))
    assert "not of the size that the settings name" in refused(data, (content, elsewhere))


@pytest.mark.slow
@given(data=pictures())
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_logo_is_drawn_and_compared(data: bytes) -> None:
    case = headed(logo=base64.b64encode(data).decode())
    assert check_pdf(pdf.report(*case), *case) == 0


LETTERHEADS: dict[str, Callable[[str], str]] = {
    "another organisation": lambda page: page.replace(">Sample Bank<", ">Simple Bank<"),
    "another address": lambda page: page.replace("1 Sample Street", "2 Sample Street"),
    "no label": lambda page: page.replace("Letterhead from the case file", ""),
    "another label": lambda page: page.replace("Letterhead from the case file", "Certified by"),
    "no logo": lambda page: re.sub("<img[^>]*>", "", page),
    "the logo twice": lambda page: re.sub("(<img[^>]*>)", r"\1\1", page),
    "another text for those who listen": lambda page: page.replace('alt="Logo from the case file"', 'alt="Verified"'),
    "a tiny logo": lambda page: page.replace("</style>", ".logo { width: 4pt !important }</style>"),
    "the logo on another page": lambda page: page.replace("</style>", ".letterhead { break-before: page }</style>"),
}


@pytest.mark.parametrize("name", LETTERHEADS)
def test_attack_58_a_pdf_with_another_letterhead(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = headed()
    assert "report.pdf" in refused(forged(case, monkeypatch, LETTERHEADS[name]), case)


@pytest.mark.parametrize("other", ["one byte", "another size", "without transparency"])
def test_attack_58_a_pdf_with_another_logo(other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn from the very page of this report, so that nothing but the points of the picture differs."""
    size = 192 * 192
    points = bytearray(rgba(read_png(base64.b64decode(LOGO))))
    points[4 * (size // 2 + 96)] ^= 1
    if other == "without transparency":
        points[3::4] = b"\xff" * size
    rows = b"".join(b"\0" + bytes(points[at : at + 768]) for at in range(0, len(points), 768))
    data = picture() if other == "another size" else picture(192, 192, rows, kind=6)
    monkeypatch.setattr(pdf, "_logo", lambda letterhead: {"data:image/png;base64," + LOGO: data})
    case = headed()
    assert "report.pdf has another logo" in refused(pdf.report(*case), case)


def _image(change: Callable[[Any], object]) -> Callable[[PdfWriter], object]:
    def rewrite(writer: PdfWriter) -> None:
        objects = writer.pages[0]["/Resources"]["/XObject"]
        change(next(iter(objects.values())).get_object())

    return rewrite


def _figure_elsewhere(writer: PdfWriter) -> None:
    node = writer.root_object["/StructTreeRoot"]["/K"][0].get_object()
    node[NameObject("/Alt")] = TextStringObject("Approved")


IMAGES: dict[str, Callable[[PdfWriter], object]] = {
    "its colours turned over": _image(
        lambda image: image.update({NameObject("/Decode"): ArrayObject([NumberObject(n) for n in (1, 0) * 3])})
    ),
    "without its mask": _image(lambda image: image.pop("/SMask")),
    "of another width": _image(lambda image: image.update({NameObject("/Width"): NumberObject(191)})),
    "of a width that is none": _image(lambda image: image.update({NameObject("/Width"): TextStringObject("x")})),
    "without a width": _image(lambda image: image.pop("/Width")),
    "in another space of colours": _image(lambda image: image.update({NameObject("/ColorSpace"): NameObject("/Lab")})),
    "with points that are none": _image(lambda image: image.set_data(b"\0" * 50)),
    "with another picture for print": _image(
        lambda image: image.update({NameObject("/Alternates"): ArrayObject([DictionaryObject()])})
    ),
    "with a text where there is no figure": _figure_elsewhere,
}


@pytest.mark.parametrize("name", IMAGES)
def test_attack_58_a_logo_that_was_changed_in_the_file(with_logo: tuple[Case, bytes], name: str) -> None:
    case, data = with_logo
    assert "report.pdf" in refused(rewritten(data, IMAGES[name]), case)


@pytest.mark.parametrize("size", ["a4", "letter"])
@pytest.mark.parametrize(
    "case_id", ["W" * 64, "loan-2026-11-26.applicant-0000000001.consumer-credit.branch-0042x"[:64]]
)
def test_a_long_id_is_read_in_the_margin(size: str, case_id: str) -> None:
    content, evidence = said("x", case={"id": case_id})
    case = content, audits.changed(evidence, settings=(Setting(name="paper", value=size, origin="flag"),))
    assert check_pdf(pdf.report(*case), *case) == 0


# -- attachments, actions, pages --------------------------------------------------------------------------------------


def _attach(name: str) -> Callable[[PdfWriter], object]:
    return lambda writer: writer.add_attachment(name, b"{}")


def _catalog(key: str, value: Any) -> Callable[[PdfWriter], object]:
    return lambda writer: writer.root_object.update({NameObject(key): value})


def _action(kind: str, **more: Any) -> DictionaryObject:
    named = {NameObject(f"/{key}"): value for key, value in more.items()}
    return DictionaryObject({NameObject("/S"): NameObject(f"/{kind}"), **named})


def _page(key: str, value: Any) -> Callable[[PdfWriter], object]:
    return lambda writer: writer.pages[0].update({NameObject(key): value})


def _contents(change: Callable[[bytes, str], bytes]) -> Callable[[PdfWriter], object]:
    """Other operators on the first page, made of those there and the name of a font."""

    def rewrite(writer: PdfWriter) -> None:
        page = writer.pages[0]
        stream = page.get_contents()
        stream.set_data(change(stream.get_data(), next(iter(page["/Resources"]["/Font"]))))
        page[NameObject("/Contents")] = writer._add_object(stream)

    return rewrite


def _actual_text(writer: PdfWriter) -> None:
    node = writer.root_object["/StructTreeRoot"]["/K"][0].get_object()
    node[NameObject("/ActualText")] = TextStringObject("Approved")


def _bookmark(writer: PdfWriter) -> None:
    entry = writer.root_object["/Outlines"]["/First"].get_object()
    entry[NameObject("/Title")] = TextStringObject("Faithfulness: supported")


def _loop(writer: PdfWriter) -> None:
    node = writer.root_object["/StructTreeRoot"]["/K"][0].get_object()
    node["/K"].append(node.indirect_reference)


def _renamed(writer: PdfWriter) -> None:
    names = writer.root_object["/Names"]["/EmbeddedFiles"]["/Names"]
    names[0] = TextStringObject("other.json")
    for key in ("/F", "/UF"):
        names[1].get_object()[NameObject(key)] = TextStringObject("other.json")


SCRIPT = _action("JavaScript", JS=TextStringObject("app.alert('approved')"))
REWRITES: dict[str, Callable[[PdfWriter], object]] = {
    "a second attachment": _attach("notes.json"),
    "a second evidence.json": _attach("evidence.json"),
    "the attachment renamed": _renamed,
    "a script": lambda writer: writer.root_object["/Names"].update({NameObject("/JavaScript"): SCRIPT}),
    "a script when opened": _catalog("/OpenAction", SCRIPT),
    "a program when opened": _catalog("/OpenAction", _action("Launch", F=TextStringObject("calc.exe"))),
    "a script when printed": _catalog("/AA", DictionaryObject({NameObject("/WP"): SCRIPT})),
    "a form": _catalog("/AcroForm", DictionaryObject({NameObject("/Fields"): ArrayObject()})),
    "layers": _catalog("/OCProperties", DictionaryObject()),
    "an unknown entry": _catalog("/Extensions", DictionaryObject()),
    "a note on a page": lambda writer: writer.add_annotation(0, FreeText(text="Approved", rect=(50, 50, 200, 200))),
    "a link": lambda writer: writer.add_annotation(0, Link(rect=(50, 50, 200, 200), url="https://evil.example")),
    "a script of a page": _page("/AA", DictionaryObject({NameObject("/O"): SCRIPT})),
    "a page turned": _page("/Rotate", NumberObject(180)),
    "a page cut": _page("/CropBox", ArrayObject([NumberObject(n) for n in (0, 0, 100, 100)])),
    "a page of another size": _page("/MediaBox", ArrayObject([NumberObject(n) for n in (0, 0, 100, 100)])),
    "an empty page more": lambda writer: writer.add_blank_page(595.275591, 841.889764),
    "a page less": lambda writer: writer.remove_page(1),
    "a page twice": lambda writer: writer.add_page(writer.pages[0]),
    "text over the page": _contents(lambda data, font: data + f"\nBT {font} 40 Tf [<0024>] TJ ET".encode()),
    "text of another kind": _contents(lambda data, font: data + f"\nBT {font} 40 Tf <0024> Tj ET".encode()),
    "invisible text": _contents(lambda data, font: data.replace(b"BT", b"3 Tr BT", 1)),
    "a picture": _contents(lambda data, font: data + b"\nBI /W 1 /H 1 /BPC 8 /CS /G ID \xff EI"),
    "a letter more": _contents(lambda data, font: data.replace(b"TJ", b"TJ [<0024>] TJ", 1)),
    "another text for those who listen": _actual_text,
    "another bookmark": _bookmark,
    "a structure that never ends": _loop,
    "encrypted": lambda writer: writer.encrypt("", "owner", algorithm="AES-256"),
    "encrypted with a password": lambda writer: writer.encrypt("secret", algorithm="AES-256"),
}


@pytest.mark.parametrize("name", REWRITES)
def test_attack_58_a_pdf_with_something_more_or_less(case: Case, drawn: bytes, name: str) -> None:
    assert "report.pdf" in refused(rewritten(drawn, REWRITES[name]), case)


def test_attack_02_the_attachment_is_not_the_evidence(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    other = audits.changed(case[1], plan="22" * 32)
    monkeypatch.setattr(pdf, "canonical", lambda _: canonical(other))
    assert "what is attached is not evidence.json alone" in refused(pdf.report(*case), case)


def test_attack_58_a_second_revision(case: Case, drawn: bytes) -> None:
    """The changes stand behind the file, as editors write them; some programs show the first, some the last."""
    writer = PdfWriter(BytesIO(drawn), incremental=True)
    writer.root_object[NameObject("/Lang")] = TextStringObject("de")
    out = BytesIO()
    writer.write(out)
    assert len(out.getvalue()) > len(drawn)
    assert "one revision" in refused(out.getvalue(), case)


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "not a PDF": lambda data: b"<html></html>",
    "head and tail": lambda data: b"%PDF-1.7\nstartxref\n0\n%%EOF\n",
    "half": lambda data: data[: len(data) // 2],
    "half with a tail": lambda data: data[: len(data) // 2] + data[-40:],
    "without its end": lambda data: data[:-3],
    "something in front": lambda data: b"MZ" + data,
    "something behind": lambda data: data + b"PK\x03\x04",
    "the table of objects elsewhere": lambda data: data[: data.rindex(b"startxref")] + b"startxref\n17\n%%EOF\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_attack_58_a_pdf_that_is_not_whole(case: Case, drawn: bytes, name: str) -> None:
    assert "report.pdf" in refused(BROKEN[name](drawn), case)


BOMBS: dict[str, Callable[[PdfWriter], object]] = {
    "a content of 100 MB": _contents(lambda data, font: b"q Q " * (25 << 20)),
    "arrays in arrays": _contents(lambda data, font: b"[" * 100_000 + b"]" * 100_000 + b" TJ"),
    "restored without end": _contents(lambda data, font: b"Q " * 1000),
    "no operator": _contents(lambda data, font: b"\xff\x00" * 50_000),
    "a table of characters of 80 MB": lambda writer: _unicode(writer).set_data(b"<0001> <0041>\n" * (6 << 20)),
}


def _unicode(writer: PdfWriter) -> Any:
    return next(iter(writer.pages[0]["/Resources"]["/Font"].values())).get_object()["/ToUnicode"].get_object()


@pytest.mark.parametrize("name", BOMBS)
def test_a_pdf_that_breaks_readers_is_refused_in_time(case: Case, drawn: bytes, name: str) -> None:
    data = rewritten(drawn, lambda writer: (BOMBS[name](writer), writer.compress_identical_objects())[0])
    began = time.monotonic()
    refused(data, case)
    assert time.monotonic() - began < 60


# -- in an audit ------------------------------------------------------------------------------------------------------


def replaced(audit: Audit, data: bytes) -> Any:
    """All results when the trusted key signs this PDF in the first case."""
    audits.recase(audit.case(FIRST), audit.private, files={"report.pdf": data})
    audits.reseal(audit.out, audit.private)
    return audits.report(audit)


def test_attack_58_a_forged_pdf_signed_by_the_trusted_key(
    audit_with_pdf: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = audit_with_pdf.case(FIRST)
    case = (audits.content_of(folder), audits.evidence_of(folder))
    found = replaced(
        audit_with_pdf,
        forged(case, monkeypatch, lambda page: page.replace("not proof", "proof").replace("nats", "NATS")),
    )
    assert found.exit_code == 20
    assert list(audits.failures(found)) == [(FIRST, "pdf")]


def test_attack_03_the_pdf_of_another_case_signed_by_the_trusted_key(audit_with_pdf: Audit) -> None:
    found = replaced(audit_with_pdf, (audit_with_pdf.case("second") / "report.pdf").read_bytes())
    assert found.exit_code == 20
    assert "what is attached is not evidence.json alone" in audits.failures(found)[FIRST, "pdf"]


def test_a_pdf_is_not_compared_when_the_numbers_do_not_hold(audit_with_pdf: Audit) -> None:
    folder = audit_with_pdf.case(FIRST)
    audits.recase(folder, audit_with_pdf.private, evidence={"relevance": audits.evidence_of(folder).relevance[::-1]})
    found = audits.report(audit_with_pdf)
    assert ("note", "view not compared: the numbers it would show do not hold") in [
        (check.outcome, check.detail) for check in found.checks if check.name == "pdf"
    ]


# -- any damage -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(place=st.integers(0, 2**20), cut=st.integers(0, 3), put=st.binary(max_size=3))
def test_attack_58_damage_is_found_or_changes_nothing(
    case: Case, drawn: bytes, place: int, cut: int, put: bytes
) -> None:
    """Bytes changed, cut out or put in, wherever: text and attachment are the same, or the PDF is refused."""
    at = place % len(drawn)
    damaged = drawn[:at] + put + drawn[at + cut :]
    with contextlib.suppress(EvidenceError):
        check_pdf(damaged, *case)
        before, after = (PdfReader(BytesIO(one)) for one in (drawn, damaged))
        assert [page.extract_text() for page in after.pages] == [page.extract_text() for page in before.pages]
        assert dict(after.attachments) == dict(before.attachments)


@pytest.mark.slow
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_attack_58_damage_under_the_compression(case: Case, drawn: bytes, data: st.DataObject) -> None:
    """The same within an object that is compressed anew, where one byte is one character, operator or name."""
    plain = BytesIO()
    writer = PdfWriter(clone_from=BytesIO(drawn))
    writer.pdf_header = "%PDF-1.7"
    page = data.draw(st.sampled_from(writer.pages))
    stream = page.get_contents()
    content = stream.get_data()
    at = data.draw(st.integers(0, len(content) - 1))
    stream.set_data(content[:at] + data.draw(st.binary(min_size=1, max_size=1)) + content[at + 1 :])
    page[NameObject("/Contents")] = writer._add_object(stream)
    writer.write(plain)
    with contextlib.suppress(EvidenceError):
        check_pdf(plain.getvalue(), *case)
        before, after = (PdfReader(BytesIO(one)) for one in (drawn, plain.getvalue()))
        texts = [["".join(page.extract_text().split()) for page in one.pages] for one in (before, after)]
        assert texts[0] == texts[1]

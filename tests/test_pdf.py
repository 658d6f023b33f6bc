"""The PDF as a file: profile, tags, fonts, attachment, and the same bytes again, held against poppler and qpdf."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from fontTools.ttLib import TTFont
from pypdf import PdfReader

import make_records as make
from attn_audit.evidence.digest import canonical, salted_view, sha256
from attn_audit.evidence.measured import Evidence, Setting
from attn_audit.evidence.records import Content, Letterhead, Message
from attn_audit.host import this_host
from attn_audit.reports import html, pdf, templates
from pictures import picture

ROOT = Path(__file__).resolve().parent.parent
FONTS = templates.templates_folder() / "fonts"
pytestmark = pytest.mark.skipif(pdf.missing_libraries() is not None, reason="the libraries of WeasyPrint are missing")
DRAW = (
    "import sys; sys.path.insert(0, 'tests'); import make_records as make; from attn_audit.reports import pdf; "
    "sys.stdout.buffer.write(pdf.report(*make.rich_case()))"
)


@pytest.fixture(scope="module")
def case() -> tuple[Content, Evidence]:
    return make.rich_case()


@pytest.fixture(scope="module")
def drawn(case: tuple[Content, Evidence]) -> bytes:
    return pdf.report(*case)


@pytest.fixture
def path(drawn: bytes, tmp_path: Path) -> Path:
    (tmp_path / "report.pdf").write_bytes(drawn)
    return tmp_path / "report.pdf"


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def said(*texts: str) -> tuple[Content, Evidence]:
    content = make.content([Message(role="user", content=text) for text in texts])
    return content, make.evidence(content)


def test_the_file_is_tagged_and_names_its_language_and_profile(drawn: bytes) -> None:
    root = PdfReader(BytesIO(drawn)).trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"] == True  # noqa: E712 - a boolean of the PDF
    assert root["/Lang"] == "en"
    assert root["/StructTreeRoot"]["/K"]
    assert root["/ViewerPreferences"]["/DisplayDocTitle"] == True  # noqa: E712
    metadata = root["/Metadata"].get_data().decode()
    assert re.search(r'pdfaid:part(>|=")3', metadata)
    assert re.search(r'pdfaid:conformance(>|=")A', metadata)


def nodes(data: bytes) -> list[Any]:
    """Every element of the structure, in no order."""
    left, found = [PdfReader(BytesIO(data)).trailer["/Root"]["/StructTreeRoot"]["/K"][0]], []
    while left:
        node = left.pop().get_object()
        found.append(node)
        left += [kid for kid in node["/K"] if not isinstance(kid, int)]
    return found


def test_the_structure_has_headings_tables_with_heads_and_figures_with_a_text(drawn: bytes) -> None:
    found = nodes(drawn)
    kinds = {node["/S"] for node in found}
    assert {"/H1", "/H2", "/H3", "/P", "/L", "/LI", "/Table", "/TR", "/TH", "/TD", "/Figure", "/Sect"} <= kinds
    assert all(node["/A"]["/Headers"] for node in found if node["/S"] == "/TD" and "/A" in node)
    figures = [node.get("/Alt", "") for node in found if node["/S"] == "/Figure"]
    assert len(figures) > 20
    assert all(re.fullmatch(r"[+−]?\d\.\d{3} nats", text) for text in figures), figures


def test_each_section_has_a_bookmark(case: tuple[Content, Evidence], drawn: bytes) -> None:
    titles = [entry.title for entry in PdfReader(BytesIO(drawn)).outline if not isinstance(entry, list)]
    headings = re.findall(r"<h2[^>]*>(.*?)</h2>", html.report(*case).decode())
    assert titles == headings
    assert titles[:3] == ["The answer", "What drove this answer", "Can this be relied on?"]


def test_the_attachment_is_named_and_described(drawn: bytes) -> None:
    file = PdfReader(BytesIO(drawn)).trailer["/Root"]["/AF"][0]
    assert file["/UF"] == "evidence.json"
    assert file["/AFRelationship"] == "/Data"
    assert file["/Desc"] == "What was measured; its sha256 stands on the first page"


@pytest.mark.parametrize("size", ["a4", "letter"])
def test_page_one_says_who_signed_on_each_paper(size: str, program: Callable[..., str], tmp_path: Path) -> None:
    """A case with policies and a letterhead of five lines."""
    letterhead = Letterhead(logo=base64.b64encode(picture()).decode(), address="1 Sample Street\nb\nc\nd\ne")
    content = make.content(batch={"organisation": "Sample Bank", "letterhead": letterhead})
    paper = (Setting(name="paper", value=size, origin="flag"),)
    evidence = make.evidence(content, signer=make.SIGNER).model_copy(update={"settings": paper})
    (tmp_path / "report.pdf").write_bytes(pdf.report(content, evidence))
    first = " ".join(run(program("pdftotext"), "-f", "1", "-l", "1", tmp_path / "report.pdf", "-").split())
    assert make.SIGNER.key_id in first
    assert f"sha256 of evidence.json {sha256(canonical(evidence))}" in first
    said = run(program("pdfinfo"), tmp_path / "report.pdf")
    assert ("612 x 792 pts (letter)" in said) == (size == "letter")
    assert ("(A4)" in said) == (size == "a4")


def test_no_heading_ends_a_page(program: Callable[..., str], path: Path, case: tuple[Content, Evidence]) -> None:
    headings = {re.sub("<[^>]*>", "", one) for one in re.findall(r"<h[23][^>]*>(.*?)</h", html.report(*case).decode())}
    for text in run(program("pdftotext"), "-layout", path, "-").split("\f"):
        lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
        assert not lines or lines[-1].startswith("Page ")
        assert not lines or lines[-2] not in headings


def test_the_file_is_named_by_the_digest_of_salt_and_evidence(case: tuple[Content, Evidence], drawn: bytes) -> None:
    identifier = PdfReader(BytesIO(drawn)).trailer["/ID"][0]
    salt = bytes.fromhex(salted_view((case[0].salt,)))
    assert identifier.original_bytes.hex() == sha256(salt + canonical(case[1]))[:32]


def test_qpdf_finds_nothing_wrong(path: Path, program: Callable[..., str]) -> None:
    assert "No syntax or stream encoding errors found" in run(program("qpdf"), "--check", path)


def test_pdfdetach_gives_exactly_the_evidence(
    case: tuple[Content, Evidence], path: Path, program: Callable[..., str]
) -> None:
    tool, out = program("pdfdetach"), path.with_name("out")
    out.mkdir()
    assert run(tool, "-list", path).startswith("1 embedded files\n1: evidence.json")
    run(tool, "-saveall", "-o", out, path)
    assert [one.name for one in out.iterdir()] == ["evidence.json"]
    assert (out / "evidence.json").read_bytes() == canonical(case[1])


def test_pdftotext_reads_the_digest_on_page_one(
    case: tuple[Content, Evidence], path: Path, program: Callable[..., str]
) -> None:
    words = run(program("pdftotext"), "-f", "1", "-l", "1", path, "-")
    assert sha256(canonical(case[1])) in words
    assert "TEST KEY: made for trying the tool." in words


def fonts(tool: str, path: Path) -> list[list[str]]:
    """Name, embedded, subset, Unicode table: of each font, as pdffonts says."""
    rows = [line.split() for line in run(tool, path).splitlines()[2:]]
    return [[row[0].partition("+")[2], *row[-5:-2]] for row in rows]


def test_every_font_is_one_of_ours_and_embedded(path: Path, program: Callable[..., str]) -> None:
    found = fonts(program("pdffonts"), path)
    assert {name for name, *_ in found} == {"Report-Sans", "Report-Sans-Bold", "Report-Mono", "Report-Mono-Italic"}
    assert all(row[1:] == ["yes", "yes", "yes"] for row in found), found


def test_the_fonts_cover_what_is_printed_in_european_languages(program: Callable[..., str], tmp_path: Path) -> None:
    texts = (
        "Ångström, naïve, Žižek, İstanbul, Łódź, ß, œ, Việt",
        "Ελληνικά: Ἀθῆναι, έ",
        "Русский, Українська, Ђ, Ґ",
        "“…” ‹–› — • → ↵ ⟨⟩ − × ≤ ≥ ≠ ≈ ½ ² € £ ☑ ✓",
    )
    lacking = {"DejaVuSansMono-Oblique": {"☑", "✓"}}  # it shows the tokens of a chat template
    for font in sorted(FONTS.glob("*.ttf")):
        known = TTFont(font).getBestCmap()
        assert {one for text in texts for one in text if ord(one) not in known} == lacking.get(font.stem, set())
    (tmp_path / "report.pdf").write_bytes(pdf.report(*said(*texts)))
    assert {name.split("-")[0] for name, *_ in fonts(program("pdffonts"), tmp_path / "report.pdf")} == {"Report"}


def test_other_scripts_come_from_the_system_and_are_embedded(program: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "report.pdf").write_bytes(pdf.report(*said("हिन्दी में")))
    found = fonts(program("pdffonts"), tmp_path / "report.pdf")
    if not any("Devanagari" in name for name, *_ in found):
        pytest.skip("fonts-noto-core is not installed")
    assert all(row[1] == "yes" for row in found), found


def test_no_two_characters_share_a_glyph_of_the_shipped_fonts() -> None:
    """Otherwise the text of a PDF would not say which of them it was, and could not be compared."""
    for font in sorted(FONTS.glob("*.ttf")):
        glyphs = list(TTFont(font).getBestCmap().values())
        assert len(glyphs) == len(set(glyphs)), font.name


def test_the_fonts_have_the_recorded_version_and_their_licence() -> None:
    version = pdf.FONTS.removeprefix("DejaVu ")
    for font in sorted(FONTS.glob("*.ttf")):
        names = TTFont(font)["name"]
        assert names.getDebugName(5) == f"Version {version}"
        assert names.getDebugName(1).startswith("DejaVu Sans")
    licence = (FONTS / "LICENSE.txt").read_text()
    assert licence.startswith(f"The fonts in this folder are DejaVu {version}")
    assert "Permission is hereby granted, free of charge" in licence


def test_what_draws_a_pdf_is_recorded_where_one_is_drawn() -> None:
    facts = dict(this_host(1, ("html", "pdf")).facts)
    assert facts["fonts"].startswith(pdf.FONTS)
    assert all(re.fullmatch(r"\d+(\.\d+)+", facts[name]) for name in ("pango", "harfbuzz", "fontconfig")), facts
    assert not {"fonts", "pango"} & dict(this_host(1, ("html",)).facts).keys()


def test_two_processes_draw_the_same_bytes(drawn: bytes) -> None:
    """Whatever the seed of hashes, the time zone, the language and the folder for temporary files."""
    for seed, zone, language in (("1", "Asia/Tokyo", "de_DE.UTF-8"), ("2", "America/New_York", "C")):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone, "LANG": language, "LC_ALL": language}
        done = subprocess.run([sys.executable, "-c", DRAW], cwd=ROOT, env=environment, capture_output=True, check=True)
        assert sha256(done.stdout) == sha256(drawn)


def test_attack_34_the_fetcher_knows_the_shipped_fonts_and_nothing_else() -> None:
    fetcher = pdf._fetcher()
    assert fetcher.fetch("report-font:DejaVuSans.ttf").read() == (FONTS / "DejaVuSans.ttf").read_bytes()
    letterhead = Letterhead(logo=base64.b64encode(picture()).decode())
    logo = f"data:image/png;base64,{letterhead.logo}"
    assert pdf._fetcher(letterhead).fetch(logo).read() == picture()
    for url in (
        logo,
        "report-font:../report.css",
        "report-font:DejaVuSans.ttf/../LICENSE.txt",
        "report-font:",
        (FONTS / "DejaVuSans.ttf").as_uri(),
        "file:///etc/passwd",
        "http://169.254.169.254/latest",
        "data:text/plain,x",
        "ftp://example.org/x",
        "DejaVuSans.ttf",
    ):
        with pytest.raises(ValueError, match=r"disallowed protocol|Not an absolute"):
            fetcher.fetch(url)


@pytest.mark.parametrize("count", [1, 2, 40])
def test_attack_38_missing_glyphs_are_counted_and_named(
    count: int, program: Callable[..., str], tmp_path: Path
) -> None:
    """Unassigned characters: no font has them. The HTML, which knows no font, says nothing of them."""
    unassigned = "".join(chr(point) for point in range(0x1FB93 + 0x50000, 0x1FB93 + 0x50000 + count))
    (tmp_path / "report.pdf").write_bytes(pdf.report(*said(f"Unassigned: {unassigned}.")))
    words = " ".join(run(program("pdftotext"), tmp_path / "report.pdf", "-").split())
    characters = "1 different character" if count == 1 else f"{count} different characters"
    assert f"Missing glyphs: the fonts of this file cannot draw {characters} of this case: ⟨U+6FB93⟩" in words
    assert ("The first twelve are named. Read them in content.json" in words) == (count > 12)


def test_a_long_answer_begins_on_the_first_page(program: Callable[..., str], tmp_path: Path) -> None:
    content = make.content(answer="The applicant has paid on time. " * 150, case={"observed_answer": "No. " * 900})
    (tmp_path / "report.pdf").write_bytes(pdf.report(content, make.evidence(content)))
    first = " ".join(run(program("pdftotext"), "-f", "1", "-l", "1", tmp_path / "report.pdf", "-").split())
    assert first.count("paid on time") > 50


def test_a_host_without_pango_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    facts: dict[str, Any] = dict(pdf.drawn_with())
    assert facts["pango"] == "not installed"

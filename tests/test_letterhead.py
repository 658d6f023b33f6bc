"""The letterhead of a case file: what is refused, where it stands, and that neither it nor its colour can be more."""

from __future__ import annotations

import base64
import io
import os
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import audits
import make_records as make
from attn_audit.cases import read_cases
from attn_audit.evidence import png
from attn_audit.evidence.colour import WHITE, contrast, lightened, rgb
from attn_audit.evidence.digest import canonical, parse_canonical
from attn_audit.evidence.errors import EvidenceError, UsageError
from attn_audit.evidence.measured import Evidence, Setting
from attn_audit.evidence.records import Content, Letterhead
from attn_audit.evidence.settings import resolve
from attn_audit.evidence.statements import Redaction
from attn_audit.evidence.store import Sealed
from attn_audit.reports import html
from attn_audit.reports.letterhead import more_css, paper
from audits import Audit
from pictures import picture, pictures

SAMPLE = Path(__file__).resolve().parent.parent / "sample_cases" / "letterhead.png"
DARK = (0x16, 0x16, 0x16)


def read(folder: Path, letterhead: str, logo: bytes | None = None, organisation: str = "Sample Bank") -> Any:
    if logo is not None:
        (folder / "logo.png").write_bytes(logo)
    said = f"organisation: {organisation}\n" if organisation else ""
    path = folder / "cases.yaml"
    path.write_text(f"{said}letterhead: {letterhead}\ncases:\n  - {{id: a1, prompt: Is it?}}\n", encoding="utf-8")
    return read_cases(path)


def refusal(folder: Path, letterhead: str, logo: bytes | None = None, organisation: str = "Sample Bank") -> str:
    with pytest.raises(UsageError) as caught:
        read(folder, letterhead, logo, organisation)
    return str(caught.value)


def headed(letterhead: Letterhead | None, organisation: str | None = "Sample Bank", **more: Any) -> Content:
    return make.content(batch={"letterhead": letterhead, "organisation": organisation}, **more)


def logo_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


# -- the picture ------------------------------------------------------------------------------------------------------


@given(data=pictures())
def test_the_points_are_those_that_pillow_sees(data: bytes) -> None:
    image = pytest.importorskip("PIL.Image")
    with image.open(io.BytesIO(data)) as seen:
        assert png.rgba(png.read_png(data)) == seen.convert("RGBA").tobytes()


NO_LOGOS: dict[str, tuple[bytes, str]] = {
    "a JPEG": (b"\xff\xd8\xff\xe0" + b"x" * 50, "must be a PNG picture (this does not begin like one)"),
    "an SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "must be a PNG picture (this does not begin like one)"),
    "the beginning alone": (b"\x89PNG\r\n\x1a\n", "must be a whole PNG picture (this has no head or no end)"),
    "damaged": (picture()[:-20] + b"\x00" + picture()[-19:], "must be a whole PNG picture (this is damaged)"),
    "cut off": (picture()[:-4], "must be a whole PNG picture (this is damaged)"),
    "something behind it": (picture() + b"PK\x03\x04", "must be a whole PNG picture (this is damaged)"),
    "too many bytes": (b"\x89PNG\r\n\x1a\n" + b"x" * 65_529, "must have at most 64 KiB (this has 65)"),
    "too many pixels": (picture(1024, 257), "must have 1 to 262,144 pixels, such as 1024 x 256 (this has 1024 x 257)"),
    "no pixels": (picture(0, 1), "must have 1 to 262,144 pixels"),
    "too flat": (picture(9, 1), "must be at most 8 times as wide as high and 3 times as high as wide (this has 9 x 1)"),
    "too high": (picture(1, 4), "must be at most 8 times as wide as high and 3 times as high as wide (this has 1 x 4)"),
    "a bomb": (picture(packed=zlib.compress(bytes(100 << 20), 9)[:60_000]), "it has more or fewer points than it says"),
    "too few points": (picture(3, 1), "it has more or fewer points than it says"),
    "points that are none": (picture(packed=b"no points"), "its points are damaged"),
    "interlaced": (picture(interlaced=1), "that is not interlaced"),
    "16 bits": (picture(depth=16), "must be a PNG picture of 8 bits per channel or fewer"),
    "an unknown kind": (picture(kind=5), "must be a PNG picture of a known kind"),
    "an unknown filter": (picture(rows=b"\x05" + bytes(6)), "must be a PNG picture with known filters"),
    "animated": (picture(before=[(b"acTL", bytes(8))]), "must hold the picture alone (this has acTL; save it without"),
    "with text": (picture(after=[(b"tEXt", b"Comment\0approved")]), "must hold the picture alone (this has tEXt;"),
    "turned": (picture(before=[(b"eXIf", b"MM")]), "must hold the picture alone (this has eXIf;"),
    "a part that must be understood": (picture(before=[(b"HEAD", b"")]), "must hold the picture alone (this has HEAD;"),
    "no palette": (picture(rows=bytes(3), kind=3), "whose palette has all its colours"),
    "a colour that its palette lacks": (
        picture(rows=b"\0\0\1", kind=3, before=[(b"PLTE", bytes(3))]),
        "whose palette has all its colours",
    ),
    "its parts in another order": (
        picture(rows=bytes(3), kind=3, after=[(b"PLTE", bytes(3))]),
        "whose parts stand once and in order",
    ),
}


@pytest.mark.parametrize("name", NO_LOGOS)
def test_a_logo_that_is_refused(tmp_path: Path, name: str) -> None:
    data, expected = NO_LOGOS[name]
    sentence = refusal(tmp_path, "{logo: logo.png}", data)
    assert sentence.startswith('cases.yaml, line 2: the logo "logo.png" ')
    assert expected in sentence
    with pytest.raises(ValueError, match=r"must|should|Value error"):
        Letterhead(logo=logo_of(data))


@given(data=pictures(), at=st.integers(0, 10_000), bits=st.integers(1, 255))
def test_any_damage_to_a_logo_is_found(data: bytes, at: int, bits: int) -> None:
    at %= len(data)
    with pytest.raises(ValueError, match=r".+"):
        png.read_png(data[:at] + bytes([data[at] ^ bits]) + data[at + 1 :])


# -- the case file ----------------------------------------------------------------------------------------------------


def test_a_letterhead_is_read_with_the_bytes_of_its_logo(tmp_path: Path) -> None:
    found = read(tmp_path, '{logo: logo.png, colour: "#0b4f9e", address: "1 Sample Street"}', picture()).batch
    assert found.organisation == "Sample Bank"
    assert base64.b64decode(found.letterhead.logo) == picture()
    assert (found.letterhead.colour, found.letterhead.address) == ("#0b4f9e", "1 Sample Street")


def test_a_letterhead_in_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text(
        '{"batch": {"organisation": "B", "letterhead": {"colour": "#000000"}}}\n{"id": "a", "prompt": "x"}\n'
    )
    assert read_cases(path).batch.letterhead == Letterhead(colour="#000000")


REFUSED = {
    "too light": (
        '{colour: "#88aaff"}',
        '"colour" in letterhead must have a contrast of at least 4.5:1 on white (this',
    ),
    "not a colour": ("{colour: blue}", '"colour" in letterhead must '),
    "three digits": ('{colour: "#00f"}', '"colour" in letterhead must '),
    "more than a colour": ('{colour: "#000000;}body{display:none"}', '"colour" in letterhead must '),
    "a line behind it": ('{colour: "#000000\\n"}', '"colour" in letterhead must '),
    "other digits": ('{colour: "#００００００"}', '"colour" in letterhead must '),
    "an unknown field": ("{font: x}", 'unknown field "font" in letterhead; allowed here: address, colour, logo'),
    "an organisation of its own": ("{organisation: x}", 'unknown field "organisation" in letterhead'),
    "no mapping": ("x", '"letterhead" at the top level must be a mapping'),
    "an address of six lines": ('{address: "a\\nb\\nc\\nd\\ne\\nf"}', "must have at most 5 lines (this has 6)"),
    "no file": ("{logo: other.png}", 'there is no file "other.png" in the folder of the case file'),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_letterhead_that_is_refused(tmp_path: Path, name: str) -> None:
    letterhead, expected = REFUSED[name]
    sentence = refusal(tmp_path, letterhead)
    assert expected in sentence
    assert name == "no file" or sentence.startswith("cases.yaml, line 2: ")


def test_the_ratio_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path, '{colour: "#88aaff"}') == (
        'cases.yaml, line 2: "colour" in letterhead must have a contrast of at least 4.5:1 on white (this has 2.27:1), '
        'not "#88aaff"'
    )


def test_a_letterhead_needs_an_organisation(tmp_path: Path) -> None:
    wanted = 'a letterhead needs the field "organisation" of the batch, of 1 to 200 characters'
    assert refusal(tmp_path, '{colour: "#000000"}', organisation="") == f"cases.yaml, line 1: {wanted}"
    assert wanted in refusal(tmp_path, '{colour: "#000000"}', organisation="x" * 201)


@pytest.mark.parametrize("name", ["../logo.png", "/etc/hostname", "link.png", "sub/../../logo.png", "fifo", "."])
def test_a_logo_stays_in_the_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "logo.png").write_bytes(picture())
    folder = tmp_path / "cases"
    folder.mkdir()
    (folder / "link.png").symlink_to(tmp_path / "logo.png")
    os.mkfifo(folder / "fifo")
    sentence = refusal(folder, f"{{logo: {name}}}")
    assert re.search("stays in the folder of the case file|is not a regular file|is a folder", sentence)


# -- the colour -------------------------------------------------------------------------------------------------------

COLOURS = st.tuples(*[st.integers(0, 255)] * 3)


def test_the_contrast_is_that_of_wcag() -> None:
    """The examples of the Understanding document of success criterion 1.4.3, and the ends of the scale."""
    assert contrast((0, 0, 0), WHITE) == pytest.approx(21)
    assert contrast(WHITE, WHITE) == 1
    assert contrast(rgb("#767676"), WHITE) == pytest.approx(4.54, abs=0.005)
    assert contrast(rgb("#777777"), WHITE) == pytest.approx(4.48, abs=0.005)
    assert contrast(rgb("#ff0000"), WHITE) == pytest.approx(4.0, abs=0.005)


@given(colour=COLOURS)
def test_a_colour_is_told_apart_on_white_and_on_dark_or_refused(colour: tuple[int, int, int]) -> None:
    text = "#" + bytes(colour).hex()
    if contrast(colour, WHITE) < 4.5:
        with pytest.raises(ValueError, match=r"have a contrast of at least 4\.5:1 on white"):
            Letterhead(colour=text)
        return
    css = more_css("a4", Letterhead(colour=text))
    accent = r":root \{ --accent: (#[0-9a-f]{6}); \}"
    found = re.fullmatch(rf"{accent}\n@media screen and \(prefers-color-scheme: dark\) \{{ {accent} \}}\n", css)
    assert found
    assert found[1] == text
    assert contrast(rgb(found[2]), DARK) >= 4.5
    assert lightened(colour, DARK) == rgb(found[2])


def test_the_dark_paper_is_that_of_the_stylesheet() -> None:
    dark = html.style().text.partition("prefers-color-scheme: dark")[2]
    assert re.search(r"--paper: (#[0-9a-f]{6})", dark)[1] == "#" + bytes(DARK).hex()  # type: ignore[index]


# -- the page ---------------------------------------------------------------------------------------------------------

FULL = Letterhead(logo=logo_of(SAMPLE.read_bytes()), colour="#0b4f9e", address="1 Sample Street\nRiverton")


def policy(page: str) -> str:
    return re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]  # type: ignore[index]


def pages(content: Content) -> tuple[str, str]:
    """The report of a case, and the page of a batch of this case alone."""
    case = (content, make.evidence(content))
    sealed = make.sealed(*make.batch({"loan-1": case}), {"loan-1": case})
    return html.report(*case).decode(), make.index_page(sealed).decode()


def test_it_stands_in_a_box_of_its_own_on_both_pages() -> None:
    for page in pages(headed(FULL)):
        [box] = re.findall(r'<figure class="letterhead">.*?</figure>', page, re.DOTALL)
        assert "<figcaption>Letterhead from the case file</figcaption>" in box
        assert f'src="data:image/png;base64,{FULL.logo}" alt="Logo from the case file"' in box
        assert all(text in box for text in ("Sample Bank", "1 Sample Street\nRiverton"))
        assert ":root { --accent: #0b4f9e; }" in page
        assert "img-src data:;" in policy(page)


@pytest.mark.parametrize("letterhead", [None, Letterhead(colour="#0b4f9e")])
def test_without_a_logo_no_picture_may_be_shown(letterhead: Letterhead | None) -> None:
    for page in pages(headed(letterhead)):
        assert "img-src 'none';" in policy(page)
        assert "<img" not in page
        assert ('class="letterhead"' in page) == (letterhead is not None)


def test_attack_32_a_letterhead_is_text() -> None:
    hostile = "</figure><h2>VERIFIED</h2><script>alert(1)</script> \u202egnirts"
    for page in pages(headed(Letterhead(address=hostile), hostile)):
        assert "<script" not in page
        assert "<h2>VERIFIED" not in page
        assert "\u202e" not in page
        [box] = re.findall(r'<figure class="letterhead">.*?</figure>', page, re.DOTALL)
        assert box.count("&lt;h2&gt;VERIFIED") == 2


def test_it_goes_with_the_content_that_is_withheld() -> None:
    content = headed(FULL)
    plan, seal = make.batch({"loan-1": (content, make.evidence(content))})
    said = Redaction(
        tool=make.TOOL,
        created="2026-11-21T09:00:00Z",
        signer=make.SIGNER,
        case_id="loan-1",
        withheld=("content.json", "report.html"),
        reason=None,
    )
    page = make.index_page(Sealed(plan, seal, {}, {"loan-1": make.evidence(content)}, {"loan-1": said})).decode()
    assert "Sample Bank" not in page
    assert "--accent: #0b4f9e" not in page


# -- hostile evidence -------------------------------------------------------------------------------------------------

HOSTILE: dict[str, tuple[bytes, bytes]] = {
    "a colour that closes the rule": (b'"#0b4f9e"', b'"#fff;}body{display:none"'),
    "a colour that closes the stylesheet": (b'"#0b4f9e"', b'"</style><script>"'),
    "a colour that cannot be read": (b'"#0b4f9e"', b'"#ffffff"'),
    "a line behind the colour": (b'"#0b4f9e"', b'"#0b4f9e\\n"'),
    "a logo that is none": (b'"logo":"iVBORw0K', b'"logo":"AVBORw0K'),
    "a logo that leaves its attribute": (b'"logo":"', b'"logo":"\\" onload=\\"x'),
    "a logo in another form": (b'gg=="', b'gh=="'),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_record_with_a_letterhead_that_no_case_file_has_is_refused(name: str) -> None:
    data = canonical(headed(FULL))
    before, after = HOSTILE[name]
    assert data.count(before) == 1
    assert parse_canonical(data, Content, "content.json") == headed(FULL)
    with pytest.raises(EvidenceError) as caught:
        parse_canonical(data.replace(before, after), Content, "content.json")
    assert caught.value.exit_code == 20


def test_attack_32_a_colour_signed_by_the_trusted_key(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program without checks writes and signs the content; verify renders nothing of it."""
    monkeypatch.setattr(html, "more_css", lambda size, letterhead: "")
    folder = audit.case("first")
    bad = Letterhead(colour="#0b4f9e").model_copy(update={"colour": "#fff;}body{display:none"})
    batch = audits.content_of(folder).batch.model_copy(update={"letterhead": bad})
    audits.recase(folder, audit.private, content={"batch": batch})
    audits.reseal(audit.out, audit.private)
    monkeypatch.undo()
    found = audits.report(audit)
    assert found.exit_code == 20
    assert any("batch.letterhead.colour" in detail for detail in audits.failures(found).values())


# -- an audit ---------------------------------------------------------------------------------------------------------


def test_an_audit_with_a_letterhead_verifies(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "logo.png").write_bytes(picture())
    text = "organisation: B\nletterhead: {logo: logo.png, colour: '#0b4f9e'}\nsettings: {max_new_tokens: 2}\ncases:\n"
    private = audits.key(tmp_path)
    made = audits.make(tmp_path, tiny_model, private, cases=text + "  - {id: first, prompt: Is the loan approved?}\n")
    audit = Audit(made.out, private)
    found = audits.report(audit)
    assert (found.exit_code, audits.failures(found)) == (0, {})
    assert logo_of(picture()) in (audit.out / "index.html").read_text()


# -- the paper --------------------------------------------------------------------------------------------------------


def on_paper(evidence: Evidence, size: str) -> Evidence:
    others = tuple(setting for setting in evidence.settings if setting.name != "paper")
    return audits.changed(evidence, settings=(*others, Setting(name="paper", value=size, origin="flag")))


def test_the_paper_is_a_setting_like_the_others() -> None:
    settings, recorded = resolve({"paper": None}, {}, {"paper": "letter"})
    assert settings.paper == "letter"
    assert Setting(name="paper", value="letter", origin="case file") in recorded
    assert paper(recorded) == "letter"
    assert paper(()) == "a4"
    with pytest.raises(UsageError, match=r"setting paper = 'a5' .* choose one of a4, letter"):
        resolve({"paper": "a5"}, {}, {})


def test_the_page_is_for_the_paper_of_its_settings() -> None:
    content = headed(None)
    letter = "@page { size: letter; }"
    of: Callable[[str], str] = lambda size: html.report(content, on_paper(make.evidence(content), size)).decode()  # noqa: E731
    assert letter in of("letter")
    assert letter not in of("a4")
    with pytest.raises(EvidenceError, match="no size of paper that is known"):
        of("a4; } body { display: none")

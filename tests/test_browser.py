"""The pages as people meet them in a browser: read aloud, with the keyboard, enlarged, dark, on paper; and that a page
asks for nothing and that its own policy forbids nothing it needs. Attacks by content: tests/test_page_attacks.py."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page

import pages
from browser import PROGRAMS, THEMES, Theme, started, visit

# All rules of axe for WCAG 2.2 at level AA, its best practices, and what it tries out; and those of colours alone.
# But for one on trial that wants a control wherever the keyboard stops: a piece of the map that shows its value then is
# a note, and nothing happens when it is pressed.
UNLIKE = {"focus-order-semantics": {"enabled": False}}
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice", "experimental")
COLOURS = ("color-contrast", "link-in-text-block")
A4 = 178 * 96 // 25  # CSS pixels between the margins of a printed page
# What WCAG 1.4.12 lets a reader set.
SPACED = (
    "* { line-height: 1.5 !important; letter-spacing: .12em !important; word-spacing: .16em !important; }"
    "p { margin-bottom: 2em !important; }"
)
_PAGE = r"((\.\./)?index\.html|(index/)?\d{4}\.html)"  # of the index, as another of its pages links to it
every_page = pytest.mark.parametrize("name", pages.PAGES)


@pytest.fixture(scope="module")
def browser(program: Callable[..., str]) -> Iterator[Browser]:
    """One process for all tests here."""
    with started(program(*PROGRAMS)) as found:
        yield found


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every kind of page, by its name."""
    folder = tmp_path_factory.mktemp("pages")
    for name, made in pages.PAGES.items():
        (folder / f"{name}.html").write_bytes(made())
    return {name: folder / f"{name}.html" for name in pages.PAGES}


# -- what a program finds that reads pages for people who do not see them ---------------------------------------------


def seen_by_axe(
    browser: Browser, file: Path, looks: Sequence[tuple[Theme, int]], rules: tuple[str, ...]
) -> dict[tuple[Theme, int], list[str]]:
    """What axe complains of, in each colour scheme and width; nothing where it finds nothing."""
    found = {}
    with visit(browser, file, bypass_csp=True) as seen:
        opened(seen.page)
        # What Chromium has not drawn yet is not where axe takes it to be, and would seem to lie over other links.
        seen.page.add_style_tag(content="article { content-visibility: visible !important }")
        seen.page.evaluate(AXE_SCRIPT)
        for theme, width in looks:
            seen.page.set_viewport_size({"width": width, "height": 900})
            seen.page.emulate_media(color_scheme=theme)
            if complained := complaints(seen.page, rules):
                found[theme, width] = complained
    return found


@every_page
def test_axe_finds_nothing(name: str, browser: Browser, files: dict[str, Path]) -> None:
    assert seen_by_axe(browser, files[name], (("light", 390), ("dark", 1280)), RULES) == {}


@pytest.mark.slow
@every_page
def test_axe_finds_nothing_in_the_other_colours(name: str, browser: Browser, files: dict[str, Path]) -> None:
    assert seen_by_axe(browser, files[name], (("light", 1280), ("dark", 390)), COLOURS) == {}


def test_axe_finds_what_is_wrong(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "wrong.html"
    file.write_text(
        "<!DOCTYPE html><html><head><title>x</title></head><body><h1>a</h1><h3>b</h3>"
        '<p style="color:#bbb">pale words</p>'
        "<table><tr><td>1</td></tr></table></body></html>"
    )
    with visit(browser, file, bypass_csp=True) as seen:
        seen.page.evaluate(AXE_SCRIPT)
        found = {one.split(":")[0] for one in complaints(seen.page, RULES)}
    assert {"html-has-lang", "heading-order", "color-contrast", "landmark-one-main"} <= found


def opened(page: Page) -> None:
    """With all that can be unfolded."""
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")


def complaints(page: Page, rules: tuple[str, ...]) -> list[str]:
    """What axe says is wrong; and, of the texts that it could not judge since they run over several lines, those whose
    contrast with the background that they stand on is below 4.5."""
    options = {"runOnly": rules, "rules": UNLIKE, "resultTypes": ["violations", "incomplete"]}
    found = page.evaluate("options => axe.run(document, options)", options)
    told = [f"{rule['id']}: {node['html'][:200]}" for rule in found["violations"] for node in rule["nodes"]]
    for rule in found["incomplete"]:
        if rule["id"] == "color-contrast":
            targets = [node["target"][0] for node in rule["nodes"]]
            told += [f"contrast of {one}: {two:.2f}" for one, two in _contrasts(page, targets).items() if two < 4.5]
    return told


def _contrasts(page: Page, selectors: list[str]) -> dict[str, float]:
    script = """selectors => Object.fromEntries(selectors.map(selector => {
      const parts = colour => colour.match(/[\\d.]+/g).map(Number);
      const linear = value => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
      const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
      const text = document.querySelector(selector);
      const clear = one => parts(getComputedStyle(one).backgroundColor)[3] === 0;
      let under = text;
      while (under.parentElement && clear(under)) under = under.parentElement;
      const both = [getComputedStyle(text).color, getComputedStyle(under).backgroundColor].map(parts).map(luminance);
      return [selector, (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05)];
    }))"""
    found: dict[str, float] = page.evaluate(script, selectors)
    return found


@every_page
def test_headings_landmarks_and_tables_have_an_order(name: str, browser: Browser, files: dict[str, Path]) -> None:
    with visit(browser, files[name]) as seen:
        page = seen.page
        levels = page.eval_on_selector_all("h1,h2,h3,h4,h5,h6", "all => all.map(one => Number(one.tagName[1]))")
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in pairwise(levels)), levels
        assert [page.locator(f"body > {part}").count() for part in ("header", "main", "footer")] == [1, 1, 1]
        assert page.locator("body > :not(header, nav, main, footer, a)").count() == 0
        assert page.locator("html[lang]").count() == 1
        for section in page.locator("section, article").all():
            label = section.get_attribute("aria-labelledby")
            assert section.get_attribute("aria-label") or page.locator(f"[id='{label}']").count() == 1, label
        assert page.locator("th:not([scope='row'], [scope='col'])").count() == 0
        assert page.locator("table:not(:has(th))").count() == 0
        assert page.title().strip()


# -- with the keyboard ------------------------------------------------------------------------------------------------

FOCUSABLE = ":is(a[href], summary, button, input, select, textarea, [tabindex]):not([type='radio']:not(:checked))"


@every_page
def test_the_keyboard_goes_through_the_page_in_reading_order(
    name: str, browser: Browser, files: dict[str, Path]
) -> None:
    with visit(browser, files[name]) as seen:
        opened(seen.page)
        wanted = seen.page.locator(FOCUSABLE).count()
        assert seen.page.locator("[tabindex]:not([tabindex='0'], [tabindex='-1']), [autofocus]").count() == 0
        order = [place for place in _tabbed(seen.page) if place[0] >= 0]
    assert [number for number, _ in order] == list(range(wanted))
    tops = [top for _, top in order]
    assert all(after >= before - 8 for before, after in pairwise(tops)), tops


def _tabbed(page: Page) -> list[tuple[int, float]]:
    """What the focus is on after each press of Tab until it leaves the page: number in the document and distance from
    its top. A region that scrolls has the number -1."""
    script = """selector => {
      const here = document.activeElement;
      if (here === document.body || here === document.documentElement) return null;
      const top = here.getBoundingClientRect().top + window.scrollY;
      return [[...document.querySelectorAll(selector)].indexOf(here), top];
    }"""
    places: list[tuple[int, float]] = []
    for _ in range(500):
        page.keyboard.press("Tab")
        if (place := page.evaluate(script, FOCUSABLE)) is None:
            return places
        places.append((place[0], place[1]))
    raise AssertionError("the focus never leaves the page")


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", ["full", "index"])
def test_where_the_focus_is_can_be_seen(name: str, theme: Theme, browser: Browser, files: dict[str, Path]) -> None:
    with visit(browser, files[name], theme=theme) as seen:
        places = seen.page.locator(FOCUSABLE).all()
        assert places
        for place in places:
            place.scroll_into_view_if_needed()
            box = place.bounding_box()
            assert box is not None
            around = {
                "x": max(box["x"] - 6, 0),
                "y": max(box["y"] - 6, 0),
                "width": box["width"] + 12,
                "height": box["height"] + 12,
            }
            seen.page.keyboard.press("Shift")  # the focus is drawn for those who use the keyboard
            before = seen.page.screenshot(clip=around)
            place.focus()
            after = seen.page.screenshot(clip=around)
            place.blur()
            assert before != after, place.text_content()


# -- enlarged, narrow, spaced ----------------------------------------------------------------------------------------

# Elements whose text does not fit them: cut off where what overflows is hidden, and over their neighbours elsewhere.
# Left out: what is hidden on purpose, and what scrolls.
SPILLED = """() => [...document.body.querySelectorAll("*")].filter(one => {
  const style = getComputedStyle(one), box = one.getBoundingClientRect();
  if (one.closest("svg") || style.display === "inline" || box.width < 2 || box.height < 2) return false;
  if (one.closest("thead") && getComputedStyle(one.closest("thead")).clipPath !== "none") return false;
  const wide = one.scrollWidth > one.clientWidth + 1 && !["auto", "scroll"].includes(style.overflowX);
  const high = one.scrollHeight > one.clientHeight + 1 && ["hidden", "clip"].includes(style.overflowY);
  return wide || high;
}).map(one => one.outerHTML.slice(0, 160))"""
SCROLLS = "() => document.scrollingElement.scrollWidth > document.scrollingElement.clientWidth"


@every_page
def test_nothing_is_lost_at_any_width_or_size(name: str, browser: Browser, files: dict[str, Path]) -> None:
    """WCAG 1.4.10 (320 pixels are 400 % of 1280, 640 are 200 %), 1.4.4 (only the text twice as large) and 1.4.12."""
    with visit(browser, files[name], bypass_csp=True) as seen:
        opened(seen.page)
        for width in (1920, 1280, 640, 390, 320):
            seen.page.set_viewport_size({"width": width, "height": 900})
            assert_all_there(seen.page, width)
        spaced = seen.page.add_style_tag(content=SPACED)
        for width in (320, 1280):
            seen.page.set_viewport_size({"width": width, "height": 900})
            assert_all_there(seen.page, "spaced", width)
        spaced.evaluate("one => one.remove()")
        seen.page.add_style_tag(content="html { font-size: 200% !important; }")
        assert_all_there(seen.page, "larger text")


def assert_all_there(page: Page, *when: object) -> None:
    assert not page.evaluate(SCROLLS), when
    assert page.evaluate(SPILLED) == [], when


def test_what_is_lost_is_found(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "wrong.html"
    file.write_text("<!DOCTYPE html><body><div style='width:90px;white-space:nowrap'>far more than fits in here</div>")
    with visit(browser, file) as seen, pytest.raises(AssertionError):
        assert_all_there(seen.page)


@every_page
def test_nothing_moves_for_those_who_ask_for_that(name: str, browser: Browser, files: dict[str, Path]) -> None:
    script = """() => [...document.querySelectorAll("*")].filter(one => {
      const style = getComputedStyle(one);
      const times = `${style.transitionDuration}, ${style.animationDuration}`.split(", ").map(parseFloat);
      return style.scrollBehavior === "smooth" || times.some(time => time > 0);
    }).map(one => one.tagName)"""
    with visit(browser, files[name], reduced_motion="reduce") as seen:
        assert seen.page.evaluate(script) == []


# -- dark, and on paper ----------------------------------------------------------------------------------------------


def _lightness(page: Page) -> float:
    """Of the paper: 0 is black, 1 is white."""
    colour = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    return sum(float(value) for value in re.findall(r"[\d.]+", colour)[:3]) / (3 * 255)


@every_page
def test_dark_is_dark_and_paper_is_white(name: str, browser: Browser, files: dict[str, Path]) -> None:
    with visit(browser, files[name], theme="dark", width=A4, bypass_csp=True) as seen:
        assert _lightness(seen.page) < 0.2
        seen.page.emulate_media(media="print")
        assert _lightness(seen.page) == 1
        assert seen.page.evaluate(SPILLED) == []
        seen.page.evaluate(AXE_SCRIPT)
        assert complaints(seen.page, COLOURS) == []
        seen.page.emulate_media(media="screen", color_scheme="light")
        assert _lightness(seen.page) > 0.9


@every_page
def test_a_browser_prints_all_of_the_page(
    name: str, browser: Browser, files: dict[str, Path], program: Callable[..., str], tmp_path: Path
) -> None:
    """Word for word, what is folded on the screen as well."""
    with visit(browser, files[name], theme="dark") as seen:
        seen.page.pdf(path=tmp_path / "page.pdf", format="A4", prefer_css_page_size=True)
        opened(seen.page)
        seen.page.emulate_media(media="print")
        wanted = _latin(seen.page.inner_text("main"))
    printed = subprocess.run(
        [program("pdftotext"), "-raw", tmp_path / "page.pdf", "-"], capture_output=True, text=True, check=True
    )
    missing = wanted - _latin(printed.stdout)
    assert len(missing) <= len(wanted) // 50, missing  # a word that is broken over two lines


def _latin(text: str) -> set[str]:
    """Words of four letters and more. Other scripts come out of a PDF in another order, and numbers are broken."""
    return set(re.findall(r"[A-Za-z]{4,}", text))


# -- what a page asks for --------------------------------------------------------------------------------------------


@every_page
def test_a_page_asks_for_nothing_and_its_policy_forbids_nothing_it_needs(
    name: str, browser: Browser, files: dict[str, Path]
) -> None:
    for theme in THEMES:
        with visit(browser, files[name], theme=theme) as seen:
            for summary in seen.page.locator("summary").all():
                summary.click()
            seen.page.emulate_media(media="print")
            seen.page.wait_for_timeout(50)
            assert seen.deeds() == {}
            assert seen.page.evaluate("document.scripts.length") == 0
            assert seen.page.locator("link, [src], [style], iframe, object, embed, form, base").count() == 0
            assert seen.page.evaluate("[...document.styleSheets].map(one => one.cssRules.length > 20)") == [True]
            outside = re.compile(
                r"^(?!(\.\./)?cases/[A-Za-z0-9][\w.-]*/report\.(html|pdf)$)(?!" + _PAGE + r"?(#[\w-]+)?$)"
            )
            links = seen.page.eval_on_selector_all("a", "all => all.map(one => one.getAttribute('href'))")
            assert [link for link in links if outside.match(link)] == []


def test_what_a_page_asks_for_is_seen(browser: Browser, tmp_path: Path) -> None:
    file, wrong = tmp_path / "wrong.html", "<img src=other.png><p style='color:red'>x</p><script>alert(1)</script>"
    file.write_text(f"<!DOCTYPE html><body>{wrong}")
    with visit(browser, file) as seen:
        deeds: dict[str, Any] = seen.deeds()
    assert deeds["dialogs"] == ["1"]
    assert [Path(url).name for url in deeds["requests"]] == ["other.png"]
    file.write_text(f"<!DOCTYPE html><meta http-equiv=Content-Security-Policy content=\"default-src 'none'\">{wrong}")
    with visit(browser, file) as seen:
        deeds = seen.deeds()
    assert "dialogs" not in deeds
    assert deeds["console"]
    assert {one.split()[0] for one in deeds["blocked"]} == {"img-src", "style-src-attr", "script-src-elem"}

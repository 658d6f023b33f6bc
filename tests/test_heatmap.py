"""The heat-map of a report: choosing a token, values for everybody, looks that differ, long cases, and the figures."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

import make_records as make
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Content, Message
from attn_audit.reports import figures, html, passages, templates, token_map
from attn_audit.reports.heatmap import LEVELS, level
from attn_audit.reports.pieces import pieces_of
from attn_audit.reports.spans import Fragment, fragments

Case = tuple[Content, Evidence]
LETTERS = dict(zip("abcdefghij", (1, 2, 3, 4, 5, -1, -2, -3, -4, -5), strict=True))
CASE_LIMIT = 600_000  # bytes of the page of 200 pieces and 60 answer tokens; measured: about 300,000
LONG_LIMIT = 1_000_000  # bytes of that of 2,000 words and 300 answer tokens; measured: about 830,000


class Elements(HTMLParser):
    """Elements of a page in order, each with the elements around it and the text in it."""

    def __init__(self, data: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str], list[int], list[str]]] = []
        self._open: list[int] = []
        self.feed(data.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}, list(self._open), []))
        if tag not in {"meta", "br", "input", "rect"}:
            self._open.append(len(self.found) - 1)

    def handle_endtag(self, tag: str) -> None:
        if tag not in {"meta", "br", "input", "rect"}:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        for index in self._open:
            self.found[index][3].append(data)

    def all(self, tag: str, kind: str = "") -> list[tuple[dict[str, str], str]]:
        """Attributes and text of the elements with this name, and with this class where one is given."""
        return [
            (attributes, "".join(text))
            for name, attributes, _, text in self.found
            if name == tag and (not kind or kind in attributes.get("class", "").split())
        ]

    def inside(self, tag: str, kind: str) -> list[tuple[str, dict[str, str], str]]:
        """Everything in the elements with this name and class."""
        around = {
            number
            for number, (name, attributes, _, _) in enumerate(self.found)
            if name == tag and kind in attributes.get("class", "").split()
        }
        return [(name, attributes, "".join(text)) for name, attributes, up, text in self.found if around & {*up}]


@pytest.fixture(scope="module")
def case() -> Case:
    return make.full_case()


@pytest.fixture(scope="module")
def page(case: Case) -> Elements:
    return Elements(html.report(*case))


def simple(text: str, scores: list[list[float] | None], *, answer: str = "yes it is", noise: float = 1e-6) -> Case:
    """One piece for each word, with what it does to each token of the answer."""
    content = make.content([Message(role="user", content=text)], answer)
    plain = make.evidence(content)
    rows = [
        None if row is None else tuple(b - v for b, v in zip(plain.answer.base, row, strict=True)) for row in scores
    ]
    return content, make.evidence(content, scores=tuple(rows), sweep=plain.sweep.model_copy(update={"noise": noise}))


def map_marks(page: Elements) -> list[tuple[str, str, dict[str, str]]]:
    """Text, look and attributes of each run with a value in the map."""
    found = page.inside("figure", "map")
    return [
        (text, attributes["class"].split()[0], attributes)
        for name, attributes, text in found
        if name == "span" and (attributes.get("aria-label") or attributes.get("data-v"))
    ]


# -- choosing a token -------------------------------------------------------------------------------------------------


def test_the_whole_answer_is_chosen_until_a_reader_chooses_a_token(case: Case, page: Elements) -> None:
    radios = page.all("input")
    assert [one["id"] for one, _ in radios] == [f"t{n}" for n in range(len(case[1].answer.base) + 1)]
    assert {one["type"] for one, _ in radios} == {"radio"}
    assert {one["name"] for one, _ in radios} == {"token"}
    assert [one["id"] for one, _ in radios if "checked" in one] == ["t0"]
    chips = [text for _, text in page.all("span", "chip")]
    assert chips[0] == "the whole answer"
    assert "".join(chips[1:]) == "".join(case[0].answer.text.split())
    assert all(text.strip() for text in chips), "each has a name for a screen reader"
    assert [name for name, _, _ in page.inside("div", "pick")].count("fieldset") == 1


@pytest.mark.parametrize("given_case", [make.full_case(), make.rich_case(), make.long_case(40, 12)])
def test_each_piece_is_coloured_for_just_the_tokens_that_it_matters_for(given_case: Case) -> None:
    """Against a slow computation from the scores themselves."""
    content, evidence = given_case
    drawn = {
        attributes.get("aria-label") or attributes["data-v"]: attributes["class"]
        for _, _, attributes in map_marks(Elements(html.report(content, evidence)))
    }
    tables = {
        unit.id: [b - s for b, s in zip(evidence.answer.base, row, strict=True)]
        for unit, row in zip(evidence.units, evidence.scores, strict=True)
        if row is not None
    }
    tops = [max(abs(row[t]) for row in tables.values()) for t in range(len(evidence.answer.base))]
    for note, classes in drawn.items():
        row = tables.get(note.split(":")[0])
        found = {int(one[1:]): LETTERS[one[0]] for one in classes.split()[1:]}
        expected = {t + 1: level(value, tops[t]) for t, value in enumerate(row or ())}
        assert found == {t: step for t, step in expected.items() if step}, note


def test_what_a_token_stands_for_is_said(case: Case, page: Elements) -> None:
    evidence = case[1]
    said = [(attributes["id"], " ".join(text.split())) for attributes, text in page.all("div") if "id" in attributes]
    assert [name for name, _ in said] == [f"d{n}" for n in range(1, len(evidence.answer.base) + 1)]
    values = [
        [
            (b - s, unit.id)
            for (unit, b, s) in (
                (u, evidence.answer.base[t], row[t])
                for u, row in zip(evidence.units, evidence.scores, strict=True)
                if row is not None
            )
        ]
        for t in range(len(evidence.answer.base))
    ]
    for t, (_, text) in enumerate(said):
        top = max(abs(value) for value, _ in values[t])
        assert f"Token {t + 1}:" in text
        assert f"full colour stands for {top:.3f} nats" in text
        highest, name = max(values[t], key=lambda one: one[0])
        assert re.search(rf"\+{highest:.3f} nats {name}\b", text) or f"+{highest:.3f} nats" in text
        assert len(re.findall(r"[+−]\d+\.\d{3} nats", text)) <= token_map.SUPPORTING + token_map.AGAINST
    assert "of the answer alone" not in said[0][1]
    with_contrast = html.report(*make.full_case(contrast="Approve the application."))
    assert b"This map is of the answer alone, without the other one." in with_contrast


def test_a_token_that_no_piece_moves_says_so_and_colours_nothing() -> None:
    shown = Elements(html.report(*simple("one two", [[0.5, 1e-9, 0.2], [0.1, -1e-9, 0.0]])))
    texts = {attributes["id"]: text for attributes, text in shown.all("div") if "id" in attributes}
    assert "No piece moved it by more than rounding does." in texts["d2"]
    assert "full colour stands for 0.500 nats" in texts["d1"]
    assert not [one for _, _, attributes in map_marks(shown) for one in attributes["class"].split() if one[1:] == "2"]


def test_nothing_is_offered_where_there_is_nothing_to_choose() -> None:
    for one in (simple("one two", [[0.5], [0.1]], answer="yes"), simple("one two", [None, None])):
        shown = html.report(*one)
        assert b"<input" not in shown
        assert b":has(.pick" not in shown


def test_a_token_of_blanks_can_be_seen_and_named() -> None:
    content = make.content(answer="a b")
    spaced = content.answer.model_copy(update={"text": "a \n", "ids": (1, 2, 3), "offsets": ((0, 1), (1, 3), (3, 3))})
    content = content.model_copy(update={"answer": spaced})
    shown = Elements(html.report(content, make.evidence(content)))
    assert [text for _, text in shown.all("span", "chip")] == ["the whole answer", "a", "␣↵", "(no text) token 3"]


def test_where_nothing_can_be_asked_the_whole_answer_is_shown(page: Elements) -> None:
    """No choice outside of the one block that is for screens, and for programs that know the selector."""
    css = page.all("style")[0][1]
    plain = (templates.templates_folder() / "report.css").read_text()
    assert css.startswith(plain)
    chosen = css.removeprefix(plain)
    assert chosen.count("@media screen {\n@supports selector(:has(a)) {") == 1
    assert ":has(.pick" not in plain
    assert ":checked" not in re.sub(r"\.pick :checked \+ \.chip", "", plain), "only how a chip looks"
    assert re.search(r"\.pick \{ display: none;", plain)
    assert re.search(r"\.of-token \{ display: none;", plain)
    assert re.search(r"@media print \{\s*\.screen \{ display: none; \}", plain)
    kinds = [attributes.get("class", "").split() for _, attributes, _, _ in page.found]
    assert all("screen" in kind for kind in kinds if {"pick", "of-token"} & {*kind})


@pytest.mark.parametrize("tokens", [2, 21, 100])
def test_the_stylesheet_has_every_look_of_every_token_and_its_digest(tokens: int) -> None:
    style = html.style(tokens=tokens)
    for t in range(1, tokens + 1):
        assert f".heat:has(#t{t}:checked) #d{t}" in style.text
        for letter in LETTERS:
            assert len(re.findall(rf"\.heat:has\(#t{t}:checked\) \.{letter}{t}\b", style.text)) == 1
    for letter, step in LETTERS.items():
        sign, line = ("pos", "solid") if step > 0 else ("neg", "dashed")
        look = re.search(rf"\.{letter}{tokens} \{{ (.*?) \}}", style.text)
        assert look is not None
        plain = re.search(rf"\n\.h-{sign}-{abs(step)} \{{ (.*?) \}}", style.text)
        assert plain is not None
        assert look[1] == f"color: var(--heat-ink); {plain[1]}", "the look of a level is the same in both maps"
        assert line in look[1]
    assert style.sha256 == base64.b64encode(hashlib.sha256(str(style.text).encode()).digest()).decode()


# -- values for everybody ---------------------------------------------------------------------------------------------


def test_a_short_map_can_be_gone_through_with_the_keyboard() -> None:
    found = map_marks(Elements(html.report(*simple("one two three", [[0.5] * 3, [0.0] * 3, None]))))
    assert [(text, attributes.get("tabindex")) for text, _, attributes in found] == [
        ("one", "0"),
        ("two", "0"),
        ("three", "0"),
    ]
    labels = [attributes["aria-label"] for _, _, attributes in found]
    assert labels == ["u0: +1.500 nats", "u1: 0.000 nats", "u2: not measured"]


def test_in_a_longer_map_the_coloured_pieces_are_the_stops(case: Case, page: Elements) -> None:
    found = map_marks(page)
    assert len(found) > 60
    for _, look, attributes in found:
        stop = "tabindex" in attributes
        assert stop == look.startswith(("h-pos", "h-neg"))
        assert (
            stop == (attributes.get("role") == "note") == ("aria-label" in attributes) == ("data-v" not in attributes)
        )
        assert "title" not in attributes, "a second bubble"


def test_a_value_is_not_clipped_by_the_box_of_the_case() -> None:
    """A box clips what is positioned in it only if the box is positioned itself."""
    css = (templates.templates_folder() / "report.css").read_text()
    for selector, rules in re.findall(r"([^{}]+)\{([^{}]*)\}", css):
        if re.search(r"\.(said|map|heat|full-map)\b|blockquote|figure(?!-)", selector) and "::after" not in selector:
            assert not re.search(r"\bposition:|transform:|filter:|contain:|perspective:", rules), selector
    assert ".map [tabindex]:focus::after" in css


# -- looks ------------------------------------------------------------------------------------------------------------


def test_noise_and_what_was_not_measured_look_like_nothing_else() -> None:
    given_case = simple("one two three four", [[0.5] * 3, [0.001] * 3, None, [-0.02] * 3], noise=0.01)
    shown = Elements(html.report(*given_case))
    assert [(text, look) for text, look, _ in map_marks(shown)] == [
        ("one", "h-pos-5"),
        ("two", "h-noise"),
        ("three", "h-none"),
        ("four", "h-0"),
    ]
    legend = [" ".join(text.split()) for _, text in shown.all("dl", "of-whole")]
    expected = (
        "plainless than 0.075 either way supports 5+1.200 to +1.500 "
        "nothing to telltoo small to tell from rounding not measuredscreened out as unpromising"
    )
    assert legend == [expected]


def test_the_legend_names_each_look_of_the_map(case: Case, page: Elements) -> None:
    swatches = {attributes.get("class") for name, attributes, _ in page.inside("dl", "of-whole") if name == "span"}
    assert swatches == {look for _, look, _ in map_marks(page)}


def test_looks_differ_in_grey_by_their_line() -> None:
    css = (templates.templates_folder() / "report.css").read_text()
    names = [f"h-{sign}-{step}" for sign in ("pos", "neg") for step in range(1, LEVELS + 1)] + ["h-noise", "h-none"]
    lines = []
    for name in names:
        rules = re.findall(rf"^\.{name} \{{(.*?)\}}", css, re.MULTILINE)
        line = re.search(r"border-bottom: ([\d.]+)px (\w+)", "".join(rules))
        assert line is not None, name
        lines.append(line.groups())
    assert len({*lines}) == len(names)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_stands_on_chips_and_bubbles_can_be_read(theme: str) -> None:
    css = (templates.templates_folder() / "report.css").read_text()
    roots = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", roots[("light", "dark").index(theme)]))
    heat = [name for name in colours if re.fullmatch(r"(pos|neg)-\d", name)]
    assert len(heat) == 2 * LEVELS
    for ink, paper in [*(("heat-ink", one) for one in heat), ("paper", "ink"), ("soft", "box"), ("link", "box")]:
        assert contrast(colours[ink], colours[paper]) >= 4.5, (ink, paper)
    for sign in ("pos", "neg"):
        assert contrast(colours[f"{sign}-line"], colours["box"]) >= 3, "a line is a mark of its own"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_support_and_opposition_differ_for_those_who_see_no_red_or_no_green(theme: str) -> None:
    """In the projections of Viénot, Brettel and Mollon (1999) the strong colours stay apart, in blue against yellow."""
    css = (templates.templates_folder() / "report.css").read_text()
    roots = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", roots[("light", "dark").index(theme)]))
    for step in (3, 4, 5):
        for red, green in ((0.112, 0.888), (0.293, 0.707)):  # protanopia, deuteranopia: both read one mixture
            first, second = (
                (red * r + green * g, b) for r, g, b in (linear(colours[f"pos-{step}"]), linear(colours[f"neg-{step}"]))
            )
            assert (first[1] - first[0]) - (second[1] - second[0]) > 0.1, step


def linear(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return tuple(p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in (red, green, blue))  # type: ignore[return-value]


def contrast(first: str, second: str) -> float:
    """WCAG 2.2 contrast ratio of two sRGB colours."""
    weights = (0.2126, 0.7152, 0.0722)
    luminances = (sum(w * p for w, p in zip(weights, linear(one), strict=True)) for one in (first, second))
    dark, light = sorted(luminances)
    return (light + 0.05) / (dark + 0.05)


# -- long cases -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long() -> tuple[Case, bytes]:
    found = make.long_case(2000, 300)
    return found, html.report(*found)


def test_a_long_case_begins_with_its_strongest_passages(long: tuple[Case, bytes]) -> None:
    (content, evidence), data = long
    shown = Elements(data)
    links = [attributes["href"] for attributes, _ in shown.all("a")]
    assert links == [f"#p{n}" for n in range(1, passages.MOST + 1)]
    inside = {attributes.get("id") for _, attributes, _ in shown.inside("details", "full-map")}
    assert {link[1:] for link in links} <= inside
    captions = [text for _, text in shown.all("figcaption") if "strongest piece here" in text]
    values = [float(found[1]) for text in captions if (found := re.search(r"\+([\d.]+) nats", text))]
    assert values == sorted(values, reverse=True)
    assert values[0] == pytest.approx(max(value for value in evidence.relevance if value is not None), abs=5e-4)
    full = "".join(text for name, _, text in shown.inside("details", "full-map") if name == "blockquote")
    said = re.sub(r"[+−]\d+\.\d\d(?!\d)", "", full)
    assert "".join(message.content for message in content.case.messages) == said
    assert "200 cannot" in data.decode()


def test_a_short_case_has_its_map_in_the_open(page: Elements) -> None:
    assert not page.all("details", "full-map")
    assert not page.all("a", "screen")


def test_pages_stay_small(long: tuple[Case, bytes]) -> None:
    assert len(html.report(*make.long_case(200, 60))) <= CASE_LIMIT
    assert len(long[1]) <= LONG_LIMIT


def test_tokens_are_offered_only_as_far_as_the_page_stays_small() -> None:
    content = make.content([Message(role="user", content=" ".join(f"w{n}" for n in range(600)))], "so " * 90)
    base = make.evidence(content).answer.base
    dense = make.evidence(content, scores=tuple(tuple(b - 1.0 for b in base) for _ in range(600)))
    found, _ = token_map.token_map(content, dense, pieces_of(content, dense))
    assert len(found.choices) == token_map.MOST_COLOURS // 600
    assert found.left_out == 90 - len(found.choices)


@given(st.lists(st.sampled_from([-1.0, -0.3, 0.0, 0.001, 0.5, 2.0]), min_size=260, max_size=400))
def test_passages_never_overlap_and_begin_with_the_strongest(values: list[float]) -> None:
    text = " ".join(f"w{n}" for n in range(len(values)))
    content, evidence = simple(text, [[value] * 3 for value in values])
    drawn = fragments(content, evidence)
    assert all(isinstance(one, Fragment) for found in drawn for one in found)
    data = Elements(html.report(content, evidence))
    found = [re.findall(r"\bw\d+\b", said) for name, _, said in data.inside("section", "heat") if name == "blockquote"][
        :-1
    ]
    seen = [word for words in found for word in words]
    assert len(seen) == len({*seen})
    assert len(found) <= passages.MOST
    if any(abs(value) > 0.01 for value in values):
        strongest = max(values, key=abs)
        assert any(abs(values[int(word[1:])]) == abs(strongest) for word in found[0])


# -- figures ----------------------------------------------------------------------------------------------------------

NATS = st.floats(-50, 50, allow_nan=False)


@given(st.lists(st.lists(NATS, min_size=3, max_size=3), min_size=1, max_size=6))
def test_columns_stand_on_one_line_and_one_scale(values: list[list[float]]) -> None:
    drawn = figures.strips(values)
    assert len({strip.zero for strip in drawn}) == 1
    scale = max([0.0, *(v for row in values for v in row)]) - min([0.0, *(v for row in values for v in row)])
    for row, strip in zip(values, drawn, strict=True):
        for value, column in zip(row, strip.columns, strict=True):
            start, length = float(column.start), float(column.length)
            assert start >= 0
            assert start + length <= 24.1
            assert column.negative == (value < 0)
            if scale > 0:
                assert length == pytest.approx(max(0.5, 24 * abs(value) / scale), abs=0.06)


def test_both_bars_of_all_rows_have_one_scale(page: Elements) -> None:
    groups = [attributes for name, attributes, _ in page.inside("table", "groups") if name == "rect"]
    bars = [one for one in groups if "bar-axis" not in one["class"]]
    assert [("hollow" in one["class"]) for one in bars] == [True, False, False]
    added, together, other = (float(one["width"]) for one in bars)
    assert added == pytest.approx(200.0)
    assert together / added == pytest.approx(1.7 / 7.125, abs=1e-3)
    assert other / added == pytest.approx(0.1 / 7.125, abs=1e-2)


def test_a_strip_says_what_the_table_says(page: Elements) -> None:
    rows = [text for name, _, text in page.inside("table", "profile") if name == "tr"]
    strips = [attributes for name, attributes, _ in page.inside("table", "profile") if name == "svg"]
    assert len(strips) == len(rows) - 2, "one for each row but the two headings"
    assert all(one["aria-hidden"] == "true" for one in strips)
    heights = [
        float(attributes["height"])
        for name, attributes, _ in page.inside("svg", "strip")
        if name == "rect" and "bar-axis" not in attributes["class"]
    ]
    assert [a > b for a, b in pairwise(heights[:4])] == [True, False, True]  # +1.680, 0.000, +1.260, −0.420

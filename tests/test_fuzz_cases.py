"""Case files of any content are read, or refused with one sentence that a terminal can show.

How many examples are tried: ATTN_AUDIT_EXAMPLES (tests/conftest.py). tests/fuzz holds the fuzzing that takes hours.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attn_audit.cases import read_cases
from attn_audit.evidence.digest import canonical
from attn_audit.evidence.errors import UsageError
from command_line import call
from fuzz import parsers

ONE = "cases:\n  - id: a1\n    prompt: x\n"
WITH_ROWS = "cases:\n  - {template: 'Income {income}, {job}', rows: rows.csv}\n"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SYNTAX = st.sampled_from(
    [
        *("cases", "id", "prompt", "template", "fields", "title", "a1", "0", "true", "null", "1e999", "%YAML", ONE),
        *("[", "]", "{", "}", ",", ":", "- ", "? ", "|", ">", "#", "~", "'", '"', '"id":', '{"batch":', "---", "..."),
        *("&a ", "*a", "!", "!!str ", "\\", "\\x", "\\ud800", " ", "  ", "\n", "\t", "\r", "\0", "é", "\ufeff"),
        *("\u2028", "%YAML 9.9\n", '"\\U00110000"'),
    ]
)


def outcome(folder: Path, data: bytes, name: str) -> str:
    """The number of cases, or the sentence of the refusal; anything else that is raised fails the test."""
    (folder / name).write_bytes(data)
    try:
        cases = read_cases(folder / name).cases
    except UsageError as error:
        sentence = str(error)
    else:
        assert canonical(cases[0])
        return str(len(cases))
    assert sentence.isprintable()
    return sentence


@given(
    data=st.binary(max_size=60) | st.lists(SYNTAX, max_size=20).map(lambda parts: "".join(parts).encode()),
    name=st.sampled_from(["fuzz.yaml", "fuzz.jsonl"]),
)
def test_any_bytes_are_read_or_refused(tmp_path: Path, data: bytes, name: str) -> None:
    outcome(tmp_path, data, name)


TREE = st.recursive(
    st.text(max_size=8) | st.integers() | st.floats() | st.none() | st.booleans() | st.just(10**4000),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "prompt", "messages", "role", "template", "units", "policies", "x"]), inner
        )
    ),
    max_leaves=12,
)


@given(lines=st.lists(TREE, min_size=1, max_size=3))
def test_any_json_is_read_or_refused(tmp_path: Path, lines: list[object]) -> None:
    text = "\n".join(json.dumps(line) for line in lines)
    outcome(tmp_path, text.encode(), "fuzz.jsonl")
    outcome(tmp_path, f'{{"cases": [{",".join(text.splitlines())}]}}'.encode(), "fuzz.yaml")


# -- files that were valid --------------------------------------------------------------------------------------------


def _damaged(text: bytes, data: st.DataObject) -> bytes:
    """The file with a stretch of it exchanged for other bytes, or for another stretch of its own."""
    at, size = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 30))
    start = data.draw(st.integers(0, len(text)))
    other = data.draw(SYNTAX.map(str.encode) | st.binary(max_size=6) | st.just(text[start : start + size]))
    return text[:at] + other + text[at + data.draw(st.sampled_from([0, size])) :]


@pytest.mark.parametrize("kind", ["yaml", "jsonl", "csv"])
@settings(max_examples=settings.default.max_examples // 2)
@given(data=st.data())
def test_damaged_files_are_read_or_refused(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    damaged = _damaged(data.draw(st.sampled_from(parsers.seeds(kind))), data)
    if kind == "csv":
        (tmp_path / "rows.csv").write_bytes(damaged)
        outcome(tmp_path, WITH_ROWS.encode(), "rows.yaml")
    else:
        outcome(tmp_path, damaged, f"fuzz.{kind}")


CELL = TEXT | st.sampled_from(['"', '""', 'a"b', '"a\nb"', "\r", "\r\n", ",", "x1", "=1+1", "\0", "9" * 400])


@given(
    rows=st.lists(st.lists(CELL, max_size=4).map(",".join), max_size=5), header=st.sampled_from(["id,income,job", ""])
)
def test_any_rows_are_read_or_refused(tmp_path: Path, rows: list[str], header: str) -> None:
    (tmp_path / "rows.csv").write_bytes("\n".join([header, *rows]).encode())
    outcome(tmp_path, WITH_ROWS.encode(), "rows.yaml")


@given(depth=st.integers(1, 100_000), shape=st.sampled_from(["[", "{a: ", '{"a":', "- ", "? ", "\n" + " " * 3 + "- "]))
@settings(max_examples=20)
def test_deep_nesting_is_refused(tmp_path: Path, depth: int, shape: str) -> None:
    for name in ("fuzz.yaml", "fuzz.jsonl"):
        assert not outcome(tmp_path, (shape * depth).encode(), name).isdigit()


@settings(max_examples=max(10, settings.default.max_examples // 20))
@given(data=st.data())
def test_the_command_line_refuses_in_one_sentence(tmp_path: Path, data: st.DataObject) -> None:
    """The model does not exist, so that a case file that can be read ends with one sentence, too."""
    kind = data.draw(st.sampled_from(["yaml", "jsonl"]))
    path = tmp_path / f"fuzz.{kind}"
    path.write_bytes(_damaged(data.draw(st.sampled_from(parsers.seeds(kind))), data))
    ended = call("run", path, "--model", tmp_path / "nothing", "--out", tmp_path / "out")
    assert ended.code == 2
    assert ended.sentence.isprintable()
    assert not (tmp_path / "out").exists()


# -- spans ------------------------------------------------------------------------------------------------------------

FIELD_NAMES = st.from_regex(r"[a-z_][a-z0-9_ -]{0,5}[a-z0-9_]", fullmatch=True)


@given(
    values=st.dictionaries(FIELD_NAMES, TEXT.filter(bool), min_size=1, max_size=4),
    literals=st.lists(TEXT, min_size=9, max_size=9),
    data=st.data(),
)
def test_spans_of_a_template_are_exact(
    tmp_path: Path, values: dict[str, str], literals: list[str], data: st.DataObject
) -> None:
    extra = data.draw(st.lists(st.sampled_from(sorted(values)), max_size=4))
    order = data.draw(st.permutations([*values, *extra]))
    template, expected = "x", "x"
    spans: dict[str, list[tuple[int, int]]] = {}
    for literal, name in zip(literals, order, strict=False):
        template += literal.replace("{", "{{").replace("}", "}}") + "{" + name + "}"
        expected += literal
        spans.setdefault(name, []).append((len(expected), len(expected) + len(values[name])))
        expected += values[name]
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps({"id": "a", "template": template, "fields": values}))
    case = read_cases(path).cases[0]
    assert case.messages[0].content == expected
    assert {n.name: [(s.start, s.end) for s in n.spans] for n in case.named} == spans


# -- the harness for atheris ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", parsers.TARGETS)
def test_the_targets_of_the_fuzzer_run(target: str) -> None:
    """Without atheris, which the tests do not need: each target takes its seeds, and what is made of them."""
    for seed in parsers.seeds(target):
        parsers.TARGETS[target](seed)
        for number in range(30):
            changed = parsers.mutate_json(target, seed, number) if target in parsers.JSON_TARGETS else None
            parsers.TARGETS[target](changed or random.Random(number).randbytes(number))

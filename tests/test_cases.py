"""A case file is read whole or refused with one sentence that names file, line, field and what is allowed."""

from __future__ import annotations

import json
import re
import shutil
import textwrap
import unicodedata
from pathlib import Path

import pytest

from attn_audit.cases import SETTINGS, CaseFile, case_schema, read_cases, single_case
from attn_audit.evidence.digest import canonical, parse_canonical
from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.records import Case, NamedSpans, PolicyMethod

SAMPLES = Path(__file__).parents[1] / "sample_cases"


def write(folder: Path, text: str | bytes, name: str = "batch.yaml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else textwrap.dedent(text).encode())
    return path


def read(folder: Path, text: str | bytes, name: str = "batch.yaml") -> CaseFile:
    return read_cases(write(folder, text, name))


def refusal(folder: Path, text: str | bytes, name: str = "batch.yaml") -> str:
    with pytest.raises(UsageError) as caught:
        read(folder, text, name)
    sentence = str(caught.value)
    assert sentence.isprintable()
    return sentence


def texts(case: Case, named: NamedSpans) -> list[str]:
    return [case.messages[span.message].content[span.start : span.end] for span in named.spans]


FULL = """\
    title: Consumer loans
    organisation: Example Bank
    role_of_model: advisory
    references: [file 12, file 13]
    model: smollm2
    settings: {units: word, max_new_tokens: 20, threads: 2}
    policies:
      - name: no postcode
        field: postcode
        limits: {max_share: 0.05}
    cases:
      - id: a1
        template: "Income {income}, postcode {postcode}. Again: {income}. {{literal}}"
        fields: {income: 012, postcode: no}
        units:
          - {name: again, text: "Again:"}
          - {name: braces, pattern: "[{][a-z]+[}]"}
        contrast: Declined
        decision: Approved
        rationale: because
        answer_parts: [{name: verdict, text: "Appr."}, {name: why, pattern: "be.*"}, {name: start, characters: [0, 3]}]
        paraphrases: ["Postcode {postcode}, income {income}.", [{role: user, content: "Again: {income}"}]]
        observed_answer: Approved
        notes: a note
        max_new_tokens: 5
      - id: a2
        messages:
          - {role: system, content: Be short.}
          - {role: user, content: "2001-01-01"}
        policies: [{name: short answer, answer_must_match: "^.{1,9}$"}]
    """


def test_everything_a_case_file_can_say(tmp_path: Path) -> None:
    file = read(tmp_path, FULL.replace("field: postcode", "field: income"))
    assert file.source == "batch.yaml"
    assert file.raw == (tmp_path / "batch.yaml").read_bytes()
    assert (file.batch.title, file.batch.role_of_model) == ("Consumer loans", "advisory")
    assert file.batch.references == ("file 12", "file 13")
    assert file.model == "smollm2"
    assert file.settings == {"units": "word", "max_new_tokens": "20", "threads": "2"}
    assert set(file.settings) <= SETTINGS
    assert file.lines == {"a1": 12, "a2": 26}
    first, second = file.cases
    assert first.messages[0].content == "Income 012, postcode no. Again: 012. {literal}"
    assert [(n.kind, n.name, texts(first, n)) for n in first.named] == [
        ("field", "income", ["012", "012"]),
        ("field", "postcode", ["no"]),
        ("named", "again", ["Again:"]),
        ("named", "braces", ["{literal}"]),
    ]
    assert (first.max_new_tokens, second.max_new_tokens) == (5, 20)
    assert [policy.name for policy in second.policies] == ["no postcode", "short answer"]
    assert second.policies[0].limits.max_share == 0.05
    assert second.messages[1].content == "2001-01-01"
    assert [(part.name, part.pattern, part.characters) for part in first.answer_parts] == [
        ("verdict", r"Appr\.", None),
        ("why", "be.*", None),
        ("start", None, (0, 3)),
        ("decision", "Approved", None),
        ("rationale", "because", None),
    ]
    assert [[message.content for message in other] for other in first.paraphrases] == [
        ["Postcode no, income 012."],
        ["Again: 012"],
    ]
    assert first.policies[0].method == PolicyMethod(), "of the settings of its file"


def test_json_lines_say_the_same_as_yaml(tmp_path: Path) -> None:
    lines = [
        {
            "batch": {
                "title": "T",
                "settings": {"threads": 2, "max_new_tokens": 9},
                "policies": [{"name": "p", "answer_must_match": "a"}],
            }
        },
        {"id": "a1", "template": "Income {income}.", "fields": {"income": "12"}, "max_new_tokens": 5},
        {"id": "a2", "prompt": "Hi \u2028 there"},
    ]
    jsonl = read(tmp_path, "\n".join(json.dumps(line, ensure_ascii=False) for line in lines) + "\n", "b.jsonl")
    yaml = read(
        tmp_path,
        """\
        title: T
        settings: {threads: 2, max_new_tokens: 9}
        policies: [{name: p, answer_must_match: a}]
        cases:
          - {id: a1, template: "Income {income}.", fields: {income: 12}, max_new_tokens: 5}
          - {id: a2, prompt: "Hi \\L there"}
        """,
    )
    assert jsonl.cases == yaml.cases
    assert (jsonl.batch, jsonl.settings) == (yaml.batch, yaml.settings)
    assert jsonl.lines == {"a1": 2, "a2": 3}


def test_rows_from_a_csv_file(tmp_path: Path) -> None:
    write(tmp_path, '\ufeffid,income,job\r\nx1,4200,"nurse, ""senior"""\r\n\r\nx2,900,"two\r\nlines"\r\n', "rows.csv")
    file = read(tmp_path, "cases:\n  - template: '{job} earns {income}'\n    rows: rows.csv\n    notes: n\n")
    assert [(case.id, case.messages[0].content, case.notes) for case in file.cases] == [
        ("x1", 'nurse, "senior" earns 4200', "n"),
        ("x2", "two\r\nlines earns 900", "n"),
    ]
    assert file.lines == {"x1": 2, "x2": 2}


ONE = "cases:\n  - id: a1\n    prompt: Hi\n"

BAD = {
    "unknown field": (
        "cases:\n  - id: a1\n    promt: Hi\n",
        'line 3: unknown field "promt" in case "a1"; allowed here: answer, ',
    ),
    "unknown at top": (
        "titel: x\n" + ONE,
        'line 1: unknown field "titel" at the top level; allowed here: cases, contact',
    ),
    "unknown setting": (
        "settings: {speed: 3}\n" + ONE,
        'line 1: unknown field "speed" in settings; allowed here: bands, baselines, checks, device, ',
    ),
    "unknown in policy": (
        ONE + "    policies:\n      - name: p\n        limit: 3\n",
        'line 6: unknown field "limit" in policies 1 of case "a1"; allowed',
    ),
    "unknown in limits": (
        "policies: [{name: p, limits: {max: 1}}]\n" + ONE,
        'unknown field "max" in policies 1 > limits; allowed here: max_effect',
    ),
    "no cases": ("title: x\n", 'line 1: the field "cases" is missing at the top level'),
    "empty cases": ("cases: []\n", 'line 1: "cases" at the top level must not be empty'),
    "cases not a list": ("cases: x\n", 'line 1: "cases" at the top level must be a list, not "x"'),
    "not a mapping": ("- a\n- b\n", "line 1: a case file begins with fields"),
    "no value": ("cases:\n  - id: a1\n    prompt:\n", 'line 3: "prompt" has no value'),
    "null": ("cases:\n  - id: a1\n    prompt: null\n", 'line 3: "prompt" has no value; write "null" in quotes if'),
    "null in a list": ("references:\n  - a\n  -\n" + ONE, "line 3: this place has no value"),
    "empty prompt": (
        "cases:\n  - id: a1\n    prompt: ''\n",
        'line 3: "prompt" in case "a1" must not be empty, not empty text',
    ),
    "blank prompt": ("cases:\n  - id: a1\n    prompt: ' '\n", 'line 3: a message of case "a1" has no text'),
    "no id": ("cases:\n  - prompt: Hi\n", 'line 2: the field "id" is missing in case 1'),
    "no prompt": ("cases:\n  - id: a1\n", 'line 2: case "a1" needs exactly one of prompt, messages, template; none'),
    "two prompts": (
        ONE + "    template: x\n",
        'line 4: case "a1" needs exactly one of prompt, messages, template; prompt and template',
    ),
    "fields without template": (ONE + "    fields: {a: b}\n", 'line 4: "fields" in case "a1" needs a template'),
    "rows without template": (ONE + "    rows: a.csv\n", 'line 4: "rows" in case "a1" needs a template'),
    "id with rows": (
        "cases:\n  - id: a1\n    template: x\n    rows: a.csv\n",
        'line 2: case "a1" has rows, so the ids',
    ),
    "fields with rows": (
        "cases:\n  - template: x\n    fields: {a: b}\n    rows: a.csv\n",
        "line 4: case 1 has fields and rows",
    ),
    "role of model": (
        "role_of_model: main\n" + ONE,
        "line 1: \"role_of_model\" at the top level must be 'sole', 'advisory' or 'drafting', not \"main\"",
    ),
    "role": (
        "cases:\n  - id: a1\n    messages: [{role: bot, content: x}]\n",
        "line 3: \"role\" in messages 1 of case \"a1\" must be 'system', 'user' or 'assistant', not \"bot\"",
    ),
    "last message": (
        "cases:\n  - id: a1\n    messages: [{role: assistant, content: x}]\n",
        'line 3: the last message of case "a1" must be the user\'s',
    ),
    "no messages": ("cases:\n  - id: a1\n    messages: []\n", 'line 3: "messages" in case "a1" must not be empty'),
    "number": (
        ONE + "    max_new_tokens: many\n",
        'line 4: "max_new_tokens" in case "a1" must be a whole number, not "many"',
    ),
    "number too large": (
        ONE + "    max_new_tokens: 5000\n",
        'line 4: "max_new_tokens" in case "a1" must be less than or equal to 4096, not "5000"',
    ),
    "number in settings": (
        "settings: {max_new_tokens: 0}\n" + ONE,
        'line 1: "max_new_tokens" in settings must be greater than or equal to 1',
    ),
    "share": (
        "policies: [{name: p, limits: {max_share: nan}}]\n" + ONE,
        'line 1: "max_share" in policies 1 > limits must be a finite number, not "nan"',
    ),
    "list for text": ("title: [a]\n" + ONE, 'line 1: "title" at the top level must be text, not a list'),
    "field not given": (
        "cases:\n  - id: a1\n    template: '{a} {b}'\n    fields: {a: x}\n",
        'line 4: the template of case "a1" uses the field "b", which is not given',
    ),
    "no fields": (
        "cases:\n  - id: a1\n    template: '{a}'\n",
        'line 2: the template of case "a1" uses the field "a", which is not given',
    ),
    "field not used": (
        "cases:\n  - id: a1\n    template: '{a}'\n    fields:\n      a: x\n      b: y\n",
        'line 6: the template of case "a1" does not use the field "b"; it uses: a',
    ),
    "empty field": (
        "cases:\n  - id: a1\n    template: '{a}'\n    fields:\n      a: ''\n",
        'line 5: "a" in fields of case "a1" must not be empty',
    ),
    "conversion": (
        "cases:\n  - id: a1\n    template: '{a!r}'\n    fields: {a: x}\n",
        'line 3: "{a!r}" in the template of case "a1" is not a field; a field is {name}',
    ),
    "format": ("cases:\n  - id: a1\n    template: '{a:>9}'\n    fields: {a: x}\n", 'line 3: "{a:>9}" in the template'),
    "attribute": ("cases:\n  - id: a1\n    template: '{a.b}'\n    fields: {a: x}\n", 'line 3: "{a.b}" in the template'),
    "lone brace": ("cases:\n  - id: a1\n    template: 'a } b'\n", 'line 3: "}" in the template of case "a1"'),
    "unit without match": (
        ONE + "    units:\n      - name: u\n        text: Ho\n",
        'line 6: the text of "u" occurs in no message of case "a1"',
    ),
    "unit with both": (
        ONE + "    units: [{name: u, text: H, pattern: i}]\n",
        'line 4: the unit "u" needs exactly one of text, pattern',
    ),
    "overlap": (
        ONE + "    units: [{name: u, text: Hi}, {name: v, text: i}]\n",
        'line 4: "u" and "v" overlap in message 1 of case "a1"',
    ),
    "overlap with field": (
        "cases:\n  - id: a1\n    template: 'x {f} y'\n    fields: {f: abc}\n    units: [{name: u, text: bc y}]\n",
        'line 5: "f" and "u" overlap in message 1',
    ),
    "unit twice": (ONE + "    units: [{name: u, text: H}, {name: u, text: i}]\n", 'line 4: the name "u" stands twice'),
    "answer part of two kinds": (
        ONE + "    answer_parts: [{name: p, text: x, pattern: y}]\n",
        'line 4: the answer part "p" needs exactly one of text, pattern, characters',
    ),
    "answer part backwards": (
        ONE + "    answer_parts: [{name: p, characters: [3, 1]}]\n",
        'line 4: the characters of the answer part "p" are [start, end] with the start first',
    ),
    "answer part twice": (
        ONE + "    answer_parts: [{name: p, text: x}, {name: p, text: y}]\n",
        'line 4: the name "p" stands twice among the answer parts',
    ),
    "answer part of no pattern": (
        ONE + "    answer_parts: [{name: p, pattern: '('}]\n",
        'line 4: "(" is not a valid regular expression: missing )',
    ),
    "bad pattern": (
        ONE + "    units: [{name: u, pattern: '('}]\n",
        'line 4: "(" is not a valid regular expression: missing )',
    ),
    "ambiguous pattern": (
        ONE + "    units: [{name: u, pattern: '[[a]'}]\n",
        'line 4: "[[a]" is not a valid regular expression: ',
    ),
    "empty match": (ONE + "    units: [{name: u, pattern: 'x*'}]\n", 'line 4: the pattern of "u" matches empty text'),
    "policy pattern": (
        ONE + "    policies:\n      - name: p\n        pattern: '*'\n        limits: {max_share: 0}\n",
        'line 6: "*" is not a valid regular expression',
    ),
    "policy unit": (
        ONE + "    policies: [{name: p, unit: u, limits: {max_share: 0}}]\n",
        'line 4: the policy "p" names the unit "u", which no case',
    ),
    "policy field": (
        "policies: [{name: p, field: f, limits: {max_share: 0}}]\n" + ONE,
        'line 1: the policy "p" names the field "f", which no case',
    ),
    "policy pair": (
        "policies: [{name: p, pair_with: A1}]\n" + ONE,
        'line 1: the policy "p" is paired with "A1", which is not a case',
    ),
    "policy twice": (
        "policies: [{name: p, answer_must_match: a}]\n" + ONE + "    policies: [{name: p, answer_must_match: a}]\n",
        'line 5: two policies of case "a1" have the name "p"',
    ),
    "wrong yaml": (
        "cases:\n  - id: a1\n    prompt: Income: 3\n",
        "line 3: not valid YAML: mapping values are not allowed here; text that holds",
    ),
    "unclosed": ("cases: [\n", "not valid YAML: expected the node content"),
}


@pytest.mark.parametrize("name", BAD)
def test_refused_with_line_and_field(tmp_path: Path, name: str) -> None:
    text, expected = BAD[name]
    sentence = refusal(tmp_path, text)
    assert sentence.startswith("batch.yaml, line ")
    assert expected in sentence


BAD_JSON = {
    "not json": ('{"id": "a1", "prompt": "x"}\n{"id": }\n', "b.jsonl, line 2: not valid JSON at column 8"),
    "not an object": ("[1]\n", "line 1: each line must be a JSON object"),
    "duplicate key": ('{"id": "a1", "id": "a2"}\n', 'line 1: "id" stands twice in one object'),
    "null": ('{"id": "a1", "prompt": null}\n', "line 1: null is refused"),
    "true": ('{"id": "a1", "prompt": "x", "max_new_tokens": true}\n', "line 1: true is refused"),
    "number for text": ('{"id": "a1", "prompt": 5}\n', 'line 1: "prompt" in case "a1" must be text, not 5'),
    "nan": ('{"id": "a1", "prompt": NaN}\n', "line 1: NaN is not JSON"),
    "infinite": ('{"id": "a1", "prompt": 1e999}\n', "line 1: a number is too large"),
    "long number": ('{"id": "a1", "prompt": ' + "1" * 5000 + "}\n", "line 1: not valid JSON here"),
    "unknown": ('\n{"id": "a1", "promt": "x"}\n', 'line 2: unknown field "promt" in case "a1"; allowed here: answer'),
    "unknown in batch": (
        '{"batch": {"titel": "x"}}\n{"id": "a1", "prompt": "x"}\n',
        'line 1: unknown field "titel" at the top',
    ),
    "cases in batch": ('{"batch": {"cases": []}}\n', 'line 1: "cases" cannot stand in the batch'),
    "empty batch": ('{"batch": {}}\n', "line 1: the line of the batch must be"),
    "late batch": (
        '{"id": "a1", "prompt": "x"}\n{"batch": {"title": "x"}}\n',
        'line 2: unknown field "batch" in case 2',
    ),
    "only a batch": ('{"batch": {"title": "x"}}\n', "b.jsonl: the file holds no cases"),
    "deep": ("[" * 100_000 + "\n", "line 1: not valid JSON here"),
    "rather deep": ('{"id": ' + "[" * 20 + "1" + "]" * 20 + "}\n", "line 1: nested deeper than 12 levels"),
}


@pytest.mark.parametrize("name", BAD_JSON)
def test_json_lines_refused_with_line(tmp_path: Path, name: str) -> None:
    text, expected = BAD_JSON[name]
    assert expected in refusal(tmp_path, text, "b.jsonl")


BAD_ROWS = {
    "no id column": (b"a\nx\n", 'rows.csv, line 1: the header has no column "id"; columns are separated by commas'),
    "column twice": (b"id,a,a\nx,1,2\n", 'rows.csv, line 1: the column "a" stands twice'),
    "unknown column": (b"id,a,b\nx1,1,2\n", 'does not use the field "b" in rows.csv, line 2; it uses: a'),
    "missing column": (b"id\nx1\n", 'uses the field "a", which is not given in rows.csv, line 2'),
    "empty cell": (b"id,a\nx1,1\nx2,\n", 'the field "a" in rows.csv, line 3 is empty'),
    "short row": (b'id,a\nx1,"1\n2"\nx2\n', "rows.csv, line 4: the row has 1 cells, the header 2"),
    "no rows": (b"id,a\n", "rows.csv, line 2: there is no row below the header"),
    "quotes": (b'id,a\nx1,"1\n', "rows.csv, line 2: not valid CSV"),
    "not utf-8": (b"id,a\nx1,\xff\n", "rows.csv, line 2: byte 0xff is not valid UTF-8"),
    "bad id": (b"id,a\n../x,1\n", 'the id "../x" in rows.csv, line 2 is not allowed'),
    "id twice": (
        b"id,a\nx1,1\nX1,1\n",
        'the id "X1" in rows.csv, line 3 is not allowed; it repeats "x1" of rows.csv, line 2',
    ),
    "empty file": (b"", "rows.csv: the CSV file is empty"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_rows_refused_with_their_line(tmp_path: Path, name: str) -> None:
    data, expected = BAD_ROWS[name]
    write(tmp_path, data, "rows.csv")
    assert expected in refusal(tmp_path, "cases:\n  - template: '{a}'\n    rows: rows.csv\n")


@pytest.mark.parametrize("name", ["../rows.csv", "/etc/hostname", "link.csv", "sub/../../rows.csv", "a\\0b"])
def test_rows_stay_in_the_folder(tmp_path: Path, name: str) -> None:
    write(tmp_path, "id,a\nx1,1\n", "rows.csv")
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "link.csv").symlink_to(tmp_path / "rows.csv")
    sentence = refusal(folder, f"cases:\n  - template: '{{a}}'\n    rows: \"{name}\"\n")
    assert sentence.startswith("batch.yaml, line 3: the file ")
    assert "must be a relative path that stays in the folder" in sentence


def test_files_that_are_no_case_files(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    assert "is a folder; give a case file" in failure(tmp_path / "folder.yaml")
    assert "there is no such case file" in failure(tmp_path / "absent.yaml")
    assert "must end in .yaml, .yml or .jsonl" in failure(write(tmp_path, ONE, "cases.json"))
    assert "the case file is empty" in failure(write(tmp_path, " \n", "empty.yaml"))
    assert "the file holds no cases" in failure(write(tmp_path, "# nothing\n", "comment.yaml"))
    assert "is not a regular file" in failure(Path("/dev/null").parent / "null", link=tmp_path / "null.yaml")


def failure(path: Path, link: Path | None = None) -> str:
    if link is not None:
        link.symlink_to(path)
        path = link
    with pytest.raises(UsageError) as caught:
        read_cases(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("first", "second"), [("a1", "a1"), ("a1", "A1"), ("straße", "STRASSE"), ("\u00e9", "e\u0301"), ("k", "\u212a")]
)
def test_attack_23_ids_that_are_equal_after_folding(tmp_path: Path, first: str, second: str) -> None:
    text = f"cases:\n  - {{id: {first}, prompt: x}}\n  - {{id: {second}, prompt: x}}\n"
    sentence = refusal(tmp_path, text)
    assert "is not allowed" in sentence
    if first.isascii() and second.isascii():
        assert f'line 3: the id "{second}" is not allowed; it repeats "a1" of line 2' in sentence


@pytest.mark.parametrize(
    "case_id",
    [
        *("../../etc/x", "/abs", "-rf", "a\0b", "CON", "con.txt", "LPT9", "nul", "a" * 300, "a" * 65, "", "a.", ".."),
        *(".a", "a b", "a\n", "é", "a/b", "a\\b", "a\u202eb", "ａ"),
    ],
)
def test_attack_44_ids_that_no_folder_may_have(tmp_path: Path, case_id: str) -> None:
    line = json.dumps({"id": case_id, "prompt": "x"})
    sentence = refusal(tmp_path, line, "b.jsonl")
    assert sentence.startswith('b.jsonl, line 1: the id "')
    assert "is not allowed; " in sentence
    assert len(sentence) < 300


@pytest.mark.parametrize("case_id", ["a", "0", "A-1_b.c", "a" * 64, "CONSOLE", "COM0", "a.CON"])
def test_attack_44_ids_that_are_allowed(tmp_path: Path, case_id: str) -> None:
    assert read(tmp_path, json.dumps({"id": case_id, "prompt": "x"}), "b.jsonl").cases[0].id == case_id


YAML_TRICKS = {
    "bomb": ("a: &a [x, x]\nb: &b [*a, *a]\n" + ONE, 'line 1: the anchor "&a" is refused'),
    "alias": ("title: *a\n" + ONE, 'line 1: the alias "*a" is refused'),
    "tag": ("title: !!python/object:os.system x\n" + ONE, "line 1: the tag "),
    "plain tag": ("title: ! x\n" + ONE, 'line 1: the tag "!" is refused'),
    "tag on a list": ("cases: !!seq\n  - a\n", "line 1: the tag "),
    "tag on a name": ("!!str title: x\n" + ONE, "line 1: the tag "),
    "merge": ("<<: {title: x}\n" + ONE, 'line 1: unknown field "<<" at the top level'),
    "duplicate": (
        "title: x\ncontact: y\ntitle: z\n" + ONE,
        'line 3: "title" stands twice; it was given on line 1 already',
    ),
    "duplicate in case": (ONE + "    prompt: Ho\n", 'line 4: "prompt" stands twice; it was given on line 3'),
    "two documents": (ONE + "---\n" + ONE, "line 4: a second document begins"),
    "directive": ("%YAML 1.1\n---\n" + ONE, "a % directive is refused"),
    "future": ("%YAML 1.3\n---\n" + ONE, "not valid YAML"),
    "list as name": ("[a]: x\n" + ONE, "line 1: the name of a field must be text"),
    "deep": ("title: " + "[" * 5000 + "\n", "line 1: nested deeper than 12 levels"),
    "code point": ('title: "\\UFFFFFFFF"\n' + ONE, "batch.yaml, line 1: not valid YAML"),
    "control": ("title: x\ncontact: \x1b[31m\n" + ONE, "line 2: U+001B cannot stand in YAML as it is"),
    "folded": ("title: x\u2028y\n" + ONE, "line 1: U+2028 cannot stand in YAML as it is"),
    "unknown field": (ONE + "    \u202eevil: x\n", 'line 4: unknown field "\\u202eevil"'),
}


@pytest.mark.parametrize("name", YAML_TRICKS)
def test_attack_45_yaml_tricks(tmp_path: Path, name: str) -> None:
    text, expected = YAML_TRICKS[name]
    assert expected in refusal(tmp_path, text)


@pytest.mark.parametrize(
    "word", ["no", "012", "2001-01-01", "1.0", "yes", "0x1F", "1e3", "on", ".inf", "12:30:00", "=", "<<"]
)
def test_attack_45_words_stay_text(tmp_path: Path, word: str) -> None:
    file = read(tmp_path, f"title: {word}\ncases:\n  - {{id: a1, prompt: {word}}}\n")
    assert (file.batch.title, file.cases[0].messages[0].content) == (word, word)
    if word[0].isalnum() and ":" not in word:
        assert read(tmp_path, f"cases:\n  - {{id: {word}, prompt: x}}\n").cases[0].id == word


def test_attack_46_sizes_have_limits(tmp_path: Path) -> None:
    sparse = tmp_path / "huge.jsonl"
    with sparse.open("wb") as file:
        file.truncate(1 << 30)
    assert "a case file may have at most 64 MiB" in failure(sparse)
    long = json.dumps({"id": "a1", "prompt": "x" * 1_000_001})
    assert '"prompt" in case "a1" must have at most 1000000 characters, not "xxx' in refusal(tmp_path, long, "b.jsonl")
    half = "x" * 600_000
    pair = json.dumps({"id": "a1", "messages": [{"role": "user", "content": half}] * 2})
    assert "have more than 1,000,000 characters" in refusal(tmp_path, pair, "b.jsonl")
    grown = json.dumps({"id": "a1", "template": "{a}" * 1000, "fields": {"a": half}})
    assert "have more than 1,000,000 characters" in refusal(tmp_path, grown, "b.jsonl")
    many = json.dumps({"id": "a1", "prompt": "x" * 20_000, "units": [{"name": "u", "text": "x"}]})
    assert '"u" occurs more than 10,000 times' in refusal(tmp_path, many, "b.jsonl")
    units = [{"name": f"u{number}", "text": "x"} for number in range(10_001)]
    many_units = json.dumps({"id": "a1", "prompt": "x", "units": units})
    assert "has more than 10,000 fields and units" in refusal(tmp_path, many_units, "b.jsonl")
    (tmp_path / "wide.csv").write_text(",".join(["id", *(f"c{number}" for number in range(300_000))]) + "\nx1\n")
    wide = json.dumps({"template": "{c1}", "rows": "wide.csv"})
    assert "the row has 1 cells, the header 300001" in refusal(tmp_path, wide, "b.jsonl")
    rows = '{"id":"a","prompt":"x"}\n' * 1_000_000
    assert "line 100001: more than 100,000 cases; split the file" in refusal(tmp_path, rows, "b.jsonl")


SLOW = {"(a|aa)+$": "a" * 60 + "c", "(?:(a|aa)+c|q)": "q" + ("a" * 27 + "d q ") * 30}


@pytest.mark.parametrize("pattern", SLOW)
def test_attack_46_patterns_have_a_time(tmp_path: Path, pattern: str) -> None:
    text = json.dumps({"id": "a1", "prompt": SLOW[pattern], "units": [{"name": "n", "pattern": pattern}]})
    sentence = refusal(tmp_path, text, "b.jsonl")
    assert sentence.startswith(f'b.jsonl, line 1: the pattern "{pattern}" of "n" takes longer than 2 s on message 1')


def test_attack_46_a_pattern_that_only_looks_slow(tmp_path: Path) -> None:
    prompt = "a" * 40 + "b"
    text = json.dumps({"id": "a1", "prompt": prompt, "units": [{"name": "n", "pattern": "(a+)+b"}]})
    case = read(tmp_path, text, "b.jsonl").cases[0]
    assert texts(case, case.named[0]) == [prompt]


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(?:(?:(?:x|y){1000}){1000}){1000}", "repeat counts multiply"),
        ("x{60000}", "repeat counts multiply"),
        ("[(]x{50001}", "repeat counts multiply"),
        ("(?:hello){e<=2}", "a brace that is text"),
        ("x{i}", "a brace that is text"),
        ("(?R)", "unknown extension"),
        ("(?e)x", "unknown extension"),
        ("[[a-z]", "nested set"),
        ("(" * 3000, "not a valid regular expression"),
        ("x{99999999999999999999}", "not a valid regular expression"),
        ("a" * 10_001, "at most 10000 characters"),
    ],
)
def test_attack_46_patterns_are_those_of_python(tmp_path: Path, pattern: str, reason: str) -> None:
    text = json.dumps({"id": "a1", "prompt": "x", "units": [{"name": "n", "pattern": pattern}]})
    assert reason in refusal(tmp_path, text, "b.jsonl")
    policy = json.dumps({"id": "a1", "prompt": "x", "policies": [{"name": "n", "answer_must_match": pattern}]})
    assert reason in refusal(tmp_path, policy, "b.jsonl")


@pytest.mark.parametrize(
    "pattern",
    [r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}", "[{][a-z]+[}]", r"\d{4}-\d{2}-\d{2}", "x{0,90000}", "x{2,}", r"\)+"],
)
def test_ordinary_patterns_are_read(tmp_path: Path, pattern: str) -> None:
    policy = json.dumps({"id": "a1", "prompt": "x", "policies": [{"name": "n", "answer_must_match": pattern}]})
    assert read(tmp_path, policy, "b.jsonl").cases


LIMIT_FIELDS = ("not_in_top", "must_be_in_top", "max_effect")


@pytest.mark.parametrize(
    "number", ["1000001", "99999999999999999999", "1" + "0" * 400, "1" + "0" * 6000, "1e20", "1e300"]
)
@pytest.mark.parametrize("field", [*LIMIT_FIELDS, "tolerance"])
@pytest.mark.parametrize("name", ["b.yaml", "b.jsonl"])
def test_numbers_stay_where_json_is_exact(tmp_path: Path, name: str, field: str, number: str) -> None:
    limits = f'"limits": {{"{field}": {number}}}' if field in LIMIT_FIELDS else f'"{field}": {number}'
    case = f'{{"id": "a1", "prompt": "x", "policies": [{{"name": "p", "terms": ["x"], "pair_with": "a1", {limits}}}]}}'
    sentence = refusal(tmp_path, case if name == "b.jsonl" else f"cases: [{case}]\n", name)
    assert f"{name}, line 1" in sentence
    assert len(sentence) < 300


def test_numbers_at_their_limits_are_encoded_and_read_back(tmp_path: Path) -> None:
    limits = {"not_in_top": 1, "must_be_in_top": 1_000_000, "max_effect": 1e6, "max_share": 5e-324, "min_share": 5e-324}
    policy = {"name": "p" * 200, "terms": ["x"], "limits": limits, "pair_with": "a2", "tolerance": 1}
    entries = ({"id": "a1", "prompt": "x", "policies": [policy]}, {"id": "a2", "prompt": "x"})
    case = read(tmp_path, "\n".join(json.dumps(entry) for entry in entries), "b.jsonl").cases[0]
    assert parse_canonical(canonical(case), Case, "case") == case


@pytest.mark.parametrize(
    ("field", "value", "limit"),
    [
        *(
            (field, "x" * 10_001, "10000 characters")
            for field in ("title", "organisation", "contact", "retention_until")
        ),
        ("references", ["x"] * 101, "at most 100 items, not"),
        ("references", ["x" * 10_001], "10000 characters"),
        ("model", "x" * 4097, "4096 characters"),
        ("policies", [{"name": "x" * 201}], "200 characters"),
        ("policies", [{"name": "p", "terms": ["x" * 1_001]}], "1000 characters"),
        ("policies", [{"name": "p", "terms": ["x"] * 1001}], "at most 1000 items, not"),
    ],
)
def test_attack_46_texts_have_limits(tmp_path: Path, field: str, value: object, limit: str) -> None:
    sentence = refusal(tmp_path, json.dumps({"batch": {field: value}}) + '\n{"id": "a1", "prompt": "x"}', "b.jsonl")
    assert limit in sentence
    assert sentence.startswith("b.jsonl, line 1: ")


def test_attack_47_text_is_kept_as_it_is(tmp_path: Path) -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    file = read(tmp_path, f"cases:\n  - {{id: a1, prompt: {composed}}}\n  - {{id: a2, prompt: {decomposed}}}\n")
    assert [case.messages[0].content for case in file.cases] == [composed, decomposed]
    assert unicodedata.normalize("NFC", decomposed) == composed
    missing = f"cases:\n  - {{id: a1, prompt: {composed}, units: [{{name: u, text: {decomposed}}}]}}\n"
    assert 'the text of "u" occurs in no message' in refusal(tmp_path, missing)


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("b.yaml", b"title: x\ncontact: \xff\n", "b.yaml, line 2: byte 0xff is not valid UTF-8"),
        ("b.yaml", "cases: []".encode("utf-16"), "b.yaml, line 1: byte 0xff is not valid UTF-8"),
        ("b.jsonl", b'{"id": "a1",\n"prompt": "\xed\xa0\x80"}', "b.jsonl, line 2: byte 0xed is not valid UTF-8"),
        ("b.jsonl", b'{"id": "a1", "prompt": "\\ud800"}', 'b.jsonl, line 1: "\\ud800" holds a lone surrogate'),
        ("b.jsonl", b'{"id": "a1", "\\ud800": "x"}', 'b.jsonl, line 1: "\\ud800" holds a lone surrogate'),
        ("b.yaml", b'title: "\\ud83d\\ude00"\n', 'b.yaml, line 1: "title" holds a lone surrogate'),
    ],
)
def test_attack_47_what_is_not_unicode(tmp_path: Path, name: str, data: bytes, expected: str) -> None:
    assert expected in refusal(tmp_path, data, name)


def test_surrogate_pairs_of_json_and_byte_order_marks_are_fine(tmp_path: Path) -> None:
    data = b'\xef\xbb\xbf{"id": "a1", "prompt": "\\ud83d\\ude00"}'
    assert read(tmp_path, data, "b.jsonl").cases[0].messages[0].content == "😀"
    assert read(tmp_path, b"\xef\xbb\xbf" + ONE.encode()).cases[0].id == "a1"


def test_a_single_question() -> None:
    file = single_case("What is  é?\n")
    assert file.raw == "What is  é?\n".encode()
    assert (file.cases[0].id, file.cases[0].messages[0].content) == ("prompt", "What is  é?\n")
    for bad in ("", " \n", "x" * 1_000_001, "\udcff"):
        with pytest.raises(UsageError, match="the prompt "):
            single_case(bad)


def test_the_schema_names_every_field() -> None:
    schema = case_schema()
    assert {"title", "cases", "policies", "settings", "model"} <= set(schema["properties"])
    entry = schema["$defs"]["CaseEntry"]
    assert entry["additionalProperties"] is False
    assert {"id", "prompt", "messages", "template", "fields", "rows", "units"} <= set(entry["properties"])
    assert json.loads(json.dumps(schema)) == schema


@pytest.mark.parametrize("name", ["lending.yaml", "triage.yaml"])
def test_samples(name: str) -> None:
    file = read_cases(SAMPLES / name)
    assert len(file.cases) >= 3
    assert file.batch.title
    assert file.batch.reviewer


def test_sample_rows_are_the_cases_of_the_sample() -> None:
    cases = read_cases(SAMPLES / "lending.yaml").cases
    plain = tuple(case.model_copy(update={"contrast": None}) for case in cases[:3])  # the rows have none
    assert read_cases(SAMPLES / "lending_rows.yaml").cases == plain


def test_the_example_of_the_reference_is_read(tmp_path: Path) -> None:
    page = (SAMPLES.parent / "docs" / "case-file.md").read_text(encoding="utf-8")
    shutil.copyfile(SAMPLES / "letterhead.png", tmp_path / "letterhead.png")
    for kind, text in re.findall(r"^```(yaml|jsonl)\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL):
        assert read(tmp_path, text, f"example.{kind}").cases
    entry = case_schema()["$defs"]["CaseEntry"]["properties"]
    missing = [name for name in {*entry, *case_schema()["properties"], *SETTINGS} if f"`{name}`" not in page]
    assert not missing

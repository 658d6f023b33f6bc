"""The tree of a case file -> its pydantic models; says which line and field is wrong and what is allowed there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError

from attn_audit.case_text.tree import Step, Tree, plain, quoted
from attn_audit.evidence.records import (
    Address,
    BatchFields,
    Colour,
    Index,
    Limits,
    Message,
    Policy,
    PolicyMethod,
    Record,
)

MAX_CHARACTERS = 1_000_000
ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"


def _one_message(value: object) -> object:
    """A template that is text stands for one message of the user."""
    return [{"role": "user", "content": value}] if isinstance(value, str) else value


Text = Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS)]
Pattern = Annotated[str, Field(min_length=1, max_length=10_000)]
Quotation = Annotated[str, Field(min_length=1, max_length=5_000)]  # a pattern, escaped
Name = Annotated[str, Field(min_length=1, max_length=100)]
Messages = Annotated[tuple[Message, ...], Field(min_length=1)]
Template = Annotated[Messages, BeforeValidator(_one_message, json_schema_input_type=Text | Messages)]
Policies = Annotated[tuple[Policy, ...], Field(max_length=1_000)]
NewTokens = Annotated[int, Field(ge=1, le=4096)]


class NamedUnit(Record):
    """A piece of the messages to be suppressed as one: quoted text or a regular expression, wherever it occurs."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["text"]}, {"required": ["pattern"]}]})

    name: Name = Field(description="as reports and policies call it")
    text: Text | None = Field(None, description="quoted exactly")
    pattern: Pattern | None = Field(None, description="a regular expression of Python, with 2 seconds for each message")


class AnswerPlace(Record):
    """Where a part of the answer stands: quoted text, a regular expression, or characters."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": [name]} for name in ("text", "pattern", "characters")]}
    )

    text: Quotation | None = Field(None, description="quoted exactly")
    pattern: Pattern | None = Field(None, description="a regular expression of Python; the first match counts")
    characters: tuple[Index, Index] | None = Field(None, description="start, end, from 0; the end is left out")


class AnswerPartEntry(AnswerPlace):
    """A part of the answer to be explained on its own."""

    name: Name = Field(description="as reports call it; `decision` and `rationale` are compared with each other")


def _quoted_text(value: object) -> object:
    """A place that is text stands for that text."""
    return {"text": value} if isinstance(value, str) else value


Place = Annotated[AnswerPlace, BeforeValidator(_quoted_text, json_schema_input_type=Text | AnswerPlace)]


class CaseEntry(Record):
    """One case, or with ``rows`` one for each row of a CSV file."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": [name]} for name in ("prompt", "messages", "template")]}
    )

    id: Annotated[str, Field(json_schema_extra={"pattern": f"^{ID_PATTERN}$"})] | None = Field(
        None,
        description="names its folder: 1 to 64 of `A-Z a-z 0-9 . _ -`, a letter or digit first, no dot last, no device "
        "name of Windows; upper and lower case count as equal",
    )
    prompt: Text | None = Field(None, description="one message of the user; or")
    messages: Messages | None = Field(None, description="a conversation, the last message from the user; or")
    template: Template | None = Field(
        None,
        description="text, or messages, with `{field}` where a value goes. `{{` and `}}` are braces. Names consist of "
        "letters, digits, `_`, `-` and spaces",
    )
    fields: dict[str, Text] | None = Field(
        None, description="the values, by name; each must be used, and each becomes a unit of its own"
    )
    rows: Text | None = Field(
        None,
        description="instead of `fields` and `id`: a CSV file in the folder of the case file or below. Its header is "
        "`id` and the names of the fields, its cells are separated by commas; each row is a case",
    )
    units: tuple[NamedUnit, ...] = Field(
        (),
        description="pieces to measure as one. Every occurrence in any message counts; there must be one, and none may "
        "overlap another unit or a field",
    )
    answer: Text | None = Field(None, description="explain this answer; without it the model's own")
    observed_answer: Text | None = Field(None, description="what production said: does this model reproduce it?")
    contrast: Text | None = Field(
        None,
        description="the answer that did not come: every value then says how much more a piece supports the answer "
        "than this one. Where it is the answer itself the case fails, since there is nothing to compare",
    )
    decision: Place | None = Field(
        None, description="the part of the answer that decides; text stands for that text, quoted exactly"
    )
    rationale: Place | None = Field(None, description="the part of the answer that reads like a reason, likewise")
    paraphrases: Annotated[tuple[Template, ...], Field(max_length=20)] = Field(
        (),
        description="the same question in other words; with a `template`, templates of the same fields. Full checks "
        "explain the answer after each",
    )
    answer_parts: Annotated[tuple[AnswerPartEntry, ...], Field(max_length=50)] = Field(
        (),
        description="parts of the answer to be explained on their own. They cost nothing, but for parts named "
        "`decision` and `rationale`; a part that is not in the answer is warned about",
    )
    notes: Text | None = Field(None, description="for the reader")
    max_new_tokens: NewTokens | None = Field(None, description="length limit of the answer, in tokens")
    policies: Policies = Field((), description="rules for this case, after those of the file")


class FileSettings(Record):
    """The settings a case file may bring; the command line resolves them."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    units: Text | None = None
    operator: Text | None = None
    factor: Text | None = None
    effect: Text | None = None
    layers: Text | None = None
    effort: Text | None = None
    checks: Text | None = None
    baselines: Text | None = None
    max_seconds: Text | None = None
    sources: Text | None = None
    bands: Text | None = None
    kappa: Text | None = None
    max_new_tokens: NewTokens | None = Field(None, description="for cases that do not set their own; default 64")
    max_memory: Text | None = None
    dtype: Text | None = None
    device: Text | None = None
    threads: Text | None = None
    seed: Text | None = None
    format: Text | None = None
    paper: Text | None = None


class LetterheadEntry(Record):
    """What stands at the head of each report, beside the organisation."""

    logo: Text | None = Field(
        None, description="a PNG picture in the folder of the case file or below: at most 64 KiB and 262,144 pixels"
    )
    colour: Colour | None = Field(
        None,
        description="`#rrggbb`, at least 4.5:1 on white: of the rules below the letterhead and above headings",
    )
    address: Address | None = Field(None, description="at most 5 lines")


class CaseFileSchema(BatchFields):
    """A case file: what is said about the batch, and its cases."""

    letterhead: LetterheadEntry | None = Field(None, description="a head for each page that is written")
    model: Text | None = Field(None, max_length=4096, description="the model, unless a flag names it")
    settings: FileSettings = Field(FileSettings(), description="flags and environment go before them")
    decision: Place | None = Field(None, description="for every case that does not give its own")
    rationale: Place | None = Field(None, description="for every case that does not give its own")
    policies: Policies = Field((), description="rules for every case, put before the case's own")
    cases: tuple[CaseEntry, ...] = Field(min_length=1, description="the questions")


SETTINGS = frozenset(FileSettings.model_fields)

_INSIDE: Mapping[Step | None, type[Record]] = {
    None: CaseFileSchema,
    "cases": CaseEntry,
    "letterhead": LetterheadEntry,
    "settings": FileSettings,
    "policies": Policy,
    "limits": Limits,
    "method": PolicyMethod,
    "messages": Message,
    "template": Message,
    "paraphrases": Message,
    "units": NamedUnit,
    "answer_parts": AnswerPartEntry,
    "decision": AnswerPlace,
    "rationale": AnswerPlace,
}
_NOT_OURS = "^(Input|String|Tuple) should |^Value error, | after validation.*$"
_WANTED = {
    "string_type": "be text",
    "int_type": "be a whole number",
    "int_parsing": "be a whole number",
    "int_parsing_size": "be a whole number of fewer digits",
    "int_from_float": "be a whole number",
    "float_type": "be a number",
    "float_parsing": "be a number",
    "finite_number": "be a finite number",
    "tuple_type": "be a list",
    "dict_type": "be a mapping of names to text",
    "model_type": "be a mapping of fields to values",
    "model_attributes_type": "be a mapping of fields to values",
    "string_too_short": "not be empty",
    "too_short": "not be empty",
}


def case_schema() -> dict[str, Any]:
    """The JSON Schema of a case file (of JSON Lines: the object that ``batch`` and the lines stand for together)."""
    return CaseFileSchema.model_json_schema()


def validated(tree: Tree) -> CaseFileSchema:
    """The file as its models. Raises the UsageError of the first wrong value, unknown fields before all others."""
    try:
        return CaseFileSchema.model_validate(plain(tree.root))
    except ValidationError as error:
        # A list of which every item is wrong is reported as too short as well.
        found = [e for e in error.errors(include_url=False) if e["type"] != "too_short" or not e["input"]]
        first = min(found, key=lambda e: (e["type"] != "extra_forbidden", tree.line(e["loc"])))
        tree.refuse(first["loc"], _sentence(tree, first["loc"], first["type"], first["msg"], first["input"]))


def place(tree: Tree, path: tuple[Step, ...]) -> str:
    """Where in the file, in words: ``at the top level``, ``in case "a1"``, ``in policies 2 of case "a1"``."""
    if not path:
        return "at the top level"
    words = [f" {step + 1}" if isinstance(step, int) else f" > {step}" for step in path]
    if path[0] != "cases" or len(path) == 1:
        return "in " + "".join(words).removeprefix(" > ")
    case = case_name(tree, path)
    inner = "".join(words[2:]).removeprefix(" > ")
    return f"in {inner} of {case}" if inner else f"in {case}"


def case_name(tree: Tree, path: tuple[Step, ...]) -> str:
    """``case "a1"``, or ``case 3`` when it has no usable id; ``path`` begins with "cases" and its number."""
    cases = tree.root.value
    entries = cases["cases"].value if isinstance(cases, dict) else None
    number = path[1]
    if isinstance(entries, list) and isinstance(number, int):
        entry = entries[number].value
        if isinstance(entry, dict) and "id" in entry and isinstance(entry["id"].value, str):
            return f"case {quoted(entry['id'].value)}"
        return f"case {number + 1}"
    return "the cases"


def _sentence(tree: Tree, path: tuple[Step, ...], kind: str, message: str, value: object) -> str:
    if not path:
        return 'a case file begins with fields such as "title:" and "cases:"; this is not a mapping of fields to values'
    where = place(tree, path[:-1])
    if kind == "extra_forbidden":
        names = [step for step in path[:-1] if isinstance(step, str)]
        allowed = sorted(_INSIDE[names[-1] if names else None].model_fields)
        meant = "".join(f" (is {one} meant?)" for one in get_close_matches(str(path[-1]), allowed, 1))
        return f"unknown field {quoted(str(path[-1]))} {where}; allowed here: {', '.join(allowed)}{meant}"
    if kind == "missing":
        return f"the field {quoted(str(path[-1]))} is missing {where}"
    what = f"item {path[-1] + 1}" if isinstance(path[-1], int) else quoted(path[-1])
    wanted = _WANTED.get(kind) or re.sub(_NOT_OURS, "", message)
    return f"{what} {where} must {wanted}, not {_described(value)}"


def _described(value: object) -> str:
    if isinstance(value, str):
        return quoted(value) if value else "empty text"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    return str(value)[:40]

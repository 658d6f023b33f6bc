"""The bytes of a case file -> ``CaseFile``: its cases in order, each id once, each policy about something."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from attn_audit.case_text.json_lines import MAX_CASES, parse_json_lines
from attn_audit.case_text.tree import Tree, quoted
from attn_audit.case_text.yaml import parse_yaml
from attn_audit.cases.entry import DEFAULT_NEW_TOKENS, Entry
from attn_audit.cases.files import decode, read_bytes, shown
from attn_audit.cases.letterhead import read_letterhead
from attn_audit.cases.patterns import compiled
from attn_audit.cases.policies import check_references, with_methods
from attn_audit.cases.schema import ID_PATTERN, MAX_CHARACTERS, CaseFileSchema, validated
from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.records import (
    DECISION,
    RATIONALE,
    BatchFields,
    BatchInfo,
    Case,
    Message,
)

MAX_BATCH_CHARACTERS = 256_000_000

_PARSERS = {".yaml": parse_yaml, ".yml": parse_yaml, ".jsonl": parse_json_lines}
_DEVICE = re.compile(r"(CON|PRN|AUX|NUL|COM[1-9]|LPT[1-9])(\..*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CaseFile:
    """A case file that was read whole. ``raw`` are its bytes; ``lines`` maps a case id to the line of its entry."""

    raw: bytes
    source: str
    batch: BatchInfo
    model: str | None
    settings: dict[str, str]
    cases: tuple[Case, ...]
    lines: dict[str, int]


def read_cases(path: Path) -> CaseFile:
    """Read a .yaml, .yml or .jsonl file whole. Raises UsageError with file, line, field and what is allowed."""
    parse = _PARSERS.get(path.suffix.lower())
    if parse is None:
        question = " (a single question is asked with --prompt TEXT)" if " " in str(path) else ""
        raise UsageError(f"{shown(path)}: a case file must end in .yaml, .yml or .jsonl{question}")
    raw = read_bytes(path, "case file")
    source = shown(Path(path.name))
    tree = parse(decode(raw, source), source)
    file = validated(tree)
    cases, entries = _all_cases(tree, file, path.parent)
    settings = {name: str(value) for name, value in file.settings if value is not None}
    said = {name: getattr(file, name) for name in BatchFields.model_fields}
    batch = BatchInfo(**said, letterhead=read_letterhead(tree, file, path.parent))
    lines = {case.id: tree.line(("cases", entry)) for case, entry in zip(cases, entries, strict=True)}
    return CaseFile(raw, source, batch, file.model, settings, cases, lines)


def single_case(prompt: str) -> CaseFile:
    """The case file that one question on the command line or on stdin stands for; its only case has id ``prompt``."""
    if not prompt.strip():
        raise UsageError("the prompt is empty; give the text of a question")
    if len(prompt) > MAX_CHARACTERS:
        raise UsageError(f"the prompt has {len(prompt):,} characters; at most {MAX_CHARACTERS:,} are allowed")
    try:
        raw = prompt.encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError("the prompt is not valid UTF-8; give it as UTF-8 text") from None
    case = Case(id="prompt", messages=(Message(role="user", content=prompt),), max_new_tokens=DEFAULT_NEW_TOKENS)
    return CaseFile(raw, "the prompt", BatchInfo(), None, {}, (case,), {case.id: 1})


# -- the file's models -> cases ---------------------------------------------------------------------------------------


def _all_cases(tree: Tree, file: CaseFileSchema, folder: Path) -> tuple[tuple[Case, ...], tuple[int, ...]]:
    """All cases in order, and for each the index of its entry."""
    cases: list[Case] = []
    entries: list[int] = []
    seen: dict[str, tuple[str, str]] = {}
    characters = 0
    general = with_methods(tree, ("policies",), file.policies, file.settings)
    for number, entry in enumerate(file.cases):
        own_policies = with_methods(tree, ("cases", number, "policies"), entry.policies, file.settings)
        builder = Entry(tree, number, entry, file, (*general, *own_policies))
        for case, row in builder.cases(folder):
            _check_id(tree, number, case.id, row, seen)
            cases.append(case)
            entries.append(number)
            characters += sum(len(message.content) for one in (case.messages, *case.paraphrases) for message in one)
            if len(cases) > MAX_CASES:
                builder.refuse("rows", f"more than {MAX_CASES:,} cases; split the file")
            if characters > MAX_BATCH_CHARACTERS:
                builder.refuse("rows", f"the cases hold more than {MAX_BATCH_CHARACTERS:,} characters; split the file")
    for name in (DECISION, RATIONALE):
        place = getattr(file, name)
        if place is not None and place.pattern is not None:
            compiled(tree, (name, "pattern"), place.pattern)
    check_references(tree, ("policies",), file.policies, tuple(cases), seen)
    own: dict[int, list[Case]] = {}
    for number, case in zip(entries, cases, strict=True):
        own.setdefault(number, []).append(case)
    for number, entry in enumerate(file.cases):
        check_references(tree, ("cases", number, "policies"), entry.policies, tuple(own[number]), seen)
    return tuple(cases), tuple(entries)


def _check_id(tree: Tree, number: int, case_id: str, row: str, seen: dict[str, tuple[str, str]]) -> None:
    """An id names a folder on any file system, once. Ids are ASCII, so case-folding leaves nothing for NFC to unite."""
    path = ("cases", number, "id")
    wrong = f"the id {quoted(case_id)}{' in ' + row if row else ''} is not allowed;"
    if not re.fullmatch(ID_PATTERN, case_id):
        rule = "1 to 64 of the letters A-Z a-z, digits, dots, hyphens and underscores, a letter or digit first"
        tree.refuse(path, f"{wrong} an id is {rule}")
    if _DEVICE.fullmatch(case_id):
        tree.refuse(path, f"{wrong} Windows reserves this name for a device")
    if case_id.endswith("."):
        tree.refuse(path, f"{wrong} an id does not end in a dot")
    key = case_id.casefold()
    if key in seen:
        other, place = seen[key]
        same = "" if other == case_id else " (upper and lower case count as equal)"
        tree.refuse(path, f"{wrong} it repeats {quoted(other)} of {place}{same}")
    seen[key] = (case_id, row or f"line {tree.line(path)}")

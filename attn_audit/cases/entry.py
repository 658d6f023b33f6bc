"""One entry of a case file -> its cases: fills the template, finds the named units, places every span."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

from attn_audit.case_text.tree import Step, Tree, quoted
from attn_audit.cases.patterns import MATCH_SECONDS, compiled, matches
from attn_audit.cases.rows import read_rows
from attn_audit.cases.schema import MAX_CHARACTERS, AnswerPlace, CaseEntry, CaseFileSchema, NamedUnit, case_name
from attn_audit.evidence.records import (
    DECISION,
    RATIONALE,
    AnswerPattern,
    Case,
    Message,
    NamedSpans,
    Policy,
    Span,
)

MAX_SPANS = 10_000
DEFAULT_NEW_TOKENS = 64

_FIELD = re.compile(r"[^\W\d](?:[\w -]{0,62}\w)?")
_TEMPLATE = re.compile(r"(?P<escape>\{\{|\}\})|\{(?P<field>[^{}]*)\}|(?P<lone>[{}])")


class Entry:
    """Builds the cases of one entry of the file; every refusal names the entry and the line."""

    def __init__(
        self, tree: Tree, number: int, entry: CaseEntry, file: CaseFileSchema, policies: tuple[Policy, ...]
    ) -> None:
        self.tree = tree
        self.file = file
        self.path: tuple[Step, ...] = ("cases", number)
        self.entry = entry
        self.name = case_name(tree, self.path)
        self.policies = policies
        self.max_new_tokens = entry.max_new_tokens or file.settings.max_new_tokens or DEFAULT_NEW_TOKENS

    def refuse(self, field: str, sentence: str, *inner: Step) -> NoReturn:
        self.tree.refuse((*self.path, field, *inner), sentence)

    def cases(self, folder: Path) -> Iterator[tuple[Case, str]]:
        """The cases, and for those from a CSV file where their row stands, else ""."""
        self._check_fields()
        entry = self.entry
        if entry.rows is not None:
            for row in read_rows(self.tree, (*self.path, "rows"), entry.rows, folder):
                yield self._filled(row.id, row.values, f" in {row.where}"), row.where
        elif entry.template is not None:
            yield self._filled(entry.id or "", entry.fields or {}, ""), ""
        else:
            messages = entry.messages or (Message(role="user", content=entry.prompt or ""),)
            yield self._case(entry.id or "", messages, (), entry.paraphrases), ""

    def _check_fields(self) -> None:
        """Which fields stand together, and which alone."""
        entry = self.entry
        given = [name for name in ("prompt", "messages", "template") if getattr(entry, name) is not None]
        if len(given) != 1:
            found = "none of them is given" if not given else f"{' and '.join(given)} are given"
            field = given[-1] if given else ""
            self.refuse(field, f"{self.name} needs exactly one of prompt, messages, template; {found}")
        if entry.rows is None and entry.id is None:
            self.refuse("", f'the field "id" is missing in {self.name}')
        for name in ("fields", "rows"):
            if getattr(entry, name) is not None and entry.template is None:
                self.refuse(name, f'"{name}" in {self.name} needs a template; there is none')
        if entry.rows is not None and entry.fields is not None:
            self.refuse("rows", f"{self.name} has fields and rows; the template is filled from one of them")
        if entry.rows is not None and entry.id is not None:
            self.refuse("id", f'{self.name} has rows, so the ids come from their column "id"; remove this id')
        names: set[str] = set()
        for policy in self.policies:
            if policy.name in names:
                self.refuse("policies", f"two policies of {self.name} have the name {quoted(policy.name)}")
            names.add(policy.name)

    def _filled(self, case_id: str, values: Mapping[str, str], at: str) -> Case:
        """One case from the template, and its paraphrases, which are templates, too."""
        messages, spans = self._fill(self.entry.template or (), values, at, ("template",))
        for name in values:
            if name not in spans:
                used = ", ".join(spans) or "none"
                unused = f"the template of {self.name} does not use the field {quoted(name)}{at}"
                self.refuse("fields", f"{unused}; it uses: {used}", name)
        named = tuple(NamedSpans(kind="field", name=name, spans=tuple(found)) for name, found in spans.items())
        paraphrases = tuple(
            self._fill(other, values, at, ("paraphrases", index))[0]
            for index, other in enumerate(self.entry.paraphrases)
        )
        return self._case(case_id, messages, named, paraphrases)

    def _fill(
        self, template: tuple[Message, ...], values: Mapping[str, str], at: str, path: tuple[Step, ...]
    ) -> tuple[tuple[Message, ...], dict[str, list[Span]]]:
        """The messages, and the spans of each field: exactly the characters that its value put in."""
        messages: list[Message] = []
        spans: dict[str, list[Span]] = {}
        for index, message in enumerate(template):
            parts: list[str] = []
            length = 0
            for literal, field in self._pieces(message.content, path):
                text = literal if field is None else self._value(field, values, at, path)
                if field is not None:
                    spans.setdefault(field, []).append(Span(message=index, start=length, end=length + len(text)))
                parts.append(text)
                length += len(text)
                self._check_length(length)
            messages.append(Message(role=message.role, content="".join(parts)))
        return tuple(messages), spans

    def _pieces(self, template: str, path: tuple[Step, ...]) -> Iterator[tuple[str, str | None]]:
        """Literal text (text, None) and fields ("", name), in order."""
        position = 0
        for match in _TEMPLATE.finditer(template):
            yield template[position : match.start()], None
            position = match.end()
            name = match["field"]
            if match["escape"]:
                yield match["escape"][0], None
            elif name is not None and _FIELD.fullmatch(name):
                yield "", name
            else:
                self._refuse_brace(match.group(), path)
        yield template[position:], None

    def _refuse_brace(self, found: str, path: tuple[Step, ...]) -> NoReturn:
        rule = 'a field is {name}, of letters, digits, "_", "-" and spaces; a brace that is text is written {{ or }}'
        sentence = f"{quoted(found)} in the {_which(path)} of {self.name} is not a field; {rule}"
        self.tree.refuse((*self.path, *path), sentence)

    def _value(self, field: str, values: Mapping[str, str], at: str, path: tuple[Step, ...]) -> str:
        if field not in values:
            sentence = f"the {_which(path)} of {self.name} uses the field {quoted(field)}, which is not given{at}"
            self.tree.refuse((*self.path, *(("fields",) if path == ("template",) else path)), sentence)
        if not values[field]:
            self.refuse("fields", f"the field {quoted(field)}{at} is empty; nothing could be measured for it", field)
        return values[field]

    def _case(
        self,
        case_id: str,
        messages: tuple[Message, ...],
        named: tuple[NamedSpans, ...],
        paraphrases: tuple[tuple[Message, ...], ...],
    ) -> Case:
        entry = self.entry
        source = next(name for name in ("prompt", "messages", "template") if getattr(entry, name) is not None)
        self._check_messages((source,), messages, self.name)
        for index, paraphrase in enumerate(paraphrases):
            path = ("paraphrases", index)
            self._check_messages(path, paraphrase, f"{_which(path)} of {self.name}")
        self._check_length(sum(len(message.content) for one in (messages, *paraphrases) for message in one))
        return Case(
            id=case_id,
            messages=messages,
            named=self._with_units(messages, named),
            answer=entry.answer,
            observed_answer=entry.observed_answer,
            contrast=entry.contrast,
            paraphrases=paraphrases,
            answer_parts=self._answer_parts(),
            notes=entry.notes,
            max_new_tokens=self.max_new_tokens,
            policies=self.policies,
        )

    def _check_messages(self, path: tuple[Step, ...], messages: tuple[Message, ...], whose: str) -> None:
        if messages[-1].role != "user":
            last = f"the last message of {whose} must be the user's, not the {messages[-1].role}'s"
            self.tree.refuse((*self.path, *path), last)
        if any(not message.content.strip() for message in messages):
            self.tree.refuse((*self.path, *path), f"a message of {whose} has no text")

    def _answer_parts(self) -> tuple[AnswerPattern, ...]:
        """The parts of the answer: those that the case names, the decision and the rationale."""
        found: dict[str, AnswerPattern] = {}
        for index, part in enumerate(self.entry.answer_parts):
            if part.name in found:
                self.refuse("answer_parts", f"the name {quoted(part.name)} stands twice among the answer parts", index)
            path = (*self.path, "answer_parts", index)
            found[part.name] = self._part(path, part.name, part, f"the answer part {quoted(part.name)}")
        for name, own, general in (
            (DECISION, self.entry.decision, self.file.decision),
            (RATIONALE, self.entry.rationale, self.file.rationale),
        ):
            place = own or general
            if place is None:
                continue
            if name in found:
                self.refuse(name, f"{self.name} has an answer part {quoted(name)} beside its {name}; give one of them")
            named = f"the {name} of {self.name}" if own else f"the {name} for all cases"
            found[name] = self._part((*self.path, name) if own else (name,), name, place, named)
        return tuple(found.values())

    def _part(self, path: tuple[Step, ...], name: str, place: AnswerPlace, named: str) -> AnswerPattern:
        """The answer itself is not known yet, but where the part will be looked for."""
        given = [field for field in ("text", "pattern", "characters") if getattr(place, field) is not None]
        if len(given) != 1:
            self.tree.refuse(path, f"{named} needs exactly one of text, pattern, characters")
        if place.characters is not None:
            if place.characters[0] >= place.characters[1]:
                self.tree.refuse(path, f"the characters of {named} are [start, end] with the start first")
            return AnswerPattern(name=name, characters=place.characters)
        pattern = re.escape(place.text) if place.text is not None else place.pattern or ""
        compiled(self.tree, (*path, given[0]), pattern)
        return AnswerPattern(name=name, pattern=pattern)

    def _check_length(self, characters: int) -> None:
        if characters > MAX_CHARACTERS:
            self.refuse("", f"the messages of {self.name} have more than {MAX_CHARACTERS:,} characters")

    def _with_units(self, messages: tuple[Message, ...], named: tuple[NamedSpans, ...]) -> tuple[NamedSpans, ...]:
        """The fields and after them the named units; no two share a name or a character."""
        found = list(named)
        taken = {one.name for one in named}
        if len(found) + len(self.entry.units) > MAX_SPANS:  # each occurs at least once
            self.refuse("units", f"{self.name} has more than {MAX_SPANS:,} fields and units")
        for index, unit in enumerate(self.entry.units):
            if unit.name in taken:
                self.refuse("units", f"the name {quoted(unit.name)} stands twice among fields and units", index)
            taken.add(unit.name)
            found.append(NamedSpans(kind="named", name=unit.name, spans=self._find(index, unit, messages)))
        placed = sorted((s.message, s.start, s.end, n.name) for n in found for s in n.spans)
        if len(placed) > MAX_SPANS:
            self.refuse("units", f"fields and units of {self.name} occur {len(placed):,} times; at most {MAX_SPANS:,}")
        for before, after in pairwise(placed):
            if before[0] == after[0] and after[1] < before[2]:
                names = f"{quoted(before[3])} and {quoted(after[3])}"
                self.refuse("units", f"{names} overlap in message {after[0] + 1} of {self.name}; make them disjoint")
        return tuple(found)

    def _find(self, index: int, unit: NamedUnit, messages: tuple[Message, ...]) -> tuple[Span, ...]:
        if (unit.text is None) == (unit.pattern is None):
            self.refuse("units", f"the unit {quoted(unit.name)} needs exactly one of text, pattern", index)
        field = "pattern" if unit.text is None else "text"
        wanted = re.escape(unit.text) if unit.text is not None else unit.pattern or ""
        pattern = compiled(self.tree, (*self.path, "units", index, field), wanted)
        spans: list[Span] = []
        for number, message in enumerate(messages):
            try:
                for start, end in matches(pattern, message.content):
                    if start == end:
                        self.refuse("units", f"the pattern of {quoted(unit.name)} matches empty text", index, field)
                    if len(spans) == MAX_SPANS:
                        self.refuse("units", f"{quoted(unit.name)} occurs more than {MAX_SPANS:,} times", index, field)
                    spans.append(Span(message=number, start=start, end=end))
            except TimeoutError:
                slow = f"the pattern {quoted(wanted)} of {quoted(unit.name)} takes longer than {MATCH_SECONDS:g} s on"
                self.refuse("units", f"{slow} message {number + 1} of {self.name}; simplify it", index, field)
        if not spans:
            sentence = f"the {field} of {quoted(unit.name)} occurs in no message of {self.name}"
            self.refuse("units", sentence, index, field)
        return tuple(spans)


def _which(path: tuple[Step, ...]) -> str:
    """What a template is called: the case's own, or that of a paraphrase."""
    return "template" if path == ("template",) else f"paraphrase {int(path[1]) + 1}"

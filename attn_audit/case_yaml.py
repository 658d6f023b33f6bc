"""The text of a case file, YAML or JSON Lines, to a tree of nodes that know their lines; refuses what is ambiguous."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)

from attn_audit.evidence.errors import UsageError

MAX_DEPTH = 12
MAX_NODES = 2_000_000
MAX_CASES = 100_000
_SHOWN = 60
_EXACT = 2**53  # whole numbers below it are exact in JSON (RFC 8785 and RFC 7493)

# YAML 1.2 allows U+0085, U+2028 and U+2029 as text; the parser folds them into line breaks, so text would change.
_NOT_IN_YAML = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_HINTS = {  # what the parser says -> what to do
    "mapping values": '; text that holds ": " needs quotes, or a block that begins with "|"',
    r"'\t'": "; indent with spaces, not with tabs",
    "<block end>": "; this line begins in another column than those that it belongs with",
    "<stream end>": "; a bracket, a brace or a quotation mark is not closed",
}

Value: TypeAlias = "str | int | float | list[Node] | dict[str, Node]"
Step: TypeAlias = str | int


@dataclass(frozen=True, slots=True)
class Node:
    """A value of the file, and the line (from 1) on which it, or the name before it, begins."""

    line: int
    value: Value


def quoted(text: str) -> str:
    """Text for an error message: in quotes, shortened, without a character that a terminal would not just show."""
    shown = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
    escaped = shown.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(_visible(char) for char in escaped) + '"'


def _visible(char: str) -> str:
    return char if char.isprintable() else char.encode("unicode_escape").decode("ascii")


def refuse(source: str, line: int, sentence: str) -> NoReturn:
    """Raise the UsageError of one line of a file."""
    raise UsageError(f"{source}, line {line}: {sentence}")


def _child(node: Node, step: Step) -> Node | None:
    if isinstance(node.value, dict) and isinstance(step, str):
        return node.value.get(step)
    if isinstance(node.value, list) and isinstance(step, int) and step < len(node.value):
        return node.value[step]
    return None


@dataclass(frozen=True, slots=True)
class Tree:
    """A whole file: its name for messages, and its top node."""

    source: str
    root: Node

    def line(self, path: tuple[Step, ...]) -> int:
        """The line of the value at ``path``, or of the nearest one around it when the path does not exist."""
        node = self.root
        for step in path:
            child = _child(node, step)
            if child is None:
                break
            node = child
        return node.line

    def refuse(self, path: tuple[Step, ...], sentence: str) -> NoReturn:
        """Raise the UsageError of one value."""
        refuse(self.source, self.line(path), sentence)


def plain(node: Node) -> Any:
    """The same tree without lines: text, numbers, lists and dicts."""
    if isinstance(node.value, dict):
        return {name: plain(child) for name, child in node.value.items()}
    if isinstance(node.value, list):
        return [plain(child) for child in node.value]
    return node.value


# -- YAML -------------------------------------------------------------------------------------------------------------


def parse_yaml(text: str, source: str) -> Tree:
    """One YAML 1.2 document in which every scalar is text. Raises UsageError naming ``source`` and the line."""
    if bad := _NOT_IN_YAML.search(text):
        code = ord(bad.group())
        line = text.count("\n", 0, bad.start()) + 1
        refuse(source, line, f'U+{code:04X} cannot stand in YAML as it is; write "\\u{code:04x}" in double quotes')
    reader = _YamlReader(source)
    try:
        return Tree(source, reader.document(YAML(typ="safe", pure=True).parse(text)))
    except MarkedYAMLError as error:
        problem = _one_line(error.problem or error.context or "unreadable")
        begun, ended = error.context_mark, error.problem_mark
        mark = begun if "<stream end>" in problem and begun else ended or begun
        line = reader.line if mark is None else mark.line + 1
        hint = next((advice for words, advice in _HINTS.items() if words in problem), "")
        refuse(source, line, f"not valid YAML: {problem}{hint}")
    except (YAMLError, ValueError, OverflowError, AssertionError, NotImplementedError) as error:
        # The parser raises plain errors for code points that do not exist and for unknown %YAML versions.
        refuse(source, reader.line, f"not valid YAML after this line: {_one_line(str(error))}")


def _one_line(problem: str) -> str:
    """A message of the YAML parser, which may repeat text of the file, made safe to print."""
    return "".join(_visible(char) for char in " ".join(problem.split()))[:200]


class _YamlReader:
    """Reads the events of one document; ``line`` is where it is, for errors that carry no position."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.line = 1
        self.nodes = 0

    def document(self, events: Iterator[Any]) -> Node:
        start = self._next(events)
        while isinstance(start, StreamStartEvent):
            start = self._next(events)
        if isinstance(start, StreamEndEvent):
            raise UsageError(f"{self.source}: the file holds no cases")
        if isinstance(start, DocumentStartEvent) and (start.version is not None or start.tags):
            self._refuse("a % directive is refused; remove the line (YAML 1.2 is assumed)")
        root = self._node(events, self._next(events), 0)
        end = self._next(events)
        while isinstance(end, DocumentEndEvent):
            end = self._next(events)
        if not isinstance(end, StreamEndEvent):
            self._refuse("a second document begins; a case file is one document")
        return root

    def _next(self, events: Iterator[Any]) -> Any:
        event = next(events)
        self.line = event.start_mark.line + 1
        return event

    def _node(self, events: Iterator[Any], event: Any, depth: int) -> Node:
        self._allow(event, depth)
        line = self.line
        if isinstance(event, MappingStartEvent):
            return Node(line, self._mapping(events, depth))
        if isinstance(event, SequenceStartEvent):
            return Node(line, self._sequence(events, depth))
        return Node(line, self._text(event, "this place"))

    def _allow(self, event: Any, depth: int) -> None:
        self.nodes += 1
        if isinstance(event, AliasEvent):
            self._refuse(f"the alias {quoted('*' + event.anchor)} is refused; write the value out")
        if event.anchor is not None:
            self._refuse(f"the anchor {quoted('&' + event.anchor)} is refused; write the value out where it is needed")
        if event.tag is not None:
            self._refuse(f"the tag {quoted(str(event.tag))} is refused; all values are text, remove it")
        if depth > MAX_DEPTH:
            self._refuse(f"nested deeper than {MAX_DEPTH} levels")
        if self.nodes > MAX_NODES:
            self._refuse(f"more than {MAX_NODES:,} values; split the file")

    def _mapping(self, events: Iterator[Any], depth: int) -> dict[str, Node]:
        children: dict[str, Node] = {}
        while not isinstance(event := self._next(events), MappingEndEvent):
            self._allow(event, depth)
            line = self.line
            if not isinstance(event, ScalarEvent):
                self._refuse("the name of a field must be text, not a list or a mapping")
            name = self._text(event, "the name of a field")
            if name in children:
                self._refuse(f"{quoted(name)} stands twice; it was given on line {children[name].line} already")
            event = self._next(events)
            if isinstance(event, ScalarEvent):
                self._allow(event, depth + 1)
                children[name] = Node(line, self._text(event, quoted(name), line))
            else:
                children[name] = Node(line, self._node(events, event, depth + 1).value)
        return children

    def _sequence(self, events: Iterator[Any], depth: int) -> list[Node]:
        children: list[Node] = []
        while not isinstance(event := self._next(events), SequenceEndEvent):
            children.append(self._node(events, event, depth + 1))
        return children

    def _text(self, event: ScalarEvent, what: str, line: int | None = None) -> str:
        text = str(event.value)
        if event.style is None and text in _NULLS:
            wish = "give one or remove it" if text == "" else f'write "{text}" in quotes if it is meant as text'
            refuse(self.source, line or self.line, f"{what} has no value; {wish}")
        if _SURROGATE.search(text):
            self._refuse(f'{what} holds a lone surrogate; write such a character as itself or as "\\U0001F600"')
        return text

    def _refuse(self, sentence: str) -> NoReturn:
        refuse(self.source, self.line, sentence)


# -- JSON Lines -------------------------------------------------------------------------------------------------------


def parse_json_lines(text: str, source: str) -> Tree:
    """The same tree from JSON Lines: a case on each line, before them optionally ``{"batch": {...}}``.

    Raises UsageError naming ``source`` and the line.
    """
    top: dict[str, Node] = {}
    cases: list[Node] = []
    for line, row in enumerate(text.split("\n"), start=1):
        if not row.strip():
            continue
        node = _json_line(row, source, line)
        if not isinstance(node.value, dict):
            refuse(source, line, "each line must be a JSON object, one case")
        if "batch" in node.value and not top and not cases:
            top = _batch(node.value, source, line)
            continue
        cases.append(node)
        if len(cases) > MAX_CASES:
            refuse(source, line, f"more than {MAX_CASES:,} cases; split the file")
    if not cases:
        raise UsageError(f"{source}: the file holds no cases")
    first = next(iter(top.values()), cases[0])
    return Tree(source, Node(first.line, {**top, "cases": Node(cases[0].line, cases)}))


def _batch(children: Mapping[str, Node], source: str, line: int) -> dict[str, Node]:
    batch = children["batch"].value
    if len(children) > 1 or not isinstance(batch, dict) or not batch:
        refuse(source, line, 'the line of the batch must be {"batch": {...}} with at least one field and nothing else')
    if "cases" in batch:
        refuse(source, line, '"cases" cannot stand in the batch; each case is a line of its own')
    return batch


def _json_line(row: str, source: str, line: int) -> Node:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names: dict[str, Any] = {}
        for name, value in pairs:
            if name in names:
                refuse(source, line, f"{quoted(name)} stands twice in one object")
            names[name] = value
        return names

    def constant(name: str) -> NoReturn:
        refuse(source, line, f"{name} is not JSON")

    try:
        value = json.loads(row, object_pairs_hook=unique, parse_constant=constant)
    except json.JSONDecodeError as error:
        refuse(source, line, f"not valid JSON at column {error.colno}: {_one_line(error.msg)}")
    except (ValueError, RecursionError):
        refuse(source, line, "not valid JSON here: a number is too long or the nesting too deep")
    return _json_node(value, source, line, 0)


def _json_node(value: object, source: str, line: int, depth: int) -> Node:
    if depth > MAX_DEPTH:
        refuse(source, line, f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        for name in value:
            _json_text(name, source, line)
        return Node(line, {name: _json_node(item, source, line, depth + 1) for name, item in value.items()})
    if isinstance(value, list):
        return Node(line, [_json_node(item, source, line, depth + 1) for item in value])
    if isinstance(value, str):
        return Node(line, _json_text(value, source, line))
    if isinstance(value, bool) or value is None:
        refuse(source, line, f"{json.dumps(value)} is refused; give text or a number, or remove the field")
    if isinstance(value, int | float) and -_EXACT < value < _EXACT:
        return Node(line, value)
    refuse(source, line, "a number is too large; it must stay below 2^53, so that every program reads it alike")


def _json_text(text: str, source: str, line: int) -> str:
    if _SURROGATE.search(text):
        refuse(source, line, f"{quoted(text)} holds a lone surrogate, which is not a character")
    return text

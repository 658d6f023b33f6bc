"""YAML 1.2, strict: one document in which every scalar is text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NoReturn

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

from attn_audit.case_text.tree import MAX_DEPTH, SURROGATE, Node, Tree, one_line, quoted, refuse
from attn_audit.evidence.errors import UsageError

MAX_NODES = 2_000_000

# YAML 1.2 allows U+0085, U+2028 and U+2029 as text; the parser folds them into line breaks, so text would change.
_NOT_IN_YAML = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_HINTS = {  # what the parser says -> what to do
    "mapping values": '; text that holds ": " needs quotes, or a block that begins with "|"',
    r"'\t'": "; indent with spaces, not with tabs",
    "<block end>": "; this line begins in another column than those that it belongs with",
    "<stream end>": "; a bracket, a brace or a quotation mark is not closed",
}


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
        problem = one_line(error.problem or error.context or "unreadable")
        begun, ended = error.context_mark, error.problem_mark
        mark = begun if "<stream end>" in problem and begun else ended or begun
        line = reader.line if mark is None else mark.line + 1
        hint = next((advice for words, advice in _HINTS.items() if words in problem), "")
        refuse(source, line, f"not valid YAML: {problem}{hint}")
    except (YAMLError, ValueError, OverflowError, AssertionError, NotImplementedError) as error:
        # The parser raises plain errors for code points that do not exist and for unknown %YAML versions.
        refuse(source, reader.line, f"not valid YAML after this line: {one_line(str(error))}")


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
        if SURROGATE.search(text):
            self._refuse(f'{what} holds a lone surrogate; write such a character as itself or as "\\U0001F600"')
        return text

    def _refuse(self, sentence: str) -> NoReturn:
        refuse(self.source, self.line, sentence)

"""What is read from a case file, YAML or JSON Lines alike: values that know their lines, and how they are refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

from attn_audit.evidence.errors import UsageError

MAX_DEPTH = 12
SURROGATE = re.compile("[\ud800-\udfff]")
_SHOWN = 60

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


def one_line(problem: str) -> str:
    """A message of a parser, which may repeat text of the file, made safe to print."""
    return "".join(_visible(char) for char in " ".join(problem.split()))[:200]


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

"""JSON Lines, strict: a case on each line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from attn_audit.case_text.tree import MAX_DEPTH, SURROGATE, Node, Tree, one_line, quoted, refuse
from attn_audit.evidence.errors import UsageError

MAX_CASES = 100_000
_EXACT = 2**53  # whole numbers below it are exact in JSON (RFC 8785 and RFC 7493)


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
        refuse(source, line, f"not valid JSON at column {error.colno}: {one_line(error.msg)}")
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
    if not (isinstance(value, int | float) and -_EXACT < value < _EXACT):
        refuse(source, line, "a number is too large; it must stay below 2^53, so that every program reads it alike")
    return Node(line, value)


def _json_text(text: str, source: str, line: int) -> str:
    if SURROGATE.search(text):
        refuse(source, line, f"{quoted(text)} holds a lone surrogate, which is not a character")
    return text

"""The tables of the docs that follow from the code: commands, settings, fields of a case file, tests of each attack.

A page holds them between ``<!-- NAME: written by tools/docs_tables.py -->`` and ``<!-- end -->``; what stands around is
written by hand. ``make golden`` runs it.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import typer

from attn_audit.cases import case_schema
from attn_audit.cli.main import app
from attn_audit.evidence.settings import ENVIRONMENT_PREFIX, NOT_SET, SHAPES, Settings

ROOT = Path(__file__).resolve().parent.parent
_BLOCK = re.compile(r"(<!-- ([\w-]+): written by tools/docs_tables\.py -->\n).*?(<!-- end -->)", re.DOTALL)
_ATTACK = re.compile(r"test_attacks?_((?:\d+_(?:and_)?)+)")
_SECTIONS = {  # where docs/case-file.md describes what a field holds
    "Message": "[message](#a-message)",
    "NamedUnit": "[unit](#a-named-unit)",
    "AnswerPartEntry": "[part](#a-part-of-the-answer)",
    "AnswerPlace": "[part without a name](#a-part-of-the-answer)",
    "Policy": "[policy](#a-policy)",
    "Limits": "[limits](#a-policy)",
    "PolicyMethod": "[method](#a-policy)",
    "LetterheadEntry": "[letterhead](#a-letterhead)",
    "FileSettings": "[settings](settings.md)",
    "CaseEntry": "[case](#a-case)",
}
_HUGE = 10**9
_LONG = 10_000  # characters; such limits are named once, under Limits
COMMANDS: Mapping[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def pages() -> dict[Path, str]:
    """Each page that holds such a table -> its text with all of them written anew."""
    found = {path: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
    return {path: _BLOCK.sub(lambda block: block[1] + _made(block[2]) + block[3], text)
            for path, text in found.items() if _BLOCK.search(text)}  # fmt: skip


def _made(name: str) -> str:
    if name in MAKERS:
        return MAKERS[name]()
    return _fields(name)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


# -- commands ---------------------------------------------------------------------------------------------------------


def _commands() -> str:
    return "\n".join(_command(name, command) for name, command in COMMANDS.items())


def _command(name: str, command: Any) -> str:
    arguments = [param for param in command.params if not param.opts[0].startswith("--")]
    options = [param for param in command.params if param.opts[0].startswith("--")]
    usage = " ".join(["attn-audit", name, *map(_argument, arguments), *(["[OPTIONS]"] if options else [])])
    tables = [f"## attn-audit {name}\n\n{command.help}\n\n```text\n{usage}\n```\n"]
    if arguments:
        tables.append(_table(("argument", "meaning"), ((f"`{_named(one)}`", one.help) for one in arguments)))
    if options:
        tables.append(_table(("option", "meaning"), ((f"`{_option(one)}`", _meaning(one)) for one in options)))
    return "\n".join(tables)


def _named(argument: Any) -> str:
    return str(argument.metavar or argument.name).upper()


def _argument(argument: Any) -> str:
    return _named(argument) if argument.required else f"[{_named(argument)}]"


def _option(option: Any) -> str:
    return option.opts[0] if option.is_flag else f"{option.opts[0]} {option.metavar}"


def _meaning(option: Any) -> str:
    said = option.help.rstrip(".")
    if option.required:
        return f"{said}. Required."
    return f"{said}; default: {option.default}." if option.default not in {None, False} else f"{said}."


# -- settings ---------------------------------------------------------------------------------------------------------


def _settings() -> str:
    flags = {option.opts[0] for option in COMMANDS["run"].params}
    rows = [("`--model`", f"`{ENVIRONMENT_PREFIX}MODEL`", "`model`", "none", "path")]
    properties = Settings.model_json_schema()["properties"]
    for name, field in Settings.model_fields.items():
        flag = f"--{name.replace('_', '-')}"
        value = SHAPES[name].partition(" ")[2] if name in SHAPES else _value(properties[name])
        default = NOT_SET if field.default is None else str(field.default)
        rows.append((f"`{flag}`" if flag in flags else "–", f"`{ENVIRONMENT_PREFIX}{name.upper()}`",
                     f"`settings.{name}`", default, value))  # fmt: skip
    return _table(("flag", "environment", "case file", "default", "value"), rows)


# -- the case file ----------------------------------------------------------------------------------------------------


def _fields(name: str) -> str:
    """The table of one model of the case file's JSON Schema; ``CaseFileSchema`` is the file itself."""
    schema = case_schema()
    model = schema if name == schema["title"] else schema["$defs"][name]
    required = set(model.get("required", ()))
    rows = ((f"`{field}`", _value(said), _described(said, field in required))
            for field, said in model["properties"].items())  # fmt: skip
    return _table(("field", "value", "meaning"), rows)


def _described(field: Mapping[str, Any], required: object) -> str:
    default = field.get("default")
    said = str(field.get("description", ""))
    if required:
        return f"{said}; required"
    return f"{said}; default: `{default}`" if isinstance(default, str) else said


def _value(field: Mapping[str, Any]) -> str:
    """What may stand there, in words; null, which stands for a field that is left out, is not said."""
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_value(one) for one in field["anyOf"] if one.get("type") != "null"))
    if "$ref" in field:
        return _SECTIONS[field["$ref"].rpartition("/")[2]]
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    return _KINDS[field["type"]](field)


def _text(field: Mapping[str, Any]) -> str:
    limit = field.get("maxLength", _LONG)
    return f"text of at most {limit:,} characters" if limit < _LONG else "text"


def _number(field: Mapping[str, Any]) -> str:
    kind = "whole number" if field["type"] == "integer" else "number"
    high = field.get("maximum", field.get("exclusiveMaximum", _HUGE))
    least = f"above {field['exclusiveMinimum']:,g}" if "exclusiveMinimum" in field else f"{field.get('minimum', 0):,g}"
    if high < _HUGE:
        return f"{kind}, {least} to {high:,.0f}"
    return f"{kind}, {least}" if "exclusiveMinimum" in field else f"{kind}, {least} or more"


def _list(field: Mapping[str, Any]) -> str:
    if "prefixItems" in field:
        return f"list of {len(field['prefixItems'])} numbers"
    limit = f", at most {field['maxItems']:,}" if "maxItems" in field else ""
    least = ", one or more" if field.get("minItems") == 1 else ""
    return f"list: {_value(field['items'])}{least}{limit}"


_KINDS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "string": _text,
    "integer": _number,
    "number": _number,
    "array": _list,
    "object": lambda field: f"names with {_value(field['additionalProperties'])}",
}


# -- attacks ----------------------------------------------------------------------------------------------------------


@cache
def attack_tests() -> dict[int, tuple[str, ...]]:
    """The number of an attack -> the files whose tests carry it, by name or as a row of tests/attacks."""
    found: defaultdict[int, set[str]] = defaultdict(set)
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for number in _numbers(ast.parse(path.read_text(encoding="utf-8"))):
            found[number].add(path.relative_to(ROOT / "tests").as_posix())
    return {number: tuple(sorted(names)) for number, names in sorted(found.items())}


def _numbers(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            if named := _ATTACK.match(node.name):
                yield from map(int, re.findall(r"\d+", named[1]))
            for row in node.decorator_list:
                if isinstance(row, ast.Call) and isinstance(row.func, ast.Name) and row.func.id == "attack":
                    yield ast.literal_eval(row.args[0])


def attack_rows(page: str) -> dict[int, list[str]]:
    """The rows of the threat model: number -> its cells, the first of which is the number."""
    rows = (line.strip("| \n").split(" | ") for line in page.splitlines() if re.match(r"\| \d+ \|", line))
    return {int(row[0]): row for row in rows}


def _attacks() -> str:
    """The rows as they are, but for the last cell of each: the tests."""
    page = (ROOT / "docs/threat-model.md").read_text(encoding="utf-8")
    tests = attack_tests()
    rows = ([*row[:3], ", ".join(f"`{name}`" for name in tests.get(number, ()))]
            for number, row in sorted(attack_rows(page).items()))  # fmt: skip
    return _table(("no.", "what is done", "what comes of it", "tests"), rows)


MAKERS: Mapping[str, Callable[[], str]] = {"commands": _commands, "settings": _settings, "attacks": _attacks}


def main() -> None:
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

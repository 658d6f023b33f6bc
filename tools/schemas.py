"""Write docs/schemas/: the JSON Schema of every file and predicate of an audit. ``make golden`` runs it."""

from __future__ import annotations

import json
from pathlib import Path

from attn_audit.cases import case_schema
from attn_audit.evidence.envelope import PREDICATE_TYPES
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Content, Record

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "schemas"
FILES: tuple[type[Record], ...] = (Content, Evidence)


def schemas() -> dict[str, str]:
    """File name -> its text. A predicate's file is named like its type: ``urn:attn-audit:plan:1`` is plan-1."""
    found = {"case-file.schema.json": case_schema()}
    for record in FILES:
        name, _, version = str(record.model_fields["format"].default).removeprefix("attn-audit.").partition("/")
        found[f"{name}-{version}.schema.json"] = record.model_json_schema(mode="serialization")
    for predicate, uri in PREDICATE_TYPES.items():
        name, version = uri.removeprefix("urn:attn-audit:").split(":")
        found[f"{name}-{version}.schema.json"] = {"$comment": f"predicate of {uri}"} | predicate.model_json_schema(
            mode="serialization"
        )
    return {name: json.dumps(schema, indent=2, ensure_ascii=False) + "\n" for name, schema in found.items()}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    wanted = schemas()
    for path in FOLDER.glob("*.json"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

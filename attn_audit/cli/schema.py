"""``attn-audit schema``: the JSON Schemas of what is read and written."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from attn_audit.cases import case_schema
from attn_audit.evidence.measured import Evidence


class Kind(StrEnum):
    """What a schema is printed of."""

    CASE = "case"
    EVIDENCE = "evidence"


def schema(kind: Annotated[Kind, typer.Argument(help="case: a case file; evidence: evidence.json")]) -> None:
    """Print the JSON Schema of a case file or of evidence.json."""
    value = case_schema() if kind is Kind.CASE else Evidence.model_json_schema(mode="serialization")
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))

"""The limits that every report states, read from ``templates/limits.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache

from attn_audit.evidence.errors import EvidenceError
from attn_audit.reports.templates import templates_folder


@dataclass(frozen=True)
class Limit:
    """One thing that a report does not say."""

    title: str
    sentence: str


@dataclass(frozen=True)
class LimitsText:
    """All limits, with the version that the evidence names."""

    version: str
    limits: tuple[Limit, ...]


@cache
def limits_text() -> LimitsText:
    """The limits as this version of the tool prints them."""
    data = tomllib.loads((templates_folder() / "limits.toml").read_text(encoding="utf-8"))
    return LimitsText(data["version"], tuple(Limit(item["title"], item["sentence"]) for item in data["limits"]))


def limits_version() -> str:
    """What ``Evidence.limits`` of a new audit must be."""
    return limits_text().version


def limits_for(version: str) -> LimitsText:
    """The limits in the version that the evidence names. Raises EvidenceError when this tool has another one."""
    text = limits_text()
    if text.version != version:
        raise EvidenceError(
            f"evidence.json names the limits text {version!r} and this version prints {text.version!r}; "
            "draw the report with the version of attn-audit that made the evidence."
        )
    return text

"""The settings of an audit, resolved in one order: flag, environment (``ATTN_AUDIT_*``), case file, default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from pydantic import Field, ValidationError

from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.records import Record, Setting, UnitKind, ViewFormat

ENVIRONMENT_PREFIX = "ATTN_AUDIT_"
Origin = Literal["flag", "environment", "case file", "default"]
_HOST_BOUND = frozenset({"threads"})  # recorded in ``run``, since the default depends on the machine


class Settings(Record):
    """What can be chosen, with its default."""

    units: UnitKind = "word"
    max_memory: float = Field(8.0, gt=0, description="GB, for weights and one pass")
    threads: int | None = Field(None, ge=1, le=1024, description="of the processor; default: all of them")
    seed: int = Field(0, ge=0, lt=2**63)
    format: str = Field("html,pdf", pattern=r"^(html|pdf)(,(html|pdf))?$")

    @property
    def views(self) -> tuple[ViewFormat, ...]:
        """The reports to write, in a fixed order."""
        chosen = self.format.split(",")
        return tuple(view for view in get_args(ViewFormat) if view in chosen)


def resolve(
    flags: Mapping[str, str | None], environment: Mapping[str, str], case_file: Mapping[str, str]
) -> tuple[Settings, tuple[Setting, ...]]:
    """The settings, and for each where its value came from. Raises UsageError naming the setting and its origin."""
    values: dict[str, str] = {}
    origins: dict[str, Origin] = {}
    for name in Settings.model_fields:
        sources: tuple[tuple[Origin, str | None], ...] = (
            ("flag", flags.get(name)),
            ("environment", environment.get(ENVIRONMENT_PREFIX + name.upper())),
            ("case file", case_file.get(name)),
        )
        for origin, value in sources:
            if value is not None:
                values[name], origins[name] = value, origin
                break
    settings = _validated(values, origins)
    recorded = tuple(
        Setting(name=name, value=str(getattr(settings, name)), origin=origins.get(name, "default"))
        for name in Settings.model_fields
        if name not in _HOST_BOUND
    )
    return settings, recorded


def _validated(values: dict[str, str], origins: dict[str, Origin]) -> Settings:
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        allowed = ", ".join(get_args(UnitKind)) if name == "units" else first["msg"]
        raise UsageError(
            f"setting {name} = {values[name]!r} (from the {origins[name]}) is refused: {allowed}"
        ) from None

"""The settings of an audit, resolved in one order: flag, environment (``ATTN_AUDIT_*``), case file, default; or as a
program that uses this package gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args, get_origin

from pydantic import Field, ValidationError

from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.measured import Method, Setting
from attn_audit.evidence.records import (
    CheckEffort,
    Effect,
    Effort,
    OperatorName,
    Record,
    UnitKind,
    ViewFormat,
)

ENVIRONMENT_PREFIX = "ATTN_AUDIT_"
Origin = Literal["flag", "environment", "case file", "default", "caller"]
NOT_SET = "not set"
UnitChoice = Literal["token", "word", "sentence", "paragraph", "auto"]
Sources = Literal["prompt", "prompt+answer"]
NumberFormat = Literal["float32", "bfloat16", "float16"]
Switch = Literal["on", "off"]
Paper = Literal["a4", "letter"]
SHAPES = {  # of settings that are text of some form: what to write
    "device": "choose auto, cpu, cuda or cuda:N",
    "format": "choose html, pdf, or both as html,pdf",
    "layers": "give A:B, like 0:12, from layer A up to before B",
}
_CHOOSES_METHOD = ("operator", "factor", "effect", "layers", "units", "effort", "max_seconds", "dtype")
WITH_FACTOR = tuple(name for name in get_args(OperatorName) if name != "knockout")
_HOST_BOUND = frozenset({"threads"})  # recorded in ``run``, since the default depends on the machine


class Settings(Record):
    """What can be chosen, with its default."""

    units: UnitChoice = "word"
    operator: OperatorName = "knockout"
    factor: float | None = Field(None, ge=0, le=1000, description="of every operator but knockout")
    effect: Effect = "total"
    layers: str | None = Field(None, pattern=r"^\d{1,4}:\d{1,4}$", description="A:B, from layer A up to before B")
    effort: Effort = "full"
    checks: CheckEffort = Field("basic", description="what the map is held against")
    baselines: Switch = Field("on", description="whether full checks try other kinds of maps, too")
    max_seconds: float | None = Field(None, gt=0, le=1e7, description="for measuring one case")
    sources: Sources = Field("prompt", description="whether earlier pieces of the answer are measured, too")
    bands: int | None = Field(None, ge=2, le=1000, description="of layers, in which the highest units are measured")
    kappa: float | None = Field(None, gt=0, le=1, description="least cosine of units that are suppressed together")
    max_memory: float = Field(8.0, gt=0, description="GB, for weights and one pass")
    dtype: NumberFormat = "float32"
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d{1,3})?)$", description="auto: a GPU where there is one")
    threads: int | None = Field(None, ge=1, le=1024, description="of the processor; default: all of them")
    seed: int = Field(0, ge=0, lt=2**63)
    format: str = Field("html,pdf", pattern=r"^(html|pdf)(,(html|pdf))?$")
    paper: Paper = Field("a4", description="that the PDF is made for")

    @property
    def layer_range(self) -> tuple[int, int] | None:
        """Start and stop of the layers that suppression is limited to; None: all."""
        if self.layers is None:
            return None
        start, stop = self.layers.split(":")
        return int(start), int(stop)

    def method(self, units: UnitKind, effort: Effort) -> Method:
        """What is measured, as the evidence records it; a limit of seconds may have chosen units and effort."""
        chosen = {"operator": self.operator, "factor": self.factor, "effect": self.effect, "layers": self.layer_range}
        default = Settings()
        unchanged = all(getattr(self, name) == getattr(default, name) for name in _CHOOSES_METHOD)
        return Method.model_validate({**chosen, "units": units, "effort": effort, "default": unchanged})

    def allows(self, method: Method) -> bool:
        """Whether these settings can have led to this method."""
        units_free = self.units in {"auto", method.units}
        effort_free = method.effort == self.effort or (self.max_seconds is not None and method.effort == "screened")
        return units_free and effort_free and method == self.method(method.units, method.effort)

    @property
    def views(self) -> tuple[ViewFormat, ...]:
        """The reports to write, in a fixed order."""
        chosen = self.format.split(",")
        return tuple(view for view in get_args(ViewFormat) if view in chosen)


def choices(name: str) -> tuple[str, ...]:
    """The values of a setting that is one of some names; of another setting none."""
    annotation = Settings.model_fields[name].annotation
    return get_args(annotation) if get_origin(annotation) is Literal else ()


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
    return settings, _recorded(settings, origins)


def recorded_as_given(settings: Settings) -> tuple[Setting, ...]:
    """The settings of a program that uses this package, as the evidence records them. Raises UsageError."""
    return _recorded(settings, dict.fromkeys(settings.model_fields_set, "caller"))


def _recorded(settings: Settings, origins: Mapping[str, Origin]) -> tuple[Setting, ...]:
    _check_factor(settings)
    _check_effort(settings)
    return tuple(
        Setting(name=name, value=_shown(getattr(settings, name)), origin=origins.get(name, "default"))
        for name in Settings.model_fields
        if name not in _HOST_BOUND
    )


def _shown(value: object) -> str:
    return NOT_SET if value is None else str(value)


def _check_factor(settings: Settings) -> None:
    """Each operator needs its own; a factor that would be ignored is refused. Raises UsageError."""
    if settings.operator == "knockout" and settings.factor is not None:
        raise UsageError(
            f"setting factor is given, but operator knockout takes none; choose {' or '.join(WITH_FACTOR)}"
        )
    if settings.operator != "knockout" and settings.factor is None:
        raise UsageError(f"operator {settings.operator} needs a factor, like --factor 0.1")
    if settings.operator == "soft" and settings.factor == 0:
        raise UsageError("operator soft takes a factor above 0; a factor of 0 is operator knockout")


def _check_effort(settings: Settings) -> None:
    """What cannot be planned or saves nothing is refused. Raises UsageError."""
    if settings.units == "auto" and settings.max_seconds is None:
        raise UsageError("units auto picks the finest units that fit a time; give it with --max-seconds")
    if settings.bands is not None and settings.layers is not None:
        raise UsageError("bands cut the whole model into bands of layers; leave out layers, or bands")
    if settings.effect == "direct" and (settings.effort == "screened" or settings.max_seconds is not None):
        raise UsageError("effect direct is cheap enough to be measured in full; leave out --effort and --max-seconds")


def _validated(values: dict[str, str], origins: dict[str, Origin]) -> Settings:
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        names = choices(name)
        allowed = f"choose one of {', '.join(names)}" if names else SHAPES.get(name, first["msg"])
        raise UsageError(
            f"setting {name} = {values[name]!r} (from the {origins[name]}) is refused: {allowed}"
        ) from None

"""The options of a command as the fields of a dataclass: each is named once, and the command is given all of them."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, TypeVar, get_args

Given = TypeVar("Given")


class Flags(dict[str, Any]):
    """Options that make up one field together, each a ``typer.Option`` by its name: the field holds for each what was
    typed, or None."""


def command(options: type[Given]) -> Callable[[Callable[[Given], None]], Callable[..., None]]:
    """Makes a function of ``options``, a dataclass, what Typer takes for a command. Its options are the fields, in
    their order; in place of a field that is annotated with ``Flags`` stand those."""
    fields = signature(options).parameters
    together = {name: flags for name, field in fields.items() if (flags := _flags(field)) is not None}

    def decorated(function: Callable[[Given], None]) -> Callable[..., None]:
        def typed(**values: Any) -> None:
            held = {name: {flag: values.pop(flag) for flag in flags} for name, flags in together.items()}
            function(options(**values, **held))

        typed.__name__, typed.__doc__ = function.__name__, function.__doc__
        parameters = [one for field in fields.values() for one in _parameters(field)]
        typed.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
        return typed

    return decorated


def _flags(field: Parameter) -> Flags | None:
    said = get_args(field.annotation)[1]
    return said if isinstance(said, Flags) else None


def _parameters(field: Parameter) -> tuple[Parameter, ...]:
    """The field itself, or its flags."""
    if (flags := _flags(field)) is None:
        return (field,)
    return tuple(
        Parameter(name, field.kind, default=None, annotation=Annotated[str | None, option])
        for name, option in flags.items()
    )

"""The method of a measurement in a few words, the same on paper, in the terminal and in the list of checks; and what
tells two of them apart."""

from __future__ import annotations

from attn_audit.evidence.measured import Method
from attn_audit.words import noted, say, translated

_OPERATORS = {
    "knockout": noted("hidden from the model's attention"),
    "soft": noted("weakened in the model's attention by adding the logarithm of %(factor)s"),
    "shifted": noted("weakened in the model's attention by scaling its scores with %(factor)s"),
}
_EFFECT_NAMES = {
    "total": noted("total effect"),
    "direct": noted("direct effect"),
    "both": noted("total and direct effect"),
}
_EFFECTS = {
    "total": noted("for every later position of prompt and answer"),
    "direct": noted("only for the positions that predict the answer"),
    "both": noted(
        "for every later position of prompt and answer, and beside it for those alone that predict the answer"
    ),
}


def described(method: Method) -> str:
    """Names and values: ``soft 0.1, direct effect, layers 4:8, units: word``."""
    operator = method.operator if method.factor is None else f"{method.operator} {method.factor:g}"
    parts = [operator, translated(_EFFECT_NAMES[method.effect])]
    if method.layers is not None:
        parts.append(say("layers %(first)s:%(stop)s", first=method.layers[0], stop=method.layers[1]))
    parts.append(say("units: %(units)s", units=method.units))
    return ", ".join(parts if method.effort == "full" else [*parts, method.effort])


def in_words(method: Method) -> str:
    """What happened to a piece: ``hidden from the model's attention in every layer, for every later position ...``."""
    factor = "" if method.factor is None else f"{method.factor:g}"
    done = say(_OPERATORS[method.operator], factor=factor)
    return say(
        "%(done)s in %(layers)s, %(reach)s", done=done, layers=_layers(method), reach=say(_EFFECTS[method.effect])
    )


def _layers(method: Method) -> str:
    if method.layers is None:
        return say("every layer")
    first, stop = method.layers
    if stop == first + 1:
        return say("layer %(layer)s only", layer=first)
    return say("layers %(first)s to %(last)s only", first=first, last=stop - 1)


def differences(one: Method, other: Method) -> tuple[str, ...]:
    """The names of what was measured otherwise. Where both effects were measured, the map is that of the total one."""
    values = [
        {**method.model_dump(exclude={"default"}), "effect": "total" if method.effect == "both" else method.effect}
        for method in (one, other)
    ]
    return tuple(name for name in values[0] if values[0][name] != values[1][name])

"""Where the work of ``attn-audit run`` is done: here, or on a Ray cluster. None of it goes into the evidence but as a
fact of the run, so that flags and variables name it, and a case file cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from pydantic import ValidationError

from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.records import ExecutorName
from attn_audit.evidence.settings import ENVIRONMENT_PREFIX
from attn_audit.executors import Executor
from attn_audit.executors.local import Local
from attn_audit.executors.options import RayOptions

RAY_PREFIX = ENVIRONMENT_PREFIX + "RAY_"
SPLIT = ENVIRONMENT_PREFIX + "SPLIT_TOKENS"
DEFAULT_SPLIT = 1_000_000
EXECUTORS = "local (default), in this process; or ray, a cluster"


def chosen(name: str | None, address: str | None, environment: Mapping[str, str]) -> Executor:
    """The executor of the flags, of the variables, or this process. Raises UsageError."""
    name = name or environment.get(ENVIRONMENT_PREFIX + "EXECUTOR") or "local"
    if name not in get_args(ExecutorName):
        raise UsageError(f"there is no executor {name!r:.40}; choose one of {', '.join(get_args(ExecutorName))}")
    if name == "local":
        if address is not None:
            raise UsageError("--ray-address is for --executor ray; give both, or neither")
        return Local()
    options = _options(address, environment)
    try:
        from attn_audit.executors.ray import Ray  # noqa: PLC0415  (an extra, and only where it is asked for)
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise UsageError(
            "--executor ray needs Ray, which is not installed; install the extra ray, or type: pip install 'ray>=2.60'"
        ) from None
    return Ray(options)


def split_tokens(environment: Mapping[str, str]) -> int:
    """Of how many tokens on a sweep is measured by several workers. Raises UsageError."""
    given = environment.get(SPLIT) or str(DEFAULT_SPLIT)
    if not given.isdecimal() or not 0 < int(given) < 2**63:
        raise UsageError(f"{SPLIT} = {given!r:.40} is refused: give a whole number of tokens")
    return int(given)


def _options(address: str | None, environment: Mapping[str, str]) -> RayOptions:
    names = {field: RAY_PREFIX + field.upper() for field in RayOptions.model_fields}
    given = {field: environment[name] for field, name in names.items() if environment.get(name)}
    try:
        return RayOptions.model_validate(given | ({} if address is None else {"address": address}))
    except ValidationError as error:
        first = error.errors()[0]
        name = names[str(first["loc"][0])]
        raise UsageError(f"{name} = {first['input']!r:.40} is refused: {first['msg']}") from None

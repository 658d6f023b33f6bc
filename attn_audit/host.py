"""The machine as the audit records it: clock, randomness and an allow-list of facts, read once."""

from __future__ import annotations

import os
import platform
import re
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from attn_audit.evidence.host import Host, never_back
from attn_audit.evidence.records import ViewFormat
from attn_audit.reports.pdf import drawn_with

_RECORDED_PACKAGES = ("torch", "transformers", "tokenizers", "icu4py", "jinja2", "weasyprint")
# Variables that change which instructions compute the numbers, in how many parts or how exactly; with their values.
WITH_VALUE = (
    "ATEN_CPU_CAPABILITY",
    "CUBLAS_WORKSPACE_CONFIG",
    "DNNL_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",
    "GOMP_CPU_AFFINITY",
    "KMP_AFFINITY",
    "MKL_CBWR",
    "MKL_DYNAMIC",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_NUM_THREADS",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_DYNAMIC",
    "OMP_NUM_THREADS",
    "OMP_PROC_BIND",
    "OMP_THREAD_LIMIT",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_NUM_THREADS",
    "PYTHONOPTIMIZE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "TORCH_BLAS_PREFER_CUBLASLT",
)
# Variables that bring in other code. Their values are paths, which may name a person: only that they are set.
WITHOUT_VALUE = ("LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONPATH")
_PLAIN = re.compile(r"[\w.,:=-]{1,32}", re.ASCII)


def this_host(threads: int | None, views: tuple[ViewFormat, ...] = ()) -> Host:
    """This machine, now. ``threads``: those that the model is given; None: all processors. No variable outside the two
    lists and no user or machine name is recorded. Of what draws text, only when a PDF is among the views."""
    return Host(
        clock=never_back(lambda: datetime.now(UTC)),
        timer=time.monotonic,
        entropy=os.urandom,
        threads=threads or _processors(),
        facts=(
            ("python", platform.python_version()),
            ("system", platform.system()),
            ("processor", platform.machine()),
            *((name, _version(name)) for name in _RECORDED_PACKAGES),
            *(drawn_with() if "pdf" in views else ()),
            ("network", _network()),
            *_variables(os.environ),
        ),
    )


def _network() -> str:
    """The model library reads once, when it is first imported, whether it may ask a network: a program that imported it
    before this package has not forbidden it, even where nothing is fetched."""
    constants = sys.modules.get("huggingface_hub.constants")
    return "offline mode forced" if getattr(constants, "HF_HUB_OFFLINE", False) else "offline mode not forced"


def _variables(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name in (*WITH_VALUE, *WITHOUT_VALUE):
        if value := environment.get(name):
            shown = name in WITH_VALUE and _PLAIN.fullmatch(value)
            yield name, value if shown else "set, value not recorded"


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"

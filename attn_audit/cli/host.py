"""The machine as the audit records it: clock, randomness and an allow-list of facts, read once."""

from __future__ import annotations

import os
import platform
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from attn_audit.evidence.host import Host
from attn_audit.evidence.records import ViewFormat
from attn_audit.reports.pdf import drawn_with

_RECORDED_PACKAGES = ("torch", "transformers", "tokenizers", "icu4py", "jinja2", "weasyprint")


def this_host(threads: int | None, views: tuple[ViewFormat, ...] = ()) -> Host:
    """This machine, now. No environment variable and no user or machine name is recorded. Of what draws text, only when
    a PDF is among the views."""
    return Host(
        clock=lambda: datetime.now(UTC),
        timer=time.monotonic,
        entropy=os.urandom,
        threads=threads or _processors(),
        facts=(
            ("python", platform.python_version()),
            ("system", platform.system()),
            ("processor", platform.machine()),
            *((name, _version(name)) for name in _RECORDED_PACKAGES),
            *(drawn_with() if "pdf" in views else ()),
            ("network", "offline mode forced"),
        ),
    )


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"

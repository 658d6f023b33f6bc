"""What is asked of a Ray cluster. Apart from the executor, so that it is read and refused without ray installed."""

from __future__ import annotations

from pydantic import Field

from attn_audit.evidence.records import Record


class RayOptions(Record):
    """``address`` as ``ray.init`` takes it; None: the cluster that runs here, or a new one on this machine."""

    address: str | None = None
    workers: int | None = Field(None, ge=1, le=100_000, description="how many; default: as many as there is room for")
    cpus: float = Field(1.0, gt=0, le=1024, description="processors of each worker")
    gpus: float = Field(0.0, ge=0, le=64, description="of each worker; default: none, even where there are some")
    memory: float | None = Field(None, gt=0, le=1e5, description="GB that Ray keeps free for each worker")

"""The machine, as the commands read it (attn_audit/host.py)."""

from attn_audit.host import this_host

__all__ = ["this_host"]

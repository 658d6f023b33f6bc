"""Case file -> cases: reads it whole, fills templates, finds named units; refuses what it does not know."""

from attn_audit.cases.case_file import CaseFile, read_cases, single_case
from attn_audit.cases.schema import SETTINGS, case_schema

__all__ = ["SETTINGS", "CaseFile", "case_schema", "read_cases", "single_case"]

"""The errors a user can cause, each with the exit code that the command line ends with.

Anything else that is raised is a bug and keeps its traceback (exit code 1).
"""


class AuditError(Exception):
    """Base of all errors that are reported as one sentence. ``exit_code`` is what the process ends with."""

    exit_code = 2


class UsageError(AuditError):
    """Wrong usage, or an input that is refused: case file, model, key, output folder."""


class CaseError(AuditError):
    """One case cannot be audited honestly; the batch goes on and ends incomplete."""

    exit_code = 3


class Incomplete(AuditError):
    """The audit could not be finished; what is finished is kept and says so."""

    exit_code = 3


class Stopped(AuditError):
    """The run was asked to end (SIGTERM): the case at hand and those after it are skipped, the rest is sealed."""

    exit_code = 3


class NotReplayed(AuditError):
    """Measured again, the numbers are not those of the record; or the model is another one."""

    exit_code = 23


class EvidenceError(AuditError):
    """Bytes that claim to be evidence are not what they must be."""

    exit_code = 20


class UntrustedSigner(EvidenceError):
    """No signature, or one by a key that the reader does not trust (now or at that time)."""

    exit_code = 21


class ConditionMet(AuditError):
    """A condition of --fail-on was met."""

    exit_code = 10

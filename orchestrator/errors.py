"""The tree of errors. Each names the thing, the cause and the way out.

The exit codes are the command line's contract (docs/exit-codes.md). This module imports nothing.
"""


class AienvError(Exception):
    """A failure that we can explain.

    ``message`` says what, where and why; ``remedy`` is the way out, in one line that the user can act on.
    ``code`` is a stable machine-readable word; ``exit_code`` is what the command ends with.
    """

    exit_code: int = 125
    code: str = "internal"

    def __init__(self, message: str, *, remedy: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        if code is not None:
            self.code = code

    def as_json(self) -> dict[str, str | None]:
        """The ``error`` member of a report."""
        return {"code": self.code, "message": self.message, "remedy": self.remedy}


class UsageError(AienvError):
    """The command line or a name on it is wrong."""

    exit_code = 2
    code = "usage"


class ConfigError(AienvError):
    """A configuration or task file is wrong; the message carries file, line and key."""

    exit_code = 2
    code = "config"


class EnvironmentFailed(AienvError):
    """The environment could not be made, or died while it was needed."""

    exit_code = 3
    code = "environment"


class PolicyRefused(AienvError):
    """A policy forbids the plan."""

    exit_code = 4
    code = "policy"


class BackendUnavailable(AienvError):
    """No backend that the task allows can be used here."""

    exit_code = 5
    code = "backend"


class NotFound(AienvError):
    """A run, repository, ref or file that was named does not exist."""

    exit_code = 6
    code = "not-found"


class HarvestFailed(AienvError):
    """The result could not be brought out; the environment is kept."""

    exit_code = 7
    code = "harvest"


class Interrupted(AienvError):
    """The user interrupted the run."""

    exit_code = 130
    code = "interrupted"

"""``aienv up``, ``exec``, ``down``: the dev container of a folder. As ``aienv devcontainer`` has them, with aienv's own exit codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.cli.devcontainer import Given, reference_command

if TYPE_CHECKING:
    from orchestrator.devcontainer.jsonc import Object


@reference_command(None, "up", "UP", example="aienv up --grant cap:SYS_PTRACE", own_codes=True)
def up_command(given: Given) -> Object | None:
    """Make the container that devcontainer.json describes, or find and start it, and run its hooks.

    One line of JSON goes to standard output, the log to standard error.
    """
    return given.whole_call().up()


@reference_command(None, "exec", "EXEC", command=True, example="aienv exec make test", own_codes=True)
def exec_command(given: Given) -> Object | None:
    """Run a command in the dev container of a folder; its exit code is the command's."""
    given.prints_errors = False
    given.call().exec(given.argv)
    return None


@reference_command(None, "down", "DOWN", example="aienv down --volumes", own_codes=True)
def down_command(given: Given) -> Object | None:
    """Remove the dev container of a folder, or its compose project."""
    return given.whole_call().down()

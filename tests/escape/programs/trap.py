"""What traps leave in the workspace: a command that tells on the host, by a file, that it was started there."""

from attempt import FACTS


def command(name):
    """Shell words that can be started only where the witness' folder is: on the host."""
    return f"touch {FACTS['witness']}/{name}"

"""Reaching the other side of a fetch with the right to do so, and nothing of that right left behind.

A user and password that stood in the URL go to git through a credential helper whose answer comes from the environment: no process list, no
configuration file and no stored credential ever has them. The helper is bound to the URL's own host, so a redirect elsewhere gets nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import AienvError
from orchestrator.repos.gitcmd import GitResult, git
from orchestrator.repos.source import Source

_HELPER = (
    '!answer() { test "$1" = get && printf \'username=%s\\npassword=%s\\n\' "$AIENV_FETCH_USERNAME" "$AIENV_FETCH_PASSWORD"; }; answer'
)


@dataclass(frozen=True, slots=True)
class Access:
    """One way to identify ourselves: configuration and environment for git."""

    config: tuple[tuple[str, str], ...]
    env: tuple[tuple[str, str], ...]


def accesses(source: Source) -> tuple[Access, ...]:
    """The ways to try, in order.

    A lone user name may be a name for which the user's own helper knows the password, or a token that needs none.
    """
    given, origin = source.credentials, source.origin
    if given is None or origin is None:
        return (Access((), ()),)
    # The empty value forgets the user's own helpers: they would store what they are told.
    ours = Access(
        (("credential.helper", ""), (f"credential.{origin}.helper", _HELPER)),
        (("AIENV_FETCH_USERNAME", given.username), ("AIENV_FETCH_PASSWORD", given.password or "")),
    )
    if given.password is not None:
        return (ours,)
    return Access(((f"credential.{origin}.username", given.username),), ()), ours


def reach(
    source: Source,
    args: Sequence[str],
    *,
    doing: str,
    deadline_s: float,
    git_dir: Path | None = None,
    config: Iterable[tuple[str, str]] = (),
) -> GitResult:
    """Run a git command that talks to ``source``.

    Raises:
        NotFound, EnvironmentFailed, RemoteUnreachable: as ``gitcmd.git``.
    """
    secrets = source.credentials.secrets if source.credentials else ()
    added = tuple(config)

    def attempt(way: Access) -> GitResult:
        return git(
            args,
            doing=doing,
            git_dir=git_dir,
            cwd=Path("/"),  # the folder that aienv was started in may lie in a repository whose configuration would count
            env=dict(way.env),
            config=(*added, *way.config),
            deadline_s=deadline_s,
            trusted=True,
            secrets=secrets,
        )

    *first, last = accesses(source)
    for way in first:
        try:
            return attempt(way)
        except AienvError as problem:
            if problem.code != "git-auth":
                raise
    return attempt(last)

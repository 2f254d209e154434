"""What git inside needs to reach named repositories with a stand-in: configuration in variables, no file and no helper. Pure.

The header is set for each repository by its own address, not for the host: other repositories there, public ones above all, are fetched
without a credential, as they would be anywhere.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.egress.standins import covers, split_bound
from orchestrator.model.network import GitRepo, Phase

# User names that servers want beside a token (docs.github.com, docs.gitlab.com, support.atlassian.com, learn.microsoft.com). Any other
# server gets the first: most look at the password alone.
_USERS: Mapping[str, str] = {"gitlab": "oauth2", "bitbucket.org": "x-token-auth"}
_ANY_USER = "x-access-token"


@dataclass(frozen=True, slots=True)
class GitSecret:
    """A credential as the environment has it. ``hosts`` as in ``SecretPlan``."""

    name: str
    stand_in: str = field(repr=False)
    hosts: tuple[str, ...]
    phases: tuple[Phase, ...]


def git_settings(
    repos: Iterable[GitRepo], secrets: Sequence[GitSecret], phase: Phase, proxy: str | None = None
) -> tuple[tuple[str, str], ...]:
    """Keys and values of git's configuration for one phase. ``proxy``: an address, where variables for all programs do not say it."""
    settings = [("http.proxy", proxy)] if proxy else []
    for repo in repos:
        secret = _secret_for(repo, secrets, phase)
        if secret is None:
            continue
        header = f"Authorization: Basic {_basic(_user(repo.host), secret.stand_in)}"
        for url in (f"https://{repo.host}/{repo.path}", f"https://{repo.host}/{repo.path}.git"):
            # An empty value first: what a file says for the same address is taken back, or two such headers would be sent.
            settings += [(f"http.{url}.extraHeader", ""), (f"http.{url}.extraHeader", header)]
            settings += [(f"credential.{url}.helper", "")]
        settings += _over_https(repo)
    return tuple(settings)


def git_environment(settings: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """``settings`` as the variables that git reads them from; nothing when there are none."""
    if not settings:
        return ()
    named = [
        (f"GIT_CONFIG_{kind}_{number}", text)
        for number, pair in enumerate(settings)
        for kind, text in zip(("KEY", "VALUE"), pair, strict=True)
    ]
    return (("GIT_CONFIG_COUNT", str(len(settings))), *named)


def _secret_for(repo: GitRepo, secrets: Sequence[GitSecret], phase: Phase) -> GitSecret | None:
    host, port = split_bound(repo.host)
    return next((one for one in secrets if phase in one.phases and any(covers(bound, host, port) for bound in one.hosts)), None)


def _user(host: str) -> str:
    name = split_bound(host)[0]
    return next((user for part, user in _USERS.items() if part == name or part in name.split(".")), _ANY_USER)


def _basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode("latin-1")).decode("ascii")


def _over_https(repo: GitRepo) -> list[tuple[str, str]]:
    """The ssh addresses of the same repository mean its https one: submodules and remotes are often written so."""
    name = split_bound(repo.host)[0]
    key = f"url.https://{repo.host}/{repo.path}.insteadOf"
    return [(key, f"git@{name}:{repo.path}"), (key, f"ssh://git@{name}/{repo.path}")]

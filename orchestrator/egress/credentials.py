"""What becomes of credentials in one request: real values in, or the request refused. Decides, and does nothing.

Real values go over TLS only, or to a host that is bound with port 80. Where one goes out, the answer is asked for uncompressed and searched
for it: some servers repeat what they were sent.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from orchestrator.egress.denials import Refusal, Refused
from orchestrator.egress.gitpush import judge_git_request, looks_like_git
from orchestrator.egress.judge import Place
from orchestrator.egress.standins import BoundSecret, Scrubber, Swapper
from orchestrator.model.network import GitRepo, Phase
from orchestrator.wire.bodies import Filter
from orchestrator.wire.http1 import Fields, RequestHead


@dataclass(frozen=True, slots=True)
class Pass:
    """A request as it may go out. ``used``: names of credentials in it; ``push``: its body is a push that is yet to be judged."""

    fields: Fields
    used: tuple[str, ...] = ()
    push: bool = False
    scrub: Callable[[Fields], Fields] | None = None
    body_filter: Filter | None = None


class Misplaced(Refused):
    """A stand-in is where it does not belong. ``names``: of the credentials."""

    def __init__(self, refusal: Refusal, names: tuple[str, ...]) -> None:
        super().__init__(refusal)
        self.names = names


class Vault:
    """The credentials of one run, and the repositories that git may reach with them."""

    def __init__(self, secrets: Sequence[BoundSecret], repos: Sequence[GitRepo]) -> None:
        self._secrets = tuple(secrets)
        self._repos = tuple(repos)
        self._swapper = Swapper(secrets) if secrets else None

    def admit(self, head: RequestHead, place: Place, phase: Phase) -> Pass:
        """Raises Refused: a stand-in is misplaced, or git asks for more than it may."""
        if self._swapper is None:
            return Pass(head.fields)
        self.check_target(head, place.host.name, place.port)
        goes = place.scheme == "https" or place.port == 80
        swapped = self._swapper.swap(head.fields, place.host.name if goes else "", place.port if goes else 0, phase)
        if swapped.misplaced:
            reason = swapped.reason if goes else f"{', '.join(swapped.misplaced)}: a credential goes over TLS only"
            raise Misplaced(Refusal(403, "stand-in", reason, place.host.name, place.port), swapped.misplaced)
        if not swapped.used:
            return Pass(swapped.headers)
        push = self._judge_git(head, place)
        fields = [(name, value) for name, value in swapped.headers if name.lower() != "accept-encoding"]
        used = [secret for secret in self._secrets if secret.name in swapped.used]
        return Pass((*fields, ("Accept-Encoding", "identity")), swapped.used, push, self._swapper.scrub, Scrubber(used, swapped.encoded))

    def check_target(self, head: RequestHead, host: str, port: int) -> None:
        """Raises Misplaced: a stand-in stands in the request's target, which servers write into their logs."""
        names = () if self._swapper is None else self._swapper.misplaced_in(head.target.encode("latin-1"))
        if names:
            reason = f"{', '.join(names)} stands in the address of the request; credentials go in headers"
            raise Misplaced(Refusal(403, "stand-in", reason, host, port), names)

    def carried(self, head: RequestHead, phase: Phase) -> tuple[str, ...]:
        """Names of the credentials whose stand-in a request carries anywhere, for one that is refused as it is."""
        if self._swapper is None:
            return ()
        found = (*self._swapper.misplaced_in(head.target.encode("latin-1")), *self._swapper.swap(head.fields, "", 0, phase).misplaced)
        return tuple(dict.fromkeys(found))

    def _judge_git(self, head: RequestHead, place: Place) -> bool:
        """Whether the body is a push. Raises Refused."""
        full = place.host.with_port(place.port)
        named = next((repo.host for repo in self._repos if repo.host in (place.host.name, full)), None)
        query = place.target.partition("?")[2]
        if named is None and not looks_like_git(place.path, query):
            return False
        verdict = judge_git_request(head.method, place.path, query, head.fields, self._repos, named or full)
        if not verdict.allowed:
            plain = place.path.endswith("/info/refs")
            raise Refused(Refusal(403, "git", verdict.reason, place.host.name, place.port, plain=plain))
        return verdict.push


def without_expectation(head: RequestHead) -> RequestHead:
    """For a body that we ask for ourselves."""
    return replace(head, expects_continue=False)

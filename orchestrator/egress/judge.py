"""The plan's decisions, remembered: the plan does not change while a run lasts, so the same question has the same answer."""

from dataclasses import dataclass

from orchestrator.egress.denials import Refusal, Refused, refused
from orchestrator.egress.hosts import BadHost, Host, parse_authority
from orchestrator.egress.rules import Ask, Decision, Scheme, decide, host_matches, looks_inside, must_inspect
from orchestrator.model.network import NetworkPlan
from orchestrator.wire.http1 import RequestHead, overriding

_MAX_REMEMBERED = 4096
_MAX_PATH = 200  # characters; longer ones are judged each time


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request goes. ``target``: path and query as they are sent; ``path``: without the query, as it is judged."""

    scheme: Scheme
    host: Host
    port: int
    target: str
    path: str

    @property
    def host_header(self) -> str:
        return self.host.text if self.port == (443 if self.scheme == "https" else 80) else self.host.with_port(self.port)


class Judge:
    """Decides by the plan of one run."""

    def __init__(self, plan: NetworkPlan) -> None:
        self.plan = plan
        # Where no row looks at methods or paths, host and port are the whole question.
        self._sees_requests = any(looks_inside(rule) for rule in (*plan.allow, *plan.deny))
        self._authorities: dict[tuple[str, int | None], tuple[Host, int]] = {}
        self._decisions: dict[tuple[object, ...], Decision] = {}

    def authority(self, text: str, default_port: int | None) -> tuple[Host, int]:
        """Raises Refused: the text names no host, or one that could be read in two ways."""
        key = (text, default_port)
        known = self._authorities.get(key)
        if known is None:
            try:
                known = parse_authority(text, default_port)
            except BadHost as problem:
                raise Refused(Refusal(403, "bad-host", problem.reason)) from None
            if len(self._authorities) >= _MAX_REMEMBERED:
                self._authorities.clear()
            self._authorities[key] = known
        return known

    def decide(self, scheme: Scheme, host: Host, port: int, method: str | None = None, path: str | None = None) -> Decision:
        key = (scheme, host.name, port, method, path) if self._sees_requests else (scheme, host.name, port)
        decision = self._decisions.get(key)
        if decision is None:
            decision = decide(self.plan, Ask(scheme, host, port, method, path))
            if path is None or len(path) < _MAX_PATH:
                if len(self._decisions) >= _MAX_REMEMBERED:
                    self._decisions.clear()
                self._decisions[key] = decision
        return decision

    def request(self, head: RequestHead, place: Place) -> Decision:
        """The decision that lets a request through.

        Raises:
            Refused: none does.
        """
        decision = self.decide(place.scheme, place.host, place.port, head.method, place.path)
        if not decision.allowed:
            raise refused(decision, place.host.name, place.port)
        if self._sees_requests and (changer := self._changer(head, place, decision)):
            reason = f"{changer} lets servers act on another method or path than the one that is allowed"
            raise Refused(Refusal(403, "method-or-path", reason, place.host.name, place.port))
        return decision

    def _changer(self, head: RequestHead, place: Place, decision: Decision) -> str | None:
        """What would make the judged method and path others, where a row asks for them."""
        rows = [rule for rule in self.plan.deny if host_matches(rule.host, place.host)]
        rows += [] if decision.matched is None else [decision.matched]
        if not any(looks_inside(rule) for rule in rows):
            return None
        return overriding(head.fields, place.target[len(place.path) :])

    def inspects(self, host: Host) -> bool:
        return must_inspect(self.plan, host)

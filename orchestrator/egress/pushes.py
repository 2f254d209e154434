"""The beginning of a push, read and judged before any of it goes on."""

from orchestrator.egress.denials import Refusal, Refused
from orchestrator.egress.gitpush import PushReader, PushVerdict
from orchestrator.egress.judge import Place
from orchestrator.wire.bodies import Reader, reader_for
from orchestrator.wire.http1 import RequestHead
from orchestrator.wire.wires import Wire

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class BodyLost(Exception):
    """The client went away in the middle of its body."""


async def judged_push(client: Wire, head: RequestHead, place: Place) -> tuple[bytes, Reader]:
    """The payload that was read, all of it allowed, and the reader that goes on with the rest.

    Raises:
        Refused: the push changes what it may not.
        BadMessage: the body is none.
        BodyLost: it ended too early.
        OSError: the client is gone.
    """
    if head.expects_continue:
        await client.send_all(_CONTINUE)
    reader, push, held = reader_for(head.body), PushReader(), b""
    verdict: PushVerdict | None = None
    data, client.kept = client.kept, b""
    while verdict is None:
        payload = reader.feed(data)
        held += payload
        verdict = push.feed(payload) if payload else None
        if verdict is None and reader.done:
            verdict = push.finish()
        if verdict is None:
            data = await client.receive()
            if not data:
                raise BodyLost
    if not verdict.allowed:
        raise Refused(Refusal(403, "git", verdict.reason, place.host.name, place.port, git_report=verdict.report))
    client.kept = reader.rest
    return held, reader

"""The attack corpus against the guard, before real engines: every attack is refused or tamed, every harmless neighbour passes, and
nothing of somebody else's is told or touched."""

from dataclasses import replace

import pytest

from orchestrator.guard.calls import Denied, PathMap, Session, Shown, Thing, Usage
from orchestrator.guard.decide import State, decide, references, route_call
from orchestrator.guard.imagenames import canonical
from orchestrator.guard.registry import Container, Registry
from orchestrator.guard.session import MAX_BODY_BYTES, _judge_type
from orchestrator.guard.strictjson import parse
from orchestrator.guard.target import parse_target
from orchestrator.model.guard import AllowedImage, GuardLimits, GuardPlan
from orchestrator.wire.bodies import ChunkReader, LengthReader
from orchestrator.wire.http1 import BadMessage, head_end, parse_request_head
from tests import engine
from tests.engine import Engine
from tests.guardian import UNGUARDED, Guardian, guarding
from tests.integration.guard import attacking
from tests.integration.guard.corpus import REFUSED, Mode, Row, rows

WORDS = {
    **{word: digit * 64 for word, digit in {"OWN": "1", "FOREIGN": "f", "EXEC": "2", "FEXEC": "e", "NETID": "d"}.items()},
    "OWNNAME": "own-box", "FOREIGNNAME": "ledger", "FOREIGNSHORT": "f" * 12, "FOREIGNTWO": "ffff",
    "NET": "ledger-net", "VOL": "ledger-data", "OWNNET": "own-net", "OWNVOL": "own-volume", "IMAGE": attacking.IMAGE,
    "IMAGENAME": attacking.IMAGE.partition(":")[0], "NOW": "9",
    "IMAGEID": f"sha256:{'3' * 64}", "FIMAGE": "ledger/image:1", "FIMAGENAME": "ledger/image", "FIMAGEID": f"sha256:{'c' * 64}",
    "FIMAGEHEX": "c" * 64, "FIMAGESHORT": "c" * 12, "PROJECT": "/srv/project", "ENGINE": "/srv/engine",
}
OWN = WORDS["OWN"]
KNOWN = {
    **{("container", name): Thing("container", "1" * 64, "own-box") for name in ("1" * 64, "own-box")},
    ("network", "own-net"): Thing("network", "4" * 64, "own-net"), ("volume", "own-volume"): Thing("volume", "own-volume", "own-volume"),
    ("exec", "2" * 64): Thing("exec", "2" * 64, ""),
    **{("image", name): Thing("image", WORDS["IMAGEID"], attacking.IMAGE) for name in (attacking.IMAGE, WORDS["IMAGEID"])},
}  # fmt: skip


def decided(mode: Mode, data: bytes) -> str:
    """What the core makes of bytes: ``allowed``, or the rule that refuses them."""
    images = (AllowedImage(canonical(attacking.IMAGE), WORDS["IMAGEID"], "test"),)
    plan = GuardPlan(mode, "unix:///x", (1, 41), images, (), (), (), GuardLimits(), "descriptor", None, False, ())
    session = Session("run", plan, (PathMap("/srv/project", "/srv/project"),), network="5" * 64, network_name="aienv-run")
    try:
        end = head_end(data, 0)
        head = parse_request_head(data[:end] if end else data, "tcp")
        call = route_call(head.method, parse_target(head.target), session)
        reader = ChunkReader(plain=True) if head.body.kind == "chunked" else LengthReader(head.body.length or 0)
        payload = reader.feed(data[end:])
        _judge_type(head, call)
        if len(payload) > MAX_BODY_BYTES:
            return "body.size"
        body = parse(payload) if payload.strip() and call.route.body in ("json", "empty") else {}
        if (body and call.route.body == "empty") or (payload and call.route.body == "none"):
            return "body.unexpected"
        call = replace(call, body=body)
        known = {asked: KNOWN.get((asked.kind, asked.text.lstrip("/"))) for asked in references(call)}
        registry = Registry()
        registry.containers[OWN] = Container(OWN, "own-box", attacking.IMAGE, (), (), Shown(), Usage(containers=1), "key")
        decide(call, known, State(session, registry))
    except Denied as denied:
        return denied.denial.rule
    except BadMessage as problem:
        return f"http: {problem.reason}"
    return "allowed"


# What only the file system or the engine can tell: where a link leads, whether a name is somebody else's already.
ELSEWHERE = ("binds-link", "mounts-link", "volume-foreign", "volume-create-foreign", "tag-onto-foreign", "commit-onto-foreign")
CORE = [row for row in rows() if row.core and not row.id.startswith(ELSEWHERE)]


def test_core() -> None:
    """Every attack that the core alone can tell is refused by it, in words of its own, and every harmless neighbour passes."""
    outcomes = {row.id: decided(row.mode, row.render(WORDS)) for row in CORE}
    assert len(CORE) > 500
    passed = [row.id for row in CORE if row.attack and not row.tamed and outcomes[row.id] == "allowed"]
    refused = [f"{row.id}: {outcomes[row.id]}" for row in CORE if not row.attack and outcomes[row.id] != "allowed"]
    other = [f"{row.id}: {outcomes[row.id]}" for row in CORE if row.rule and not outcomes[row.id].startswith(row.rule)]
    assert (passed, refused, other) == ([], [], [])


def judge(world: attacking.World, row: Row) -> str | None:
    """What is wrong with what became of a row."""
    answer = world.try_row(row)
    try:
        return fault(world, row, answer)
    finally:
        world.tidy(row)


def fault(world: attacking.World, row: Row, answer: attacking.Answer) -> str | None:
    said = f"{answer.data[:40]!r} {answer.body[:400].decode('latin-1').strip()}"
    if not row.attack:
        return None if 200 <= answer.status < 300 or answer.status == 304 else f"{row.id}: refused: {said}"
    if won := world.won(row, answer):
        return f"{row.id}: WON: {won}: {said}"
    if not row.tamed and answer.status not in REFUSED:
        return f"{row.id}: not refused, {answer.status}: {said}"
    if row.rule and answer.status == 403 and f"[{row.rule}" not in said:
        return f"{row.id}: by another rule: {said}"
    return None


@pytest.fixture(scope="module", params=["20.10", "26.1"], ids=["engine20", "engine26"])
def engine_here(request: pytest.FixtureRequest) -> Engine:
    """The engine, with the allowed image."""
    found: Engine = request.getfixturevalue("engine" if request.param == "20.10" else "engine26")
    engine.image(found, "busybox")  # before the guard starts: it pins what its allow list names
    return found


@pytest.mark.docker
@pytest.mark.skipif(UNGUARDED, reason="the engine itself refuses nothing")
@pytest.mark.parametrize("mode", ["guarded", "readonly"])
def test_corpus(engine_here: Engine, mode: Mode) -> None:
    assert len(rows()) >= 600
    with attacking.project_with_links() as project, guarding(engine_here, project, "--allow-image", attacking.IMAGE, mode=mode) as guard:
        with attacking.world(engine_here, str(guard.socket), project) as world:
            world.own()
            try:
                problems = [problem for row in rows() if row.mode == mode and (problem := judge(world, row))]
                problems += unharmed(world, guard)
            finally:
                clear(world)
    assert not problems, f"{len(problems)} problems:\n" + "\n".join(problem[:500] for problem in problems)


def unharmed(world: attacking.World, guard: Guardian) -> list[str]:
    """What of somebody else's is not as it was, and whether the guard lives."""
    before = dict(world.words)
    world.prepare()
    names = ("FOREIGN", "NETID", "FIMAGEID", "IMAGEID")
    changed = [f"{name} is another one now" for name in names if before[name] != world.words[name]]
    return [*changed, *([] if guard.process is None or guard.process.poll() is None else ["the guard has ended"])]


def clear(world: attacking.World) -> None:
    """Remove somebody else's things, for the tests that share the engine."""
    raw = world.raw
    for container in raw.containers(all=True, filters={"name": attacking.FOREIGN}):
        raw.remove_container(container["Id"], force=True, v=True)
    for container in raw.containers(all=True, filters={"name": "own-box"}):
        raw.remove_container(container["Id"], force=True, v=True)
    raw.remove_volume(f"{attacking.FOREIGN}-data", force=True)
    raw.remove_network(f"{attacking.FOREIGN}-net")
    raw.remove_image(f"{attacking.FOREIGN}/image:1", force=True)

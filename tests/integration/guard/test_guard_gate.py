"""The gate in real engines: a container of its own in networks without a way out, and ports published through it."""

import contextlib
import functools
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator.guard.calls import Json, Object, PathMap, PortAsk, Session
from orchestrator.guard.gate import GateClient, GateLost, connect_gate, start_gate
from orchestrator.guard.gate_body import VOID_IMAGE, VOID_IMPORT, gate_name, void_archive
from orchestrator.guard.publish import Publisher, listen_here
from orchestrator.images import toolbox
from orchestrator.model.guard import GuardLimits, GuardPlan
from orchestrator.wire.wires import Wire
from tests import engine as engines
from tests.engine import Engine
from tests.integration.sandbox.place import local
from tests.unit.guard.looped import DEADLINE_S, Looped, looped

pytestmark = pytest.mark.docker
INHIBIT = "com.docker.network.bridge.inhibit_ipv4"
PROBED = 7711  # a port that something of the host listens on


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("engine", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@dataclass
class Site:
    """One engine with two networks without a way out, a web server in each, and the gate in the first."""

    engine: Engine
    place: Looped
    session: Session
    folder: Path
    tools: Path
    image: str
    networks: list[str]
    webs: list[str]
    gate: GateClient

    async def ask(self, method: str, path: str, body: Object | None) -> tuple[int, Json]:
        return call(self.engine, method, path, body)

    def address(self, container: str, network: int = 0) -> str:
        found: Any = call(self.engine, "GET", f"/containers/{container}/json")[1]
        networks = found["NetworkSettings"]["Networks"].values()
        return str(next(one["IPAddress"] for one in networks if one["NetworkID"] == self.networks[network]))

    async def address_of(self, container: str) -> str | None:
        return self.address(container) or None

    def run(self, *argv: str, network: int | str = 0) -> str:
        """What a command in a container of that network says. It has the toolbox, too."""
        name = network if isinstance(network, str) else self.networks[network]
        made = make(self.engine, self.image, argv, name, [f"{self.tools}:/opt/aienv:ro"])
        try:
            call(self.engine, "POST", f"/containers/{made}/wait")
            with contextlib.closing(self.engine.client()) as client:
                return bytes(client.logs(made)).decode()
        finally:
            call(self.engine, "DELETE", f"/containers/{made}?force=1&v=1")

    def reached(self, *targets: tuple[str, int], network: int | str = 0) -> list[tuple[str, int]]:
        """Those of the targets that a container of that network can connect to."""
        said = self.run("/opt/aienv/bin/python3", "-I", "-S", "-c", PROBE, json.dumps(targets), network=network)
        return [(host, port) for host, port in json.loads(said)]


PROBE = """
import json, os, socket, sys
os.environ["RES_OPTIONS"] = "timeout:1 attempts:1"
from concurrent.futures import ThreadPoolExecutor
def reached(target):
    try:
        socket.create_connection(tuple(target), 1.5).close()
        return True
    except OSError:
        return False
targets = json.loads(sys.argv[1])
with ThreadPoolExecutor(32) as pool:
    print(json.dumps([target for target, yes in zip(targets, pool.map(reached, targets)) if yes]))
"""


def call(engine: Engine, method: str, path: str, body: object = None, raw: bytes | None = None) -> tuple[int, Json]:
    connection = _Connection(engine.address.removeprefix("unix://"))
    with contextlib.closing(connection):
        data = raw if raw is not None else json.dumps(body).encode() if body is not None else b""
        kind = "application/x-tar" if raw is not None else "application/json"
        connection.request(method, f"/v1.41{path}", data, {"Content-Type": kind} if data else {})
        answer = connection.getresponse()
        text = answer.read().decode()
    try:
        return answer.status, json.loads(text) if text else None
    except ValueError:
        return answer.status, text


def make(engine: Engine, image: str, argv: Sequence[str], network: str, binds: Sequence[str] = ()) -> str:
    """As the guard makes them: nothing is looked up outside."""
    host: Object = {"NetworkMode": network, "Dns": ["127.0.0.1"], "CapDrop": ["NET_RAW"], "Binds": list(binds)}
    status, made = call(engine, "POST", "/containers/create", {"Image": image, "Cmd": list(argv), "HostConfig": host})
    assert isinstance(made, dict), (status, made)
    assert call(engine, "POST", f"/containers/{made['Id']}/start")[0] == 204
    return str(made["Id"])


def make_network(engine: Engine, name: str) -> str:
    body = {"Name": name, "Driver": "bridge", "Internal": True, "Options": {INHIBIT: "true"}}
    status, made = call(engine, "POST", "/networks/create", body)
    assert isinstance(made, dict), (status, made)
    return str(made["Id"])


@pytest.fixture(scope="module", params=["20.10", "26.1"], ids=["engine20", "engine26"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    engine: Engine = request.getfixturevalue("engine" if request.param == "20.10" else "engine26")
    cache = engines.cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    tools = toolbox.ensure(cache, lambda line: None)
    plan = GuardPlan("guarded", engine.address, (1, 41), (), (), (), (), GuardLimits(), "descriptor", None, False, ())
    session = Session("gatetest", plan, (PathMap("/w", "/w"),))
    with contextlib.ExitStack() as undo:
        folder = Path(tempfile.mkdtemp(prefix="aienv-gate-", dir="/tmp"))
        undo.callback(shutil.rmtree, folder)
        image = engines.image(engine, "busybox")
        assert call(engine, "POST", VOID_IMPORT, raw=void_archive())[0] == 200
        networks = []
        for name in ("gatetest-one", "gatetest-two"):
            networks.append(make_network(engine, name))
            undo.callback(call, engine, "DELETE", f"/networks/{networks[-1]}")
        webs = []
        for index, network in enumerate(networks):
            serve = f"mkdir -p /tmp/www; echo web {index} > /tmp/www/index.html; exec httpd -f -p 8000 -h /tmp/www"
            webs.append(make(engine, image, ("/bin/sh", "-c", serve), network))
            undo.callback(call, engine, "DELETE", f"/containers/{webs[-1]}?force=1&v=1")
        place = undo.enter_context(looped())
        undo.callback(call, engine, "DELETE", f"/containers/{gate_name(session)}?force=1&v=1")
        found = Site(engine, place, session, folder, tools, image, networks, webs, None)  # type: ignore[arg-type]
        found.gate = place.run(lambda: start_gate(place.loop, found.ask, session, VOID_IMAGE, tools, folder, networks[0]))
        undo.callback(place.call, found.gate.close)
        yield found


def fetch(address: tuple[str, int]) -> str:
    connection = http.client.HTTPConnection(*address, timeout=DEADLINE_S)
    with contextlib.closing(connection):
        connection.request("GET", "/")
        return connection.getresponse().read().decode()


def fetched(address: tuple[str, int]) -> str:
    with contextlib.suppress(OSError, http.client.HTTPException):
        return fetch(address)
    return ""


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_published_port(site: Site) -> None:
    """From the test's own loopback into a container that nothing on the host reaches; also after it has got another address."""
    found = site.place.call(lambda: Publisher(site.place.loop, listen_here, site.gate.dial, site.address_of))
    published = site.place.run(lambda: found.open(site.webs[0], (PortAsk(8000, "tcp", "", 0), PortAsk(81, "tcp", "", 0))))
    try:
        assert fetch(published[8000][0]) == "web 0\n"
        assert call(site.engine, "POST", f"/containers/{site.webs[0]}/restart?t=0")[0] == 204
        until(lambda: fetched(published[8000][0]) == "web 0\n")
        with pytest.raises((http.client.HTTPException, OSError)):  # nothing listens there inside
            fetch(published[81][0])
    finally:
        site.place.call(found.close_all)


@pytest.mark.bwrap
def test_a_published_port_in_a_sandbox(site: Site, bwrap: str) -> None:
    """All of it: an agent without a network of its own reaches a container's port at its own 127.0.0.1, and nobody else does."""
    program = "import time, urllib.request as u\nprint(u.urlopen('http://127.0.0.1:8000/', timeout=20).read().decode(), end='')"
    wait = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.02)\n"
    with local() as sandbox:
        process, sink = sandbox.start("python3", "-I", "-c", wait + program)
        inside = process.porter()
        porter = site.place.call(lambda: GateClient(site.place.loop, inside))
        found = site.place.call(
            lambda: Publisher(site.place.loop, lambda port: porter.listen("127.0.0.1", port), site.gate.dial, site.address_of)
        )
        try:
            published = site.place.run(lambda: found.open(site.webs[0], (PortAsk(8000, "tcp", "", 8000),)))
            assert published == {8000: (("127.0.0.1", 8000),)}
            assert fetched(("127.0.0.1", 8000)) == ""
            (sandbox.context.folder.workspace(sandbox.context.plan.repo.name) / "go").touch()
            ended = process.wait(DEADLINE_S)
            assert ended is not None
            assert (ended.code, sink.out, sink.err) == (0, b"web 0\n", b"")
            until(lambda: porter.lost)  # with the sandbox
        finally:
            site.place.call(found.close_all)
            site.place.call(porter.close)


def test_two_networks(site: Site) -> None:
    """The second is not reached before the gate is connected to it; the two do not reach each other through it."""
    address = site.address(site.webs[1], 1)
    before = site.place.begin(lambda: site.gate.dial(address, 8000))
    assert site.reached((site.address(site.webs[0]), 8000), (address, 8000)) == [(site.address(site.webs[0]), 8000)]
    with pytest.raises(OSError):
        before()
    for _ in range(2):  # again: fine
        site.place.run(lambda: connect_gate(site.ask, site.gate.container, site.networks[1]))
    sock = site.place.run(lambda: site.gate.dial(address, 8000))
    sock.settimeout(DEADLINE_S)
    with sock:
        sock.setblocking(True)
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        data = b""
        while more := sock.recv(4096):
            data += more
    assert data.endswith(b"web 1\n")
    for network, other in ((0, address), (1, site.address(site.webs[0]))):
        assert site.reached((other, 8000), network=network) == []


def test_a_network_that_is_not_there(site: Site) -> None:
    with pytest.raises(GateLost, match="not found"):
        site.place.run(lambda: connect_gate(site.ask, site.gate.container, "0" * 64))


def test_the_way_out_by_its_name(site: Site) -> None:
    """Containers find what we serve at ``aienv-egress``, and what is accepted there is a wire like any other."""
    listener = site.place.run(lambda: site.gate.listen("0.0.0.0", 3128))
    with listener:
        served = site.place.begin(lambda: serve(site.place, listener))
        said = site.run("/opt/aienv/bin/python3", "-I", "-S", "-c", FETCH)
        assert said.endswith("from outside\n"), said
        assert served() == b"GET /x HTTP/1.0\r\n\r\n"


FETCH = """
import socket
with socket.create_connection(("aienv-egress", 3128), 10) as sock:
    sock.sendall(b"GET /x HTTP/1.0\\r\\n\\r\\n")
    print(sock.makefile("rb").read().decode())
"""


async def serve(place: Looped, listener: socket.socket) -> bytes:
    listener.setblocking(True)
    listener.settimeout(DEADLINE_S)
    sock, _ = listener.accept()
    sock.setblocking(False)
    wire = Wire(place.loop, sock)
    try:
        data = await wire.receive(place.loop.in_seconds(DEADLINE_S))
        await wire.send_all(b"HTTP/1.0 200 OK\r\nContent-Length: 12\r\n\r\nfrom outside")
        await wire.linger(DEADLINE_S, 1 << 16)
        return data
    finally:
        wire.close()


LISTENER = f"""
import socket, sys
sock = socket.create_server(("0.0.0.0", {PROBED}))
names = socket.socket(type=socket.SOCK_DGRAM)
names.bind(("0.0.0.0", 53))
names.setblocking(False)
print("ready", flush=True)
for line in sys.stdin:
    count = 0
    try:
        while names.recv(4096):
            count += 1
    except BlockingIOError:
        pass
    print(count, flush=True)
"""


@pytest.fixture(scope="module")
def host_service(site: Site) -> Iterator[Callable[[], int]]:
    """Something of the host's, on every address that it has in the engine's network namespace. Called: how many names it was asked for."""
    argv = ["nsenter", "--target", str(site.engine.state.holder), "--net", "--", sys.executable, "-I", "-c", LISTENER]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        out, back = process.stdin, process.stdout
        assert out is not None

        def asked() -> int:
            out.write(b"\n")
            out.flush()
            return int(back.readline())

        yield asked
        process.communicate(timeout=DEADLINE_S)


def host_addresses(site: Site) -> list[str]:
    argv = ["nsenter", "--target", str(site.engine.state.holder), "--net", "--", "ip", "-j", "-4", "addr"]
    rows = json.loads(subprocess.run(argv, capture_output=True, check=True, timeout=30).stdout)
    return [one["local"] for row in rows for one in row["addr_info"]]


def gateways(site: Site) -> list[str]:
    found: list[str] = []
    for network in site.networks:
        inspected: Any = call(site.engine, "GET", f"/networks/{network}")[1]
        for config in inspected["IPAM"]["Config"]:
            found.append(str(config.get("Gateway") or config["Subnet"].split("/")[0][:-1] + "1"))
    return found


def test_containers_reach_nothing_of_the_host(site: Site, host_service: Callable[[], int]) -> None:
    """Neither its addresses in the bridges, nor names outside. The gate answers on what we opened, and nowhere else."""
    bridges = {one for one in host_addresses(site) if not one.startswith("127.")}
    assert not bridges & set(gateways(site))
    hosts = [(one, PROBED) for one in {*bridges, *gateways(site), "172.17.0.1", "169.254.169.254"}]
    gate = [(site.address(site.gate.container), port) for port in (22, 80, 2375, 3128, 3129, PROBED)]
    names = [("deb.debian.org", 80), ("host.docker.internal", PROBED), ("aienv-egress", PROBED)]
    neighbour = (site.address(site.webs[0]), 8000)
    assert site.reached(*hosts, *gate, *names, neighbour) == [neighbour]
    # The host's end of a bridge has an address of its own in IPv6: without one here there is no way to it.
    assert [line for line in site.run("/bin/cat", "/proc/net/if_inet6").splitlines() if not line.endswith(" lo")] == []
    assert host_service() == 0  # and none of the names has left the network
    assert set(site.reached(*hosts, network="bridge")) >= {(one, PROBED) for one in bridges}  # it is there for others


def test_the_gate_itself_can_do_nothing(site: Site, host_service: Callable[[], int]) -> None:
    """Its container: nobody, no capability, nothing to write to, no address of the host's."""
    addresses = {*host_addresses(site), *gateways(site)}
    for result in [site.place.begin(functools.partial(site.gate.dial, address, PROBED)) for address in addresses]:
        with pytest.raises(OSError):
            result()
    script = (
        "import os, json; status = open('/proc/self/status').read().split('\\n');"
        "print(json.dumps({'uid': os.getuid(), 'root': sorted(os.listdir('/')), 'env': sorted(os.environ),"
        "'status': [line for line in status if line.startswith(('CapEff', 'CapBnd', 'NoNewPrivs'))],"
        "'forward': open('/proc/sys/net/ipv4/ip_forward').read(), 'folder': os.listdir('/run/aienv/gate'),"
        "'writes': [path for path in ('/', '/run/aienv/gate', '/opt/aienv', '/tmp') if os.access(path, os.W_OK)]}))"
    )
    with contextlib.closing(site.engine.client()) as client:
        made = client.exec_create(site.gate.container, ["/opt/aienv/bin/python3", "-I", "-S", "-c", script])
        said = client.exec_start(made["Id"])
    found = json.loads(said)
    assert found["uid"] == 65534
    assert found["status"] == ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"]
    assert set(found["root"]) <= {".dockerenv", "dev", "etc", "opt", "proc", "run", "sys", "tmp"}
    assert set(found["env"]) == {"PATH", "LC_ALL", "HOME", "HOSTNAME"}
    assert (found["forward"], found["folder"], found["writes"]) == ("0\n", [], [])


def test_the_empty_image(site: Site) -> None:
    """It carries our label, and nothing else."""
    found: Any = call(site.engine, "GET", f"/images/{VOID_IMAGE}/json")[1]
    assert found["Config"]["Labels"] == {"dev.aienv.managed": "1", "dev.aienv.image": "void"}
    assert found["Size"] == 0


def test_it_ends_with_its_connection(site: Site) -> None:
    """And its folder holds nothing; another may be started under the same name when that is gone."""
    session = Session("gateends", site.session.plan, ())
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        try:
            gate = site.place.run(
                lambda: start_gate(site.place.loop, site.ask, session, VOID_IMAGE, site.tools, Path(folder), site.networks[0])
            )
            with pytest.raises(GateLost, match="Conflict"):  # and the first one goes on
                site.place.run(
                    lambda: start_gate(site.place.loop, site.ask, session, VOID_IMAGE, site.tools, Path(folder), site.networks[0])
                )
            site.place.run(lambda: gate.listen("127.0.0.1", 0)).close()
            assert os.listdir(folder) == []
            site.place.call(gate.close)
            status, ended = call(site.engine, "POST", f"/containers/{gate.container}/wait")
            assert isinstance(ended, dict)
            assert (status, ended["StatusCode"]) == (200, 0)
        finally:
            call(site.engine, "DELETE", f"/containers/{gate_name(session)}?force=1&v=1")


@pytest.mark.parametrize(
    ("image", "said"),
    [pytest.param("aienv/none:1", "No such image", id="no-image"), pytest.param(VOID_IMAGE, "ended with code", id="no-program")],
)
def test_one_that_does_not_come_up(site: Site, image: str, said: str, tmp_path: Path) -> None:
    """The reason is told, and nothing stays."""
    session = Session("gatefails", site.session.plan, ())
    tools = site.tools if image != VOID_IMAGE else broken(site.tools, tmp_path / "tools")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        with pytest.raises(GateLost, match=said):
            site.place.run(lambda: start_gate(site.place.loop, site.ask, session, image, tools, Path(folder), site.networks[0]))
        assert os.listdir(folder) == []
    assert call(site.engine, "GET", f"/containers/{gate_name(session)}/json")[0] == 404


def broken(tools: Path, target: Path) -> Path:
    """A toolbox without the gate's program."""
    shutil.copytree(tools, target, symlinks=True, copy_function=os.link)
    (target / "lib/aienv/gate.py").unlink()
    return target

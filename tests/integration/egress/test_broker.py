"""Egress in the broker process: sockets of another network namespace by descriptor, answers to every line, and nothing left of it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.audit.record import Head, verify
from orchestrator.broker.client import Broker
from orchestrator.egress.config import EgressConfig, SshConfig
from orchestrator.egress.rules import parse_rule
from orchestrator.egress.summary import network_use
from orchestrator.errors import EnvironmentFailed
from orchestrator.model.network import NO_USE, NetworkPlan, Phase
from tests.integration.egress.place import Client, Origin, answering, get, wait_for

NETWORK = NetworkPlan(
    "allowlist", (), (parse_rule("127.0.0.1:8080", "x"), parse_rule("tcp://127.0.0.1:7", "x")), (), ("127.0.0.1",), (), (), (), None, ()
)
CONFIG = EgressConfig("run1", NETWORK, (), None, None, None)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker("run1", tmp_path, on_lost=lambda: None)
    broker.ready()
    yield broker
    if broker._process.poll() is None:
        broker.close()


def configured(port: int) -> EgressConfig:
    """Loopback may be reached where the user has named it; so a server of this test can stand there."""
    plan = NetworkPlan("allowlist", (), (parse_rule(f"127.0.0.1:{port}", "x"),), (), ("127.0.0.1",), (), (), (), None, ())
    return EgressConfig("run1", plan, (), None, None, None)


def descriptors(broker: Broker) -> list[str]:
    return sorted(os.readlink(f"/proc/{broker.pid}/fd/{name}") for name in os.listdir(f"/proc/{broker.pid}/fd"))


def sockets(broker: Broker) -> int:
    return sum(link.startswith("socket:") for link in descriptors(broker))


def test_from_beginning_to_end(broker: Broker, tmp_path: Path) -> None:
    """Two phases; requests; counts; events in the log, also of what was under way; a head that is the log's."""
    origin = Origin(answering())
    broker.prepare("egress")
    broker.egress(configured(origin.port))
    assert broker.network_use() == NO_USE
    phases: tuple[Phase, ...] = ("setup", "agent")
    for phase in phases:
        with socket.create_server(("127.0.0.1", 0)) as proxy, socket.create_server(("127.0.0.1", 0)) as gateway:
            broker.listen(phase, {"proxy": proxy.fileno(), "gateway": gateway.fileno()})
            port = proxy.getsockname()[1]
        with Client(socket.create_connection(("127.0.0.1", port), timeout=20)) as client:
            url = f"http://127.0.0.1:{origin.port}/"
            assert client.ask(get(url)).body == b"hello"
            assert client.ask(get("http://other.example.org/")).status == 403
            broker.event("between", {})
            broker.quiet()
            assert client.ended()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=20)
    use = broker.network_use()
    assert [(row.host, row.requests) for row in use.allowed] == [("127.0.0.1", 2)]
    assert [(row.host, row.count) for row in use.denied] == [("other.example.org", 2)]
    head = broker.close()
    lines = (tmp_path / "audit.jsonl").read_bytes().splitlines()
    assert verify(lines) == head
    assert network_use(lines) == use
    assert [json.loads(line)["kind"] for line in lines] == ["net", "net", "between", "net.summary"] * 2
    origin.close()


def test_what_cannot_be(broker: Broker) -> None:
    """Each is answered with its reason; the broker goes on, and keeps no descriptor."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with pytest.raises(EnvironmentFailed, match="no way out"):
            broker.listen("agent", {"proxy": listener.fileno()})
        broker.quiet()  # there is nothing to close
        before = sockets(broker)
        with pytest.raises(EnvironmentFailed, match="every address"):
            broker.egress(EgressConfig("run1", NetworkPlan("open", (), (), (), ("0.0.0.0/0",), (), (), (), None, ()), (), None, None, None))
        broker.egress(CONFIG)
        with pytest.raises(EnvironmentFailed, match="unknown listeners"):
            broker.listen("agent", {"socks": listener.fileno()})
        with open("/dev/null", "rb") as file, pytest.raises(EnvironmentFailed, match="no socket"):
            broker.listen("agent", {"proxy": file.fileno()})
        broker._send({"phase": "agent", "listen": ["proxy", "gateway"]}, (listener.fileno(),))
        with pytest.raises(EnvironmentFailed, match="1 descriptors came for 2 listeners"):
            broker._expect("phase", "take")
        broker._send({"event": "unexpected", "facts": {}}, (listener.fileno(), listener.fileno()))
        broker.sync()
        assert sockets(broker) == before
        broker.listen("agent", {"proxy": listener.fileno()})
        assert sockets(broker) == before + 1


def test_in_a_namespace_of_its_own(broker: Broker, tmp_path: Path) -> None:
    """A listener that stands where there is nothing but a loopback leads out; its connections do not see this machine's loopback."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("network namespaces need root and unshare: run the tests as root")
    origin = Origin(answering())
    inside = (
        "import os,socket,sys\n"
        "given = socket.socket(fileno=int(sys.argv[1])); listener = socket.create_server(('127.0.0.1', 3128))\n"
        "socket.send_fds(given, [b'x'], [listener.fileno()]); listener.close(); given.recv(1)\n"
        "client = socket.create_connection(('127.0.0.1', 3128), 20)\n"
        "client.sendall(b'GET http://127.0.0.1:' + sys.argv[2].encode() + b'/ HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n')\n"
        "data = b''\n"
        "while piece := client.recv(65536): data += piece\n"
        "given.sendall(data)\n"
    )
    ours, theirs = socket.socketpair()
    ours.settimeout(20)
    with ours, theirs:
        words = ["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh", shutil.which("python3") or "", "-c", inside]
        child = subprocess.Popen([*words, str(theirs.fileno()), str(origin.port)], pass_fds=(theirs.fileno(),))
        _, (listener,), _, _ = socket.recv_fds(ours, 1, 1)
        broker.egress(configured(origin.port))
        broker.listen("agent", {"proxy": listener})
        os.close(listener)
        ours.sendall(b"g")
        assert child.wait(20) == 0
        assert ours.recv(65536).endswith(b"hello")
    origin.close()


def limits_of(pid: int) -> str:
    return next(line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if line.startswith("Max core"))


def test_no_memory_image(broker: Broker) -> None:
    """No core file, and no other process of the same user reads its memory."""
    broker.sync()
    assert limits_of(broker.pid).split()[4:6] == ["0", "0"]
    assert os.stat(f"/proc/{broker.pid}/environ").st_uid == 0
    if os.geteuid() == 0:
        probe = f"open('/proc/{broker.pid}/mem', 'rb')"
        done = subprocess.run(["python3", "-c", probe], user=65533, capture_output=True, text=True, timeout=20, check=False)
        assert "PermissionError" in done.stderr


def test_nothing_survives_the_main_process(tmp_path: Path) -> None:
    """Killed, it leaves a broker that recovers: by then no listener, no connection and no descriptor of egress is there."""
    port_file, recovered = tmp_path / "port", tmp_path / "recovered"
    folder = tmp_path / "run"
    folder.mkdir()
    origin = Origin(answering())
    report = (
        "import os,sys,time\n"
        f"links = [os.readlink(f'/proc/self/fd/{{n}}') for n in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{{n}}')]\n"
        f"open({str(recovered)!r} + '.new', 'w').write(chr(10).join(links) + chr(10) + str(len(os.listdir('/proc/self/task'))))\n"
        f"os.rename({str(recovered)!r} + '.new', {str(recovered)!r})\n"
    )
    main = (
        "import json,socket,sys,time,os\n"
        "from pathlib import Path\n"
        "import orchestrator.broker.client as client\n"
        f"client.self_command = lambda *words: [sys.executable, '-c', {report!r}]\n"
        "from tests.integration.egress.test_broker import configured\n"
        f"broker = client.Broker('run1', Path({str(folder)!r}), lambda: None); broker.ready()\n"
        f"broker.egress(configured({origin.port}))\n"
        "listener = socket.create_server(('127.0.0.1', 0)); broker.listen('agent', {'proxy': listener.fileno()})\n"
        f"open({str(port_file)!r} + '.new', 'w').write(str(listener.getsockname()[1])); listener.close()\n"
        f"os.rename({str(port_file)!r} + '.new', {str(port_file)!r}); time.sleep(60)\n"
    )
    root = Path(__file__).resolve().parents[3]
    process = subprocess.Popen([str(root / ".venv/bin/python") if (root / ".venv").exists() else "python3", "-c", main], cwd=root)
    wait_for(port_file.exists)
    port = int(port_file.read_text())
    with Client(socket.create_connection(("127.0.0.1", port), timeout=20)) as client:
        assert client.ask(get(f"http://127.0.0.1:{origin.port}/")).body == b"hello"
        os.kill(process.pid, signal.SIGKILL)
        process.wait(20)
        assert client.ended()
    wait_for(recovered.exists)
    *links, threads = recovered.read_text().splitlines()
    assert [link for link in links if link.startswith(("socket:", "anon_inode:", "pipe:"))] == []
    assert threads == "1"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=20)
    lines = (folder / "audit.jsonl").read_bytes().splitlines()
    assert isinstance(verify(lines), Head)
    assert [json.loads(line)["kind"] for line in lines] == ["net", "net.summary", "main.lost"]
    origin.close()


def test_the_log_is_whole_when_two_write(broker: Broker, tmp_path: Path) -> None:
    """Events of the main process and of egress, at the same time, in one chain."""
    origin = Origin(answering())
    broker.egress(configured(origin.port))
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        broker.listen("agent", {"proxy": proxy.fileno()})
        port = proxy.getsockname()[1]
    done = threading.Event()

    def tell() -> None:
        while not done.is_set():
            broker.event("told", {"text": "x" * 100})
            time.sleep(0.0005)

    thread = threading.Thread(target=tell)
    thread.start()
    with Client(socket.create_connection(("127.0.0.1", port), timeout=20)) as client:
        for _ in range(300):
            client.ask(get(f"http://127.0.0.1:{origin.port}/"))
    done.set()
    thread.join()
    broker.quiet()
    head = broker.close()
    lines = (tmp_path / "audit.jsonl").read_bytes().splitlines()
    assert verify(lines) == head
    assert sum(json.loads(line)["kind"] == "net" for line in lines) == 300
    origin.close()




def test_the_ssh_agents_socket(broker: Broker, tmp_path: Path) -> None:
    """Served beside the other listeners, and ended with them; here nobody stands behind it."""
    ssh = SshConfig("git.example.org", ("AAAA",), str(tmp_path / "nobody.sock"), "ssh")
    broker.egress(replace(CONFIG, ssh=ssh))
    path = str(tmp_path / "agent.sock")
    with socket.socket(socket.AF_UNIX) as agent, socket.create_server(("127.0.0.1", 0)) as proxy:
        agent.bind(path)
        agent.listen()
        broker.listen("agent", {"proxy": proxy.fileno(), "ssh": agent.fileno()})
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(path)
        assert Client(client).ended()
    broker.quiet()
    with socket.socket(socket.AF_UNIX) as client, pytest.raises(ConnectionRefusedError):
        client.connect(path)
    broker.sync()
    events = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_bytes().splitlines()]
    assert [(event["kind"], event.get("name"), event.get("outcome")) for event in events] == [
        ("cred", "ssh", "refused"), ("net.summary", None, None),
    ]  # fmt: skip
    with pytest.raises(EnvironmentFailed, match="not base64"):
        broker.egress(replace(CONFIG, ssh=replace(ssh, host_keys=("?",))))

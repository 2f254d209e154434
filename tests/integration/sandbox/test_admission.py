"""No layer may be missing: each is taken away in turn, in real sandboxes, and the command does not start."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.backends import local as backend
from orchestrator.errors import AienvError, EnvironmentFailed
from orchestrator.launcher import main as launcher
from orchestrator.launcher.client import Canary, LauncherClient, Prelude, RunRequest, greet
from orchestrator.model.network import Phase
from orchestrator.model.paths import Paths
from orchestrator.sandbox.argv import Confinement, Option, sandbox_arguments
from orchestrator.sandbox.seccomp import build_filter
from tests.engine import Engine
from tests.integration.sandbox.place import DEADLINE_S, Change, Collect, Place, Proxy, docker, local, opened

BACKENDS = [pytest.param("local", marks=pytest.mark.bwrap), pytest.param("docker", marks=pytest.mark.docker)]


@pytest.fixture(scope="module", params=BACKENDS)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """One environment of each backend for all tests of this file that change nothing in it."""
    if request.param == "local":
        request.getfixturevalue("bwrap")
        with local() as found:
            yield found
    else:
        with docker(request.getfixturevalue("engine")) as found:
            yield found


def without(*words: str) -> Change:
    """The options with these words, wherever they stand one after the other, left out."""

    def change(options: tuple[Option, ...]) -> tuple[Option, ...]:
        size = len(words)
        found = [index for index in range(len(options)) if options[index : index + size] == words]
        assert found, words
        return tuple(option for index, option in enumerate(options) if not any(at <= index < at + size for at in found))

    return change


def replaced(old: tuple[str, ...], new: tuple[str, ...]) -> Change:
    def change(options: tuple[Option, ...]) -> tuple[Option, ...]:
        index = next(index for index in range(len(options)) if options[index : index + len(old)] == old)
        return (*options[:index], *new, *options[index + len(old) :])

    return change


def with_mount(*words: str) -> Change:
    """One more mount, before the root is closed."""

    def change(options: tuple[Option, ...]) -> tuple[Option, ...]:
        index = options.index("--remount-ro")
        return (*options[:index], *words, *options[index:])

    return change


def both(*changes: Change) -> Change:
    def change(options: tuple[Option, ...]) -> tuple[Option, ...]:
        for one in changes:
            options = one(options)
        return options

    return change


def no_filter(options: tuple[Option, ...]) -> tuple[Option, ...]:
    index = options.index("--seccomp")
    return (*options[:index], *options[index + 2 :])


def test_a_sandbox_that_holds(place: Place) -> None:
    """Nothing changed: the command runs, in the very process that asked, and the event log has what was found."""
    ended, sink = place.run("sh", "-c", "echo $$; cat /proc/self/status >&2")
    assert (ended.code, ended.failure) == (0, None)
    (event,) = place.events.selftests()[-1:]
    assert (event["phase"], event["missing"]) == ("agent", None)
    assert sink.out.decode().strip() == str(event["facts"]["pid"])
    assert event["facts"]["writable"] == []
    assert event["facts"]["uid"] == [place.context.plan.uid] * 3
    assert not os.path.exists(place.canary)


def writable_programs(options: tuple[Option, ...]) -> tuple[Option, ...]:
    """The first folder of the root (of the host's, or the image's) is not bound read-only."""
    index = next(at for at, word in enumerate(options) if word == "--ro-bind" and options[at + 1] == options[at + 2] != "/dev/null")
    return (*options[:index], "--bind", *options[index + 1 :])


@pytest.mark.docker
@pytest.mark.parametrize("kind", ["debian", "busybox", "musl"])
def test_any_image_will_do(any_engine: Engine, kind: str) -> None:
    """With glibc, with musl, with no libc: the same facts, on both engines; what cannot be executed has the shell's codes."""
    with docker(any_engine, kind=kind) as place:
        ended, sink = place.run("/bin/sh", "-c", "echo here")
        assert (ended.code, sink.out, sink.err) == (0, b"here\n", b"")
        assert place.events.selftests()[-1]["facts"]["writable"] == []
        for argv, code in ((("no-such-program",), 127), (("/etc/passwd",), 126), (("/",), 126)):
            ended, sink = place.run(*argv)
            assert (ended.code, sink.err.startswith(f"bwrap: execvp {argv[0]}: ".encode())) == (code, True)


MISSING = [
    pytest.param(no_filter, "system call filter", id="filter"),
    pytest.param(replaced(("--cap-drop", "ALL"), ("--cap-add", "ALL")), "capabilities", id="capabilities"),
    pytest.param(without("--unshare-ipc"), "namespaces", id="ipc"),
    pytest.param(without("--remount-ro", "/"), "read-only root", id="root"),
    pytest.param(without("--remount-ro", "/run/aienv"), "read-only root", id="our-folder"),
    pytest.param(with_mount("--symlink", "/dev/null", "/etc/resolv.conf"), "name resolution", id="resolver"),
    pytest.param(with_mount("--symlink", "/dev/null", "/run/docker.sock"), "files outside", id="something-in-run"),
]
ON_THE_HOST = [
    pytest.param(writable_programs, "read-only root", id="programs"),  # a container's root cannot be written anyway
    pytest.param(without("--unshare-net"), "network", id="network"),
    pytest.param(without("--unshare-pid"), "namespaces", id="pid"),
    pytest.param(both(without("--unshare-uts"), without("--hostname", "aienv")), "namespaces", id="uts"),
]


@pytest.mark.parametrize(("change", "layer"), MISSING)
def test_without_a_layer_nothing_starts(place: Place, change: Change, layer: str) -> None:
    """The layer is named with a way out, nothing of the command ran, and the next one can still start."""
    refused(place, change, layer)
    assert place.run("true")[0].code == 0


@pytest.mark.bwrap
@pytest.mark.parametrize(("change", "layer"), ON_THE_HOST)
def test_without_a_layer_of_the_host_nothing_starts(bwrap: str, change: Change, layer: str) -> None:
    """What in a container is the engine's work."""
    with local() as place:
        refused(place, change, layer)


@pytest.mark.bwrap
def test_the_folder_of_the_run_must_not_be_seen(bwrap: str) -> None:
    """Bound by mistake, or exposed by its user: a command could talk to what is in it."""
    with local() as place:
        folder = str(Path(place.canary).parent)
        refused(place, with_mount("--ro-bind", folder, folder), "files outside")


def refused(place: Place, change: Change, layer: str) -> None:
    mark = place.context.folder.workspace("app") / "made"
    with pytest.raises(EnvironmentFailed) as problem:
        place.start("touch", str(Path(place.context.plan.workspace, "made")), change=change)
    assert problem.value.code == "self-test"
    assert f"(layer: {layer})" in problem.value.message
    assert problem.value.remedy
    assert place.events.selftests()[-1]["missing"] == layer
    assert not mark.exists()


@pytest.mark.bwrap
def test_root_is_refused(bwrap: str, tmp_path: Path) -> None:
    """A sandbox that runs as the real root holds none of its promises, whatever else it has."""
    if os.geteuid() != 0:
        pytest.skip("needs root: run the tests as root")
    paths = Paths(tmp_path / "config", tmp_path / "state", tmp_path / "cache")
    with opened(backend.LocalBackend(paths.state / "work"), paths, 0, 0, None) as place:
        refused(place, lambda options: options, "user")


@pytest.mark.docker
def test_a_container_with_a_network_is_refused(engine: Engine) -> None:
    """An interface that somebody gave the container behind our back, with a route to everywhere."""
    if os.geteuid() != 0:
        pytest.skip("needs root: run the tests as root")
    with docker(engine) as place:
        client = engine.client()
        pid = client.inspect_container(place.environment.ref.native_id)["State"]["Pid"]
        client.close()
        script = (
            "ip link add aienv0 type veth peer name aienv1 && ip link set aienv1 up"
            " && ip address add 10.99.0.2/24 dev aienv0 && ip link set aienv0 up"
            " && ip route add default via 10.99.0.1"
        )
        subprocess.run(["nsenter", "--target", str(pid), "--net", "sh", "-c", script], check=True, timeout=DEADLINE_S)
        refused(place, lambda options: options, "network")


def test_what_does_not_start_for_bubblewrap_says_why(place: Place) -> None:
    """A sandbox that cannot be made is its own failure, in bubblewrap's words; nobody waits for what will never be told."""
    ended, _ = place.run("true", change=with_mount("--ro-bind", "/no/such/folder", "/mnt"))
    assert ended.code is None
    assert "/no/such/folder" in str(ended.failure)


# --- the sockets ------------------------------------------------------------------------------------------------------


@pytest.fixture(params=BACKENDS)
def networked(request: pytest.FixtureRequest) -> Iterator[tuple[Place, Proxy]]:
    """An environment whose commands have a way out that the test itself serves."""
    proxy = Proxy()
    if request.param == "local":
        request.getfixturevalue("bwrap")
        with local(proxy) as found:
            yield found, proxy
    else:
        with docker(request.getfixturevalue("engine"), proxy) as found:
            yield found, proxy
    proxy.quiet()


def answer(listener: socket.socket, said: bytes) -> None:
    listener.settimeout(DEADLINE_S)
    with listener.accept()[0] as sock:
        sock.recv(1)
        sock.sendall(said)


ASK = "import socket;s=socket.create_connection(('127.0.0.1',{port}),20);s.sendall(b'x');print(s.recv(99).decode())"


def python_of(place: Place) -> str:
    found: str = place.environment.launcher.facts.python
    return found


@pytest.mark.parametrize("phases", [("setup", "agent", "check")])
def test_every_command_has_its_own_listeners(networked: tuple[Place, Proxy], phases: tuple[Phase, ...]) -> None:
    """The same ports for one command after the other; what connects inside is answered outside, and nobody else listens."""
    place, proxy = networked
    for phase in phases:
        script = f'echo $PHASE; {python_of(place)} -c "{ASK.format(port=3128)}"; {python_of(place)} -c "{ASK.format(port=3129)}"'
        process, sink = place.start("sh", "-c", script, phase=phase)
        assert [sock.getsockname() for sock in proxy.listeners] == [("127.0.0.1", 3128), ("127.0.0.1", 3129)]
        threads = [threading.Thread(target=answer, args=one) for one in zip(proxy.listeners, (b"proxy", b"gateway"), strict=True)]
        for thread in threads:
            thread.start()
        ended = process.wait(DEADLINE_S)
        for thread in threads:
            thread.join(DEADLINE_S)
        assert ended is not None
        assert (ended.code, sink.out.split()) == (0, [phase.encode(), b"proxy", b"gateway"]), sink.err
    assert proxy.phases == list(phases)


def test_the_files_and_variables_of_the_network_are_inside(networked: tuple[Place, Proxy]) -> None:
    """Readable, where the variables say, and closed to writing and replacing."""
    place, _ = networked
    script = (
        'cat "$SSL_CERT_FILE"; wc -c </run/aienv/ca.jks; echo x >/run/aienv/ca.pem; rm -f /run/aienv/ca.pem; mv /run/aienv /run/x;'
        " echo x >/run/aienv/new; echo $http_proxy"
    )
    ended, sink = place.run("sh", "-c", script)
    assert (ended.code, sink.out.split()) == (0, [b"pem", b"2", b"http://127.0.0.1:3128"])
    assert sink.err.count(b"\n") == 4
    assert place.run("cat", "/run/aienv/ca.pem")[1].out == b"pem\n"


def test_once_nobody_serves_it_is_refused_at_once(networked: tuple[Place, Proxy]) -> None:
    """The listeners are nowhere else: closed outside, a connection inside fails, while the command goes on."""
    place, proxy = networked
    script = f'while ! test -e go; do sleep 0.05; done; {python_of(place)} -c "{ASK.format(port=3128)}"'
    process, sink = place.start("sh", "-c", script)
    proxy.quiet()
    (place.context.folder.workspace("app") / "go").touch()
    ended = process.wait(DEADLINE_S)
    assert ended is not None
    assert (ended.code, sink.out) == (1, b"")
    assert b"ConnectionRefusedError" in sink.err


def test_a_command_finds_none_of_our_descriptors(networked: tuple[Place, Proxy]) -> None:
    """Not the channel, not a listener: not among its own, nor to be had from its pid 1."""
    place, _ = networked
    ended, sink = place.run("sh", "-c", "ls -l /proc/self/fd /proc/1/fd; cat /proc/1/environ /proc/net/unix | tr '\\0' '\\n'")
    assert ended.code is not None
    listed = [line.split(b" -> ")[1] for line in sink.out.splitlines() if b" -> " in line]
    assert [name for name in listed if name.startswith((b"socket:", b"/memfd:"))] == []


class Failing(Proxy):
    """A broker that has just died."""

    def listen(self, phase: Phase, sockets: Any) -> None:
        raise EnvironmentFailed("the broker is gone", code="broker")


@pytest.mark.bwrap
def test_without_somebody_who_serves_nothing_starts(bwrap: str) -> None:
    """What the broker refuses ends the command before it begins, and its ports are free again."""
    with local(Failing()) as place:
        with pytest.raises(AienvError, match="broker is gone"):
            place.start("touch", str(Path(place.context.plan.workspace, "made")))
        assert not (place.context.folder.workspace("app") / "made").exists()


@pytest.mark.docker
def test_a_port_that_is_still_taken(engine: Engine) -> None:
    """In a container, commands share the ports: while the previous command's listeners live, the next one cannot start."""

    class Forgetful(Proxy):
        def quiet(self) -> None:
            return

    proxy = Forgetful()
    with docker(engine, proxy) as place:
        assert place.run("true")[0].code == 0
        ended, _ = place.run("true")
        assert ended.failure == "127.0.0.1:3128 inside cannot be had: Address already in use"
        Proxy.quiet(proxy)
        assert place.run("true")[0].code == 0


# --- a prelude that never tells ---------------------------------------------------------------------------------------


@pytest.fixture
def mute(bwrap: str, tmp_path: Path) -> Iterator[tuple[LauncherClient, RunRequest]]:
    """A launcher whose interpreter inside never says a word, and a request for it."""
    (tmp_path / "mute").write_text("#!/bin/sh\nexec sleep 600\n")
    (tmp_path / "mute").chmod(0o755)
    with local() as place:
        ours, theirs = socket.socketpair()
        config = backend._config(place.request, theirs.fileno())
        sources = {**config.sources, "mute": str(tmp_path / "mute")}
        config = replace(config, python="/run/mute", sources=sources, visible=(*config.visible, ("mute", "/run/mute")))
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", launcher.__file__, config.as_word()], pass_fds=(theirs.fileno(),), start_new_session=True
            )
        client = greet(ours, DEADLINE_S)
        confinement = Confinement("agent", place.context.plan.workspace, (), (), (("PATH", "/usr/bin:/bin"),), 1 << 20, "/", ())
        arguments = sandbox_arguments(confinement, client.facts, build_filter(client.facts.machine))
        try:
            yield client, RunRequest(arguments.options, arguments.data, ("true",), stdin=False, tty=None, rlimits={})
        finally:
            client.close()
            process.wait(DEADLINE_S)


PRELUDE = Prelude((), (), Canary("/x", 0, "x"))


@pytest.mark.bwrap
def test_the_launcher_serves_others_meanwhile(mute: tuple[LauncherClient, RunRequest]) -> None:
    """One sandbox does not come up; another command runs beside it, and the first can be stopped."""
    client, request = mute
    silent = client.run(replace(request, prelude=PRELUDE), Collect())
    assert silent.wait_started(DEADLINE_S)
    other = client.run(request, Collect()).wait(DEADLINE_S)
    assert other is not None
    assert other.code == 0
    silent.go()  # for what has told nothing this means nothing
    assert silent.wait_ready(0.3) is None
    silent.stop(0.5)
    ended = silent.wait(DEADLINE_S)
    assert ended is not None
    assert (ended.code, ended.lost) == (None, False)
    assert "what starts first inside ended" in str(ended.failure)


@pytest.mark.bwrap
@pytest.mark.slow
def test_the_launcher_gives_up(mute: tuple[LauncherClient, RunRequest]) -> None:
    """What tells nothing is ended, by the launcher itself."""
    client, request = mute
    ended = client.run(replace(request, prelude=PRELUDE), Collect()).wait(DEADLINE_S)
    assert ended is not None
    assert "nothing came from inside within" in str(ended.failure)

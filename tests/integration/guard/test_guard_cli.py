"""The docker command before the guard: Debian 12's with engine 20.10, Debian 13's with 26.1. Everyday work goes on as without it."""

import json
import os
import pty
import re
import select
import subprocess
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest

from tests import clients, engine
from tests.engine import Engine
from tests.guardian import UNGUARDED, Guardian, guarding

pytestmark = pytest.mark.docker

IMAGE = "aienv-test/busybox:latest"
only_guarded = pytest.mark.skipif(UNGUARDED, reason="the engine itself refuses nothing")


@dataclass(frozen=True)
class Place:
    """A project, and a docker command with a guard before it. ``box``: the name of a container that sleeps and mounts the project."""

    guard: Guardian
    project: Path
    program: Path
    home: Path
    box: str = "box"

    def docker(self, *words: str, code: int | None = 0, stdin: str | bytes | None = None, cwd: Path | None = None) -> str:
        return clients.client(self.guard, (self.program, *words), code=code, stdin=stdin, cwd=cwd or self.project, HOME=str(self.home))

    def remove(self, *names: str) -> None:
        self.docker("rm", "--force", "--volumes", *names, code=None)


@pytest.fixture(scope="module", params=["20.10", "26.1"], ids=["cli20", "cli26"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    found: Engine = request.getfixturevalue("engine" if request.param == "20.10" else "engine26")
    program = clients.require(lambda: clients.docker_cli(request.param))
    assert isinstance(program, Path)
    engine.image(found, "busybox")
    with clients.scratch() as project, guarding(found, project, "--allow-image", IMAGE) as guard:
        (project / "note.txt").write_text("of the project\n")
        here = Place(guard, project, program, tmp_path_factory.mktemp("home"))
        here.docker("run", "--detach", "--name", here.box, "--volume", f"{project}:/project", IMAGE, "sleep", "3600")
        yield here
        if UNGUARDED:
            here.remove(here.box)


# --- run -----------------------------------------------------------------------------------------------------------------------


def test_run_prints_and_ends_with_the_program_s_code(place: Place) -> None:
    assert place.docker("run", "--rm", IMAGE, "echo", "hello") == "hello\n"
    place.docker("run", "--rm", IMAGE, "sh", "-c", "exit 7", code=7)
    assert "no-such" in place.docker("run", "--rm", IMAGE, "no-such-program", code=127)


def test_run_with_input_that_ends(place: Place) -> None:
    """``echo x | docker run -i``: the end of input must arrive, and the output after it come back whole."""
    assert place.docker("run", "--rm", "--interactive", IMAGE, "cat", stdin="x\n") == "x\n"
    many = "0123456789abcde\n" * 65536
    assert place.docker("run", "--rm", "-i", IMAGE, "sh", "-c", "cat; echo end", stdin=many) == many + "end\n"


def test_run_keeps_both_outputs_apart(place: Place) -> None:
    argv = (*place.guard.prefix, str(place.program), "run", "--rm", IMAGE, "sh", "-c", "echo out; echo err >&2")
    done = subprocess.run(argv, env=place.guard.environ(HOME=str(place.home)), capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_run_with_everyday_options(place: Place) -> None:
    options = (
        "--env", "COLOUR=green", "--workdir", "/tmp", "--hostname", "inn", "--user", "1000:1000", "--memory", "64m", "--cpus", "0.5",
        "--pids-limit", "50", "--label", "x=y", "--tmpfs", "/scratch:size=1m", "--read-only", "--cap-drop", "ALL", "--init",
        "--security-opt", "no-new-privileges", "--add-host", "name:10.1.2.3", "--ulimit", "nofile=256", "--shm-size", "8m",
        "--entrypoint", "sh", "--stop-timeout", "1",
    )  # fmt: skip
    script = "echo $COLOUR; pwd; hostname; id -u; cat /etc/hosts; ulimit -n; grep scratch /proc/mounts"
    found = place.docker("run", "--rm", *options, IMAGE, "-c", script)
    assert found.splitlines()[:4] == ["green", "/tmp", "inn", "1000"]
    assert "10.1.2.3\tname" in found
    assert "\n256\n" in found
    assert "/scratch tmpfs" in found


def test_run_detached_then_wait(place: Place) -> None:
    place.docker("run", "--detach", "--name", "later", IMAGE, "sh", "-c", "sleep 1; exit 3")
    assert place.docker("wait", "later") == "3\n"
    place.docker("rm", "later")


# --- the project ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["volume", "mount", "relative"])
def test_the_project_can_be_mounted(place: Place, form: str) -> None:
    (place.project / "below").mkdir(exist_ok=True)
    (place.project / "below/file").write_text("deep\n")
    words = {
        "volume": ("--volume", f"{place.project}/below:/x"),
        "mount": ("--mount", f"type=bind,source={place.project}/below,target=/x"),
        "relative": ("--volume", f"{place.project}/./below/../below:/x:ro"),
    }[form]
    assert place.docker("run", "--rm", *words, IMAGE, "cat", "/x/file") == "deep\n"


def test_what_a_container_writes_is_in_the_project(place: Place) -> None:
    place.docker("exec", place.box, "sh", "-c", "echo back >/project/written")
    assert (place.project / "written").read_text() == "back\n"


def test_a_missing_source_is_made(place: Place) -> None:
    place.docker("run", "--rm", "--volume", f"{place.project}/made/new:/x", IMAGE, "touch", "/x/file")
    assert (place.project / "made/new/file").exists()


@only_guarded
@pytest.mark.parametrize("words", [
    pytest.param(("--volume", "/etc:/x"), id="outside"),
    pytest.param(("--privileged",), id="privileged"),
    pytest.param(("--network", "host"), id="host-network"),
    pytest.param(("--pid", "host"), id="host-processes"),
    pytest.param(("--cap-add", "SYS_ADMIN"), id="capability"),
    pytest.param(("--device", "/dev/null"), id="device"),
    pytest.param(("--security-opt", "seccomp=unconfined"), id="unconfined"),
    pytest.param(("--volumes-from", "someone"), id="volumes-from"),
])  # fmt: skip
def test_what_escapes_is_refused_in_words(place: Place, words: tuple[str, ...]) -> None:
    assert "aienv guard: " in place.docker("run", "--rm", *words, IMAGE, "true", code=125) or words[0] == "--volumes-from"


@only_guarded
def test_a_link_out_of_the_project_is_refused(place: Place) -> None:
    (place.project / "link").symlink_to("/etc")
    assert "aienv guard: " in place.docker("run", "--rm", "--volume", f"{place.project}/link:/x", IMAGE, "true", code=125)


# --- exec, attach, terminals ---------------------------------------------------------------------------------------------------


def test_exec(place: Place) -> None:
    assert place.docker("exec", place.box, "cat", "/project/note.txt") == "of the project\n"
    place.docker("exec", place.box, "sh", "-c", "exit 9", code=9)
    assert place.docker("exec", "--interactive", place.box, "sh", "-c", "cat; echo end", stdin="in\n") == "in\nend\n"
    options = ("--env", "A=b", "--workdir", "/tmp", "--user", "7")
    assert place.docker("exec", *options, place.box, "sh", "-c", "echo $A; pwd; id -u") == "b\n/tmp\n7\n"
    place.docker("exec", "--detach", place.box, "touch", "/tmp/detached")
    place.docker("exec", place.box, "sh", "-c", "until [ -e /tmp/detached ]; do sleep 0.1; done")


def test_exec_with_a_terminal(place: Place) -> None:
    """``docker exec -it``: a terminal inside, its size follows, ^C arrives, and the exit code comes back."""
    argv = [*place.guard.prefix, str(place.program), "exec", "--interactive", "--tty", place.box, "sh"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(argv[0], argv, place.guard.environ(HOME=str(place.home), TERM="xterm"))
    import fcntl
    import struct
    import termios

    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 91, 0, 0))
    said = b""

    def until(pattern: bytes) -> None:
        nonlocal said
        limit = time.monotonic() + 30
        while not re.search(pattern, said):
            assert time.monotonic() < limit, said
            if select.select([terminal], [], [], 1)[0]:
                try:
                    said += os.read(terminal, 65536)
                except OSError:
                    return

    until(b"[#$] ")
    os.write(terminal, b"test -t 0 && echo ter''minal\n")
    until(b"terminal")
    os.write(terminal, b"until stty size | grep '33 91'; do sleep 0.1; done; echo si''zed\n")
    until(b"sized")
    os.write(terminal, b"sleep 100\n")
    time.sleep(0.3)
    os.write(terminal, b"\x03")
    os.write(terminal, b"echo inter''rupted; exit 5\n")
    until(b"interrupted")
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 5


def test_attach(place: Place) -> None:
    """Input stays open until the answer has come: the daemon closes an attached client's output with its input."""
    place.docker("run", "--detach", "--interactive", "--name", "listener", IMAGE, "sh", "-c", "read word; echo got $word; exit 4")
    argv = (*place.guard.prefix, str(place.program), "attach", "listener")
    environ = place.guard.environ(HOME=str(place.home))
    with subprocess.Popen(argv, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as attached:
        assert attached.stdin is not None
        assert attached.stdout is not None
        attached.stdin.write(b"it\n")
        attached.stdin.flush()
        assert attached.stdout.readline() == b"got it\n"
    assert attached.returncode == 4
    place.docker("rm", "listener")


# --- files, logs, what runs ----------------------------------------------------------------------------------------------------


def test_cp(place: Place, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/file").write_bytes(os.urandom(300_000))
    place.docker("cp", f"{tmp_path}/in", f"{place.box}:/tmp/copied")
    place.docker("cp", f"{place.box}:/tmp/copied/file", f"{tmp_path}/out")
    assert (tmp_path / "out").read_bytes() == (tmp_path / "in/file").read_bytes()
    place.docker("cp", "-", f"{place.box}:/tmp", stdin=archive({"streamed": b"by tar"}))
    assert place.docker("exec", place.box, "cat", "/tmp/streamed") == "by tar"
    assert "/no/such" in place.docker("cp", f"{place.box}:/no/such", str(tmp_path), code=1)


def archive(files: dict[str, bytes]) -> bytes:
    stream = BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, BytesIO(content))
    return stream.getvalue()


def test_logs(place: Place) -> None:
    script = "for i in 1 2 3; do echo line $i; sleep 0.3; done"
    place.docker("run", "--detach", "--name", "talker", IMAGE, "sh", "-c", script)
    assert place.docker("logs", "--follow", "talker") == "line 1\nline 2\nline 3\n"
    assert place.docker("logs", "--tail", "1", "talker") == "line 3\n"
    assert re.match(r"20\d\d-.*Z line 1\n", place.docker("logs", "--timestamps", "talker"))
    place.docker("rm", "talker")


def test_ps_inspect_top_stats(place: Place) -> None:
    assert place.box in place.docker("ps", "--format", "{{.Names}}").split()
    assert place.docker("ps", "--all", "--quiet", "--filter", f"name={place.box}").strip()
    (found,) = json.loads(place.docker("inspect", place.box))
    assert found["State"]["Running"] is True
    assert found["Config"]["Cmd"] == ["sleep", "3600"]
    assert [mount["Source"] for mount in found["Mounts"]] == [str(place.project)]
    found = place.docker("top", place.box, code=None)
    assert "sleep 3600" in found or "could not be listed" in found or '"ps": executable file' in found  # engine 26.1's tree has no ps
    assert place.box in place.docker("stats", "--no-stream", "--format", "{{.Name}}")
    assert "No such" in place.docker("inspect", "no-such-thing", code=1)
    assert place.docker("diff", place.box) is not None


def test_events(place: Place) -> None:
    since = str(int(time.time()) - 1)
    place.docker("run", "--rm", "--name", "noticed", IMAGE, "true")
    span = ("--since", since, "--until", str(int(time.time()) + 1))
    found = place.docker("events", *span, "--format", "{{.Type}} {{.Action}} {{.Actor.Attributes.name}}")
    assert "container start noticed" in found.splitlines()
    assert "container die noticed" in found.splitlines()


def test_version_and_info(place: Place) -> None:
    assert place.docker("version", "--format", "{{.Server.Version}}").strip()
    assert place.docker("info", "--format", "{{.OSType}}").strip() == "linux"
    assert IMAGE in place.docker("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    assert place.docker("system", "df")


def test_life(place: Place) -> None:
    place.docker("create", "--name", "life", IMAGE, "sleep", "600")
    for verb in ("start", "pause", "unpause", "restart --time 0", "update --memory 80m --memory-swap 80m", "kill"):
        place.docker(*verb.split(), "life")
    place.docker("rename", "life", "afterlife")
    place.docker("start", "afterlife")
    place.docker("stop", "--time", "0", "afterlife")
    place.docker("rm", "afterlife")
    assert "No such container" in place.docker("start", "afterlife", code=1)


# --- build, images, networks, volumes, ports -----------------------------------------------------------------------------------


def test_build(place: Place) -> None:
    context = place.project / "context"
    (context / "sub").mkdir(parents=True, exist_ok=True)
    (context / "sub/file").write_text("built in\n")
    first = f"ARG BASE={IMAGE}\nFROM $BASE AS first\nCOPY sub /sub\nRUN cat /sub/file >/made\n"
    (context / "Dockerfile").write_text(f"{first}FROM {IMAGE}\nCOPY --from=first /made /made\nLABEL a=b\nCMD cat /made\n")
    (context / "other.Dockerfile").write_text(f"FROM {IMAGE}\nARG WORD\nENV WORD=$WORD\nCMD echo $WORD\n")
    place.docker("build", "--tag", "built:1", ".", cwd=context)
    assert place.docker("run", "--rm", "built:1") == "built in\n"
    place.docker("build", "-q", "-t", "built:2", "-f", "other.Dockerfile", "--build-arg", "WORD=said", ".", cwd=context)
    assert place.docker("run", "--rm", "built:2") == "said\n"
    place.docker("build", "-t", "built:3", "-", stdin=f"FROM {IMAGE}\nCMD echo piped\n")
    assert place.docker("run", "--rm", "built:3") == "piped\n"
    place.docker("tag", "built:1", "built:again")
    assert place.docker("run", "--rm", "built:again") == "built in\n"
    assert place.docker("history", "built:1")
    place.docker("rmi", "built:1", "built:2", "built:3", "built:again")
    assert "RUN false" in place.docker("build", "-", stdin=f"FROM {IMAGE}\nRUN false\n", code=1)


def test_commit_and_export(place: Place) -> None:
    place.docker("run", "--name", "worked", IMAGE, "touch", "/tmp/trace")
    place.docker("commit", "worked", "worked:1")
    assert place.docker("run", "--rm", "worked:1", "ls", "/tmp") == "trace\n"
    place.docker("export", "--output", f"{place.home}/export.tar", "worked")
    with tarfile.open(place.home / "export.tar") as tar:
        assert "tmp/trace" in tar.getnames()
    place.docker("rm", "worked")
    place.docker("rmi", "worked:1")


def test_save_and_load(place: Place) -> None:
    place.docker("build", "-t", "saved:1", "-", stdin=f"FROM {IMAGE}\nCMD echo saved\n")
    place.docker("save", "--output", f"{place.home}/saved.tar", "saved:1")
    place.docker("rmi", "saved:1")
    place.docker("load", "--input", f"{place.home}/saved.tar")
    assert place.docker("run", "--rm", "saved:1") == "saved\n"
    place.docker("rmi", "saved:1")


def test_networks(place: Place) -> None:
    """Containers of one network reach each other by name and alias; others do not."""
    place.docker("network", "create", "party")
    joined = ("--name", "host-of-it", "--network", "party", "--network-alias", "landlord")
    place.docker("run", "-d", *joined, IMAGE, "httpd", "-f", "-h", "/bin")
    for name in ("host-of-it", "landlord"):
        assert place.docker("run", "--rm", "--network", "party", IMAGE, "wget", "-q", "-O", "/dev/null", f"http://{name}/busybox") == ""
    apart = "wget -T 3 -q -O /dev/null http://host-of-it/busybox 2>/dev/null || echo out of reach"
    assert "out of reach\n" in place.docker("run", "--rm", IMAGE, "sh", "-c", apart)
    place.docker("network", "connect", "--alias", "guest", "party", place.box)
    place.docker("exec", place.box, "wget", "-q", "-O", "/dev/null", "http://landlord/busybox")
    (found,) = json.loads(place.docker("network", "inspect", "party"))
    assert {member["Name"] for member in found["Containers"].values()} == {"host-of-it", place.box}
    place.docker("network", "disconnect", "party", place.box)
    assert "party" in place.docker("network", "ls", "--format", "{{.Name}}").split()
    place.remove("host-of-it")
    place.docker("network", "rm", "party")


def test_volumes(place: Place) -> None:
    place.docker("volume", "create", "kept")
    place.docker("run", "--rm", "--volume", "kept:/v", IMAGE, "sh", "-c", "echo 1 >/v/x")
    assert place.docker("run", "--rm", "--mount", "type=volume,source=kept,target=/v,readonly", IMAGE, "cat", "/v/x") == "1\n"
    assert "kept" in place.docker("volume", "ls", "--quiet").split()
    assert json.loads(place.docker("volume", "inspect", "kept"))[0]["Name"] == "kept"
    place.docker("volume", "rm", "kept")
    assert "kept" not in place.docker("volume", "ls", "--quiet").split()


def test_ports(place: Place) -> None:
    """What a container publishes answers on this side's own 127.0.0.1, and ``docker port`` says where."""
    place.docker("run", "-d", "--name", "server", "--publish", "80", IMAGE, "sh", "-c", "echo served >/tmp/index.html; httpd -f -h /tmp")
    address = place.docker("port", "server", "80").split()[0]
    assert clients.fetch(place.guard, address.rpartition(":")[2]) == "served\n"
    assert "80/tcp" in place.docker("ps", "--filter", "name=server", "--format", "{{.Ports}}")
    place.remove("server")


def test_prune_takes_only_own(place: Place) -> None:
    place.docker("run", "--name", "done", IMAGE, "true")
    assert place.docker("container", "prune", "--force")
    assert place.box in place.docker("ps", "--format", "{{.Names}}").split()
    assert "done" not in place.docker("ps", "-a", "--format", "{{.Names}}").split()


def test_buildx_falls_back(place: Place, tmp_path: Path) -> None:
    """Where BuildKit's plugin is installed, ``docker build`` works as well: inside, DOCKER_BUILDKIT=0 stands."""
    environ = clients.plugins(tmp_path)
    text = f"FROM {IMAGE}\nCMD echo classic\n"
    clients.client(place.guard, (place.program, "build", "-t", "fallback:1", "-"), stdin=text, cwd=place.project, **environ)
    assert place.docker("run", "--rm", "fallback:1") == "classic\n"
    place.docker("rmi", "fallback:1")

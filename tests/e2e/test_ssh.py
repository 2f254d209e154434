"""git over ssh from inside: the user's keys sign for the one host that ``git.ssh`` names, and stay outside."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.e2e.product import Aienv, git, make_repository
from tests.integration.secrets.test_ssh_agent import SSHD, call, new_key, running, until
from tests.internet import Internet

HOST, ADDRESS = "ssh.example.net", "93.184.217.40"
pytestmark = [
    pytest.mark.bwrap,
    pytest.mark.skipif(SSHD is None or shutil.which("ssh-agent") is None, reason="no ssh server: apt-get install openssh-server"),
]


@dataclass(frozen=True)
class Forge:
    """``product`` has an ssh agent with one key, and knows the host; ``repository`` is the path on the server."""

    product: Aienv
    repository: Path
    key: Path


@contextmanager
def machine(there: int) -> Iterator[tuple[str, ...]]:
    """One more machine behind the servers, with ``ADDRESS``; words in front of a command that run it on that machine."""
    holder = subprocess.Popen(["unshare", "--net", "--", "setpriv", "--pdeathsig", "KILL", "--", "sleep", "infinity"])
    try:
        deadline = time.monotonic() + 20
        while not Path(f"/proc/{holder.pid}/cmdline").read_bytes().startswith(b"sleep\0"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        net = ("nsenter", "--target", str(holder.pid), "--net", "--")
        outside = f"ip link add forge0 type veth peer name forge1 netns {holder.pid} && ip link set forge0 up"
        outside += f" && ip route add {ADDRESS}/32 dev forge0"
        inside = f"ip addr add {ADDRESS}/32 dev forge1 && ip link set forge1 up && ip route add default dev forge1"
        outside += " && echo 1 > /proc/sys/net/ipv4/conf/forge0/proxy_arp"
        call("nsenter", "--target", str(there), "--net", "--", "sh", "-ec", outside)
        call(*net, "sh", "-ec", inside)
        yield net
    finally:
        holder.kill()  # the wire goes with its end
        holder.wait()


@pytest.fixture
def forge(tmp_path: Path, internet: Internet, local: Aienv) -> Iterator[Forge]:
    """An ssh server in the internet, and a user who has logged in there before."""
    assert SSHD is not None
    Path("/run/sshd").mkdir(exist_ok=True)
    for name in ("host", "mine"):
        new_key(tmp_path, name)
    bare = tmp_path / "private.git"
    git("clone", "-q", "--bare", str(make_repository(tmp_path / "private", {"secret.txt": "from the forge\n"})), str(bare), cwd=tmp_path)
    config = tmp_path / "sshd_config"
    config.write_text(
        f"Port 22\nListenAddress {ADDRESS}\nHostKey {tmp_path}/host\nAuthorizedKeysFile {tmp_path}/mine.pub\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nPermitRootLogin prohibit-password\nPidFile none\n"
    )
    hosts = internet.folder / "hosts"
    before = hosts.read_text()
    user = Path(local.environ["HOME"])
    (user / ".ssh").mkdir(parents=True, exist_ok=True)
    (user / ".ssh" / "known_hosts").write_text(f"{HOST} {(tmp_path / 'host.pub').read_text()}")
    with ExitStack() as undo:
        net = undo.enter_context(machine(internet.there))
        undo.callback(hosts.write_text, before)
        hosts.write_text(f"{before}{ADDRESS}\t{HOST}\n")
        undo.enter_context(running(*net, SSHD, "-D", "-f", str(config)))
        undo.enter_context(running("ssh-agent", "-D", "-a", str(tmp_path / "agent")))
        until(tmp_path / "agent")
        call("ssh-add", "-q", str(tmp_path / "mine"), SSH_AUTH_SOCK=str(tmp_path / "agent"))
        key = (tmp_path / "mine").rename(tmp_path / "mine-away")
        environ = {**local.environ, "SSH_AUTH_SOCK": str(tmp_path / "agent")}
        yield Forge(internet.around(replace(local, environ=environ)), bare, key)


def test_git_over_ssh(forge: Forge) -> None:
    """Clone and push work with the agent's socket; the keys cannot be listed with comments, added to, or used for anything else."""
    url = f"ssh://root@{HOST}{forge.repository}"
    script = f"""
        set -e
        git clone -q {url} got && cat got/secret.txt
        cd got && git checkout -q -b aienv/x && git commit -q --allow-empty -m more && git push -q origin aienv/x
        ! ssh-add -D 2>/dev/null
        echo data > /tmp/data; ! ssh-keygen -q -Y sign -f {forge.key.name}.pub -n file /tmp/data 2>/dev/null
        ls -l $SSH_AUTH_SOCK
    """
    done = forge.product.run("-q", "--git-ssh", HOST, "--", "sh", "-c", script)
    assert done.code == 0, done.errors
    assert done.text.startswith("from the forge\n")
    assert "aienv/x" in git("branch", "--list", "aienv/x", cwd=forge.repository)
    report = forge.product("show", "last", "--json").document["report"]
    assert ["ssh", HOST] in [row[:2] for row in report["network"]["credentials"]]


def test_without_it_there_is_no_socket(forge: Forge) -> None:
    """Off by default: neither the variable nor the socket nor the way to the host."""
    script = f'test -z "$SSH_AUTH_SOCK" && test ! -e /run/ssh-agent.sock && ! git ls-remote ssh://root@{HOST}/x 2>&1'
    done = forge.product.run("-q", "--", "sh", "-c", script)
    assert done.code == 0, done.errors


@pytest.mark.parametrize(("change", "words"), [("agent", "SSH_AUTH_SOCK is not set"), ("known", f"no key of {HOST} is known")])
def test_what_it_needs(forge: Forge, change: str, words: str) -> None:
    """Without an agent, or for a host that the user has never met, nothing starts."""
    environ = dict(forge.product.environ)
    if change == "agent":
        environ.pop("SSH_AUTH_SOCK")
    else:
        (Path(environ["HOME"]) / ".ssh" / "known_hosts").unlink()
    done = replace(forge.product, environ=environ).run("--git-ssh", HOST, "--", "true")
    assert (done.code, words in done.errors) == (2, True), done.errors
    assert forge.product.runs() == []


def test_the_host_itself_is_checked(forge: Forge, tmp_path: Path) -> None:
    """A host with another key than the user knows gets no signature."""
    new_key(tmp_path, "impostor")
    known = Path(forge.product.environ["HOME"]) / ".ssh" / "known_hosts"
    known.write_text(f"{HOST} {(tmp_path / 'impostor.pub').read_text()}")
    script = f"""
        GIT_SSH_COMMAND=$(echo "$GIT_SSH_COMMAND" | sed 's#^ssh #ssh -o StrictHostKeyChecking=no -o GlobalKnownHostsFile=/dev/null #')
        export GIT_SSH_COMMAND
        ! git clone -q ssh://root@{HOST}{forge.repository} got 2>&1
    """
    done = forge.product.run("-q", "--git-ssh", HOST, "--", "sh", "-c", script)
    assert done.code == 0, done.errors
    assert "Permission denied" in done.text

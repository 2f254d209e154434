"""A small internet for tests: two network namespaces and a wire, real servers with public-looking addresses, names and TLS.

In the namespace *here* stands the user's machine: ``internet.prefix`` in front of a command runs it there, with a resolver, hosts
file and trusted certificates of its own. In the namespace *there* stand all servers: web servers (HTTP and HTTPS), the resolver,
a metadata service, and ports that repeat what they hear. Here too something listens, on loopback and on the machine's own address:
what a sandbox must not reach. Nothing leads out of the two.

    def test_it(internet: Internet, local: Aienv) -> None:
        mark = internet.mark()
        internet.around(local).run("--allow-host", "origin.example.org", "--", "curl", "https://origin.example.org/echo")
        assert [event["target"] for event in internet.events(mark, "http")] == ["/echo"]
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.e2e.product import Aienv
from tests.engine import CannotHave, alive, start_time

START_S = 30.0
SERVERS = Path(__file__).with_name("internet_servers.py")

HERE, HERE6 = "93.184.215.2", "2606:2800:21f::2"  # the user's machine: public-looking, and nevertheless its own
THERE, THERE6 = "93.184.215.1", "2606:2800:21f::1"
RESOLVER = "93.184.215.53"
METADATA = "169.254.169.254"

# Every server's name and addresses. All are one program; its answers and its log tell which address was reached.
SERVED: Mapping[str, tuple[str, ...]] = {
    "origin.example.org": ("93.184.215.14", "2606:2800:21f::14"),
    "other.example.org": ("93.184.215.15", "2606:2800:21f::15"),
    "v6.example.org": ("2606:2800:21f::16",),
    "untrusted.example.org": ("93.184.215.17",),  # its certificate is signed by nobody
    "evil.example.net": ("93.184.216.66", "2606:2800:21f:1::66"),
    "metadata.example.org": (METADATA,),
    "private.example.org": ("10.9.8.7", "fd00:9:8::7"),
    "shared.example.org": ("100.64.0.9",),
    "documentation.example.org": ("203.0.113.80",),
    "link-local.example.org": ("169.254.7.7",),
    "resolver.example.org": (RESOLVER,),
}
# Names that lead where no name should.
BAD_NAMES: Mapping[str, Sequence[str | list[str]]] = {
    "loopback.example.org": ("127.0.0.1", "::1"),
    "loopback2.example.org": ("127.8.8.8",),
    "zero.example.org": ("0.0.0.0", "::"),
    "self.example.org": (HERE, HERE6),
    "mapped.example.org": ("::ffff:127.0.0.1",),
    "mapped-metadata.example.org": ("::ffff:169.254.169.254",),
    "nat64.example.org": ("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe"),
    "six-to-four.example.org": ("2002:7f00:1::1",),
    "broadcast.example.org": ("255.255.255.255",),
    "multicast.example.org": ("224.0.0.1", "ff02::1"),
    "mixed.example.org": ("93.184.215.14", "127.0.0.1"),  # one good, one not
    "rebind.example.org": (["93.184.215.14"], ["127.0.0.1"]),  # good when asked first, then not
    "rebind-back.example.org": (["127.0.0.1"], ["93.184.215.14"]),
}
WILDCARDS: Mapping[str, tuple[str, ...]] = {"*.wild.example.org": ("93.184.215.18", "2606:2800:21f::18")}
HTTP_PORTS, TLS_PORTS = (80, 8080), (443, 8443)
GREETINGS: Mapping[str, str] = {"22": "SSH-2.0-small_internet\r\n", "25": "220 small-internet\r\n", "7000": ""}
UNIX_NAME = "@aienv-small-internet"
HOST_PORT = 8080  # on loopback, here


@dataclass(frozen=True)
class Internet:
    """``ca``: the authority that signed every server's certificate (PEM). ``files``, ``git``: folders that are served below ``/files/``
    and, to git, below ``/git/NAME.git`` and ``/private-git/NAME.git``: this asks for the password that the file ``git_password`` holds.
    ``unix``: sockets of the machine here. ``there``: a process in the servers' namespace, for tests that bring a server of their own."""

    folder: Path
    here: int
    ca: Path
    files: Path
    git: Path
    git_password: Path
    unix: tuple[str, ...]
    there: int

    @property
    def prefix(self) -> tuple[str, ...]:
        """Words in front of a command that run it here, in the folder where it was started. Needs root, as which the command begins."""
        enter = f'd=$(pwd -P); exec nsenter --target {self.here} --net --mount --wdns="$d" -- "$@"'
        return ("sh", "-c", enter, "sh")

    def around(self, product: Aienv) -> Aienv:
        """The product, started here."""
        return replace(product, prefix=(*self.prefix, *product.prefix))

    def mark(self) -> int:
        """How much has been logged by now."""
        return (self.folder / "log").stat().st_size

    def events(self, mark: int = 0, *kinds: str) -> list[dict[str, Any]]:
        """What reached any server since ``mark``: kinds ``dns``, ``tcp``, ``udp``, ``tls``, ``http``, ``unix``."""
        with open(self.folder / "log", "rb") as log:
            log.seek(mark)
            events = [json.loads(line) for line in log.read().splitlines()]
        return [event for event in events if not kinds or event["kind"] in kinds]


@contextlib.contextmanager
def running() -> Iterator[Internet]:
    """A small internet for as long as the block runs; it also ends when this process is killed.

    Raises:
        CannotHave: this machine cannot provide it.
    """
    if os.geteuid() != 0:
        raise CannotHave("an internet of one's own needs root: run the tests as root")
    for program in ("ip", "unshare", "nsenter", "setpriv", "mount", "openssl"):
        if shutil.which(program) is None:
            raise CannotHave(f"{program} is not installed")
    with contextlib.ExitStack() as undo:
        sweep()
        folder = Path(tempfile.mkdtemp(prefix="aienv-internet-", dir="/tmp"))
        undo.callback(shutil.rmtree, folder)
        folder.chmod(0o755)
        (folder / "owner").write_text(f"{os.getpid()} {start_time(os.getpid())}")
        (folder / "log").touch()
        (folder / "git-password").write_text("password-of-the-git-server")
        for name in ("files", "git"):
            (folder / name).mkdir()
        _certificates(folder)
        here, there = (_hold(undo, words) for words in (("--net", "--mount", "--propagation", "private"), ("--net",)))
        _wire(here, there)
        _configure_here(folder, here)
        unix = (UNIX_NAME, str(folder / "host.sock"))
        _serve(undo, folder, there, {"place": "there", "names_at": [RESOLVER], "udp": [[THERE, 123], [METADATA, 53], [THERE6, 123]]})
        # On loopback a resolver too: many machines have one there.
        _serve(undo, folder, here, {"place": "here", "names_at": ["127.0.0.53", "127.0.0.1", "::1"], "udp": [[HERE, 123]], "unix": unix})
        yield Internet(folder, here, folder / "trusted" / "ca.pem", folder / "files", folder / "git", folder / "git-password", unix, there)


def sweep() -> None:
    """Remove folders of test runs that were killed; their processes ended with them."""
    for file in Path("/tmp").glob("aienv-internet-*/owner"):
        with contextlib.suppress(OSError, ValueError):
            pid, started = file.read_text().split()
            if not alive(int(pid), started):
                shutil.rmtree(file.parent)


def _certificates(folder: Path) -> None:
    """An authority; a certificate for every name; one that nobody signed; and the folder of trusted ones that a machine has."""
    names = ",".join(f"DNS:{name}" for name in (*SERVED, *BAD_NAMES, *WILDCARDS))
    authority = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")
    leaf = (f"subjectAltName={names}", "basicConstraints=CA:FALSE", "extendedKeyUsage=serverAuth")
    trusted = folder / "trusted"
    trusted.mkdir()

    def certificate(key: Path, file: Path, name: str, extensions: Sequence[str], *signer: str) -> None:
        words = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "20", "-subj", f"/CN={name}")
        added = [word for extension in extensions for word in ("-addext", extension)]
        _run("openssl", "req", "-x509", *words, *added, "-keyout", str(key), "-out", str(file), *signer)

    certificate(folder / "ca.key", trusted / "ca.pem", "Small internet", authority)
    certificate(folder / "server.key", folder / "server.pem", "server", leaf, "-CA", f"{trusted}/ca.pem", "-CAkey", f"{folder}/ca.key")
    certificate(folder / "unknown.key", folder / "unknown.pem", "server", leaf)
    shutil.copy(trusted / "ca.pem", trusted / "ca-certificates.crt")
    _run("openssl", "rehash", str(trusted))


def _hold(undo: contextlib.ExitStack, namespaces: Sequence[str]) -> int:
    """A process that sleeps in namespaces of its own."""
    holder = subprocess.Popen(
        ["unshare", *namespaces, "--", "setpriv", "--pdeathsig", "KILL", "--", "sleep", "infinity"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    undo.callback(_end, holder)
    deadline = time.monotonic() + START_S
    while not Path(f"/proc/{holder.pid}/cmdline").read_bytes().startswith(b"sleep\0"):
        if holder.poll() is not None or time.monotonic() > deadline:
            raise CannotHave("no network namespace can be made here")
        time.sleep(0.01)
    return holder.pid


def _wire(here: int, there: int) -> None:
    """A pair of interfaces, one end in each; all servers' addresses there, and a way to each of them here."""
    served = [address for addresses in (*SERVED.values(), *WILDCARDS.values()) for address in addresses]
    lines = [
        "ip link set lo up",
        f"ip link add wire0 type veth peer name wire1 netns {there}",
        f"ip addr add {HERE}/24 dev wire0",
        f"ip -6 addr add {HERE6}/64 dev wire0 nodad",
        "ip link set wire0 up",
    ]
    _run("nsenter", "--target", str(here), "--net", "sh", "-euc", "\n".join(lines))
    lines = [
        "ip link set lo up",
        f"ip addr add {THERE}/24 dev wire1",
        f"ip -6 addr add {THERE6}/64 dev wire1 nodad",
        "ip link set wire1 up",
        # Whatever else is asked for is answered with "unreachable", not with silence.
        "echo 1 > /proc/sys/net/ipv4/ip_forward",
        "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
        "ip route add unreachable default",
        "ip -6 route add unreachable default metric 1",
        *(f"ip -6 addr add {address}/128 dev lo nodad" if ":" in address else f"ip addr add {address}/32 dev lo" for address in served),
    ]
    _run("nsenter", "--target", str(there), "--net", "sh", "-euc", "\n".join(lines))
    # Addresses within the wire's own networks are not neighbours but behind the other end.
    near = [f"ip route add {address}/32 via {THERE}" for address in served if ":" not in address]
    near += [f"ip -6 route add {address}/128 via {THERE6}" for address in served if ":" in address]
    lines = [*near, f"ip route add default via {THERE}", f"ip -6 route add default via {THERE6}"]
    _run("nsenter", "--target", str(here), "--net", "sh", "-euc", "\n".join(lines))


def _configure_here(folder: Path, here: int) -> None:
    """Files that a machine has for names and trust, bound over this one's."""
    files = {
        "resolv.conf": f"nameserver {RESOLVER}\noptions timeout:3 attempts:1\n",
        "hosts": "127.0.0.1\tlocalhost\n::1\tlocalhost\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    }
    lines = [f"mount --bind {folder}/trusted /etc/ssl/certs"]
    for name, text in files.items():
        (folder / name).write_text(text)
        lines.append(f"[ ! -e /etc/{name} ] || mount --bind {folder}/{name} /etc/{name}")
    _run("nsenter", "--target", str(here), "--mount", "sh", "-euc", "\n".join(lines))


def _serve(undo: contextlib.ExitStack, folder: Path, namespace: int, config: Mapping[str, Any]) -> None:
    owners = {address: name for name, addresses in (*SERVED.items(), *WILDCARDS.items()) for address in addresses}
    owners |= {HERE: "self", HERE6: "self", "127.0.0.1": "loopback", "::1": "loopback"}
    zone = {**SERVED, **BAD_NAMES, **WILDCARDS}
    everything = {
        "log": str(folder / "log"), "owners": owners, "zone": zone,
        "certificate": f"{folder}/server.pem", "key": f"{folder}/server.key", "unknown_certificate": f"{folder}/unknown.pem",
        "unknown_key": f"{folder}/unknown.key", "unknown_name": "untrusted.example.org", "http_ports": HTTP_PORTS, "tls_ports": TLS_PORTS,
        "line_ports": list(GREETINGS), "greetings": GREETINGS, "files": str(folder / "files"), "git": str(folder / "git"),
        "git_password": str(folder / "git-password"), "unix": (), **config,
    }  # fmt: skip
    with open(folder / f"servers-{config['place']}.log", "wb") as errors:
        process = subprocess.Popen(
            ["nsenter", "--target", str(namespace), "--net", "--", "setpriv", "--pdeathsig", "KILL", "--",
             sys.executable, "-I", "-S", str(SERVERS), json.dumps(everything)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, start_new_session=True, env={"PATH": os.environ["PATH"]},
        )  # fmt: skip
    undo.callback(_end, process)
    assert process.stdout is not None
    with contextlib.closing(process.stdout):
        if process.stdout.readline() != b"ready\n":
            raise CannotHave(f"the servers did not start: {(folder / errors.name).read_text()[-800:]}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(START_S)


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=START_S, check=False)
    if done.returncode != 0:
        raise CannotHave(f"{' '.join(argv[:6])[:200]} failed ({done.returncode}): {done.stderr.strip()[-400:]}")

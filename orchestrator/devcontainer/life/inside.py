"""Commands in a container, through ``docker exec``: how they are started, what is looked up, what is prepared once.

Values of variables never stand on a command line of this machine, where everybody sees them, nor in the environment of ``docker``
itself, where a container's LD_PRELOAD would be this machine's: they go through a file in memory.
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.devcontainer import bounded
from orchestrator.devcontainer.engine import ASK_S, MAX_SAID, Docker, container_environ
from orchestrator.devcontainer.jsonc import Object
from orchestrator.devcontainer.life.hooks import ONCE, Hook
from orchestrator.devcontainer.life.probing import parse_environ, probe_argv
from orchestrator.devcontainer.variables import environ_of
from orchestrator.errors import EnvironmentFailed

PROBE_S = 10.0
MAX_LINE = 32 << 10  # docker reads lines of twice that from a file of variables
MAX_SAYS = 4 << 20  # bytes
MARKERS = ".devcontainer"

_LOOK = r"""
line=
if command -v getent >/dev/null 2>&1; then line=$(getent passwd "$1"); fi
if [ -z "$line" ] && [ -r /etc/passwd ]; then
    while IFS= read -r one || [ -n "$one" ]; do
        name=${one%%:*}; rest=${one#*:*:}
        if [ "$name" = "$1" ] || [ "${rest%%:*}" = "$1" ]; then line=$one; break; fi
    done </etc/passwd
fi
printf '%s\0' "$HOME" "$(id -u 2>/dev/null)" "$line" "${SHELL-}"
home=${line%:*}; home=${home##*:}; home=${home:-$HOME}
shift
for one; do printf '%s\0' "$(cat "$home/.devcontainer/.${one}Marker" 2>/dev/null)"; done
"""

# Once for a container: programs that start a login of their own, such as sshd, see what the image and containerEnv set.
_PATCH = r"""
mkdir -p /var/devcontainer || exit 0
if (set -C; : >/var/devcontainer/.patchEtcEnvironmentMarker) 2>/dev/null; then cat >>/etc/environment; fi
if (set -C; : >/var/devcontainer/.patchEtcProfileMarker) 2>/dev/null && [ -f /etc/profile ]; then
    sed -i -E 's/((^|[[:space:]])PATH=)([^$]*)$/\1${PATH:-\3}/g' /etc/profile
fi
"""

_MARK = r"""mkdir -p "$1" || exit; cd "$1" || exit; shift
while [ $# -gt 1 ]; do printf '%s\n' "$2" >".$1Marker" || exit; shift 2; done"""


@dataclass(frozen=True, slots=True)
class User:
    """``name``: as ``-u`` takes it. ``shell``, ``home``: in the container."""

    name: str
    uid: str
    home: str
    shell: str

    @property
    def is_root(self) -> bool:
        return self.uid == "0"


@dataclass(frozen=True, slots=True)
class Exec:
    """A command that is ready to be started: ``words`` for the machine, ``variables`` for a file that ``fd`` will be."""

    words: tuple[str, ...]
    variables: bytes = field(repr=False)

    def with_file(self, descriptor: int) -> tuple[str, ...]:
        return tuple(f"/dev/fd/{descriptor}" if word == _FILE else word for word in self.words)


_FILE = "\0"  # stands in the words until the file is open


def exec_of(
    docker: Docker,
    container: str,
    argv: Sequence[str],
    *,
    user: str | None = None,
    environ: Mapping[str, str] | None = None,
    unset: Sequence[str] = (),
    folder: str | None = None,
    flags: Sequence[str] = (),
) -> Exec:
    """``unset``: names that the container itself sets, and the command does not see."""
    words, data = variable_options(environ or {})
    place = (*(("-u", user) if user else ()), *words, *(("-w", folder) if folder else ()))
    if unset:
        argv = _unsetting(unset, argv)
    return Exec((docker.command, "exec", *flags, *place, container, *argv), data)


def variable_options(environ: Mapping[str, str]) -> tuple[tuple[str, ...], bytes]:
    """Options of ``docker exec`` and ``docker run`` for an ``Exec``, and its file. A value that no line can hold stands in the options."""
    lines: list[str] = []
    words: list[str] = []
    for name, value in environ.items():
        line = f"{name}={value}"
        if _fits_a_line(name, line):
            lines.append(line)
        else:
            words += ("-e", line)
    file = ("--env-file", _FILE) if lines else ()
    return (*file, *words), "".join(f"{line}\n" for line in lines).encode()


def _unsetting(names: Sequence[str], argv: Sequence[str]) -> tuple[str, ...]:
    """A shell that unsets ``names`` and becomes the command."""
    script = 'while [ "$1" != -- ]; do unset "$1"; shift; done; shift; exec "$@"'
    return ("/bin/sh", "-c", script, "sh", *(name for name in names if name.isidentifier()), "--", *argv)


def _fits_a_line(name: str, line: str) -> bool:
    """Whether docker reads it from a file as it is."""
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    plain = name and not name.startswith("#") and not any(one.isspace() for one in name)
    return bool(plain) and "\n" not in line and "\r" not in line and "\0" not in line and len(line) < MAX_LINE


def variables_file(data: bytes) -> int:
    """A descriptor that programs may inherit."""
    descriptor = os.memfd_create("variables", 0)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def run(docker: Docker, command: Exec, *, data: bytes = b"", deadline_s: float = ASK_S) -> subprocess.CompletedProcess[bytes]:
    """
    Raises:
        EnvironmentFailed: it did not end in time, or docker cannot be run.
    """
    descriptor = variables_file(command.variables)
    words = command.with_file(descriptor)
    docker.note(f"Run in container: {' '.join(words[-3:])}")
    try:
        return bounded.run(
            words, environ=docker.environ, folder=docker.folder, deadline_s=deadline_s, data=data, pass_fds=(descriptor,), limit=MAX_SAYS
        )
    except subprocess.TimeoutExpired:
        raise EnvironmentFailed(f"a command in the container did not end within {deadline_s:g} seconds: {words[-1][:80]!r}") from None
    except bounded.TooMuch:
        raise EnvironmentFailed(f"a command in the container said more than {MAX_SAYS >> 20} MiB: {words[-1][:80]!r}") from None
    except ValueError:
        raise EnvironmentFailed("a NUL is in a command or variable for the container") from None
    except OSError as problem:
        raise EnvironmentFailed(f"{docker.command} cannot be run: {problem.strerror}") from None
    finally:
        os.close(descriptor)


def look(docker: Docker, container: str, user: str) -> tuple[User, Mapping[Hook, str]]:
    """Who ``user`` is in there, and what the markers of hooks say.

    Raises:
        EnvironmentFailed: there is no such user, or no shell.
    """
    bare = user.partition(":")[0]
    done = run(docker, exec_of(docker, container, ("/bin/sh", "-c", _LOOK, "sh", bare or "root", *ONCE), user=user))
    fields = done.stdout.decode(errors="replace").split("\0")
    if done.returncode != 0 or len(fields) < 4 + len(ONCE):
        said = done.stderr.decode(errors="replace").strip()[-MAX_SAID:]
        raise EnvironmentFailed(
            f"nothing can be run in the container as {user!r}: {said}", remedy="is there such a user, and a /bin/sh, in the image?"
        )
    home, uid, line, shell = fields[:4]
    entry = line.split(":")
    if len(entry) == 7:
        home, shell = entry[5] or home, entry[6] or shell
    elif not bare.isdigit():
        raise EnvironmentFailed(f"the container has no user {user!r}", remedy="correct remoteUser, or make the user in the image")
    return User(user, uid, home or "/", shell or "/bin/sh"), {hook: text.strip() for hook, text in zip(ONCE, fields[4:], strict=False)}


def patch(docker: Docker, container: Object) -> str:
    """/etc/environment and /etc/profile, as far as they can be written; what went wrong, for the log."""
    lines = [f'{name}="{value}"' for name, value in environ_of(container_environ(container)).items() if "\n" not in value]
    data = "".join(f"\n{line}" for line in lines).encode("utf-8", "replace") + b"\n"
    done = run(docker, exec_of(docker, str(container["Id"]), ("/bin/sh", "-c", _PATCH), user="root", flags=("-i",)), data=data)
    return done.stderr.decode(errors="replace").strip()


def probe(docker: Docker, container: str, user: User, kind: str) -> dict[str, str] | None:
    """The environment of the user's shell; None if the shell does not tell within its time."""
    mark = f"aienv-{os.urandom(16).hex()}"
    command = exec_of(docker, container, probe_argv(user.shell, kind, mark), user=user.name)
    try:
        done = run(docker, command, deadline_s=PROBE_S)
    except EnvironmentFailed as problem:
        docker.note(problem.message)
        return None
    return parse_environ(done.stdout, mark)


def write_markers(docker: Docker, container: str, user: User, ran: Mapping[Hook, str]) -> bool:
    """As other tools know which hooks ran: files in the user's home, which may not be writable."""
    words = [word for hook, stamp in ran.items() for word in (hook, stamp)]
    argv = ("/bin/sh", "-c", _MARK, "sh", f"{user.home.rstrip('/')}/{MARKERS}", *words)
    return run(docker, exec_of(docker, container, argv, user=user.name)).returncode == 0

"""The engine, through the user's own ``docker`` command: its contexts, credentials and plugins are then right."""

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from orchestrator.devcontainer import bounded, ids, socketapi
from orchestrator.devcontainer.jsonc import Object
from orchestrator.devcontainer.metadata import texts
from orchestrator.errors import AienvError, BackendUnavailable, EnvironmentFailed

ASK_S = 60.0
PULL_S = 1800.0
MAX_SAID = 1000
SHOWN = 80

Note = Callable[[str], None]


class Unasked(BackendUnavailable):
    """The command is not there, or no engine answers it."""

    code = "no-engine"


_OF_COMPOSE = "com.docker.compose."
_COMPOSE_HASH = f"{_OF_COMPOSE}config-hash"


@dataclass(frozen=True, slots=True)
class Docker:
    """``command``, ``compose``: the programs; ``folder``: where they run; ``note``: what is being done, for the log."""

    environ: Mapping[str, str]
    folder: str
    note: Note
    command: str = "docker"
    compose: str = "docker-compose"

    def containers(self, labels: Mapping[str, str]) -> list[Object]:
        """Those with all of ``labels``, stopped ones too, the newest first."""
        return self.containers_with(*(f"label={name}={value}" for name, value in labels.items()))

    def containers_with(self, *filters: str) -> list[Object]:
        """Those that match all filters, as ``docker ps --filter`` has them."""
        path = self._socket()
        names = socketapi.containers(path, filters) if path else None
        if names is None:
            names = self.ask(self.command, "ps", "-q", "-a", *(word for one in filters for word in ("--filter", one))).split()
        found = [self._with_own_labels(one) for one in (self.inspect("container", *names) if names else ())]
        return [one for one in found if _table(one, "State").get("Status") != "removing" and _has_labels(one, filters)]

    def container(self, name: str) -> Object:
        """One container. Its labels say whose it is as far as who made it said so: those that its image brought do not count.

        Raises:
            EnvironmentFailed: there is none.
        """
        return self._with_own_labels(self.inspect("container", name)[0])

    def _with_own_labels(self, container: Object) -> Object:
        labels = image_labels(container)
        image = container.get("Image")
        if not any(ids.TELLS_WHOSE.match(name) for name in labels) or not isinstance(image, str):
            return container
        try:
            brought = image_labels(self.inspect("image", image)[0])
        except EnvironmentFailed:  # it was removed, and any of them may be from it
            brought = labels
        own: Object = {**own_labels(labels, brought)}
        return {**container, "Config": {**_table(container, "Config"), "Labels": own}}

    def inspect(self, kind: str, *names: str) -> list[Object]:
        """One answer for each name.

        Raises:
            EnvironmentFailed: there is no such thing.
        """
        if (path := self._socket()) and len(names) == 1 and (one := socketapi.inspect(path, kind, names[0])) is not None:
            return [one]
        text = self.ask(self.command, "inspect", "--type", kind, "--", *names)
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if not isinstance(found, list) or len(found) != len(names) or not all(isinstance(one, dict) for one in found):
            raise EnvironmentFailed(f"{self.command} inspect answers what is no list of objects: {text[:SHOWN]!r}")
        return cast(list[Object], found)

    def image(self, name: str) -> Object:
        """
        Raises:
            EnvironmentFailed: it is not here and cannot be had.
        """
        try:
            return self.inspect("image", name)[0]
        except EnvironmentFailed:
            self.note(f"{name} is not here; it is pulled")
        self.ask(self.command, "pull", "--", name, deadline_s=PULL_S)
        return self.inspect("image", name)[0]

    def has_image(self, name: str) -> bool:
        """Whether it is here."""
        try:
            self.inspect("image", name)
        except EnvironmentFailed:
            return False
        return True

    def compose_config(self, files: Sequence[str], env_file: str | None) -> bytes:
        """The project in ``files`` as compose itself reads them; services with a profile count, where profiles are known.

        Raises:
            EnvironmentFailed: compose cannot read them.
        """
        words = [word for file in files for word in ("-f", file)] + (["--env-file", env_file] if env_file else [])
        program = self.compose_words()
        profiles = ("--profile", "*") if program == (self.command, "compose") else ()
        return self.ask(*program, *words, *profiles, "config").encode()

    def compose_words(self, *words: str) -> tuple[str, ...]:
        """A command line of compose: the plugin's, or that of the program of its own."""
        try:
            version = self.ask(self.command, "compose", "version", "--short").strip().lstrip("v")
        except AienvError:
            version = ""
        return (self.command, "compose", *words) if version and not version.startswith("1.") else (self.compose, *words)

    def _socket(self) -> str | None:
        """Of the engine that the command would ask; None where that is the command's to know."""
        return socketapi.socket_of(self.environ) if self.command == "docker" else None

    def ask(self, *words: str, deadline_s: float = ASK_S) -> str:
        """What a command prints; the first word is the program.

        Raises:
            Unasked: it cannot be run, or no engine answers it.
            EnvironmentFailed: it failed, or did not end in time.
        """
        shown = " ".join(words)
        self.note(f"Run: {shown}")
        try:
            done = bounded.run(words, environ=self.environ, folder=self.folder, deadline_s=deadline_s)
        except OSError as problem:
            raise Unasked(f"{words[0]} cannot be run: {problem.strerror}", remedy="install docker, or name it with --docker-path") from None
        except ValueError:
            raise EnvironmentFailed(f"a NUL is in what {words[0]} would be told: {shown!r}") from None
        except subprocess.TimeoutExpired:
            raise EnvironmentFailed(f"{shown} did not end within {deadline_s:g} seconds") from None
        except bounded.TooMuch:
            raise EnvironmentFailed(f"{shown} said more than {bounded.MAX_OUTPUT >> 20} MiB, and was ended") from None
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip()[-MAX_SAID:]
            kind = Unasked if "daemon" in said and ("connect" in said or "running" in said) else EnvironmentFailed
            raise kind(f"{shown} failed: {said}")
        return done.stdout.decode(errors="replace")


def own_labels(labels: Mapping[str, str], brought: Mapping[str, str]) -> Mapping[str, str]:
    """``labels`` of a container without those that say whose it is and that its image ``brought``.

    An image that compose built has the project and the service of the container; but what compose makes it labels itself, always, and
    with a hash that no image has.
    """
    by_compose = _COMPOSE_HASH in labels and brought.get(_COMPOSE_HASH) != labels[_COMPOSE_HASH]
    return {
        name: value
        for name, value in labels.items()
        if not ids.TELLS_WHOSE.match(name) or brought.get(name) != value or (by_compose and name.startswith(_OF_COMPOSE))
    }


def _has_labels(container: Object, filters: Sequence[str]) -> bool:
    labels = image_labels(container)
    words = [one.removeprefix("label=").partition("=") for one in filters if one.startswith("label=")]
    return all(name in labels and (not equals or labels[name] == value) for name, equals, value in words)


def image_labels(found: Object) -> Mapping[str, str]:
    """Of an image or a container."""
    return texts(_table(found, "Config").get("Labels"))


def container_environ(found: Object) -> list[str]:
    listed = _table(found, "Config").get("Env")
    return [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else []


def _table(value: Object, key: str) -> Object:
    found = value.get(key)
    return found if isinstance(found, dict) else {}

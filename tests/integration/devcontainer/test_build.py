"""Images for dev containers on a real engine with the real docker command, beside the reference dev container CLI."""

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from orchestrator.devcontainer.engine import Docker
from orchestrator.devcontainer.features.cache import Cache
from orchestrator.devcontainer.images import naming, remoteuid
from orchestrator.devcontainer.images.image import Built, How, extend, make_image
from orchestrator.devcontainer.images.quoting import shell_word
from orchestrator.devcontainer.jsonc import Object
from orchestrator.devcontainer.load import Asked, load
from orchestrator.devcontainer.policy.grants import Grants
from orchestrator.devcontainer.wanted import feature_cache, wanted_features
from orchestrator.errors import AienvError, ConfigError, EnvironmentFailed, PolicyRefused
from tests import clients
from tests.engine import Engine, image
from tests.integration.devcontainer import registry as registries

pytestmark = pytest.mark.docker

LABEL = "devcontainer.metadata"
INSTALL = "#!/bin/sh\nenv | sort >/$1.env\n"
NASTY = {"a": "$(touch /pwned)", "b": 'it\'s "x" `id`', "c": "one\ntwo\\", "d": "é😀 $HOME ${PATH}", "e": "'; touch /pwned; '"}


@dataclass
class Place:
    """A workspace and an engine."""

    engine: Engine
    folder: Path
    environ: Mapping[str, str]
    said: list[str] = field(default_factory=list)

    def lay(self, config: object, **files: str) -> None:
        """``files``: below .devcontainer; a double underscore is a slash."""
        for name, content in {"devcontainer.json": json.dumps(config), **files}.items():
            path = self.folder / ".devcontainer" / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    def feature(self, name: str, script: str = "", **manifest: Any) -> None:
        folder = self.folder / ".devcontainer" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "devcontainer-feature.json").write_text(json.dumps({"id": name, "version": "1.0.0", "name": name, **manifest}))
        (folder / "install.sh").write_text(script or INSTALL.replace("$1", name))

    @property
    def docker(self) -> Docker:
        return Docker(self.environ, str(self.folder), lambda text: None)

    def how(self, **more: Any) -> How:
        cache = self.folder / "cache"
        how = How(cache=cache, grants=Grants(), fetch=Cache(cache / "features", None, self.said.append), log=self.said.append)
        return replace(how, **more)

    def make(self, docker: Docker | None = None, base: str | None = None, **more: Any) -> Built:
        configuration = load(Asked(str(self.folder)), self.environ)
        features = wanted_features(configuration, {}, self.environ, self.folder / "cache/features", self.said.append)
        self.said.clear()
        docker, how = docker or self.docker, self.how(**more)
        return extend(base, configuration, features, docker, how) if base else make_image(configuration, features, docker, how)

    def fails(self, kind: type[AienvError], **more: Any) -> str:
        with pytest.raises(kind) as caught:
            self.make(**more)
        return "\n".join(text for text in (caught.value.message, caught.value.remedy) if text)

    def reference(self) -> Object:
        """The reference's image of the same folder, as the engine describes it."""
        program = clients.require(clients.dev_container_cli)
        words = [
            str(program),
            "build",
            "--workspace-folder",
            str(self.folder),
            "--buildkit",
            "never",
            "--image-name",
            "aienv-test/reference:1",
        ]
        done = subprocess.run(
            words, env={**os.environ, **self.environ}, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout.decode()
        return self.docker.inspect("image", "aienv-test/reference:1")[0]

    def sh(self, name: str, script: str) -> str:
        words = ("docker", "run", "--rm", "--network", "none", "-u", "0", "--entrypoint", "/bin/sh", name, "-c", script)
        return self.docker.ask(*words)


@pytest.fixture
def place(engine: Engine, tmp_path: Path) -> Place:
    image(engine, "debian", "aienv-test/build:1")
    home = tmp_path / "home"
    home.mkdir()
    return Place(engine, tmp_path, {"PATH": os.environ["PATH"], "DOCKER_HOST": engine.address, "HOME": str(home)})


def facts(details: Object) -> dict[str, Any]:
    """What of an image a container sees."""
    config = cast(dict[str, Any], details["Config"])
    label = json.loads(config["Labels"][LABEL])
    return {
        "env": sorted(config["Env"]),
        "user": config["User"] or "root",
        "label": label,
        **{key: config[key] for key in ("Entrypoint", "Cmd", "WorkingDir")},
    }


def variables(text: str) -> dict[str, str]:
    """Of what ``env`` printed, less what differs from run to run."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {name: value for name, _, value in pairs if name not in ("HOSTNAME", "OLDPWD", "PWD", "_", "SHLVL")}


# --- beside the reference ------------------------------------------------------------------------------------------------------


def test_features_on_an_image(place: Place) -> None:
    place.lay({
        "image": "aienv-test/build:1", "features": {"./fa": {"opt": "v 1", "other": True}, "./fb": "2"}, "remoteUser": "games",
        "containerEnv": {"Q": "1 $HOME \"x\" \\", "W": "${containerWorkspaceFolder}"}, "postCreateCommand": "echo 'x' \"$HOME\" \\ é",
        "customizations": {"t": {"a": ["it's"]}}, "remoteEnv": {"P": "${containerEnv:PATH}:${localEnv:HOME}"}, "runArgs": ["--init"],
    })  # fmt: skip
    place.feature(
        "fa", options={"opt": {"type": "string", "default": "d"}, "third": {"type": "boolean", "default": False}},
        containerEnv={"A": "a\\b \"q\" 'x' $HOME \\$HOME", "PATH": "/fa:${PATH}"}, postStartCommand="fa", capAdd=["SYS_PTRACE"],
    )  # fmt: skip
    place.feature("fb", options={"version": {"type": "string", "default": "1"}}, installsAfter=["./fa"])
    built = place.make()
    theirs = place.reference()
    assert facts(built.details) == facts(theirs)
    assert built.entries == tuple(facts(theirs)["label"])
    assert built.origins == ("feature ./fa", "feature ./fb", "devcontainer.json")
    assert built.label_in_image
    look = "cat /fa.env; echo ======; cat /fb.env; echo ======; ls /tmp"
    first, second, left = place.sh(built.image, look).split("======\n")
    expected = place.sh("aienv-test/reference:1", look).split("======\n")
    assert variables(first) == variables(expected[0])
    assert variables(second) == variables(expected[1])
    assert left == ""
    place.said.clear()
    assert place.make() == built
    assert place.said == []  # nothing was built


def test_dockerfile(place: Place) -> None:
    place.lay(
        {"build": {"dockerfile": "D", "context": "..", "args": {"V": "$(x) 'y'"}, "target": "t"}, "remoteEnv": {"X": "it's"}, "name": "n"},
        D="ARG B=aienv-test/build:1\nFROM $B AS t\nARG V\nENV V=$V\nCOPY .devcontainer/D /D\nUSER games\nFROM t\nUSER bin\n",
    )
    built = place.make()
    assert facts(built.details) == facts(place.reference())
    assert built.user == "games"
    assert built.label_in_image
    assert built.image.startswith("aienv-devcontainer/dockerfile:")


@pytest.mark.slow
def test_features_on_a_dockerfile_whose_base_has_a_label(place: Place) -> None:
    entries = [{"remoteUser": "bin", "containerEnv": {"L": "$X"}}, {"id": "x", "init": True}]
    label = json.dumps(json.dumps(entries)).replace("$", "\\$")
    image(place.engine, "debian", "aienv-test/labelled-build:1", [f"LABEL {LABEL}={label}"])
    place.lay(
        {"build": {"dockerfile": "D"}, "features": {"./fa": {}}, "containerUser": "news"},
        D='FROM aienv-test/labelled-build:1\nENV X=1\nUSER games:games\nWORKDIR /srv\nENTRYPOINT ["/bin/x"]\nCMD ["y"]\n',
    )
    place.feature("fa")
    built = place.make()
    theirs = place.reference()
    assert facts(built.details) == facts(theirs)
    assert built.user == "games:games"
    assert built.origins[0] == "image label of aienv-test/labelled-build:1"
    ours, reference = (variables(place.sh(name, "cat /fa.env")) for name in (built.image, "aienv-test/reference:1"))
    assert ours == reference
    assert ours["_REMOTE_USER"] == "bin"
    assert ours["_CONTAINER_USER_HOME"] == "/var/spool/news"


def test_a_label_alone(place: Place) -> None:
    """``build`` makes an image with the label; what makes a container puts it there."""
    place.lay({"image": "aienv-test/build:1", "containerEnv": {"A": "1"}})
    assert place.make().label_in_image is False
    assert place.make().image == "aienv-test/build:1"
    built = place.make(labelled=True, labels={"x": "y z"}, names=("aienv-test/mine:1",))
    assert facts(built.details) == facts(place.reference())
    labels = place.docker.inspect("image", "aienv-test/mine:1")[0]["Config"]["Labels"]  # type: ignore[index, call-overload]
    assert (labels["x"], labels["dev.aienv.devcontainer"]) == ("y z", "1")  # type: ignore[index, call-overload]
    assert place.make(base="aienv-test/build:1").image == "aienv-test/build:1"


def test_a_feature_of_a_registry_and_one_of_the_workspace(place: Place, tmp_path: Path) -> None:
    """Its files are only fetched now; the second time neither registry nor builder is asked."""
    clients.require(registries.program)
    (tmp_path / "registry").mkdir()
    with registries.running(tmp_path / "registry") as registry:
        pinned = registry.publish("ns/x", {"id": "x", "version": "1.0.0", "name": "X", "containerEnv": {"X": "1"}})
        place.lay({"image": "aienv-test/build:1", "features": {f"{registry.host}/ns/x@{pinned}": {}, "./fa": {}}})
        place.feature("fa")
        fetch = feature_cache(place.environ, tmp_path / "cache/features", place.said.append)
        built = place.make(fetch=fetch)
    assert "X=1" in facts(built.details)["env"]
    assert any("localhost" in line for line in place.said if line.startswith("[aienv feature"))
    assert place.make() == built


# --- where ours is meant to differ ---------------------------------------------------------------------------------------------


def test_no_option_is_run(place: Place) -> None:
    place.lay({"image": "aienv-test/build:1", "features": {"./fa": NASTY}})
    place.feature("fa", '#!/bin/sh\nfor v in "$A" "$B" "$C" "$D" "$E"; do printf "%s=" "$v"; done >/said\n')
    built = place.make()
    assert place.sh(built.image, "cat /said; ls -d /pwned 2>/dev/null; true") == "".join(f"{one}=" for one in NASTY.values())


def test_the_tag_that_image_names_stays(place: Place) -> None:
    before = place.docker.inspect("image", "aienv-test/build:1")
    place.lay({"image": "aienv-test/build:1", "build": {"dockerfile": "D"}}, D="FROM aienv-test/build:1\nENV OTHER=1\n")
    built = place.make()
    assert "OTHER=1" in facts(built.details)["env"]
    assert place.docker.inspect("image", "aienv-test/build:1") == before


def test_two_at_once_do_not_mix(place: Place, tmp_path: Path) -> None:
    """The same ids and names, other contents."""
    places = [replace(place, folder=tmp_path / name, said=[]) for name in ("one", "two")]
    for one in places:
        one.lay({"image": "aienv-test/build:1", "features": {"./fa": {}}})
        one.feature("fa", f"#!/bin/sh\nsleep 0.3; echo {one.folder.name} >/who\n")
    found: dict[str, Built] = {}
    threads = [threading.Thread(target=lambda one=one: found.update({one.folder.name: one.make()})) for one in places]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {name: place.sh(built.image, "cat /who").strip() for name, built in found.items()} == {"one": "one", "two": "two"}


def test_names_of_ours_that_others_gave(place: Place) -> None:
    """An image counts as made before by our own record of its id: whoever reaches the engine can give names and labels."""
    place.lay({"image": "aienv-test/build:1", "features": {"./fa": {}}})
    place.feature("fa")
    mine = place.make()
    evil = ("commit", "--change", "LABEL dev.aienv.devcontainer=1", "--change", "ENV EVIL=1")
    container = place.docker.ask("docker", "create", mine.image, "true").strip()
    base = naming.to_stand_on("x", str(place.docker.inspect("image", "aienv-test/build:1")[0]["Id"]))
    for name in (mine.image, base):
        place.docker.ask("docker", *evil, container, name)
    place.docker.ask("docker", "rm", container)
    again = place.make()
    assert (again.image, again.details["Id"]) == (mine.image, mine.details["Id"])
    place.feature("fa", "#!/bin/sh\ntouch /another\n")
    assert "EVIL=1" not in facts(place.make().details)["env"]
    place.lay({"image": "aienv-devcontainer/features:1"})
    assert "of aienv's own" in place.fails(ConfigError)


def test_a_feature_that_fails(place: Place) -> None:
    place.lay({"image": "aienv-test/build:1", "features": {"./fa": {}, "./fb": {}}})
    place.feature("fa", "#!/bin/sh\necho fine\n")
    place.feature("fb", "#!/bin/sh\necho ouch >&2\nexit 3\n", documentationURL="https://example.com/fb")
    told = place.fails(EnvironmentFailed)
    assert told == "the feature './fb' failed to install:\nouch\nits documentation: https://example.com/fb"
    assert not [one for one in (place.folder / "cache").rglob("*") if one.is_file() and "devcontainer-build" in one.parts]
    assert place.docker.ask("docker", "ps", "-aq") == ""


def test_a_dockerfile_that_fails(place: Place) -> None:
    place.lay({"build": {"dockerfile": "D"}}, D="FROM aienv-test/build:1\nRUN echo ouch; exit 3\n")
    told = place.fails(EnvironmentFailed)
    assert f"{place.folder}/.devcontainer/D cannot be built" in told
    assert "ouch" in told
    assert list((place.folder / "cache/devcontainer-build").iterdir()) == []
    assert place.docker.ask("docker", "ps", "-aq") == ""


def test_what_lies_outside_the_workspace(place: Place, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "D").write_text("FROM aienv-test/build:1\nCOPY D /D\n")
    inner = replace(place, folder=tmp_path / "inner")
    for build in ({"dockerfile": "../../outside/D"}, {"dockerfile": "link/D"}):
        inner.lay({"build": build})
        with contextlib.suppress(FileExistsError):
            (inner.folder / ".devcontainer/link").symlink_to(outside)
        assert f"--grant mount:{outside}" in inner.fails(PolicyRefused)
    assert inner.make(grants=Grants.of([f"mount:{outside}"])).image
    inner.lay({"build": {"dockerfile": "D", "options": ["--network=host"]}}, D="FROM aienv-test/build:1\n")
    assert "--grant" in inner.fails(PolicyRefused)


def test_no_network_for_those_who_get_none(place: Place) -> None:
    script = "#!/bin/sh\nls /sys/class/net >/net\n"
    place.lay({"build": {"dockerfile": "D"}, "features": {"./fa": {}}}, D="FROM aienv-test/build:1\nRUN ls /sys/class/net >/net0\n")
    place.feature("fa", script)
    assert place.sh(place.make(network="none").image, "cat /net /net0").split() == ["lo", "lo"]


def test_buildkit_where_it_is_needed(place: Place) -> None:
    """Docker's command of 20.10 has it inside; a newer one without its plugin has not."""
    text = "FROM aienv-test/build:1\nRUN --mount=type=tmpfs,target=/x true\n"
    place.lay({"build": {"dockerfile": "D"}, "features": {"./fa": {}}}, D=text)
    place.feature("fa")
    without = replace(place.docker, command=str(clients.require(lambda: clients.docker_cli("26.1"))))
    told = place.fails(ConfigError, docker=without)
    assert told.startswith("line 2 of the Dockerfile, 'RUN --mount', needs BuildKit, but this docker command has no BuildKit")
    assert "--buildkit never" in place.fails(ConfigError, buildkit="never")
    old = replace(place.docker, command=str(clients.require(lambda: clients.docker_cli("20.10"))))
    assert place.sh(place.make(docker=old).image, "test -e /fa.env && echo yes") == "yes\n"
    plugin = replace(without, environ={**place.environ, **clients.plugins(place.folder / "home")})
    place.feature("fa", "#!/bin/sh\necho ouch\nexit 3\n")
    told = place.fails(EnvironmentFailed, docker=plugin).splitlines()  # BuildKit's own lines may stand after it
    assert told[:2] == ["the feature './fa' failed to install:", "ouch"]


# --- the remote user's uid -----------------------------------------------------------------------------------------------------

USERS = """
echo 'xdev:x:1500:1500::/home/xdev:/bin/sh' >>/etc/passwd; echo 'share:x:1501:1500::/home/share:/bin/sh' >>/etc/passwd
echo 'dev:x:1600:1600:Name:/home/dev:/bin/sh' >>/etc/passwd; echo 'slash:x:1700:1700::/:/bin/sh' >>/etc/passwd
printf 'last:x:1950:1950::/home/last:/bin/sh' >>/etc/passwd
echo 'xdev:x:1500:' >>/etc/group; echo 'dev:x:1600:a,b' >>/etc/group; echo 'other:x:1777:' >>/etc/group
mkdir -p /home/dev/d /home/xdev; touch /home/dev/d/f; ln -s /etc/passwd /home/dev/l; chown -R -h 1600:1600 /home/dev
chown 1500:1500 /home/xdev
"""
EACH = """
cp /etc/passwd /p; cp /etc/group /g; cp -a /home/dev /keep
{rows}
"""
ROW = """
/bin/sh -c "$SCRIPT" sh {user} {uid} {gid} >/out
cat /out; echo ==; cat /etc/passwd; echo ==; cat /etc/group; echo ==
stat -c '%u %g' / /home/dev /home/dev/d/f /home/xdev /etc/passwd; echo ====
cat /p >/etc/passwd; cat /g >/etc/group; rm -rf /home/dev; cp -a /keep /home/dev; chown 1500:1500 /home/xdev
"""
MINE, OTHERS = ["1600 1600"] * 2, "1500 1500"
ASKED = [
    ("dev", 2000, 2001, "dev:x:2000:2001:Name:/home/dev:/bin/sh", "dev:x:2001:a,b", ["0 0", "2000 2001", "2000 2001", OTHERS, "0 0"]),
    ("dev", 2000, 1777, "dev:x:2000:1600:Name:/home/dev:/bin/sh", None, ["0 0", "2000 1600", "2000 1600", OTHERS, "0 0"]),
    ("dev", 1600, 2001, "dev:x:1600:2001:Name:/home/dev:/bin/sh", "dev:x:2001:a,b", ["0 0", "1600 2001", "1600 2001", OTHERS, "0 0"]),
    ("xdev", 2000, 2001, "xdev:x:2000:1500::/home/xdev:/bin/sh", None, ["0 0", *MINE, "2000 1500", "0 0"]),  # its group is another's
    ("slash", 2000, 2001, "slash:x:2000:2001::/:/bin/sh", None, ["0 0", *MINE, OTHERS, "0 0"]),  # its home is all there is
    ("last", 2000, 2001, "last:x:2000:2001::/home/last:/bin/sh", None, ["0 0", *MINE, OTHERS, "0 0"]),
    ("dev", 1500, 2001, "another user has the uid: xdev", None, []),
    ("dev", 1600, 1600, "it has them already", None, []),
    ("dev", 1600, 1777, "nothing is left to change", None, []),
    ("ev", 2000, 2001, "no such user in /etc/passwd", None, []),
    ("root", 2000, 2001, "the user is root", None, []),
]


def test_what_the_script_changes(place: Place) -> None:
    """All rows in one container, each from the same start; what is not named in a row stays as it was."""
    rows = "".join(ROW.format(user=user, uid=uid, gid=gid) for user, uid, gid, *_ in ASKED)
    before = "cat /etc/passwd; echo ==; cat /etc/group; echo ====\n"
    script = f"SCRIPT={shell_word(remoteuid.SCRIPT)}\n{USERS}{before}{EACH.format(rows=rows)}"
    start, *found, _ = place.sh("aienv-test/build:1", script).split("====\n")
    passwd, group = (part.splitlines() for part in start.replace("/bin/sh==", "/bin/sh\n==").split("==\n"))
    for (user, uid, gid, line, group_line, owners), text in zip(ASKED, found, strict=True):
        said, *parts = (part.splitlines() for part in text.replace("/bin/sh==", "/bin/sh\n==").split("==\n"))
        if not owners:
            assert (said[-1], parts[0], parts[1]) == (f"[aienv uid] unchanged: {line}", passwd, group), (user, uid, gid)
            continue
        assert said[-1].startswith("[aienv uid] changed: "), said
        assert parts[0] == [line if one.startswith(f"{user}:") else one for one in passwd]
        assert parts[1] == [group_line if group_line and one.startswith(f"{user}:") else one for one in group]
        assert parts[2] == owners, (user, uid, gid)


def test_remote_uid(place: Place) -> None:
    base = _users(place, "aienv-test/build:1")
    found = remoteuid.with_remote_uid(base, "dev", 2000, 2001, place.docker, place.how())
    assert user_of(place, found) == "dev"
    assert place.sh(found, "id dev; stat -c %u /home/dev/d/f") == "uid=2000(dev) gid=2001(dev) groups=2001(dev)\n2000\n"
    assert remoteuid.with_remote_uid(base, "nobody2", 2000, 2001, place.docker, place.how()) == base
    place.said.clear()
    assert remoteuid.with_remote_uid(base, "dev", 2000, 2001, place.docker, place.how()) == found
    for user, uid in (("nobody2", 2000), ("root", 2000), ("1600", 2000), ("1600:1600", 2000), ("", 2000), ("dev", 0)):
        assert remoteuid.with_remote_uid(base, user, uid, 2001, place.docker, place.how()) == base
    assert place.said == []  # nothing was built


def test_remote_uid_with_nothing_but_busybox(place: Place) -> None:
    image(place.engine, "busybox", "aienv-test/build-busybox:1")
    base = _users(place, "aienv-test/build-busybox:1")
    found = remoteuid.with_remote_uid(base, "dev", 2000, 2001, place.docker, place.how())
    assert place.sh(found, "grep ^dev: /etc/passwd /etc/group; ls -ldn /home/dev/d/f | tr -s ' ' | cut -d' ' -f3,4").split() == [
        "/etc/passwd:dev:x:2000:2001:Name:/home/dev:/bin/sh", "/etc/group:dev:x:2001:a,b", "2000", "2001",
    ]  # fmt: skip


def _users(place: Place, base: str) -> str:
    place.lay({"build": {"dockerfile": "D"}}, D=f"FROM {base}\nRUN {'; '.join(USERS.strip().splitlines())}\nUSER dev\n")
    return place.make().image


def user_of(place: Place, name: str) -> Any:
    return cast(dict[str, Any], place.docker.inspect("image", name)[0]["Config"])["User"]

"""The end-to-end tests of the reference dev container CLI, run against that CLI and against aienv, on this machine and without a network.

    python tests/reference_tests.py prepare --work DIR --checkout DIR    DIR: a checkout of devcontainers/cli after `npm install`
    python tests/reference_tests.py run --work DIR --side reference|ours FILE...      such as cli.up.test.ts
    python tests/reference_tests.py report --work DIR
    python tests/reference_tests.py stop --work DIR

The tests' variable ``cli`` begins with ``npx``, so a program of that name, first on the path, chooses whom they test. Each side has its
own engine and its own copy of the checkout. The images that the tests name are tags on one small Debian; the features and the template
that they name are stand-ins in a registry on localhost, and the copies name that one. docs/devcontainer-conformance.md has the results.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from orchestrator.devcontainer.jsonc import Json  # noqa: E402
from orchestrator.devcontainer.life.guarded import Guards  # noqa: E402
from tests import clients, engine  # noqa: E402
from tests.engine import CannotHave, Engine  # noqa: E402
from tests.integration.devcontainer import registry as registries  # noqa: E402

SIDES = ("reference", "ours")
GRANTABLE = ("up", "exec", "run-user-commands", "set-up", "build")
FILE_S = 1800.0
REGISTRY = "localhost:5077"
ENGINE = "26.1"  # the reference's BuildKit way asks Docker Hub for a syntax image on engines before 23

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PACKAGES = "sudo,curl,git,ca-certificates,procps"
IMAGES = """
FROM reference-tests/tree AS plain
FROM plain AS vscode
RUN useradd -m -u 1000 -s /bin/bash vscode && echo 'vscode ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/vscode
LABEL devcontainer.metadata='[{"remoteUser":"vscode"}]'
FROM plain AS node
RUN useradd -m -u 1000 -s /bin/bash node && echo 'node ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/node
LABEL devcontainer.metadata='[{"remoteUser":"node"}]'
COPY dotfiles /srv/dotfiles
RUN git config --system url."/srv/dotfiles/".insteadOf https://github.com/codspace/ \\
 && git config --system --add safe.directory '*' && git config --system user.name t && git config --system user.email t@localhost \\
 && for one in /srv/dotfiles/*; do cd $one && git init -q && git add -A && git commit -qm dotfiles && ln -s $one $one.git || exit; done
FROM plain AS mongo
CMD ["sleep", "infinity"]
"""
# A user's dotfiles: two repositories, the second without any file that is executable.
DOTFILES = "#!/bin/sh\ntouch /tmp/.dotfilesMarker\nenv >/tmp/.dotfileEnvs\n"
DOTFILES_MODES: Mapping[str, int] = {
    "test-dotfiles/install.sh": 0o755,
    "test-dotfiles/.run-my-dotfiles-script": 0o755,
    "test-dotfiles-non-executable/.run-my-dotfiles-script": 0o644,
}
_MCR = "mcr.microsoft.com"
TAGS: Mapping[str, tuple[str, ...]] = {
    "plain": ("ubuntu:latest", "debian:latest", "alpine:latest", "alpine:3.17"),
    "mongo": ("mongo:latest",),
    "vscode": (*(f"{_MCR}/devcontainers/base:{tag}" for tag in ("ubuntu", "latest", "jammy", "alpine")),
               f"{_MCR}/vscode/devcontainers/base:ubuntu", f"{_MCR}/devcontainers/python:latest"),
    "node": tuple(
        f"{_MCR}/{name}-{version}"
        for version in ("18-bookworm", "16-bullseye", "22-bookworm")
        for name in ("devcontainers/typescript-node:1", "devcontainers/typescript-node:0", "devcontainers/javascript-node:1",
                     "vscode/devcontainers/typescript-node:0", "vscode/devcontainers/javascript-node:0")
    ),
}  # fmt: skip

NPX = """#!/bin/sh
shift 3
exec {command} "$@"
"""
NPM = """#!/bin/sh
case " $* " in *devcontainers-cli-*) exit 0;; esac
exec {npm} "$@"
"""
DOCKER = """#!/bin/sh
# An image that is here is not asked for again; what is stopped need not be waited for.
if [ "$1" = pull ]; then for last; do :; done; {docker} image inspect "$last" >/dev/null 2>&1 && exit 0; fi
if [ "$1" = stop ]; then shift; exec {docker} stop -t 1 "$@"; fi
if [ "$1 $2" = "compose --project-name" ]; then case $4 in stop|down) exec {docker} "$@" -t 1;; esac; fi
exec {docker} "$@"
"""
OURS = """#!/bin/sh
verb=$1; shift
case $verb in {grantable}) set -- --grant everything "$@";; esac
exec {python} -m orchestrator devcontainer "$verb" "$@"
"""


# --- stand-ins -----------------------------------------------------------------------------------------------------------------

# `docker ps` proves that the container is privileged, or that a Docker guard answers.
DOCKER_IN_DOCKER = r"""#!/bin/sh
set -e
cat >/usr/local/bin/docker <<'X'
#!/bin/sh
case $1 in
--version) echo "Docker version 99.0, a stand-in";;
ps) if [ -S /var/run/docker.sock ]; then curl -fsS --unix-socket /var/run/docker.sock http://d/v1.41/containers/json >/dev/null || exit
    elif grep -qE '^CapBnd:\s*0*a80[0-9a-f]{5}$' /proc/self/status; then echo "not privileged" >&2; exit 1; fi
    echo "CONTAINER ID   IMAGE";;
esac
X
printf '#!/bin/sh\nexec "$@"\n' >/usr/local/share/docker-init.sh
chmod 755 /usr/local/bin/docker /usr/local/share/docker-init.sh
"""
HELLO = r"""#!/bin/sh
set -e
printf '#!/bin/sh\necho "%s, $(whoami)!!!!"\n' "${GREETING:-hey}" >/usr/local/bin/hello
chmod 755 /usr/local/bin/hello
"""
_GREETING = {"options": {"greeting": {"type": "string", "default": "hey"}}}
_VERSION = {"options": {"version": {"type": "string", "default": "latest"}}}
_PLAIN = ("git", "github-cli", "java", "python", "dotnet", "terraform")
FEATURES: Mapping[str, tuple[Mapping[str, Any], str, tuple[str, ...]]] = {
    "devcontainers/features/docker-in-docker": ({
        "privileged": True, "entrypoint": "/usr/local/share/docker-init.sh",
        "mounts": [{"source": "dind-var-lib-docker-${devcontainerId}", "target": "/var/lib/docker", "type": "volume"}],
        "customizations": {"vscode": {"extensions": ["ms-azuretools.vscode-docker"]}}, **_VERSION,
    }, DOCKER_IN_DOCKER, ("2.0.0",)),
    "devcontainers/feature-starter/hello": (_GREETING, HELLO, ("1.0.0",)),
    "codspace/myfeatures/helloworld": (_GREETING, HELLO, ("1.0.0",)),
    "devcontainers/features/node": (
        {"customizations": {"vscode": {"extensions": ["dbaeumer.vscode-eslint"]}}, **_VERSION}, "", ("1.0.0",),
    ),
    **{f"devcontainers/features/{name}": (_VERSION, "", ("2.0.0" if name == "dotnet" else "1.0.0",)) for name in _PLAIN},
    "codspace/features/flower": ({}, "", ("1.0.0",)),
    "codspace/features/color": ({}, "", ("1.0.0", "1.0.5", "1.0.4")),
    "codspace/dependson/e": ({}, "", ("1.0.0", "2.0.0")),
    "codspace/dependson/a": ({"dependsOn": {f"{REGISTRY}/codspace/dependson/E": {}}}, "", ("2.0.1",)),
}  # fmt: skip
_TEMPLATE_OPTIONS = ("installZsh", "upgradePackages", "dockerVersion", "moby", "enableNonRootDocker")
TEMPLATE = """{
	"name": "Docker from Docker",
	"image": "mcr.microsoft.com/devcontainers/base:ubuntu",
	"features": {
		"ghcr.io/devcontainers/features/common-utils:1": {
			"installZsh": "${templateOption:installZsh}",
			"upgradePackages": "${templateOption:upgradePackages}"
		},
		"ghcr.io/devcontainers/features/docker-from-docker:1": {
			"version": "${templateOption:dockerVersion}",
			"moby": "${templateOption:moby}",
			"enableNonRootDocker": "${templateOption:enableNonRootDocker}"
		}
	}
}
"""
# What a copy of the checkout names in place of what only the network has.
RENAMED: Sequence[tuple[str, str]] = (
    (r"@sha256:440bdb81cf8af43f3e922450d33db9775c1097340557a5b7b6fe705bc758c5ef", ":2"),
    (r"https://github\.com/codspace/features/releases/download/tarball02/devcontainer-feature-docker-in-docker\.tgz",
     f"{REGISTRY}/devcontainers/features/docker-in-docker:2"),
    (r'"codspace/myfeatures/helloworld"', f'"{REGISTRY}/codspace/myfeatures/helloworld:1"'),
    (r'"terraform": "latest"', f'"{REGISTRY}/devcontainers/features/terraform:1": "latest"'),
    (r'"node": "16"', f'"{REGISTRY}/devcontainers/features/node:1": "16"'),
    (r',?\s*"https://github\.com/codspace/tgz[^"]*": (\{\}|\{[^{}]*\})', ""),
    (r"ghcr\.io/(devcontainers|codspace)/(features|feature-starter|dependson)/", rf"{REGISTRY}/\1/\2/"),
)  # fmt: skip
RENAMED_FOLDERS = (
    "configs",
    "container-features/configs/dockerfile-with-v2-oci-features",
    "container-features/configs/image-with-v2-tarball",
    "container-features/configs/lockfile*",
)


def archive(files: Mapping[str, str]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as out:
        for name, text in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size, member.mode = len(text.encode()), 0o755
            out.addfile(member, io.BytesIO(text.encode()))
    return stream.getvalue()


def publish(registry: registries.Registry) -> dict[tuple[str, str], str]:
    """The digests, by name and version."""
    digests: dict[tuple[str, str], str] = {}
    for name, (values, install, versions) in FEATURES.items():
        last = name.rpartition("/")[2]
        for version in versions:
            feature: dict[str, Json] = {"id": last, "version": version, "name": last, **values}
            files = {"devcontainer-feature.json": json.dumps(feature), "install.sh": install or "#!/bin/sh\n"}
            digests[name, version] = registry.publish(name, feature, tags=_tags(version), layer=archive(files))
    name = "docker-from-docker"
    options: dict[str, Json] = {option: {"type": "string", "default": "x", "proposals": ["x"]} for option in _TEMPLATE_OPTIONS}
    template: dict[str, Json] = {"id": name, "version": "1.0.0", "name": "Docker from Docker", "options": options}
    files = {"devcontainer-template.json": json.dumps(template), ".devcontainer/devcontainer.json": TEMPLATE}
    registry.publish(f"devcontainers/templates/{name}", template, tags=_tags("1.0.0"), layer=archive(files))
    return digests


def _tags(version: str) -> tuple[str, ...]:
    parts = version.split(".")
    return (parts[0], ".".join(parts[:2]), version, "latest")


def rename(tests: Path, digests: Mapping[tuple[str, str], str]) -> None:
    """In a copy of the tests: what is in the registry is asked of the registry; lock files have its digests."""
    for pattern in RENAMED_FOLDERS:
        for path in (found for folder in tests.glob(pattern) for found in folder.rglob("*.json")):
            text = path.read_text()
            for old, new in RENAMED:
                text = re.sub(old, new, text)
            path.write_text(_locked(text, digests) if "lock.json" in path.name and text.strip() else text)
    for name, old in {
        "container-templates/templatesCLICommands.test.ts": "ghcr.io/devcontainers/templates/docker-from-docker",
        "container-features/lockfile.test.ts": "ghcr.io/devcontainers/features/dotnet",
    }.items():
        path = tests / name
        path.write_text(path.read_text().replace(old, old.replace("ghcr.io", REGISTRY)))


def _locked(text: str, digests: Mapping[tuple[str, str], str]) -> str:
    document = json.loads(text)
    for entry in document["features"].values():
        place = entry["resolved"].partition("@")[0]
        found = digests.get((place.removeprefix(f"{REGISTRY}/"), entry["version"]))
        if found is not None:
            wrong = entry["resolved"].rpartition("@")[2] != entry["integrity"]
            entry |= {"resolved": f"{place}@{found}", "integrity": found[:-2] + "00" if wrong else found}
    return json.dumps(document, indent=2) + ("\n" if text.endswith("\n") else "")


# --- the work folder -----------------------------------------------------------------------------------------------------------


def prepare(work: Path, checkout: Path) -> None:
    if not (checkout / "node_modules/.bin/mocha").exists():
        raise CannotHave(f"{checkout} has no node_modules: npm install --ignore-scripts")
    work.mkdir(parents=True)
    process = start_registry(work)
    registry = registries.Registry(REGISTRY, work / "registry/data", process)
    digests = publish(registry)
    for side in SIDES:
        copy = work / side / "checkout"
        shutil.copytree(checkout, copy, symlinks=True)
        rename(copy / "src/test", digests)
        for path in (copy / "src/test").rglob("*"):  # users of containers write there
            path.chmod(path.stat().st_mode | (0o777 if path.is_dir() else 0o666))
        put_programs(work, side)
        have_images(Engine(work / side / "engine", ENGINE).start(), work)


def start_registry(work: Path) -> subprocess.Popen[bytes]:
    folder = work / "registry"
    folder.mkdir()
    host, _, port = REGISTRY.partition(":")
    config = folder / "registry.yml"
    config.write_text(
        f'version: 0.1\nlog: {{level: error}}\nhttp: {{addr: "127.0.0.1:{port}"}}\n'
        f'storage: {{filesystem: {{rootdirectory: "{folder}/data"}}}}\n'
    )
    process = subprocess.Popen(
        [str(registries.program()), "serve", str(config)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    (folder / "process").write_text(f"{process.pid} {engine.start_time(process.pid)}")
    deadline = time.monotonic() + registries.START_S
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline or process.poll() is not None:
                raise CannotHave("the registry did not start") from None
            time.sleep(0.05)
        else:
            if process.poll() is not None:
                raise CannotHave(f"something else listens at {REGISTRY}")
            return process


def have_images(here: Engine, work: Path) -> None:
    def build(target: Path) -> None:
        archive = target.with_suffix(".tar")  # mmdebstrap chooses its format by the suffix
        engine.debian_tree(archive, "bookworm", "minbase", PACKAGES)
        archive.rename(target)

    with engine.built_once("reference-tests-bookworm.tar", build) as tree:
        engine.import_image(here, "reference-tests/tree:latest", tree, [f"ENV PATH={PATH}"])
    folder = work / "images"
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(IMAGES)
    for name, mode in DOTFILES_MODES.items():
        path = folder / "dotfiles" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(DOTFILES)
        path.chmod(mode)
    environ = {**os.environ, "DOCKER_HOST": here.address, "DOCKER_BUILDKIT": "0"}
    for target, tags in TAGS.items():
        names = [word for tag in tags for word in ("--tag", tag)]
        engine.run(["docker", "build", "--network", "none", "--target", target, *names, str(folder)], env=environ)


def put_programs(work: Path, side: str) -> None:
    programs = work / side / "bin"
    programs.mkdir()
    clients.plugins(work / side)
    if side == "reference":
        command = str(clients.dev_container_cli())
    else:
        command = str(programs / "ours")
        _program(programs / "ours", OURS.format(python=sys.executable, grantable="|".join(GRANTABLE)))
    _program(programs / "npx", NPX.format(command=command))
    _program(programs / "npm", NPM.format(npm=shutil.which("npm")))
    _program(programs / "docker", DOCKER.format(docker=shutil.which("docker")))


def _program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def run(work: Path, side: str, files: Sequence[str]) -> None:
    folder = work / side
    environ = {
        **os.environ,
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "AIENV_HOME": str(folder / "home"),
        "DOCKER_HOST": Engine.found(folder / "engine").address,
        "DOCKER_CONFIG": str(folder / ".docker"),
        "TS_NODE_PROJECT": "src/test/tsconfig.json",
        "TS_NODE_TRANSPILE_ONLY": "true",
    }
    for file in files:
        forget_containers(environ)
        name = Path(file).name.removesuffix(".test.ts")
        argv = ["node_modules/.bin/mocha", "-r", "ts-node/register", "--exit", "--reporter", "json",
                "--reporter-option", f"output={folder / name}.json", f"src/test/{file}"]  # fmt: skip
        with open(folder / f"{name}.log", "wb") as log:
            subprocess.run(argv, cwd=folder / "checkout", env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                           timeout=FILE_S, check=False, umask=0)  # fmt: skip


def forget_containers(environ: Mapping[str, str]) -> None:
    """A test that failed leaves its container, and the next one would find it."""
    if left := engine.run(["docker", "ps", "-aq"], env=environ).stdout.split():
        engine.run(["docker", "rm", "-f", "-v", *left], env=environ)


# --- report --------------------------------------------------------------------------------------------------------------------


def report(work: Path) -> Iterator[str]:
    """Lines: of each file how many tests passed on each side; then each test that did not pass on both, with what was said."""
    names = sorted({path.stem for side in SIDES for path in (work / side).glob("*.json")})
    found = {(side, name): _outcomes(work / side / f"{name}.json") for name in names for side in SIDES}
    for name in names:
        both = (f"{side} {sum(text is None for text in found[side, name].values())}/{len(found[side, name])}" for side in SIDES)
        yield f"{name}: {', '.join(both)}"
    for name in names:
        here, there = (found[side, name] for side in SIDES)
        for title in {**here, **there}:
            said = [side.get(title, "not run") for side in (here, there)]
            if here and there and any(said):
                yield f"{name}: {title}"
                yield from (f"    {side}: {text or 'passed'}" for side, text in zip(SIDES, said, strict=True))


def _outcomes(path: Path) -> dict[str, str | None]:
    """Of each test, and each hook that failed, its error; None if it passed."""
    if not path.exists():
        return {}
    document = json.loads(path.read_text())
    found: dict[str, str | None] = {}
    for one in (*document["passes"], *document["failures"]):
        title = one["fullTitle"]
        while title in found:
            title += "'"
        error = one["err"]
        found[title] = (error.get("message") or json.dumps(error))[-500:].replace("\n", " ") if error else None
    return found


def stop(work: Path) -> None:
    for side in SIDES:
        if (work / side / "engine/engine.json").exists():
            Engine.found(work / side / "engine").stop()
    guards = Guards(work / "ours/home/devcontainers/guards", os.environ)
    for path in guards.folder.glob("*.pid"):
        guards.end(path.stem)
    mark = work / "registry/process"
    if mark.exists():
        number, _, started = mark.read_text().partition(" ")
        if engine.alive(int(number), started):
            os.kill(int(number), signal.SIGTERM)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python tests/reference_tests.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("verb", choices=("prepare", "run", "report", "stop"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--checkout", type=Path)
    parser.add_argument("--side", choices=SIDES, default="ours")
    parser.add_argument("files", nargs="*")
    options = parser.parse_intermixed_args(argv)
    work = options.work.absolute()
    try:
        if options.verb == "prepare":
            if options.checkout is None:
                parser.error("prepare needs --checkout")
            prepare(work, options.checkout.absolute())
        elif options.verb == "run":
            run(work, options.side, options.files)
        elif options.verb == "report":
            print("\n".join(report(work)))
        else:
            stop(work)
    except (CannotHave, TimeoutError) as problem:
        print(f"reference tests: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

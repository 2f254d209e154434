"""New lock files: npm or pip resolves, here, without running a script; what they found is fetched once, for its size and as proof.

``aienv agents update`` writes the user's own; ``python -m orchestrator.agents.relock NAME...`` renews those that come with us, for the
versions that the profiles name.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from orchestrator.agents import pypi
from orchestrator.agents.catalog import PROFILES
from orchestrator.agents.fetch import Say, fetcher
from orchestrator.agents.install import NODE, filled, lock_name
from orchestrator.agents.lock import CPUS, Lock, NpmPackage, PypiPackage, dump, from_npm, from_pip
from orchestrator.errors import EnvironmentFailed
from orchestrator.model.agent import Profile, Program

NPM_S = 600.0


def relock(profile: Profile, environ: Mapping[str, str], say: Say, *, version: str = "") -> Lock:
    """A lock for the profile's program in ``version`` (default: that of the profile; ``latest`` is the newest).

    Raises:
        EnvironmentFailed: npm or pip is missing or fails, or a package comes from elsewhere than a registry.
    """
    program = replace(profile.program, version=version or profile.program.version)
    say(f"{profile.name}: resolving {program.package} {program.version}")
    try:
        return _npm(program, environ, say) if program.kind == "npm" else _pypi(program, environ)
    except (ValueError, KeyError, TypeError) as problem:
        raise EnvironmentFailed(f"{profile.name} cannot be locked: {problem}", code="agent-lock") from problem


def _npm(program: Program, environ: Mapping[str, str], say: Say) -> Lock:
    with tempfile.TemporaryDirectory(prefix="aienv-relock-") as folder:
        scratch = Path(folder)
        # Optional, so that npm lists also the package of a processor that is not this one.
        wanted = {filled(program.package, machine): _at_most(program.version) for machine in CPUS}
        wanted[lock_name(program)] = program.version or "latest"
        wanted |= {name: version or "latest" for name, _, version in (_split(one) for one in program.extra)}
        (scratch / "package.json").write_text(json.dumps({"name": "aienv-lock", "version": "0.0.0", "optionalDependencies": wanted}))
        _run_npm(scratch, environ)
        packages = from_npm(json.loads((scratch / "package-lock.json").read_bytes()))
        name = lock_name(program)
        own = next((one for one in packages if one.path == f"node_modules/{name}"), None)
        if own is None:
            raise ValueError(f"npm found no {name} {program.version}")
        with fetcher(environ, scratch, say) as source:
            sized: list[NpmPackage] = []
            source.fetch(packages, lambda one, archive: sized.append(replace(one, size_bytes=archive.stat().st_size)), say, name)
    return Lock("npm", name, own.version, npm=tuple(sorted(sized, key=lambda one: one.path)))


def _at_most(version: str) -> str:
    """Not every version is published for every processor."""
    major = version.partition(".")[0]
    return f">={major}.0.0 <={version}" if major.isdigit() else "latest"


def _split(text: str) -> tuple[str, str, str]:
    """``@scope/name@version``; the version may be missing."""
    name, at, version = text[1:].partition("@")
    return text[:1] + name, at, version


def _run_npm(folder: Path, environ: Mapping[str, str]) -> None:
    npm = shutil.which("npm", path=environ.get("PATH", os.defpath))
    if npm is None:
        raise EnvironmentFailed(
            "a lock file of npm packages is made by npm, which this machine does not have",
            remedy="install npm, or bring a lock file from another machine",
            code="agent-npm",
        )
    argv = [
        npm, "install", "--package-lock-only", "--ignore-scripts", "--omit=dev", "--omit=peer", "--no-audit", "--no-fund", "--force",
        "--lockfile-version=3", "--silent",
    ]  # fmt: skip
    try:
        done = subprocess.run(
            argv, cwd=folder, env=dict(environ), stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=NPM_S,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise EnvironmentFailed(f"npm could not be run: {problem}", code="agent-npm") from problem
    if done.returncode != 0:
        last = (done.stderr + done.stdout).strip()[-600:]
        raise EnvironmentFailed(f"npm ended with {done.returncode}: {last}", remedy="see what npm says: npm ping", code="agent-npm")


def _pypi(program: Program, environ: Mapping[str, str]) -> Lock:
    own = f"{program.package}=={program.version}" if program.version not in ("", "latest") else program.package
    report, python = pypi.resolve((own, *program.extra), environ)
    packages: tuple[PypiPackage, ...] = from_pip(report)
    version = next(one.version for one in packages if one.name == program.package.lower())
    return Lock("pypi", program.package, version, pypi=packages, python=python, machine=platform.machine())


def main(argv: list[str]) -> int:
    """``node`` is one of the names."""
    known = {**PROFILES, NODE.name: NODE}
    if not argv or not all(name in known for name in argv):
        print(f"usage: python -m orchestrator.agents.relock NAME...   of {', '.join(known)}", file=sys.stderr)
        return 2
    for name in argv:
        lock = relock(known[name], os.environ, lambda text: print(text, file=sys.stderr))
        (Path(__file__).parent / "data" / f"{name}.lock.json").write_bytes(dump(lock))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

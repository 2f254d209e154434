"""The Dockerfile that installs features on an image, and the script that runs each of them. Pure.

Plain COPY and RUN: every builder can do it, and keeps what did not change. The values of options lie in a file beside the feature, which
the script reads; no command line is made of them.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.devcontainer.features.feature import Feature
from orchestrator.devcontainer.features.options import Users, environment
from orchestrator.devcontainer.images.quoting import assignments, env_instruction, exec_form, user_instruction
from orchestrator.devcontainer.jsonc import Json
from orchestrator.errors import ConfigError

FOLDER = "/tmp/dev-container-features"  # where the reference has them, too
SCRIPT = "begin.sh"
VALUES = "values"
SHOWN_LINES = 20

_MARK = re.compile(r"\[aienv feature ([0-9]{1,6})\]", re.ASCII)
_BUILDKIT_PREFIX = re.compile(r"#[0-9]+ [0-9.]+ ", re.ASCII)
_NOISE = re.compile(
    r"Removing intermediate container|The command '|ERROR: |#[0-9]+ (?:ERROR|DONE|CANCELED)| ---> |Step [0-9]+/|Sending build context"
    r"|DEPRECATED: |            (?:Install the buildx|https://docs|BuildKit is|environment-variable)"
)

# $1: the feature's folder; $2: what to say first. Homes are looked up here, since only the image knows them. One output: of two, what came
# last would not be told last.
BEGIN = f"""\
set -e
home_of() {{
  entry=
  case $1 in
    -*) ;;
    *) entry=$(getent passwd "$1" 2>/dev/null) || entry= ;;
  esac
  if [ -z "$entry" ] && [ -r /etc/passwd ]; then
    while IFS= read -r line || [ -n "$line" ]; do
      case $line in
        "$1":*:*:*:*:*) entry=$line; break ;;
        *:*:"$1":*:*:*) [ -n "$entry" ] || entry=$line ;;
      esac
    done </etc/passwd
  fi
  rest=${{entry#*:*:*:*:*:}}
  printf '%s' "${{rest%%:*}}"
}}
set -a
. {FOLDER}/{VALUES}
set +a
[ -n "${{_CONTAINER_USER_HOME+x}}" ] || _CONTAINER_USER_HOME=$(home_of "$_CONTAINER_USER")
[ -n "${{_REMOTE_USER_HOME+x}}" ] || _REMOTE_USER_HOME=$(home_of "$_REMOTE_USER")
export _CONTAINER_USER_HOME _REMOTE_USER_HOME
printf '%s\\n' "$2"
cd "{FOLDER}/$1"
./install.sh 2>&1
cd /
rm -rf {FOLDER} || :
"""


@dataclass(frozen=True, slots=True)
class Step:
    """A feature and its number, from 0."""

    number: int
    feature: Feature

    @property
    def folder(self) -> str:
        return f"{self.feature.manifest.id}_{self.number}"

    @property
    def mark(self) -> str:
        return f"[aienv feature {self.number}] {json.dumps(self.feature.written)}"


def steps_of(features: Sequence[Feature]) -> tuple[Step, ...]:
    return tuple(Step(number, feature) for number, feature in enumerate(features))


def dockerfile(base: str, steps: Sequence[Step], user: str, variables: Sequence[str]) -> str:
    """``base``: a name of ours; ``user``: the image's; ``variables``: instructions, for the finished image.

    Each instruction costs the classic builder a container, so there are none without need.

    Raises:
        ConfigError: a variable or the user cannot be written there.
    """
    if not steps:
        return f"FROM {base}\n"
    as_root = user in ("", "root", "0")
    lines = [f"FROM {base}", *(() if as_root else ("USER 0",))]  # a number: not every image has a name for it
    for step in steps:
        lines += _environment_of(step.feature)
        lines += [f"COPY {step.number}/ {FOLDER}/", exec_form("RUN", ("/bin/sh", f"{FOLDER}/{SCRIPT}", step.folder, step.mark))]
    return "\n".join((*lines, *variables, *(() if as_root else (user_instruction(user),)), ""))


def values(feature: Feature, container_user: str, remote_user: str) -> bytes:
    """The file that the script reads. The homes are for the script to find."""
    users = Users(_name(container_user), _name(remote_user), "", "")
    found = environment(feature.manifest, feature.value, users)
    homes = ("_CONTAINER_USER_HOME", "_REMOTE_USER_HOME")
    return assignments(one for one in found if one[0] not in homes or one[1])


def failed_feature(lines: Sequence[str], steps: Sequence[Step]) -> tuple[Step, tuple[str, ...]] | None:
    """Which feature a build that failed was at, and what that one said last. None: it came to none."""
    last, begun = None, 0
    for position, line in enumerate(lines):
        match = _MARK.match(plain(line))
        if match and int(match[1]) < len(steps) and int(match[1]) != last:
            last, begun = int(match[1]), position + 1
    if last is None:
        return None
    return steps[last], failure_lines(lines[begun:])


def failure_lines(lines: Sequence[str]) -> tuple[str, ...]:
    """The last ones that the failed instruction itself wrote, as far as they can be told."""
    said: list[str] = []
    for line in lines:
        if line.startswith("------"):
            break
        text = plain(line)
        if text.strip() and not _NOISE.match(text):
            said.append(text)
    return tuple(said[-SHOWN_LINES:])


def plain(line: str) -> str:
    """Without what BuildKit writes in front."""
    return _BUILDKIT_PREFIX.sub("", line, count=1)


def _environment_of(feature: Feature) -> list[str]:
    try:
        return [env_instruction(name, value, expand=True) for name, value in feature.manifest.container_env.items()]
    except ConfigError as problem:
        raise ConfigError(f"containerEnv of the feature {feature.written!r}: {problem.message}", code="feature") from None


def _name(user: str) -> str:
    """Without the group that USER may have, too."""
    return user.partition(":")[0] or "root"


@dataclass(frozen=True, slots=True)
class Env:
    """``lines``: of a Dockerfile; ``problems``: variables that no image can hold; a container can be given them nevertheless."""

    lines: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def env_of(table: Json) -> Env:
    """Of the configuration's ``containerEnv``, for the finished image: literal."""
    lines, problems = [], []
    for name, value in table.items() if isinstance(table, dict) else ():
        if isinstance(value, str | int | float):
            text = ("false", "true")[value] if isinstance(value, bool) else str(value)
            try:
                lines.append(env_instruction(name, text, expand=False))
            except ConfigError as problem:
                problems.append(f"containerEnv is not in the image where it cannot be: {problem.message}")
    return Env(tuple(lines), tuple(problems))

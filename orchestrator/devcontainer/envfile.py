"""A project's file of variables (``.env``): read here, and written anew for compose. Pure.

Compose puts what stands in it into its own environment, and so into that of every program that it starts: git, ssh, helpers that know
passwords. It is a stranger's file, so compose never reads it, and names that steer programs do not count.
"""

import re
from collections.abc import Mapping

MAX_LINES = 10_000

_LINE = re.compile(
    r"""\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*[=:]\s*"""
    r"""(?:'(?P<single>[^']*)'\s*(?:\#.*)?|"(?P<double>(?:[^"\\]|\\.)*)"\s*(?:\#.*)?|(?P<plain>.*?)(?:\s+\#.*)?)\s*""",
    re.ASCII,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
# What programs that compose could start take for more than a value of the project.
_STEERS = re.compile(
    r"(GIT|SSH|GPG|LD|DYLD|BASH|DOCKER|COMPOSE|BUILDX|BUILDKIT|GLIBC|GCONV|MALLOC|XDG|DBUS|KRB5|PASSWORD_STORE|SSL|CURL|OTEL|ZDOT)_.*"
    r"|(HTTP|HTTPS|FTP|ALL|NO)_PROXY|(PYTHON|PERL5?|RUBY)[A-Z0-9]+|NODE_(OPTIONS|PATH|EXTRA_CA_CERTS)|NPM_CONFIG_.*|JAVA_TOOL_OPTIONS"
    r"|JDK_JAVA_OPTIONS|GODEBUG|GOTRACEBACK|AWS_(CONFIG_FILE|SHARED_CREDENTIALS_FILE|PROFILE)|CLOUDSDK_.*|AZURE_CONFIG_DIR"
    r"|GOOGLE_APPLICATION_CREDENTIALS|GNUPGHOME|KUBECONFIG|ENV|IFS|PATH|HOME|SHELL|TMPDIR|TMP|TEMP|USER|LOGNAME|EDITOR|VISUAL|PAGER|BROWSER"
    r"|DISPLAY|HOSTALIASES|LOCALDOMAIN|RES_OPTIONS|NLSPATH|LOCPATH|TZDIR|TERMINFO.*|CDPATH|PS4|PROMPT_COMMAND",
    re.IGNORECASE | re.ASCII,
)


def read(text: str) -> dict[str, str]:
    """Of each name the last value. Names that steer programs are left out; so is what no line of ours can hold."""
    found: dict[str, str] = {}
    for line in text.split("\n", MAX_LINES)[:MAX_LINES]:
        match = _LINE.fullmatch(line.rstrip("\r"))
        if match is None or line.lstrip().startswith("#") or steers(match["name"]):
            continue
        value = match["single"] if match["single"] is not None else match["plain"]
        if match["double"] is not None:
            value = re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), match["double"])
        found[match["name"]] = value
    return {name: value for name, value in found.items() if _holds(value)}


def steers(name: str) -> bool:
    """Whether a variable of that name is more to programs than a value; ``COMPOSE_PROJECT_NAME`` and the like are read by us."""
    return _STEERS.fullmatch(name) is not None


def written(values: Mapping[str, str]) -> str:
    """For ``--env-file``: quoted so that every version of compose reads just these values."""
    return "".join(f"{name}='{value}'\n" for name, value in values.items() if _holds(value))


def _holds(value: str) -> bool:
    return not re.search(r"['\\\n\r\x00]|\$\{", value)

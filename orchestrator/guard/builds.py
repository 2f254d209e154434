"""What a build may ask for: a closed table of ``/build``'s parameters. Pure.

Forced: the session's network, the removal of what is left on the way, no pull, our labels last, our limits where none are given.
The context and its Dockerfile are judged after this, by ``guard.context`` and ``guard.dockerfile``.
"""

import json
import re
from collections.abc import Callable, Mapping

from orchestrator.guard.calls import Build, Json, Object, Session, deny
from orchestrator.guard.images import OwnImages, Pairs, boolean, free_tag, judge_room, labels, platform_name
from orchestrator.guard.strictjson import parse

CLASSIC = "the classic builder: DOCKER_BUILDKIT=0, as is set inside"
MAX_TAGS, MAX_HOSTS, MAX_ARGUMENTS, MAX_CACHE = 16, 32, 256, 32
CPU_PERIOD_US = 100_000
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
NO_PROXIES = ("NO_PROXY", "no_proxy")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
ULIMITS = frozenset(["core", "cpu", "data", "fsize", "nofile", "nproc", "rss", "stack", "sigpending"])

_NUMBER = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_CPUSET = re.compile(r"[0-9,-]{0,64}", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,252}[:=](\[?[0-9a-fA-F:.]{2,45}\]?)", re.ASCII)
_TARGET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}|", re.ASCII)
_ARGUMENT = re.compile(r"[^\x00-\x1f\x7f=]{1,256}")
_EMPTY = frozenset(["", "0", "false", "null", "none", "[]", "{}"])

# What is judged below, with more than its own value in mind.
_JUDGED = frozenset([
    "t", "dockerfile", "target", "buildargs", "labels", "cachefrom", "networkmode", "extrahosts", "ulimits", "memory", "memswap",
    "cpushares", "cpuperiod", "cpuquota", "cpusetcpus", "cpusetmems", "shmsize", "platform", "cgroupparent", "version",
])  # fmt: skip
# Read and forced, whatever they say.
_FORCED = frozenset(["rm", "forcerm", "pull"])
_FLAGS = ("q", "nocache")
# Refused where they say anything: (rule, why, what would pass).
_REFUSED: Mapping[str, tuple[str, str, str | None]] = {
    "remote": (
        "build.remote",
        "the engine would fetch the context itself, past the rules of the network",
        "a context that the client sends",
    ),
    "session": ("build.buildkit", "BuildKit's own protocol cannot be judged here", CLASSIC),
    "buildid": ("build.buildkit", "BuildKit's own protocol cannot be judged here", CLASSIC),
    "outputs": ("build.buildkit", "outputs need BuildKit, which is not to be had here", CLASSIC),
    "squash": ("build.squash", "squash is an experiment of the engine", "squash=0"),
    "securityopt": ("build.security", "a build takes the engine's own confinement", "no securityopt"),
    "isolation": ("build.isolation", "isolation is of other systems", "no isolation"),
}
_REPEATED = frozenset(["t", "extrahosts", "securityopt"])


def judge_build(query: Pairs, session: Session, own: OwnImages, platform: str = "", network: str = "") -> tuple[Pairs, Build]:
    """The query to send, and what the context is judged by. ``platform``: the engine's; ``network``: what builds join in place of the
    session's network: ``container:`` and the full id of one that stands in it. A build cannot be given name servers, so older engines carry
    its questions outside (CVE-2024-29018); in the place of a container that has them it asks those.

    Raises:
        Denied: a parameter or a value that no build here may have.
    """
    asked = _sorted_out(query)

    def value(name: str) -> str:
        return asked.get(name, [""])[0]

    if value("version") not in ("", "1"):
        raise deny("build.buildkit", "BuildKit cannot be judged here", field="version", allowed=CLASSIC)
    judge_room(session, own)
    names = tuple(dict.fromkeys(free_tag(text, session, own) for text in asked.get("t", ()) if text))
    if len(names) > MAX_TAGS:
        raise deny("build.tags", f"more than {MAX_TAGS} names", field="t")
    dockerfile = _dockerfile(value("dockerfile"))
    target = _matching(_TARGET, value("target"), "target", "a stage's name")
    arguments = _arguments(value("buildargs"), session)
    pairs: list[tuple[str, str]] = [("dockerfile", dockerfile), *(("t", name) for name in names)]
    pairs += [(name, boolean(value(name), name)) for name in _FLAGS if name in asked]
    pairs += [("rm", "1"), ("forcerm", "1"), ("pull", "0"), ("networkmode", _network(value("networkmode"), session, network))]
    pairs += [("buildargs", _json(arguments)), ("labels", _json(_labels(value("labels"), session)))]
    pairs += [(name, text) for name, text in (("target", target), ("platform", _same_platform(value("platform"), platform))) if text]
    pairs += _limits(value, session)
    if cache := _cache(value("cachefrom"), own):
        pairs.append(("cachefrom", _json(cache)))
    if limits := _ulimits(value("ulimits")):
        pairs.append(("ulimits", _json(limits)))
    pairs += [("extrahosts", host) for host in _hosts(asked.get("extrahosts", []))]
    given = {name: text for name, text in arguments.items() if isinstance(text, str)}
    return tuple(pairs), Build(dockerfile, names, given, target)


def _sorted_out(query: Pairs) -> dict[str, list[str]]:
    """By name; each of them known, and given once where the engine takes one."""
    found: dict[str, list[str]] = {}
    for name, value in query:
        if name in _REFUSED:
            if value.lower() not in _EMPTY:
                rule, reason, allowed = _REFUSED[name]
                raise deny(rule, reason, field=name, allowed=allowed)
        elif name in _JUDGED or name in _FORCED or name in _FLAGS:
            found.setdefault(name, []).append(value)
        elif value.lower() not in _EMPTY:
            raise deny("query.unknown", f"the parameter {name[:40]!r} is not known here", field=name[:40])
    for name, values in found.items():
        if len(values) > 1 and name not in _REPEATED:
            raise deny("query.duplicate", f"the parameter {name!r} stands there twice", field=name, status=400)
    return found


def _dockerfile(text: str) -> str:
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if text.startswith("/") or ".." in parts or len(text) > 1024 or any(char < " " or char == "\x7f" for char in text):
        raise deny(
            "build.dockerfile",
            f"{text[:80]!r} is no path in the build context",
            field="dockerfile",
            allowed="such as docker/Dockerfile",
            status=400,
        )
    return "/".join(parts) or "Dockerfile"


def _network(text: str, session: Session, network: str) -> str:
    ours = network or session.network or session.network_name or "none"
    if text in ("", "default", "bridge", session.network, session.network_name):
        return ours
    if text == "none":
        return "none"
    raise deny("build.network", f"a build may not use the network {text[:80]!r}", field="networkmode", allowed="default, none")


def _arguments(text: str, session: Session) -> Object:
    """``null``: named without a value. With the way out added where the client names none."""
    found = _object(text, "buildargs", (str, type(None)))
    if len(found) > MAX_ARGUMENTS:
        raise deny("build.arguments", f"more than {MAX_ARGUMENTS} build arguments", field="buildargs")
    for name in found:
        _matching(_ARGUMENT, name, "buildargs", "NAME=value")
    if session.proxy is not None:
        found = {
            **dict.fromkeys(PROXIES, session.proxy),
            **dict.fromkeys(NO_PROXIES, ",".join((*LOOPBACK, *session.no_proxy))),
            **found,
        }
    return found


def _labels(text: str, session: Session) -> Object:
    found = _object(text, "labels", (str,))
    return {**{name: value for name, value in found.items() if not name.lower().startswith("dev.aienv.")}, **labels(session)}


def _cache(text: str, own: OwnImages) -> list[Json]:
    """Images that may be used, by id; the others are as if they were not there."""
    names = _list(text, "cachefrom")
    if len(names) > MAX_CACHE:
        raise deny("build.cache", f"more than {MAX_CACHE} images", field="cachefrom")
    return [found for name in names if isinstance(name, str) and (found := own.usable(name))]


def _ulimits(text: str) -> list[Json]:
    found: list[Json] = []
    for item in _list(text, "ulimits"):
        name, soft, hard = (item.get("Name"), item.get("Soft"), item.get("Hard")) if isinstance(item, dict) else (None, None, None)
        if not isinstance(item, dict) or set(item) - {"Name", "Soft", "Hard"} or name not in ULIMITS:
            raise deny("build.ulimits", f"{str(name)[:20]!r} is no limit of a build", field="ulimits", allowed=", ".join(sorted(ULIMITS)))
        if not all(isinstance(number, int) and not isinstance(number, bool) and -1 <= number < 1 << 62 for number in (soft, hard)):
            raise deny("build.ulimits", "a limit is a whole number", field="ulimits", status=400)
        found.append({"Name": name, "Soft": soft, "Hard": hard})
    return found


def _hosts(texts: list[str]) -> list[str]:
    if len(texts) > MAX_HOSTS:
        raise deny("build.hosts", f"more than {MAX_HOSTS} hosts", field="extrahosts")
    for text in filter(None, texts):
        if text.endswith("host-gateway"):
            raise deny("build.hosts", "the host cannot be reached from here", field="extrahosts", allowed="addresses of containers")
        _matching(_HOST, text, "extrahosts", "name:address")
    return [text for text in texts if text]


def _limits(value: Callable[[str], str], session: Session) -> list[tuple[str, str]]:
    most = session.plan.limits
    memory = _number(value("memory"), "memory")
    if memory > most.memory_bytes or memory < 0:
        raise deny("quota.memory", f"a build may have {most.memory_bytes >> 20} MiB", field="memory", remedy="guard.memory")
    memory = memory or most.memory_bytes
    swap = _number(value("memswap"), "memswap")
    if swap > most.memory_bytes:
        raise deny(
            "quota.memory", f"a build may have {most.memory_bytes >> 20} MiB with swap", field="memswap", remedy="guard.memory"
        )
    period, quota = _number(value("cpuperiod"), "cpuperiod"), _number(value("cpuquota"), "cpuquota")
    if quota < 0 or period < 0 or (period and not 1000 <= period <= 1_000_000):
        raise deny("query.value", "cpuperiod is from 1000 to 1000000, cpuquota at least 1000", field="cpuperiod", status=400)
    period = period or CPU_PERIOD_US
    if quota > most.cpus * period:
        raise deny("quota.cpus", f"a build may have {most.cpus:g} processors", field="cpuquota", remedy="guard.cpus")
    shm = _number(value("shmsize"), "shmsize")
    if not 0 <= shm <= memory:
        raise deny("quota.memory", "shmsize is more than the memory of the build", field="shmsize")
    if value("cgroupparent") not in ("", session.plan.cgroup_parent):
        raise deny("build.cgroup", "builds live in the session's control group", field="cgroupparent", allowed="no value")
    shares = _number(value("cpushares"), "cpushares")
    pairs = [
        ("memory", str(memory)), ("memswap", str(memory)), ("cpuperiod", str(period)),
        ("cpuquota", str(quota or int(most.cpus * period))),
    ]  # fmt: skip
    pairs += [("shmsize", str(shm))] if shm else []
    pairs += [("cpushares", str(shares))] if 0 < shares <= 1024 else []
    for name in ("cpusetcpus", "cpusetmems"):
        if text := _matching(_CPUSET, value(name), name, "such as 0-3"):
            pairs.append((name, text))
    if session.plan.cgroup_parent:
        pairs.append(("cgroupparent", session.plan.cgroup_parent))
    return pairs


def _same_platform(text: str, platform: str) -> str:
    """``platform``: the engine's, where it is known. Images are pinned: a build for another one would find none."""
    text = platform_name(text.lower(), "platform")
    if text and platform and text != platform:
        raise deny("build.platform", f"builds are for {platform}", field="platform", allowed=platform)
    return text


def _object(text: str, name: str, types: tuple[type, ...]) -> Object:
    value = _value(text, name)
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(item, types) for item in value.values()):
        raise deny("query.value", f"{name} is no table of texts", field=name, status=400)
    return value


def _list(text: str, name: str) -> list[Json]:
    value = _value(text, name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise deny("query.value", f"{name} is no list", field=name, status=400)
    return value


def _value(text: str, name: str) -> Json:
    return parse(text.encode(errors="surrogatepass"), any_top=True) if text else None


def _number(text: str, name: str) -> int:
    return int(_matching(_NUMBER, text, name, "a whole number")) if text else 0


def _matching(pattern: re.Pattern[str], text: str, name: str, allowed: str) -> str:
    if not pattern.fullmatch(text):
        raise deny("query.value", f"{name}={text[:80]!r} is not understood", field=name, allowed=allowed, status=400)
    return text


def _json(value: Json | list[Json] | Object) -> str:
    return json.dumps(value, separators=(",", ":"))

"""maven: https://maven.apache.org/settings.html . Pure. Profiles count that are active without anybody naming them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from orchestrator.presets.side import Found, Setting, Side, plain_name, proxy_note

_CENTRAL = "central"
_PROPERTY = re.compile(r"\$\{(env\.[A-Za-z_][A-Za-z0-9_]*|user\.home)\}")


def places(side: Side) -> tuple[Path, ...]:
    """The user's file comes first: its mirrors do."""
    homes = [Path(side.environ[name]) for name in ("MAVEN_HOME", "M2_HOME") if side.environ.get(name)]
    if "mvn" in side.programs:
        homes.append(side.programs["mvn"].parent.parent)
    shared = (*(home / "conf/settings.xml" for home in homes), side.root / "etc/maven/settings.xml")
    return (side.home / ".m2/settings.xml", *dict.fromkeys(shared))


def read(side: Side, files: Mapping[Path, str], defaults: Sequence[str]) -> Found:
    mirrors: list[tuple[str, Setting]] = []
    repositories: list[tuple[str, Setting]] = []
    notes: list[str] = []
    for path, text in files.items():
        shown = side.shown(path)
        root = _parsed(text)
        if root is None:
            notes.append(f"{shown} is no XML that can be read, or has a document type; what it says does not count")
            continue
        mirrors += [(of, Setting(_filled(url, side), f"mirror {name} in {shown}")) for of, name, url in _mirrors(root)]
        repositories += [(name, Setting(_filled(url, side), f"repository {name} in {shown}")) for name, url in _repositories(root)]
        if any(_text(proxy, "active") != "false" for proxy in _all(root, "proxies", "proxy")):
            notes.append(proxy_note(f"proxies in {shown}"))
    if _CENTRAL not in [name for name, _ in repositories]:
        repositories += [(_CENTRAL, Setting(url, "maven's central repository")) for url in defaults]
    settings = [setting for _, setting in mirrors]
    settings += [setting for name, setting in repositories if not any(_covers(of, name) for of, _ in mirrors)]
    return Found(tuple(dict.fromkeys(settings)), tuple(notes))


def _parsed(text: str) -> ET.Element | None:
    """None for what is broken, and for entities: those can grow a small file to any size."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        return None
    try:
        root = ET.fromstring(text)
    except (ET.ParseError, ValueError):
        return None
    return root if _name(root) == "settings" else None


def _mirrors(root: ET.Element) -> Iterator[tuple[str, str, str]]:
    """What it mirrors, its name, its address. Blocked ones are there to fail."""
    for mirror in _all(root, "mirrors", "mirror"):
        if _text(mirror, "blocked") != "true":
            yield _text(mirror, "mirrorOf"), plain_name(_text(mirror, "id")), _text(mirror, "url")


def _repositories(root: ET.Element) -> Iterator[tuple[str, str]]:
    active = {(element.text or "").strip() for element in _all(root, "activeProfiles", "activeProfile")}
    for profile in _all(root, "profiles", "profile"):
        always = any(_text(activation, "activeByDefault") == "true" for activation in _all(profile, "activation"))
        if not always and _text(profile, "id") not in active:
            continue
        for names in (("repositories", "repository"), ("pluginRepositories", "pluginRepository")):
            yield from ((plain_name(_text(one, "id")), _text(one, "url")) for one in _all(profile, *names))


def _covers(mirror_of: str, name: str) -> bool:
    """Whether a mirror takes a repository's place: https://maven.apache.org/guides/mini/guide-mirror-settings.html"""
    patterns = [pattern.strip() for pattern in mirror_of.split(",")]
    return f"!{name}" not in patterns and any(pattern in ("*", "external:*", name) for pattern in patterns)


def _all(element: ET.Element, *names: str) -> Iterator[ET.Element]:
    """Elements by a path of names, whatever their namespace."""
    for child in element:
        if _name(child) == names[0]:
            if len(names) == 1:
                yield child
            else:
                yield from _all(child, *names[1:])


def _text(element: ET.Element, name: str) -> str:
    return next(((child.text or "").strip() for child in _all(element, name)), "")


def _name(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _filled(url: str, side: Side) -> str:
    def value(found: re.Match[str]) -> str:
        return str(side.home) if found[1] == "user.home" else side.environ.get(found[1].removeprefix("env."), found[0])

    return _PROPERTY.sub(value, url)

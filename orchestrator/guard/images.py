"""Which images a session may use, make, name and remove. Pure.

A name of the allow list means the image that it named at launch, by its id, whatever becomes of the name later. What a session builds,
loads or commits is its own by id; the names that it gives are free ones, never of the list and never of somebody else's image.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.guard import dockerfile
from orchestrator.guard.calls import Denied, Json, Object, Session, deny
from orchestrator.guard.imagenames import canonical, familiar, full_id, id_like, is_id, parse_name, refuse_image, repository, split
from orchestrator.model.guard import IMAGE_RUN, MANAGED, ROLE, RUN, GuardPlan

Pairs = tuple[tuple[str, str], ...]

OF_DEV_CONTAINERS = "docker.io/aienv-devcontainer/"  # they are found again by their names
RESERVED = ("docker.io/aienv/", OF_DEV_CONTAINERS)  # aienv's own base images and their like
DROPPED_HEADERS = frozenset(["x-registry-auth", "x-registry-config"])
MAX_CHANGES = 64

_PLATFORM = re.compile(r"linux(/(amd64|arm64|arm|386|ppc64le|s390x|riscv64|mips64le)(/v[5-8])?)?", re.ASCII)
_LINE = re.compile(r"[^\x00-\x1f\x7f]{0,512}")
_HARMLESS_CHANGES = frozenset(
    ["CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "USER", "VOLUME", "WORKDIR"]
)  # of what the engine takes; not ONBUILD, which acts in a later build


@dataclass(slots=True)
class OwnImages:
    """``pinned``: canonical names of the allow list -> the one image that each means. ``ids``: made in the session. ``tags``: names
    that the session gave -> id."""

    pinned: dict[str, str] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)
    tags: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, plan: GuardPlan) -> "OwnImages":
        return cls(pinned={image.reference: image.id for image in plan.images if image.id is not None})

    @property
    def count(self) -> int:
        return max(len(self.ids), len(self.tags))

    def pin(self, reference: str, image: str) -> None:
        """A pull of a name of the list has ended well. What was pinned stays what it was."""
        self.pinned.setdefault(reference, image)

    def made(self, image: str, tags: Sequence[str] = ()) -> None:
        """A build, load or commit gave ``image``. Of a build only the last id: those of its stages may be somebody's, from the cache."""
        if image not in self.pinned.values():
            self.ids.add(image)
        self.tags.update((tag, image) for tag in tags)

    def untagged(self, reference: str) -> None:
        self.tags.pop(reference, None)

    def removed(self, image: str) -> None:
        self.ids.discard(image)
        self.tags = {tag: one for tag, one in self.tags.items() if one != image}

    def usable(self, text: str) -> str | None:
        """The id behind a name or an id (or the beginning of one) that this session may use, by what is known here alone."""
        name = _canonical(text)
        if name is not None and (found := self.tags.get(name) or self.pinned.get(name)):
            return found
        if not is_id(text):
            return None
        wanted = "sha256:" + text.removeprefix("sha256:")
        matching = {one for one in (*self.ids, *self.tags.values(), *self.pinned.values()) if one.startswith(wanted)}
        return matching.pop() if len(matching) == 1 else None


def labels(session: Session) -> dict[str, str]:
    """Written last into every image that is made, so that nothing before them counts. They also make its id this session's own.

    Those of containers are emptied: a commit would take them along, and they would make what is started from the image ours.
    """
    return {MANAGED: "", RUN: "", ROLE: "", IMAGE_RUN: session.id}


def is_allowed_name(text: str, session: Session, own: OwnImages) -> bool:
    """Whether it is a name of the allow list or one that the session gave, be the image there or not."""
    name = _canonical(text)
    return name is not None and (name in own.tags or any(image.reference == name for image in session.plan.images))


def image_id(text: str, resolved_id: str | None, session: Session, own: OwnImages) -> str | None:
    """The image to use where a client wrote ``text`` and the engine took it for ``resolved_id``; None: as if it were not there.

    A name that somebody has pointed elsewhere since launch still means its old image.
    """
    if resolved_id is None:
        return None
    if is_allowed_name(text, session, own):
        return own.usable(text)
    # For the engine a name wins over the beginning of an id: such a name is not on the list.
    if is_id(text):
        mine = resolved_id in own.ids or resolved_id in own.pinned.values() or resolved_id in own.tags.values()
        return resolved_id if mine and resolved_id.startswith("sha256:" + text.removeprefix("sha256:")) else None
    name = _canonical(text)
    if name is not None and "@" in name:  # a digest of an allowed repository that led to the very image that is pinned
        same = [one for reference, one in own.pinned.items() if repository(reference) == repository(name)]
        return resolved_id if resolved_id in same else None
    return None


def free_tag(text: str, session: Session, own: OwnImages, existing_id: str | None = None) -> str:
    """The canonical form of a name that the session may give. ``existing_id``: the image that has the name now.

    Raises:
        Denied: it is of the allow list, aienv's own, somebody else's, reads as an id, or is no name with a tag.
    """
    name = canonical(text)
    if "@" in name:
        raise deny("image.name", f"{text[:80]!r} names a digest, which cannot be given", allowed="a name with a tag", status=400)
    if any(image.reference == name for image in session.plan.images):
        raise deny(
            "image.tag-allowed", f"{familiar(name)!r} is a name of the allow list and keeps its meaning", allowed="another name or tag"
        )
    if name.startswith(RESERVED):
        why = f"names below 'aienv/' and 'aienv-devcontainer/' are aienv's own: {familiar(name)!r}"
        raise deny("image.tag-reserved", why, allowed="another name")
    if id_like(name):
        why = f"{familiar(name)!r} would stand before the image whose id begins so"
        raise deny("image.id-like", why, allowed="a name that is no beginning of an id", status=400)
    judge_existing(name, existing_id, own)
    return name


def judge_existing(reference: str, existing_id: str | None, own: OwnImages) -> None:
    """``existing_id``: the image that the engine has under a name which is about to be given.

    Raises:
        Denied: the name is somebody else's.
    """
    if existing_id is not None and reference not in own.tags:
        raise deny(
            "image.tag-taken",
            f"{familiar(reference)!r} is the name of an image from outside this session",
            allowed="another name or tag",
            status=409,
        )


def judge_room(session: Session, own: OwnImages, more: int = 1) -> None:
    """Raises Denied: the session has as many images as it may."""
    most = session.plan.limits.images
    if own.count + more > most:
        raise deny(
            "quota.images",
            f"this session may make {most} images",
            allowed="docker rmi of those that are not needed",
        )


def may_remove(text: str, image: str, session: Session, own: OwnImages, resolved_tags: Sequence[str] = ()) -> str:
    """What to remove: a name that the session gave, or the id of an image that it made. ``resolved_tags``: all names that the image has.

    Raises:
        Denied: it is not the session's, or others have given it names.
    """
    name = _canonical(text)
    if name is not None and name in own.tags:
        return name
    if image in own.ids and (is_id(text) or name is None):
        foreign = [tag for tag in resolved_tags if _canonical(tag) not in own.tags]
        if not foreign:
            return image
        raise deny("image.remove", "the image has a name from outside this session", allowed="removing your own names of it", status=409)
    raise deny("image.remove", f"{text[:80]!r} was not made in this session", allowed="images and names that were made here")


# --- pull, push, credentials ---------------------------------------------------------------------------------------------------


def may_pull(query: Pairs, session: Session) -> str:
    """The one image of the allow list that is asked for.

    Raises:
        Denied: it is on no list; or the query imports, fetches from an address, or means several images.
    """
    asked = _judged(query, _PULL)
    text, tag = asked.get("fromImage", ""), asked.get("tag", "")
    name = parse_name(text)
    if name is None:
        raise deny("image.name", f"{text[:80]!r} is no name of an image", field="fromImage", allowed="a name such as debian:12", status=400)
    if tag:
        written = name.digest or name.tag
        if written not in (None, tag) or (name.digest and name.tag):
            raise deny("image.name", f"two tags: {written!r} and {tag[:80]!r}", field="tag", allowed="one of them", status=400)
        if written is None:
            text += f"@{tag}" if ":" in tag else f":{tag}"
    reference = canonical(text)
    if not any(image.reference == reference for image in session.plan.images):
        raise refuse_image(text, session)
    return reference


def pull_pairs(reference: str, platform: str = "") -> Pairs:
    """The tag is always written: without one the engine pulls every tag there is."""
    source, tag = split(reference)
    return (("fromImage", source), ("tag", tag), *((("platform", platform),) if platform else ()))


def split_tag(reference: str) -> tuple[str, str]:
    return split(reference)


def judge_push(text: str) -> Denied:
    return deny("image.push", f"pushing {text[:80]!r} carries work and credentials out, past the harvest")


def judge_headers(headers: Sequence[tuple[str, str]]) -> tuple[Pairs, tuple[str, ...]]:
    """(none, the names of what is dropped): a client's logins are not used, and the engine's address book of logins is the user's."""
    return (), tuple(name for name, _ in headers if name.lower() in DROPPED_HEADERS)


# --- commit --------------------------------------------------------------------------------------------------------------------


def judge_commit(
    query: Pairs, body: Object | None, container: str, session: Session, own: OwnImages, existing_id: str | None = None
) -> tuple[Pairs, Object, str | None]:
    """Query and body to send, and the name that the image gets. ``container``: the full id of one of the session's own.

    Raises:
        Denied: a setting beyond what the container already has, or a name that is not free.
    """
    judge_room(session, own)
    asked = _judged([pair for pair in query if pair[0] != "changes"], _COMMIT)
    if any(_is_set(value) for value in (body or {}).values()):
        raise deny(
            "commit.config", "a commit takes its settings from the container", field="body", allowed="changes=CMD..., ENV..., WORKDIR..."
        )
    text = asked.get("repo", "") + (f":{asked['tag']}" if asked.get("tag") else "")
    reference = free_tag(text, session, own, existing_id) if text else None
    changes = [line for key, value in query if key == "changes" for line in harmless_changes(value)]
    if len(changes) > MAX_CHANGES:
        raise deny("commit.changes", f"more than {MAX_CHANGES} changes", field="changes")
    pairs: list[tuple[str, str]] = [("container", container)]
    if reference is not None:
        source, tag = split(reference)
        pairs += [("repo", source), ("tag", tag)]
    pairs += [(key, asked[key]) for key in ("comment", "author", "pause") if asked.get(key)]
    pairs += [("changes", line) for line in (*changes, *label_lines(session))]
    return tuple(pairs), {}, reference


def label_lines(session: Session) -> tuple[str, ...]:
    return tuple(f'LABEL {key}="{value}"' for key, value in labels(session).items())


def harmless_changes(text: str) -> tuple[str, ...]:
    """Instructions that say how the image's containers start, each on a line.

    Raises:
        Denied: others.
    """
    if not text.strip():
        return ()
    source = dockerfile.parse(text.encode())
    for one in source.instructions:
        if one.word not in _HARMLESS_CHANGES:
            raise deny(
                "commit.changes", f"{one.word} is no change of a commit here", field="changes", allowed=", ".join(sorted(_HARMLESS_CHANGES))
            )
    if source.escape != "\\":
        raise deny("commit.changes", "an escape directive is no change of a commit", field="changes")
    return tuple(dockerfile.plain_line(one) for one in source.instructions)


# --- parameters ----------------------------------------------------------------------------------------------------------------


def _text(value: str, name: str) -> str:
    if not _LINE.fullmatch(value):
        raise deny("query.value", f"{name}={value[:40]!r} is not a line of text", field=name, status=400)
    return value


def _unset(value: str, name: str) -> str:
    if value:
        raise deny("query.value", f"{name}={value[:80]!r} is not allowed", field=name, allowed="no value")
    return value


def _no_import(value: str, name: str) -> str:
    if value:
        raise deny(
            "image.import",
            "importing a file system as an image is not allowed",
            field=name,
            allowed="docker load of an image, or docker build",
        )
    return value


def platform_name(value: str, name: str) -> str:
    if value and not _PLATFORM.fullmatch(value):
        raise deny(
            "query.value",
            f"{value[:40]!r} is no platform that images here have",
            field=name,
            allowed="linux/amd64 and its like",
            status=400,
        )
    return value


def boolean(value: str, name: str) -> str:
    return "0" if value.strip().lower() in ("", "0", "no", "false", "none") else "1"  # as Docker reads it


_PULL: Mapping[str, Callable[[str, str], str]] = {
    "fromImage": _text, "tag": _text, "platform": platform_name,
    "fromSrc": _no_import, "repo": _unset, "message": _unset, "changes": _unset,
}  # fmt: skip
_COMMIT: Mapping[str, Callable[[str, str], str]] = {
    "container": _text, "repo": _text, "tag": _text, "comment": _text, "author": _text, "pause": boolean,
}  # fmt: skip


def _judged(query: Sequence[tuple[str, str]], rules: Mapping[str, Callable[[str, str], str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in query:
        if key not in rules:
            if value in ("", "0", "false", "False", "null", "None"):
                continue
            raise deny("query.unknown", f"the parameter {key[:40]!r} is not known here", field=key[:40])
        if key in found:
            raise deny("query.duplicate", f"the parameter {key!r} stands there twice", field=key, status=400)
        found[key] = rules[key](value, key)
    return found


def _is_set(value: Json) -> bool:
    if isinstance(value, dict):
        return any(map(_is_set, value.values()))
    if isinstance(value, list):
        return any(map(_is_set, value))
    return value not in (None, False, 0, "")


def _canonical(text: str) -> str | None:
    try:
        return None if full_id(text) else canonical(text)
    except Denied:
        return None

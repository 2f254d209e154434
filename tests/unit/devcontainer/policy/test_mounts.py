"""Mounts: docker's own line of fields, each option of it, and which sources are free."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.devcontainer.jsonc import Json
from orchestrator.devcontainer.policy.csvline import BadLine, join, split
from orchestrator.devcontainer.policy.mounts import Mount, ask_mount, ask_volume, parse, parse_volume
from orchestrator.devcontainer.policy.verdict import WorkspaceGround

GROUND = WorkspaceGround(("/w",), {"/w/out": "/etc", "/elsewhere": "/w/in", "/var/run": "/run", "/w/colon": "/w/a:b"})


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        ("a,,b,", ["a", "", "b", ""]),
        ('"a,b",c', ["a,b", "c"]),
        ('"a""b"', ['a"b']),
        ('a,""', ["a", ""]),
        (' "', None),
        ('a"b', None),
        ('"a"b', None),
        ('"a', None),
        ("", None),
        ("a\nb", None),
        ("a\x00b", None),
    ],
)  # fmt: skip
def test_line(line: str, fields: list[str] | None) -> None:
    """As Go's encoding/csv reads one; a second line is not read there, so there must be none."""
    if fields is None:
        with pytest.raises(BadLine):
            split(line)
    else:
        assert split(line) == fields


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"])), min_size=1))
def test_written_line_is_read_again(fields: list[str]) -> None:
    if fields != [""]:
        assert split(join(fields)) == fields


@given(st.text())
def test_any_line_is_answered(text: str) -> None:
    with suppress(BadLine):
        assert split(join(split(text))) == split(text)


@pytest.mark.parametrize(
    ("asked", "mount"),
    [
        ("type=bind,source=/a,target=/b", Mount("bind", "/a", "/b")),
        ("TYPE=Bind,SRC=/a,DST=/b", Mount("bind", "/a", "/b")),
        ("type=bind,src=/a,destination=/b,ro", Mount("bind", "/a", "/b", ("readonly",))),
        ("type=bind,src=/a,dst=/b,readonly=true", Mount("bind", "/a", "/b", ("readonly",))),
        ("type=bind,src=/a,dst=/b,readonly=false", Mount("bind", "/a", "/b")),
        ("type=bind,src=/x,src=/a,dst=/b", Mount("bind", "/a", "/b")),
        ('type=bind,"src=/a,b",dst=/b', Mount("bind", "/a,b", "/b")),
        ("type=bind,src=/a,dst=/b,consistency=cached", Mount("bind", "/a", "/b", ("consistency=cached",))),
        ("type=bind,src=/a,dst=/b,bind-propagation=rprivate", Mount("bind", "/a", "/b", ("bind-propagation=rprivate",))),
        ("type=bind,src=/a,dst=/b,bind-propagation=rshared", Mount("bind", "/a", "/b", (), ("bind-propagation=rshared",))),
        ("type=bind,src=/a,dst=/b,bind-nonrecursive", Mount("bind", "/a", "/b", ("bind-nonrecursive",))),
        ("type=bind,src=/a,dst=/b,bind-recursive=disabled", Mount("bind", "/a", "/b", ("bind-recursive=disabled",))),
        ("type=bind,src=/a,dst=/b,volume-nocopy", Mount("bind", "/a", "/b", (), ("volume-nocopy",))),
        ("type=bind,src=/a,dst=/b,new=1", Mount("bind", "/a", "/b", (), ("new=1",))),
        ("target=/b", Mount("volume", None, "/b")),
        ("source=cache,target=/b", Mount("volume", "cache", "/b")),
        ("source=cache,target=/b,volume-nocopy=1", Mount("volume", "cache", "/b", ("volume-nocopy",))),
        ("source=cache,target=/b,volume-subpath=x/y", Mount("volume", "cache", "/b", ("volume-subpath=x/y",))),
        ("source=cache,target=/b,volume-driver=local", Mount("volume", "cache", "/b", ("volume-driver=local",))),
        ("source=cache,target=/b,volume-driver=nfs", Mount("volume", "cache", "/b", (), ("volume-driver=nfs",))),
        ("source=c1,target=/b,volume-opt=type=none,volume-opt=device=/", Mount("volume", "c1", "/b", (), ("volume-opt=type=none", "volume-opt=device=/"))),  # noqa: E501
        ("source=c1,target=/b,volume-label=a=b", Mount("volume", "c1", "/b", (), ("volume-label=a=b",))),
        ("type=tmpfs,target=/b,tmpfs-size=1m,tmpfs-mode=1777", Mount("tmpfs", None, "/b", ("tmpfs-size=1m", "tmpfs-mode=1777"))),
        ("type=npipe,source=x,target=/b", Mount("npipe", "x", "/b", (), ("type=npipe",))),
        ("type=image,source=x,target=/b", Mount("image", "x", "/b", (), ("type=image",))),
        ("type=cluster,source=x,target=/b", Mount("cluster", "x", "/b", (), ("type=cluster",))),
        ({"type": "bind", "source": "/a", "target": "/b"}, Mount("bind", "/a", "/b")),
        ({"type": "bind", "source": "/a,target=/etc", "target": "/b"}, Mount("bind", "/a,target=/etc", "/b")),
        ({"type": "volume", "target": "/b"}, Mount("volume", None, "/b")),
        ({"source": "cache", "target": "/b", "external": True}, Mount("volume", "cache", "/b")),
    ],
)  # fmt: skip
def test_read(asked: Json, mount: Mount) -> None:
    assert parse(asked) == mount


@pytest.mark.parametrize(
    ("asked", "because"),
    [
        ("", "is empty"),
        ("type=bind,source=/a", "no target"),
        ("type=bind,source=/a,target=b", "no absolute path"),
        ("type=bind,source=a,target=/b", "its source 'a'"),
        ("type=bind,source=./a,target=/b", "its source './a'"),
        ("type=bind,target=/b", "its source ''"),
        ("type=bind,source=/a,target=/b,rox", "no NAME=VALUE"),
        ("type=bind,source=/a,target=/b,readonly=maybe", "neither true nor false"),
        ("type=bind,source=/a\n,target=/b", "control character"),
        ("source=/a,target=/b", "no name of a volume"),
        ("source=a,target=/b", "no name of a volume"),
        ("type=tmpfs,source=/a,target=/b", "a tmpfs has no source"),
        ({"type": "bind", "source": ["/a"], "target": "/b"}, "its source is no text"),
        ({"type": "bind", "source": "/a\n", "target": "/b"}, "its source is no text"),
        (7, "neither text nor object"),
        (None, "neither text nor object"),
        ([], "neither text nor object"),
    ],
)
def test_unreadable(asked: Json, because: str) -> None:
    with pytest.raises(ValueError, match=because):
        parse(asked)
    assert [need.grant for need in ask_mount(asked, GROUND).needs] == [None]


@pytest.mark.parametrize(
    ("source", "grants"),
    [
        ("/w", []),
        ("/w/sub", []),
        ("/w/../w/sub", []),
        ("/w/../etc", ["mount:/etc"]),
        ("/wx", ["mount:/wx"]),
        ("/home/me/.ssh", ["mount:/home/me/.ssh"]),
        ("/w/out", ["mount:/etc"]),
        ("/elsewhere", []),
        ("/", ["mount:/", "docker-socket"]),
        ("/run", ["mount:/run", "docker-socket"]),
        ("/var", ["mount:/var", "docker-socket"]),
        ("/var/run", ["mount:/run", "docker-socket"]),
        ("/var/lib/docker", ["mount:/var/lib/docker", "docker-socket"]),
        ("/run/user/1000", ["mount:/run/user/1000", "docker-socket"]),
        ("/proc/1/root", ["mount:/proc/1/root", "docker-socket"]),
        ("/var/run/docker.sock", ["docker-socket"]),
        ("/run/containerd/containerd.sock", ["docker-socket"]),
        ("/run/user/1000/podman/podman.sock", ["docker-socket"]),
        ("/w/docker.sock", ["docker-socket"]),
        ("/var/runs", ["mount:/var/runs"]),
        ("/w/docker.socks.txt", ["docker-socket"]),
        ("/w/docker/x", []),
    ],
)
def test_sources(source: str, grants: list[str]) -> None:
    """The same in all forms."""
    for ask in (
        ask_mount(f"type=bind,source={source},target=/t", GROUND),
        ask_mount({"type": "bind", "source": source, "target": "/t"}, GROUND),
        ask_volume(f"{source}:/t", GROUND),
    ):
        assert [need.grant for need in ask.needs] == grants


@pytest.mark.parametrize(
    ("option", "grant"),
    [
        ("bind-propagation=rshared", "run-arg:--mount"),
        ("bind-propagation=slave", "run-arg:--mount"),
        ("bind-propagation=private", None),
        ("consistency=cached", None),
        ("readonly", None),
        ("volume-opt=o=bind", "run-arg:--mount"),
        ("new-option=1", "run-arg:--mount"),
    ],
)
def test_options(option: str, grant: str | None) -> None:
    ask = ask_mount(f"type=bind,source=/w,target=/t,{option}", GROUND)
    assert [need.grant for need in ask.needs] == ([grant] if grant else [])


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("/t", Mount("volume", None, "/t")),
        ("cache:/t", Mount("volume", "cache", "/t")),
        ("/a:/t", Mount("bind", "/a", "/t")),
        ("/a:/t:ro,Z", Mount("bind", "/a", "/t", ("ro", "Z"))),
        ("/a:/t:ro,rshared", Mount("bind", "/a", "/t", ("ro",), ("rshared",))),
        ("cache:/t:nocopy", Mount("volume", "cache", "/t", ("nocopy",))),
    ],
)
def test_volume_read(text: str, mount: Mount) -> None:
    assert parse_volume(text) == mount


@pytest.mark.parametrize("text", ["", ":", "a:/t", "./a:/t", "~/a:/t", "../a:/t", "a/b:/t", "/a:/b:/c", "/a:/b:ro:rw", "/a:b", ":/t", "C:\\a:/t", "/a:/t:new", "/a:/t\n"])  # fmt: skip # noqa: E501
def test_volume_unreadable(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_volume(text)
    assert [need.grant for need in ask_volume(text, GROUND).needs] == [None]


@pytest.mark.parametrize(
    ("asked", "written", "source", "volume"),
    [
        ("type=bind,src=/w/../w/a,dst=/t,ro", "type=bind,source=/w/a,target=/t,readonly", "/w/a", None),
        ("type=bind,src=/elsewhere,dst=/t", "type=bind,source=/w/in,target=/t", "/w/in", None),
        ('type=bind,"src=/w/a,b",dst=/t', 'type=bind,"source=/w/a,b",target=/t', "/w/a,b", None),
        ({"type": "bind", "source": '/w/a"b', "target": "/t"}, 'type=bind,"source=/w/a""b",target=/t', '/w/a"b', None),
        ("src=cache,dst=/t", "type=volume,source=cache,target=/t", None, "cache"),
        ("dst=/t", "type=volume,target=/t", None, None),
        ("type=tmpfs,dst=/t", "type=tmpfs,target=/t", None, None),
    ],
)
def test_written(asked: Json, written: str, source: str | None, volume: str | None) -> None:
    """What docker gets names the place that was judged, in one spelling."""
    ask = ask_mount(asked, GROUND)
    assert (ask.words, ask.source, ask.volume, ask.needs) == ((written,), source, volume, ())


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("/w/a:/t:ro", "--volume=/w/a:/t:ro"),
        ("/elsewhere:/t", "--volume=/w/in:/t"),
        ("cache:/t", "--volume=cache:/t"),
        ("/t", "--volume=/t"),
    ],
)
def test_volume_written(text: str, word: str) -> None:
    assert ask_volume(text, GROUND).words == (word,)


def test_volume_whose_link_leads_to_a_colon() -> None:
    assert [need.grant for need in ask_volume("/w/colon:/t", GROUND).needs] == [None]


_WORDS = st.sampled_from([
    "type=bind", "type=volume", "src=/a", "src=/w", "source=v1", "dst=/t", "target=t", "ro", "volume-opt=a=b", '"', "x", "",
])  # fmt: skip


@given(st.one_of(st.text(), st.lists(_WORDS).map(",".join), st.dictionaries(st.sampled_from(["type", "source", "target"]), st.text())))
def test_any_mount_is_answered(asked: Json) -> None:
    """And what is written reads as what was judged."""
    ask = ask_mount(asked, GROUND)
    if all(need.grant is not None for need in ask.needs):
        assert ask_mount(ask.words[0], GROUND).needs == ask.needs
        assert ask_mount(ask.words[0], GROUND).words == ask.words

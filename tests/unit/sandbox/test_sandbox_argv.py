"""Bubblewrap's options: what is there, what is not, and in which order."""

# ruff: noqa: E501 - a row of a table stays one line

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.model.devcontainer import UserPlan
from orchestrator.sandbox.argv import Confinement, PlaceFacts, RootEntry, sandbox_arguments, writable_mounts

ROOT = tuple(
    RootEntry(name, kind, target)
    for name, kind, target in [
        ("bin", "link", "usr/bin"), ("boot", "dir", ""), ("dev", "dir", ""), ("etc", "dir", ""), ("home", "dir", ""), ("lib", "link", "usr/lib"),
        ("opt", "dir", ""), ("proc", "dir", ""), ("root", "dir", ""), ("run", "dir", ""), ("srv", "dir", ""), ("sys", "dir", ""), ("tmp", "dir", ""),
        ("usr", "dir", ""), ("var", "dir", ""), ("swapfile", "file", ""), ("workspaces", "dir", ""), (".dockerenv", "file", ""),
    ]
)  # fmt: skip
ETC = tuple(
    RootEntry(name, "file", "")
    for name in ("passwd", "shadow", "hosts", "resolv.conf", "hostname", "ssl", "machine-id", "ld.so.cache", "ssh", "fstab")
)
SOURCES = {
    "workspace": "/w/app",
    "outbox": "/w/outbox",
    "empty": "/w/empty",
    "neutral": "/w/neutral",
    "harvest": "/h/inside",
    "objects/app-1": "/c/app-1/objects",
}


def place(container: bool) -> PlaceFacts:
    return PlaceFacts(container, ROOT, ETC, ("keys",), SOURCES, (), "/usr/bin/python3", "git", 1000, 1000, "x86_64")


def confinement(**changes: object) -> Confinement:
    agent = Confinement(
        purpose="agent", workspace="/workspaces/app", git_dirs=(".git",), masks=(".env", "conf/key.pem"), env=(("A", "1"),),
        tmpfs_bytes=4096, chdir="/workspaces/app", inputs=(),
    )  # fmt: skip
    return replace(agent, **changes)  # type: ignore[arg-type]


def words(container: bool = False, **changes: object) -> list[str]:
    arguments = sandbox_arguments(confinement(**changes), place(container), b"filter")
    return [word if isinstance(word, str) else f"<{word[1]}>" for word in arguments.options]


def mounts(options: Sequence[str]) -> list[tuple[str, str, str]]:
    """(kind, source, target) of everything that is put into the tree, in order."""
    found, index = [], 0
    while index < len(options):
        word = options[index]
        if word in ("--bind", "--ro-bind", "--symlink", "--ro-bind-data"):
            found.append((word, options[index + 1], options[index + 2]))
            index += 3
        elif word in ("--tmpfs", "--proc", "--dev", "--remount-ro"):
            found.append((word, "", options[index + 1]))
            index += 2
        else:
            index += 1
    return found


def at(found: Sequence[tuple[str, str, str]], target: str) -> int:
    return max(index for index, mount in enumerate(found) if mount[2] == target)


@pytest.mark.parametrize(
    "needed",
    [
        ["--unshare-user"], ["--unshare-pid"], ["--unshare-ipc"], ["--unshare-uts"], ["--die-with-parent"], ["--new-session"],
        ["--cap-drop", "ALL"], ["--disable-userns"], ["--clearenv"], ["--uid", "1000"], ["--gid", "1000"], ["--seccomp", "<seccomp>"],
    ],
    ids=" ".join,
)  # fmt: skip
@pytest.mark.parametrize("container", [False, True], ids=["local", "container"])
@pytest.mark.parametrize("purpose", ["agent", "harvest"])
def test_every_sandbox_has(needed: list[str], container: bool, purpose: Literal["agent", "harvest"]) -> None:
    """The options that no sandbox goes without."""
    options = words(container, purpose=purpose)
    assert any(options[index : index + len(needed)] == needed for index in range(len(options)))


def test_only_the_host_gets_a_network_namespace_of_bubblewrap() -> None:
    """In a container the engine has given one; on the host nothing else does."""
    assert "--unshare-net" in words(False)
    assert "--unshare-net" not in words(True)
    assert "--share-net" not in words(False) + words(True)


def test_nothing_of_the_host_but_the_list() -> None:
    """Read-only, and only folders that programs are made of; nothing of /etc that names the host or its keys."""
    sources = [(kind, source) for kind, source, _ in mounts(words(False)) if kind in ("--bind", "--ro-bind")]
    assert {source for kind, source in sources if kind == "--bind"} == {"/w/app", "/w/app/.git"}
    read_only = {source for kind, source in sources if kind == "--ro-bind"}
    assert read_only == {
        "/usr", "/etc/ssl", "/etc/ld.so.cache", "/dev/null", "/proc/sys", "/c/app-1/objects", "/w/empty", "/w/app/.git/config", "/w/app/.git/hooks", "/w/app/.git/info",
    }  # fmt: skip


def test_of_an_image_all_but_what_is_made_fresh() -> None:
    """The image's root is what the task asked for; its passwd, resolver, run and home are ours."""
    targets = {target for kind, source, target in mounts(words(True)) if kind == "--ro-bind" and source == target}
    assert {"/usr", "/opt", "/srv", "/root", "/var"} <= targets
    assert (
        targets & {"/etc/passwd", "/etc/shadow", "/etc/hosts", "/etc/resolv.conf", "/run", "/tmp", "/sys", "/proc", "/dev", "/home"}
        == set()
    )


def test_covers_are_mounts_of_files_at_the_place() -> None:
    """Read-only, after the workspace and its masks; as many as there may be need no descriptor."""
    covers = tuple((f"/workspaces/app/.opencode/plugin/{number}.js", "0") for number in range(1000))
    arguments = sandbox_arguments(confinement(covers=covers), place(False), b"filter")
    found = mounts([word if isinstance(word, str) else f"<{word[1]}>" for word in arguments.options])
    assert [mount for mount in found if mount[1] == "/w/neutral/0"] == [("--ro-bind", "/w/neutral/0", path) for path, _ in covers]
    assert at(found, covers[0][0]) > at(found, "/workspaces/app/conf/key.pem") > at(found, "/workspaces/app")
    assert arguments.data.keys() == sandbox_arguments(confinement(), place(False), b"filter").data.keys()
    assert len(arguments.options) < 9000 // 2  # bubblewrap takes 9,000 words


def test_masks_come_after_everything_that_could_uncover_them() -> None:
    """The workspace, then git's guards, then the masks."""
    found = mounts(words())
    workspace, git, config = at(found, "/workspaces/app"), at(found, "/workspaces/app/.git"), at(found, "/workspaces/app/.git/config")
    masks = [at(found, "/workspaces/app/.env"), at(found, "/workspaces/app/conf/key.pem")]
    assert workspace < git < config < min(masks)
    assert [kind for kind, _, target in found[min(masks) :] if target.startswith("/workspaces")] == ["--ro-bind", "--ro-bind"]


def test_the_root_is_closed_last() -> None:
    """The tmpfs below / and /dev have no size of their own: nobody may write there."""
    assert mounts(words())[-2:] == [("--remount-ro", "", "/dev"), ("--remount-ro", "", "/")]


@pytest.mark.parametrize("purpose", ["agent", "harvest"])
def test_our_own_folder_is_closed_too(purpose: Literal["agent", "harvest"]) -> None:
    """Mounted before what lies in it, and read-only at the end: nobody puts a file in the place of one of ours."""
    found = mounts(words(purpose=purpose, inputs=(("/run/aienv/ca.pem", b"x"),)))
    ours = at([mount for mount in found if mount[0] == "--tmpfs"], "/run/aienv")
    assert ours > at([mount for mount in found if mount[0] == "--tmpfs"], "/run")
    inside = [index for index, (_, _, target) in enumerate(found) if target.startswith("/run/aienv/")]
    assert found.index(("--tmpfs", "", "/run/aienv")) < min(inside)
    assert found.index(("--remount-ro", "", "/run/aienv")) > max(inside)


def test_where_a_command_may_write() -> None:
    """The workspace, and in it the git folders that are mounts of their own."""
    guarded = confinement(git_dirs=(".git", ".git/modules/a"))
    expected = {"/workspaces/app", *(f"/workspaces/app/{name}" for name in (".git", ".git/modules", ".git/modules/a"))}
    assert writable_mounts(guarded) == expected
    bound = {target for kind, _, target in mounts(words(git_dirs=guarded.git_dirs)) if kind == "--bind"}
    assert bound == expected


def test_a_home_that_all_commands_share() -> None:
    """The place's folder instead of a fresh one, by the user's name; the image's own home only where it is to be copied."""
    user = UserPlan("dev", "/home/dev", "/bin/zsh")
    shared = confinement(user=user, keeps_home=True)
    facts = replace(place(True), sources={**SOURCES, "home": "/run/aienv/home"})
    arguments = sandbox_arguments(shared, facts, b"filter")
    found = mounts([word if isinstance(word, str) else f"<{word[1]}>" for word in arguments.options])
    assert ("--bind", "/run/aienv/home", "/home/dev") in found
    assert not [mount for mount in found if mount[2] in ("/home/agent", "/run/aienv/skeleton")]
    assert arguments.data["passwd"].splitlines()[0] == b"dev:x:1000:1000:dev:/home/dev:/bin/zsh"
    assert "/home/dev" in writable_mounts(shared)
    copied = sandbox_arguments(replace(shared, skeleton=True), facts, b"filter").options
    at_home = copied.index("/run/aienv/skeleton")
    assert copied[at_home - 2 : at_home] == ("--ro-bind-try", "/home/dev")


def test_every_tmpfs_has_a_size() -> None:
    """bubblewrap takes the size from the option before."""
    options = words()
    for index, word in enumerate(options):
        if word == "--tmpfs":
            before = options[max(0, index - 4) : index]
            assert "--size" in before, options[index + 1]


def test_the_harvest_reads_the_workspace_and_writes_the_outbox_only() -> None:
    """No guard and no mask: it must see what there is, and can change nothing of it."""
    found = mounts(words(purpose="harvest", git_dirs=(), masks=()))
    assert ("--ro-bind", "/w/app", "/workspaces/app") in found
    assert [mount for mount in found if mount[0] == "--bind"] == [("--bind", "/w/outbox", "/run/aienv/outbox")]


@pytest.mark.parametrize(
    ("git_dirs", "bound"),
    [
        ((".git",), [".git"]),
        ((".git", ".git/modules/a"), [".git", ".git/modules", ".git/modules/a"]),
        (
            (".git", ".git/modules/x/y", ".git/modules/x/y/modules/z"),
            [".git", ".git/modules", ".git/modules/x", ".git/modules/x/y", ".git/modules/x/y/modules", ".git/modules/x/y/modules/z"],
        ),
    ],
    ids=["plain", "submodule", "nested"],
)
def test_every_folder_above_a_git_folder_stays_in_place(git_dirs: tuple[str, ...], bound: list[str]) -> None:
    """What could be moved away could be replaced by a link for the next command's mounts."""
    found = mounts(words(git_dirs=git_dirs))
    own = [target.removeprefix("/workspaces/app/") for kind, _, target in found if kind == "--bind" and "/.git" in target]
    assert own == bound
    assert all(at(found, f"/workspaces/app/{git_dir}/config") > at(found, f"/workspaces/app/{bound[-1]}") for git_dir in git_dirs)


NAMES = st.lists(
    st.text(st.characters(blacklist_characters="\0/", blacklist_categories=("Cs",)), min_size=1, max_size=12), min_size=1, max_size=4
).map("/".join)


@settings(max_examples=60, deadline=None)
@given(
    masks=st.lists(NAMES, max_size=6, unique=True),
    env=st.lists(st.tuples(st.from_regex(r"[A-Z_]{1,8}", fullmatch=True), st.text(max_size=20)), max_size=4),
)
def test_names_stay_words(masks: list[str], env: list[tuple[str, str]]) -> None:
    """Whatever files and variables are called, each is one word behind its option, and the count of words is what it must be."""
    plain = words(masks=(), env=())
    options = words(masks=tuple(masks), env=tuple(env))
    assert len(options) == len(plain) + 3 * len(masks) + 3 * len(env)
    for name in masks:
        index = options.index(f"/workspaces/app/{name}")
        assert options[index - 2 : index] == ["--ro-bind", "/w/empty"]


def test_the_data_of_every_descriptor_is_there() -> None:
    """Each descriptor that an option names has its bytes."""
    arguments = sandbox_arguments(confinement(inputs=(("/run/aienv/a", b"1"), ("/run/aienv/b", b"2"))), place(False), b"filter")
    named = {word[1] for word in arguments.options if not isinstance(word, str)}
    assert named == set(arguments.data)
    assert arguments.data["seccomp"] == b"filter"
    assert (arguments.data["input0"], arguments.data["input1"]) == (b"1", b"2")
    assert b"root" not in arguments.data["passwd"]


@pytest.mark.parametrize(
    ("path", "gone"),
    [
        pytest.param("/etc/ssh/settings.json", {"ssh"}, id="of-the-image-too"),
        pytest.param("/etc/codex/config.toml", set(), id="ours-alone"),
        pytest.param("/run/aienv/etc/ssh/x", set(), id="another-etc"),
        pytest.param("/home/agent/.own/etc/ssh", set(), id="in-the-home"),
        pytest.param("/etcetera/ssh/x", set(), id="almost"),
    ],
)
def test_a_file_of_ours_below_etc_takes_the_place_of_the_images(path: str, gone: set[str]) -> None:
    """An image's folder is read-only, so no file of ours could be made in it; the rest of its /etc stays."""
    facts = {target.removeprefix("/etc/") for _, _, target in mounts(words(True)) if target.startswith("/etc/")}
    found = mounts(words(True, inputs=((path, b"{}"),)))
    assert ("--ro-bind-data", "<input0>", path) in found
    left = {target.removeprefix("/etc/") for _, source, target in found if source != "<input0>"}
    assert facts - left == gone


def test_files_of_ours_come_after_the_home_and_the_workspace() -> None:
    """What was mounted before could not cover them, and is read-only where they are."""
    home = "/home/agent/.own/settings.json"
    facts = replace(place(True), sources={**SOURCES, "home": "/run/aienv/home"})
    options = sandbox_arguments(confinement(keeps_home=True, inputs=((home, b"1"), ("/workspaces/app/.mcp.json", b"2"))), facts, b"filter")
    found = mounts([word if isinstance(word, str) else f"<{word[1]}>" for word in options.options])
    for path, below in ((home, "/home/agent"), ("/workspaces/app/.mcp.json", "/workspaces/app")):
        assert at(found, path) > at(found, below)
    assert (options.data["input0"], options.data["input1"]) == (b"1", b"2")


@pytest.mark.parametrize(
    ("keeps", "home", "writable"),
    [(False, "/home/agent", False), (True, "/home/agent", True), (False, "/home/dev", True), (True, "/home/dev", True)],
)
def test_a_home_is_writable_where_it_lasts(keeps: bool, home: str, writable: bool) -> None:
    """A fresh one of the usual name is a temporary folder."""
    found = writable_mounts(confinement(keeps_home=keeps, user=UserPlan("x", home, "/bin/sh")))
    assert (home in found) == writable
    assert "/workspaces/app" in found

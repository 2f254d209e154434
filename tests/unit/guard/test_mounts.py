"""What a create body may have mounted: a row for each way out, and the nearest body that must pass."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.guard.calls import (
    BindAsk,
    Denied,
    MountAsk,
    Object,
    PathMap,
    Reference,
    Session,
    SocketAsk,
    Thing,
    TmpfsAsk,
    VolumeAsk,
)
from orchestrator.guard.masking import Secrets, check_masks, masks_for, secrets_of
from orchestrator.guard.mounts import inside, parse_mounts, tmpfs_words, unmap
from orchestrator.model.guard import GuardLimits, GuardPlan
from orchestrator.model.task import SandboxRules

PLAN = GuardPlan("guarded", "unix:///run/docker.sock", (1, 41), (), (), (), (), GuardLimits(), "freeze", None, False, ())
MAPS = (PathMap("/workspaces/app", "/srv/run/ws"), PathMap("/workspaces/app/cache", "/srv/cache"), PathMap("/data", "/srv/data"))
SESSION = Session("0123456789ab", PLAN, MAPS, sockets=("/run/docker.sock", "/var/run/docker.sock"), stand_in="/srv/run/guard.sock")


def binds(*texts: Any) -> Object:
    return {"HostConfig": {"Binds": list(texts)}}


def mount(**fields: Any) -> Object:
    return {"HostConfig": {"Mounts": [{"Target": "/m", **fields}]}}


def bind_mount(**options: Any) -> Object:
    return mount(Type="bind", Source="/workspaces/app", BindOptions=options)


def volume_mount(**options: Any) -> Object:
    return mount(Type="volume", Source="data", VolumeOptions=options)


def tmpfs(value: Any) -> Object:
    return {"HostConfig": {"Tmpfs": {"/run": value}}}


def parse(body: Object, session: Session = SESSION) -> tuple[MountAsk, ...]:
    return parse_mounts(body, {}, session)


def refusal(body: Object) -> str:
    with pytest.raises(Denied) as caught:
        parse(body)
    return caught.value.denial.rule


def bound(path: str, number: int = 0, *, target: str = "/m", read_only: bool = False, make: bool = True) -> BindAsk:
    return BindAsk(number, path, target, read_only, make)


@pytest.mark.parametrize(
    ("body", "asks"),
    [
        pytest.param({}, (), id="nothing"),
        pytest.param({"HostConfig": None, "Volumes": None}, (), id="null"),
        pytest.param({"HostConfig": {"Binds": None, "Mounts": None, "Tmpfs": None}, "Volumes": {}}, (), id="nulls"),
        pytest.param({"HostConfig": {"Binds": [], "Mounts": [], "Tmpfs": {}, "VolumesFrom": ["x"]}}, (), id="empty"),
        pytest.param(binds("/workspaces/app:/m"), (bound(""),), id="root"),
        pytest.param(binds("/workspaces/app/:/m/"), (bound(""),), id="slash-at-end"),
        pytest.param(binds("/workspaces//app/./src:/m/."), (bound("src"),), id="not-clean"),
        pytest.param(binds("/workspaces/app/bin/../data:/m"), (bound("data"),), id="up-inside"),
        pytest.param(binds("/workspaces/app/a b/ü:/m"), (bound("a b/ü"),), id="odd-names"),
        pytest.param(binds("/workspaces/app/..x:/m"), (bound("..x"),), id="two-dots-in-a-name"),
        pytest.param(binds("/workspaces/app/src:/m:ro"), (bound("src", read_only=True),), id="ro"),
        pytest.param(binds("/workspaces/app/src:/m:ro,z,rprivate,cached,nocopy"), (bound("src", read_only=True),), id="words"),
        pytest.param(binds("/workspaces/app/src:/m:"), (bound("src"),), id="no-words"),
        pytest.param(binds("/workspaces/app/cache/x:/m"), (bound("x", 1),), id="longest-map-wins"),
        pytest.param(binds("/workspaces/app/cached:/m"), (bound("cached"),), id="sibling-of-a-map"),
        pytest.param(binds("/data:/m:rw"), (bound("", 2),), id="other-map"),
        pytest.param(binds("/var/run/docker.sock:/var/run/docker.sock:rw"), (SocketAsk("/var/run/docker.sock"),), id="socket"),
        pytest.param(binds("/run/./docker.sock:/s:ro"), (SocketAsk("/s"),), id="socket-read-only"),
        pytest.param(binds("data:/m"), (VolumeAsk("data", "/m", False, False),), id="volume"),
        pytest.param(binds("a.b_c-1:/m:ro,nocopy"), (VolumeAsk("a.b_c-1", "/m", True, True),), id="volume-words"),
        pytest.param(binds("/m"), (VolumeAsk(None, "/m", False, False),), id="anonymous-in-binds"),
        pytest.param(bind_mount(), (bound("", make=False),), id="mount"),
        pytest.param(
            bind_mount(Propagation="rprivate", NonRecursive=True, ReadOnlyNonRecursive=False, ReadOnlyForceRecursive=False, Later=None),
            (bound("", make=False),), id="mount-options",
        ),
        pytest.param(bind_mount(CreateMountpoint=True), (bound(""),), id="mount-makes"),
        pytest.param(
            mount(Type="bind", Source="/data", ReadOnly=True, Consistency="cached", VolumeOptions=None, TmpfsOptions={}, ImageOptions={}),
            (bound("", 2, read_only=True, make=False),), id="mount-read-only",
        ),
        pytest.param(volume_mount(), (VolumeAsk("data", "/m", False, False),), id="mount-volume"),
        *(
            pytest.param(volume_mount(DriverConfig=one), (VolumeAsk("data", "/m", False, False),), id=f"driver-{number}")
            for number, one in enumerate(({}, {"Name": "", "Options": {}}, {"Options": None}, {"Name": "local", "Options": {}}))
        ),
        pytest.param(volume_mount(NoCopy=True, Labels={"a": "b"}, DriverConfig=None, Subpath=""),
                     (VolumeAsk("data", "/m", False, True),), id="mount-volume-options"),
        pytest.param(mount(Type="volume"), (VolumeAsk(None, "/m", False, False),), id="mount-anonymous"),
        pytest.param(mount(Type="volume", Source="", ReadOnly=True), (VolumeAsk(None, "/m", True, False),), id="mount-anonymous-ro"),
        pytest.param(mount(Type="tmpfs"), (TmpfsAsk("/m", None, None),), id="mount-tmpfs"),
        pytest.param(mount(Type="tmpfs", TmpfsOptions={"SizeBytes": 4096, "Mode": 0o1777, "Options": [["noexec"], ["uid", "5"]]}),
                     (TmpfsAsk("/m", 4096, 0o1777, "noexec,uid=5"),), id="mount-tmpfs-options"),
        pytest.param(mount(Type="tmpfs", ReadOnly=True, TmpfsOptions={"SizeBytes": 0, "Mode": 0}),
                     (TmpfsAsk("/m", None, None, "ro"),), id="mount-tmpfs-read-only"),
        pytest.param(tmpfs(""), (TmpfsAsk("/run", None, None),), id="tmpfs"),
        pytest.param(tmpfs("rw,noexec,nosuid,size=64m,mode=0755,uid=1000"),
                     (TmpfsAsk("/run", 64 << 20, 0o755, "rw,noexec,nosuid,uid=1000"),), id="tmpfs-words"),
        pytest.param({"Volumes": {"/data": {}}}, (VolumeAsk(None, "/data", False, False),), id="volumes"),
        pytest.param({"Volumes": {"/m/": {}}, **binds("data:/m")}, (VolumeAsk("data", "/m", False, False),), id="target-named-again"),
        pytest.param(binds("data:/dev/shm"), (VolumeAsk("data", "/dev/shm", False, False),), id="shm"),
        pytest.param(binds("data:/devices", "x1:/process"),
                     (VolumeAsk("data", "/devices", False, False), VolumeAsk("x1", "/process", False, False)), id="not-dev"),
    ],
)  # fmt: skip
def test_asks(body: Object, asks: tuple[MountAsk, ...]) -> None:
    """What clients send becomes one list."""
    assert parse(body) == asks


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        pytest.param(binds("/etc:/m"), "mounts.outside", id="etc"),
        pytest.param(binds("/:/m"), "mounts.outside", id="slash"),
        pytest.param(binds("/workspaces:/m"), "mounts.outside", id="parent"),
        pytest.param(binds("/workspaces/app-evil:/m"), "mounts.outside", id="sibling-prefix"),
        pytest.param(binds("/srv/run/ws:/m"), "mounts.outside", id="host-path-of-the-project"),
        pytest.param(binds("/proc/self/root/workspaces/app:/m"), "mounts.outside", id="proc"),
        pytest.param(binds("/run:/m"), "mounts.outside", id="folder-of-the-socket"),
        pytest.param(binds("/Workspaces/app:/m"), "mounts.outside", id="case"),
        pytest.param(binds("/workspaces/app/../../etc:/m"), "mounts.outside", id="dot-dot"),
        pytest.param(binds("/workspaces/app/x/../../../../../etc:/m"), "mounts.outside", id="dot-dot-beyond-the-root"),
        pytest.param(binds("/workspaces/app/../app-evil:/m"), "mounts.outside", id="dot-dot-to-a-sibling"),
        pytest.param(binds("./src:/m"), "mounts.source", id="relative"),
        pytest.param(binds("src/x:/m"), "mounts.source", id="relative-path"),
        pytest.param(binds("~:/m"), "mounts.source", id="home"),
        pytest.param(binds("..:/m"), "mounts.source", id="dots"),
        pytest.param(binds(":/m"), "mounts.source", id="no-source"),
        pytest.param(binds("x:/m"), "mounts.source", id="name-of-one-letter"),
        pytest.param(binds("aienv-map-0123456789ab-0:/m"), "mounts.reserved", id="own-volume"),
        pytest.param(binds("C:\\x:/m"), "mounts.malformed", id="windows"),
        pytest.param(binds("\\\\.\\pipe\\docker_engine:/m"), "mounts.source", id="pipe"),
        pytest.param(binds("/workspaces/app/a\\b:/m"), "mounts.malformed", id="backslash"),
        pytest.param(binds("/workspaces/app/\x00:/m"), "mounts.malformed", id="nul"),
        pytest.param(binds("/workspaces/app/a\nb:/m"), "mounts.malformed", id="newline"),
        pytest.param(binds("/workspaces/app/\ud800:/m"), "mounts.malformed", id="surrogate"),
        pytest.param(binds("/workspaces/app/" + "x" * 256 + ":/m"), "mounts.malformed", id="long-name"),
        pytest.param(binds("/workspaces/app" + "/x" * 2048 + ":/m"), "mounts.malformed", id="long-path"),
        pytest.param(binds("/workspaces/app:/m:ro:rw"), "mounts.malformed", id="four-parts"),
        pytest.param(binds("/workspaces/app:m"), "mounts.malformed", id="relative-target"),
        pytest.param(binds("/m:ro"), "mounts.malformed", id="target-and-words"),
        pytest.param(binds(""), "mounts.malformed", id="empty"),
        pytest.param(binds("/workspaces/app:/"), "mounts.target", id="target-root"),
        pytest.param(binds("/workspaces/app:/proc/self/attr"), "mounts.target", id="target-proc"),
        pytest.param(binds("/workspaces/app:/sys"), "mounts.target", id="target-sys"),
        pytest.param(binds("/workspaces/app:/dev"), "mounts.target", id="target-dev"),
        pytest.param(binds("/workspaces/app:/m/../proc"), "mounts.dot-dot", id="target-dot-dot"),
        pytest.param(binds("/workspaces/app:/m", "data:/m/"), "mounts.duplicate", id="same-target"),
        pytest.param({"HostConfig": {"Binds": ["data:/m"], "Tmpfs": {"/m": ""}}}, "mounts.duplicate", id="same-target-in-two-lists"),
        pytest.param(binds("/workspaces/app:/m:rshared"), "mounts.propagation", id="rshared"),
        pytest.param(binds("/workspaces/app:/m:slave"), "mounts.propagation", id="slave"),
        pytest.param(binds("/workspaces/app:/m:ro,rw"), "mounts.malformed", id="ro-and-rw"),
        pytest.param(binds("/workspaces/app:/m:RO"), "mounts.malformed", id="upper-case-word"),
        pytest.param(binds("/workspaces/app:/m:exec"), "mounts.malformed", id="unknown-word"),
        pytest.param(binds(*(f"/workspaces/app:/m{n}" for n in range(129))), "mounts.too-many", id="too-many"),
        pytest.param(binds(5), "mounts.malformed", id="bind-number"),
        pytest.param({"HostConfig": {"Binds": "/etc:/m"}}, "mounts.malformed", id="binds-text"),
        pytest.param({"HostConfig": []}, "mounts.malformed", id="host-config-list"),
        pytest.param({"HostConfig": {"binds": ["/etc:/m"]}}, "mounts.spelling", id="lower-case"),
        pytest.param({"HostConfig": {"MountS": []}}, "mounts.spelling", id="mixed-case"),
        pytest.param({"HostConfig": {"Bind\u017f": ["/etc:/m"]}}, "mounts.spelling", id="long-s"),
        pytest.param({"Ho\u017ftConfig": {}}, "mounts.spelling", id="long-s-above"),
        pytest.param(mount(type="bind", Type="bind", Source="/data"), "mounts.spelling", id="lower-case-type"),
        pytest.param(mount(Type="volume", ſource="/etc"),
                     "mounts.spelling", id="long-s-in-mount"),
        pytest.param(mount(Type="bind", Source="/etc"), "mounts.outside", id="mount-outside"),
        pytest.param(mount(Type="bind", Source="data"), "mounts.malformed", id="mount-name-as-bind"),
        pytest.param(mount(Type="bind"), "mounts.malformed", id="mount-no-source"),
        pytest.param(mount(Type=""), "mounts.type", id="no-type"),
        pytest.param(mount(Type="Bind", Source="/data"), "mounts.type", id="type-case"),
        pytest.param(mount(Type="npipe", Source="x"), "mounts.type", id="npipe"),
        pytest.param(mount(Type="image", Source="busybox"), "mounts.type", id="image"),
        pytest.param(mount(Type="cluster", Source="x"), "mounts.type", id="cluster"),
        pytest.param(mount(Type="bind", Source="/data", Target=""), "mounts.malformed", id="no-target"),
        pytest.param(bind_mount(Propagation="rshared"), "mounts.propagation", id="mount-rshared"),
        pytest.param(bind_mount(Later=True), "mounts.field", id="unknown-option"),
        pytest.param(mount(Type="bind", Source="/data", Later="x"), "mounts.field", id="unknown-field"),
        pytest.param(bind_mount(NonRecursive="true"), "mounts.malformed", id="flag-text"),
        pytest.param(mount(Type="bind", Source="/data", VolumeOptions={"NoCopy": True}), "mounts.malformed", id="options-of-another-type"),
        pytest.param(mount(Type="volume", Source="data", ImageOptions={"Subpath": "x"}), "mounts.malformed", id="image-options"),
        pytest.param(mount(Type="volume", Source="/etc"), "mounts.source", id="volume-path"),
        pytest.param(volume_mount(DriverConfig={"Name": "nfs"}), "mounts.driver", id="driver-name"),
        pytest.param(volume_mount(DriverConfig={"Name": "local", "Options": {"device": "/"}}), "mounts.driver", id="driver-local-options"),
        pytest.param(volume_mount(DriverConfig={"name": "local"}), "mounts.spelling", id="driver-spelling"),
        pytest.param(volume_mount(DriverConfig={"Options": {"o": "bind", "device": "/"}}), "mounts.driver", id="driver-options"),
        pytest.param(volume_mount(driverconfig={"Options": {"o": "bind"}}), "mounts.spelling", id="driver-case"),
        pytest.param(volume_mount(Subpath="x"), "mounts.subpath", id="subpath"),
        pytest.param(volume_mount(Labels={"a": 5}), "mounts.malformed", id="labels"),
        pytest.param(mount(Type="tmpfs", Source="x"), "mounts.malformed", id="tmpfs-source"),
        pytest.param(mount(Type="tmpfs", TmpfsOptions={"SizeBytes": -1}), "mounts.malformed", id="tmpfs-negative"),
        pytest.param(mount(Type="tmpfs", TmpfsOptions={"Mode": True}), "mounts.malformed", id="tmpfs-mode"),
        pytest.param(mount(Type="tmpfs", TmpfsOptions={"Options": [["huge", "always"]]}), "mounts.tmpfs", id="tmpfs-option"),
        pytest.param(mount(Type="tmpfs", TmpfsOptions={"Options": [["noexec,nr_inodes=1"]]}), "mounts.tmpfs", id="tmpfs-comma"),
        pytest.param(tmpfs("size=50%"), "mounts.tmpfs", id="tmpfs-percent"),
        pytest.param(tmpfs("rw,mpol=bind:0"), "mounts.tmpfs", id="tmpfs-mpol"),
        pytest.param(tmpfs("noexec=1"), "mounts.tmpfs", id="tmpfs-value"),
        pytest.param(tmpfs(5), "mounts.malformed", id="tmpfs-number"),
        pytest.param({"Volumes": {"/m": {"x": 1}}}, "mounts.malformed", id="volumes-options"),
        pytest.param({"Volumes": {"/etc:/m": {}}}, "mounts.malformed", id="volumes-bind"),
        pytest.param({"Volumes": ["/m"]}, "mounts.malformed", id="volumes-list"),
    ],
)  # fmt: skip
def test_refused(body: Object, rule: str) -> None:
    """Each has its rule."""
    assert refusal(body) == rule


def test_refusal_says_what_is_allowed() -> None:
    """People read it in the client."""
    with pytest.raises(Denied) as caught:
        parse(binds("/etc:/m"))
    message = "aienv guard: '/etc' lies outside the project (HostConfig.Binds[0]); allowed: /workspaces/app and what is below it"
    assert caught.value.denial.message == f"{message} [mounts.outside]"


def test_volume_of_the_session() -> None:
    """A volume that is there keeps its name; one that is someone else's looks as if it were not there."""
    known = {Reference("volume", "data"): Thing("volume", "data", "data"), Reference("volume", "other"): None}
    names = [ask.name for ask in parse_mounts(binds("data:/a", "other:/b"), known, SESSION) if isinstance(ask, VolumeAsk)]
    assert names == ["data", "other"]


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("/srv/run/ws", "/workspaces/app"),
        ("/srv/run/ws/a/b", "/workspaces/app/a/b"),
        ("/srv/run/ws/", "/workspaces/app"),
        ("/srv/cache/x", "/workspaces/app/cache/x"),
        ("/srv/run/wsx", None),
        ("/srv/run/ws/../x", None),
        ("srv/run/ws", None),
        ("/", None),
    ],
)
def test_unmap(path: str, there: str | None) -> None:
    """Answers name what the client knows, and the way back is the same."""
    assert unmap(path, SESSION) == there
    if there is not None:
        assert inside(there, SESSION) == path.rstrip("/")


def test_tmpfs_words() -> None:
    """One form that every engine reads."""
    assert tmpfs_words(TmpfsAsk("/m", 4096, 0o755, "ro,noexec")) == "ro,noexec,size=4096,mode=755"
    assert tmpfs_words(TmpfsAsk("/m", None, None)) == ""


NAMES = st.sampled_from(["HostConfig", "Binds", "Mounts", "Tmpfs", "Volumes", "Type", "Source", "Target", "BindOptions", "VolumeOptions",
                         "DriverConfig", "Propagation", "binds", "\u017fource", "ReadOnly", "/m", "x"])  # fmt: skip
WORDS = ["bind", "volume", "tmpfs", "/data", "/etc", "/m", "data:/m", "/etc:/m", "/data/x:/m", "/data/../etc:/m:ro"]
TEXTS = st.one_of(st.text(max_size=12), st.sampled_from(WORDS))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-2, 5), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.one_of(NAMES, TEXTS), inner, max_size=4)),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(NAMES, VALUES, max_size=4), st.dictionaries(NAMES, VALUES, max_size=4))
def test_any_body(body: Any, host: Any) -> None:
    """Any JSON is answered by asks or by our refusal, and what is asked lies in a map under a clean path."""
    body["HostConfig"] = host
    try:
        asks = parse(json.loads(json.dumps(body)))
    except Denied:
        return
    for ask in asks:
        assert ask.target.startswith("/")
        assert ask.target != "/"
        if isinstance(ask, BindAsk):
            assert 0 <= ask.map < len(MAPS)
            assert all(name not in ("", ".", "..") for name in ask.path.split("/")) or ask.path == ""


# --- masks ---------------------------------------------------------------------------------------------------------------------

RULES = SandboxRules(mask=(".env", "*.pem"), unmask=("public.pem",), expose=())


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for name in (".env", "app/.env", "app/deep/key.pem", "app/public.pem", "app/main.py", "lib/x"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def session_of(root: Path) -> Session:
    return Session("0123456789ab", PLAN, (PathMap(str(root), str(root)),))


def targets(ask: BindAsk, root: Path, secrets: Secrets, others: tuple[str, ...] = ()) -> list[str]:
    return [str(one["Target"]) for one in masks_for(ask, session_of(root), secrets, "/srv/empty", others)]


def test_masks(project: Path) -> None:
    """Over each secret below the source lies an empty file, where the container sees it."""
    secrets = secrets_of(str(project), RULES)
    assert secrets.paths == {".env", "app/.env", "app/deep/key.pem"}
    assert targets(bound(""), project, secrets) == ["/m/.env", "/m/app/.env", "/m/app/deep/key.pem"]
    assert targets(bound("app"), project, secrets) == ["/m/.env", "/m/deep/key.pem"]
    assert targets(bound("lib"), project, secrets) == []
    assert targets(bound("app/main.py"), project, secrets) == []
    (entry, _) = masks_for(bound("app"), session_of(project), secrets, "/srv/empty")
    assert (entry["Type"], entry["Source"], entry["ReadOnly"]) == ("bind", "/srv/empty", True)


def test_covered_secrets_need_no_mask(project: Path) -> None:
    """Another mount of the container hides them already."""
    secrets = secrets_of(str(project), RULES)
    assert targets(bound(""), project, secrets, ("/m", "/m/app", "/x")) == ["/m/.env"]
    assert targets(bound(""), project, secrets, ("/m/ap", "/")) == ["/m/.env", "/m/app/.env", "/m/app/deep/key.pem"]


def moved(project: Path) -> None:
    (project / "app").rename(project / "lib/app")


def linked(project: Path) -> None:
    os.link(project / "app/.env", project / "lib/harmless")


def replaced(project: Path) -> None:
    (project / "app/new").write_text("the user's editor wrote this")
    (project / "app/new").rename(project / "app/.env")


@pytest.mark.parametrize(
    ("change", "now"),
    [
        pytest.param(moved, ["/m/.env", "/m/lib/app/.env", "/m/lib/app/deep/key.pem"], id="moved"),
        pytest.param(linked, ["/m/.env", "/m/app/.env", "/m/app/deep/key.pem", "/m/lib/harmless"], id="linked"),
        pytest.param(replaced, ["/m/.env", "/m/app/.env", "/m/app/deep/key.pem"], id="replaced"),
    ],
)
def test_secrets_are_found_again(project: Path, change: Callable[[Path], None], now: list[str]) -> None:
    """By what they are; what was mounted before the change is no longer enough."""
    secrets = secrets_of(str(project), RULES)
    before = targets(bound(""), project, secrets)
    check_masks(bound(""), session_of(project), secrets, before)
    change(project)
    assert targets(bound(""), project, secrets) == now
    if now != before:
        with pytest.raises(Denied, match=r"has been moved to .*\[mounts\.masked\]"):
            check_masks(bound(""), session_of(project), secrets, before)


def test_later_files_are_no_secrets(project: Path) -> None:
    """The agent may write what it likes into files of its own."""
    secrets = secrets_of(str(project), RULES)
    (project / "lib/.env").write_text("made later")
    assert targets(bound("lib"), project, secrets) == []


def test_what_a_link_leads_to(project: Path) -> None:
    """A masked link stands for its file, and is not followed later."""
    (project / "app/id.pem").symlink_to("../lib/x")
    secrets = secrets_of(str(project), RULES)
    assert targets(bound("lib"), project, secrets) == ["/m/x"]
    assert "/m/id.pem" not in targets(bound("app"), project, secrets)


@pytest.mark.parametrize("path", [".env", "app/deep/key.pem"])
def test_a_secret_is_no_source(project: Path, path: str) -> None:
    secrets = secrets_of(str(project), RULES)
    with pytest.raises(Denied, match=r"is masked.*\[mounts\.masked\]"):
        masks_for(bound(path), session_of(project), secrets, "/srv/empty")


def test_what_cannot_be_searched_is_no_source(project: Path) -> None:
    """A link in the way, a missing folder, a name that JSON cannot say."""
    secrets = secrets_of(str(project), RULES)
    (project / "link").symlink_to("app")
    (project / "app").rename(project / os.fsdecode(b"\xff"))
    for path in ("link", "app", ""):
        with pytest.raises(Denied, match=r"cannot be searched.*\[mounts\.masked\]"):
            masks_for(bound(path), session_of(project), secrets, "/srv/empty")


def test_no_secrets_no_search(tmp_path: Path) -> None:
    """Most runs have none; a folder that is not there does not matter then."""
    assert masks_for(bound("x"), session_of(tmp_path / "none"), Secrets(), "/srv/empty") == ()

"""Ways to mount more than the project, and volumes of others."""



from collections.abc import Iterator
from typing import Any

from tests.integration.guard.attacks.row import Row, V, calls, created, passes


def bind(source: str, **more: Any) -> dict[str, Any]:
    return {"Mounts": [{"Type": "bind", "Source": source, "Target": "/x", **more}]}


def volume(driver: dict[str, Any] | None, source: str = "", **more: Any) -> dict[str, Any]:
    options = {"VolumeOptions": {"DriverConfig": driver}} if driver is not None else {}
    return {"Mounts": [{"Type": "volume", "Source": source, "Target": "/x", **options, **more}]}


LOCAL_BIND = {"type": "none", "o": "bind", "device": "/etc"}


def mounts() -> Iterator[Row]:
    outside = {
        "root": "/",
        "etc": "/etc",
        "dot-dot": "@PROJECT@/../../etc",
        "dot-dot-end": "@PROJECT@/..",
        "slashes": "//etc",
        "dot": "/./etc",
        "proc-root": "/proc/self/root/etc",
        "proc-1": "/proc/1/root",
        "proc-cwd": "/proc/self/cwd",
        "sibling": "@PROJECT@-evil",
        "prefix": "@PROJECT@x",
        "dev": "/dev",
        "sys": "/sys",
        "tmp": "/tmp",
        "var-lib-docker": "/var/lib/docker",
        "run": "/run",
        "var-run": "/var/run",
        "home": "/root",
        "data-root": "@ENGINE@/data",
        "engine-root": "@ENGINE@",
        "socket-folder": "@ENGINE@/",
        "containerd": "@ENGINE@/exec/containerd",
        "link": "@PROJECT@/link-etc",
        "link-child": "@PROJECT@/link-etc/ssl",
        "link-chain": "@PROJECT@/link-link",
        "link-relative": "@PROJECT@/link-up",
        "link-missing-child": "@PROJECT@/link-etc/made-by-guard",
        "link-proc": "@PROJECT@/link-proc/1/root",
        "link-socket": "@PROJECT@/link-socket",
        "parent": "/tmp/",
        "nul": "@PROJECT@\x00/../etc",
        "newline": "/etc\n",
        "blank": " /etc",
        "tilde": "~/",
        "relative": "etc/../..",
        "upper": "/ETC",
    }
    yield from created("mounts", {f"binds-{name}": {"Binds": [f"{path}:/x"]} for name, path in outside.items()}, rule="mounts")
    few = (
        "root",
        "etc",
        "dot-dot",
        "link",
        "link-child",
        "link-missing-child",
        "sibling",
        "proc-root",
        "data-root",
        "socket-folder",
        "relative",
    )
    yield from created("mounts", {f"mounts-{name}": bind(outside[name]) for name in few}, rule="mounts")
    yield from created(
        "mounts",
        {
            "binds-second": {"Binds": ["@PROJECT@:/ok", "/etc:/x"]},
            "binds-and-mounts": {"Binds": ["@PROJECT@:/ok"], **bind("/etc")},
            "binds-mode-rshared": {"Binds": ["@PROJECT@:/x:rshared"]},
            "binds-mode-shared": {"Binds": ["@PROJECT@:/x:rw,shared"]},
            "bind-propagation": bind("@PROJECT@", BindOptions={"Propagation": "rshared"}),
            "bind-slave": bind("@PROJECT@", BindOptions={"Propagation": "rslave"}),
            "bind-non-recursive-unknown": bind("@PROJECT@", BindOptions={"Surprise": True}),
            "bind-type-upper": {"Mounts": [{"Type": "BIND", "Source": "/etc", "Target": "/x"}]},
            "bind-type-missing": {"Mounts": [{"Source": "/etc", "Target": "/x"}]},
            "mount-npipe": {"Mounts": [{"Type": "npipe", "Source": "/etc", "Target": "/x"}]},
            "mount-cluster": {"Mounts": [{"Type": "cluster", "Source": "x", "Target": "/x"}]},
            "mount-image": {"Mounts": [{"Type": "image", "Source": "@FIMAGE@", "Target": "/x"}]},
            "mount-unknown": {"Mounts": [{"Type": "future", "Source": "/etc", "Target": "/x"}]},
            "mount-number": {"Mounts": [{"Type": 1, "Source": "/etc", "Target": "/x"}]},
            "binds-target-proc": {"Binds": ["@PROJECT@:/proc"]},
            "tmpfs-over-options": {"Tmpfs": {"/x": "rw,bind=/etc"}},
            "binds-object": {"Binds": {"0": "/etc:/x"}},
            "binds-number": {"Binds": [7]},
            "volume-driver-bind": volume({"Name": "local", "Options": LOCAL_BIND}),
            "volume-driver-rbind": volume({"Options": {**LOCAL_BIND, "o": "ro,rbind"}}, "v1"),
            "volume-driver-mixed": volume({"Name": "", "Options": {"o": "bind,nosuid", "device": "/"}}),
            "volume-driver-decoy": volume({"Options": {"type": "tmpfs", "o": "bind", "device": "/etc"}}),
            "volume-driver-overlay": volume({"Options": {"type": "overlay", "o": "lowerdir=/etc:/root", "device": "overlay"}}),
            "volume-driver-disk": volume({"Options": {"type": "ext4", "device": "/dev/vda"}}),
            "volume-driver-plugin": volume({"Name": "vieux/sshfs", "Options": {"sshcmd": "a@b:/"}}),
            "volume-driver-flag": {"VolumeDriver": "vieux/sshfs", "Binds": ["v:/x"]},
            "volume-foreign": {"Binds": ["@VOL@:/x"]},
            "volume-foreign-mount": volume(None, "@VOL@"),
            "volume-foreign-ro": {"Binds": ["@VOL@:/x:ro"]},
            "volumes-from": {"VolumesFrom": ["@FOREIGNNAME@"]},
            "volumes-from-id": {"VolumesFrom": ["@FOREIGN@"]},
            "volumes-from-short": {"VolumesFrom": ["@FOREIGNSHORT@:ro"]},
            "volumes-from-slash": {"VolumesFrom": ["/@FOREIGNNAME@"]},
            "volume-subpath-up": volume(None, "evil-sub", VolumeOptions={"Subpath": "../.."}),
            "volume-name-path": {"Binds": ["../../etc:/x"]},
        },
    )
    driver = "POST", f"{V}/volumes/create"
    options = {
        "bind": LOCAL_BIND,
        "rbind": {"o": "rbind,rw", "device": "/"},
        "overlay": {"type": "overlay", "o": "lowerdir=/:/etc", "device": "o"},
        "disk": {"type": "ext4", "device": "/dev/vda", "o": "ro"},
        "proc": {"type": "proc", "device": "proc"},
        "nfs": {"type": "nfs", "o": "addr=10.0.0.1", "device": ":/x"},
        "cifs": {"type": "cifs", "device": "//h/s", "o": "addr=10.0.0.1"},
        "tmpfs-bind": {"type": "tmpfs", "o": "bind", "device": "/etc"},
        "sysfs": {"type": "sysfs", "device": "x"},
    }
    yield from calls(
        "mounts",
        {f"volume-create-{name}": (*driver, {"Name": "@EVIL@", "Driver": "local", "DriverOpts": value}) for name, value in options.items()},
    )
    yield from calls(
        "mounts",
        {
            "volume-create-foreign": (*driver, {"Name": "@VOL@"}),
            "volume-create-plugin": (*driver, {"Name": "@EVIL@", "Driver": "vieux/sshfs"}),
            "volume-create-cluster": (*driver, {"Name": "@EVIL@", "ClusterVolumeSpec": {"Group": "g"}}),
            "volume-create-fold": (*driver, {"Name": "@EVIL@", "driveropts": LOCAL_BIND}),
            "volume-create-twice": (*driver, '{"Name":"@EVIL@","DriverOpts":{"type":"none","o":"bind","device":"/etc"},"DriverOpts":{}}'),
            "volume-remove-foreign": ("DELETE", f"{V}/volumes/@VOL@?force=1"),
            "volume-inspect-foreign": ("GET", f"{V}/volumes/@VOL@"),
        },
    )
    yield from passes(
        "mounts",
        {
            "ok-project": {"Binds": ["@PROJECT@:/x"]},
            "ok-project-child": {"Binds": ["@PROJECT@/folder:/x:ro"]},
            "ok-project-mount": bind("@PROJECT@/folder"),
            "ok-read-only": bind("@PROJECT@", ReadOnly=True),
            "ok-volume": {"Binds": ["@OWNVOL@:/x"]},
            "ok-volume-mount": volume(None, "@OWNVOL@"),
            "ok-volume-new": {"Binds": ["ok-fresh-volume:/x"]},
            "ok-tmpfs": {"Tmpfs": {"/x": "rw,size=1m"}},
            "ok-tmpfs-mount": {"Mounts": [{"Type": "tmpfs", "Target": "/x"}]},
            "ok-anonymous": volume(None),
            "ok-volumes-from": {"VolumesFrom": ["@OWNNAME@"]},
            "ok-private": {"Binds": ["@PROJECT@:/x:rw,rprivate"]},
            "ok-empty-options": volume(None, VolumeOptions={}),
        },
    )
    yield from calls(
        "mounts",
        {
            "ok-volume-create": (*driver, {"Name": "ok-made-volume", "Driver": "local", "DriverOpts": {}, "Labels": {}}),
            "ok-volume-inspect": ("GET", f"{V}/volumes/@OWNVOL@"),
        },
        attack=False,
    )

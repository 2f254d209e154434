"""Configurations that the reference dev container CLI and ours read, and where they are meant to differ.

A case is a folder, words of the command line, and an engine made of files (``fake_docker.sh``). Those in ``QUICK`` run always; the
others, a fifth of a second each, with the slow tests.
"""

# ruff: noqa: E501 - a row of a table stays one line

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MERGED = ("--include-merged-configuration",)
Answer = dict[str, Any] | None  # None: it ended with 1
Fix = Callable[[Any], None]
ENVIRON = {"PLACE": "here", "EMPTY": "", "SECRET": "s3"}
LABEL = "devcontainer.metadata"


@dataclass(frozen=True)
class Case:
    """``config``: of .devcontainer/devcontainer.json; ``differs``: why the answers are not equal; ``ours``: then ours must hold this."""

    name: str
    config: Any = None
    words: Sequence[str] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    fake: Mapping[str, Any] = field(default_factory=dict)
    folder: str = ""
    git: bool = False
    differs: str = ""
    ours: Callable[[Any], bool] | None = None

    @property
    def slow(self) -> bool:
        return self.name not in QUICK


def image(*entries: Any, raw: str | None = None, name: str = "i", **config: Any) -> dict[str, Any]:
    """An image with a label."""
    labels = {} if raw is None and not entries else {LABEL: raw if raw is not None else json.dumps(list(entries))}
    return {
        f"image-{name}.json": [
            {"Id": "sha256:1", "Os": "linux", "Architecture": "amd64", "Config": {"User": "", "Env": [], "Labels": labels, **config}}
        ]
    }


def container(
    labels: Mapping[str, str], found: str, environ: Sequence[str] = ("PATH=/usr/bin", "COLOUR=green"), name: str = "c1"
) -> dict[str, Any]:
    """A container, and by what it is found: ``ps-new``, ``ps-old`` or ``ps-label``; ``-``: by its id alone."""
    state = {"Status": "running", "StartedAt": "2026-01-01T00:00:00Z", "FinishedAt": ""}
    facts = {"Id": name, "Created": "2026-01-01T00:00:00Z", "Name": "/x", "State": state, "Mounts": [], "NetworkSettings": {"Ports": {}}}
    return {
        f"container-{name}.json": [{**facts, "Config": {"Image": "i", "User": "", "Env": list(environ), "Labels": dict(labels)}}],
        **({found: f"{name}\n"} if found != "-" else {}),
    }


def merged(name: str, config: Mapping[str, Any], *entries: Any, **more: Any) -> Case:
    return Case(name, {"image": "i", **config}, MERGED, fake=image(*entries), **more)


def plain(case: str, /, **config: Any) -> Case:
    return Case(case, {"image": "i", **config})


def text(name: str, content: str, differs: str = "", ours: Callable[[Any], bool] | None = None) -> Case:
    return Case(name, content, differs=differs, ours=ours)


def refused(answer: Answer) -> bool:
    return answer is None


PROPERTIES = [
    plain("minimal"),
    plain("identity", name="N", **{"$schema": "https://x/y.json"}),
    Case("dockerfile", {"build": {"dockerfile": "Dockerfile", "context": "..", "args": {"A": "${localEnv:PLACE}"}, "target": "t", "cacheFrom": ["a", "b"], "options": ["--x"]}}),
    Case("dockerfile-old", {"dockerFile": "Dockerfile", "context": ".."}),
    plain("image-and-build", build={"dockerfile": "D"}),
    Case("compose", {"dockerComposeFile": ["a.yml", "b.yml"], "service": "s", "workspaceFolder": "/w", "runServices": ["s"], "shutdownAction": "stopCompose"}),
    Case("compose-no-folder", {"dockerComposeFile": "a.yml", "service": "s"}),
    Case("compose-with-mount", {"dockerComposeFile": "a.yml", "service": "s", "workspaceMount": "x"}),
    plain("hooks", initializeCommand="a", onCreateCommand=["b", "${localEnv:PLACE}"], updateContentCommand={"x": "c", "y": ["d"]}, postCreateCommand="", postStartCommand=None, postAttachCommand=[], waitFor="postCreateCommand"),
    plain("users", containerUser="u", remoteUser="r", updateRemoteUserUID=False, userEnvProbe="loginShell"),
    plain("environment", containerEnv={"A": "${localEnv:PLACE}", "N": 1, "B": True}, remoteEnv={"P": "${containerEnv:PATH}:/x", "U": None}),
    plain("ports", forwardPorts=[3000, "db:5432"], appPort=[8080, "81:80"], portsAttributes={"3000": {"label": "x", "onAutoForward": "notify"}}, otherPortsAttributes={"onAutoForward": "ignore"}),
    plain("running", runArgs=["--x"], mounts=["type=volume,source=v,target=/v", {"type": "bind", "source": "${localWorkspaceFolder}", "target": "/b"}], init=True, privileged=False, capAdd=["A"], securityOpt=["s"], overrideCommand=False, shutdownAction="none"),
    plain("needs", hostRequirements={"cpus": 2, "memory": "8gb", "storage": "32gb", "gpu": "optional"}, secrets={"S": {"description": "d"}}),
    plain("tools", customizations={"vscode": {"extensions": ["a"], "settings": {"x": [1, {"y": None}]}}, "other": 1}),
    plain("unknown", something={"a": "${localEnv:PLACE}", "${localEnv:PLACE}": [1.5, True, None]}),
    plain("numbers", something=[0, -1, 1.0, 1.5, 1e3, 1e-3, 12345678901]),
    plain("old-extensions", extensions=["a"], settings={"s": 1}, devPort=3),
    plain("old-with-new", extensions=["a"], settings={"s": 1, "t": 1}, devPort=3, customizations={"vscode": {"extensions": ["b"], "settings": {"s": 2}, "devPort": 4}, "x": 1}),
    plain("old-empty", extensions=[], settings={}),
    plain("old-nothing", extensions=None, settings=""),
    plain("workspace-folder", workspaceFolder="/a/b"),
    plain("workspace-mount", workspaceMount="type=bind,source=/s,target=/t"),
    plain("workspace-both", workspaceFolder="/a/${localWorkspaceFolderBasename}", workspaceMount="source=${localWorkspaceFolder},target=${containerWorkspaceFolder},type=bind"),
    plain("workspace-mount-empty", workspaceMount=""),
    plain("workspace-folder-empty", workspaceFolder=""),
    Case("workspace-null", {"image": "i", "workspaceFolder": None, "workspaceMount": None}, differs="a mount that is null is left out", ours=lambda answer: bool(answer) and "workspaceMount" not in answer["workspace"]),
    Case("old-lost-too", {"image": "i", "extensions": ["a"], "customizations": {"vscode": []}}, differs="what has no place to move to stays", ours=lambda answer: answer["configuration"]["extensions"] == ["a"]),
    Case("old-lost", {"image": "i", "extensions": ["a"], "customizations": {"vscode": "x"}}, differs="what has no place to move to stays", ours=lambda answer: answer["configuration"]["extensions"] == ["a"]),
    Case("workspace-not-text", {"image": "i", "workspaceFolder": 5}),
]  # fmt: skip

VARIABLES = [
    plain("local-env", a="${localEnv:PLACE}", b="${env:PLACE}", c="x${localEnv:PLACE}y${localEnv:PLACE}z", d="${localEnv:NONE}", e="${localEnv:EMPTY}", f="${localEnv:EMPTY:default}"),
    plain("local-env-default", a="${localEnv:NONE:def}", b="${localEnv:NONE:}", c="${localEnv:U:http://h}", d="${localEnv:PLACE:def}", e="${localEnv:NONE:a:b:c}", f="${localEnv:}", g="${localEnv::d}"),
    plain("local-env-no-name", a="${localEnv}"),
    plain("local-folders", a="${localWorkspaceFolder}", b="${localWorkspaceFolderBasename}", c="${containerWorkspaceFolder}", d="${containerWorkspaceFolderBasename}", e="${localWorkspaceFolder:x}"),
    plain("nesting", a="${localEnv:NONE:${localEnv:PLACE}}", b="${${localEnv:PLACE}}", c="$${localEnv:PLACE}", d="\\${localEnv:PLACE}", e="${localEnv:PLACE", f="$ {localEnv:PLACE}"),
    plain("unknown-variables", a="${foo}", b="${containerEnv:PATH}", c="${devcontainerId}", d="${}", e="${ localEnv:PLACE}", f="${LOCALENV:PLACE}", g="${foo:bar:baz}", h="$PLACE"),
    plain("over-lines", a="${localEnv:NONE:a\nb}", b="${local\u2028Env:PLACE}", c="${localEnv:NO\rNE}"),
    plain("prototype-names", a="${localEnv:toString}", b="${localEnv:__proto__:d}"),
    plain("keys-stay", containerEnv={"${localEnv:PLACE}": "x"}),
    plain("deep", customizations={"a": [{"b": ["${localEnv:PLACE}", {"c": "${localWorkspaceFolderBasename}"}]}]}),
    plain("container-folder-of-itself", workspaceFolder="/x/${containerWorkspaceFolder}", a="${containerWorkspaceFolder}"),
    plain("container-folder-basename", workspaceFolder="/x/${localWorkspaceFolderBasename}/", a="${containerWorkspaceFolderBasename}"),
    plain("env-in-image", image2="${localEnv:NONE:debian:bookworm}"),
    plain("null-values", a=None, b=[None], c={"d": None}),
]  # fmt: skip

JSONC = [
    text("comments", '// a\n{ /* b\n c */ "image": "i", // d\n "a": "http://x/*y*/" /* e */ }// f'),
    text("trailing-commas", '{"image": "i", "a": [1, 2,], "b": {"c": 1,},}'),
    text("bom", '\ufeff{"image": "i"}'),
    text("duplicate-keys", '{"image": "i", "image": "j", "a": {"b": 1, "b": 2}}'),
    text("windows-lines", '{\r\n  "image": "i", // x\r\n "a": 1\r\n}\r\n'),
    text("escapes", '{"image": "i", "a": "\\u00fc \\ud83d\\ude00 \\n \\/ \\" \\\\ \\t"}'),
    text("lone-surrogate", '{"image": "i", "a": "\\ud800x"}'),
    text("unicode", '{"image": "i", "name": "ünïcödé 😀 \u200b", "a": "\x7f"}'),
    text("only-comment", "// x\n"),
    text("not-object", "[]"),
    text("a-number", "0"),
    text("empty", ""),
    text("no-end", '{"image": "i"', "a broken file is an error with line and column", ours=refused),
    text("single-quotes", "{'image': 'i'}", "a broken file is an error with line and column", ours=refused),
    text("bare-keys", "{image: 1}", "a broken file is an error with line and column", ours=refused),
    text("comma-missing", '{"image": "i" "a": 1}', "a broken file is an error with line and column", ours=refused),
    text("control-character", '{"image": "i", "a": "x\ty"}', "a broken file is an error with line and column", ours=refused),
    text("two-documents", '{"image": "i"} {}', "a broken file is an error with line and column", ours=refused),
    text("big-integer", '{"image": "i", "a": 12345678901234567890}', "integers keep all their digits", ours=lambda answer: bool(answer) and answer["configuration"]["a"] == 12345678901234567890),
]  # fmt: skip

ONE = '{"image": "one"}'
PLACES = [
    Case("root-file", None, files={".devcontainer.json": '{"image": "r", "a": "${localWorkspaceFolderBasename}"}'}),
    Case("folder-before-root", {"image": "i"}, files={".devcontainer.json": '{"image": "r"}'}),
    Case("with-config", {"image": "i"}, ("--config", "{folder}/.devcontainer/x/devcontainer.json"), {".devcontainer/x/devcontainer.json": ONE}),
    Case("config-of-any-name", None, ("--config", "{folder}/other.json"), {"other.json": ONE}),
    Case("config-equals", None, ("--config={folder}/other.json", "--log-format=json", "--logLevel", "trace"), {"other.json": ONE}),
    Case("override", {"image": "i"}, ("--override-config", "{folder}/o.json"), {"o.json": '{"image": "o", "w": "${localWorkspaceFolder}"}'}),
    Case("override-alone", None, ("--override-config", "{folder}/o.json"), {"o.json": '{"image": "o"}'}),
    Case("missing"),
    Case("config-missing", {"image": "i"}, ("--config", "{folder}/no.json")),
    Case("several-folders", None, files={f".devcontainer/{name}/devcontainer.json": ONE for name in "ab"}),
    Case("one-folder", None, files={".devcontainer/a/devcontainer.json": ONE}, differs="a single .devcontainer/<folder> is taken", ours=lambda answer: bool(answer) and answer["configuration"]["image"] == "one"),
    Case("unknown-option", {"image": "i"}, ("--bogus",)),
    Case("stray-word", {"image": "i"}, ("bogus",)),
    Case("bad-choice", {"image": "i"}, ("--log-level", "loud")),
    Case("bad-label", {"image": "i"}, ("--id-label", "x")),
    Case("unused-options", {"image": "i"}, ("--user-data-folder", "/x", "--terminal-columns", "80", "--terminal-rows", "24", "--skip-feature-auto-mapping", "--oci-auth-hardening")),
    Case("git-root", None, files={"sub/.devcontainer.json": '{"image": "i", "a": "${containerWorkspaceFolder}"}'}, folder="sub", git=True),
    Case("git-root-deep", None, files={"a/b/c/.devcontainer.json": '{"image": "i"}'}, folder="a/b/c", git=True),
    Case("git-root-off", None, ("--mount-workspace-git-root", "false"), {"sub/.devcontainer.json": '{"image": "i"}'}, folder="sub", git=True),
    Case("git-root-off-equals", None, ("--mount-workspace-git-root=false",), {"sub/.devcontainer.json": '{"image": "i"}'}, folder="sub", git=True),
    Case("git-broken", None, files={"sub/.devcontainer.json": '{"image": "i"}', ".git/config": ""}, folder="sub"),
    Case("git-mount-given", None, files={"sub/.devcontainer.json": '{"image": "i", "workspaceMount": "x"}'}, folder="sub", git=True),
    Case("git-folder-given", None, files={"sub/.devcontainer.json": '{"image": "i", "workspaceFolder": "/y"}'}, folder="sub", git=True),
    Case("comma", None, files={"a,b/.devcontainer.json": '{"image": "i"}'}, folder="a,b"),
    Case("slash-at-the-end", None, files={"a b/.devcontainer.json": '{"image": "i", "a": "${localWorkspaceFolderBasename}"}'}, folder="a b/"),
    Case("workspace-file", {"image": "i"}, files={"x.code-workspace": "{}"}, folder="x.code-workspace", differs="a .code-workspace file stands for its folder", ours=lambda answer: bool(answer) and answer["workspace"]["workspaceFolder"] == "/workspaces/project"),
    Case("core-worktree", None, files={"sub/.devcontainer.json": '{"image": "i"}'}, folder="sub", git=True, differs="core.worktree of a repository does not choose what is mounted", ours=lambda answer: bool(answer) and answer["workspace"]["workspaceFolder"].endswith("/sub")),
]  # fmt: skip

FULL = {
    "remoteUser": "u", "containerUser": "c", "userEnvProbe": "none", "waitFor": "onCreateCommand", "overrideCommand": True, "shutdownAction": "none", "updateRemoteUserUID": True,
    "remoteEnv": {"A": "image", "B": "image"}, "containerEnv": {"A": "image"}, "portsAttributes": {"1": {"label": "image"}}, "otherPortsAttributes": {"label": "image"},
    "onCreateCommand": "image", "postStartCommand": {"a": "image"}, "init": True, "capAdd": ["A", "B"], "securityOpt": ["x"], "entrypoint": "/e", "mounts": ["source=v,target=/v"],
    "customizations": {"vscode": {"extensions": ["image"]}}, "forwardPorts": [1], "hostRequirements": {"cpus": 4, "memory": "1gb"},
}  # fmt: skip
MERGES = [
    merged("merge-nothing", {"name": "n"}),
    merged("merge-own", FULL),
    merged("merge-image", {}, FULL),
    merged("merge-both", {**FULL, "remoteUser": "mine", "remoteEnv": {"A": "mine", "C": None}, "overrideCommand": False, "init": False, "updateRemoteUserUID": False}, FULL),
    merged("merge-false-stays", {"privileged": False, "init": False}, {"privileged": True}, {"init": True}),
    merged("merge-empty-user", {"remoteUser": ""}, {"remoteUser": "a"}, {"remoteUser": "b"}),
    merged("merge-hooks", {"onCreateCommand": "c", "postCreateCommand": ["d"], "postAttachCommand": ""}, {"onCreateCommand": "a", "postCreateCommand": {}}, {"id": "f", "onCreateCommand": "b", "postCreateCommand": None}),
    merged("merge-sets", {"capAdd": ["B", "C"], "securityOpt": []}, {"capAdd": ["A", "B"]}, {"securityOpt": ["s", "s"]}),
    merged("merge-mounts", {"mounts": ["type=bind,src=/a,dst=/t", {"type": "volume", "source": "w", "target": "/u"}]}, {"mounts": ["source=v,target=/t", "source=x,destination=/u,type=volume"]}, {"mounts": ["target=/only", "tmpfs"]}),
    merged("merge-ports", {"forwardPorts": [3000, "localhost:3001", "db:1"]}, {"forwardPorts": ["localhost:3000", 3001, 3002, "db:1"]}),
    merged("merge-port-names", {"forwardPorts": ["mylocalhost:30"]}, differs="only localhost:PORT is a number", ours=lambda answer: bool(answer) and answer["mergedConfiguration"]["forwardPorts"] == ["mylocalhost:30"]),
    merged("merge-attributes", {"portsAttributes": {"1": {"label": "b"}, "2": {}}}, {"portsAttributes": {"1": {"label": "a", "protocol": "http"}}, "otherPortsAttributes": {"label": "o"}}),
    merged("merge-tools", {"customizations": {"vscode": {"a": 1}, "x": 1}}, {"customizations": {"vscode": {"b": 2}}}, {"customizations": {"vscode": None, "y": []}}),
    merged("merge-needs", {"hostRequirements": {"cpus": 2, "memory": "512mb", "gpu": "optional"}}, {"hostRequirements": {"cpus": 4, "memory": "1gb", "storage": "2tb"}}),
    merged("merge-needs-units", {"hostRequirements": {"memory": "1024", "storage": "1kb"}}, {"hostRequirements": {"memory": "junk", "storage": "1025"}}),
    *(merged(f"merge-gpu-{number}", {"hostRequirements": {"gpu": mine}}, {"hostRequirements": {"gpu": theirs}}) for number, (theirs, mine) in enumerate([
        (False, "optional"), ("optional", "optional"), (True, "optional"), ({"cores": 4, "memory": "1gb"}, {"cores": 2, "memory": "2gb"}),
        (True, True), (True, False), (True, {"cores": 1}), ({"cores": 0}, "optional"), (False, False)])),
    merged("merge-gpu-silent", {"hostRequirements": {"cpus": 1}}, {"hostRequirements": {"gpu": False}}),
    merged("merge-gpu-null", {"hostRequirements": {"cpus": 1, "gpu": None}}, differs="a property that is null says nothing", ours=lambda answer: "gpu" not in answer["mergedConfiguration"]["hostRequirements"]),
    merged("merge-entrypoints", {"entrypoint": "mine"}, {"entrypoint": "/a"}, {"entrypoint": ""}, {"entrypoint": "/b"}),
    merged("merge-variables", {"remoteEnv": {"X": "${containerEnv:PATH}"}}, {"remoteEnv": {"A": "${localEnv:PLACE}", "B": "${containerEnv:Q}"}, "mounts": ["source=${localWorkspaceFolder},target=${containerWorkspaceFolder}"], "postStartCommand": "${devcontainerId}"}),
    merged("merge-folder-empty", {"workspaceFolder": ""}, {"remoteUser": "${containerWorkspaceFolder}|${containerWorkspaceFolderBasename}"}),
    merged("merge-folder-of-itself", {"workspaceFolder": "/x${containerWorkspaceFolder}"}, {"remoteUser": "${containerWorkspaceFolder}"}),
    merged("merge-many", {"remoteUser": "z"}, *({"remoteUser": f"u{n}", "remoteEnv": {f"N{n}": "x", "L": str(n)}, "onCreateCommand": f"c{n}"} for n in range(5))),
    Case("label-object", {"image": "i"}, MERGED, fake=image(raw='{"remoteUser": "lone"}')),
    Case("label-broken", {"image": "i", "remoteUser": "x"}, MERGED, fake=image(raw="[{")),
    Case("label-number", {"image": "i", "remoteUser": "x"}, MERGED, fake=image(raw="5")),
    Case("label-comments", {"image": "i", "remoteUser": "x"}, MERGED, fake=image(raw='[{"init": true}] // x')),
    Case("label-empty", {"image": "i", "remoteUser": "x"}, MERGED, fake=image(raw="")),
    Case("labels-null", {"image": "i", "remoteUser": "x"}, MERGED, fake=image(Labels=None)),
    Case("image-old-properties", {"image": "i", "extensions": ["a"]}, MERGED, fake=image({"customizations": {"vscode": {"extensions": ["b"]}}})),
    Case("no-image", {"name": "x"}, MERGED),
    Case("no-image-plain", {"name": "x"}),
    Case("merge-dockerfile", {"build": {"dockerfile": "Dockerfile", "args": {"V": "i"}}}, MERGED, {".devcontainer/Dockerfile": 'ARG V=no\nFROM x AS a\nFROM ${V}\nLABEL devcontainer.metadata=\'{"init": true}\'\n'}, image({"remoteUser": "base"})),
    Case("merge-dockerfile-target", {"dockerFile": "../D", "build": {"target": "a"}}, MERGED, {"D": "FROM i as base\nFROM base as a\nUSER x\nFROM no\n"}, image({"remoteUser": "base"})),
    Case("merge-dockerfile-missing", {"build": {"dockerfile": "No"}}, MERGED),
    Case("merge-dockerfile-variable", {"build": {"dockerfile": "D"}}, MERGED, {".devcontainer/D": 'ARG A\nARG B="i"\nFROM ${A:-i}\n'}, image({"init": True})),
    Case("merge-dockerfile-no-stage", {"build": {"dockerfile": "D", "target": "z"}, "remoteUser": "q"}, MERGED, {".devcontainer/D": "FROM i\n"}, image({"init": True})),
    Case("merge-compose-image", {"dockerComposeFile": "c.yml", "service": "s", "workspaceFolder": "/w"}, MERGED, {".devcontainer/c.yml": "x: 1"}, {**image({"remoteUser": "base"}), "compose.yaml": "services:\n  s:\n    image: i\n"}),
    Case("merge-compose-build", {"dockerComposeFile": ["c.yml"], "service": "s"}, MERGED, {".devcontainer/c.yml": "x: 1", "ctx/D": "ARG A\nFROM ${A}\n"}, {**image({"remoteUser": "base"}), "compose.yaml": "services:\n  s:\n    build:\n      context: {folder}/ctx\n      dockerfile: D\n      args:\n        A: i\n"}),
    Case("merge-compose-no-service", {"dockerComposeFile": "c.yml", "service": "z"}, MERGED, {".devcontainer/c.yml": ""}, {"compose.yaml": "services:\n  s:\n    image: i\n"}),
]  # fmt: skip

NEW = {"devcontainer.local_folder": "{folder}", "devcontainer.config_file": "{folder}/.devcontainer/devcontainer.json"}
OLD = {"devcontainer.local_folder": "{folder}"}
CONFIG = {
    "image": "i", "remoteUser": "now", "remoteEnv": {"C": "${containerEnv:COLOUR}", "N": "${containerEnv:NONE:d}", "L": "${localEnv:PLACE}"}, "onCreateCommand": "now ${containerEnv:COLOUR}",
    "containerEnv": {"I": "${devcontainerId}", "C": "${containerEnv:COLOUR}"},
}  # fmt: skip
STORED = json.dumps(
    [
        {
            "remoteUser": "then",
            "onCreateCommand": "then",
            "remoteEnv": {"A": "${containerEnv:COLOUR}"},
            "mounts": ["source=${devcontainerId},target=/x"],
        }
    ]
)
CONTAINERS = [
    Case("container", CONFIG, fake=container(NEW, "ps-new")),
    Case("container-merged", CONFIG, MERGED, fake=container({**NEW, LABEL: STORED}, "ps-new")),
    Case("container-no-label", CONFIG, MERGED, fake=container(NEW, "ps-new")),
    Case("container-older", CONFIG, MERGED, fake=container({**OLD, LABEL: STORED}, "ps-old")),
    Case("container-older-but-new", CONFIG, fake=container(NEW, "ps-old")),
    Case("container-by-id", CONFIG, ("--container-id", "c1", *MERGED), fake=container({LABEL: STORED}, "-")),
    Case("container-by-id-missing", CONFIG, ("--container-id", "c9")),
    Case("container-by-label", CONFIG, ("--id-label", "a=b", "--id-label", "c=d=e", *MERGED), fake=container({"a": "b", "c": "d=e", LABEL: STORED}, "ps-label")),
    Case("container-by-label-none", CONFIG, ("--id-label", "a=b")),
    Case("container-id-and-label", CONFIG, ("--container-id", "c1", "--id-label", "z=ü", "--id-label", "a=b", *MERGED), fake=container({LABEL: STORED}, "-")),
    Case("container-without-folder", None, ("--id-label", "a=b", *MERGED), fake=container({"a": "b", LABEL: STORED}, "ps-label"), folder="-"),
    Case("container-without-folder-by-id", None, ("--container-id", "c1"), fake=container({}, "-"), folder="-"),
    Case("container-label-broken", CONFIG, MERGED, fake=container({**NEW, LABEL: "["}, "ps-new")),
    Case("container-no-environment", CONFIG, MERGED, fake=container(NEW, "ps-new", ())),
    Case("container-with-mergeable", {**CONFIG, **FULL}, MERGED, fake=container({**NEW, LABEL: json.dumps([FULL, {"id": "f", "init": True}])}, "ps-new")),
]  # fmt: skip


def feature(name: str, **values: Any) -> dict[str, str]:
    """A local feature."""
    folder = f".devcontainer/{name}"
    return {
        f"{folder}/devcontainer-feature.json": json.dumps({"id": name, "version": "1.0.0", "name": name, **values}),
        f"{folder}/install.sh": "true\n",
    }


OPTIONS = {
    "options": {"version": {"type": "string", "default": "latest", "proposals": ["1"]}, "fast": {"type": "boolean", "default": False}}
}
LOUD = {
    "onCreateCommand": "f ${localEnv:PLACE}", "postCreateCommand": {"a": "f"}, "init": True, "privileged": False, "capAdd": ["F"], "securityOpt": ["f"], "entrypoint": "/f",
    "mounts": [{"type": "volume", "source": "f-${devcontainerId}", "target": "/f"}], "customizations": {"vscode": {"extensions": ["f"]}}, "containerEnv": {"F": "f"}, "remoteUser": "not-mine",
}  # fmt: skip
FEATURED = ("--include-features-configuration",)
THREE = {**feature("fa"), **feature("fb"), **feature("fc")}
FEATURES = [
    Case("features-none", {"image": "i", "features": {}}, FEATURED),
    Case("feature", {"image": "i", "features": {"./f": {}}}, FEATURED, feature("f")),
    Case("feature-options", {"image": "i", "features": {"./f": {"version": "2", "fast": True}}}, FEATURED, feature("f", **OPTIONS)),
    Case("feature-text", {"image": "i", "features": {"./f": "3"}}, FEATURED, feature("f", **OPTIONS)),
    Case("feature-true", {"image": "i", "features": {"./f": True}}, FEATURED, feature("f", **OPTIONS)),
    Case("feature-variables", {"image": "i", "features": {"./f": {"version": "${localEnv:PLACE}"}}}, FEATURED, feature("f", **OPTIONS)),
    Case("features-order", {"image": "i", "features": {"./fc": {}, "./fa": {}, "./fb": {}}}, FEATURED, THREE),
    Case("features-override", {"image": "i", "features": {"./fc": {}, "./fa": {}, "./fb": {}}, "overrideFeatureInstallOrder": ["./fb"]}, FEATURED, THREE),
    Case("features-depend", {"image": "i", "features": {"./fa": {}}}, FEATURED, {**feature("fa", dependsOn={"./fb": {"version": "7"}}), **feature("fb", **OPTIONS)}),
    Case("features-additional", {"image": "i", "features": {"./fa": {}}}, (*FEATURED, "--additional-features", '{"./fb": {}, "./fa": {"x": "y"}}'), THREE),
    Case("feature-missing", {"image": "i", "features": {"./no": {}}}, FEATURED),
    Case("feature-outside", {"image": "i", "features": {"../f": {}}}, FEATURED, {"f/devcontainer-feature.json": "{}"}),
    Case("features-merged", {"image": "i", "features": {"./f": {}}, "onCreateCommand": "mine", "remoteUser": "me"}, MERGED, feature("f", **LOUD), image({"onCreateCommand": "image"})),
    Case("features-merged-two", {"image": "i", "features": {"./fa": {}, "./fb": {}}, "mounts": ["source=mine,target=/m"]}, (*MERGED, *FEATURED), {**feature("fa", **LOUD), **feature("fb", onCreateCommand="b", mounts=["source=b,target=/m", "source=b,target=/b"])}, image({"init": True})),
    Case("features-merged-container", {"image": "i", "features": {"./f": {}}}, MERGED, feature("f", **LOUD), container(NEW, "ps-new")),
    Case("features-container-both", {"image": "i", "features": {"./f": {}}}, (*MERGED, *FEATURED), feature("f", **LOUD), container(NEW, "ps-new")),
    Case("features-soft", {"image": "i", "features": {"./f": {}}}, FEATURED, feature("f", installsAfter=["localhost:1/x/common-utils"]), differs="what installsAfter names is not fetched", ours=lambda answer: bool(answer) and len(answer["featuresConfiguration"]["featureSets"]) == 1),
]  # fmt: skip

CASES = (*FEATURES, *PROPERTIES, *VARIABLES, *JSONC, *PLACES, *MERGES, *CONTAINERS)

QUICK = frozenset([
    "dockerfile", "compose", "hooks", "environment", "ports", "running", "old-with-new", "workspace-both",
    "local-env", "local-env-default", "local-env-no-name", "local-folders", "nesting", "unknown-variables", "comments", "duplicate-keys", "escapes", "no-end",
    "root-file", "with-config", "override", "missing", "one-folder", "git-root", "git-root-off",
    "feature-options", "features-merged-two", "features-depend",
    "merge-both", "merge-hooks", "merge-mounts", "merge-ports", "merge-needs", "merge-gpu-3", "merge-variables", "merge-dockerfile", "merge-compose-build",
    "container-merged", "container-older", "container-id-and-label",
])  # fmt: skip

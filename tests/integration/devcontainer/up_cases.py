"""Dev containers that the reference dev container CLI and ours make, and where they are meant to differ.

Those in ``QUICK`` run always; the others, some seconds each, with the slow tests.
"""

# ruff: noqa: E501 - a row of a table stays one line

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tests.integration.devcontainer.up_sides import LABELLED, SMALL, UP, WITH_GIT, Case, Facts, Step

HOOKS = ("initializeCommand", "onCreateCommand", "updateContentCommand", "postCreateCommand", "postStartCommand", "postAttachCommand")


def up(*words: str, uid: int | None = None) -> Step:
    return Step(("up", *words), uid=uid)


def run(*words: str, stdin: bytes | None = None) -> Step:
    return Step(("exec", *words), stdin)


def sh(script: str, *words: str) -> Step:
    return Step(("exec", *words, "/bin/sh", "-c", script))


def step(*words: str) -> Step:
    return Step(words)


def plain(case: str, /, *steps: Step, files: Mapping[str, str] | None = None, **config: Any) -> Case:
    return Case(case, {"image": UP, **config}, steps or (up(),), files or {})


def hooks() -> dict[str, Any]:
    """Each leaves its name."""
    return {name: f"echo {name.removesuffix('Command')} >>log" for name in HOOKS}


def each(command: Callable[[str], Any]) -> dict[str, Any]:
    return {name: command(name) for name in HOOKS}


def feature(name: str, script: str = "true", **values: Any) -> dict[str, str]:
    """A local feature."""
    folder = f".devcontainer/{name}"
    return {
        f"{folder}/devcontainer-feature.json": json.dumps({"id": name, "version": "1.0.0", "name": name, **values}),
        f"{folder}/install.sh": f"#!/bin/sh\nset -e\n{script}\n",
    }


def compose(case: str, service: str, /, *steps: Step, files: Mapping[str, str] | None = None, rest: str = "", **config: Any) -> Case:
    """``service``: lines of service ``app``."""
    lines = "\n".join(f"    {line}" for line in service.splitlines())
    file = f"services:\n  app:\n{lines}\n{rest}"
    return Case(
        case,
        {"dockerComposeFile": "docker-compose.yml", "service": "app", "workspaceFolder": "/workspace", **config},
        steps or (up(),),
        {".devcontainer/docker-compose.yml": file, **(files or {})},
        compose=True,
    )


def meant(case: Case, why: str, *apart: str, ours: Callable[[Facts], bool] | None = None) -> Case:
    """``apart``: in which facts both differ; ``why``: documented; ``ours``: what ours does then."""
    return replace(case, apart=apart, why=why, ours=ours)


TMPFS = "a tmpfs is one in a compose project, too; there it is a volume"
ANCHORED = "only the line of the user itself is changed, not that of xdev"
FAILED_AGAIN = "a hook that failed runs again at the next up"
BIND = "volumes: ['..:/workspace']\ncommand: sleep 600"


PLAIN = [
    plain("minimal"),
    plain("everything-printed", up("--include-configuration", "--include-merged-configuration"), name="N", forwardPorts=[1, "db:2"], customizations={"vscode": {"extensions": ["a"]}}),
    plain("image-small", image=SMALL),
    plain("image-missing", image="aienv-test/none:1"),
    plain("image-label", image=LABELLED),
    plain("image-label-over", up("--include-merged-configuration"), image=LABELLED, remoteUser="root", remoteEnv={"BOTH": "file"}, containerEnv={"FROM_LABEL": "file"}, init=False, onCreateCommand="echo file-create >>log"),
    plain("keeps-command", image=LABELLED, overrideCommand=False),
    plain("keeps-command-that-ends", overrideCommand=False),
    plain("overrides-command", image=LABELLED, overrideCommand=True),
    plain("nothing-to-make", image=None),
    Case("no-file"),
    Case("root-file", files={".devcontainer.json": json.dumps({"image": UP, "postCreateCommand": "echo x >>log"})}),
    Case("chosen-file", {"image": "no"}, (up("--config", "{folder}/.devcontainer/x/devcontainer.json"), run("true", ), Step(("exec", "--config", "{folder}/.devcontainer/x/devcontainer.json", "sh", "-c", "echo $CHOSEN"))), {".devcontainer/x/devcontainer.json": json.dumps({"image": UP, "remoteEnv": {"CHOSEN": "x"}, "onCreateCommand": "echo x >>log"})}),
    Case("override-file", {"image": "no", "remoteEnv": {"A": "file"}}, (up("--override-config", "{folder}/o.json"),), {"o.json": json.dumps({"image": UP, "remoteEnv": {"A": "over"}, "postCreateCommand": "echo over >>log"})}),
    plain("unknown-property", nothing={"a": 1}, shutdownAction="none", secrets={"S": {"description": "d"}}, hostRequirements={"cpus": 1}, portsAttributes={"1": {"label": "x"}}),
]  # fmt: skip

USERS = [
    plain("remote-user", remoteUser="dev", postCreateCommand="id -un >>log; pwd >>log; echo $HOME >>log"),
    plain("container-user", containerUser="dev", onCreateCommand="id -un >>/tmp/log"),
    plain("both-users", containerUser="plain", remoteUser="dev", postStartCommand="id -un >>/tmp/log"),
    plain("unknown-remote-user", remoteUser="nobody-such"),
    meant(plain("unknown-container-user", containerUser="nobody-such"), "a container that cannot be started is removed", "0 up/containerId", "container", "others"),
    plain("remote-user-number", remoteUser="4242", onCreateCommand="id >/tmp/log"),
    plain("remote-user-number-unknown", remoteUser="7777"),
    plain("remote-user-group", remoteUser="dev:other", updateRemoteUserUID=False),
    plain("container-user-group", containerUser="4242:4400"),
    plain("remote-user-empty", remoteUser="", containerUser=""),
    plain("remote-user-root", image=LABELLED, remoteUser="root"),
    meant(plain("homeless", remoteUser="homeless", postCreateCommand="echo $HOME >>log"), "a home that cannot be written keeps no hook from running", "files/log", ours=lambda facts: facts["files"]["log"] == ["/nowhere"]),
    plain("run-args-user", runArgs=["--user", "dev"]),
    plain("run-args-user-short", runArgs=["-u", "plain"]),
    plain("run-args-user-equals", runArgs=["--user=4242"], remoteUser="dev"),
    meant(plain("uid-changed", up(uid=1234), sh("id; stat -c '%u:%g %n' ~ ~/.bashrc; stat -c %u /home/xdev"), remoteUser="dev"), ANCHORED, "1 exec", "id", ours=lambda facts: "4244" in facts["1 exec"]["output"] and "1234:1235 /home/dev" in facts["1 exec"]["output"]),
    plain("uid-changed-dockerfile", up(uid=1234), sh("id; stat -c '%u:%g' ~"), image=None, build={"dockerfile": "D"}, remoteUser="xdev", files={".devcontainer/D": f"FROM {UP}\n"}),
    meant(plain("uid-changed-container-user", up(uid=1235), sh("id"), containerUser="dev"), ANCHORED, "1 exec", "id", ours=lambda facts: "(devs)" in facts["1 exec"]["output"]),
    plain("uid-not-changed", up(uid=1234), sh("id"), remoteUser="dev", updateRemoteUserUID=False),
    plain("uid-never", up("--update-remote-user-uid-default", "never", uid=1234), sh("id"), remoteUser="dev", updateRemoteUserUID=True),
    plain("uid-off", up("--update-remote-user-uid-default", "off", uid=1234), sh("id"), remoteUser="dev"),
    plain("uid-off-but-wanted", up("--update-remote-user-uid-default", "off", uid=1234), sh("id"), remoteUser="xdev", updateRemoteUserUID=True),
    plain("uid-of-another", up(uid=4243), sh("id"), remoteUser="dev"),
    plain("uid-with-feature", up(uid=1234), sh("id; stat -c %u ~/made"), remoteUser="xdev", features={"./f": {}}, files=feature("f", "touch /home/xdev/made; chown xdev /home/xdev/made")),
]  # fmt: skip

ENVIRONMENT = [
    *(plain(f"probe-{kind}", remoteUser="dev", userEnvProbe=kind, postCreateCommand="env | grep FROM_ | sort >log") for kind in ("none", "loginShell", "interactiveShell", "loginInteractiveShell")),
    plain("probe-root", userEnvProbe="interactiveShell"),
    plain("probe-sh", remoteUser="plain"),
    plain("probe-default", up("--default-user-env-probe", "none"), remoteUser="dev"),
    plain("probe-default-but-said", up("--default-user-env-probe", "none"), remoteUser="dev", userEnvProbe="loginShell"),
    plain("container-env", containerEnv={"A": "a b", "Q": "it's \"q\" $HOME `id` \\", "E": "", "U": "ü😀", "EQ": "a=b"}, postCreateCommand="echo \"$A|$Q|$E|$U|$EQ\" >log"),
    plain("container-env-values", containerEnv={"N": 1, "T": True, "F": 1.5}),
    meant(plain("container-env-null", containerEnv={"N": None, "A": "a"}), "null in containerEnv says nothing", "container/env", "env/N", "environment", ours=lambda facts: "N" not in facts["env"]),
    meant(plain("container-env-lines", containerEnv={"L": "one\ntwo"}, postCreateCommand="echo \"$L\" >log"), "a value of several lines is left out of /etc/environment, which has no way to hold one", "environment"),
    plain("container-env-path", containerEnv={"PATH": "/mine:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, remoteUser="dev"),
    plain("container-env-variables", containerEnv={"I": "${devcontainerId}", "W": "${containerWorkspaceFolder}", "L": "${localWorkspaceFolder}", "B": "${localWorkspaceFolderBasename}", "P": "${containerEnv:PATH}", "X": "${localEnv:PLACE}"}),
    plain("remote-env", remoteEnv={"A": "a", "P": "${containerEnv:FROM_IMAGE}-x", "PATH": "${containerEnv:PATH}:/mine", "D": "${containerEnv:NONE:dflt}", "L": "${localEnv:PLACE}", "S": "it's $HOME"}, postCreateCommand="echo $A $P >log"),
    meant(plain("remote-env-null", remoteEnv={"FROM_IMAGE": None, "A": "a"}), "null in remoteEnv unsets, as the specification says", "env/FROM_IMAGE", ours=lambda facts: "FROM_IMAGE" not in facts["env"]),
    plain("remote-env-values", remoteEnv={"N": 1, "T": True}),
    plain("remote-env-word", up("--remote-env", "W=word", "--remote-env", "B=word"), run("--remote-env", "W=exec", "sh", "-c", "echo $W $B"), remoteEnv={"B": "file"}, postCreateCommand="echo $W $B >>log"),
    plain("remote-env-changed", up(), step("write", ".devcontainer/devcontainer.json", json.dumps({"image": UP, "remoteEnv": {"A": "new", "C": "new"}, "containerEnv": {"F": "new"}})), up(), sh("echo $A $B $C $F"), remoteEnv={"A": "old", "B": "old"}, containerEnv={"F": "old"}),
    plain("variables-in-hooks", remoteEnv={"E": "${localEnv:PLACE}"}, postCreateCommand="echo ${localWorkspaceFolder} ${containerWorkspaceFolder} ${localEnv:PLACE} ${localWorkspaceFolderBasename} $E >log"),
    meant(plain("container-env-in-hooks", postCreateCommand="echo ${containerEnv:FROM_IMAGE} >log"), "containerEnv is replaced in hooks, too", "0 up", "files/log", ours=lambda facts: facts["files"]["log"] == ["image"]),
    plain("secrets", up("--secrets-file", "{folder}/s.json"), sh("echo got $S"), postCreateCommand="echo $S $T >log", files={"s.json": json.dumps({"S": "sec ret", "T": "$HOME"})}),
    plain("secrets-broken", up("--secrets-file", "{folder}/s.json"), files={"s.json": "[1"}),
    plain("secrets-missing", up("--secrets-file", "{folder}/s.json")),
    plain("secrets-over-remote-env", up("--secrets-file", "{folder}/s.json", "--remote-env", "S=word"), remoteEnv={"S": "file"}, postCreateCommand="echo $S >log", files={"s.json": json.dumps({"S": "secret"})}),
    plain("bad-remote-env", up("--remote-env", "word")),
    plain("noisy-shell", remoteUser="dev", onCreateCommand="echo 'echo noise; echo noise >&2; export NOISY=1' >>~/.bashrc; echo 'export Q=\"a=b\nc\"' >>~/.profile"),
    plain("label-in-environment", containerEnv={"A": "x\"y"}, postCreateCommand="grep ^A= /etc/environment >log"),
]  # fmt: skip

LIFE = [
    plain("hooks", **hooks()),
    plain("up-again", up(), up(), **hooks()),
    plain("hooks-after-restart", up(), step("docker", "stop", "-t", "0", "{id}"), up(), **hooks()),
    plain("hooks-after-removal", up(), up("--remove-existing-container"), **hooks()),
    plain("hooks-lists", **each(lambda name: ["sh", "-c", f"echo {name} \"$0\" >>log", "a b$HOME"])),
    plain("hooks-objects", **each(lambda name: {"a": f"echo {name}-a >>log.a", "b": ["sh", "-c", f"echo {name}-b >>log.b"]})),
    plain("hooks-empty", onCreateCommand="", updateContentCommand=None, postCreateCommand={}, postStartCommand=[]),
    plain("hook-list-empty", postCreateCommand=[]),
    plain("hooks-objects-empty", postCreateCommand={"a": "", "b": "echo b >>log"}),
    meant(plain("hook-number", postCreateCommand=5), "what is no command is an error", "0 up", "markers", ours=lambda facts: facts["0 up"]["code"] == 1),
    meant(plain("hook-list-of-numbers", postCreateCommand=["echo", 5]), "what is no command is an error", "0 up", "markers", ours=lambda facts: facts["0 up"]["code"] == 1),
    *(plain(f"failing-{name}", up(), up(), **{**hooks(), name: "echo failing >>log; exit 3"}) for name in (HOOKS[0], HOOKS[5])),
    *(meant(plain(f"failing-{name}", up(), up(), **{**hooks(), name: "echo failing >>log; exit 3"}), FAILED_AGAIN, "1 up", "files/log", "markers", ours=lambda facts: facts["1 up"]["code"] == 1 and facts["files"]["log"][-2:] == ["initialize", "failing"]) for name in HOOKS[1:5]),
    meant(plain("failing-one-of-object", postCreateCommand={"good": "sleep 0.3; echo good >>log", "bad": "exit 4"}, postStartCommand="echo start >>log"), "a hook that failed is not marked as done", "markers"),
    meant(plain("failing-list", postCreateCommand=["false"]), "a hook that failed is not marked as done", "markers"),
    meant(plain("hook-not-found", postCreateCommand=["no-such-program"]), "a hook that failed is not marked as done", "markers"),
    meant(plain("failing-then-mended", up(), step("write", ".devcontainer/devcontainer.json", json.dumps({"image": UP, "postCreateCommand": "echo mended >>log"})), up(), postCreateCommand="exit 1", postStartCommand="echo start >>log"), FAILED_AGAIN, "files/log", ours=lambda facts: facts["files"]["log"] == ["mended", "start"]),
    *(plain(f"wait-for-{name}", up("--skip-non-blocking-commands"), Step(("run-user-commands",)), waitFor=name, **hooks()) for name in HOOKS[:5]),
    plain("wait-for-default", up("--skip-non-blocking-commands"), up("--skip-non-blocking-commands"), up(), **hooks()),
    plain("wait-for-without-skipping", waitFor="onCreateCommand", **hooks()),
    plain("wait-for-missing-hook", up("--skip-non-blocking-commands"), waitFor="postCreateCommand", onCreateCommand="echo a >>log", postStartCommand="echo b >>log"),
    plain("skip-post-create", up("--skip-post-create"), up(), **hooks()),
    plain("skip-post-attach", up("--skip-post-attach"), **hooks()),
    plain("prebuild", up("--prebuild"), up("--prebuild"), up(), **hooks()),
    plain("prebuild-and-skip", up("--prebuild", "--skip-non-blocking-commands"), waitFor="postCreateCommand", **hooks()),
    plain("run-user-commands", up("--skip-post-create"), Step(("run-user-commands",)), Step(("run-user-commands",)), Step(("run-user-commands", "--skip-post-attach")), **hooks()),
    plain("run-user-commands-stops", up("--skip-post-create"), Step(("run-user-commands", "--stop-for-personalization")), Step(("run-user-commands",)), **hooks()),
    plain("run-user-commands-prebuild", up("--skip-post-create"), Step(("run-user-commands", "--prebuild")), Step(("run-user-commands", "--skip-non-blocking-commands")), **hooks()),
    plain("run-user-commands-nothing", Step(("run-user-commands",))),
    plain("hook-floods", postCreateCommand="i=0; while [ $i -lt 20000 ]; do echo \"line $i of some length to be shown\"; i=$((i+1)); done; echo done >>log"),
    plain("hook-leaves-a-process", postStartCommand="nohup sleep 300 >/dev/null 2>&1 & echo started >>log"),
    plain("hook-in-the-workspace", postCreateCommand="pwd >>log; echo $0 $SHELL >>log; tty >>log 2>&1; umask >>log"),
    plain("hook-quotes", postCreateCommand="printf '%s\\n' \"a  b\" 'c$d' \\\\ >log"),
    plain("hook-in-lines", postCreateCommand="echo a >>log\necho b >>log"),
    plain("initialize-in-the-workspace", initializeCommand="pwd | sed 's,.*/,,' >>log; echo $PLACE >>log"),
    plain("initialize-list", up(), up(), initializeCommand=["sh", "-c", "echo \"$0\" >>log", "a  b"]),
    plain("initialize-object", initializeCommand={"a": "echo a >>a.log", "b": ["touch", "b.log"]}),
    plain("expected", up("--expect-existing-container"), up(), up("--expect-existing-container")),
    meant(plain("paused", up(), step("docker", "pause", "{id}"), up(), postStartCommand="echo start >>log"), "a paused container goes on", "2 up", "exec", "env", "environment", "id", "markers", "profile", ours=lambda facts: facts["2 up"]["code"] == 0 and facts["exec"] == 0),
    plain("stopped-exec", up(), step("docker", "stop", "-t", "0", "{id}"), run("true")),
    plain("removed-exec", up(), step("docker", "rm", "-f", "{id}"), run("true")),
    meant(plain("config-changed", up(), step("write", ".devcontainer/devcontainer.json", json.dumps({"image": UP, "remoteUser": "plain", "postStartCommand": "echo new-start >>log", "postAttachCommand": "echo new-attach >>log"})), up(), step("docker", "restart", "-t", "0", "{id}"), up(), remoteUser="root", postStartCommand="umask 0; echo old-start >>log", postAttachCommand="echo old-attach >>log"), "postStart runs once for a start, though the user is another one by now", "files/log", ours=lambda facts: facts["files"]["log"].count("old-start") == 2),
]  # fmt: skip

WHERE = [
    plain("workspace-folder", workspaceFolder="/elsewhere", workspaceMount="source=${localWorkspaceFolder},target=/elsewhere,type=bind", postCreateCommand="pwd >log"),
    plain("workspace-folder-below", workspaceFolder="/w/sub", workspaceMount="source=${localWorkspaceFolder},target=/w,type=bind", files={"sub/x": "x"}),
    plain("workspace-folder-alone", workspaceFolder="/elsewhere"),
    plain("workspace-mount-none", workspaceMount="", workspaceFolder="/tmp"),
    plain("workspace-mount-alone", workspaceMount="source=${localWorkspaceFolder},target=/w,type=bind"),
    plain("workspace-volume", workspaceMount="source=workspace-volume-v,target=/w,type=volume", workspaceFolder="/w"),
    meant(plain("workspace-volume-of-id", workspaceMount="source=workspace-volume-of-id-${devcontainerId},target=/w,type=volume", workspaceFolder="/w"), "devcontainerId is replaced in workspaceMount, too", "0 up", "container", "others", "env", "environment", "exec", "id", "markers", "profile", ours=lambda facts: facts["0 up"]["code"] == 0),
    plain("workspace-read-only", workspaceMount="source=${localWorkspaceFolder},target=/w,type=bind,readonly", workspaceFolder="/w"),
    plain("workspace-consistency", up("--workspace-mount-consistency", "consistent")),
    Case("git-root", None, (up(), sh("pwd; ls -A ..")), {"sub/.devcontainer.json": json.dumps({"image": UP, "postCreateCommand": "pwd >log"}), "top": "x"}, folder="sub", git=True),
    Case("git-root-off", None, (up("--mount-workspace-git-root", "false"),), {"sub/.devcontainer.json": json.dumps({"image": UP})}, folder="sub", git=True),
    Case("git-root-folder-given", None, (up(),), {"sub/.devcontainer.json": json.dumps({"image": UP, "workspaceFolder": "/workspaces/git-root-folder-given/sub"})}, folder="sub", git=True),
    plain("mount-texts", mounts=["type=bind,source=${localWorkspaceFolder}/data,target=/data", "source=mount-texts-v,target=/v,type=volume", "type=tmpfs,target=/t", "type=volume,target=/anonymous", "type=bind,source=${localWorkspaceFolder}/data,target=/ro,readonly"], files={"data/x": "x"}),
    plain("mount-objects", mounts=[{"type": "bind", "source": "${localWorkspaceFolder}/data", "target": "/data"}, {"type": "volume", "source": "mount-objects-${devcontainerId}", "target": "/v"}, {"type": "volume", "target": "/anonymous"}], files={"data/x": "x"}),
    plain("mount-source-missing", mounts=["type=bind,source=${localWorkspaceFolder}/no,target=/data"]),
    plain("mount-same-target", mounts=["source=mount-same-target-a,target=/v,type=volume", "source=mount-same-target-b,target=/v,type=volume"]),
    plain("mount-word", up("--mount", "type=bind,source={folder}/data,target=/data", "--mount", "type=volume,source=mount-word-v,target=/v"), files={"data/x": "x"}),
    plain("mount-word-external", up("--mount", "type=volume,source=mount-word-external-v,target=/v,external=false"), files={"data/x": "x"}),
    plain("mount-word-bad", up("--mount", "source=/x")),
    plain("mount-broken", mounts=["nonsense"]),
    plain("id-label", up("--id-label", "mine={folder}", "--id-label", "b=c"), run("--id-label", "mine={folder}", "--id-label", "b=c", "echo", "found"), run("true")),
    plain("id-label-bad", up("--id-label", "mine")),
    plain("container-id", up(), run("--container-id", "{id}", "sh", "-c", "pwd; id -un"), Step(("run-user-commands", "--container-id", "{id}")), remoteUser="dev", postAttachCommand="echo attach >>/tmp/log"),
]  # fmt: skip

RUNNING = [
    plain("init", init=True),
    plain("caps", capAdd=["SYS_PTRACE", "net_admin", "SYS_PTRACE"], securityOpt=["seccomp=unconfined", "apparmor=unconfined"]),
    meant(plain("privileged", privileged=True), "a container that cannot be started is removed", "0 up/containerId", "container", "others"),
    plain("privileged-false", privileged=False, init=False),
    plain("run-args", runArgs=["--hostname", "box", "--shm-size=128m", "--add-host", "x:1.2.3.4", "--label", "mine=yes", "-e", "ARG=1", "--cap-drop", "NET_RAW", "--tmpfs", "/scratch"]),
    plain("run-args-network", runArgs=["--network=host"]),
    plain("run-args-mount", runArgs=["-v", "run-args-mount-v:/v", "--mount", "type=tmpfs,target=/t"]),
    plain("run-args-variables", runArgs=["--hostname=${localWorkspaceFolderBasename}", "--env=I=${devcontainerId}"]),
    plain("run-args-unknown", runArgs=["--no-such-option"]),
    plain("run-args-env-and-container-env", runArgs=["-e", "A=arg", "-e", "B=arg"], containerEnv={"A": "file"}),
    plain("run-args-name", runArgs=["--name", "aienv-up-case-name"]),
    plain("app-port-number", appPort=18080),
    plain("app-port-text", appPort="18081:80"),
    plain("app-port-list", appPort=[18082, "127.0.0.1:18083:83", "18084:84/udp"]),
    plain("entrypoint-of-file", entrypoint="touch /tmp/entered"),
    plain("gpu-optional", hostRequirements={"gpu": "optional"}),
    plain("gpu-wanted", hostRequirements={"gpu": True}),
]  # fmt: skip

EXEC = [
    plain("exec-codes", up(), sh("exit 7"), run("no-such-program"), run("/etc/passwd"), sh("kill -9 $$"), run("true")),
    plain("exec-input", up(), run("cat", stdin=b"some\ninput"), run("sh", "-c", "read a; echo \"got $a\"", stdin=b"line\n"), run("wc", "-c", stdin=b"x" * 100000)),
    plain("exec-words", up(), run("echo", "a  b", "$HOME", "*", "", "'q'"), run("env", "printf", "%s|", "--x", "-y", "z=1")),
    plain("exec-streams", up(), sh("echo out; echo err >&2")),
    plain("exec-two-dashes", up(), run("--", "echo", "x")),
    meant(plain("exec-nothing", up(), Step(("exec",))), "no command is an error of the command line", "1 exec"),
    plain("exec-without-container", run("true")),
    plain("exec-unknown-option", up(), run("--bogus", "true")),
    plain("exec-options-after-command", up(), run("echo", "--workspace-folder", "--log-level", "x")),
    plain("exec-large-output", up(), sh("head -c 300000 /dev/zero | tr '\\0' x | wc -c; head -c 200000 /dev/zero | tr '\\0' y")),
    plain("exec-user", up(), sh("id -un; echo $HOME; pwd"), containerUser="plain", remoteUser="dev"),
    Case("set-up", None, (step("docker", "run", "-d", "--label", "mine={root}/", "--name", "aienv-up-case-set-up", UP, "sleep", "600"), Step(("set-up", "--container-id", "{id}", "--config", "{folder}/c.json", "--include-configuration", "--include-merged-configuration")), Step(("exec", "--container-id", "{id}", "sh", "-c", "cat /tmp/log; ls -A ~/.devcontainer | grep -c Marker"))), {"c.json": json.dumps({"remoteUser": "dev", "remoteEnv": {"A": "x"}, **{name: f"echo {name} $A >>/tmp/log" for name in HOOKS[1:]}})}),
    Case("set-up-labelled", None, (step("docker", "run", "-d", "--label", "mine={root}/", "--name", "aienv-up-case-set-up-l", LABELLED, "sleep", "600"), Step(("set-up", "--container-id", "{id}", "--include-merged-configuration")), Step(("exec", "--container-id", "{id}", "sh", "-c", "id -un; echo $LABELLED")))),
    Case("set-up-nothing", None, (Step(("set-up", "--container-id", "0123456789ab")),)),
    Case("set-up-skipped", None, (step("docker", "run", "-d", "--label", "mine={root}/", "--name", "aienv-up-case-set-up-s", UP, "sleep", "600"), Step(("set-up", "--container-id", "{id}", "--config", "{folder}/c.json", "--skip-non-blocking-commands")), Step(("exec", "--container-id", "{id}", "cat", "/tmp/log"))), {"c.json": json.dumps({"waitFor": "onCreateCommand", **{name: f"echo {name} >>/tmp/log" for name in HOOKS[1:]}})}),
]  # fmt: skip

BUILD = [
    plain("dockerfile", image=None, build={"dockerfile": "Dockerfile"}, postCreateCommand="cat /made >log", files={".devcontainer/Dockerfile": f"FROM {UP}\nRUN echo made >/made\nENV BUILT=yes\nUSER dev\n"}),
    plain("dockerfile-args", image=None, build={"dockerfile": "Dockerfile", "args": {"A": "one two", "B": "${localWorkspaceFolderBasename}"}}, postCreateCommand="cat /made >log", files={".devcontainer/Dockerfile": f"FROM {UP}\nARG A\nARG B=no\nRUN echo \"$A $B\" >/made\n"}),
    plain("dockerfile-target", image=None, build={"dockerfile": "Dockerfile", "target": "first"}, files={".devcontainer/Dockerfile": f"FROM {UP} AS first\nENV STAGE=first\nFROM {UP} AS second\nENV STAGE=second\n"}),
    plain("dockerfile-context", image=None, build={"dockerfile": "../docker/D", "context": ".."}, postCreateCommand="cat /copied >log", files={"docker/D": f"FROM {UP}\nCOPY src/x /copied\n", "src/x": "content"}),
    plain("dockerfile-old", image=None, dockerFile="D", context="..", files={".devcontainer/D": f"FROM {UP}\nCOPY x /x\n", "x": "x"}),
    plain("dockerfile-fails", image=None, build={"dockerfile": "D"}, files={".devcontainer/D": f"FROM {UP}\nRUN exit 5\n"}),
    plain("dockerfile-missing", image=None, build={"dockerfile": "D"}),
    plain("dockerfile-feature", image=None, build={"dockerfile": "D"}, features={"./f": {}}, remoteUser="dev", postCreateCommand="cat /f >log", files={".devcontainer/D": f"FROM {UP}\nUSER plain\n", **feature("f", "echo $_REMOTE_USER $_CONTAINER_USER $_REMOTE_USER_HOME $_CONTAINER_USER_HOME >/f; id -un >>/f")}),
    plain("dockerfile-label", image=None, build={"dockerfile": "D"}, files={".devcontainer/D": f"FROM {LABELLED}\nLABEL devcontainer.metadata='{{\"remoteUser\": \"xdev\"}}'\n"}),
    plain("dockerfile-keeps-command", image=None, build={"dockerfile": "D"}, overrideCommand=False, files={".devcontainer/D": f"FROM {UP}\nENTRYPOINT [\"/usr/local/bin/entry\"]\nCMD [\"sleep\", \"500\"]\n"}),
    plain("dockerfile-no-cache", up("--build-no-cache"), image=None, build={"dockerfile": "D"}, files={".devcontainer/D": f"FROM {UP}\nRUN true\n"}),
    plain("dockerfile-ignore", image=None, build={"dockerfile": "D", "context": ".."}, postCreateCommand="ls /c >log", files={".devcontainer/D": f"FROM {UP}\nCOPY c /c\n", "c/a": "a", "c/b": "b", ".dockerignore": "c/b\n"}),
    plain("dockerfile-options", image=None, build={"dockerfile": "D", "options": ["--label", "x=y", "--build-arg=Z=opt"]}, files={".devcontainer/D": f"FROM {UP}\nARG Z\nENV ZED=$Z\n"}),
]  # fmt: skip

LOUD = {
    "onCreateCommand": "echo feature-create >>log", "postStartCommand": {"a": "echo feature-start >>log"}, "postAttachCommand": ["sh", "-c", "echo feature-attach >>log"],
    "init": True, "capAdd": ["SYS_PTRACE"], "securityOpt": ["seccomp=unconfined"], "entrypoint": "/usr/local/share/f-entry", "containerEnv": {"F": "f", "PATH": "/f/bin:${PATH}"},
    "mounts": [{"type": "volume", "source": "feature-loud-${devcontainerId}", "target": "/fv"}], "customizations": {"vscode": {"extensions": ["f"]}},
}  # fmt: skip
ENTRY = "printf '#!/bin/sh\\necho entered >/tmp/entered-f\\n' >/usr/local/share/f-entry; chmod 755 /usr/local/share/f-entry"
ORDERED = {**feature("fa", "echo fa >>/order"), **feature("fb", "echo fb >>/order"), **feature("fc", "echo fc >>/order")}
FEATURES = [
    plain("feature", features={"./f": {}}, postCreateCommand="cat /f >log", files=feature("f", "env | grep ^_ | sort >/f; pwd | sed 's,/[^/]*$,,' >/dev/null; id -un >>/f")),
    plain("feature-options", features={"./f": {"version": "2", "fast": True, "odd name": "x y"}}, postCreateCommand="cat /f >log", files=feature("f", "echo \"$VERSION|$FAST|$ODD_NAME|$GIVEN\" >/f", options={"version": {"type": "string", "default": "1"}, "fast": {"type": "boolean", "default": False}, "given": {"type": "string", "default": "dflt"}, "odd name": {"type": "string", "default": ""}})),
    plain("feature-text", features={"./f": "3"}, postCreateCommand="cat /f >log", files=feature("f", "echo $VERSION >/f", options={"version": {"type": "string", "default": "1"}})),
    plain("feature-loud", up(), up(), sh("cat /tmp/entered-f; echo $F"), features={"./f": {}}, files=feature("f", ENTRY, **LOUD), **hooks()),
    plain("feature-loud-keeps-command", up(), sh("cat /tmp/entry /tmp/entered-f"), image=LABELLED, overrideCommand=False, features={"./f": {}}, files=feature("f", f"{ENTRY}; chmod 777 /tmp", **LOUD)),
    plain("features-order", features={"./fc": {}, "./fa": {}, "./fb": {}}, postCreateCommand="cat /order >log", files=ORDERED),
    plain("features-override-order", features={"./fc": {}, "./fa": {}, "./fb": {}}, overrideFeatureInstallOrder=["./fc"], postCreateCommand="cat /order >log", files=ORDERED),
    plain("features-depend", features={"./fa": {}}, postCreateCommand="cat /order /fb >log", files={**feature("fa", "echo fa >>/order", dependsOn={"./fb": {"version": "7"}}), **feature("fb", "echo fb >>/order; echo $VERSION >/fb", options={"version": {"type": "string", "default": "1"}})}),
    plain("features-hooks", features={"./fb": {}, "./fa": {}}, image=LABELLED, remoteUser="root", files={name: text for one in ("fa", "fb") for name, text in feature(one, "true", **{hook: f"echo {one}-{hook} >>log" for hook in HOOKS[1:]}).items()}, **hooks()),
    plain("features-additional", up("--additional-features", '{"./fb": {}}'), features={"./fa": {}}, postCreateCommand="cat /order >log", files=ORDERED),
    plain("feature-fails", features={"./f": {}}, files=feature("f", "echo going; exit 9")),
    plain("feature-missing", features={"./no": {}}),
    plain("feature-circle", features={"./fa": {}}, files={**feature("fa", dependsOn={"./fb": {}}), **feature("fb", dependsOn={"./fa": {}})}),
    plain("feature-env-seen-later", features={"./fa": {}, "./fb": {}}, postCreateCommand="cat /seen >log", files={**feature("fa", containerEnv={"EARLY": "a b"}), **feature("fb", "echo $EARLY >/seen")}),
    plain("feature-user", image=LABELLED, features={"./f": {}}, postCreateCommand="cat /f >>/tmp/log; id -un >>/tmp/log", files=feature("f", "id -un >/f; echo $_REMOTE_USER $_CONTAINER_USER >>/f")),
    plain("feature-mount-text", features={"./f": {}}, files=feature("f", mounts=["source=feature-mount-text-v,target=/fv,type=volume"])),
    plain("feature-privileged-label", up("--include-merged-configuration", "--include-configuration"), features={"./f": {}}, init=False, files=feature("f", init=True)),
    meant(plain("feature-hook-fails", up(), up(), features={"./f": {}}, onCreateCommand="echo own >>log", files=feature("f", onCreateCommand="echo f >>log; exit 6")), FAILED_AGAIN, "1 up", "files/log", "markers", ours=lambda facts: facts["files"]["log"] == ["f", "f"]),
    plain("feature-option-nasty", features={"./f": {"version": "a b'c"}}, postCreateCommand="cat /f >log", files=feature("f", "echo \"$VERSION\" >/f", options={"version": {"type": "string", "default": "1"}})),
]  # fmt: skip

DB = f"  db:\n    image: {UP}\n    command: sleep 600\n"
COMPOSE = [
    compose("compose", f"image: {UP}\n{BIND}", **hooks()),
    compose("compose-two-services", f"image: {UP}\n{BIND}\ndepends_on: [db]", rest=DB),
    compose("compose-run-services", f"image: {UP}\n{BIND}", rest=f"{DB}  third:\n    image: {UP}\n    command: sleep 600\n", runServices=["db"]),
    compose("compose-run-services-none", f"image: {UP}\n{BIND}", rest=DB, runServices=[]),
    Case("compose-files", {"dockerComposeFile": ["a.yml", "../b.yml"], "service": "app", "workspaceFolder": "/workspace"}, files={".devcontainer/a.yml": f"services:\n  app:\n    image: {UP}\n    environment: {{A: a, B: a}}\n", "b.yml": "services:\n  app:\n    environment: {B: b}\n    command: sleep 500\n"}, compose=True),
    Case("compose-root", {"dockerComposeFile": "../docker-compose.yml", "service": "app", "workspaceFolder": "/workspace"}, files={"docker-compose.yml": f"services:\n  app:\n    image: {UP}\n    volumes: ['.:/workspace']\n    command: sleep 600\n"}, compose=True),
    compose("compose-folder-none", f"image: {UP}\n{BIND}", workspaceFolder=None),
    compose("compose-override-command", f"image: {UP}\nvolumes: ['..:/workspace']\ncommand: 'false'", overrideCommand=True),
    compose("compose-command-ends", f"image: {UP}\nvolumes: ['..:/workspace']\ncommand: 'true'"),
    compose("compose-command-none", f"image: {UP}\nvolumes: ['..:/workspace']"),
    compose("compose-entrypoint", f"image: {UP}\nvolumes: ['..:/workspace']\nentrypoint: ['/usr/local/bin/entry', 'sleep']\ncommand: ['700']", up(), sh("cat /tmp/entry")),
    compose("compose-entrypoint-text", f"image: {UP}\nvolumes: ['..:/workspace']\nentrypoint: /usr/local/bin/entry sleep 700", up(), sh("cat /tmp/entry")),
    compose("compose-entrypoint-override", f"image: {UP}\nvolumes: ['..:/workspace']\nentrypoint: ['/usr/local/bin/entry', 'sleep']\ncommand: ['700']", up(), sh("cat /tmp/entry"), overrideCommand=True),
    meant(compose("compose-image-command", f"image: {LABELLED}\nvolumes: ['..:/workspace']", up(), sh("cat /tmp/entry")), TMPFS, "container/mounts"),
    meant(compose("compose-image-command-override", f"image: {LABELLED}\nvolumes: ['..:/workspace']", overrideCommand=True), TMPFS, "container/mounts"),
    compose("compose-dollars", f"image: {UP}\nvolumes: ['..:/workspace']\ncommand: ['sh', '-c', 'echo $$HOME >/tmp/dollars; sleep 600']\nenvironment: {{D: 'a$$b'}}", up(), sh("cat /tmp/dollars"), containerEnv={"E": "c$d ${x}"}),
    compose("compose-user", f"image: {UP}\n{BIND}\nuser: dev"),
    compose("compose-container-user", f"image: {UP}\n{BIND}\nuser: plain", containerUser="dev"),
    compose("compose-remote-user", f"image: {UP}\n{BIND}\nuser: plain", remoteUser="dev"),
    meant(compose("compose-uid", f"image: {UP}\n{BIND}", up(uid=1234), sh("id; stat -c %u ~"), remoteUser="dev"), ANCHORED, "1 exec", "id", ours=lambda facts: "(devs)" in facts["1 exec"]["output"]),
    compose("compose-environment", f"image: {UP}\n{BIND}\nenvironment: [A=service, B=service, EMPTY]", containerEnv={"B": "file", "C": "it's \"c\""}, remoteEnv={"R": "${containerEnv:A}"}),
    compose("compose-env-file", f"image: {UP}\n{BIND}\nenvironment: {{A: '${{FROM_FILE}}'}}\nenv_file: [own.env]", files={".devcontainer/.env": "FROM_FILE=dotenv\n", ".devcontainer/own.env": "OWN=1\n"}),
    compose("compose-env-file-root", f"image: {UP}\n{BIND}\nenvironment: {{A: '${{FROM_FILE-none}}'}}", files={".env": "FROM_FILE=root\n"}),
    compose("compose-named", f"image: {UP}\n{BIND}", rest="name: compose-named-own\n"),
    compose("compose-features", f"image: {UP}\n{BIND}", up(), sh("cat /order; echo $F"), features={"./f": {}}, files=feature("f", "echo f >>/order", containerEnv={"F": "f"}, onCreateCommand="echo f >>log", init=True)),
    meant(compose("compose-feature-entrypoint", f"image: {LABELLED}\nvolumes: ['..:/workspace']", up(), sh("cat /tmp/entry /tmp/entered-f"), features={"./f": {}}, files=feature("f", ENTRY, **{key: value for key, value in LOUD.items() if key != "mounts"})), TMPFS, "container/mounts"),
    compose("compose-build", "build: {context: .., dockerfile: docker/D, args: {A: arg}}\n" + BIND, up(), sh("cat /made"), files={"docker/D": f"FROM {UP}\nARG A\nRUN echo $A >/made\nUSER dev\n"}),
    compose("compose-build-feature", "build: .\n" + BIND, up(), sh("cat /made /f"), features={"./f": {}}, files={".devcontainer/Dockerfile": f"FROM {UP}\nRUN echo made >/made\n", **feature("f", "echo f >/f")}),
    compose("compose-build-target", "build: {context: ., target: one}\n" + BIND, up(), sh("echo $STAGE"), files={".devcontainer/Dockerfile": f"FROM {UP} AS one\nENV STAGE=one\nFROM one AS two\nENV STAGE=two\n"}),
    compose("compose-mounts", f"image: {UP}\n{BIND}", mounts=["type=volume,source=compose-mounts-v,target=/v", {"type": "bind", "source": "${localWorkspaceFolder}", "target": "/b"}], init=True, capAdd=["SYS_PTRACE"], securityOpt=["seccomp=unconfined"]),
    compose("compose-mount-word", f"image: {UP}\n{BIND}", up("--mount", "type=bind,source={folder},target=/more")),
    compose("compose-volumes", f"image: {UP}\nvolumes: ['..:/workspace', 'data:/data']\ncommand: sleep 600", rest="volumes:\n  data: {}\n"),
    compose("compose-ports", f"image: {UP}\n{BIND}\nports: ['127.0.0.1:18090:90', '18091:91']"),
    compose("compose-again", f"image: {UP}\n{BIND}", up(), up(), step("docker", "stop", "-t", "0", "{id}"), up(), rest=DB, **hooks()),
    compose("compose-removed", f"image: {UP}\n{BIND}", up(), up("--remove-existing-container"), rest=DB, **hooks()),
    compose("compose-no-such-service", f"image: {UP}\n{BIND}", service="other"),
    compose("compose-broken", "image: [1"),
    compose("compose-file-missing", f"image: {UP}", dockerComposeFile="no.yml"),
    meant(compose("compose-label", f"image: {LABELLED}\n{BIND}"), TMPFS, "container/mounts"),
    compose("compose-profile", f"image: {UP}\n{BIND}\nprofiles: [x]"),
    compose("compose-app-port", f"image: {UP}\n{BIND}", appPort=18095, forwardPorts=[1, "db:2"], runArgs=["--hostname", "ignored"], shutdownAction="stopCompose"),
    compose("compose-caps", f"image: {UP}\n{BIND}\ncap_add: [NET_ADMIN]\nsecurity_opt: ['apparmor:unconfined']\ninit: true", capAdd=["SYS_PTRACE"], securityOpt=["seccomp=unconfined"]),
    Case("compose-project-variable", {"dockerComposeFile": "c.yml", "service": "app", "workspaceFolder": "/"}, files={".devcontainer/c.yml": f"services:\n  app:\n    image: {UP}\n    command: sleep 600\n    labels: {{x: '{{root}}'}}\n"}, environ={"COMPOSE_PROJECT_NAME": "compose-project-variable-x"}, compose=True),
]  # fmt: skip

BARE = step("sh", "git init -q dots && cd dots && printf '#!/bin/sh\\necho installed >>{folder}/log; pwd >>{folder}/log\\n' >$NAME && chmod 755 $NAME && git -c user.name=a -c user.email=a@b add . && git -c user.name=a -c user.email=a@b commit -qm x && cd .. && git clone -q --bare dots dots.git && rm -rf dots")


def dotfiles(case: str, name: str, /, *words: str, **config: Any) -> Case:
    """``name``: of the one file in them."""
    bare = Step(tuple(word.replace("$NAME", name).replace("{folder}", f"/workspaces/{case}") for word in BARE.words))
    repository = ("--dotfiles-repository", f"/workspaces/{case}/dots.git")
    return plain(case, bare, up(*repository, *words), up(*repository, *words), image=WITH_GIT, **{**hooks(), **config})


DOTFILES = [
    dotfiles("dotfiles", "install.sh"),
    dotfiles("dotfiles-setup", "setup"),
    dotfiles("dotfiles-script", "other.sh", "--dotfiles-install-command", "other.sh"),
    meant(dotfiles("dotfiles-command", "other.sh", "--dotfiles-install-command", "./other.sh x"), "the command may have arguments", "files/log", ours=lambda facts: "installed" in facts["files"]["log"]),
    dotfiles("dotfiles-target", "install.sh", "--dotfiles-target-path", "~/here/dots"),
    dotfiles("dotfiles-of-user", "bootstrap.sh", remoteUser="dev", initializeCommand="chown -R 4242 dots.git; git config --file dots.git/config x.y z"),
    dotfiles("dotfiles-links", ".dotted"),
    dotfiles("dotfiles-skipped", "install.sh", "--skip-post-create"),
    dotfiles("dotfiles-non-blocking", "install.sh", "--skip-non-blocking-commands"),
    plain("dotfiles-missing", up("--dotfiles-repository", "/nowhere.git"), image=WITH_GIT, **hooks()),
    plain("dotfiles-without-git", up("--dotfiles-repository", "/nowhere.git"), **hooks()),
]  # fmt: skip

CASES = (*DOTFILES, *PLAIN, *USERS, *ENVIRONMENT, *LIFE, *WHERE, *RUNNING, *EXEC, *BUILD, *FEATURES, *COMPOSE)
QUICK = frozenset([
    "hooks-after-restart", "both-users", "mount-texts",
])  # fmt: skip

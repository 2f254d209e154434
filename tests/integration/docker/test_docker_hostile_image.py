"""An image that tries to get code of its own into our programs, by every way that a C library, Python and git offer."""

import contextlib
import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator.backends.docker import Engine as Rim
from orchestrator.backends.docker_endpoint import Endpoint
from orchestrator.backends.protocol import EnvRef
from tests import engine as engines
from tests.engine import Engine
from tests.integration.docker.places import backend_for, folders, request, run

pytestmark = pytest.mark.docker

REF = EnvRef("evil", "task", "docker", None)

# Leaves a mark wherever it is loaded, by whatever name and for whatever symbol.
EVIL_C = r"""
#include <fcntl.h>
#include <unistd.h>
__attribute__((constructor)) static void loaded(void) {
    static const char *places[] = {"/workspaces/app/LOADED", "/run/aienv/outbox/LOADED", "/tmp/LOADED"};
    for (int i = 0; i < 3; i++) { int fd = open(places[i], O_CREAT | O_WRONLY, 0644); if (fd >= 0) close(fd); }
    write(2, "EVIL LOADED\n", 12);
}
unsigned la_version(unsigned version) { return version; }
"""
EVIL_PY = "import os\nopen('/workspaces/app/LOADED', 'w').close()\nos.write(2, b'EVIL LOADED\\n')\n"
DOCKERFILE = """
FROM aienv-test/debian:latest
COPY evil /evil
COPY evil/evil.so /lib/x86_64-linux-gnu/libnss_evil.so.2
COPY evil/evil.so /lib/libnss_evil.so.2
COPY evil/evil.so /usr/lib/libnss_evil.so.2
COPY evil/evil.so /lib/libexpat.so.1
COPY evil/evil.so /opt/aienv/lib/libc.so.6
COPY evil/nsswitch.conf /etc/nsswitch.conf
COPY evil/ld.so.preload /etc/ld.so.preload
COPY evil/ld.so.preload /opt/aienv/preload
COPY evil/gitconfig /etc/gitconfig
COPY evil/sitecustomize.py /usr/lib/python3/dist-packages/sitecustomize.py
ENV LD_PRELOAD=/evil/evil.so LD_AUDIT=/evil/evil.so LD_LIBRARY_PATH=/evil LD_BIND_NOW=1 GLIBC_TUNABLES=glibc.malloc.check=3 GCONV_PATH=/evil
ENV LOCPATH=/evil PYTHONPATH=/evil PYTHONHOME=/evil PYTHONSTARTUP=/evil/sitecustomize.py PYTHONINSPECT=1
ENV GIT_EXEC_PATH=/evil GIT_CONFIG_GLOBAL=/etc/gitconfig GIT_TEMPLATE_DIR=/evil PATH=/evil BASH_ENV=/evil/x ENV=/evil/x HOME=/evil
USER root
VOLUME /evil-data
WORKDIR /evil
HEALTHCHECK --interval=1s CMD /evil/git
ENTRYPOINT ["/evil/git"]
CMD ["nothing"]
"""
GITCONFIG = "[core]\n\tfsmonitor = /evil/git\n\thooksPath = /evil\n\tpager = /evil/git\n[alias]\n\tstatus = !/evil/git\n"


@pytest.fixture(scope="module")
def evil_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("a hostile library needs a compiler: apt-get install gcc libc6-dev")
    folder = tmp_path_factory.mktemp("context")
    evil = folder / "evil"
    evil.mkdir()
    (folder / "evil.c").write_text(EVIL_C)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(evil / "evil.so"), str(folder / "evil.c")], check=True)
    for name in ("libc.so.6", "libexpat.so.1", "libz.so.1", "libm.so.6", "libcap.so.2", "UTF-16.so"):
        shutil.copy(evil / "evil.so", evil / name)
    (evil / "nsswitch.conf").write_text("passwd: evil files\ngroup: evil files\nhosts: evil files\n")
    (evil / "ld.so.preload").write_text("/evil/evil.so\n")
    (evil / "gitconfig").write_text(GITCONFIG)
    (evil / "sitecustomize.py").write_text(EVIL_PY)
    (evil / "json.py").write_text(EVIL_PY)
    (evil / "git").write_text("#!/bin/sh\ntouch /workspaces/app/LOADED /tmp/LOADED; echo EVIL LOADED >&2\n")
    for name in ("bwrap", "python3", "git-pack-objects", "post-checkout"):
        shutil.copy(evil / "git", evil / name)
    for path in evil.iterdir():
        path.chmod(0o755)
    return folder


@pytest.fixture
def evil_image(any_engine: Engine, evil_folder: Path) -> str:
    engines.image(any_engine, "debian")
    archive = subprocess.run(["tar", "-C", str(evil_folder), "-c", "evil"], capture_output=True, check=True).stdout
    rim = Rim(Endpoint(any_engine.address, None, "test"))
    rim.build(archive, DOCKERFILE, "aienv-test/evil:1", {}, lambda line: None)
    return "aienv-test/evil:1"


def test_nothing_of_it_is_loaded(any_engine: Engine, evil_image: str) -> None:
    """The launcher starts, and runs bubblewrap, git and python from the toolbox; no mark is left by anything of the image's."""
    backend = backend_for(any_engine)
    with folders() as place, contextlib.ExitStack() as undo:
        wanted = request(backend, place, evil_image, "evil")
        undo.callback(backend.destroy, REF)
        opened = backend.open(wanted)
        python = "import pwd, json, zlib; print(len(pwd.getpwall()) > 0, 'é'.encode('utf-16')[:2])"
        assert run(opened, ("/opt/aienv/bin/python3", "-I", "-S", "-c", python)).text.startswith("True")
        assert run(opened, ("/opt/aienv/bin/git", "init", "-q", ".")).errors == ""
        done = run(opened, ("/opt/aienv/bin/git", "status", "--porcelain"))
        assert (done.code, done.errors) == (0, "")
        assert not (place.workspace / "LOADED").exists()
        assert not (place.outbox / "LOADED").exists()
        with contextlib.closing(any_engine.client()) as client:
            state = client.inspect_container(opened.ref.native_id)
            assert "EVIL" not in bytes(client.logs(opened.ref.native_id)).decode()
        assert state["State"].get("Health") is None
        assert state["Config"]["Entrypoint"][0] == "/opt/aienv/bin/python3"


@pytest.mark.parametrize(
    "unset",
    [
        pytest.param(("LD_LIBRARY_PATH",), id="by-variable"),
        pytest.param(("LD_LIBRARY_PATH", "LD_PRELOAD", "LD_AUDIT"), id="by-preload-list"),
    ],
)
def test_it_is_hostile_indeed(any_engine: Engine, evil_image: str, unset: tuple[str, ...]) -> None:
    """The same image, started in the ordinary way, does load its library: otherwise the test above says nothing."""
    variables = [word for name in unset for word in ("--env", f"{name}=")]
    argv = ("docker", "run", "--rm", "--network", "none", *variables, "--entrypoint", "/bin/true", evil_image)
    done = subprocess.run(argv, env=any_engine.environ(), capture_output=True, text=True, check=False)
    assert "EVIL LOADED" in done.stderr


def test_agent_programs_are_the_images_own(any_engine: Engine, evil_image: str) -> None:
    """The preload list of the image is not there for the agent's commands either."""
    backend = backend_for(any_engine)
    with folders() as place, contextlib.ExitStack() as undo:
        undo.callback(backend.destroy, REF)
        opened = backend.open(request(backend, place, evil_image, "evil"))
        done = run(opened, ("/bin/cat", "/etc/ld.so.preload"))
        assert done.text == ""
        assert "EVIL" not in done.errors
        assert not (place.workspace / "LOADED").exists()

"""A container of no special kind: a mapped port, a wait for its log, exec, files in, logs."""

import urllib.request

from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

SCRIPT = "echo hello >/tmp/index.html; echo serving; exec httpd -f -h /tmp -p 8080"
container = DockerContainer("aienv-test/busybox:latest").with_command(["sh", "-c", SCRIPT]).with_exposed_ports(8080).with_env("A", "b")
with container.waiting_for(LogMessageWaitStrategy("serving")) as started:
    address = f"http://{started.get_container_host_ip()}:{started.get_exposed_port(8080)}/"
    with urllib.request.urlopen(address, timeout=20) as answer:
        assert answer.read() == b"hello\n"
    code, output = started.exec(["sh", "-c", "echo $A; exit 3"])
    assert (code, output) == (3, b"b\n"), (code, output)
    assert b"serving" in started.get_logs()[0]
print("passed")

"""Two containers on a network of their own, by alias; one with a file of the test in it."""

from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

with Network() as network:
    ready = LogMessageWaitStrategy("Ready to accept connections")
    with DockerContainer("redis:7").with_network(network).with_network_aliases("cache").waiting_for(ready):
        with DockerContainer("redis:7").with_network(network).with_command("sleep 600") as client:
            code, output = client.exec("redis-cli -h cache set a b")
            assert (code, output.strip()) == (0, b"OK"), output
print("passed")

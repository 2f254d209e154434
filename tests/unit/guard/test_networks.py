"""Networks that clients make and join."""

import pytest

from orchestrator.guard.calls import Denied, Object, Reference, Usage
from orchestrator.guard.networks import judge_connect, judge_create, judge_disconnect, references
from tests.unit.guard.bodies import DB, LIMITS, SESSION, sent, thing

TAKEN = ("10.0.0.0/24", "172.17.0.0/16", "0.0.0.0/0", "fd00::/8", "192.168.1.5/24")
KNOWN = {**thing("container", "db", DB), Reference("container", "foreign"): None}


def made(body: Object) -> Object:
    return judge_create(sent({"Name": "n", **body}), SESSION, Usage(), TAKEN)


def pool(**config: object) -> Object:
    return {"IPAM": {"Config": [config]}}  # type: ignore[list-item]


@pytest.mark.parametrize(("body", "because"), [
    pytest.param({"Driver": "macvlan"}, "network.driver", id="macvlan"),
    pytest.param({"Driver": "ipvlan"}, "network.driver", id="ipvlan"),
    pytest.param({"Driver": "overlay"}, "network.driver", id="overlay"),
    pytest.param({"Driver": "host"}, "network.driver", id="host"),
    pytest.param({"Driver": "Bridge"}, "network.driver", id="upper"),
    pytest.param({"driver": "macvlan"}, "body.case", id="case"),
    pytest.param({"Scope": "swarm"}, "network.scope", id="scope"),
    pytest.param({"Ingress": True}, "body.not-allowed", id="ingress"),
    pytest.param({"ConfigOnly": True}, "body.not-allowed", id="config-only"),
    pytest.param({"ConfigFrom": {"Network": "x"}}, "body.not-allowed", id="config-from"),
    pytest.param({"EnableIPv6": True}, "network.ipv6", id="ipv6"),
    pytest.param({"EnableIPv4": False}, "network.ipv4", id="no-ipv4"),
    pytest.param({"Options": {"com.docker.network.bridge.name": "docker0"}}, "network.options", id="takes-the-default-bridge"),
    pytest.param({"Options": {"com.docker.network.bridge.host_binding_ipv4": "0.0.0.0"}}, "network.options", id="binding"),
    pytest.param({"Options": {"com.docker.network.bridge.inhibit_ipv4": "false"}}, "network.options", id="address-of-the-machine"),
    pytest.param({"Options": {"com.docker.network.bridge.gateway_mode_ipv4": "nat-unprotected"}}, "network.options", id="gateway-mode"),
    pytest.param({"Options": {"com.docker.network.bridge.trusted_host_interfaces": "eth0"}}, "network.options", id="trusted"),
    pytest.param({"Options": {"com.docker.network.driver.mtu": "1;2"}}, "body.value", id="mtu"),
    pytest.param({"Options": {"parent": "eth0"}}, "network.options", id="parent"),
    pytest.param({"IPAM": {"Driver": "dhcp"}}, "network.ipam", id="ipam-driver"),
    pytest.param({"IPAM": {"Options": {"a": "b"}}}, "network.ipam", id="ipam-options"),
    pytest.param({"IPAM": {"config": []}}, "body.case", id="ipam-case"),
    pytest.param(pool(Subnet="8.8.8.0/24"), "network.subnet", id="public"),
    pytest.param(pool(Subnet="169.254.169.0/24"), "network.subnet", id="metadata"),
    pytest.param(pool(Subnet="127.0.0.0/24"), "network.subnet", id="loopback"),
    pytest.param(pool(Subnet="0.0.0.0/0"), "network.subnet", id="everything"),
    pytest.param(pool(Subnet="10.0.0.0/8"), "network.subnet", id="too-large"),
    pytest.param(pool(Subnet="172.16.0.0/11"), "network.subnet", id="beyond-private"),
    pytest.param(pool(Subnet="10.9.9.9/32"), "network.subnet", id="one-address"),
    pytest.param(pool(Subnet="fd01::/64"), "network.subnet", id="subnet-ipv6"),
    pytest.param(pool(Subnet="x"), "network.subnet", id="no-subnet"),
    pytest.param(pool(Subnet="10.0.0.128/25"), "network.overlap", id="part-of-a-taken-one"),
    pytest.param(pool(Subnet="10.0.0.0/16"), "network.overlap", id="around-a-taken-one"),
    pytest.param(pool(Subnet="192.168.1.0/28"), "network.overlap", id="of-an-interface"),
    pytest.param(pool(Gateway="10.5.0.1"), "network.subnet", id="gateway-alone"),
    pytest.param(pool(Subnet="10.5.0.0/24", Gateway="10.6.0.1"), "network.subnet", id="gateway-elsewhere"),
    pytest.param(pool(Subnet="10.5.0.0/24", IPRange="10.6.0.0/25"), "network.subnet", id="range-elsewhere"),
    pytest.param(pool(Subnet="10.5.0.0/24", AuxiliaryAddresses={"a": "10.6.0.1"}), "network.subnet", id="auxiliary-elsewhere"),
    pytest.param({"IPAM": {"Config": [{"Subnet": "10.5.0.0/24"}, {"Subnet": "10.6.0.0/24"}]}}, "body.long", id="two-pools"),
    pytest.param({"Name": ""}, "network.name", id="no-name"),
    pytest.param({"Name": "host"}, "network.name", id="reserved"),
    pytest.param({"Name": "bridge"}, "network.name", id="reserved-bridge"),
    pytest.param({"Name": "container:db"}, "network.name", id="mode"),
    pytest.param({"Name": "0123456789ab"}, "network.name", id="like-an-id"),
    pytest.param({"Name": "a/b"}, "network.name", id="slash"),
    pytest.param({"Next": "x"}, "body.unknown", id="unknown"),
])  # fmt: skip
def test_refused(body: Object, because: str) -> None:
    with pytest.raises(Denied) as caught:
        made(body)
    assert caught.value.denial.rule == because
    assert caught.value.denial.message.isprintable()


PLAIN: Object = {
    "Name": "n", "Driver": "bridge", "CheckDuplicate": True, "Internal": True, "EnableIPv6": False, "Attachable": False,
    "Options": {"com.docker.network.bridge.inhibit_ipv4": "true"},
    "Labels": {"dev.aienv.managed": "1", "dev.aienv.run": "run1", "dev.aienv.role": "guarded"},
}  # fmt: skip


@pytest.mark.parametrize(("body", "changed"), [
    pytest.param({}, {}, id="nothing"),
    pytest.param({"Driver": "bridge", "Internal": False, "CheckDuplicate": False, "EnableIPv6": False, "Scope": "local"}, {}, id="plain"),
    pytest.param({"Driver": "", "IPAM": {"Driver": "default", "Options": {}, "Config": []}, "ConfigFrom": None}, {}, id="zeros"),
    pytest.param({"IPAM": {"Config": [{}]}}, {"IPAM": {"Driver": "default", "Config": [{}]}}, id="empty-pool"),
    pytest.param({"ConfigFrom": {"Network": ""}, "EnableIPv4": True}, {}, id="newer-zeros"),
    pytest.param({"Attachable": True}, {"Attachable": True}, id="attachable"),
    pytest.param({"Options": {"com.docker.network.bridge.enable_icc": "true"}}, {}, id="as-it-is"),
    pytest.param(
        {"Options": {"com.docker.network.driver.mtu": "1400"}},
        {"Options": {"com.docker.network.driver.mtu": "1400", "com.docker.network.bridge.inhibit_ipv4": "true"}}, id="mtu",
    ),
    pytest.param(
        pool(Subnet="172.28.5.1/16", Gateway="172.28.0.1", IPRange="172.28.1.0/24", AuxiliaryAddresses={"a": "172.28.0.9"}),
        {"IPAM": {"Driver": "default", "Config": [
            {"Subnet": "172.28.0.0/16", "Gateway": "172.28.0.1", "IPRange": "172.28.1.0/24", "AuxiliaryAddresses": {"a": "172.28.0.9"}},
        ]}}, id="pool",
    ),
    pytest.param({"Name": "cafe"}, {"Name": "cafe"}, id="short-hex"),
])  # fmt: skip
def test_passes(body: Object, changed: Object) -> None:
    """Always inside, and without an address of the machine."""
    assert made(body) == {**PLAIN, **changed}


def test_quota() -> None:
    with pytest.raises(Denied, match=r"guard\.networks: 13"):
        judge_create({"Name": "n"}, SESSION, Usage(networks=LIMITS.networks))


def test_connect() -> None:
    body = sent({"Container": "db", "EndpointConfig": {"Aliases": ["x"], "Links": ["db:y"], "IPAMConfig": {}, "NetworkID": "z"}})
    assert judge_connect(body, KNOWN) == {"Container": DB, "EndpointConfig": {"Aliases": ["x"], "Links": ["db:y"], "IPAMConfig": {}}}
    assert judge_connect({"Container": "db", "EndpointConfig": None}, KNOWN) == {"Container": DB}
    assert references(body) == (Reference("container", "db"), Reference("container", "db"))


@pytest.mark.parametrize(("body", "because"), [
    pytest.param({"Container": "foreign"}, "missing", id="foreign"),
    pytest.param({"container": "db"}, "body.case", id="case"),
    pytest.param({}, "network.container", id="nobody"),
    pytest.param({"Container": "db", "EndpointConfig": {"Aliases": ["aienv-egress"]}}, "network.alias", id="alias"),
    pytest.param({"Container": "db", "EndpointConfig": {"Links": ["foreign:x"]}}, "missing", id="link"),
    pytest.param({"Container": "db", "EndpointConfig": {"DriverOpts": {"a": "b"}}}, "network.options", id="options"),
    pytest.param({"Container": "db", "EndpointConfig": []}, "body.type", id="list"),
])  # fmt: skip
def test_connect_refused(body: Object, because: str) -> None:
    with pytest.raises(Denied) as caught:
        judge_connect(body, KNOWN)
    assert caught.value.denial.rule == because


def test_disconnect() -> None:
    assert judge_disconnect({"Container": "db", "Force": True}, KNOWN) == {"Container": DB, "Force": True}
    assert judge_disconnect({"Container": "db"}, KNOWN) == {"Container": DB, "Force": False}
    with pytest.raises(Denied, match="No such container: foreign"):
        judge_disconnect({"Container": "foreign"}, KNOWN)

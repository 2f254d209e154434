"""Asks the metadata services of clouds for credentials, by every address that they have."""
# outside: escapes

import http.client

from attempt import FACTS, attempt, every

ADDRESSES = ("169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fe80::a9fe:a9fe", "192.0.0.192")


def ask(address):
    connection = http.client.HTTPConnection(address, 80, timeout=FACTS.get("wait", 2))
    connection.request("GET", "/latest/meta-data/iam/security-credentials/", headers={"Metadata-Flavor": "Google", "Metadata": "true"})
    return f"{address}: {connection.getresponse().status}"


@attempt
def main():
    return every([lambda address=address: ask(address) for address in ADDRESSES])

"""Asks clouds' metadata services through the proxy, by every spelling, with the fields that they want to see."""
# outside: escapes

from attempt import attempt
from proxied import connects, get, reached

NAMES = (
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "169.254.169.254.",
    "169.254.170.2",
    "[fd00:ec2::254]",
    "100.100.100.200",
    "168.63.129.16",
    "metadata.google.internal",
    "metadata",
    "instance-data",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::]",
)


@attempt
def main():
    found = []
    for name in NAMES:
        found += [
            f"{name}: {who}"
            for who in reached(
                get(f"http://{name}/latest/meta-data/", b"Metadata-Flavor: Google", b"X-aws-ec2-metadata-token-ttl-seconds: 60")
            )
        ]
    return found + connects(*(f"{name}:80" for name in NAMES[:8]))

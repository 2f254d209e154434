"""Reads the files in which tools keep credentials, in every home folder there is."""
# outside: escapes

import glob

from attempt import attempt, readable

NAMES = (
    ".ssh/id_*",
    ".aws/credentials",
    ".netrc",
    ".git-credentials",
    ".docker/config.json",
    ".config/gh/hosts.yml",
    ".npmrc",
    ".pypirc",
    ".kube/config",
    ".gnupg/private-keys-v1.d/*",
    ".config/gcloud/*.json",
    ".azure/*.json",
    ".claude/*.json",
    ".codex/auth.json",
    ".bash_history",
)


@attempt
def main():
    homes = ("/root", "/home/*", "/var/lib/*", "~", "/Users/*", "/tmp/*/home", "/tmp/*/*/user", "/tmp/*/*/*/user")
    return readable(*(path for home in homes for name in NAMES for path in glob.glob(f"{home}/{name}")))

"""Opens files of the system for writing: the loader's, the shell's, the resolver's."""
# outside: escapes

from attempt import attempt, opened_for_writing


@attempt
def main():
    return opened_for_writing(
        "/etc/passwd",
        "/etc/group",
        "/etc/hosts",
        "/etc/resolv.conf",
        "/etc/ld.so.cache",
        "/etc/nsswitch.conf",
        "/etc/profile",
        "/etc/ssl/certs/ca-certificates.crt",
        "/usr/bin/env",
        "/bin/sh",
        "/usr/bin/git",
        "/opt/aienv/bin/python3",
        "/opt/aienv/bin/bwrap",
        "/opt/aienv/lib/aienv/launcher.py",
        "/run/aienv/ca.pem",
    )

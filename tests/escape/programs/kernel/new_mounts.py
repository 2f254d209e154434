"""Uses the newer calls for mounts (CVE-2021-41133, CVE-2022-0185)."""
# outside: escapes

from attempt import attempt, not_refused


@attempt
def main():
    return not_refused(
        ("open_tree", -100, b"/", 1),
        ("open_tree_attr", -100, b"/", 1, 0, 0),
        ("move_mount", -1, b"", -100, b"/tmp", 4),
        ("fsopen", b"tmpfs", 0),
        ("fsopen", b"ext4", 0),
        ("fsconfig", -1, 1, b"source", b"none", 0),
        ("fsmount", -1, 0, 0),
        ("fspick", -100, b"/", 0),
        ("mount_setattr", -100, b"/nonexistent", 0, b"\0" * 32, 32),
    )

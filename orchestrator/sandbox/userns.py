"""Why bubblewrap cannot make a sandbox on this machine, and what cures it. Pure: its complaint and settings in, words out.

Decided by the settings first: the wording of the complaint changes between versions.
"""

from collections.abc import Mapping


def cause_and_cure(complaint: str, settings: Mapping[str, str]) -> tuple[str, str]:
    """(cause, cure) for a failed probe. ``settings``: sysctl names with values, and ``in_container`` yes|no."""
    if settings.get("kernel.unprivileged_userns_clone") == "0":
        return (
            f"unprivileged user namespaces are switched off (kernel.unprivileged_userns_clone=0; bwrap said: {complaint})",
            "sudo sysctl -w kernel.unprivileged_userns_clone=1 (to keep it: a file in /etc/sysctl.d)",
        )
    if settings.get("user.max_user_namespaces") == "0":
        return (
            f"no user namespaces are allowed (user.max_user_namespaces=0; bwrap said: {complaint})",
            "sudo sysctl -w user.max_user_namespaces=15000 (to keep it: a file in /etc/sysctl.d)",
        )
    if settings.get("in_container") == "yes":
        return (
            f"this is a container whose runtime forbids namespaces or a fresh /proc (bwrap said: {complaint})",
            "start the container with a seccomp profile that allows clone, unshare, mount, umount2 and pivot_root, and with "
            "--security-opt systempaths=unconfined; or give aienv the engine: DOCKER_HOST and --backend docker",
        )
    if settings.get("kernel.apparmor_restrict_unprivileged_userns") == "1":
        return (
            f"AppArmor restricts unprivileged user namespaces (Ubuntu 24.04 and newer; bwrap said: {complaint})",
            "install an AppArmor profile for bwrap with 'userns,' (package apparmor-profiles: bwrap-userns-restrict), or "
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        )
    return (
        f"bwrap said: {complaint or 'nothing'}",
        "run aienv doctor; with a container runtime, choose --backend docker",
    )

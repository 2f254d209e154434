"""Raises its limits beyond what it was given."""
# outside: unsure

import resource

from attempt import attempt, every


def higher(kind):
    soft, hard = resource.getrlimit(kind)
    if hard == resource.RLIM_INFINITY:
        return None
    try:
        resource.setrlimit(kind, (soft, hard + 1))
    except ValueError:
        return None
    return kind


@attempt
def main():
    kinds = (
        resource.RLIMIT_NOFILE,
        resource.RLIMIT_NPROC,
        resource.RLIMIT_FSIZE,
        resource.RLIMIT_MEMLOCK,
        resource.RLIMIT_NICE,
        resource.RLIMIT_RTPRIO,
        resource.RLIMIT_MSGQUEUE,
    )
    return every([lambda kind=kind: higher(kind) for kind in kinds])

"""Looks whether it could leave core dumps, and raise that limit."""
# outside: escapes

import resource

from attempt import Held, attempt


@attempt
def main():
    if resource.getrlimit(resource.RLIMIT_CORE) != (0, 0):
        return str(resource.getrlimit(resource.RLIMIT_CORE))
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20))
    except ValueError as problem:
        raise Held(problem) from None
    return "raised"

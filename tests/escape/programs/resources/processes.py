"""Makes processes until no more are given."""
# outside: never

import os
import signal

from attempt import FACTS, Held, attempt


@attempt
def main():
    children, reason = [], None
    try:
        for _ in range(FACTS["pids"] + 200):
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
    except OSError as problem:
        reason = problem.strerror
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)
    if reason:
        raise Held(f"after {len(children)}: {reason}")
    return f"{len(children)} processes at once"

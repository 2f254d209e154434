"""Makes calls with numbers that have no meaning yet: a newer kernel may give them one, and the list must not let them by unseen."""
# outside: never

import errno

from attempt import attempt, call


@attempt
def main():
    answers = {number: call(number, -1, 0, 0, 0, 0, 0) for number in range(471, 640)}
    return [number for number, (result, problem) in answers.items() if result != -1 or problem not in (errno.ENOSYS, errno.EPERM)]

"""Becomes root or somebody else, in each way that the kernel has."""
# outside: never

from attempt import attempt, call


@attempt
def main():
    found = []
    for uid in (0, 1, 1001, 65534):
        for name, words in (("setresuid", (uid, uid, uid)), ("setresgid", (uid, uid, uid)), ("setresuid", (-1, uid, -1))):
            if call(name, *words)[0] == 0:
                found.append(f"{name}{words}")
    return found

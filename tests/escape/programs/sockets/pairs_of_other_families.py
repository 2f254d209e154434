"""Pairs of sockets that are not local ones."""
# outside: escapes

import ctypes
import os

from attempt import attempt, call


@attempt
def main():
    found, pair = [], (ctypes.c_int * 2)()
    for family in (2, 10, 16, 17, 30, 31, 38, 40, 41, 44):
        for kind in (1, 2, 3, 5):
            result, problem = call("socketpair", family, kind, 0, pair)
            if result == 0:
                os.close(pair[0])
                os.close(pair[1])
            if result == 0 or problem == 95:  # not supported: it was looked at, past the filter
                found.append((family, kind))
    return found

"""Lists mounts of other namespaces with the calls that ask for them by number."""
# outside: never

import ctypes
import struct

from attempt import attempt, call


@attempt
def main():
    found = []
    answer = ctypes.create_string_buffer(4096)
    for namespace in range(1, 64):
        request = ctypes.create_string_buffer(struct.pack("<IIQQQ", 32, 0, 0xFFFFFFFFFFFFFFFF, 0, namespace))
        result, _ = call("listmount", request, answer, 64, 0)
        if result > 0:
            found.append(f"namespace {namespace}: {result} mounts")
    return found

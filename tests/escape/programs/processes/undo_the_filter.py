"""Takes back what was given up: no_new_privs, the filter, the bounding set."""
# outside: unsure

import ctypes
import struct

from attempt import attempt, call


@attempt
def main():
    found = ["no_new_privs was taken back"] if call("prctl", 38, 0, 0, 0, 0)[0] == 0 else []
    found += ["the filter was switched off"] if call("prctl", 22, 0, 0, 0, 0)[0] == 0 else []
    # A second filter that allows everything: the kernel keeps the stricter answer, which this asks for.
    code = ctypes.create_string_buffer(struct.pack("<HBBI", 6, 0, 0, 0x7FFF0000))
    program = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", 1, ctypes.addressof(code)))
    call("prctl", 22, 2, program, 0, 0)
    refused = call("keyctl", 0, -3, 0, 0, 0)
    return found + ([f"keyctl answered {refused}"] if refused[0] != -1 else [])

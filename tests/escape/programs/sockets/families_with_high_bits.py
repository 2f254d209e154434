"""Forbidden families and types behind high bits of the arguments, which the kernel drops and a filter may not."""
# outside: never

import os

from attempt import attempt, call


@attempt
def main():
    found = []
    for family, kind, protocol in ((38, 5, 0), (40, 1, 0), (17, 3, 0x300), (2, 3, 1), (10, 3, 58), (16, 3, 12), (16, 3, 9), (2, 1, 262)):
        for shift in (1 << 32, 1 << 63, 0xFFFFFFFF << 32):
            for words in ((family | shift, kind, protocol), (family, kind | shift, protocol), (family, kind, protocol | shift)):
                descriptor, _ = call("socket", *(word - (1 << 64) if word >> 63 else word for word in words))
                if descriptor >= 0:
                    os.close(descriptor)
                    found.append(words)
    return found

"""Enters the kernel as a program of 32 bits would (int 0x80): numbers mean other calls there. Must be the end of the process."""
# outside: unsure

import ctypes
import mmap
import os
import signal

from attempt import Held, attempt

# mov eax, 20 (getpid of 32 bits); int 0x80; ret
CODE = b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"


@attempt
def main():
    if os.uname().machine != "x86_64":
        raise Held("another kind of machine")
    child = os.fork()
    if child == 0:
        memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        memory.write(CODE)
        function = ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))
        os._exit(7 if function() == os.getpid() else 8)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        if os.WTERMSIG(status) == signal.SIGSYS:
            raise Held("the process was killed by the filter")
        raise Held(f"this kernel has no such entry: signal {os.WTERMSIG(status)}")
    return f"the call was made, {os.WEXITSTATUS(status)}"

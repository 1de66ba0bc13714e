"""A process that works off a database until its disk fails it: ``python -m tests.helpers.failing_disk FAULT …``.

When its tenth call was answered, and nothing of that is written, the kernel refuses certain system calls of the whole
process from then on (a seccomp filter), as a full or broken disk would. Nothing has to be compiled, mounted or be root
for it. The other arguments are those of :mod:`tests.helpers.engine_process`.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
import sys
from typing import NamedTuple

from tests.helpers import engine_process


class _Machine(NamedTuple):
    """Numbers of the kernel's interface on one kind of processor."""

    audit: int
    seccomp: int
    fsync: int
    fdatasync: int
    pwrite: int


_MACHINES = {
    "x86_64": _Machine(0xC000003E, 317, 74, 75, 18),
    "aarch64": _Machine(0xC00000B7, 277, 82, 83, 68),
}
_SET_NO_NEW_PRIVS = 38
_SET_MODE_FILTER, _ALL_THREADS = 1, 1
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06

#: The faults: what the system calls that meet it answer.
FAULTS = {"full": errno.ENOSPC, "sync": errno.EIO}


#: Calls after which the disk fails.
GOOD_CALLS = 10


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def refuse(fault: str) -> None:
    """From now on the process's disk is full (nothing can be written at an offset), or loses what it should keep.

    Raises:
        OSError: the kernel takes no such filter.
    """
    machine = _MACHINES[platform.machine()]
    calls = (machine.pwrite,) if fault == "full" else (machine.fsync, machine.fdatasync)
    steps = [(_LOAD, 0, 0, 4), (_JUMP_IF_EQUAL, 0, len(calls) + 1, machine.audit), (_LOAD, 0, 0, 0)]
    steps += [(_JUMP_IF_EQUAL, len(calls) - at, 0, number) for at, number in enumerate(calls)]
    steps += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ERRNO | FAULTS[fault])]
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    libc = ctypes.CDLL(None, use_errno=True)
    program = _Program(len(steps), code)
    libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.syscall(machine.seccomp, _SET_MODE_FILTER, _ALL_THREADS, ctypes.byref(program)) != 0:
        raise OSError(ctypes.get_errno(), "the kernel takes no filter")


def main() -> None:
    fault, *arguments = sys.argv[1:]
    engine_process.at("after-post", GOOD_CALLS, lambda: refuse(fault))
    engine_process.main(arguments)


if __name__ == "__main__":
    main()

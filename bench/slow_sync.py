"""A disk that takes longer to have something for certain, for a child process.

A small library is compiled and put before the system's own (``LD_PRELOAD``): every ``fsync`` and ``fdatasync`` of the
process is done as always, and then waits. That is what SQLite's commit meets on a slow disk; reads and writes stay as
fast as they are. Linux with a C compiler alone.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

#: Seconds that a disk with a spinning plate, or a busy network drive, takes.
WAIT_S = 0.008

_SOURCE = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

static void slow(void) {
    struct timespec wait = {0, %d};
    nanosleep(&wait, 0);
}

int fsync(int fd) {
    int (*sync)(int) = (int (*)(int)) dlsym(RTLD_NEXT, "fsync");
    int result = sync(fd);
    slow();
    return result;
}

int fdatasync(int fd) {
    int (*sync)(int) = (int (*)(int)) dlsym(RTLD_NEXT, "fdatasync");
    int result = sync(fd);
    slow();
    return result;
}
"""


def library(folder: Path) -> Path | None:
    """The compiled library; None where it cannot be made: then nothing is measured on a slow disk."""
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        return None
    source, result = folder / "slow_sync.c", folder / "slow_sync.so"
    source.write_text(_SOURCE % round(WAIT_S * 1e9), encoding="ascii")
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(result), str(source), "-ldl"]
    done = subprocess.run(command, capture_output=True, check=False)
    return result if done.returncode == 0 else None

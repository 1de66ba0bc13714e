"""A clock that processes share and that a test sets forward: what waits for minutes is tested in seconds.

Leases and settle times are as long as no machine ever stands still. A test does not wait for them, it leaps over them
(:class:`Leaps`), once the billing company has made, and shows, whatever was sent to it before.

As a program, ``python -m tests.helpers.leaping_clock CLOCK COMMAND …``, it is the command line on such a clock.
"""

from __future__ import annotations

import mmap
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from db import unit_of_work
from desktop_app.billing.launcher import SandboxAddress, read_ledger
from desktop_app.engine.leases import Lease

_NUMBER = struct.Struct("d")


class LeapingClock:
    """Seconds since the epoch: those that pass, and those that were leapt over. The file holds what is added.

    It goes on while a process is stopped, and is the same in all processes of this machine.
    """

    def __init__(self, file: Path) -> None:
        """Opens the clock; one that is not there yet is set by the machine's."""
        if not file.exists():
            file.write_bytes(_NUMBER.pack(time.time() - time.monotonic()))
        with file.open("r+b") as opened:
            self._added = mmap.mmap(opened.fileno(), _NUMBER.size)
        self.file = file

    def seconds(self) -> float:
        (added,) = _NUMBER.unpack_from(self._added)
        return time.monotonic() + float(added)

    def now(self, _connection: object = None) -> datetime:
        """As the clock of a store."""
        return datetime.fromtimestamp(self.seconds(), UTC)

    def lease(self, seconds: float) -> Lease:
        return Lease.lasting(seconds, self.seconds, self.seconds)

    def leap(self, until: float) -> None:
        """It is so late now, unless it is later already. One process leaps."""
        _NUMBER.pack_into(self._added, 0, max(self.seconds(), until) - time.monotonic())


@dataclass(frozen=True)
class Leaps:
    """Leaps that never come before something that billing has received.

    Attributes:
        timeout_s: wall-clock seconds of one call: a call that began before is over then, in a process that is stopped
            too.
        lateness_s: after how many seconds the sandbox shows what it has made.
    """

    clock: LeapingClock
    sandbox: SandboxAddress
    timeout_s: float
    lateness_s: float

    def leap(self, seconds: float, *, nobody_calls: bool = False) -> None:
        """So many seconds from now it is; whoever asks billing then is told of everything that was sent until now.

        Args:
            nobody_calls: every process that called has ended.
        """
        until = self.clock.seconds() + seconds
        if not nobody_calls:
            time.sleep(self.timeout_s)
        # Nothing more of what was sent is on its way: it lies before the sandbox, which takes one after the other, and
        # makes what it has read within a few turns of its loop. Each answer to us takes several of them.
        for _ in range(3):
            read_ledger(self.sandbox, reference="-")
        time.sleep(self.lateness_s)
        self.clock.leap(until)

    def until(self, is_over: Callable[[], object], seconds: float, patience_s: float) -> bool:
        """Leaps again and again, until something is over; False: it never was."""
        end = time.monotonic() + patience_s
        while not is_over():
            if time.monotonic() > end:
                return False
            self.leap(seconds)
        return True


def install(clock: LeapingClock) -> None:
    """Whatever store is opened, and whatever lease begins in this process, is on the clock."""
    vars(unit_of_work)["database_clock"] = clock.now
    Lease.lasting.__func__.__defaults__ = (clock.seconds, clock.seconds)  # type: ignore[attr-defined]


def main() -> None:
    install(LeapingClock(Path(sys.argv.pop(1))))
    from desktop_app.cli import main as command_line

    sys.exit(command_line())


if __name__ == "__main__":
    main()

"""Leases: how long this engine may act on a work order, told by a clock that counts suspension.

The database says who holds a work order and until when. What is told here is the same end on this machine's own clock,
so that a process that was stopped, or a laptop that slept, knows before it sends that its time is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)

#: Seconds, never running backwards, going on while the machine is suspended.
LeaseClock = Callable[[], float]


def lease_clock() -> float:
    """``CLOCK_BOOTTIME`` where there is one; elsewhere the monotonic clock, which counts suspension on Windows."""
    return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease as this process sees it.

    Attributes:
        ends_at: on the lease clock; not after the end that the database knows, since it was read before.
        wall_ends_at: the same end on the wall clock. Where that is the database's clock too (SQLite) and somebody sets
            it forward, other engines see the lease ended: then it has ended here as well.
        clock, wall: the two clocks, in seconds.
    """

    ends_at: float
    wall_ends_at: float
    clock: LeaseClock = lease_clock
    wall: Callable[[], float] = time.time

    @classmethod
    def lasting(cls, seconds: float, clock: LeaseClock = lease_clock, wall: Callable[[], float] = time.time) -> Lease:
        """A lease that begins now. To be made before the database is asked for the instant of the stored one."""
        return cls(clock() + seconds, wall() + seconds, clock, wall)

    def outlives(self, seconds: float) -> bool:
        """Whether the lease still stands after that many seconds: only then may a POST begin."""
        return self.clock() + seconds < self.ends_at and self.wall() + seconds < self.wall_ends_at

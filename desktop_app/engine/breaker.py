"""The breaker of each billing credential: it opens when the billing company gives no clear answer any more.

A device whose data a billing company cannot stand is its own matter, and ends at the limits of trying again. Several
devices, one after the other, are the company's: their jobs pause, and what is tried after that is one work order at a
time, until there is a clear answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from desktop_app.association.ports import LookupVerdict, PostResult, PostVerdict
from desktop_app.association.processing import CallResult

#: Devices without a clear answer, and none with one in between, that open the breaker, if they came for so long. Errors
#: are often answered faster than orders that work: those that were begun at the same time are waited for.
DEVICES = 5
FOR_S = 1.0
#: So many open it at once: more than an engine ever calls for at the same time.
AT_ONCE = 50
#: One of which nothing unclear was heard for so long closes by itself: it may be that nobody orders anything any more.
FORGOTTEN_AFTER = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class _Streak:
    """Devices without a clear answer since the last one that had one."""

    since: datetime
    last: datetime
    devices: frozenset[int] = frozenset()
    is_open: bool = False


@dataclass(slots=True)
class Breakers:
    """What an engine heard of each credential; a group works on a copy, which counts once it is committed.

    Orders and searches are told apart: a company that answers every search may still break at every order.
    """

    _posts: dict[int, _Streak] = field(default_factory=dict)
    _searches: dict[int, _Streak] = field(default_factory=dict)
    _trials: dict[int, tuple[int, datetime]] = field(default_factory=dict)

    def copy(self) -> Breakers:
        """One that is changed by itself."""
        return Breakers(dict(self._posts), dict(self._searches), dict(self._trials))

    def any_open(self, now: datetime) -> bool:
        """Whether one of any credential is open; what is too old is forgotten first."""
        for streaks in (self._posts, self._searches):
            for credential_id, streak in list(streaks.items()):
                if streak.last + FORGOTTEN_AFTER < now:
                    del streaks[credential_id]
        return any(streak.is_open for streaks in (self._posts, self._searches) for streak in streaks.values())

    def is_open(self, credential_id: int) -> bool:
        """Whether only one work order of the credential is tried at a time."""
        posts, searches = self._posts.get(credential_id), self._searches.get(credential_id)
        return (posts is not None and posts.is_open) or (searches is not None and searches.is_open)

    def devices(self, credential_id: int) -> int:
        """How many devices had no clear answer, one after the other."""
        streaks = (self._posts.get(credential_id), self._searches.get(credential_id))
        return max(len(streak.devices) if streak else 0 for streak in streaks)

    def heard(self, credential_id: int, work_order_id: int, result: CallResult, now: datetime) -> bool:
        """What a call came to.

        Returns:
            Whether it is one of those that the company, not the device, has to answer for.
        """
        self.not_tried(credential_id, work_order_id)
        if isinstance(result, PostResult):
            if result.verdict is PostVerdict.CREATED or result.verdict is PostVerdict.REFUSED:
                self._posts.pop(credential_id, None)
                self._searches.pop(credential_id, None)
            elif result.verdict is PostVerdict.UNKNOWN:
                return self._unclear(self._posts, credential_id, work_order_id, now)
        elif result.verdict is LookupVerdict.ANSWERED:
            self._searches.pop(credential_id, None)
        elif result.verdict is LookupVerdict.RETRY:
            return self._unclear(self._searches, credential_id, work_order_id, now)
        return False

    def may_try(self, credential_id: int, now: datetime) -> bool:
        """While it is open: whether no work order is being tried."""
        trial = self._trials.get(credential_id)
        return trial is None or trial[1] <= now

    def tries(self, credential_id: int, work_order_id: int, until: datetime) -> None:
        """While it is open: a work order is tried, and nobody waits for its outcome for longer than ``until``."""
        self._trials[credential_id] = (work_order_id, until)

    def not_tried(self, credential_id: int, work_order_id: int) -> None:
        """A call was not made, or is over: if it was the one that is tried, another one may be."""
        trial = self._trials.get(credential_id)
        if trial is not None and trial[0] == work_order_id:
            del self._trials[credential_id]

    def _unclear(self, of: dict[int, _Streak], credential_id: int, work_order_id: int, now: datetime) -> bool:
        streak = replace(of.get(credential_id) or _Streak(now, now), last=now)
        if not streak.is_open:
            devices = streak.devices | {work_order_id}
            lasted = len(devices) >= DEVICES and now - streak.since >= timedelta(seconds=FOR_S)
            streak = replace(streak, devices=devices, is_open=lasted or len(devices) >= AT_ONCE)
        of[credential_id] = streak
        return self.is_open(credential_id)

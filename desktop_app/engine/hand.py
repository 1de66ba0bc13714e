"""What one engine has in hand: what may be called, what is being called, and what is to be recorded next."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from desktop_app.engine.calls import Calls
from desktop_app.engine.group import Item, Recorded
from desktop_app.engine.orders import OrderInHand
from desktop_app.engine.runner import NotCalled, Outcome


class Hand:
    """The work orders between one group and the next. One thread uses it: the one that writes the groups.

    Attributes:
        pending: what the next groups record.
        out: how many work orders were handed to the calls and are not back yet.
    """

    def __init__(self, calls: Calls, renew_below_s: float) -> None:
        """
        Args:
            calls: where work orders wait to be called.
            renew_below_s: from so many seconds of a lease on it is renewed.
        """
        self.pending: list[Item] = []
        self.out = 0
        self._calls = calls
        self._renew_below_s = renew_below_s

    def __len__(self) -> int:
        """How many work orders are held."""
        return self.out + len(self.pending)

    def bring(self, outcomes: Collection[Outcome]) -> None:
        """What became of calls."""
        self.out -= len(outcomes)
        self.pending += outcomes

    def follow(self, recorded: Recorded, items: int) -> int:
        """A group is committed: what it lets be called may be called, and what nobody may call any more comes back.

        Args:
            recorded: what the group came to.
            items: how many of the pending ones it recorded, the first ones.

        Returns:
            How many came back.
        """
        self.pending = [*recorded.settled, *self.pending[items:]]
        self.out += len(recorded.to_call)
        self._calls.put(recorded.to_call)
        job_ids = recorded.stopped | recorded.cancelled
        return self._take_back(recorded.must_not_call, job_ids) if job_ids else 0

    def renew(self) -> int:
        """What waits to be called comes back before its lease is too short for it: the next group renews it.

        Returns:
            How many came back.
        """
        return self._take_back(lambda one: not one.lease.outlives(self._renew_below_s))

    def give_up(self, which: Callable[[OrderInHand], bool], reason: NotCalled) -> int:
        """What waits to be called and fulfils the condition goes back into the queue.

        Returns:
            How many came back.
        """
        back = self._calls.take_back(which)
        self.bring([Outcome(one, reason) for one in back])
        return len(back)

    def give_back(self) -> None:
        """Whatever was not called yet goes back into the queue, and nothing is called any more."""
        self._calls.close()
        self.give_up(lambda _one: True, NotCalled())
        self.pending = [self._uncalled(item) for item in self.pending]

    def _take_back(self, which: Callable[[OrderInHand], bool], job_ids: Collection[int] | None = None) -> int:
        back: Sequence[OrderInHand] = self._calls.take_back(which, job_ids)
        self.out -= len(back)
        self.pending += back
        return len(back)

    @staticmethod
    def _uncalled(item: Item) -> Item:
        if isinstance(item, Outcome) or item.call is None:
            return item
        return Outcome(item, NotCalled())

"""One call on its way: the time that is left, how far it came, and who may still say no before its first byte."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from enum import StrEnum
from typing import Protocol

from desktop_app.billing.addresses import Addresses

Clock = Callable[[], float]

if sys.platform == "linux":

    def awake_or_asleep() -> float:
        """Monotonic seconds that go on while the machine sleeps."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

else:
    awake_or_asleep = time.monotonic


class Stage(StrEnum):
    """How far a call came that got no answer."""

    UNREACHED = "unreached"  #: no connection: name, network, refused, TLS, or no time left for it
    NOT_SENT = "not_sent"  #: connected, and given up before the first byte of the request
    SENT = "sent"  #: at least one byte may have been sent


class CallFailed(Exception):
    """A call without an answer.

    Attributes:
        stage: see :class:`Stage`.
        reason: the end of a sentence, such as "refused the connection".
    """

    def __init__(self, stage: Stage, reason: str) -> None:
        super().__init__(reason)
        self.stage = stage
        self.reason = reason


class Cuttable(Protocol):
    """A socket that another thread may end while it is in use."""

    def cut(self) -> None:
        """Ends it: whoever waits on it wakes up."""


class Exchange:
    """One request and its answer.

    Attributes:
        addresses: where the server is.
        stage: how far it came until now.
    """

    def __init__(
        self, addresses: Addresses, seconds: float, clock: Clock, may_send: Callable[[], bool] | None = None
    ) -> None:
        """Starts the deadline.

        Args:
            seconds: deadline of the whole exchange.
            may_send: asked once, when the connection stands, right before the first byte.
        """
        self.addresses = addresses
        self.stage = Stage.UNREACHED
        self._clock = clock
        self._ends_at = clock() + seconds
        self._may_send = may_send
        self._socket: Cuttable | None = None
        self._is_permitted = False
        self._is_cut = False

    def left(self) -> float:
        """Seconds that are left, more than 0.

        Raises:
            TimeoutError: none are.
        """
        left = self._ends_at - self._clock()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left

    def permit(self, sock: Cuttable) -> None:
        """The connection stands: from here on the request may leave, through this socket alone.

        Raises:
            CallFailed: ``NOT_SENT``; the connection is as it was.
            RuntimeError: it was permitted before. So whatever the libraries in between do one day, nothing is sent
                twice.
        """
        if self._is_permitted:
            raise RuntimeError("a request is permitted once")
        self.stage = Stage.NOT_SENT
        self._socket = sock  # before the look at _is_cut: a cut() from now on finds it
        self._refuse_if_over()
        if self._may_send is not None and not self._may_send():
            raise CallFailed(Stage.NOT_SENT, "was not asked: this program may no longer send this request")
        self._is_permitted = True

    def before_sending(self, sock: Cuttable) -> None:
        """Asked by a socket each time that a part of the request is about to leave through it.

        Raises:
            CallFailed: ``NOT_SENT``: the time ran out, or it was cut, before the first byte.
            RuntimeError: it was not permitted, or not on this socket.
        """
        if not self._is_permitted or sock is not self._socket:
            raise RuntimeError("a request may leave only when it is permitted, and through one connection")
        if self.stage is not Stage.SENT:
            self._refuse_if_over()
            self.stage = Stage.SENT

    def cut(self) -> None:
        """Ends the exchange from another thread: unsent if it has no connection yet, else without an answer."""
        self._is_cut = True
        if self._socket is not None:
            self._socket.cut()

    def _refuse_if_over(self) -> None:
        if self._is_cut:
            raise CallFailed(Stage.NOT_SENT, "was not asked: the connection has been closed")
        try:
            self.left()
        except TimeoutError:
            raise CallFailed(Stage.NOT_SENT, "was not asked: no time was left when the connection stood") from None


#: What the sockets of this thread are working for.
CURRENT: ContextVar[Exchange] = ContextVar("CURRENT")

"""The one door from the window to the background.

The threading rule of the window:

* Everything of Qt — widgets, models, signals — is touched by the UI thread alone. The UI thread never waits: no desk
  call, no file, no lock.
* A desk call is synchronous and thread-safe. It goes through :meth:`Background.run`, which calls it on a thread of its
  own bounded pool and calls ``done`` or ``failed`` back **on the UI thread**, at the latest one turn of the event loop
  after the result is there.
* What runs on the pool gets a :class:`Cancel` and plain values; it never sees a widget or a model. What comes back is
  frozen.
* Calls with the same ``key`` replace each other: the newest wins, the older one is cancelled and its answer is dropped
  even if it was on the way already. An ``owner`` that is destroyed takes its calls with it.
* Quick calls (pages of rows, polling) and long ones (check, submit, export) have threads of their own, so that a list
  goes on scrolling while 100,000 devices are checked.

This is the only module that uses ``asyncio``, over Qt's own event loop (qasync). Jobs do not run here: the engine has
its own pool, and a job outlives the window.

Order of closing: the window stops asking → :meth:`Background.close` cancels what runs and waits for the pool's threads
→ nothing is delivered any more → the desk may be closed.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

import shiboken6
from PySide6.QtCore import QObject
from PySide6.QtWidgets import QApplication

from desktop_app.association.errors import Cancelled

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    import qasync

T = TypeVar("T")


class Lane(StrEnum):
    """Which of the pool's threads a call may use."""

    QUICK = "quick"  #: milliseconds: a page of rows, a poll, a lookup
    LONG = "long"  #: may take seconds: check, submit, import, export


_THREADS = {Lane.QUICK: 3, Lane.LONG: 3}


class Cancel:
    """Tells a running desk call that nobody wants its answer any more. Thread-safe; set once."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Asks the call to stop as soon as it can."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether the answer is unwanted."""
        return self._event.is_set()

    def __call__(self) -> bool:
        return self._event.is_set()


class Call:
    """One call under way."""

    __slots__ = ("_dropped", "_owner", "cancel_flag", "key", "task")

    def __init__(self, key: str | None, owner: QObject | None) -> None:
        self.key = key
        self._owner = owner
        self.cancel_flag = Cancel()
        self.task: asyncio.Task[None] | None = None
        self._dropped = False

    def cancel(self) -> None:
        """Its answer is never delivered from now on."""
        self._dropped = True
        self.cancel_flag.cancel()

    @property
    def dropped(self) -> bool:
        """Whether it was cancelled or replaced, or its owner is gone."""
        return self._dropped or (self._owner is not None and not shiboken6.isValid(self._owner))


class Background:
    """Runs desk calls off the UI thread. Made by the application after the ``QApplication``; see the module's text."""

    def __init__(self, app: QApplication) -> None:
        self._app = app
        self._loop: qasync.QEventLoop | None = None
        self._pools: dict[Lane, ThreadPoolExecutor] = {}
        self._calls: set[Call] = set()  # the tasks' only strong references
        self._latest: dict[str, Call] = {}
        self._closed = False

    def _begun(self) -> qasync.QEventLoop:
        """The loop, and the pools beside it. They are imported and made when the first call comes, which is when the
        window is on the screen."""
        if self._loop is None:
            from concurrent.futures import ThreadPoolExecutor

            import qasync

            self._loop = qasync.QEventLoop(self._app)
            self._pools = {
                lane: ThreadPoolExecutor(threads, thread_name_prefix=f"ui-{lane}") for lane, threads in _THREADS.items()
            }
        return self._loop

    def run(
        self,
        work: Callable[[Cancel], T],
        *,
        done: Callable[[T], None],
        failed: Callable[[Exception], None],
        key: str | None = None,
        owner: QObject | None = None,
        lane: Lane = Lane.QUICK,
    ) -> Call:
        """Calls ``work`` on the pool and ``done(result)`` or ``failed(error)`` on the UI thread.

        Args:
            work: gets the :class:`Cancel` of this call. Must not touch Qt.
            done, failed: exactly one of them is called, once; neither after the call was cancelled or replaced.
            key: a newer call with the same key replaces this one.
            owner: nothing is delivered once it is destroyed.
            lane: see :class:`Lane`.

        Raises:
            RuntimeError: the background is closed.
        """
        if self._closed:
            raise RuntimeError("the background is closed")
        call = Call(key, owner)
        if key is not None:
            older = self._latest.get(key)
            if older is not None:
                older.cancel()
            self._latest[key] = call
        self._calls.add(call)
        import asyncio

        loop = self._begun()
        future = self._pools[lane].submit(_guarded, work, call.cancel_flag)
        call.task = loop.create_task(self._carry(call, asyncio.wrap_future(future, loop=loop), done, failed))
        return call

    def drop(self, key: str) -> None:
        """Cancels the call with this key, if one is under way; its answer is never delivered."""
        call = self._latest.get(key)
        if call is not None:
            call.cancel()

    async def _carry(
        self, call: Call, future: asyncio.Future[T], done: Callable[[T], None], failed: Callable[[Exception], None]
    ) -> None:
        from asyncio import CancelledError

        error: Exception | None = None
        result: Any = None
        try:
            result = await future
        except (Cancelled, CancelledError):  # it stopped, or was never begun
            call.cancel()
        except Exception as raised:  # noqa: BLE001 - whatever it is, it is the caller's answer
            error = raised
        finally:
            self._calls.discard(call)
            if call.key is not None and self._latest.get(call.key) is call:
                del self._latest[call.key]
        if call.dropped:
            return
        try:
            if error is not None:
                failed(error)
            else:
                done(result)
        except Exception:  # noqa: BLE001 - a fault of the window: reported as any uncaught one, the loop goes on
            sys.excepthook(*sys.exc_info())

    @property
    def keys(self) -> frozenset[str]:
        """Of the calls that have not been delivered yet."""
        return frozenset(self._latest)

    @property
    def pending(self) -> int:
        """How many calls have not been delivered yet."""
        return len(self._calls)

    def is_idle(self, *, but: str) -> bool:
        """Whether nothing has still to be delivered except, perhaps, the call with the key ``but``."""
        return self.pending == int(but in self._latest)

    def run_until_quit(self) -> int:
        """Runs the application until it quits. Returns the application's exit code."""
        return int(self._begun().run_forever() or 0)

    def close(self) -> None:
        """Cancels every call, waits for the pool's threads, and delivers nothing more. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        for call in self._calls:
            call.cancel()
        for pool in self._pools.values():
            pool.shutdown(wait=True, cancel_futures=True)
        self._settle()
        if self._loop is not None:
            self._loop.close()

    def _settle(self) -> None:
        """Lets the tasks of the cancelled calls end, so that none is destroyed while pending."""
        for _ in range(100):
            QApplication.processEvents()
            if all(call.task is None or call.task.done() for call in self._calls):
                break
        self._calls.clear()


def _guarded(work: Callable[[Cancel], T], cancel: Cancel) -> T:
    """Runs on the pool. A call that was replaced while it waited for a thread is not begun."""
    if cancel.cancelled:
        raise Cancelled
    return work(cancel)

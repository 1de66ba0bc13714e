"""The outbox: finished jobs are announced to the other system, at least once, until it takes them."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from random import Random

from db import finishing, outbox
from db.unit_of_work import Store, UnitOfWork
from desktop_app.association.errors import ErrorKind
from desktop_app.association.retry import RetryAt, RetryRules, decide
from desktop_app.engine.crash_points import commit, reached

_log = logging.getLogger(__name__)

#: A notification that nobody took for three days is dead, and shown as such; not before, however often it was sent.
RULES = RetryRules(max_attempts=None, max_age=timedelta(days=3), first_wait_s=2.0)
#: Longer than any send takes: until then no other engine sends the same event.
CLAIM = timedelta(minutes=2)
#: Seconds after which no further one is begun in one go: whatever else is due in this thread waits meanwhile.
LONGEST_S = 5.0


@dataclass(frozen=True, slots=True)
class Sent:
    """What a send came to.

    Attributes:
        taken: the other system has it.
        again: worth another send.
        reason: why it was not taken; no secret.
        retry_after_s: what the other system asked to wait.
    """

    taken: bool
    again: bool = True
    reason: str = ""
    retry_after_s: float | None = None


#: Sends one notification: event id and body → what it came to. Never raises.
Send = Callable[[str, bytes], Sent]


def send_due(store: Store, send: Send, rng: Random, is_stopping: Callable[[], bool] = lambda: False) -> int:
    """Sends what is due, one after the other; outside of any transaction.

    Args:
        is_stopping: no further one is begun.

    Returns:
        How many were sent or tried.
    """
    tried = 0
    ends_at = time.monotonic() + LONGEST_S
    while not is_stopping() and time.monotonic() < ends_at:
        # One at a time: no claim runs out while a slow receiver is told of others.
        events = commit(store, "claim-events", lambda uow: outbox.claim_due_events(uow, uow.now() + CLAIM, 1))
        if not events:
            break
        (event,) = events
        body = json.dumps(event.payload, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
        reached("before-notify")
        sent = send(event.event_id, body)
        reached("after-notify")
        commit(store, "event", lambda uow, event=event, sent=sent: _mark(uow, event, sent, rng))  # type: ignore[misc]
        tried += 1
    return tried


def _mark(uow: UnitOfWork, event: outbox.DueEvent, sent: Sent, rng: Random) -> None:
    if sent.taken:
        outbox.mark_sent(uow, event)
        return
    verdict = decide(
        ErrorKind.TRANSIENT if sent.again else ErrorKind.PERMANENT,
        event.attempts + 1,
        event.created_at,
        uow.now(),
        rng,
        retry_after_s=sent.retry_after_s,
        rules=RULES,
    )
    next_at = verdict.at if isinstance(verdict, RetryAt) else None
    if outbox.mark_not_sent(uow, event, sent.reason, next_at) and next_at is None:
        finishing.write_log(
            uow, event.job_id, event.run_no, "notification_dead", f"Nobody took the notification: {sent.reason}",
            level="error",
        )  # fmt: skip
        _log.error("Notification %s is dead: %s", event.event_id, sent.reason)

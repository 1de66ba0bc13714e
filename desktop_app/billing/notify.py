"""Sends one notification of the outbox to the newer system, signed, and says what became of it.

The receiver gets a POST with the JSON document as body and these headers::

    X-Association-Event: AJ-20261124-0042/1
    X-Association-Signature: t=1795555555,v1=5257a869…

``t`` is the time of sending in seconds since 1970; ``v1`` is the HMAC-SHA256, in hex, of the bytes ``t`` + ``.`` + body
under the shared secret. A receiver checks both with :func:`is_genuine`. A notification may come twice: the event header
(job and run number) stays the same.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from desktop_app.billing import shapes
from desktop_app.billing.redaction import Redactor
from desktop_app.billing.transport import CallFailed, Transport

EVENT_HEADER = "X-Association-Event"
SIGNATURE_HEADER = "X-Association-Signature"
#: A signature older or newer than this is not believed.
TOLERANCE_S = 300.0
#: The receiver read it and will never take it: sending it again cannot help.
_DEAD = frozenset({400, 410, 413, 415, 422})


class NotifyVerdict(StrEnum):
    """What became of one notification."""

    TAKEN = "taken"  #: the receiver answered 2xx
    AGAIN = "again"  #: not reached, no clear answer, or an error that may pass: send it again later
    DEAD = "dead"  #: the receiver refuses this document: a person has to look


@dataclass(frozen=True, slots=True)
class NotifyResult:
    """Outcome of one try.

    Attributes:
        verdict: see :class:`NotifyVerdict`.
        reason: one sentence for a person; "" for ``TAKEN``.
        http_status: status code, or None where there was no answer.
        retry_after_s: seconds that the receiver asked to wait, or None.
    """

    verdict: NotifyVerdict
    reason: str = ""
    http_status: int | None = None
    retry_after_s: float | None = None


def send_notification(
    url: str, body: bytes, secret: str, event_id: str, timeout_s: float, *, clock: Callable[[], float] = time.time
) -> NotifyResult:
    """POST one notification. Raises nothing for what network and receiver do; redirects are not followed.

    Args:
        url: ``NOTIFY_URL``.
        body: the JSON document.
        secret: shared with the receiver (``ASSOCIATION_NOTIFY_SECRET``).
        event_id: the same each time that this event is sent.
        timeout_s: deadline over connecting, sending and reading.
        clock: seconds since 1970.
    """
    if not secret:
        return NotifyResult(NotifyVerdict.AGAIN, "There is no secret to sign with: set ASSOCIATION_NOTIFY_SECRET.")
    headers = {EVENT_HEADER: event_id, SIGNATURE_HEADER: signature(body, secret, int(clock()))}
    try:
        transport = Transport(url, timeout_s=timeout_s)
    except ValueError:
        return NotifyResult(NotifyVerdict.AGAIN, "The address NOTIFY_URL is none: give it as https://HOST/PATH.")
    who = f"The receiver at {transport.host}"  # without path and query: they may hold a key
    try:
        answer = transport.call("POST", "", body=body, headers=headers)
    except CallFailed as failed:
        return NotifyResult(NotifyVerdict.AGAIN, f"{who} {failed.reason}.")
    except ValueError:
        return NotifyResult(NotifyVerdict.DEAD, f"The event id {event_id!r} cannot be sent in a header.")
    finally:
        transport.close()
    if 200 <= answer.status < 300:
        return NotifyResult(NotifyVerdict.TAKEN, http_status=answer.status)
    said = Redactor([secret]).clean(shapes.sentence(answer.body), 200)
    reason = f"{who} answered {answer.status}" + (f": {said}" if said else ".")
    if answer.status in _DEAD:
        return NotifyResult(NotifyVerdict.DEAD, reason, answer.status)
    wait = shapes.retry_after_s(answer.headers, datetime.now(UTC))
    return NotifyResult(NotifyVerdict.AGAIN, reason, answer.status, wait)


def signature(body: bytes, secret: str, timestamp: int) -> str:
    """The value of the signature header for a body that is sent at ``timestamp`` (seconds since 1970)."""
    return f"t={timestamp},v1={_mac(body, secret, str(timestamp))}"


def is_genuine(
    header: str, body: bytes, secret: str, *, now: float | None = None, tolerance_s: float = TOLERANCE_S
) -> bool:
    """Whether a receiver may believe a notification: signed with the secret, and not long ago.

    Args:
        header: value of the signature header as it came.
        body: the bytes as they came.
        now: seconds since 1970; the clock's by default.
    """
    parts = dict(part.strip().partition("=")[::2] for part in header.split(","))
    timestamp = parts.get("t", "")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 16):
        return False
    if abs((time.time() if now is None else now) - int(timestamp)) > tolerance_s:
        return False
    return hmac.compare_digest(parts.get("v1", "").encode(), _mac(body, secret, timestamp).encode())


def _mac(body: bytes, secret: str, timestamp: str) -> str:
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()

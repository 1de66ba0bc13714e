"""Calling billing for one work order: HTTP only, no database, no Qt."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from desktop_app.association.ports import (
    BillingPort,
    LookupVerdict,
    PostResult,
    PostVerdict,
    ProductLookup,
    ServiceLookup,
)
from desktop_app.association.processing import CallResult
from desktop_app.association.steps import POSTS, CallKind
from desktop_app.engine.crash_points import reached
from desktop_app.engine.orders import OrderInHand

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NotCalled:
    """The call was not made, or not to its end: this engine stops, the lease was about to end, the job may not go on.

    Attributes:
        wait_s: the quota of the credential is used up for so many seconds; None: another reason.
    """

    wait_s: float | None = None


class Outcome(NamedTuple):
    """What became of one work order's call."""

    in_hand: OrderInHand
    result: CallResult | NotCalled


def run(in_hand: OrderInHand, billing: BillingPort, timeout_s: float, is_stopping: Callable[[], bool]) -> Outcome:
    """Makes the call that the work order needs. Never raises: an error in this program is an unknown outcome too.

    Args:
        timeout_s: wall-clock deadline of one call; a POST begins only if the lease outlives it.
        is_stopping: no further call is begun, and a search asks for no further page.
    """
    refused_here = False

    def may_send() -> bool:
        nonlocal refused_here
        refused_here = is_stopping() or not in_hand.lease.outlives(timeout_s)
        if not refused_here:
            reached("before-post")
        return not refused_here

    call = in_hand.call
    assert call is not None
    if is_stopping() or not in_hand.lease.outlives(timeout_s):
        return Outcome(in_hand, NotCalled())
    try:
        result = _call(in_hand, billing, may_send, lambda: not is_stopping())
    except Exception:  # noqa: BLE001 - nothing may leave a pool's thread; a broken POST is an unknown outcome
        # The type says enough for the log; a message might hold what was sent.
        _log.exception("A call to billing for device %s broke", in_hand.order.iccid)
        return Outcome(in_hand, _broken(call.kind))
    if refused_here:
        return Outcome(in_hand, NotCalled())
    if result.verdict is LookupVerdict.NOT_ASKED:
        return Outcome(in_hand, NotCalled(result.retry_after_s))
    if call.kind in POSTS:
        reached("after-post")
    return Outcome(in_hand, result)


def _call(
    in_hand: OrderInHand, billing: BillingPort, may_send: Callable[[], bool], may_go_on: Callable[[], bool]
) -> CallResult:  # fmt: skip
    terms, call, service_id = in_hand.terms, in_hand.call, in_hand.service_id
    assert call is not None
    match call.kind:
        case CallKind.POST_SERVICE:
            return billing.create_service(terms.service_order(), may_send)
        case CallKind.FIND_SERVICE:
            return billing.find_services(
                terms.billing_customer_id, reference=terms.step_reference(call.step), number=terms.number,
                may_go_on=may_go_on,
            )  # fmt: skip
        case CallKind.POST_PRODUCT:
            assert service_id is not None
            return billing.add_product(terms.product_order(call.step, service_id), may_send)
        case CallKind.FIND_PRODUCT:
            assert service_id is not None
            return billing.find_products(service_id, may_go_on=may_go_on)
        case _:
            raise ValueError(f"{call.kind} is no call of a work order")


def _broken(kind: CallKind) -> CallResult:
    reason = "The program failed while it called billing; its log says more."
    match kind:
        case CallKind.FIND_SERVICE:
            return ServiceLookup(LookupVerdict.RETRY, reason=reason)
        case CallKind.FIND_PRODUCT:
            return ProductLookup(LookupVerdict.RETRY, reason=reason)
        case _:
            return PostResult(PostVerdict.UNKNOWN, reason=reason)


def unreachable(in_hand: OrderInHand, reason: str) -> CallResult:
    """The answer of a call that could not even be begun, since billing cannot be opened."""
    assert in_hand.call is not None
    match in_hand.call.kind:
        case CallKind.FIND_SERVICE:
            return ServiceLookup(LookupVerdict.ENVIRONMENT, reason=reason)
        case CallKind.FIND_PRODUCT:
            return ProductLookup(LookupVerdict.ENVIRONMENT, reason=reason)
        case _:
            return PostResult(PostVerdict.ENVIRONMENT, reason=reason)

"""A retry: what failed is checked again, and keeps what it has settled at billing."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from desktop_app.association.facts import ProviderMapping
from desktop_app.association.model import BillingAction, InstallationSettings, OwnershipAction
from desktop_app.association.ports import FailedOrder
from desktop_app.association.recheck import recheck, renewed, request_of
from desktop_app.association.states import WorkOrderState
from desktop_app.association.work_orders import Instructions, instructions_for
from tests.association.test_request import SomeMasterData
from tests.helpers.facts import (
    ADMINISTRATOR,
    CARRIER_PLAN,
    CREDENTIAL_FACTS,
    CUSTOMER_PLAN,
    NORTHSTAR,
    PROVIDERS,
    TODAY,
    a_billed_request,
    a_device,
    a_request,
    asked,
    own,
    owned,
    service,
)

NUMBER = "AJ-20261124-0042"
FULL = a_billed_request(
    carrier_rate_plans={NORTHSTAR: CARRIER_PLAN},
    customer_rate_plan=CUSTOMER_PLAN,
    service_provider=PROVIDERS[NORTHSTAR],
    effective_date=date(2026, 12, 1),
    reassign=True,
    reason="contract 7",
)
FROZEN = instructions_for(FULL, "boss", "7f3a9c")


def order(line: int = 1, state: WorkOrderState = WorkOrderState.FAILED, **changes) -> FailedOrder:
    return FailedOrder(500 + line, line, "x", 1000, state, None, None, None)._replace(**changes)


def test_the_request_comes_back_from_the_instructions() -> None:
    assert request_of(FROZEN, SomeMasterData(), ADMINISTRATOR, InstallationSettings(), TODAY) == FULL
    plain = a_request()
    frozen = instructions_for(plain, "boss", "7f3a9c")
    assert request_of(frozen, SomeMasterData(), ADMINISTRATOR, InstallationSettings(), TODAY) == plain


def test_renewed_instructions_keep_who_asked_and_the_mark_and_take_the_mapping_that_was_corrected() -> None:
    corrected = replace(CREDENTIAL_FACTS, providers={"NORTHSTAR": ProviderMapping("99", "3")})
    somebody = replace(ADMINISTRATOR, login="somebody")
    now = renewed(FROZEN, replace(FULL, credential=corrected, operator=somebody))
    assert now != FROZEN
    assert now.billing is not None
    assert now.billing.providers[NORTHSTAR].provider_id == "99"
    assert (now.operator_login, now.acting_login, now.reference_mark) == ("admin", "boss", "7f3a9c")
    assert renewed(FROZEN, FULL) == FROZEN
    assert Instructions.from_document(now.to_document()) == now


def test_what_passes_is_frozen_anew() -> None:
    device = own(activated_on=date(2026, 10, 1))
    checked = recheck(FULL, [(order(), asked(device))], FROZEN, NUMBER)
    assert checked.blocked == []
    ((failed, draft),) = checked.passed
    assert failed == order()
    assert (draft.state, draft.ownership_action) == (WorkOrderState.QUEUED, OwnershipAction.KEEP)
    assert draft.reference == FROZEN.reference(NUMBER, 1)


def test_what_is_still_blocked_gets_its_finding() -> None:
    checked = recheck(FULL, [(order(), asked(a_device(is_deleted=True)))], FROZEN, NUMBER)
    assert checked.passed == []
    ((_failed, draft),) = checked.blocked
    assert draft.error_code == "DELETED"


def test_its_own_service_is_kept_and_never_made_again() -> None:
    made = order(billing_action=BillingAction.CREATE, effective_date=date(2026, 11, 2), settled_service_id=901)
    device = a_device(services=(service(1),))
    ((_failed, draft),) = recheck(FULL, [(made, asked(device))], FROZEN, NUMBER).passed
    assert (draft.billing_action, draft.billing_service_id) == (BillingAction.CREATE, 901)
    assert draft.effective_date == date(2026, 11, 2)
    assert draft.reference == FROZEN.reference(NUMBER, 1)


def test_its_own_service_is_known_by_its_row_too() -> None:
    made = order(billing_action=BillingAction.CREATE, effective_date=date(2026, 11, 2))
    device = a_device(services=(service(1, by=made.work_order_id),))
    ((_failed, draft),) = recheck(FULL, [(made, asked(device))], FROZEN, NUMBER).passed
    assert (draft.billing_action, draft.billing_service_id) == (BillingAction.CREATE, 901)


def test_a_service_that_somebody_else_made_meanwhile_is_kept() -> None:
    failed = order(billing_action=BillingAction.CREATE, effective_date=date(2026, 12, 1))
    device = a_device(services=(service(1, by=77),))
    ((_failed, draft),) = recheck(FULL, [(failed, asked(device))], FROZEN, NUMBER).passed
    assert (draft.billing_action, draft.billing_service_id) == (BillingAction.KEEP, 901)


def test_two_lines_that_turn_out_to_be_one_device_are_done_once() -> None:
    device = owned()
    first, second = order(1, WorkOrderState.REJECTED, device_id=None), order(2, WorkOrderState.REJECTED, device_id=None)
    checked = recheck(FULL, [(first, asked(device, line=1)), (second, asked(device, line=2))], FROZEN, NUMBER)
    assert [failed.line for failed, _draft in checked.passed] == [1]
    ((failed, draft),) = checked.blocked
    assert (failed.line, draft.error_code, draft.error_message) == (2, "DUPLICATE", "It is the device of line 1.")

"""Re-reading from billing, on real databases before a billing company in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from db import integrity
from db.schema import (
    audit_entry,
    billing_credential,
    billing_service,
    cross_provider_device_history,
    customer,
    device,
    device_history,
    device_service_link,
    operator_grant,
    work_order,
)
from desktop_app.association.errors import Cancelled, EnvironmentFault, RequestRefused
from desktop_app.association.model import (
    AskedLines,
    AssociationRequest,
    AtBilling,
    DeviceFilter,
    FilteredDevices,
    OrphanService,
    PickedDevices,
    Reread,
    pack,
)
from desktop_app.association.ports import LookupVerdict, ServiceLookup
from desktop_app.desk.protocol import MOST_REREAD, Desk, never
from desktop_app.desk.requests import check_request, submit_request
from desktop_app.desk.rereading import reread_billing
from desktop_app.desk.seat import Seat
from tests.helpers.billing_ledger import BillingLedger, OneLedger
from tests.helpers.databases import Databases
from tests.helpers.desks import desk_on
from tests.helpers.stores import fresh_store
from tests.helpers.world import ALPINE, CREDENTIAL, FABRIKAM, FABRIKAM_SITE, HARBOR, NORTHWIND, NOW, TODAY, World, iccid


@pytest.fixture
def world(databases: Databases) -> Iterator[World]:
    with fresh_store(databases) as store:
        yield World(store)


@pytest.fixture
def ledger() -> BillingLedger:
    return BillingLedger()


@pytest.fixture
def desk(world: World, ledger: BillingLedger) -> Desk:
    return desk_on(world.store, "admin", ledger=ledger)


def billed(world: World, ledger: BillingLedger, customer_id: int = FABRIKAM, **values: Any) -> tuple[int, str]:
    """A device with an active billing service, known on both sides and linked: handle and billing's id."""
    device_id = world.device()
    number = world.rows(device, id=device_id)[0].msisdn
    key = world.service(device_id, customer_id, number=number, **values)
    service = world.rows(billing_service, id=key)[0]
    world.put(device_service_link, {"device_id": device_id, "billing_service_id": key, "linked_at": NOW})
    at_billing = world.rows(customer, id=customer_id)[0].billing_customer_id
    ledger.add_service(service.service_id, at_billing, number, service.reference or "")
    return device_id, service.service_id


def reread(desk: Desk, *device_ids: int) -> Reread:
    return desk.reread_billing(PickedDevices(pack(device_ids)))


def says(reread: Reread) -> dict[str, AtBilling]:
    return {service.service_id: service.at_billing for service in reread.services}


# --- what is ended at billing is ended here --------------------------------------------------------------------------


def test_what_was_ended_at_billing_is_ended_here_and_written_down(
    world: World, ledger: BillingLedger, desk: Desk
) -> None:
    ended, service_id = billed(world, ledger)
    stays, other_id = billed(world, ledger)
    for device_id in (ended, stays):
        world.own(device_id, FABRIKAM, FABRIKAM_SITE)
    ledger.disconnect(service_id)
    answer = reread(desk, stays, ended)
    assert says(answer) == {service_id: AtBilling.ENDED, other_id: AtBilling.ACTIVE}
    assert (answer.orphans, answer.not_permitted, answer.is_whole) == ((), 0, True)
    (told,) = (one for one in answer.services if one.service_id == service_id)
    assert (told.iccid, told.service_provider, told.customer) == (world.iccid_of(ended), "NORTHSTAR", "Fabrikam Water")

    gone, left = world.rows(billing_service)
    assert (gone.is_active, gone.ended_on) == (False, TODAY)
    assert (left.is_active, left.ended_on) == (True, None)
    assert [link.closed_at for link in world.rows(device_service_link)] == [NOW, None]
    assert [row.revision for row in world.rows(device)] == [2, 1]

    (fact,) = world.rows(device_history)
    assert (fact.device_id, fact.customer_id, fact.event) == (ended, FABRIKAM, "billing_service_ended")
    assert fact.detail == f"Billing service {service_id}, re-read from billing"
    assert (fact.operator_login, fact.effective_date, fact.is_complete) == ("admin", TODAY, True)
    assert (fact.job_id, fact.work_order_id) == (None, None)

    (audited,) = world.rows(audit_entry)
    assert (audited.action, audited.subject, audited.operator_login) == ("reread_billing", "2 devices", "admin")
    assert audited.detail == {"services": 2, "ended": [service_id], "absent": [], "orphans": []}
    assert integrity.check(world.store) == ()


def test_the_check_passes_then(world: World, ledger: BillingLedger, desk: Desk) -> None:
    device_id, service_id = billed(world, ledger)
    request = AssociationRequest(
        PickedDevices(pack([device_id])), "10482", create_billing_service=True, effective_date=TODAY
    )
    assert [finding.code for finding in desk.check(request).findings] == ["BILLED_TO_ANOTHER"]
    reread(desk, device_id)
    assert desk.check(request).blocked == 1
    ledger.disconnect(service_id)
    reread(desk, device_id)
    assert (desk.check(request).ready, desk.check(request).blocked) == (1, 0)


def test_again_it_finds_nothing_to_do(world: World, ledger: BillingLedger, desk: Desk) -> None:
    device_id, service_id = billed(world, ledger)
    ledger.disconnect(service_id)
    reread(desk, device_id)
    asked = ledger.searches
    assert reread(desk, device_id) == Reread()
    assert ledger.searches == asked
    assert (len(world.rows(device_history)), len(world.rows(audit_entry))) == (1, 1)


def test_the_same_sim_elsewhere_is_told(world: World, ledger: BillingLedger, desk: Desk) -> None:
    device_id, service_id = billed(world, ledger)
    twin = world.device(iccid=world.iccid_of(device_id), service_provider_id=HARBOR)
    ledger.disconnect(service_id)
    reread(desk, device_id)
    (told,) = world.rows(cross_provider_device_history)
    assert (told.device_id, told.matched_by) == (twin, "iccid")


def test_in_another_operators_name(world: World, ledger: BillingLedger) -> None:
    device_id, service_id = billed(world, ledger, NORTHWIND)
    ledger.disconnect(service_id)
    reread(desk_on(world.store, "limited", acting="admin", ledger=ledger), device_id)
    (audited,) = world.rows(audit_entry)
    assert (audited.operator_login, audited.acting_login) == ("limited", "admin")
    assert audited.subject == world.iccid_of(device_id)
    assert world.rows(device_history)[0].operator_login == "limited"


# --- what is only told -----------------------------------------------------------------------------------------------


def test_what_billing_does_not_list_stays_active(world: World, ledger: BillingLedger, desk: Desk) -> None:
    device_id, service_id = billed(world, ledger)
    del ledger.services[service_id]
    answer = reread(desk, device_id)
    assert says(answer) == {service_id: AtBilling.ABSENT}
    assert not answer.is_whole
    assert world.rows(billing_service)[0].is_active
    assert world.rows(device_history) == []
    assert world.rows(audit_entry)[0].detail["absent"] == [service_id]


def test_a_customer_without_an_id_at_billing_cannot_be_asked_for(
    world: World, ledger: BillingLedger, desk: Desk
) -> None:
    device_id, service_id = billed(world, ledger)
    world.change(customer, FABRIKAM, billing_customer_id=None)
    assert says(reread(desk, device_id)) == {service_id: AtBilling.ABSENT}
    assert ledger.searches == 0


@pytest.mark.parametrize("finds_by_number", [True, False])
def test_what_billing_has_besides_is_told_and_not_adopted(
    world: World, ledger: BillingLedger, desk: Desk, finds_by_number: bool
) -> None:
    ledger.finds_by_number = finds_by_number
    device_id, service_id = billed(world, ledger)
    number = world.rows(device)[0].msisdn
    ledger.disconnect(service_id)
    ledger.add_service("99001", "501", number)
    ledger.add_service("99002", "501", number)
    ledger.disconnect("99002")
    ledger.add_service("99003", "501", "15550000000")  # another number
    answer = reread(desk, device_id)
    assert says(answer) == {service_id: AtBilling.ENDED}
    assert answer.orphans == (OrphanService(world.iccid_of(device_id), "99001", number, ""),)
    assert len(world.rows(billing_service)) == 1
    assert world.rows(audit_entry)[0].detail["orphans"] == ["99001"]


def test_another_active_service_of_the_device_is_no_orphan(world: World, ledger: BillingLedger, desk: Desk) -> None:
    device_id, service_id = billed(world, ledger)
    number = world.rows(device)[0].msisdn
    world.service(device_id, FABRIKAM, service_id="99001", number=number)
    ledger.add_service("99001", "501", number)
    ledger.disconnect(service_id)
    answer = reread(desk, device_id)
    assert says(answer) == {service_id: AtBilling.ENDED, "99001": AtBilling.ACTIVE}
    assert answer.orphans == ()


# --- how billing is asked --------------------------------------------------------------------------------------------


def test_where_billing_cannot_search_each_customer_is_read_once(
    world: World, ledger: BillingLedger, desk: Desk
) -> None:
    ledger.finds_by_number = False
    theirs = [billed(world, ledger) for _ in range(5)]
    ours = [billed(world, ledger, NORTHWIND) for _ in range(3)]
    for _, service_id in (theirs[0], ours[0]):
        ledger.disconnect(service_id)
    answer = reread(desk, *(device_id for device_id, _ in [*theirs, *ours]))
    assert ledger.searches == 2
    assert {one.service_id for one in answer.services if one.at_billing is AtBilling.ENDED} == {
        theirs[0][1], ours[0][1],
    }  # fmt: skip
    assert answer.count(AtBilling.ACTIVE) == 6


def test_every_call_is_taken_from_the_governor(world: World, ledger: BillingLedger) -> None:
    devices = [billed(world, ledger)[0] for _ in range(3)]
    gateway = OneLedger(ledger)
    waits = iter([0.0, 0.5, 0.3, 0.0, 0.0])
    gateway.limit.try_take = lambda calls=1: next(waits)  # type: ignore[method-assign]
    slept: list[float] = []
    reread_billing(Seat(world.store, "admin"), gateway, PickedDevices(pack(devices)), sleep=slept.append)
    assert next(waits, None) is None
    assert sum(slept) == pytest.approx(0.8)


def ask(world: World, gateway: OneLedger, device_id: int, cancelled: Callable[[], bool] = never) -> Reread:
    seat, devices = Seat(world.store, "admin"), PickedDevices(pack([device_id]))
    return reread_billing(seat, gateway, devices, cancelled, sleep=lambda _seconds: None)


def test_a_busy_billing_is_asked_again(world: World, ledger: BillingLedger) -> None:
    device_id, service_id = billed(world, ledger)
    ledger.no_answers += [ServiceLookup(LookupVerdict.RETRY, retry_after_s=7.0), ServiceLookup(LookupVerdict.RETRY)]
    gateway = OneLedger(ledger)
    assert says(ask(world, gateway, device_id)) == {service_id: AtBilling.ACTIVE}
    assert (ledger.searches, gateway.limit.back_offs) == (3, [7.0])


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda gateway: setattr(gateway.ledger, "is_there", False), "BILLING_UNREACHABLE"),
        (lambda gateway: gateway.ledger.no_answers.extend([ServiceLookup(LookupVerdict.RETRY)] * 3), "BILLING_BUSY"),
        (lambda gateway: setattr(gateway.limit, "wait_s", 3_600.0), "BILLING_QUOTA_USED_UP"),
        (lambda gateway: setattr(gateway.limit, "wait_s", 0.4), "BILLING_QUOTA_USED_UP"),  # others are always faster
    ],
)
def test_a_fault_changes_nothing(
    world: World, ledger: BillingLedger, spoil: Callable[[OneLedger], None], code: str
) -> None:
    device_id, service_id = billed(world, ledger)
    ledger.disconnect(service_id)
    gateway = OneLedger(ledger)
    spoil(gateway)
    with pytest.raises(EnvironmentFault) as fault:
        ask(world, gateway, device_id)
    assert fault.value.code == code
    assert "Nothing was changed." in fault.value.message
    assert world.rows(billing_service)[0].is_active
    assert world.rows(audit_entry) == []


def test_cancelled_it_changes_nothing(world: World, ledger: BillingLedger) -> None:
    device_id, service_id = billed(world, ledger)
    ledger.disconnect(service_id)
    with pytest.raises(Cancelled):
        ask(world, OneLedger(ledger), device_id, lambda: True)
    assert (ledger.searches, world.rows(audit_entry)) == (0, [])


def test_a_credential_that_is_not_in_use(world: World, ledger: BillingLedger, desk: Desk) -> None:
    device_id, _service_id = billed(world, ledger)
    world.change(billing_credential, CREDENTIAL, is_active=False)
    with pytest.raises(EnvironmentFault, match="'Main', which is not in use any more") as fault:
        reread(desk, device_id)
    assert fault.value.code == "BILLING_CREDENTIAL_CLOSED"


# --- jobs ------------------------------------------------------------------------------------------------------------


def take_in_hand(world: World, device_id: int) -> str:
    """Puts the device into an open work order of a new job; the job's number."""
    seat = Seat(world.store, "admin")
    request = AssociationRequest(PickedDevices(pack([device_id])), "20317", effective_date=TODAY)
    return submit_request(seat, request, check_request(seat, request).fingerprint, "key-1").tracking_number


def test_a_device_in_an_open_work_order_is_left_alone(world: World, ledger: BillingLedger, desk: Desk) -> None:
    device_id, service_id = billed(world, ledger)
    ledger.disconnect(service_id)
    number = take_in_hand(world, device_id)
    answer = reread(desk, device_id)
    assert says(answer) == {service_id: AtBilling.IN_WORK}
    assert answer.services[0].tracking_number == number
    assert ledger.searches == 0
    assert world.rows(billing_service)[0].is_active

    world.finish_job("failed", **{f"d{device_id}": "failed"})
    assert says(reread(desk, device_id)) == {service_id: AtBilling.ENDED}


def test_a_job_that_begins_while_billing_is_asked_wins(world: World, ledger: BillingLedger) -> None:
    device_id, service_id = billed(world, ledger)
    free, free_service = billed(world, ledger)
    for one in (service_id, free_service):
        ledger.disconnect(one)
    gateway = OneLedger(ledger)
    numbers: list[str] = []

    def take(calls: int = 1) -> float:
        if not numbers:
            numbers.append(take_in_hand(world, device_id))
        return 0.0

    gateway.limit.try_take = take  # type: ignore[method-assign]
    answer = reread_billing(Seat(world.store, "admin"), gateway, PickedDevices(pack([device_id, free])))
    assert says(answer) == {service_id: AtBilling.IN_WORK, free_service: AtBilling.ENDED}
    assert answer.services[0].tracking_number == numbers[0]
    assert [service.is_active for service in world.rows(billing_service)] == [True, False]
    assert world.rows(work_order)[0].state == "queued"
    assert [fact.device_id for fact in world.rows(device_history)] == [free]


def test_reread_by_two_at_once_it_is_ended_once(world: World, ledger: BillingLedger) -> None:
    device_id, service_id = billed(world, ledger)
    ledger.disconnect(service_id)
    gateway = OneLedger(ledger)
    both_have_asked = threading.Barrier(2, timeout=60)

    def take(calls: int = 1) -> float:
        both_have_asked.wait()
        return 0.0

    gateway.limit.try_take = take  # type: ignore[method-assign]
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(ask, world, gateway, device_id) for _ in range(2)]
    assert [says(answer.result()) for answer in answers] == [{service_id: AtBilling.ENDED}] * 2
    assert len(world.rows(device_history)) == 1
    assert sorted(entry.detail["ended"] for entry in world.rows(audit_entry)) == [[], [service_id]]


# --- rights, and which devices ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("login", ["limited", "viewer"])
def test_nobody_rereads_for_a_customer_without_the_right(world: World, ledger: BillingLedger, login: str) -> None:
    device_id, _service_id = billed(world, ledger)
    with pytest.raises(RequestRefused) as refused:
        reread(desk_on(world.store, login, ledger=ledger), device_id)
    assert refused.value.code == "NOT_PERMITTED"
    assert ledger.searches == 0


def test_what_is_permitted_is_reread_and_the_rest_is_counted(world: World, ledger: BillingLedger) -> None:
    ours, our_service = billed(world, ledger, NORTHWIND)
    theirs, their_service = billed(world, ledger)
    world.put(operator_grant, {"operator_id": 71, "right": "view", "customer_id": FABRIKAM})
    for one in (our_service, their_service):
        ledger.disconnect(one)
    answer = reread(desk_on(world.store, "limited", ledger=ledger), ours, theirs)
    assert says(answer) == {our_service: AtBilling.ENDED}
    assert (answer.not_permitted, answer.is_whole) == (1, False)
    assert [service.is_active for service in world.rows(billing_service)] == [False, True]


def test_devices_by_line_by_filter_and_without_services(world: World, ledger: BillingLedger, desk: Desk) -> None:
    device_id, service_id = billed(world, ledger)
    twin = world.device(iccid=world.iccid_of(device_id), service_provider_id=HARBOR)
    twins = world.service(twin, ALPINE)
    bare = world.device()
    both = {service_id, f"S{twins}"}
    lines = AskedLines((world.iccid_of(device_id), iccid(777), "", world.iccid_of(bare)))
    assert set(says(desk.reread_billing(lines))) == both
    assert set(says(desk.reread_billing(FilteredDevices(DeviceFilter())))) == both
    without = FilteredDevices(DeviceFilter(), pack([twin]))
    assert set(says(desk.reread_billing(without))) == {service_id}
    assert reread(desk, bare) == Reread()
    with pytest.raises(RequestRefused):
        desk.reread_billing(AskedLines(("8.90126E+18",)))


def test_too_many_devices_are_refused_before_billing_is_asked(world: World, ledger: BillingLedger, desk: Desk) -> None:
    device_id, _service_id = billed(world, ledger)
    others = range(900_001, 900_001 + MOST_REREAD - 1)
    assert len(reread(desk, device_id, *others, device_id).services) == 1
    asked = ledger.searches
    with pytest.raises(RequestRefused, match="501 devices are too many to re-read at once") as refused:
        reread(desk, device_id, *others, 1)
    assert refused.value.code == "TOO_MANY_TO_REREAD"
    assert ledger.searches == asked

"""What the engine promises, looked at from outside: the database against the billing company's own ledger."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import Any

from sqlalchemy import Dialect, func, select

from db.integrity import Violation, _the_rules, check
from db.schema import device_ownership, job, outbox_event, scheduled_plan_change, work_order, work_order_step
from desktop_app.association.model import Proof, Proofs
from desktop_app.association.states import BILLING_STEPS, FINAL_JOBS, FINAL_WORK_ORDERS, SETTLED_STEPS, Step, StepState
from desktop_app.desk.jobs import LocalJobs
from desktop_app.desk.seat import Seat
from tests.helpers.jobs import COUNTERS
from tests.helpers.owners import Owners
from tests.helpers.virtual_time import LaggingLedger
from tests.helpers.world import World

#: A link follows its service at the end of its job.
_UNTIL_FINISHED = {"SERVICE_WITHOUT_LINK", "LINK_WITHOUT_SERVICE"}


#: Between two whole checks only the rules of the rows are looked at, which is ten times faster.
_WHOLE_CHECK_EVERY = 25


@cache
def _questions(dialect: Dialect) -> tuple[tuple[str, str], ...]:
    """For each rule of the check its code, and a query for how many rows break it and one of them."""
    questions = []
    for rule in _the_rules():
        broken = rule.broken.subquery("broken")
        statement = select(func.count(), func.min(broken.c.example)).select_from(broken)
        text = str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
        questions.append((rule.code, text.replace("%", "%%") if dialect.paramstyle in {"format", "pyformat"} else text))
    return tuple(questions)


class Promises:
    """Remembers what was there, and fails where something was lost or made twice.

    Attributes:
        jobs: their rows as of the last look.
        orders: the work orders' rows, by handle.
        owners: who owns the devices.
    """

    def __init__(self, world: World, ledger: LaggingLedger) -> None:
        self._world = world
        self._ledger = ledger
        self.jobs: list[Any] = []
        self.orders: dict[int, Any] = {}
        self.owners = Owners(world)
        self._order_of_reference: dict[str, int] = {}
        self._steps: dict[int, dict[str, Any]] = {}
        self._looks = 0

    # --- after every step --------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Everything that holds at every moment.

        Raises:
            AssertionError: it does not.
        """
        with self._world.store.read() as uow:
            orders = {row.id: row for row in uow.connection.execute(select(work_order).order_by(work_order.c.id))}
            jobs = self.jobs = list(uow.connection.execute(select(job).order_by(job.c.id)))
            today = uow.today()
            steps: dict[int, dict[str, Any]] = defaultdict(dict)
            for row in uow.connection.execute(select(work_order_step)):
                steps[row.work_order_id][row.step] = row
        self._nothing_vanished(orders)
        self._steps = steps
        self._counters_equal_rows(jobs, orders)
        self._nothing_was_made_twice()
        self._what_is_done_is_in_the_ledger(orders)
        changed = {row.job_id for key, row in orders.items() if row != self.orders.get(key)}
        self.orders = orders
        self.owners.look(jobs, orders.values(), today)
        for row in jobs:
            if row.id in changed:
                self._proofs_say_what_is_there(row)
        self._looks += 1
        broken = self._broken_rules() if self._looks % _WHOLE_CHECK_EVERY else check(self._world.store)
        if any(row.state not in FINAL_JOBS for row in jobs):
            broken = tuple(one for one in broken if one.code not in _UNTIL_FINISHED)
        assert not broken, broken

    def _broken_rules(self) -> tuple[Violation, ...]:
        """What :func:`db.integrity.check` says of the rows; its questions are put together only once."""
        with self._world.store.read() as uow:
            found = [
                (code, *uow.connection.exec_driver_sql(question).one())
                for code, question in _questions(uow.connection.dialect)
            ]
        return tuple(Violation(code, "", rows, str(example), "") for code, rows, example in found if rows)

    def _nothing_vanished(self, orders: dict[int, Any]) -> None:
        for key, before in self.orders.items():
            now = orders[key]
            assert now.line == before.line
            assert now.job_id == before.job_id
            assert now.lease_epoch >= before.lease_epoch
            if before.state == "succeeded":
                assert now.state == "succeeded"
        for row in orders.values():
            if row.reference:
                assert self._order_of_reference.setdefault(row.reference, row.id) == row.id

    def _counters_equal_rows(self, jobs: list[Any], orders: dict[int, Any]) -> None:
        for row in jobs:
            states = [order.state for order in orders.values() if order.job_id == row.id]
            assert {name: row._mapping[name] for name in COUNTERS} == {name: states.count(name) for name in COUNTERS}
            assert row.total == len(states)

    def _nothing_was_made_twice(self) -> None:
        """At most one service for each work order, under whatever reference, and one product for each of its plans."""
        made: dict[tuple[int, str], list[str]] = defaultdict(list)
        for billing_id, service in self._ledger.services.items():
            if service.reference:
                made[self._order_of_reference[service.reference], Step.BILLING_SERVICE].append(billing_id)
        for billing_id, product in self._ledger.products.items():
            reference, _, plan = product.reference.rpartition("-")
            made[self._order_of_reference[reference], plan].append(billing_id)
        twice = {of: ids for of, ids in made.items() if len(ids) > 1}
        assert not twice, f"made twice: {twice}"

    def _what_is_done_is_in_the_ledger(self, orders: dict[int, Any]) -> None:
        for key, steps in self._steps.items():
            for step in BILLING_STEPS:
                row = steps.get(step)
                if row is None or row.state != StepState.DONE:
                    continue
                book = self._ledger.services if step is Step.BILLING_SERVICE else self._ledger.products
                made = book.get(row.billing_id)
                assert made is not None, f"{step} of work order {key} is done as {row.billing_id}, which nobody made"
                assert made.reference.startswith(orders[key].reference)

    def _proofs_say_what_is_there(self, row: Any) -> None:
        details = LocalJobs(Seat(self._world.store, "admin")).work_order_details(row.tracking_number)
        orders = {order.line: order for order in self.orders.values() if order.job_id == row.id}
        assert len(details) == len(orders)
        for detail in details:
            self._one(orders[detail.work_order.line], detail.proofs)

    def _one(self, order: Any, proofs: Proofs) -> None:
        steps = self._steps.get(order.id, {})
        is_done = order.state == "succeeded"
        assert proofs.processing_completed is (Proof.YES if is_done else Proof.NO)
        if is_done:
            missing = {name for name in proofs.__slots__ if getattr(proofs, name) is Proof.NO}
            assert not missing, f"work order {order.id} succeeded without {missing}"
        services = [one for one in self._ledger.services.values() if one.reference and one.reference == order.reference]
        if proofs.billing_service_created is Proof.YES:
            assert services, f"the service of work order {order.id} is proved, and not there"
        if proofs.rate_plans_assigned in {Proof.YES, Proof.SCHEDULED}:
            for step in BILLING_STEPS[1:]:
                if step in steps:
                    assert steps[step].state in SETTLED_STEPS
        if proofs.ownership_updated is not Proof.NO:
            owned = self._world.rows(device_ownership, device_id=order.device_id)
            assert owned, f"the ownership of work order {order.id} is proved, and not there"

    # --- at the end --------------------------------------------------------------------------------------------------

    def look_at_the_end(self) -> None:
        """What holds once nothing moves any more: nothing lost, nothing twice.

        The whole check of the database is the caller's.

        Raises:
            AssertionError: it does not.
        """
        self.look()
        assert self._broken_rules() == ()
        self.owners.look_at_the_end()
        undecided = set()
        for order in self.orders.values():
            if order.state == "outcome_unknown":
                assert order.error_code, f"work order {order.id} is unknown without a reason"
                assert order.check_at is None
                undecided.add(order.job_id)
            else:
                assert order.state in FINAL_WORK_ORDERS, f"work order {order.id} is {order.state} for ever"
        for row in self._world.rows(job):
            assert row.state in FINAL_JOBS or row.id in undecided, f"job {row.id} is {row.state} for ever"
        self._what_is_in_the_ledger_is_known()
        assert {event.state for event in self._world.rows(outbox_event)} <= {"sent"}
        assert not self._world.rows(scheduled_plan_change, state="pending")
        assert not self._world.rows(device_ownership, state="scheduled", is_deleted=False)

    def _what_is_in_the_ledger_is_known(self) -> None:
        for billing_id, service in self._ledger.services.items():
            if service.reference:
                self._is_known(self._order_of_reference[service.reference], Step.BILLING_SERVICE, billing_id)
        for billing_id, product in self._ledger.products.items():
            reference, _, plan = product.reference.rpartition("-")
            step = Step.CARRIER_PLAN_PRODUCT if plan == "carrier" else Step.CUSTOMER_PLAN_PRODUCT
            self._is_known(self._order_of_reference[reference], step, billing_id)

    def _is_known(self, order_id: int, step: Step, billing_id: str) -> None:
        row = self._steps[order_id].get(step)
        assert row is not None, f"{step} of work order {order_id} was made as {billing_id}, and is lost"
        if self.orders[order_id].state == "outcome_unknown" and row.state == StepState.UNKNOWN:
            return
        assert (row.state, row.billing_id) == (StepState.DONE, billing_id), f"{step} of {order_id} is lost: {row}"

"""A model of who owns each device: told from what was asked and has succeeded, and compared with the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date
from typing import Any, NamedTuple

from db.schema import device_history, device_ownership, scheduled_plan_change
from desktop_app.association.model import OwnershipAction
from tests.helpers.world import World


class Owner(NamedTuple):
    """Handles of a customer and of its site."""

    customer_id: int
    site_id: int | None


class Owners:
    """Remembers who owns what.

    Attributes:
        stands: device → who owns it now.
        to_come: device → from when it is whose; by then the change may not have been made yet.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._told: set[int] = set()
        self.stands, self.to_come = self._in_the_database()
        self._changes_before = self._settled_changes()

    def look(self, jobs: Iterable[Any], orders: Iterable[Any], today: date) -> None:
        """Takes in what has succeeded since the last look.

        Args:
            jobs, orders: all rows of the jobs, and of their work orders.
            today: business date.

        Raises:
            AssertionError: the database has another owner for a device.
        """
        job_of = {row.id: row for row in jobs}
        done = [row for row in orders if row.state == "succeeded" and row.id not in self._told]
        for row in sorted(done, key=lambda row: row.completed_at):
            self._told.add(row.id)
            self._succeeded(row, Owner(job_of[row.job_id].customer_id, job_of[row.job_id].site_id))
        stands, to_come = self._in_the_database()
        for device, (since, owner) in list(self.to_come.items()):
            if device not in to_come:
                assert since <= today, f"device {device} changed hands before its day, {since}"
                self.stands[device] = owner
                del self.to_come[device]
        assert stands == self.stands
        assert to_come == self.to_come

    def look_at_the_end(self) -> None:
        """Whatever was to come has come; each plan change was applied, or dropped with its ownership, and is told once.

        Raises:
            AssertionError: it is not so.
        """
        assert not self.to_come
        ended = {row.id for row in self._world.rows(device_ownership, state="ended")}
        dropped = self._world.rows(scheduled_plan_change, state="cancelled")
        assert {row.device_ownership_id for row in dropped} <= ended, "a change was dropped, and its owner still stands"
        told = Counter(
            (row.device_id, row.event)
            for row in self._world.rows(device_history)
            if row.event in {"plan_change_applied", "plan_change_dropped"}
        )
        assert told == self._settled_changes() - self._changes_before

    def _succeeded(self, order: Any, owner: Owner) -> None:
        action = OwnershipAction(order.ownership_action)
        before = self.stands.get(order.device_id)
        match action:
            case OwnershipAction.ASSIGN:
                assert before is None
            case OwnershipAction.KEEP:
                assert before == owner
                return
            case OwnershipAction.MOVE:
                assert before is not None
                assert before.customer_id == owner.customer_id
            case OwnershipAction.REASSIGN:
                assert before is not None
                assert before.customer_id != owner.customer_id
        if order.effective_date <= order.completed_at.date():
            self.stands[order.device_id] = owner
        else:
            self.to_come[order.device_id] = (order.effective_date, owner)

    def _in_the_database(self) -> tuple[dict[int, Owner], dict[int, tuple[date, Owner]]]:
        stands: dict[int, Owner] = {}
        to_come: dict[int, tuple[date, Owner]] = {}
        for row in self._world.rows(device_ownership, is_deleted=False):
            owner = Owner(row.customer_id, row.site_id)
            if row.state == "active":
                assert row.device_id not in stands, f"two owners of device {row.device_id}"
                stands[row.device_id] = owner
            elif row.state == "scheduled":
                to_come[row.device_id] = (row.effective_from, owner)
        return stands, to_come

    def _settled_changes(self) -> Counter[tuple[int, str]]:
        names = {"applied": "plan_change_applied", "cancelled": "plan_change_dropped"}
        rows = self._world.rows(scheduled_plan_change)
        return Counter((row.device_id, names[row.state]) for row in rows if row.state in names)

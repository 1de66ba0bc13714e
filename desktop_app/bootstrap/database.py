"""The database: opened fit for this program, created, filled, checked; and who sits before it."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from desktop_app.association.errors import EnvironmentFault, RequestRefused
from desktop_app.bootstrap.database_password import connect_url

if TYPE_CHECKING:
    from db.demo.generate import Generated
    from db.integrity import Violation
    from db.maintenance import Upgraded
    from db.restoring import AfterRestore
    from db.unit_of_work import Store, UnitOfWork
    from desktop_app.desk.seat import Seat
    from desktop_app.settings import Settings


@contextmanager
def open_store(
    settings: Settings, notices: list[str], *, makes_one: bool = True, on_wait: Callable[[], None] | None = None
) -> Iterator[Store]:
    """The database, fit for this program; closed in the end.

    The embedded default is created where there is none, and brought up to date (copied first) where it is old; whoever
    starts the program on it first becomes its administrator. Any other database is only used as it is.

    Args:
        notices: what a person should be told is added here.
        makes_one: False: the embedded default is not created either.
        on_wait: see :attr:`db.unit_of_work.Store.on_wait`.

    Raises:
        EnvironmentFault: missing, too old, too new, damaged, locked, unreachable; it says what to do.
    """
    from db import maintenance
    from db.unit_of_work import Store

    with Store(connect_url(settings), pool_size=max(8, min(settings.workers, 16))) as store:
        store.on_wait = on_wait
        if settings.uses_embedded_default:
            if not makes_one:
                _refuse_nothing(settings)
            _make_folder(settings.data_dir)
            done = maintenance.upgrade(store)
            if done.before is None:
                notices.append(f"A new database was made: {settings.database_shown}")
            elif done.before != done.after:
                notices.append(f"The database was brought up to date; its copy from before is {done.backup_path}")
            _see_to_administrator(store, notices)
        else:
            maintenance.require_current(store)
        yield store


def _refuse_nothing(settings: Settings) -> None:
    """A mistyped folder must not become a new database, of which is then said that it does not know the customer."""
    if not (settings.data_dir / "desk.db").exists():
        raise EnvironmentFault(
            "DATABASE_MISSING",
            f"There is no database in the data folder {settings.data_dir}.",
            "Check --data-dir and DATA_DIR. To begin with a new database, open the desktop once or use: db upgrade",
        )


def upgrade_database(settings: Settings, on_wait: Callable[[], None] | None = None) -> tuple[Upgraded, list[str]]:
    """Creates the database or brings it up to date. Who creates it becomes its administrator.

    Raises:
        EnvironmentFault: it is newer than this program, another program's, damaged, locked or unreachable.
    """
    from db import maintenance
    from db.unit_of_work import Store

    notices: list[str] = []
    if settings.uses_embedded_default:
        _make_folder(settings.data_dir)
    with Store(connect_url(settings)) as store:
        store.on_wait = on_wait
        done = maintenance.upgrade(store)
        if done.before is None or settings.uses_embedded_default:
            _see_to_administrator(store, notices)
    return done, notices


def make_demo_data(
    settings: Settings, devices: int, customers: int | None = None, *, only_if_empty: bool = False
) -> tuple[Generated | None, list[str]]:
    """Fills an empty database with demo data, creating it where it is missing.

    Args:
        only_if_empty: where there are devices already, do nothing and give None.

    Raises:
        RequestRefused: there are devices in it already.
    """
    from db import browse_devices, maintenance
    from db.demo.generate import generate
    from db.unit_of_work import Store

    notices: list[str] = []
    if settings.uses_embedded_default:
        _make_folder(settings.data_dir)
    with Store(connect_url(settings)) as store:
        maintenance.upgrade(store)
        with store.read() as uow:
            is_empty = not browse_devices.any_device(uow)
        if not is_empty and only_if_empty:
            return None, notices
        made = generate(store, devices, customers=customers)
        _see_to_administrator(store, notices)
    return made, notices


def check_database(settings: Settings) -> tuple[Violation, ...]:
    """What is wrong in the database, and what would be better otherwise; empty: it is sound. Changes nothing.

    Raises:
        EnvironmentFault: there is no database, or it cannot be reached.
    """
    from db import integrity
    from db.unit_of_work import Store

    with Store(connect_url(settings)) as store:
        return integrity.check(store)


def restored_database(settings: Settings, operator: str | None) -> AfterRestore:
    """Tells the database that it is a restored backup, see :func:`desktop_app.desk.restoring.after_restore`.

    Raises:
        RequestRefused: the operator is no administrator.
        EnvironmentFault: the database cannot be used, or the backup is damaged too.
    """
    from db import maintenance
    from desktop_app.desk.restoring import after_restore

    with open_store(settings, [], makes_one=False) as store:
        maintenance.require_sound(store)
        return after_restore(take_seat(store, operator), settings.billing_settle_s)


def _see_to_administrator(store: Store, notices: list[str]) -> None:
    """The user of this machine becomes administrator of a database that has none."""
    from db import operators

    with store.read() as uow:  # nearly always there is one: looking must not wait for somebody who writes
        if operators.has_administrator(uow):
            return
    login = os_user()

    def add(uow: UnitOfWork) -> bool | None:
        return None if operators.has_administrator(uow) else operators.add_administrator(uow, login, login)

    became = store.run(add)
    if became:
        notices.append(f"You ({login}) are the administrator of this database.")
    elif became is False:
        notices.append(
            f"This database has no active administrator, and the operator {login} is not active in it. Whoever looks "
            "after the database has to set is_active and is_administrator of an operator."
        )


def os_user() -> str:
    """Who uses this machine, as the operating system says it; case-folded."""
    try:
        return getpass.getuser().casefold()
    except (OSError, KeyError, ImportError):  # a container without a name for its user
        return f"user-{os.getuid()}" if hasattr(os, "getuid") else "user"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(
            "DATA_DIR_UNUSABLE",
            f"The data folder {folder} cannot be made ({error.strerror or type(error).__name__}).",
            "Name another one with --data-dir or DATA_DIR.",
        ) from error


# --- who sits before it ----------------------------------------------------------------------------------------------


def take_seat(store: Store, operator: str | None) -> Seat:
    """The user of this machine, or the operator that an administrator acts for; that is written down.

    Raises:
        RequestRefused: there is no such operator, or the user may not act for others.
    """
    from db import operators
    from desktop_app.desk.seat import Seat, operator_unknown

    user = os_user()
    if operator is None or operator.casefold() == user:
        with store.read() as uow:
            if operators.find(uow, user) is None:
                raise operator_unknown(user)
        return Seat(store, user)

    def act_for(uow: UnitOfWork) -> str:
        me, other = operators.find(uow, user), operators.find(uow, operator)
        if me is None or not me.is_administrator:
            raise RequestRefused(
                "MAY_NOT_ACT_FOR_OTHERS",
                f"You ({user}) may not act for another operator: only an administrator may.",
                "Leave out --operator, or ask an administrator.",
            )
        if other is None:
            raise operator_unknown(operator)
        operators.audit(uow, other, user, "act_for", other.login)
        return other.login

    return Seat(store, store.run(act_for), acting=user)

"""A desk before a database, and the engine behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from desktop_app import __version__
from desktop_app.bootstrap.billing import Billing, notifier
from desktop_app.bootstrap.database import open_store, take_seat
from desktop_app.settings import BillingKind, Settings

if TYPE_CHECKING:
    from db.unit_of_work import Store
    from desktop_app.desk.administration import Installation
    from desktop_app.desk.seat import Seat
    from desktop_app.engine.engine import Engine
    from desktop_app.engine.pool import Pool


class Opened:
    """What was opened.

    Attributes:
        desk: to work at.
        notices: what a person should be told, such as that a database was made.
        store: the database.
        billing: the billing companies.
    """

    def __init__(
        self, settings: Settings, store: Store, seat: Seat, notices: list[str], engine_kind: str | None
    ) -> None:
        """Starts nothing.

        Args:
            engine_kind: of the engine that may be started here: ``desktop``, ``work``, ``wait``; None: none may.
        """
        from desktop_app.desk.local import LocalDesk

        self.store = store
        self.notices = notices
        self.billing = Billing(settings, store)
        self._settings = settings
        self._engine_kind = engine_kind
        self._engine: Engine | None = None
        self._collector = ExitStack()
        installation = _installation(settings, runs_engine=engine_kind is not None)
        self.desk = LocalDesk(seat, installation, billing=self.billing, wake=self._wake, close=self.close)

    def start_engine(self) -> None:
        """Starts the engine of this process.

        Raises:
            EnvironmentFault: the database cannot be used.
        """
        from desktop_app.engine.engine import Engine, EngineConfig
        from desktop_app.engine.interpreter import collector_spares_the_program

        settings, kind = self._settings, self._engine_kind
        assert kind is not None, "opened without an engine"
        engine = Engine(
            self.store,
            self.billing,
            _pool(kind, settings.workers),
            EngineConfig(
                kind=kind,
                timeout_s=settings.billing_timeout_s,
                settle_s=settings.billing_settle_s,
                lease_s=settings.lease_s,
                lookup_first=settings.billing_lookup_first,
            ),
            send=notifier(settings),
        )
        self._engine = engine  # before it starts: where that is interrupted, what has begun is stopped too
        engine.start()
        if kind != "desktop":
            self._collector.enter_context(collector_spares_the_program())

    def stop_engine(self) -> None:
        """Stops it: what is in flight is finished first, everything else stays in the queue."""
        engine, self._engine = self._engine, None
        if engine is not None:
            try:
                engine.stop()
            finally:
                self._collector.close()

    def is_idle(self) -> bool:
        """Whether no job has anything left that an engine could do, now or later."""
        from db import engine_rows

        with self.store.read() as uow:
            return engine_rows.is_idle(uow, announces=bool(self._settings.notify_url))

    def close(self) -> None:
        """Stops the engine and closes every connection to billing."""
        self.stop_engine()
        self.billing.close()

    def _wake(self) -> None:
        engine = self._engine
        if engine is not None:
            engine.wake()


def _pool(kind: str, workers: int) -> Pool:
    """Where billing is called: the window has Qt's threads, everything else runs without Qt."""
    if kind == "desktop":
        from desktop_app.engine.qt_pool import QtPool

        return QtPool(workers)
    from desktop_app.engine.pool import ThreadPool

    return ThreadPool(workers)


@contextmanager
def open_desk(
    settings: Settings,
    *,
    operator: str | None = None,
    engine: str | None = None,
    makes_database: bool = True,
    on_wait: Callable[[], None] | None = None,
) -> Iterator[Opened]:
    """The database and a desk before it, closed in the end.

    Args:
        operator: login to act for; None: the user of this machine.
        engine: kind of the engine that may be started here: ``desktop``, ``work``, ``wait``; None: it only looks and
            submits.
        makes_database: whether the embedded default is created where there is none.
        on_wait: called where somebody else's use of the database is waited for longer than a moment.

    Raises:
        EnvironmentFault: the database cannot be used.
        RequestRefused: the user is no operator, or may not act for others.
    """
    notices: list[str] = []
    with open_store(settings, notices, makes_one=makes_database, on_wait=on_wait) as store:
        opened = Opened(settings, store, take_seat(store, operator), notices, engine)
        try:
            yield opened
        finally:
            opened.close()


def _installation(settings: Settings, *, runs_engine: bool) -> Installation:
    from desktop_app.desk.administration import Installation

    is_sandbox = settings.billing_kind is BillingKind.SANDBOX
    return Installation(
        environment="SANDBOX" if is_sandbox else "PRODUCTION",
        database=Path(settings.database_shown).name
        if settings.database_url.startswith("sqlite")
        else settings.database_shown,
        billing=settings.billing_url or ("the sandbox of this machine" if is_sandbox else ""),
        settings=_in_words(settings),
        runs_engine=runs_engine,
        version=__version__,
    )


def _in_words(settings: Settings) -> Mapping[str, str]:
    return {
        "data folder": str(settings.data_dir),
        "database": settings.database_shown,
        "billing": settings.billing_kind.value,
        "billing address": settings.billing_url or "started when needed",
        "billing time-out (s)": f"{settings.billing_timeout_s:g}",
        "workers": str(settings.workers),
        "lease (s)": f"{settings.lease_s:g}",
        "calls a minute": str(settings.rate_per_minute) if settings.rate_per_minute else "no limit",
        "calls a day": str(settings.rate_per_day) if settings.rate_per_day else "no limit",
        "notifications to": settings.notify_url or "nowhere",
        "log": str(settings.data_dir / "logs"),
    }

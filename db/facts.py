"""What is known of devices: identifiers or handles → a temporary table → one joined query → frozen facts.

The number of statements does not depend on the number of devices.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Column,
    FromClause,
    Integer,
    Select,
    Unicode,
    and_,
    false,
    func,
    literal_column,
    or_,
    select,
    true,
    type_coerce,
    union_all,
)
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import NullType

from db import device_filter
from db.cancelling import all_ids, cancellable
from db.schema import billing_service, customer, device, device_ownership, job, work_order
from db.temporary import lines_table
from db.types import Key
from desktop_app.association.errors import Cancelled
from desktop_app.association.facts import ActiveService, AskedDevice, DeviceFacts, ReadLine, Situation
from desktop_app.association.model import DeviceFilter, IdentifierKind
from desktop_app.association.states import OPEN_WORK_ORDERS

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

#: Rows that are fetched between two questions whether the caller still wants the answer.
_CHUNK = 10_000

_ICCID = IdentifierKind.ICCID
#: Which column of ``device`` an identifier is looked up in.
_COLUMNS: Mapping[IdentifierKind, ColumnElement[Any]] = {
    IdentifierKind.ICCID: device.c.iccid,
    IdentifierKind.IMEI: device.c.imei_14,
    IdentifierKind.MSISDN: device.c.msisdn,
    IdentifierKind.EID: device.c.eid,
}


def _is(column: ColumnElement[Any], *values: str) -> ColumnElement[bool]:
    """Compares with values that stand in the statement's text: only so a planner sees that a filtered index fits."""
    quoted: list[ColumnElement[Any]] = [literal_column(f"'{value}'") for value in values]
    return column == quoted[0] if len(quoted) == 1 else column.in_(quoted)


_owned = device_ownership.alias("owned")
_scheduled = device_ownership.alias("scheduled")
_previous = device_ownership.alias("previous")
_owner = customer.alias("owner")

_previous_end = (
    select(func.max(_previous.c.effective_to))
    .where(
        _previous.c.device_id == device.c.id,
        _is(_previous.c.state, "ended"),
        _previous.c.is_deleted == false(),
        or_(_owned.c.id.is_(None), _previous.c.customer_id != _owned.c.customer_id),
    )
    .correlate(device, _owned)
    .scalar_subquery()
)

#: In the order of the fields of :class:`DeviceFacts`, but for the situation; of :class:`Situation`, but for the
#: services; and of one :class:`ActiveService`.
_DEVICE = (
    device.c.id,
    device.c.iccid,
    device.c.imei,
    device.c.msisdn,
    device.c.eid,
    device.c.carrier_rate_plan_id,
    _owned.c.id,
    _owned.c.account_number,
    _owned.c.billing_credential_id,
    _owned.c.customer_rate_plan_id,
    _owned.c.data_limit_bytes,
    _owned.c.data_pool,
)
_SITUATION = (
    device.c.service_provider_id,
    device.c.status,
    device.c.activated_on,
    device.c.is_deleted,
    device.c.is_archived,
    _owned.c.customer_id,
    _owner.c.name,
    _owned.c.site_id,
    _owned.c.effective_from,
    _previous_end,
    _scheduled.c.effective_from,
    job.c.tracking_number,
)
_SERVICE = (
    billing_service.c.id,
    billing_service.c.customer_id,
    billing_service.c.billing_credential_id,
    billing_service.c.service_id,
    billing_service.c.work_order_id,
)
_FIRST_OF_SITUATION = 1 + len(_DEVICE)
_FIRST_OF_SERVICE = len(_SITUATION)  # within the part of the situation
assert len(_DEVICE) + 1 == len(DeviceFacts._fields)
assert len(_SITUATION) + 1 == len(Situation._fields)
assert len(_SERVICE) == len(ActiveService._fields)
#: A situation comes as the driver has it, and is converted once, not for each device of which it is the same.
_SELECTED = (*_DEVICE, *(type_coerce(column, NullType()) for column in (*_SITUATION, *_SERVICE)))

#: Tuples of their values: half the time of a call, which counts where there are a hundred thousand.
_device_facts: Callable[[Iterable[Any]], DeviceFacts] = partial(tuple.__new__, DeviceFacts)
_asked_device: Callable[[Iterable[Any]], AskedDevice] = partial(tuple.__new__, AskedDevice)


def _with_all_that_is_known(devices: FromClause) -> FromClause:
    """Joins what the facts are made of; only a device with several active services comes several times."""
    return (
        devices.outerjoin(
            _owned,
            and_(_owned.c.device_id == device.c.id, _is(_owned.c.state, "active"), _owned.c.is_deleted == false()),
        )
        .outerjoin(_owner, _owner.c.id == _owned.c.customer_id)
        .outerjoin(
            _scheduled,
            and_(
                _scheduled.c.device_id == device.c.id,
                _is(_scheduled.c.state, "scheduled"),
                _scheduled.c.is_deleted == false(),
            ),
        )
        .outerjoin(
            work_order,
            and_(
                work_order.c.device_id == device.c.id,
                work_order.c.device_id.is_not(None),
                _is(work_order.c.state, *_OPEN),
            ),
        )
        .outerjoin(job, job.c.id == work_order.c.job_id)
        .outerjoin(
            billing_service, and_(billing_service.c.device_id == device.c.id, billing_service.c.is_active == true())
        )
    )


#: In the order in which the filtered index names them: SQLite compares the two word by word.
_OPEN = ("queued", "running", "waiting_retry", "outcome_unknown")
assert set(_OPEN) == OPEN_WORK_ORDERS


class Facts:
    """One unit of work's view of devices."""

    def __init__(self, uow: UnitOfWork) -> None:
        self._uow = uow

    def asked(
        self, lines: Sequence[ReadLine], cancelled: Callable[[], bool], exact_on: Collection[int] = ()
    ) -> list[AskedDevice]:
        """Devices by identifiers that were read, in the lines' order.

        Args:
            exact_on: handles of service providers: where a device on one of them has exactly the ICCID of a line, its
                other readings (with and without its check digit) are other SIMs, and are not looked up.

        Raises:
            Cancelled: ``cancelled`` said so.
        """
        found: dict[int, tuple[DeviceFacts, ...]] = {}
        others = lines
        if exact_on:
            exact = [(line, identifier.value) for line, _text, identifier in lines if identifier.kind is _ICCID]
            found = self._read(_by_exact_iccid(self._uow, exact), cancelled) if exact else {}
            settled = {
                line
                for line, candidates in found.items()
                for one in candidates
                if one.situation.service_provider_id in exact_on
            }
            others = [line for line in lines if line.line not in settled]
        if others:
            found |= self._read(_by_identifier(self._uow, others), cancelled)
        return [_asked_device((*line, found.get(line[0], ()))) for line in lines]

    def picked(self, ids: Sequence[int], cancelled: Callable[[], bool]) -> list[AskedDevice]:
        """Devices by handle, numbered from 1 in this order; one that is gone has no candidate.

        Raises:
            Cancelled: ``cancelled`` said so.
        """
        table = lines_table(
            self._uow, "picked", (Column("line", Integer, primary_key=True), Column("id", Key)), enumerate(ids, 1)
        )
        statement = select(table.c.line, *_SELECTED).select_from(
            _with_all_that_is_known(table.join(device, device.c.id == table.c.id))
        )
        found = self._read(statement, cancelled)
        return [
            _asked_device((line, candidates[0].iccid if candidates else "", None, candidates))
            for line, candidates in ((line, found.get(line, ())) for line in range(1, len(ids) + 1))
        ]

    def filtered(
        self,
        wanted: DeviceFilter,
        minus: Collection[int],
        visible_customers: frozenset[int] | None,
        cancelled: Callable[[], bool],
    ) -> list[AskedDevice]:
        """Every device that the filter matches, but for ``minus`` and what is owned by a customer that is not visible.

        They are numbered from 1 by ICCID.

        Raises:
            Cancelled: ``cancelled`` said so.
        """
        without = frozenset(minus)
        statement = select(device.c.id).where(device_filter.matches(wanted)).order_by(device.c.iccid, device.c.id)
        ids = [key for key in all_ids(self._uow, statement, cancelled) if key not in without]
        asked = self.picked(ids, cancelled)
        if visible_customers is None:
            return asked
        seen = {None, *visible_customers}
        return [one for one in asked if one.candidates and one.candidates[0].situation.owner_id in seen]

    def _read(self, statement: Select[Any], cancelled: Callable[[], bool]) -> dict[int, tuple[DeviceFacts, ...]]:
        """Line → the devices that were found for it."""
        found: dict[int, tuple[DeviceFacts, ...]] = {}
        situations = _Situations(self._uow)
        with cancellable(self._uow, cancelled):
            result = self._uow.connection.execute(statement)
            while rows := result.fetchmany(_CHUNK):
                if cancelled():
                    raise Cancelled
                _fold(rows, found, situations)
        return found


class _Situations(dict[tuple[Any, ...], Situation]):
    """What the driver has of a situation → the situation, made when it is first met."""

    def __init__(self, uow: UnitOfWork) -> None:
        dialect = uow.connection.dialect
        processors = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in _SITUATION]
        self._converters = [processor or _as_it_is for processor in processors]

    def __missing__(self, raw: tuple[Any, ...]) -> Situation:
        service = raw[_FIRST_OF_SERVICE:]
        services = (ActiveService._make(service),) if service[0] is not None else ()
        values = [convert(value) for convert, value in zip(self._converters, raw, strict=False)]
        situation = self[raw] = Situation._make((*values, services))
        return situation


def _as_it_is(value: Any) -> Any:
    return value


def _fold(rows: Iterable[Sequence[Any]], found: dict[int, tuple[DeviceFacts, ...]], situations: _Situations) -> None:
    for row in rows:
        facts = _device_facts((*row[1:_FIRST_OF_SITUATION], situations[row[_FIRST_OF_SITUATION:]]))  # type: ignore[index]
        line = row[0]
        before = found.get(line)
        found[line] = (facts,) if before is None else _merged(before, facts)


def _merged(candidates: tuple[DeviceFacts, ...], facts: DeviceFacts) -> tuple[DeviceFacts, ...]:
    """The candidates and one more: another device, another service of one, or the same device by another reading."""
    for position, known in enumerate(candidates):
        if known.device_id == facts.device_id:
            services = tuple(sorted({*known.situation.services, *facts.situation.services}))
            merged = known._replace(situation=known.situation._replace(services=services))
            return (*candidates[:position], merged, *candidates[position + 1 :])
    return (*candidates, facts)


def _by_exact_iccid(uow: UnitOfWork, lines: Iterable[tuple[int, str]]) -> Select[Any]:
    """The facts of all devices that have exactly the ICCID of a line."""
    columns = (Column("line", Integer, primary_key=True), Column("iccid", Unicode(32)))
    asked = lines_table(uow, "exact", columns, lines)
    return select(asked.c.line, *_SELECTED).select_from(
        _with_all_that_is_known(asked.join(device, device.c.iccid == asked.c.iccid))
    )


def _by_identifier(uow: UnitOfWork, lines: Sequence[ReadLine]) -> Select[Any]:
    """The facts of all devices that any reading of any line names.

    Each kind of reading has a column of its own in the temporary table, so that each is looked up by its own index.
    """
    places: dict[tuple[IdentifierKind, int], int] = {}
    rows: list[list[Any]] = []
    for line, _text, identifier in lines:
        kind = identifier.kind
        row = [line]
        _put(row, places, kind, 0, identifier.value)
        number = 0
        for alternative in identifier.alternatives:
            number = number + 1 if alternative.kind is kind else 0
            _put(row, places, alternative.kind, number, alternative.value)
        rows.append(row)
    width = 1 + len(places)
    columns: list[Column[Any]] = [Column("line", Integer, primary_key=True)]
    columns += [Column(f"{kind.value}_{number}", Unicode(32)) for kind, number in places]
    asked = lines_table(uow, "asked", columns, (tuple(row + [None] * (width - len(row))) for row in rows))
    named = union_all(
        *(
            select(asked.c.line, device.c.id).where(_COLUMNS[kind] == asked.c[f"{kind.value}_{number}"])
            for kind, number in places
        )
    ).subquery("named")
    return select(named.c.line, *_SELECTED).select_from(
        _with_all_that_is_known(named.join(device, device.c.id == named.c.id))
    )


def _put(
    row: list[Any], places: dict[tuple[IdentifierKind, int], int], kind: IdentifierKind, number: int, value: str
) -> None:
    place = places.setdefault((kind, number), len(places) + 1)
    row += [None] * (place + 1 - len(row))
    row[place] = value

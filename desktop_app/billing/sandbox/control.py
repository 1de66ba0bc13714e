"""What a real billing company does not have: the sandbox's own routes under ``/_sandbox``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from desktop_app.billing.sandbox.api import Api
from desktop_app.billing.sandbox.books import CATALOGUE, EARLIER_SERVICES, Books, key_of
from desktop_app.billing.sandbox.faults import BadFault, Faults
from desktop_app.billing.sandbox.journal import Journal
from desktop_app.billing.sandbox.users import Users


class Control:
    """Health, ledger, catalogue, faults, users and stop."""

    def __init__(
        self,
        *,
        instance: str,
        api: Api,
        books: Books,
        journal: Journal,
        faults: Faults,
        users: Users,
        stop: Callable[[], None],
    ) -> None:
        self._instance = instance
        self._api = api
        self._books = books
        self._journal = journal
        self._faults = faults
        self._users = users
        self._stop = stop

    def routes(self) -> list[Route]:
        """The routes under ``/_sandbox``."""
        return [
            Route("/_sandbox/health", self._health),
            Route("/_sandbox/ledger", self._ledger),
            Route("/_sandbox/catalogue", self._catalogue, methods=["POST"]),
            Route("/_sandbox/faults", self._show_faults, methods=["GET"]),
            Route("/_sandbox/faults", self._set_faults, methods=["POST"]),
            Route("/_sandbox/users", self._add_user, methods=["POST"]),
            Route("/_sandbox/stop", self._stop_server, methods=["POST"]),
        ]

    async def _health(self, _request: Request) -> JSONResponse:
        return JSONResponse({"ok": True, "instance": self._instance})

    async def _ledger(self, request: Request) -> JSONResponse:
        ledger = self._books.ledger(request.query_params.get("reference"))
        if request.query_params.get("references") == "0":
            del ledger["references"]
        received, given = self._api.received, self._faults.given
        ledger["calls"] = {**received, "429": given["429"] + given["rate limit"], "faults": dict(given)}
        return JSONResponse(ledger)

    async def _catalogue(self, request: Request) -> JSONResponse:
        try:
            sections = _sections(await request.json())
        except ValueError as error:
            return _bad(str(error))
        await self._journal.append(self._books.add_catalogue(sections))
        counts = {name: len(rows) for name, rows in self._books.catalogue.items()}
        return JSONResponse({"ok": True, **counts, EARLIER_SERVICES: len(self._books.services.items)})

    async def _show_faults(self, _request: Request) -> JSONResponse:
        return JSONResponse(self._faults.settings())

    async def _set_faults(self, request: Request) -> JSONResponse:
        try:
            settings = await request.json()
            if not isinstance(settings, dict):
                raise BadFault("The body is not a JSON object.")
            self._faults.change(settings)
        except ValueError as error:
            return _bad(str(error))
        return JSONResponse(self._faults.settings())

    async def _add_user(self, request: Request) -> JSONResponse:
        try:
            pid = (await request.json())["pid"]
            self._users.add(pid)
        except (ValueError, TypeError, KeyError):
            return _bad("The body is not an object with the 'pid' of a living process.")
        return JSONResponse({"ok": True})

    async def _stop_server(self, _request: Request) -> JSONResponse:
        self._stop()
        return JSONResponse({"ok": True})


def _sections(body: Any) -> dict[str, list[dict[str, Any]]]:
    if not isinstance(body, dict):
        raise ValueError("The catalogue is not a JSON object.")
    for section, rows in body.items():
        if section not in CATALOGUE and section != EARLIER_SERVICES:
            raise ValueError(f"There is no section {section!r}; there are {', '.join(CATALOGUE)}, {EARLIER_SERVICES}.")
        if not isinstance(rows, list):
            raise ValueError(f"The section {section!r} is not a list.")
        needed = _NEEDED.get(section) or (CATALOGUE[section],)
        for row in rows:
            if not isinstance(row, dict) or not all(key_of(row.get(name)) for name in needed):
                raise ValueError(f"An entry of {section!r} has no {' and no '.join(needed)}.")
            if section == EARLIER_SERVICES and not (
                key_of(row["service_id"]).isascii() and key_of(row["service_id"]).isdigit()
            ):
                raise ValueError(f"The service_id {row['service_id']!r} is no number.")
    return body


_NEEDED = {
    "package_products": ("package_id", "product_id"),
    EARLIER_SERVICES: ("service_id", "customer_id", "provider_id"),
}


def _bad(sentence: str) -> JSONResponse:
    return JSONResponse({"ok": False, "message": sentence}, 400)

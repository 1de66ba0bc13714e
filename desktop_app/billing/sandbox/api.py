"""The billing company's API as far as it is known: customers, services, products and the catalogue, under ``/v1``."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from desktop_app.billing.sandbox.books import CATALOGUE, Books, Fields, Made, Shelf, key_of
from desktop_app.billing.sandbox.faults import BadFault, Faults
from desktop_app.billing.sandbox.journal import Entry, Journal
from desktop_app.billing.sandbox.rules import Refused, Rules
from desktop_app.billing.sandbox.wire import CuttableProtocol

#: The well-known login of the sandbox. It protects nothing and is no secret.
LOGIN = "demo@sandbox"
PASSWORD = "sandbox-password"
SUBSCRIPTION_KEY = "sandbox-subscription-key"

#: Resources of the catalogue, as the API names them.
_RESOURCES = {
    "Customers": "customers",
    "Providers": "providers",
    "ServiceTypes": "service_types",
    "Products": "products",
    "Packages": "packages",
    "PackageProducts": "package_products",
    "Addresses": "addresses",
}
_MAX_BODY = 1_000_000
_BASIC = "Basic " + base64.b64encode(f"{LOGIN}:{PASSWORD}".encode()).decode()

#: What a handler gives: the status, the body, headers, and the journal entry to be on disk first.
Outcome = tuple[int, Fields, dict[str, str], Entry | None]
Handler = Callable[[Request, Fields, float], Outcome]


class Api:
    """Handlers over one set of books. Everything but the waiting is synchronous, so that each request is one step."""

    def __init__(self, books: Books, journal: Journal, faults: Faults, *, accept_any: bool) -> None:
        self._books = books
        self._journal = journal
        self._faults = faults
        self._rules = Rules(books, accept_any=accept_any)
        self.received: Counter[str] = Counter({"GET": 0, "POST": 0, "PUT": 0})

    def routes(self) -> list[Route]:
        """The routes under ``/v1``."""
        services, products = self._books.services, self._books.products
        found = [
            self._route("/v1/Services", self._list(services), self._create_service),
            self._route("/v1/Services/{id}", self._one(services), put=self._change_service),
            self._route("/v1/ServiceProduct", self._list(products), self._create_product),
            self._route("/v1/ServiceProduct/{id}", self._one(products), put=self._change_product),
        ]
        for resource, section in _RESOURCES.items():
            found.append(self._route(f"/v1/{resource}", self._list_catalogue(section)))
            found.append(self._route(f"/v1/{resource}/{{id}}", self._one_of_catalogue(section)))
        return found

    def _route(self, path: str, get: Handler, post: Handler | None = None, put: Handler | None = None) -> Route:
        handlers = {"GET": get, **({"POST": post} if post else {}), **({"PUT": put} if put else {})}

        async def endpoint(request: Request) -> Response:
            return await self._answer(request, handlers)

        # every method comes here, so that a wrong one gets this API's 405 and not the web library's
        return Route(path, endpoint, methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"], name=path)

    # -- one request ------------------------------------------------------------------------------------------------

    async def _answer(self, request: Request, handlers: Mapping[str, Handler]) -> Response:
        self.received[request.method] += 1
        faults = self._faults
        if faults.refuse_logins:
            return _refusal(faults.refuse_logins, "The login is locked.")
        if not _is_authorised(request):
            return _refusal(401, "The login or the subscription key is wrong.")
        if wait := faults.over_limit():
            return _refusal(429, "Too many requests.", {"Retry-After": str(wait)})
        handler = handlers.get(request.method)
        if handler is None:
            return _refusal(405, f"{request.method} is not allowed here.", {"Allow": ", ".join(handlers)})
        is_get = request.method == "GET"
        try:
            fault = faults.draw(is_get=is_get, header=request.headers.get("X-Sandbox-Fault", ""))
        except BadFault as error:
            return _refusal(400, str(error))
        if fault == "429":
            return _refusal(429, "Too many requests.", {"Retry-After": str(faults.retry_after_s)})
        if fault == "500-before":
            return _refusal(500, "An internal error occurred.")
        try:
            if fault == "cut-before":
                return await self._cut(request)
            body = {} if is_get else await _read(request)
            if not is_get:
                await self._delay()
            exists_from = time.time() + (faults.appears_late_ms / 1000 if fault == "appears-late" else 0)
            status, answer, headers, entry = handler(request, body, exists_from)
            if entry is not None:
                await self._journal.append(entry)
        except Refused as refused:
            await _wait(faults.latency_ms)
            return _refusal(refused.status, refused.sentence)
        except ClientDisconnect:
            return Response(status_code=400)
        await _wait(faults.latency_ms)
        return await self._deliver(request, fault, JSONResponse(answer, status, headers))

    async def _delay(self) -> None:
        """The time before something is made; who waits already is told when it is changed."""
        began = time.monotonic()
        while (left := began + self._faults.process_delay_ms / 1000 - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.02))

    async def _deliver(self, request: Request, fault: str, response: Response) -> Response:
        """The answer as the fault lets it through."""
        if fault == "appears-late":
            fault = {"500": "500-after", "cut": "cut-after", "late": "late"}[self._faults.appears_late_answer]
        if fault == "500-after":
            return _refusal(500, "An internal error occurred.")
        if fault == "cut-after":
            return await self._cut(request)
        if fault == "late":
            until = time.monotonic() + self._faults.late_ms / 1000
            while time.monotonic() < until and not await request.is_disconnected():
                await asyncio.sleep(0.02)
        return response

    async def _cut(self, request: Request) -> Response:
        await CuttableProtocol.cut(request)
        return Response(status_code=500)

    # -- services and products --------------------------------------------------------------------------------------

    def _create_service(self, request: Request, body: Fields, exists_from: float) -> Outcome:
        fields, products = self._rules.new_service(body)
        service, entry = self._books.make_service(fields, products, exists_from)
        return _created(request, service, entry)

    def _create_product(self, request: Request, body: Fields, exists_from: float) -> Outcome:
        fields = self._rules.new_product(body, time.time())
        product, entry = self._books.make_product(fields, exists_from)
        return _created(request, product, entry)

    def _change_service(self, request: Request, body: Fields, _exists_from: float) -> Outcome:
        services = self._books.services
        service = _existing(services, request)
        products = self._books.products.search({"service_id": str(service.id)}, time.time())
        entry = self._books.change(services, service.id, self._rules.changed_service(service, body, products))
        return 200, {"ok": True, "id": service.id}, {}, entry

    def _change_product(self, request: Request, body: Fields, _exists_from: float) -> Outcome:
        products = self._books.products
        product = _existing(products, request)
        entry = self._books.change(products, product.id, self._rules.changed_product(product, body, time.time()))
        return 200, {"ok": True, "id": product.id}, {}, entry

    def _one(self, shelf: Shelf) -> Handler:
        return lambda request, _body, _at: (200, {"ok": True, **_existing(shelf, request).fields}, {}, None)

    def _list(self, shelf: Shelf) -> Handler:
        def handle(request: Request, _body: Fields, _at: float) -> Outcome:
            visible_until = time.time() - self._faults.search_lag_ms / 1000
            return _page(request, [made.fields for made in shelf.search(self._filters(request), visible_until)])

        return handle

    def _list_catalogue(self, section: str) -> Handler:
        def handle(request: Request, _body: Fields, _at: float) -> Outcome:
            filters = self._filters(request)
            rows = self._books.catalogue[section].values()
            return _page(
                request, [row for row in rows if all(key_of(row.get(name)) == value for name, value in filters.items())]
            )

        return handle

    def _one_of_catalogue(self, section: str) -> Handler:
        def handle(request: Request, _body: Fields, _at: float) -> Outcome:
            row = self._books.known(section, request.path_params["id"])
            if row is None:
                raise Refused(f"{CATALOGUE[section]} {request.path_params['id']} does not exist.", 404)
            return 200, {"ok": True, **row}, {}, None

        return handle

    def _filters(self, request: Request) -> dict[str, str]:
        if self._faults.ignore_filters:
            return {}
        return {
            name.removeprefix("search."): value.strip()
            for name, value in request.query_params.items()
            if name.startswith("search.")
        }


def _is_authorised(request: Request) -> bool:
    login = request.headers.get("Authorization", "").encode()
    key = request.headers.get("Ocp-Apim-Subscription-Key", "").encode()
    return hmac.compare_digest(login, _BASIC.encode()) and hmac.compare_digest(key, SUBSCRIPTION_KEY.encode())


async def _read(request: Request) -> Fields:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > _MAX_BODY:
            raise Refused("The body is too long.")
    try:
        body: Any = json.loads(bytes(data))
        if b"\\u" in data:
            json.dumps(body, ensure_ascii=False).encode()  # half a surrogate pair is no text, though JSON can write it
    except (ValueError, RecursionError):
        raise Refused("The body is not JSON.") from None
    if not isinstance(body, dict):
        raise Refused("The body is not a JSON object.")
    return body


def _existing(shelf: Shelf, request: Request) -> Made:
    made = shelf.existing(request.path_params["id"], time.time())
    if made is None:
        raise Refused(f"{shelf.kind.capitalize()} {request.path_params['id']} does not exist.", 404)
    return made


def _created(request: Request, made: Made, entry: Entry) -> Outcome:
    return 201, {"ok": True, "id": made.id}, {"Location": f"{request.url.path}/{made.id}"}, entry


def _page(request: Request, rows: list[Fields]) -> Outcome:
    page = _whole(request, "page", 1, 1_000_000_000)
    size = _whole(request, "page_size", 10, 500)
    shown = rows[(page - 1) * size : page * size]
    has_more = len(rows) > page * size
    return 200, {"ok": True, "has_more": has_more, "record_count": len(shown), "records": shown}, {}, None


def _whole(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 12 and 1 <= int(text) <= most):
        raise Refused(f"{name} has to be a whole number from 1 to {most}.")
    return int(text)


async def not_found(_request: Request, _error: Exception) -> Response:
    """The answer to a path that does not exist."""
    return _refusal(404, "There is no such resource.")


def _refusal(status: int, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"ok": False, "message": sentence}, status, headers)


def _wait(milliseconds: float) -> Awaitable[None]:
    return asyncio.sleep(milliseconds / 1000)

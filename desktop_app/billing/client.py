"""The billing client: one for Rev.io, for the sandbox, and for any server that speaks the same shapes."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from desktop_app.association.errors import EnvironmentFault
from desktop_app.association.ports import (
    QUOTA_USED_UP,
    BillingServiceFound,
    LookupVerdict,
    PostResult,
    PostVerdict,
    ProductLookup,
    ProductOrder,
    ServiceLookup,
    ServiceOrder,
    always,
)
from desktop_app.billing import shapes
from desktop_app.billing.redaction import Redactor, login_secrets
from desktop_app.billing.secrets import BillingLogin
from desktop_app.billing.shapes import ReferenceFields
from desktop_app.billing.transport import Answer, CallFailed, Stage, Transport, is_loopback

PAGE_SIZE = 500  # the most that Rev.io gives
_REFUSED = frozenset({400, 404, 405, 409, 422})
_SERVICES, _SERVICE_ID = "/Services", "service_id"
_NOT_AUTHORISED = frozenset({401, 403})


@dataclass(frozen=True, slots=True)
class BillingKind:
    """What differs between the kinds of billing company, besides the defaults of the settings.

    Attributes:
        number_filter: lists can be filtered by number. Where that is not proven, a filter that quietly finds nothing
            would be taken for "not there" and end in a second service; so all services of the customer are read.
        needs_tls: plain ``http`` is refused, but for this machine itself.
    """

    number_filter: bool
    needs_tls: bool


KINDS: Mapping[str, BillingKind] = {
    "sandbox": BillingKind(number_filter=True, needs_tls=False),
    "revio": BillingKind(number_filter=False, needs_tls=True),
}


#: Waits for the right to one further call, while the function given says so; the seconds until it is worth asking
#: again where it was not given, else 0.
BeforeFurtherPage = Callable[[Callable[[], bool]], float]


def _no_pause(_may_go_on: Callable[[], bool]) -> float:
    return 0.0


class BillingClient:
    """One login at the billing company; implements :class:`desktop_app.association.ports.BillingPort`."""

    def __init__(
        self,
        kind: str,
        url: str,
        login: BillingLogin,
        *,
        timeout_s: float,
        references: ReferenceFields | None = None,
        number_filter: bool | None = None,
        before_further_page: BeforeFurtherPage = _no_pause,
        transport: Transport | None = None,
    ) -> None:
        """Connects to nothing yet.

        Args:
            kind: ``sandbox`` or ``revio``, see :data:`KINDS`.
            url: address up to and with ``/v1``.
            timeout_s: wall-clock deadline of each call.
            references: the fields that carry our reference.
            number_filter: whether lists can be filtered by number, where an installation has proven it; None: as the
                kind says.
            before_further_page: called before each page of a list but the first; a list that has many pages makes
                many calls, and the rate governor has to know of them. See :data:`BeforeFurtherPage`.
            transport: another one than the address' own (with a TLS context of its own, say).

        Raises:
            EnvironmentFault: the address is none, or would send the password in clear.
        """
        defaults = KINDS[kind]
        _refuse_bad_address(url, needs_tls=defaults.needs_tls)
        self._number_filter = defaults.number_filter if number_filter is None else number_filter
        self._references = references or ReferenceFields()
        self._before_further_page = before_further_page
        self._redactor = Redactor(login_secrets(login.login, login.password, login.subscription_key))
        pair = f"{login.login}:{login.password}".encode()
        self._credential = {
            "Authorization": f"Basic {b64encode(pair).decode()}",
            "Ocp-Apim-Subscription-Key": login.subscription_key,
            "Accept": "application/json",
        }
        #: Whether billing refused the credential when it last answered: its secret may have been renewed since.
        self.is_refused = False
        self._transport = transport or Transport(url, timeout_s=timeout_s)
        self._who = f"Billing at {self._transport.host}"

    def __repr__(self) -> str:
        return f"BillingClient({self._transport.host!r})"

    @property
    def finds_by_number(self) -> bool:
        """Whether a search for one number costs one call; else it reads all services of the customer."""
        return self._number_filter

    def create_service(self, order: ServiceOrder, may_send: Callable[[], bool]) -> PostResult:
        """POST one service. ``may_send`` is asked right before the first byte; False gives ``NOT_SENT``."""
        return self._post(_SERVICES, shapes.service_body(order, self._references), may_send)

    def add_product(self, order: ProductOrder, may_send: Callable[[], bool]) -> PostResult:
        """POST one product onto a service. ``may_send`` as above."""
        return self._post("/ServiceProduct", shapes.product_body(order, self._references), may_send)

    def find_services(
        self,
        billing_customer_id: str,
        *,
        reference: str = "",
        number: str = "",
        may_go_on: Callable[[], bool] = always,
    ) -> ServiceLookup:
        """Services of the customer that carry the reference or the number, active or not, matched on our side.

        Whatever billing lists is compared here once more: a server may ignore a filter that it does not know. What
        carries our reference is ours and is shown even if billing says that it is another customer's: to leave it out
        would be to say that it is not there. A list of several pages that has nothing of ours, at most what has ended,
        is read once more, from its end: what leaves a list while it is read forwards hides the first entry of the next
        page.

        Raises:
            ValueError: neither reference nor number is given.
        """
        if not reference and not number:
            raise ValueError("a reference or a number is needed")
        query = {"search.customer_id": billing_customer_id}
        if number and self._number_filter:
            query["search.number"] = number

        def matched(listed: _Listed) -> ServiceLookup:
            services = []
            found = self._services(listed)
            for service in found.services:
                is_theirs = shapes.is_same_id(service.billing_customer_id, billing_customer_id)
                has_reference = bool(reference) and service.reference == reference
                has_number = bool(number) and service.number == number
                if has_reference or (has_number and is_theirs):
                    services.append(replace(service, billing_customer_id=billing_customer_id) if is_theirs else service)
            return replace(found, services=tuple(services))

        def settles(service: BillingServiceFound) -> bool:
            # An inactive one of the same number may be what an earlier owner of the device had.
            return service.is_active or (bool(reference) and service.reference == reference)

        listed = self._list(_SERVICES, query, _SERVICE_ID, may_go_on)
        found = matched(listed)
        if found.verdict is LookupVerdict.ANSWERED and listed.pages > 1 and not any(map(settles, found.services)):
            again = matched(self._list_backwards(_SERVICES, query, listed.pages, may_go_on))
            known = {service.service_id for service in again.services}
            missed = tuple(service for service in found.services if service.service_id not in known)
            return replace(again, services=again.services + missed) if again.verdict is found.verdict else again
        return found

    def customer_services(self, billing_customer_id: str) -> ServiceLookup:
        """Every service of the customer (all pages), active or not; a server may ignore the filter, we do not."""
        found = self._services(self._list(_SERVICES, {"search.customer_id": billing_customer_id}, _SERVICE_ID))
        services = tuple(
            replace(service, billing_customer_id=billing_customer_id)
            for service in found.services
            if shapes.is_same_id(service.billing_customer_id, billing_customer_id)
        )
        return replace(found, services=services)

    def find_products(self, service_id: str, *, may_go_on: Callable[[], bool] = always) -> ProductLookup:
        """All products on the service, active or not."""
        listed = self._list("/ServiceProduct", {"search.service_id": service_id}, "service_product_id", may_go_on)
        now = datetime.now(UTC)
        found = [shapes.product_found(record, self._references, now) for record in listed.records]
        products = tuple(
            product for product in found if product is not None and shapes.is_same_id(product.service_id, service_id)
        )
        return ProductLookup(listed.verdict, products, listed.reason, listed.retry_after_s)

    def list_services(self) -> ServiceLookup:
        """Every service of the account (all pages), for a comparison of both sides."""
        return self._services(self._list(_SERVICES, {}, _SERVICE_ID))

    def ping(self) -> LookupVerdict:
        """One cheap GET: is billing there and is the credential accepted?"""
        return self.try_out().verdict

    def try_out(self) -> ServiceLookup:
        """The same with the reason, for a person who sets the connection up; no service is handed out."""
        got = self._get(_SERVICES, {"page": 1, "page_size": 1})
        return ServiceLookup(got.verdict, (), got.reason, got.retry_after_s)

    def close(self) -> None:
        """Closes every connection of every thread; calls in flight end as ``UNKNOWN``, later ones are ``NOT_SENT``."""
        self._transport.close()

    # -- posts ------------------------------------------------------------------------------------------------------

    def _post(self, path: str, body: bytes, may_send: Callable[[], bool]) -> PostResult:
        try:
            answer = self._transport.call("POST", path, body=body, headers=self._credential, may_send=may_send)
        except CallFailed as failed:
            verdict = {
                Stage.UNREACHED: PostVerdict.ENVIRONMENT,
                Stage.NOT_SENT: PostVerdict.NOT_SENT,
                Stage.SENT: PostVerdict.UNKNOWN,
            }[failed.stage]
            return PostResult(verdict, reason=self._sentence(failed.reason))
        self.is_refused = answer.status in _NOT_AUTHORISED
        billing_id = shapes.created_id(answer.json()) if 200 <= answer.status < 300 else None
        if billing_id is not None:
            return PostResult(PostVerdict.CREATED, billing_id, answer.status, self._said(answer))
        status, said = answer.status, self._said(answer)
        if status in _NOT_AUTHORISED:
            return PostResult(PostVerdict.ENVIRONMENT, None, status, said, self._credential_refused(status))
        if status == 429:
            return PostResult(
                PostVerdict.BUSY, None, status, said, self._too_many(), shapes.retry_after_s(answer.headers, _now())
            )
        if status in _REFUSED:
            return PostResult(PostVerdict.REFUSED, None, status, said, self._sentence(f"refused it: {said or status}"))
        return PostResult(PostVerdict.UNKNOWN, None, status, said, self._sentence(_unclear(answer)))

    # -- lists ------------------------------------------------------------------------------------------------------

    def _services(self, listed: _Listed) -> ServiceLookup:
        now = datetime.now(UTC)
        found = [shapes.service_found(record, self._references, now) for record in listed.records]
        services = tuple(service for service in found if service is not None)
        return ServiceLookup(listed.verdict, services, listed.reason, listed.retry_after_s)

    def _list(
        self, path: str, query: Mapping[str, str], id_field: str, may_go_on: Callable[[], bool] = always
    ) -> _Listed:
        """All pages of a list, or why it could not be read to its end. Each page has a deadline of its own."""
        records: list[dict[str, Any]] = []
        seen: set[str] = set()
        number = 0
        while True:
            number += 1
            if number > 1 and (ended := self._ended_early(may_go_on)) is not None:
                return ended
            got = self._get(path, {**query, "page": number, "page_size": PAGE_SIZE})
            if got.page is None:
                return _Listed(got.verdict, (), got.reason, got.retry_after_s)
            ids = {shapes.id_text(record.get(id_field)) for record in got.page.records}
            if None in ids:
                return _Listed(LookupVerdict.RETRY, (), self._sentence(f"sent a list with an entry without {id_field}"))
            if not got.page.records and got.page.has_more and number == 1:
                return _Listed(LookupVerdict.RETRY, (), self._sentence("sent an empty list that goes on"))
            new = {found for found in ids if found is not None} - seen
            records += got.page.records
            seen |= new
            if not got.page.is_whole(len(records)):
                reason = f"sent a list of {len(got.page.records)} entries and counts {got.page.record_count}"
                return _Listed(LookupVerdict.RETRY, (), self._sentence(reason))
            # the documentation leaves open whether the last of several pages has has_more: an empty one ends it too
            if not got.page.has_more or not got.page.records:
                return _Listed(LookupVerdict.ANSWERED, tuple(records), pages=number)
            if not new:
                return _Listed(
                    LookupVerdict.RETRY, (), self._sentence("sends the same page of its list again and again")
                )

    def _list_backwards(
        self, path: str, query: Mapping[str, str], pages: int, may_go_on: Callable[[], bool]
    ) -> _Listed:
        """The pages of a list once more, the last one first; each is a further page of the same list."""
        records: list[dict[str, Any]] = []
        for number in range(pages, 0, -1):
            if (ended := self._ended_early(may_go_on)) is not None:
                return ended
            got = self._get(path, {**query, "page": number, "page_size": PAGE_SIZE})
            if got.page is None:
                return _Listed(got.verdict, (), got.reason, got.retry_after_s)
            if number < pages and not got.page.records:
                return _Listed(LookupVerdict.RETRY, (), self._sentence("sent an empty page in the middle of its list"))
            records += got.page.records
        return _Listed(LookupVerdict.ANSWERED, tuple(records), pages=pages)

    def _ended_early(self, may_go_on: Callable[[], bool]) -> _Listed | None:
        """Waits for the right to read a further page; why there is none, else None."""
        wait_s = self._before_further_page(may_go_on)
        if not may_go_on():
            return _Listed(LookupVerdict.NOT_ASKED, (), self._sentence("was not asked for the rest of its list"))
        if wait_s > 0:  # whoever asks has to wait for the quota, as all others do
            return _Listed(LookupVerdict.NOT_ASKED, (), QUOTA_USED_UP, wait_s)
        return None

    def _get(self, path: str, query: Mapping[str, str | int]) -> _Got:
        try:
            answer = self._transport.call("GET", path, query=query, headers=self._credential)
        except CallFailed as failed:
            unreached = failed.stage is Stage.UNREACHED
            verdict = LookupVerdict.ENVIRONMENT if unreached else LookupVerdict.RETRY
            return _Got(verdict, reason=self._sentence(failed.reason))
        self.is_refused = answer.status in _NOT_AUTHORISED
        found = shapes.page(answer.json()) if answer.status == 200 else None
        if found is not None:
            return _Got(LookupVerdict.ANSWERED, found)
        if answer.status in _NOT_AUTHORISED:
            return _Got(LookupVerdict.ENVIRONMENT, reason=self._credential_refused(answer.status))
        if answer.status == 429:
            wait = shapes.retry_after_s(answer.headers, _now())
            return _Got(LookupVerdict.BUSY, reason=self._too_many(), retry_after_s=wait)
        said = self._said(answer)
        return _Got(LookupVerdict.RETRY, reason=self._sentence(_unclear(answer) + (f": {said}" if said else "")))

    # -- words ------------------------------------------------------------------------------------------------------

    def _said(self, answer: Answer) -> str:
        return self._redactor.clean(shapes.sentence(answer.body))

    def _sentence(self, end: str) -> str:
        text = self._redactor.clean(f"{self._who} {end}")
        return text if text.endswith((".", "!", "?", "…")) else f"{text}."

    def _credential_refused(self, status: int) -> str:
        return self._sentence(
            f"refused the credential ({status}): login, password or subscription key is wrong or locked"
        )

    def _too_many(self) -> str:
        return self._sentence("had too many calls in the last minute or day (429)")


@dataclass(frozen=True, slots=True)
class _Got:
    verdict: LookupVerdict
    page: shapes.Page | None = None
    reason: str = ""
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class _Listed:
    verdict: LookupVerdict
    records: tuple[dict[str, Any], ...] = ()
    reason: str = ""
    retry_after_s: float | None = None
    pages: int = 0


def _unclear(answer: Answer) -> str:
    if 200 <= answer.status < 300:
        if not answer.is_complete:
            return f"answered {answer.status}, and broke off in the middle"
        return f"answered {answer.status} with something that cannot be read"
    if 300 <= answer.status < 400:
        return f"answered {answer.status}, a redirect, which is not followed"
    return f"answered {answer.status}"


def _refuse_bad_address(url: str, *, needs_tls: bool) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.scheme not in ("http", "https") or not host or parts.username is not None or parts.query:
        raise EnvironmentFault(
            "BILLING_URL_BAD",
            "The address of the billing company (BILLING_URL) is none.",
            "Give it as https://HOST/v1, without login and without question mark.",
        )
    if needs_tls and parts.scheme != "https" and not is_loopback(host):
        raise EnvironmentFault(
            "BILLING_URL_UNSAFE",
            f"The address of the billing company at {host} is http: the password would travel in clear.",
            "Give BILLING_URL with https.",
        )


def _now() -> datetime:
    return datetime.now(UTC)

"""Reading what billing sends: ids, dates, sentences, waits; and keeping secrets out of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desktop_app.billing import shapes
from desktop_app.billing.redaction import MAX_ANSWER, Redactor, login_secrets
from desktop_app.billing.shapes import ReferenceFields

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7, "7"), ("7", "7"), (" 7 ", "7"), ("S-7", "S-7"), ("9" * 40, "9" * 40),
        (0, None), ("0", None), (-7, None), ("", None), ("  ", None), ("a b", None), ("a\nb", None),
        (True, None), (None, None), (7.5, None), ([7], None), ("9" * 41, None),
    ],
)  # fmt: skip
def test_ids(value: object, text: str | None) -> None:
    assert shapes.id_text(value) == text


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [("17", "17", True), ("017", "17", True), ("0", "00", True), ("S-7", "S-7", True), ("S-7", "s-7", False),
     ("17", "18", False), ("", "", True), ("", "17", False), ("0", "17", False)],
)  # fmt: skip
def test_the_same_id(one: str, other: str, is_same: bool) -> None:
    assert shapes.is_same_id(one, other) is is_same


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("5", 5.0), ("0", 0.0), ("2.5", 2.5), (" 7 ", 7.0), ("-3", 0.0), ("999999999", 86_400.0), ("inf", 86_400.0),
        ("Tue, 24 Nov 2026 12:00:30 GMT", 30.0), ("Tue, 24 Nov 2026 11:00:00 GMT", 0.0),
        ("Tuesday, 24-Nov-26 12:00:30 GMT", 30.0), ("Tue, 24 Nov 2026 13:00:30 +0100", 30.0),
        ("nan", None), ("", None), ("soon", None), ("Tue, 99 Nov 2026 12:00:30 GMT", None), ("5 seconds", None),
    ],
)  # fmt: skip
def test_retry_after(header: str, seconds: float | None) -> None:
    assert shapes.retry_after_s({"retry-after": header}, NOW) == seconds


def test_retry_after_as_a_date_is_measured_on_the_clock_of_the_server() -> None:
    headers = {"retry-after": "Tue, 24 Nov 2026 15:00:30 GMT", "date": "Tue, 24 Nov 2026 15:00:00 GMT"}
    assert shapes.retry_after_s(headers, NOW) == 30.0
    assert shapes.retry_after_s({}, NOW) is None


@given(st.text(max_size=40))
def test_no_retry_after_breaks_it(header: str) -> None:
    seconds = shapes.retry_after_s({"retry-after": header, "date": header}, NOW)
    assert seconds is None or 0 <= seconds <= 86_400


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"ok": false, "message": "No such customer."}', "No such customer."),
        (b'{"error": {"message": "No such customer."}}', "No such customer."),
        (b'{"errors": [{"detail": "No such customer."}]}', "No such customer."),
        (b'["No such customer."]', "No such customer."),
        (b'"No such customer."', "No such customer."),
        (b"No such customer.", "No such customer."),
        (b'{"ok": false, "code": 17}', '{"ok": false, "code": 17}'),
        (b'{"message": 17}', '{"message": 17}'),
        (b"[]", "[]"),
        (b"", ""),
        (b"\xff", "�"),
        (b"[" * 70_000, "[" * 65_536),
    ],
)
def test_sentences(body: bytes, said: str) -> None:
    assert shapes.sentence(body) == said


@pytest.mark.parametrize(
    ("record", "is_active"),
    [
        ({}, True),
        ({"disconnected_date": None}, True),
        ({"disconnected_date": ""}, True),
        ({"disconnected_date": "2026-11-23"}, False),
        ({"disconnected_date": "2026-11-24T00:00:00"}, False),
        ({"disconnected_date": "2026-11-24T11:59:59Z"}, False),
        ({"disconnected_date": "2026-11-24T14:00:00+01:00"}, True),
        ({"disconnected_date": "2027-01-01"}, True),
        ({"disconnected_date": "yesterday"}, False),
        ({"status": "DISCONNECTED"}, False),
        ({"status": "Active"}, True),
        ({"status": "PENDING"}, True),
    ],
)
def test_what_is_active(record: dict[str, Any], is_active: bool) -> None:
    service = shapes.service_found({"service_id": 1, **record}, ReferenceFields(), NOW)
    assert service is not None
    assert service.is_active is is_active
    ended = {"canceled_date" if name == "disconnected_date" else name: value for name, value in record.items()}
    product = shapes.product_found({"service_product_id": 1, **ended}, ReferenceFields(), NOW)
    assert product is not None
    assert product.is_active is is_active


def test_records_without_an_id_are_none() -> None:
    assert shapes.service_found({"customer_id": 1}, ReferenceFields(), NOW) is None
    assert shapes.product_found({"service_id": 1}, ReferenceFields(), NOW) is None


# --- secrets


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("Authorization: Basic bWU6cHc=", "bWU6cHc="),
        ('{"password": "hush hush", "id": 7}', "hush"),
        ("Ocp-Apim-Subscription-Key: 0123456789abcdef", "0123456789abcdef"),
        ("access_token=abc.def-ghi&x=1", "abc.def-ghi"),
        ("api_key='hush'", "hush"),
    ],
)
def test_what_looks_like_a_secret_is_hidden_too(text: str, hidden: str) -> None:
    assert hidden not in Redactor(()).clean(text)
    assert "[hidden]" in Redactor(()).clean(text)


@given(
    secret=st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=6, max_size=40).filter(
        lambda s: s == s.strip()
    ),
    before=st.text(max_size=500),
    after=st.text(max_size=500),
)
def test_no_secret_passes(secret: str, before: str, after: str) -> None:
    cleaned = Redactor(login_secrets("me@company", secret, secret[::-1])).clean(before + secret + after)
    assert secret not in cleaned.replace("[hidden]", "\0")
    assert len(cleaned) <= MAX_ANSWER


def test_an_empty_secret_hides_nothing() -> None:
    assert Redactor(("",)).clean("as it is") == "as it is"

"""Lines that people type, paste, scan and import, read as identifiers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import luhn

from desktop_app.association.check_digits import luhn_check_digit, luhn_sum, wrong_by_luhn
from desktop_app.association.errors import RequestRefused
from desktop_app.association.identifiers import (
    Unreadable,
    read_line,
    read_lines,
    refuse_unreadable,
)
from desktop_app.association.model import Identifier, IdentifierKind, IdentifierWarning, Reading

ICCID, IMEI, MSISDN, EID = IdentifierKind.ICCID, IdentifierKind.IMEI, IdentifierKind.MSISDN, IdentifierKind.EID
GOOD_19 = "8901260000000039590"
GOOD_20 = "89012600000000395908"
GOOD_EID = "89049032123451234512345678901235"


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        # ICCID: 18 to 20 digits that begin with 89
        (GOOD_19, ICCID, GOOD_19),
        (GOOD_20, ICCID, GOOD_20),
        (GOOD_19[:-1], ICCID, GOOD_19[:-1]),
        ("8901 2600 0000 0039 590", ICCID, GOOD_19),
        ("8901-2600-0000-0039-590", ICCID, GOOD_19),
        ("8901\u00a02600\u202f0000\u20110039\u2013590", ICCID, GOOD_19),
        (f"{GOOD_19}F", ICCID, GOOD_19),
        (f"{GOOD_19[:-1]}ff", ICCID, GOOD_19[:-1]),
        (f"ICCID: {GOOD_19}", ICCID, GOOD_19),
        (f"iccid={GOOD_19}", ICCID, GOOD_19),
        (f'"{GOOD_19}"', ICCID, GOOD_19),
        (f"'{GOOD_19}", ICCID, GOOD_19),
        (f'="{GOOD_19}"', ICCID, GOOD_19),
        (f"\ufeff{GOOD_19}", ICCID, GOOD_19),
        ("８９０１２６００００００００３９５９０", ICCID, GOOD_19),
        # IMEI: both forms agree on the first 14
        ("490154203237518", IMEI, "49015420323751"),
        ("49-015420-323751-8", IMEI, "49015420323751"),
        ("4901542032375180", IMEI, "49015420323751"),
        ("IMEI 490154203237518", IMEI, "49015420323751"),
        ("490154203237518.0", IMEI, "49015420323751"),
        # EID
        (GOOD_EID, EID, GOOD_EID),
        (f"EID {GOOD_EID}", EID, GOOD_EID),
        # MSISDN: a possible length is enough
        ("+1 274 555 0005", MSISDN, "12745550005"),
        ("+1 (274) 555-0005", MSISDN, "12745550005"),
        ("001 274 555 0005", MSISDN, "12745550005"),
        ("'+12745550005", MSISDN, "12745550005"),
        ("12745550005", MSISDN, "12745550005"),
        ("MSISDN 12745550005", MSISDN, "12745550005"),
        ("+436641234567", MSISDN, "436641234567"),
        ("+882 16 1234 5678", MSISDN, "8821612345678"),
    ],
)
def test_kinds_are_recognised_and_normalised(text: str, kind: IdentifierKind, value: str) -> None:
    read = read_line(text)
    assert isinstance(read, Identifier)
    assert (read.kind, read.value) == (kind, value)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("8.90126E+18", "ROUNDED_BY_SPREADSHEET"),
        ("8,90126E+18", "ROUNDED_BY_SPREADSHEET"),
        ("8.90126e18", "ROUNDED_BY_SPREADSHEET"),
        ("9E+18", "ROUNDED_BY_SPREADSHEET"),
        ("'8.90126E+18", "ROUNDED_BY_SPREADSHEET"),
        ("8901260000000039590.0", "ROUNDED_BY_SPREADSHEET"),
        ("rubbish", "NOT_DIGITS"),
        ("89012600000000395X6", "NOT_DIGITS"),
        ("²²²²²²²²²²²²²²²²²²²x", "NOT_DIGITS"),
        (f"{GOOD_19},{GOOD_20}", "SEVERAL_VALUES"),
        ("----", "NO_DIGITS"),
        ("7901260000000039596", "ICCID_PREFIX"),
        ("12345678901234567", "LENGTH"),  # 17
        ("890126000000003959087", "LENGTH"),  # 21
        (f"IMEI {GOOD_19}", "LENGTH"),
        ("ICCID 12745550005", "LENGTH"),
        ("123456", "MSISDN_IMPOSSIBLE"),
        ("1", "MSISDN_IMPOSSIBLE"),
        ("+12", "MSISDN_IMPOSSIBLE"),
        ("+1274555000500", "MSISDN_IMPOSSIBLE"),
        ("00000000000", "MSISDN_IMPOSSIBLE"),
    ],
)
def test_what_is_no_identifier_says_why(text: str, code: str) -> None:
    read = read_line(text)
    assert isinstance(read, Unreadable)
    assert read.code == code
    assert read.message.endswith(".")
    assert read.what_to_do.endswith(".")


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (GOOD_19, None),
        (GOOD_20, None),
        ("8901260000000039595", IdentifierWarning.CHECK_DIGIT),
        ("89012600000000395950", IdentifierWarning.CHECK_DIGIT),
        (GOOD_19[:-1], None),  # 18 digits have left it off
        ("8901260000000390000", IdentifierWarning.ROUNDED),
        ("89012600000003900000", IdentifierWarning.ROUNDED),
        ("89012600000039010000", IdentifierWarning.CHECK_DIGIT),  # a spreadsheet leaves five zeros of 20 digits
        (GOOD_EID, None),
        (f"{GOOD_EID[:-1]}6", IdentifierWarning.CHECK_DIGIT),
        ("IMEI 490154203237518", None),
        ("IMEI 490154203237517", IdentifierWarning.CHECK_DIGIT),
    ],
)
def test_a_wrong_check_digit_only_warns(text: str, warning: IdentifierWarning | None) -> None:
    read = read_line(text)
    assert isinstance(read, Identifier)
    assert read.warning is warning


@pytest.mark.parametrize(
    ("text", "alternatives"),
    [
        # with its check digit: also without, and also as the beginning of one that is longer
        (GOOD_19, [GOOD_19[:-1], GOOD_20]),
        (GOOD_20, [GOOD_19]),
        # with a wrong one: only as one whose check digit was left off
        ("8901260000000039595", ["8901260000000039595" + luhn_check_digit("8901260000000039595")]),
        ("89012600000000395950", []),
        (GOOD_19[:-1], [GOOD_19]),
    ],
)
def test_an_iccid_is_searched_with_and_without_its_check_digit(text: str, alternatives: list[str]) -> None:
    read = read_line(text)
    assert isinstance(read, Identifier)
    assert list(read.alternatives) == [Reading(ICCID, value) for value in alternatives]


def test_fifteen_digits_are_what_their_check_digit_says_and_the_other_thing_second() -> None:
    imei, number = Reading(IMEI, "49015420323751"), "490154203237518"
    assert read_line(number) == Identifier(*imei, (Reading(MSISDN, number),))
    wrong = "490154203237517"
    assert read_line(wrong) == Identifier(MSISDN, wrong, (imei,))
    impossible = "355000000000017"  # no country has numbers of fifteen digits that begin so
    assert read_line(impossible) == Identifier(IMEI, "35500000000001", (), IdentifierWarning.CHECK_DIGIT)


@given(st.text(alphabet="0123456789", min_size=1, max_size=40))
def test_luhn_agrees_with_the_library(digits: str) -> None:
    assert luhn_sum(digits) % 10 == luhn.checksum(digits)
    assert luhn_check_digit(digits) == luhn.calc_check_digit(digits)


@given(st.text(max_size=80))
def test_no_text_makes_it_fail(text: str) -> None:
    read = read_line(text)
    if isinstance(read, Identifier):
        assert read.value.isascii()
        assert read.value.isdigit()
        assert 7 <= len(read.value) <= 32


def test_lines_keep_their_numbers_and_say_the_same_once() -> None:
    read = read_lines(
        ["", GOOD_19, "  ", f" {GOOD_19[:10]} {GOOD_19[10:]} ", "x1", "490154203237518", "4901542032375180"]
    )
    assert [(one.line, one.asked_for) for one in read.asked] == [(2, GOOD_19), (6, "490154203237518")]
    assert read.duplicates == ((4, 2), (7, 6))
    assert [(line, text) for line, text, _why in read.unreadable] == [(5, "x1")]


def test_a_line_is_kept_up_to_64_characters() -> None:
    spread = "  ".join(GOOD_19) + " " * 20
    assert len(read_lines([spread]).asked[0].asked_for) == 19 * 3 - 2
    assert len(read_lines(["x" * 100]).unreadable[0][1]) == 64


def test_unreadable_lines_refuse_the_request_and_are_named() -> None:
    lines = [GOOD_19, *(f"bad{number}" for number in range(7)), "1,2"]
    with pytest.raises(RequestRefused) as refused:
        refuse_unreadable(read_lines(lines))
    assert refused.value.code == "LINES_UNREADABLE"
    assert refused.value.message.startswith("8 of 9 lines cannot be read: line 2: “bad0” ")
    assert "line 6" in refused.value.message
    assert "line 7" not in refused.value.message
    assert refused.value.message.endswith("; and 3 more.")


def test_rounded_numbers_alone_say_what_to_do_about_them() -> None:
    with pytest.raises(RequestRefused) as refused:
        refuse_unreadable(read_lines([GOOD_19, "8.90126E+18"]))
    assert refused.value.code == "ROUNDED_BY_SPREADSHEET"
    assert "spreadsheet" in refused.value.message
    assert "text" in refused.value.what_to_do


@pytest.mark.parametrize("lines", [[], ["", "   "]])
def test_no_line_at_all_is_refused(lines: list[str]) -> None:
    with pytest.raises(RequestRefused) as refused:
        refuse_unreadable(read_lines(lines))
    assert refused.value.code == "NO_DEVICES"


@given(st.lists(st.text(alphabet="0123456789", min_size=1, max_size=28), max_size=40))
def test_many_numbers_at_once_are_as_one_by_one(numbers: list[str]) -> None:
    assert wrong_by_luhn(numbers) == {number for number in numbers if luhn.checksum(number)}


def test_the_largest_sums_fit_into_their_bytes() -> None:
    nines = "9" * 28
    assert luhn.checksum(nines) == 28 * 9 % 10
    assert wrong_by_luhn([nines, nines[:27], "0" * 28]) == {nines, nines[:27]}

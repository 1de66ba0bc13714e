"""Invented identifiers with right check digits. The same number gives the same identifier, different ones differ."""

from __future__ import annotations

from desktop_app.association.check_digits import luhn_check_digit

#: Area codes; with the exchange 555, which no carrier gives to a subscriber.
_AREAS = tuple(code for code in range(200, 990) if code % 100 != 11 and code // 10 % 10 != 9)
#: Types of devices that no maker has registered.
_TYPES = ("35999901", "35999902", "35999903", "35999904", "35999905")
_EID_START = "89049999"


def iccid(prefix: str, length: int, number: int) -> str:
    """An ICCID of ``length`` digits, the last one by Luhn.

    Args:
        prefix: begins with 89.
        number: from 0.
    """
    body = length - 1 - len(prefix)
    # A multiplication that is a permutation of all numbers of that length: neighbours do not look like neighbours.
    digits = f"{prefix}{(number * 7_368_787 + 1_234_567) % 10**body:0{body}}"
    return digits + luhn_check_digit(digits)


def imei(number: int) -> str:
    """An IMEI of 15 digits, the last one by Luhn; ``number`` from 0 to 4,999,999."""
    serial, kind = divmod(number, len(_TYPES))
    digits = f"{_TYPES[kind]}{(serial * 7_919 + 3) % 1_000_000:06}"
    return digits + luhn_check_digit(digits)


def msisdn(number: int) -> str:
    """A phone number in E.164 without the plus; ``number`` from 0 to about 7,000,000."""
    line, area = divmod(number, len(_AREAS))
    return f"1{_AREAS[area]}555{(line * 37 + area * 271) % 10_000:04}"


def eid(number: int) -> str:
    """An EID of 32 digits that is 1 modulo 97."""
    digits = f"{_EID_START}{(number * 987_654_321 + 55_555) % 10**22:022}"
    return f"{digits}{98 - int(digits) * 100 % 97:02}"

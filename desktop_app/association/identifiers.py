"""Phase 1, the request: what somebody typed, pasted, scanned or imported, read as an identifier of a device.

ICCID: 18 to 20 digits that begin with 89, the last one by Luhn. 19 and 20 digits live side by side, some suppliers
leave the check digit off, some pad with F. IMEI: 15 digits by Luhn, or 16 as IMEISV; both agree on the first 14. EID:
32 digits, 1 modulo 97. MSISDN: E.164; ranges for machines fail a strict test, so that a possible length is enough. A
wrong check digit only warns: the database knows whether the device exists.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import count, repeat
from typing import Any, NamedTuple

import phonenumbers
from stdnum.iso7064 import mod_97_10

from desktop_app.association.check_digits import luhn_sum, wrong_by_luhn
from desktop_app.association.errors import RequestRefused
from desktop_app.association.facts import ReadLine
from desktop_app.association.model import Identifier, IdentifierKind, IdentifierWarning, Reading

#: A line as asked is kept up to this length.
LONGEST_LINE = 64
#: Lines that an error names one by one.
_NAMED_LINES = 5

_K = IdentifierKind
_ICCID = IdentifierKind.ICCID
#: An ICCID as it is, without anything around it.
_USUAL = re.compile(r"89[0-9]{16,18}")
#: An ICCID of so many digits comes without its check digit.
_NO_CHECK_DIGIT = 18
_SEPARATORS = {
    ord(sign): None
    for sign in " \t.-/()_'\"\u00a0\u00ad\u200b\u200e\u200f\u2009\u202f\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufeff"
}
_LABEL = re.compile(r"(iccid|imeisv|imei|msisdn|eid)(?=[\s:=#\d])[\s:=#]*", re.IGNORECASE)
_LABELLED = {"iccid": _K.ICCID, "imei": _K.IMEI, "imeisv": _K.IMEI, "msisdn": _K.MSISDN, "eid": _K.EID}
_ROUNDED = re.compile(r"\d+(?:[.,]\d+)?e[+-]?\d+", re.IGNORECASE)
_WHOLE_FLOAT = re.compile(r"(\d+)\.0+")
#: Spreadsheets keep so many digits of a number and put zeros for the others.
_SPREADSHEET_DIGITS = 15


class Unreadable(NamedTuple):
    """A line that is no identifier.

    Attributes:
        code: stable, upper case.
        message: one sentence about the line, without its number.
        what_to_do: one sentence.
    """

    code: str
    message: str
    what_to_do: str


class ReadLines(NamedTuple):
    """Lines, read.

    Attributes:
        asked: lines that can be read, each identifier once, in order.
        duplicates: (line, first line) of those that say again what a line before them said.
        unreadable: (line, as asked, why) of the others.
    """

    asked: tuple[ReadLine, ...]
    duplicates: tuple[tuple[int, int], ...]
    unreadable: tuple[tuple[int, str, Unreadable], ...]


# --- one line --------------------------------------------------------------------------------------------------------


def read_line(text: str) -> Identifier | Unreadable:
    """One identifier of any kind.

    Args:
        text: with or without blanks, dashes, a leading label such as ``ICCID:``, quotes, padding with F.
    """
    plain = unicodedata.normalize("NFKC", text).strip().strip("\ufeff").strip()
    plain = plain.removeprefix("=").strip("'\"").strip()
    label = _LABEL.match(plain)
    kind = _LABELLED[label[1].lower()] if label else None
    plain = plain[label.end() :] if label else plain
    if _ROUNDED.fullmatch(plain.replace(" ", "")):
        return _rounded(plain)
    whole = _WHOLE_FLOAT.fullmatch(plain)
    if whole:
        if len(whole[1]) > _SPREADSHEET_DIGITS:
            return _rounded(plain)
        plain = whole[1]
    compact = plain.translate(_SEPARATORS)
    international = compact.startswith("+")
    digits = compact.removeprefix("+")
    if digits.startswith("89"):
        digits = digits.rstrip("Ff")
    if not digits.isascii() or not digits.isdigit():
        return _not_digits(plain, digits)
    if international or kind is _K.MSISDN:
        return _msisdn(digits)
    return _bare(digits, kind)


def _bare(digits: str, kind: IdentifierKind | None) -> Identifier | Unreadable:
    """Digits that do not say by a plus what they are; ``kind``: what a label said."""
    length = len(digits)
    if length == 32 and kind in {None, _K.EID}:
        warning = None if mod_97_10.is_valid(digits) else IdentifierWarning.CHECK_DIGIT
        return Identifier(_K.EID, digits, (), warning)
    if 18 <= length <= 20 and kind in {None, _K.ICCID}:
        if digits.startswith("89"):
            return _iccid(digits)
        return Unreadable(
            "ICCID_PREFIX",
            f"“{digits}” has the length of an ICCID, but does not begin with 89.",
            "Compare it with the SIM card; a digit at its beginning may be missing.",
        )
    if length == 16 and kind in {None, _K.IMEI}:
        return Identifier(_K.IMEI, digits[:14])
    if length == 15 and kind in {None, _K.IMEI}:
        return _fifteen(digits, kind)
    if length < 15 and kind is None:
        return _msisdn(digits)
    what = f"no {kind.upper()}" if kind else "no identifier"
    return Unreadable(
        "LENGTH",
        f"“{_short(digits)}” has {length} digits, which is {what}.",
        "Compare it with its source; an ICCID has 18 to 20 digits, an IMEI 15 or 16, an EID 32, an MSISDN up to 15.",
    )


def _fifteen(digits: str, kind: IdentifierKind | None) -> Identifier:
    """An IMEI, or a phone number of the longest kind: the check digit says which is surer, the database which it is."""
    imei = Reading(_K.IMEI, digits[:14])
    fits = luhn_sum(digits) % 10 == 0
    if kind is None and _possible(digits):
        number = Reading(_K.MSISDN, digits)
        first, second = (imei, number) if fits else (number, imei)
        return Identifier(first.kind, first.value, (second,))
    return Identifier(_K.IMEI, imei.value, (), None if fits else IdentifierWarning.CHECK_DIGIT)


def _iccid(digits: str) -> Identifier:
    is_wrong = len(digits) > _NO_CHECK_DIGIT and luhn_sum(digits) % 10 != 0
    return Identifier(_K.ICCID, digits, (), _wrong_check_digit(digits) if is_wrong else None)


def _wrong_check_digit(iccid: str) -> IdentifierWarning:
    zeros = "0" * (len(iccid) - _SPREADSHEET_DIGITS)
    return IdentifierWarning.ROUNDED if iccid.endswith(zeros) else IdentifierWarning.CHECK_DIGIT


def _msisdn(digits: str) -> Identifier | Unreadable:
    digits = digits.removeprefix("00")
    if _possible(digits):
        return Identifier(_K.MSISDN, digits)
    return Unreadable(
        "MSISDN_IMPOSSIBLE",
        f"“{_short(digits)}” is too short or too long for any identifier, also for a phone number.",
        "Write phone numbers with their country code, such as +1 274 555 0005; compare others with their source.",
    )


def _possible(digits: str) -> bool:
    return 7 <= len(digits) <= 15 and digits[0] != "0" and _possible_range(digits[:7], len(digits))


@lru_cache(maxsize=65_536)
def _possible_range(start: str, length: int) -> bool:
    """Whether numbers that begin so may have this length. Country code and length decide, the other digits do not."""
    try:
        number = phonenumbers.parse(f"+{start}{'1' * (length - len(start))}")
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_possible_number(number)


def _rounded(plain: str) -> Unreadable:
    return Unreadable(
        "ROUNDED_BY_SPREADSHEET",
        f"“{_short(plain)}” is what a spreadsheet leaves of a long number: it was rounded, its last digits are lost.",
        "Export the list again from its source with the column formatted as text, and do not save it from a "
        "spreadsheet in between.",
    )


def _not_digits(plain: str, compact: str) -> Unreadable:
    if not compact:
        return Unreadable("NO_DIGITS", f"“{_short(plain)}” holds no digits.", "Take the line out.")
    if any(sign in plain for sign in ",;|"):
        return Unreadable(
            "SEVERAL_VALUES",
            f"“{_short(plain)}” holds several values.",
            "Write one identifier a line, or import the list as a CSV file.",
        )
    return Unreadable(
        "NOT_DIGITS",
        f"“{_short(plain)}” is no identifier: it holds other signs than digits.",
        "Write an ICCID, IMEI, EID or phone number, or take the line out.",
    )


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"


# --- many lines ------------------------------------------------------------------------------------------------------

#: Tuples of their values: half the time of a call, which counts where there are a hundred thousand lines.
_identifier: Callable[[tuple[Any, ...]], Identifier] = partial(tuple.__new__, Identifier)
_read_line: Callable[[tuple[Any, ...]], ReadLine] = partial(tuple.__new__, ReadLine)


def read_lines(lines: Sequence[str]) -> ReadLines:
    """Reads every line; blank ones are left out, but counted. Nothing is raised."""
    asked: list[ReadLine] = []
    duplicates: list[tuple[int, int]] = []
    unreadable: list[tuple[int, str, Unreadable]] = []
    first_lines: dict[tuple[str, str] | str, int] = {}
    texts = list(map(str.strip, lines))
    iccids = list(filter(_USUAL.fullmatch, texts))
    wrong = wrong_by_luhn([iccid for iccid in iccids if len(iccid) > _NO_CHECK_DIGIT])
    usual = frozenset(iccids)
    if len(usual) == len(texts) and not wrong:  # what nearly all lists are
        identifiers = map(_identifier, zip(repeat(_ICCID), texts, repeat(()), repeat(None)))
        return ReadLines(tuple(map(_read_line, zip(count(1), texts, identifiers))), (), ())
    for line, text in enumerate(texts, 1):
        if text in usual:
            if first_lines.setdefault(text, line) == line:
                warning = _wrong_check_digit(text) if text in wrong else None
                asked.append(_read_line((line, text, _identifier((_ICCID, text, (), warning)))))
            else:
                duplicates.append((line, first_lines[text]))
            continue
        if not text:
            continue
        identifier = read_line(text)
        if isinstance(identifier, Unreadable):
            unreadable.append((line, text[:LONGEST_LINE], identifier))
            continue
        kind, value, *_ = identifier
        first = first_lines.setdefault(value if kind is _ICCID else (kind, value), line)
        if first == line:
            asked.append(ReadLine(line, text[:LONGEST_LINE], identifier))
        else:
            duplicates.append((line, first))
    return ReadLines(tuple(asked), tuple(duplicates), tuple(unreadable))


def refuse_unreadable(read: ReadLines) -> None:
    """Raises where a request cannot be taken as it is.

    Raises:
        RequestRefused: no line at all, or a line that cannot be read: the error names the first of them and counts all.
    """
    if not read.unreadable:
        if not read.asked:
            raise RequestRefused(
                "NO_DEVICES", "No device was named.", "Name at least one device by ICCID, IMEI, phone number or EID."
            )
        return
    codes = {why.code for _line, _text, why in read.unreadable}
    count = len(read.unreadable)
    total = count + len(read.asked) + len(read.duplicates)
    shown = "; ".join(f"line {line}: {why.message.rstrip('.')}" for line, _text, why in read.unreadable[:_NAMED_LINES])
    more = f"; and {count - _NAMED_LINES:,} more" if count > _NAMED_LINES else ""
    first = read.unreadable[0][2]
    raise RequestRefused(
        first.code if len(codes) == 1 else "LINES_UNREADABLE",
        f"{count:,} of {total:,} lines cannot be read: {shown}{more}.",
        first.what_to_do if len(codes) == 1 else "Correct these lines or take them out; nothing was done.",
    )

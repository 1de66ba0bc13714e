"""What a cell of existing data may hold: each function reads a text that is not empty, or says why it cannot."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import date, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from desktop_app.association.identifiers import Unreadable, read_line
from desktop_app.association.model import IdentifierKind, IdentifierWarning

_SEPARATORS = str.maketrans("", "", " -./")
_FLAGS = {
    **dict.fromkeys(("true", "yes", "y", "1", "t", "on", "x"), True),
    **dict.fromkeys(("false", "no", "n", "0", "f", "off"), False),
}
_DAY = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?:[T ].*)?")
_DOTTED_DAY = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})")
_MAPPING_KEYS = {"version", "providers", "plans"}
_PROVIDER_KEYS = {"provider_id", "service_type_id"}
_PLAN_KEYS = {"product_id", "package_id"}


class WrongValue(ValueError):
    """A value that cannot be taken over: code, message, what to do."""

    def __init__(self, code: str, message: str, what_to_do: str) -> None:
        super().__init__(code, message, what_to_do)


def text(most: int) -> Callable[[str], str]:
    """A reader of texts of at most so many characters."""

    def read(cell: str) -> str:
        if not cell.isascii():
            cell = unicodedata.normalize("NFC", cell)
        if len(cell) > most:
            raise WrongValue("TEXT_TOO_LONG", f"It has {len(cell)} characters; {most} are the most.", "Shorten it.")
        if "\x00" in cell:
            raise WrongValue("TEXT_UNREADABLE", "It holds a character of number 0.", "Export the file again as text.")
        return cell

    return read


def key(most: int) -> Callable[[str], str]:
    """A reader of codes and account numbers: texts in one line, which a spreadsheet has not rounded."""
    plain = text(most)

    def read(cell: str) -> str:
        if "\n" in cell or "\r" in cell or "\t" in cell:
            raise WrongValue("CODE_UNREADABLE", "A code stands in one line, without tabs.", "Correct it.")
        if "E+" in cell and re.fullmatch(r"\d+(?:[.,]\d+)?E\+\d+", cell):
            raise WrongValue(
                "ROUNDED_BY_SPREADSHEET",
                "It is what a spreadsheet leaves of a long number: its last digits are lost.",
                "Export the list again with the column formatted as text.",
            )
        return plain(cell)

    return read


def flag(cell: str) -> bool:
    """Yes or no."""
    value = _FLAGS.get(cell.casefold())
    if value is None:
        raise WrongValue("FLAG_UNREADABLE", "It is neither yes nor no.", "Write yes or no.")
    return value


def choice(*words: str) -> Callable[[str], str]:
    """A reader of one of these words; capitals, blanks and hyphens do not matter."""
    known = {str(word): str(word) for word in words}

    def read(cell: str) -> str:
        word = known.get(cell) or known.get(cell.casefold().replace(" ", "_").replace("-", "_"))
        if word is None:
            raise WrongValue("VALUE_UNKNOWN", "There is no such value here.", f"Write one of: {', '.join(known)}.")
        return word

    return read


def whole(least: int, most: int) -> Callable[[str], int]:
    """A reader of whole numbers within bounds."""

    def read(cell: str) -> int:
        digits = cell.removesuffix(".0")
        if not digits.isascii() or not digits.isdigit() or not least <= int(digits) <= most:
            raise WrongValue(
                "NUMBER_UNREADABLE", f"It is no whole number from {least:,} to {most:,}.", "Write digits alone."
            )
        return int(digits)

    return read


@lru_cache(maxsize=65_536)
def day(cell: str) -> date:
    """A calendar date: ``2026-11-24`` (a time behind it is left out), ``2026/11/24`` or ``24.11.2026``."""
    try:
        if found := _DAY.fullmatch(cell):
            value = date(int(found[1]), int(found[2]), int(found[3]))
        elif found := _DOTTED_DAY.fullmatch(cell):
            value = date(int(found[3]), int(found[2]), int(found[1]))
        else:
            raise WrongValue(
                "DATE_UNREADABLE",
                "It cannot be read as a date without guessing what is day and what is month.",
                "Write it as year-month-day, such as 2026-11-24.",
            )
    except WrongValue:
        raise
    except ValueError:
        raise WrongValue("DATE_UNREADABLE", "There is no such day.", "Correct it.") from None
    if not 1970 <= value.year <= 2199:
        raise WrongValue("DATE_UNREADABLE", f"The year {value.year} is none of these data.", "Correct it.")
    return value


# --- identifiers -----------------------------------------------------------------------------------------------------


class Iccid(NamedTuple):
    """An ICCID, and how else the same SIM is written.

    Attributes:
        value: as it stands there, digits alone.
        shorter, longer: without its check digit, and with one; None where there is no such way to write it.
    """

    value: str
    shorter: str | None
    longer: str | None


def iccid(cell: str) -> Iccid:
    """An ICCID; a wrong check digit is taken as it is, since the carrier's own data hold such."""
    found = read_line(cell)
    if isinstance(found, Unreadable):
        raise WrongValue(found.code, found.message, found.what_to_do)
    if found.kind is not IdentifierKind.ICCID:
        raise WrongValue(
            "ICCID_UNREADABLE",
            f"It is no ICCID but reads as {found.kind.upper()}.",
            "Write 18 to 20 digits from 89 on.",
        )
    if found.warning is IdentifierWarning.ROUNDED:
        raise WrongValue(
            "ROUNDED_BY_SPREADSHEET",
            "It ends in zeros where its check digit is wrong: a spreadsheet has rounded it.",
            "Export the list again from its source with the column formatted as text.",
        )
    shorter = longer = None
    for _kind, other in found.alternatives:
        if len(other) < len(found.value):
            shorter = other
        else:
            longer = other
    return Iccid(found.value, shorter, longer)


def imei(cell: str) -> str:
    """An IMEI or IMEISV, as digits."""
    digits = cell.translate(_SEPARATORS)
    if not digits.isascii() or not digits.isdigit() or not 14 <= len(digits) <= 16:
        raise WrongValue("IMEI_UNREADABLE", "It is no IMEI.", "Write its 15 digits (16 as IMEISV), or leave it empty.")
    return digits


def msisdn(cell: str) -> str:
    """A phone number with its country code, as digits without the plus."""
    found = read_line(cell if cell.startswith("+") else f"+{cell}")
    if isinstance(found, Unreadable):
        raise WrongValue(found.code, found.message, found.what_to_do)
    return found.value


def eid(cell: str) -> str:
    """An EID, as digits."""
    digits = cell.translate(_SEPARATORS)
    if not digits.isascii() or not digits.isdigit() or len(digits) != 32:
        raise WrongValue("EID_UNREADABLE", "It is no EID.", "Write its 32 digits, or leave it empty.")
    return digits


# --- what billing calls our things -----------------------------------------------------------------------------------


def mapping(cell: str) -> Mapping[str, Any]:
    """What a billing company calls our service providers and rate plans, as JSON; with nothing else in it.

    Nothing else: a document that may hold anything would sooner or later hold a password.
    """
    try:
        document = json.loads(cell)
    except ValueError as error:
        raise WrongValue("MAPPING_UNREADABLE", f"It is no JSON: {error}.", _MAPPING_ADVICE) from None
    if not isinstance(document, dict) or not set(document) <= _MAPPING_KEYS or document.get("version", 1) != 1:
        raise WrongValue(
            "MAPPING_UNREADABLE",
            "It is an object of version, providers and plans, and of nothing else.",
            _MAPPING_ADVICE,
        )
    for part, allowed in (("providers", _PROVIDER_KEYS), ("plans", _PLAN_KEYS)):
        entries = document.get(part, {})
        if not isinstance(entries, dict) or not all(_is_entry(entry, allowed) for entry in entries.values()):
            raise WrongValue(
                "MAPPING_UNREADABLE",
                f"What stands under {part} are objects of {' and '.join(sorted(allowed))}, and of nothing else.",
                _MAPPING_ADVICE,
            )
    return {"version": 1, "providers": document.get("providers", {}), "plans": document.get("plans", {})}


_MAPPING_ADVICE = "Write it as docs/importing.md shows it; secrets belong into the keyring of each machine."


def _is_entry(entry: Any, allowed: set[str]) -> bool:
    return (
        isinstance(entry, dict)
        and set(entry) <= allowed
        and all(isinstance(value, str | int) and len(str(value)) <= 40 for value in entry.values())
    )


def as_cell(value: Any) -> str:
    """A value of another database as a cell of a file."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.date().isoformat()
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.5E}"
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return str(value)

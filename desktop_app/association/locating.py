"""Which of the devices that fit an identifier is meant.

A device is looked for on the asked service provider, or must be on exactly one where none was asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from desktop_app.association.facts import AskedDevice, DeviceFacts, ServiceProviderFacts
from desktop_app.association.model import Identifier, IdentifierKind, IdentifierWarning

#: Codes of what is said of a device that was not found, and what a group of them is called.
NOT_LOCATED_TITLES = {
    "NOT_FOUND": "are not known",
    "AMBIGUOUS": "are not clear: several devices fit",
    "NOT_ON_SERVICE_PROVIDER": "are not on the chosen service provider",
}
#: ICCIDs that a sentence names.
_MOST_NAMED = 5


class NotLocated(NamedTuple):
    """Why there is not exactly one device."""

    code: str
    message: str
    what_to_do: str


class Locator:
    """Chooses among the devices that fit.

    Args:
        service_providers: all of them, by handle.
        asked: the one that was asked for; None: each device's only one.
    """

    def __init__(
        self, service_providers: Mapping[int, ServiceProviderFacts], asked: ServiceProviderFacts | None
    ) -> None:
        self._providers = service_providers
        self._asked = asked
        #: Handles of the service providers on which a device may be.
        self.fits = frozenset(service_providers if asked is None else {asked.service_provider_id})

    def locate(self, asked: AskedDevice) -> DeviceFacts | NotLocated:
        """The device that is meant, or why there is not exactly one."""
        candidates: Sequence[DeviceFacts] = asked.candidates
        if len(candidates) == 1 and candidates[0].situation.service_provider_id in self.fits:
            return candidates[0]
        if not candidates:
            return _not_found(asked.identifier)
        here = [device for device in candidates if device.situation.service_provider_id in self.fits]
        if not here:
            return self._elsewhere(candidates)
        here = _exact_before_others(here, asked.identifier)
        # what is deleted or archived on one service provider does not hide the same SIM on another
        usable = [device for device in here if not _is_gone(device)] or here
        return usable[0] if len(usable) == 1 else self._ambiguous(usable, asked.identifier)

    def providers_of(self, asked: AskedDevice) -> tuple[str, ...]:
        """Codes of the service providers that the candidates are on."""
        return tuple(
            sorted({self._providers[device.situation.service_provider_id].code for device in asked.candidates})
        )

    def _elsewhere(self, devices: Sequence[DeviceFacts]) -> NotLocated:
        asked = "the chosen one" if self._asked is None else self._asked.name
        return NotLocated(
            "NOT_ON_SERVICE_PROVIDER",
            f"It is on {self._names(devices)}, not on {asked}.",
            "Choose the service provider that the device is on, or none.",
        )

    def _ambiguous(self, devices: Sequence[DeviceFacts], identifier: Identifier | None) -> NotLocated:
        if len({device.situation.service_provider_id for device in devices}) == len(devices):
            return NotLocated(
                "AMBIGUOUS",
                f"It is on {len(devices)} service providers: {self._names(devices)}.",
                "Choose the service provider.",
            )
        iccids = sorted({device.iccid for device in devices})
        shown = ", ".join(iccids[:_MOST_NAMED]) + (" …" if len(iccids) > _MOST_NAMED else "")
        return NotLocated(
            "AMBIGUOUS",
            f"Several devices bear this {_kinds(identifier)}: {shown}.",
            "Name the device by its ICCID.",
        )

    def _names(self, devices: Iterable[DeviceFacts]) -> str:
        return " and ".join(sorted({self._providers[device.situation.service_provider_id].name for device in devices}))


def _is_gone(device: DeviceFacts) -> bool:
    return device.situation.is_deleted or device.situation.is_archived


def _exact_before_others(devices: list[DeviceFacts], identifier: Identifier | None) -> list[DeviceFacts]:
    """Where a device has exactly the asked ICCID, one with or without a check digit is another SIM."""
    if identifier is None or identifier.kind is not IdentifierKind.ICCID:
        return devices
    return [device for device in devices if device.iccid == identifier.value] or devices


def _kinds(identifier: Identifier | None) -> str:
    if identifier is None:
        return "identifier"
    kinds = [identifier.kind, *(alternative.kind for alternative in identifier.alternatives)]
    return " or ".join(dict.fromkeys(kind.upper() for kind in kinds))


def _not_found(identifier: Identifier | None) -> NotLocated:
    if identifier is None:
        return NotLocated("NOT_FOUND", "The device does not exist any more.", "Take it out of the list.")
    message = f"No device has this {_kinds(identifier)}."
    if identifier.warning is IdentifierWarning.ROUNDED:
        return NotLocated(
            "NOT_FOUND",
            f"{message} It ends with zeros, as spreadsheets leave long numbers.",
            "Export the list again from its source with the column formatted as text.",
        )
    if identifier.warning is IdentifierWarning.CHECK_DIGIT:
        return NotLocated(
            "NOT_FOUND",
            f"{message} Its check digit is wrong, so that a digit is probably mistyped.",
            "Compare it with its source, digit by digit.",
        )
    return NotLocated(
        "NOT_FOUND", message, "Compare it with its source; if it is right, have the device imported first."
    )

"""Why devices of a job did not succeed, in a few words for each code.

A title goes on where "12 devices" ends: "12 devices belong to another customer".
"""

from __future__ import annotations

from desktop_app.association.errors import ASKED_IN_VAIN, NUMBER_TAKEN, ErrorKind
from desktop_app.association.locating import NOT_LOCATED_TITLES
from desktop_app.association.rules import DEVICE_RULES

#: Devices that were found, and may not be worked on.
NOT_TO_BE_WORKED_ON = frozenset({"DELETED", "ARCHIVED"})
#: What the operator may not do.
NOT_PERMITTED = frozenset({"NOT_PERMITTED", "REASSIGN_NOT_PERMITTED"})

#: What a retry may help against although nobody changes any data.
_PASSING = frozenset({ErrorKind.TRANSIENT, ErrorKind.UNKNOWN, ErrorKind.ENVIRONMENT})
_PASSING_CODES = frozenset({"IN_OPEN_WORK_ORDER", "BILLED_NOT_ASSOCIATED"})

_TITLES = {
    **NOT_LOCATED_TITLES,
    **{rule.code: rule.title for rule in DEVICE_RULES},
    "BILLED_NOT_ASSOCIATED": "are billed, but not associated with the customer",
    "BILLING_REFUSED": "were refused by billing",
    "BILLING_REFUSED_PRODUCT": "have a service, but billing refused a plan's product on it",
    "BILLING_BUSY": "wait since billing takes no further calls",
    "BILLING_NOT_REACHED": "could not be brought to billing",
    "DATABASE_RESTORED": "wait, since the database is a restored backup and billing is asked first",
    "BILLING_UNCLEAR": "never had a clear answer from billing, which does not have them",
    "BILLING_OUTCOME_UNKNOWN": "had no clear answer from billing",
    ASKED_IN_VAIN: "had no clear answer from billing, which cannot be asked for it yet",
    "BILLING_SERVICE_UNUSABLE": "have a service at billing that cannot be used",
    "BILLING_SERVICES_AMBIGUOUS": "have several services at billing",
    NUMBER_TAKEN: "have a number that another service at billing holds",
    "BILLING_PRODUCTS_AMBIGUOUS": "have a plan's product several times at billing",
    "CANCELLED": "were cancelled",
}


def title(code: str, message: str) -> str:
    """What happened to these devices.

    Args:
        message: of one of them, for a code that is not known here (of a newer program, say).
    """
    return _TITLES.get(code) or f"failed, such as: {message}"


def may_pass_by_itself(code: str, kind: str | None) -> bool:
    """Whether a retry may help although no data is changed."""
    return code in _PASSING_CODES or kind in _PASSING

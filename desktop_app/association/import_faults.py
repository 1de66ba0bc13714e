"""Why the database does not take a row of existing data that is well formed: what it says, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from desktop_app.association.import_rows import RowFault

#: Code → which value is wrong, message (with what the database names), what to do.
FAULTS: Mapping[str, tuple[str, str, str]] = {
    "SERVICE_PROVIDER_UNKNOWN": (
        "service_provider", "There is no service provider of this code.", "Import it first, or correct the code.",
    ),
    "BILLING_CREDENTIAL_UNKNOWN": (
        "billing_credential", "There is no billing credential of this code.", "Import it first, or correct the code.",
    ),
    "CUSTOMER_UNKNOWN": (
        "account_number", "There is no customer of this account number.", "Import it first, or correct the number.",
    ),
    "SITE_UNKNOWN": ("site", "The customer has no site of this code.", "Import it first, or correct the code."),
    "DEVICE_UNKNOWN": (
        "iccid", "The service provider has no device of this ICCID.", "Import it first, or correct the ICCID.",
    ),
    "CARRIER_RATE_PLAN_UNKNOWN": (
        "carrier_rate_plan", "The service provider has no carrier rate plan of this code.",
        "Import it first, or correct the code.",
    ),
    "CUSTOMER_RATE_PLAN_UNKNOWN": (
        "customer_rate_plan", "There is no customer rate plan of this code.", "Import it first, or correct the code.",
    ),
    "DEFAULT_RATE_PLAN_UNKNOWN": (
        "default_customer_rate_plan", "There is no customer rate plan of this code for this customer.",
        "Import it first, or correct the code.",
    ),
    "CUSTOMER_RATE_PLAN_OF_ANOTHER": (
        "customer_rate_plan", "This rate plan is another customer's own.", "Name a plan of this customer, or of all.",
    ),
    "DEFAULT_TAKEN": (
        "is_default", "{about} is the default already.", "Say no for that one in the same file, or here.",
    ),
    "DEFAULT_TWICE": ("is_default", "The row of {about} is to be the default too.", "Say yes for one of them only."),
    "OWNED_BY_ANOTHER": (
        "account_number", "The device is owned by customer {about}; an import takes nothing from anybody.",
        "Correct the row, or reassign the device with an association.",
    ),
    "OWNERSHIP_SCHEDULED": (
        "iccid", "The device has an owner to come: customer {about}.",
        "Correct the row, or wait for that day and use an association.",
    ),
    "EFFECTIVE_FROM_MISSING": (
        "effective_from", "It is empty, and the device has no activation date either.", "Fill it in.",
    ),
    "BEGINS_AHEAD": (
        "effective_from", "It would begin on {about}; only what stands now is imported.",
        "Submit an association with this effective date.",
    ),
    "BEGINS_BEFORE_PREVIOUS_END": (
        "effective_from", "The previous ownership of the device ended on {about}.", "Correct the date.",
    ),
    "BEGINS_AFTER_ITS_END": ("effective_from", "The ownership ends on {about}.", "Correct the date."),
    "IN_OPEN_JOB": (
        "iccid", "Job {about} works on this device.", "Import the row again when that job is over.",
    ),
    "SERVICE_OF_ANOTHER_DEVICE": (
        "service_id", "This billing service is that of device {about}.", "Correct the service id or the ICCID.",
    ),
    "SERVICE_OF_ANOTHER_CUSTOMER": (
        "account_number", "This billing service is that of customer {about}.", "Correct the row.",
    ),
    "EFFECTIVE_DATE_MISSING": (
        "effective_date", "It is empty, and the device has no activation date either.", "Fill it in.",
    ),
    "ENDS_BEFORE_IT_BEGINS": ("ended_on", "It begins on {about}.", "Correct one of the two dates."),
    "REFUSED_BY_DATABASE": (
        "", "The database refused the row: {about}.", "Compare it with what the database holds, and correct it.",
    ),
}  # fmt: skip


def database_fault(line: int, code: str, about: str, shown: Callable[[str], str]) -> RowFault:
    """What the database said about a row.

    Args:
        about: what stands in its way: a customer, a job, a date; "" for nothing.
        shown: gives the row's value of a column.
    """
    column, message, what_to_do = FAULTS[code]
    return RowFault(line, column, shown(column) if column else "", code, message.format(about=about), what_to_do)

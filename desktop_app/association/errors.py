"""Errors that a person reads: what happened, to which device, what to do; and the four kinds that say what follows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ErrorKind(StrEnum):
    """The kind of an error decides what happens next, nothing else does."""

    TRANSIENT = "transient"  #: nothing was made and a later try may work: retried at a stored time
    PERMANENT = "permanent"  #: the data is wrong: not retried, says what to do
    UNKNOWN = "unknown"  #: billing may have acted: wait the settle time, then ask billing before any second POST
    ENVIRONMENT = "environment"  #: billing or database unreachable, credential refused: the job pauses itself


#: Code of an unknown outcome that billing was asked for in vain. Nothing is asked before the settle time is over: what
#: was sent does not come into being any more, whatever the wait until billing is asked again.
ASKED_IN_VAIN = "BILLING_CANNOT_BE_ASKED"
#: Code of what was found at billing under the device's number, and carries no reference of ours: none of ours made it.
NUMBER_TAKEN = "BILLING_NUMBER_TAKEN"


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as it is stored and shown.

    Attributes:
        code: stable, upper case, such as ``BILLING_REFUSED``.
        message: one sentence: what happened, to what.
        what_to_do: one sentence: what a person does now.
        kind: see :class:`ErrorKind`.
    """

    code: str
    message: str
    what_to_do: str
    kind: ErrorKind = ErrorKind.PERMANENT


class AssociationError(Exception):
    """Base of every error that is meant for a person. Carries code, message and what to do.

    Attributes:
        exit_code: what the command line ends with.
    """

    exit_code = 2

    def __init__(self, code: str, message: str, what_to_do: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.what_to_do = what_to_do

    def __reduce__(self) -> tuple[type[AssociationError], tuple[str, str, str]]:
        return type(self), (self.code, self.message, self.what_to_do)


class RequestRefused(AssociationError):
    """The request cannot be taken: bad input, no right, or the check's answer has changed. Nothing was changed."""

    exit_code = 2


class NotFound(RequestRefused):
    """What was named (a job, a device, a customer, a plan) does not exist or may not be seen."""


class EnvironmentFault(AssociationError):
    """Database or billing unreachable, damaged, locked, or the credential refused. Neither a bug nor wrong data."""

    exit_code = 3


class Cancelled(Exception):
    """A desk call was cancelled by its caller; nothing was changed."""

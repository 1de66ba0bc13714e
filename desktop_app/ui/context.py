"""What every page is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from PySide6.QtCore import QSettings

from desktop_app.ui import words
from desktop_app.ui.palette import Tone

if TYPE_CHECKING:
    from desktop_app.desk.machine import Machine
    from desktop_app.desk.protocol import Capabilities, Desk, RequestDraft
    from desktop_app.ui.background import Background


class Notify(Protocol):
    """Shows a short message over the window and has it read out."""

    def __call__(
        self, text: str, tone: Tone = Tone.OK, *, action: str = "", run: Callable[[], None] | None = None
    ) -> None: ...


@dataclass(frozen=True, slots=True, weakref_slot=True)  # Qt keeps a weak reference to whose method is connected
class Context:
    """The desk, the door to the background, what may be done here, and where messages go.

    Attributes:
        show_job: opens the Jobs page at the job of this tracking number.
        show_associate: opens the Associate page.
        machine: the settings of this machine; None: they can only be read, through the desk.
        state: where the window keeps what a person chose; None: nowhere.
        fill_in: opens the Associate page, filled in with a job's request for some of its devices.
    """

    desk: Desk
    background: Background
    capabilities: Capabilities
    clock: words.Clock
    notify: Notify
    show_job: Callable[[str], None]
    show_associate: Callable[[], None]
    fill_in: Callable[[RequestDraft], None]
    machine: Machine | None = None
    state: QSettings | None = None
    provider_names: dict[str, str] = field(default_factory=dict)  #: of service providers, by code, as far as known

    def provider_name(self, code: str) -> str:
        """The name of a service provider."""
        return self.provider_names.get(code, code)

    def complain(self, error: Exception) -> None:
        """Shows an error: what happened and what to do."""
        trouble = words.trouble(error)
        self.notify(f"{trouble.message} {trouble.what_to_do}", Tone.ERROR)

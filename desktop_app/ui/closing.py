"""Closing the window while jobs run: what happens to them is said first, and a person decides when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QWidget

from desktop_app.association.states import JobState
from desktop_app.ui import words
from desktop_app.ui.widgets.dialogs import Dialog
from desktop_app.ui.widgets.labels import label

if TYPE_CHECKING:
    from desktop_app.desk.protocol import JobRow

#: In these an engine has something to do now; a paused job waits whether the window is open or not.
AT_WORK = frozenset({JobState.QUEUED, JobState.RUNNING, JobState.FINISHING})
_MOST_NAMED = 5


def at_work(jobs: Sequence[JobRow]) -> tuple[JobRow, ...]:
    """The jobs that the engine of this window would be taken away from."""
    return tuple(job for job in jobs if job.state in AT_WORK)


def _title(jobs: int) -> str:
    if jobs == 1:
        return QCoreApplication.translate("ClosingDialog", "1 job is running")
    return QCoreApplication.translate("ClosingDialog", "{n} jobs are running").format(n=words.number(jobs))


class ClosingDialog(Dialog):
    """Asks when to close. Esc and Enter keep the window open."""

    def __init__(
        self, parent: QWidget, jobs: Sequence[JobRow], *, close_now: Callable[[], None], close_later: Callable[[], None]
    ) -> None:
        super().__init__(parent, _title(len(jobs)), "closingDialog", width=560)
        named = [
            self.tr("{number} · {customer} · {done} of {total} done").format(
                number=job.tracking_number,
                customer=job.customer,
                done=words.number(job.counts.done),
                total=words.number(job.counts.total),
            )
            for job in jobs[:_MOST_NAMED]
        ]
        self.body.addWidget(label("\n".join(named), wrap=True))
        if len(jobs) > _MOST_NAMED:
            self.body.addWidget(label(self.tr("and {n} more").format(n=words.number(len(jobs) - _MOST_NAMED)), "muted"))
        self.body.addWidget(
            label(
                self.tr(
                    "Nothing is lost either way. If you close now, calls to billing that are under way are finished "
                    "and recorded first; the rest stays in the database and goes on when the program is started again, "
                    "or at once where another desk or worker is running."
                ),
                "muted",
                wrap=True,
            )
        )
        stay = self.add_button(self.tr("Keep open"), self.reject, default=True, name="keepOpenButton")
        self.add_button(self.tr("Close when done"), self._then(close_later), name="closeLaterButton")
        self.add_button(self.tr("Close now"), self._then(close_now), kind="danger", name="closeNowButton")
        stay.setFocus()

    def _then(self, run: Callable[[], None]) -> Callable[[], None]:
        def accept() -> None:
            self.accept()
            run()

        return accept

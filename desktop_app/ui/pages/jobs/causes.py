"""Why devices of a job did not succeed, by cause, each with what leads out of it."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QGridLayout, QWidget

from desktop_app.association.states import WorkOrderState
from desktop_app.desk.protocol import CauseGroup
from desktop_app.ui import words
from desktop_app.ui.palette import Tone
from desktop_app.ui.widgets.info_bar import InfoBar
from desktop_app.ui.widgets.tab_order import join

#: Causes are shown side by side, two in a row, and no more than this.
MOST_CAUSES = 4
#: From this width on (pixels) there are two in a row.
TWO_ABREAST = 700
#: From this width on each cause says what to do.
WIDE = 1_000

_W = WorkOrderState
_FIRST = (_W.FAILED, _W.OUTCOME_UNKNOWN, _W.REJECTED)


def _urgency(cause: CauseGroup) -> tuple[bool, int, int]:
    """What somebody should look at first comes first: what is billed already, then what a person must decide."""
    place = _FIRST.index(cause.state) if cause.state in _FIRST else len(_FIRST)
    return cause.code != "BILLED_NOT_ASSOCIATED", -1 if cause.undecided else place, -cause.count


class CauseArea(QWidget):
    """The causes of the chosen job.

    Signals:
        show_pressed(CauseGroup): its devices are to be listed.
        retry_pressed(CauseGroup): they are to be tried again.
        edit_pressed(CauseGroup): they are to be asked for again, changed.
        resolve_pressed(CauseGroup): a person decides what became of them.
    """

    show_pressed = Signal(object)
    retry_pressed = Signal(object)
    edit_pressed = Signal(object)
    resolve_pressed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(8)
        self._causes: tuple[CauseGroup, ...] = ()
        self._may_act = False
        self._is_brief = False
        self._columns = 0
        self.bars: list[InfoBar] = []
        self.hide()

    def show_causes(self, causes: tuple[CauseGroup, ...], *, may_act: bool) -> None:
        """Shows other causes; ``may_act``: this person may steer the job, and it can be steered now."""
        told = (one for one in causes if one.undecided or one.state is not _W.OUTCOME_UNKNOWN)  # the others: a notice
        shown = tuple(sorted(told, key=_urgency)[:MOST_CAUSES])
        if (shown, may_act) == (self._causes, self._may_act):
            return
        self._causes, self._may_act = shown, may_act
        for bar in self.bars:
            self._grid.removeWidget(bar)
            bar.clear_actions()
            bar.hide()
            bar.deleteLater()
        self.bars = [self._bar(cause) for cause in shown]
        join(self, (button for bar in self.bars for button in bar.actions_shown()))
        self._columns = 0
        self._place()
        for bar in self.bars:
            bar.show()
        self._write()
        self.setVisible(bool(shown))

    def _place(self) -> None:
        """Puts the bars in rows, as many abreast as there is room for."""
        columns = 2 if self.width() >= TWO_ABREAST and len(self.bars) > 1 else 1
        if columns == self._columns:
            return
        self._columns = columns
        for place, bar in enumerate(self.bars):
            self._grid.removeWidget(bar)
            self._grid.addWidget(bar, place // columns, place % columns)
        for column in (0, 1):
            self._grid.setColumnStretch(column, 1 if column < columns else 0)

    def set_brief(self, brief: bool) -> None:
        """Whether there is only room for what happened."""
        if brief != self._is_brief:
            self._is_brief = brief
            self._write()

    def _bar(self, cause: CauseGroup) -> InfoBar:
        tone = Tone.ERROR if cause.state is _W.FAILED and not cause.retryable else Tone.WARNING
        if cause.state is _W.WAITING_RETRY:
            tone = Tone.INFO
        bar = InfoBar(tone, self, stacked=True, abreast=True)
        bar.setToolTip(cause.what_to_do)
        count = words.number(cause.count)
        self._action(bar, cause, self.tr("Show {n}").format(n=count), self.show_pressed.emit, "cause")
        if self._may_act and (way := self._way_out(cause)) is not None:
            self._action(bar, cause, *way)
        return bar

    def _way_out(self, cause: CauseGroup) -> tuple[str, Callable[[CauseGroup], object], str] | None:
        """Its words, what it does, and its name; None: it goes on by itself, or nothing can be done here."""
        if cause.undecided:
            text = self.tr("Resolve {n}").format(n=words.number(cause.undecided))
            return text, self.resolve_pressed.emit, "resolve"
        if cause.state not in {_W.FAILED, _W.REJECTED}:
            return None
        if cause.retryable:
            return self.tr("Retry {n}").format(n=words.number(cause.count)), self.retry_pressed.emit, "retry"
        if cause.with_device:
            text = self.tr("Edit and resubmit {n}").format(n=words.number(cause.with_device))
            return text, self.edit_pressed.emit, "resubmit"
        return None

    def _action(
        self, bar: InfoBar, cause: CauseGroup, text: str, run: Callable[[CauseGroup], object], name: str
    ) -> None:
        def pressed() -> None:
            run(cause)

        button = bar.add_action(text, pressed, f"{name}_{cause.code}")
        button.setAccessibleName(f"{text}: {cause.title}")

    def _write(self) -> None:
        """Says what to do where there is room for it; else that is the tool tip, and stands in the list."""
        has_room = self.width() >= WIDE and not self._is_brief
        for bar, cause in zip(self.bars, self._causes, strict=True):
            bar.show_message(words.devices_that(cause.count, cause.title), cause.what_to_do if has_room else "")

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._place()
        self._write()

"""What the check says: proportions, counts that filter the list, and the problems by cause with what to do."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from desktop_app.association.model import REREAD_FINDINGS, CheckReport, FindingGroup, Severity
from desktop_app.ui import words
from desktop_app.ui.models.devices import Verdict
from desktop_app.ui.pages.associate.check_flow import CheckFlow, CheckState
from desktop_app.ui.palette import Tone
from desktop_app.ui.widgets.buttons import Button, CountButton
from desktop_app.ui.widgets.info_bar import InfoBar
from desktop_app.ui.widgets.labels import StatusLabel, label
from desktop_app.ui.widgets.segmented_bar import SegmentedBar
from desktop_app.ui.widgets.tab_order import join

#: More causes than this are not listed one by one; the export has them all.
MOST_GROUPS = 12


class CheckPanel(QWidget):
    """The check before submit; what stands in it is made by :meth:`build`.

    Signals:
        verdict_pressed(str): show the devices of this verdict, or all again ("").
        group_pressed(FindingGroup): show the devices of this cause.
        again_pressed(): check once more.
        reread_pressed(FindingGroup): ask billing about the services of these devices.
    """

    verdict_pressed = Signal(str)
    group_pressed = Signal(object)
    again_pressed = Signal()
    reread_pressed = Signal(object)

    def __init__(self, clock: words.Clock, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("checkPanel")
        self._clock = clock
        self._buttons: dict[Verdict, CountButton] = {}
        self._bars: list[InfoBar] = []
        self._reread_buttons: list[Button] = []
        self._is_rereading = False
        self._shown_report: CheckReport | None = None

    def build(self) -> None:
        """Fills the panel."""
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        head = QHBoxLayout()
        column.addLayout(head)
        head.addWidget(label(self.tr("Check before submit"), "heading"))
        head.addStretch(1)
        self._when = label("", "small")
        head.addWidget(self._when)
        self._bar = SegmentedBar()
        column.addWidget(self._bar)

        self._missing = QWidget()
        column.addWidget(self._missing)
        self._missing_rows = QVBoxLayout(self._missing)
        self._missing_rows.setContentsMargins(0, 0, 0, 0)
        self._missing_rows.setSpacing(2)
        self._wants_devices, self._wants_customer, self._wants_more = StatusLabel(), StatusLabel(), StatusLabel()
        for part in (self._wants_devices, self._wants_customer, self._wants_more):
            self._missing_rows.addWidget(part)
        self._missing_rows.addWidget(label(self.tr("The check runs by itself when this is done."), "small"))

        self._counts = QWidget()
        column.addWidget(self._counts)
        counts = QVBoxLayout(self._counts)
        counts.setContentsMargins(0, 0, 0, 0)
        counts.setSpacing(0)
        for verdict, status in (
            (Verdict.READY, words.ready()),
            (Verdict.WARNING, words.warning()),
            (Verdict.BLOCKED, words.blocked()),
        ):
            button = CountButton(status.icon, status.tone, f"check_{verdict}")
            button.clicked.connect(lambda on, verdict=verdict: self._pressed(verdict, on))
            self._buttons[verdict] = button
            counts.addWidget(button)

        self._groups = QWidget()
        self._group_column = QVBoxLayout(self._groups)
        self._group_column.setContentsMargins(0, 2, 0, 0)
        self._group_column.setSpacing(6)
        column.addWidget(self._groups)

    # --- what others call ---------------------------------------------------------------------------------------------

    def show_missing(self, *, devices: bool, customer: bool, more: str) -> None:
        """Shows what is still to be done before the check can run; ``more`` is a sentence, or ""."""
        for part, is_done, text in (
            (self._wants_devices, devices, self.tr("Select devices in the list")),
            (self._wants_customer, customer, self.tr("Choose a customer")),
        ):
            part.show_status("circle-check-filled" if is_done else "circle", text, Tone.OK if is_done else Tone.NEUTRAL)
        self._wants_more.show_status("circle", more, Tone.NEUTRAL)
        self._wants_more.setVisible(bool(more))

    def show_flow(self, flow: CheckFlow) -> None:
        """Shows where the check stands."""
        is_waiting, failed = flow.state is CheckState.WAITING, flow.state is CheckState.FAILED
        self._missing.setVisible(is_waiting)
        report = flow.answer.report if flow.answer else None
        self._bar.setVisible(not is_waiting and not failed)
        self._counts.setVisible(report is not None)
        self._when.setText(self._when_text(flow))
        if failed:
            self._show_error(flow.error)
            return
        fresh = flow.state is CheckState.FRESH
        if report is None:
            self._clear_groups()
            self._bar.show_segments((), 0, "")
            return
        if report is not self._shown_report:
            self._show_report(report)
        for button in self._buttons.values():
            button.setEnabled(fresh and button.isEnabled())
        if fresh:
            self._enable_counts(report)
        for bar in self._bars:
            bar.setEnabled(fresh)

    def show_pressed(self, verdict: str) -> None:
        """Marks the verdict whose devices are listed; "" marks none."""
        for key, button in self._buttons.items():
            button.setChecked(key == verdict)

    def show_rereading(self, on: bool) -> None:
        """While billing is asked it is not asked once more."""
        self._is_rereading = on
        for button in self._reread_buttons:
            button.setEnabled(not on)

    # --- parts --------------------------------------------------------------------------------------------------------

    def _when_text(self, flow: CheckFlow) -> str:
        match flow.state:
            case CheckState.RUNNING | CheckState.STALE:
                return self.tr("checking…") if flow.answer is None else self.tr("out of date, checking again…")
            case CheckState.FRESH if flow.answer is not None:
                return self.tr("checked {time}").format(time=self._clock.second(flow.answer.at))
            case _:
                return ""

    def _show_report(self, report: CheckReport) -> None:
        self._shown_report = report
        total = report.ready + report.warnings + report.blocked
        segments = ((Tone.OK, report.ready), (Tone.WARNING, report.warnings), (Tone.ERROR, report.blocked))
        spoken = self.tr("{ready} ready, {warnings} with a warning, {blocked} blocked").format(
            ready=words.number(report.ready),
            warnings=words.number(report.warnings),
            blocked=words.number(report.blocked),
        )
        self._bar.show_segments(segments, total, spoken)
        self._enable_counts(report)
        self._clear_groups()
        for finding in report.findings:
            if finding.line == 0:
                tone = Tone.ERROR if finding.severity is Severity.BLOCKED else Tone.WARNING
                self._add_bar(tone, finding.message, finding.what_to_do)
        about_devices = [group for group in report.groups if group.lines != (0,) and (group.packed or group.lines)]
        for group in about_devices[:MOST_GROUPS]:
            self._add_group(group)
        if len(about_devices) > MOST_GROUPS:
            rest = len(about_devices) - MOST_GROUPS
            self._add_bar(Tone.INFO, self.tr("{count} more causes").format(count=rest), self.tr("See Export check…"))
        join(self._groups, (button for bar in self._bars for button in bar.actions_shown()))

    def _enable_counts(self, report: CheckReport) -> None:
        for verdict, count, word, note in (
            (Verdict.READY, report.ready, self.tr("ready"), ""),
            (Verdict.WARNING, report.warnings, self.tr("with a warning"), self.tr("will be submitted")),
            (Verdict.BLOCKED, report.blocked, self.tr("blocked"), self.tr("will be skipped")),
        ):
            self._buttons[verdict].show_count(words.number(count), word, note if count else "", enabled=count > 0)

    def _add_group(self, group: FindingGroup) -> None:
        tone = Tone.ERROR if group.severity is Severity.BLOCKED else Tone.WARNING
        bar = self._add_bar(tone, words.devices_that(group.count, group.title), group.what_to_do)
        if group.packed:
            text = self.tr("Show {count}").format(count=words.number(len(group.packed) // 8))
            button = bar.add_action(text, lambda: self.group_pressed.emit(group), f"show_{group.code}")
            button.setAccessibleName(f"{text}: {group.title}")
        if group.code in REREAD_FINDINGS and group.packed:
            text = self.tr("Re-read {count}").format(count=words.number(len(group.packed) // 8))
            button = bar.add_action(text, lambda: self.reread_pressed.emit(group), f"reread_{group.code}")
            button.setToolTip(self.tr("Asks the billing company whether these services were ended there"))
            button.setAccessibleName(self.tr("{text} from billing: {title}").format(text=text, title=group.title))
            button.setEnabled(not self._is_rereading)
            self._reread_buttons.append(button)

    def _add_bar(self, tone: Tone, title: str, text: str) -> InfoBar:
        bar = InfoBar(tone, self._groups, stacked=True)
        bar.show_message(title, text)
        self._bars.append(bar)
        self._group_column.addWidget(bar)
        bar.show()
        return bar

    def _clear_groups(self) -> None:
        for bar in self._bars:
            self._group_column.removeWidget(bar)
            bar.clear_actions()
            bar.hide()
            bar.deleteLater()
        self._bars.clear()
        self._reread_buttons.clear()
        self._shown_report = None

    def _show_error(self, error: Exception | None) -> None:
        self._clear_groups()
        if error is not None:
            trouble = words.trouble(error)
            bar = self._add_bar(Tone.ERROR, trouble.message, trouble.what_to_do)
            again: Callable[[], None] = self.again_pressed.emit
            join(self._groups, [bar.add_action(self.tr("Check again"), again, "checkAgainButton")])

    def _pressed(self, verdict: Verdict, on: bool) -> None:
        self.show_pressed(verdict if on else "")
        self.verdict_pressed.emit(verdict if on else "")

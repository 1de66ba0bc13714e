"""One device of a job: the seven proofs, the steps, and what billing answered."""

from __future__ import annotations

import json
from dataclasses import asdict

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication, QTextOption
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QPlainTextEdit, QVBoxLayout, QWidget

from desktop_app.association.states import StepState, WorkOrderState
from desktop_app.desk.protocol import StepRow, WorkOrderDetail
from desktop_app.ui import words
from desktop_app.ui.context import Context
from desktop_app.ui.pages.device_record import DeviceRecordDialog
from desktop_app.ui.palette import Tone
from desktop_app.ui.widgets.buttons import Button
from desktop_app.ui.widgets.card import Card, Line
from desktop_app.ui.widgets.info_bar import InfoBar
from desktop_app.ui.widgets.labels import StatusLabel, label
from desktop_app.ui.widgets.scroll import PageScroll

WIDTH = 388
REFRESH_MS = 400


class DevicePanel(Card):
    """The chosen device of the chosen job.

    Signals:
        closed(): a person closed it.
        resolve_pressed(int): a person decides what became of the device of this line.
    """

    closed = Signal()
    resolve_pressed = Signal(int)

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent, padding=0, spacing=0)
        self.setObjectName("devicePanel")
        self.setAccessibleName(self.tr("Device of the job"))
        self.setFixedWidth(WIDTH)
        self._context = context
        self._which: tuple[str, int] = ("", 0)
        self._detail: WorkOrderDetail | None = None
        head = QHBoxLayout()
        head.setContentsMargins(16, 12, 8, 8)
        self._title = label("", "heading")
        self._title.setStyleSheet("font-size: 14px;")
        self._title.setTextInteractionFlags(_SELECTABLE)
        head.addWidget(self._title)
        copy = Button(kind="icon", icon="copy", accessible=self.tr("Copy ICCID"), tip=self.tr("Copy ICCID"))
        copy.clicked.connect(self._copy)
        head.addWidget(copy)
        head.addStretch(1)
        close = Button(
            kind="icon", icon="x", name="closeDevicePanel", accessible=self.tr("Close"), tip=self.tr("Close  Esc")
        )
        close.clicked.connect(self.close_panel)
        head.addWidget(close)
        self.body.addLayout(head)
        self._scroll = PageScroll(self.tr("Device of the job"))
        self.body.addWidget(self._scroll, 1)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REFRESH_MS)
        self._timer.timeout.connect(self._fetch)

    def show_work_order(self, tracking_number: str, line: int) -> None:
        """Opens the panel on one device."""
        self._which = (tracking_number, line)
        self._fetch()

    def job_changed(self) -> None:
        """The job has moved on: the device is read again."""
        if self.isVisible() and not self._timer.isActive():
            self._timer.start()

    def close_panel(self) -> None:
        """Hides the panel."""
        self._timer.stop()
        self._context.background.drop("work_order")
        if self.isVisible():
            self.hide()
            self._detail = None
            self.closed.emit()

    def _fetch(self) -> None:
        desk, (number, line) = self._context.desk, self._which
        self._context.background.run(
            lambda cancel: desk.work_order(number, line),
            done=self._show,
            failed=self._context.complain,
            key="work_order",
            owner=self,
        )

    def _copy(self) -> None:
        if self._detail is not None:
            QGuiApplication.clipboard().setText(self._detail.work_order.iccid or self._detail.work_order.asked_for)

    # --- content ------------------------------------------------------------------------------------------------------

    def _show(self, detail: WorkOrderDetail) -> None:
        if detail == self._detail:
            return
        self._detail = detail
        place = self._scroll.verticalScrollBar().value()
        self._title.setText(detail.work_order.iccid or detail.work_order.asked_for)
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(16, 0, 16, 12)
        column.setSpacing(6)
        self._add_state(column, detail)
        column.addWidget(Line())
        self._add_proofs(column, detail)
        column.addWidget(Line())
        self._add_steps(column, detail)
        self._add_answer(column, detail)
        column.addWidget(Line())
        self._add_facts(column, detail)
        column.addStretch(1)
        self._scroll.show_page(inside)
        self.show()
        self._scroll.verticalScrollBar().setValue(place)

    def _add_state(self, column: QVBoxLayout, detail: WorkOrderDetail) -> None:
        order = detail.work_order
        status = words.work_order_status(order.state)
        shown = StatusLabel()
        shown.show_status(status.icon, status.word, status.tone, strong=status.strong)
        row = QHBoxLayout()
        row.addWidget(shown)
        row.addStretch(1)
        row.addWidget(label(self._attempts(order.attempts), "small"))
        column.addLayout(row)
        if order.error is not None:
            bar = InfoBar(status.tone if status.strong else Tone.INFO, stacked=True)
            bar.show_message(order.error.message, order.error.what_to_do)
            column.addWidget(bar)
        if order.due_at is not None:
            due = self.tr("Goes on at {time}").format(time=self._context.clock.second(order.due_at))
            column.addWidget(label(due, "small"))
        column.addLayout(self._ways(detail))

    def _ways(self, detail: WorkOrderDetail) -> QHBoxLayout:
        """What can be done from here."""
        order = detail.work_order
        row = QHBoxLayout()
        row.setSpacing(4)
        is_undecided = order.state is WorkOrderState.OUTCOME_UNKNOWN and order.due_at is None
        if is_undecided and self._context.capabilities.may_associate:
            resolve = Button(self.tr("Resolve…"), kind="link", name="resolveDeviceButton")
            resolve.clicked.connect(lambda: self.resolve_pressed.emit(order.line))
            row.addWidget(resolve)
        if order.iccid and order.service_provider:
            record = Button(self.tr("Everything about this device"), kind="link", name="deviceRecordButton")
            record.clicked.connect(
                lambda: DeviceRecordDialog.open_named(self, self._context, order.iccid, order.service_provider)
            )
            row.addWidget(record)
        raw = Button(self.tr("Copy raw"), kind="link", name="copyRawButton")
        raw.setToolTip(self.tr("All that is stored of this device of the job, for support; it holds no secrets"))
        raw.clicked.connect(lambda: self._copy_raw(detail))
        row.addWidget(raw)
        row.addStretch(1)
        return row

    def _copy_raw(self, detail: WorkOrderDetail) -> None:
        number, _ = self._which
        document = {"tracking_number": number, **asdict(detail)}
        QGuiApplication.clipboard().setText(json.dumps(document, default=str, ensure_ascii=False, indent=2))
        self._context.notify(self.tr("Copied"), Tone.INFO)

    def _attempts(self, count: int) -> str:
        return self.tr("1 attempt") if count == 1 else self.tr("{n} attempts").format(n=count)

    def _add_proofs(self, column: QVBoxLayout, detail: WorkOrderDetail) -> None:
        column.addWidget(label(self.tr("Proofs"), "heading"))
        for field, name in words.proof_names():
            status = words.proof_status(getattr(detail.proofs, field))
            column.addLayout(self._pair(name, status))

    def _pair(self, name: str, status: words.Status) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(8)
        words_label = label(name, wrap=True)
        row.addWidget(words_label, 1)
        shown = StatusLabel()
        shown.show_status(status.icon, status.word, status.tone, strong=status.strong)
        shown.setAccessibleName(f"{name}: {status.word}")
        shown.setFixedWidth(140)
        row.addWidget(shown)
        return row

    def _add_steps(self, column: QVBoxLayout, detail: WorkOrderDetail) -> None:
        column.addWidget(label(self.tr("Steps"), "heading"))
        if not detail.steps:
            column.addWidget(label(self.tr("No step was begun."), "muted"))
        for step in detail.steps:
            column.addLayout(self._pair(words.step_name(step.step), words.step_status(step.state)))
            if step.state is not StepState.NOT_REQUESTED and (facts := self._step_facts(step)):
                column.addWidget(label(facts, "small", wrap=True))
            if step.answer and step.answer != detail.billing_answer and step.state in _ANSWER_MATTERS:
                answer = label(step.answer, "small", wrap=True)
                answer.setTextInteractionFlags(_SELECTABLE)
                column.addWidget(answer)

    def _step_facts(self, step: StepRow) -> str:
        facts = []
        if step.billing_id:
            facts.append(self.tr("billing id {id}").format(id=step.billing_id))
        if step.http_status is not None:
            facts.append(self.tr("HTTP {status}").format(status=step.http_status))
        if step.intent_at is not None and step.finished_at is None:
            facts.append(self.tr("asked at {time}").format(time=self._context.clock.second(step.intent_at)))
        if step.attempts > 1:
            facts.append(self._attempts(step.attempts))
        if facts and step.finished_at is not None:
            facts.append(self._context.clock.second(step.finished_at))
        if step.reference:
            facts.append(self.tr("reference {reference}").format(reference=step.reference))
        return " · ".join(facts)

    def _add_answer(self, column: QVBoxLayout, detail: WorkOrderDetail) -> None:
        if not detail.billing_answer:
            return
        column.addWidget(Line())
        head = QHBoxLayout()
        head.addWidget(label(self.tr("Billing’s answer"), "heading"))
        head.addStretch(1)
        copy = Button(kind="icon", icon="copy", accessible=self.tr("Copy billing’s answer"), tip=self.tr("Copy"))
        copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(detail.billing_answer))
        head.addWidget(copy)
        column.addLayout(head)
        answer = QPlainTextEdit(detail.billing_answer)
        answer.setObjectName("billingAnswer")
        answer.setAccessibleName(self.tr("Billing’s answer"))
        answer.setReadOnly(True)
        answer.setTabChangesFocus(True)
        answer.setWordWrapMode(QTextOption.WrapMode.WrapAnywhere)
        lines = 1 + len(detail.billing_answer) // _ANSWER_COLUMNS
        answer.setFixedHeight(24 + min(lines, _MOST_ANSWER_LINES) * answer.fontMetrics().lineSpacing())
        column.addWidget(answer)

    def _add_facts(self, column: QVBoxLayout, detail: WorkOrderDetail) -> None:
        order, clock = detail.work_order, self._context.clock
        grid = QGridLayout()
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(4)
        grid.setColumnStretch(1, 1)
        facts = (
            (self.tr("Line"), words.number(order.line)),
            (self.tr("Asked for"), order.asked_for),
            (self.tr("MSISDN"), words.msisdn(order.msisdn)),
            (self.tr("IMEI"), detail.imei),
            (self.tr("EID"), detail.eid),
            (self.tr("Service provider"), self._context.provider_name(order.service_provider)),
            (self.tr("Billing service"), detail.billing_service_id),
            (self.tr("Carrier rate plan"), detail.carrier_rate_plan),
            (self.tr("Customer rate plan"), detail.customer_rate_plan),
            (self.tr("Effective date"), words.day(detail.effective_date)),
            (self.tr("Started"), clock.full(order.started_at)),
            (self.tr("Completed"), clock.full(order.completed_at)),
        )
        shown = [(name, value) for name, value in facts if value]
        row = 0
        for name, value in shown:
            grid.addWidget(label(name, "small"), row, 0)
            text: QLabel = label(value, wrap=len(value) <= _LONG)
            text.setTextInteractionFlags(_SELECTABLE)
            text.setAccessibleName(f"{name}: {value}")
            if len(value) > _LONG and " " not in value:  # an EID, which is never cut
                row += 1
                grid.addWidget(text, row, 0, 1, 2)
            else:
                text.setWordWrap(True)
                grid.addWidget(text, row, 1)
            row += 1
        column.addLayout(grid)


#: States of a step of which the answer says more than the state.
_ANSWER_MATTERS = frozenset({StepState.UNKNOWN, StepState.REFUSED, StepState.NOT_SENT})
_SELECTABLE = Qt.TextInteractionFlag.TextSelectableByMouse
#: A word longer than this gets a line of its own.
_LONG = 26
#: About as many characters of billing's answer fit into one line of the panel.
_ANSWER_COLUMNS = 44
_MOST_ANSWER_LINES = 8

"""A person settles what the billing company cannot tell: what is known of the call, and what was found there."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QButtonGroup, QGridLayout, QHBoxLayout, QLayout, QLineEdit, QRadioButton, QWidget

from desktop_app.association.states import Step, StepState, WorkOrderState
from desktop_app.desk.protocol import JobsDesk, StepRow, WorkOrderDetail
from desktop_app.ui import words
from desktop_app.ui.background import Lane
from desktop_app.ui.context import Context
from desktop_app.ui.palette import Tone
from desktop_app.ui.widgets.buttons import Button
from desktop_app.ui.widgets.dialogs import Dialog
from desktop_app.ui.widgets.info_bar import InfoBar
from desktop_app.ui.widgets.labels import field_label, label
from desktop_app.ui.widgets.tab_order import in_order
from desktop_app.ui.widgets.toast import announce

#: Devices that are handed to a person at a time.
MOST_AT_ONCE = 200
WIDTH = 640


def undecided(desk: JobsDesk, tracking_number: str, error_code: str = "", line: int = 0) -> tuple[WorkOrderDetail, ...]:
    """The devices of the job that billing cannot tell of, each whole; asks the desk, so it runs off the UI thread.

    Args:
        error_code: only with this error; "": any.
        line: only this one; 0: all.
    """
    found = desk.work_orders(tracking_number, (WorkOrderState.OUTCOME_UNKNOWN,), error_code, MOST_AT_ONCE)
    wanted = [order.line for order in found if order.due_at is None and line in {0, order.line}]
    return tuple(desk.work_order(tracking_number, one) for one in wanted)


def open_step(detail: WorkOrderDetail) -> StepRow | None:
    """The step of which the outcome is unknown."""
    return next((step for step in detail.steps if step.state in {StepState.UNKNOWN, StepState.INTENT}), None)


class ResolveDialog(Dialog):
    """One device after the other: what is known, and what a person says.

    Signals:
        resolved(str): a device was settled; its ICCID.
    """

    resolved = Signal(str)

    def __init__(
        self, parent: QWidget, context: Context, tracking_number: str, details: Sequence[WorkOrderDetail]
    ) -> None:
        """``details``: the devices to be settled, at least one."""
        super().__init__(parent, self.tr("What became of it at billing?"), "resolveDialog", width=WIDTH)
        self._context, self._number, self._details = context, tracking_number, list(details)
        self._place = 0
        self._is_sending = False
        self._intro = label("", "heading", wrap=True)
        self.body.addWidget(self._intro)
        self._facts = QWidget()
        self.body.addWidget(self._facts)
        self._said = InfoBar(Tone.ERROR, stacked=True)
        self._said.setObjectName("resolveSaid")
        self._said.hide()
        self._build_answer()
        self.body.addWidget(self._said)
        self.body.addStretch(1)
        self._skip = self.add_button(self.tr("Next device"), self._next, name="resolveSkip")
        self._close = self.add_button(self.tr("Close"), self.reject, name="resolveClose")
        self._settle = self.add_button(
            self.tr("Settle it"), self._send, kind="primary", default=True, name="resolveSettle"
        )
        layout = self.layout()
        assert layout is not None
        layout.setSizeConstraint(QLayout.SizeConstraint.SetNoConstraint)  # its least height is that of its least width
        self.setMinimumSize(WIDTH, 360)
        self._layout = layout
        self._show()

    def _fit(self) -> None:
        self._layout.activate()
        self.resize(self.width(), self._layout.totalHeightForWidth(self.width()))

    # --- building -----------------------------------------------------------------------------------------------------

    def _build_answer(self) -> None:
        self._exists = QRadioButton(self.tr("It &exists at billing"))
        self._exists.setObjectName("resolveExists")
        self._absent = QRadioButton(self.tr("It is &absent: nothing was made"))
        self._absent.setObjectName("resolveAbsent")
        both = QButtonGroup(self)
        for radio in (self._exists, self._absent):
            both.addButton(radio)
            radio.toggled.connect(self._enable)
        self._group = both
        self._id = QLineEdit()
        self._id.setObjectName("resolveServiceId")
        self._id.setMaxLength(40)
        self._id.textChanged.connect(self._enable)
        self._id_label = field_label("", self._id)
        self._reason = QLineEdit()
        self._reason.setObjectName("resolveReason")
        self._reason.setMaxLength(300)
        self._reason.setPlaceholderText(self.tr("such as: looked up in the billing portal, ticket 4711"))
        self._reason.textChanged.connect(self._enable)
        self.body.addSpacing(4)
        self.body.addWidget(self._exists)
        inset = QGridLayout()
        inset.setContentsMargins(26, 0, 0, 4)
        inset.addWidget(self._id_label, 0, 0)
        inset.addWidget(self._id, 1, 0)
        self.body.addLayout(inset)
        self.body.addWidget(self._absent)
        self.body.addSpacing(4)
        self.body.addWidget(field_label(self.tr("&How do you know? It is written down with your name."), self._reason))
        self.body.addWidget(self._reason)

    # --- one device ---------------------------------------------------------------------------------------------------

    @property
    def _detail(self) -> WorkOrderDetail:
        return self._details[self._place]

    def _show(self) -> None:
        order, step = self._detail.work_order, open_step(self._detail)
        count = len(self._details)
        which = order.iccid or order.asked_for
        text = self.tr("Device {iccid}").format(iccid=which)
        if count > 1:
            text += " · " + self.tr("{n} of {total}").format(n=self._place + 1, total=count)
        self._intro.setText(text)
        facts = self._facts_widget(self._detail, step)
        self.body.replaceWidget(self._facts, facts)
        self._facts.deleteLater()
        self._facts = facts
        answer = (self._exists, self._id, self._absent, self._reason, self._skip, self._close, self._settle)
        in_order([*facts.findChildren(Button), *answer])
        self._id_label.setText(
            self.tr("Billing's &id of the product on the service")
            if step is not None and step.step is not Step.BILLING_SERVICE
            else self.tr("Billing's &id of the service")
        )
        self._id.setAccessibleName(self._id_label.text().replace("&", ""))
        self._id.clear()
        self._group.setExclusive(False)
        self._exists.setChecked(False)
        self._absent.setChecked(False)
        self._group.setExclusive(True)
        self._said.hide()
        self._skip.setVisible(count > 1)
        self._enable()
        self._fit()
        self._exists.setFocus(Qt.FocusReason.OtherFocusReason)

    def _facts_widget(self, detail: WorkOrderDetail, step: StepRow | None) -> QWidget:
        order, clock = detail.work_order, self._context.clock
        whole = QWidget()
        grid = QGridLayout(whole)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(6)
        grid.setColumnStretch(1, 1)
        facts = [
            (self.tr("Number"), words.msisdn(order.msisdn)),
            (self.tr("Step"), words.step_name(step.step) if step is not None else ""),
            (self.tr("Our reference"), step.reference if step is not None else ""),
            (self.tr("Asked"), clock.full(step.intent_at) if step is not None else ""),
            (self.tr("Billing answered"), (step.answer if step is not None else "") or detail.billing_answer),
            (self.tr("What billing has"), order.error.message if order.error is not None else ""),
            (self.tr("What to do"), order.error.what_to_do if order.error is not None else ""),
        ]
        row = 0
        for name, value in facts:
            if value:
                self._add_fact(grid, row, name, value, copies=name == self.tr("Our reference"))
                row += 1
        return whole

    def _add_fact(self, grid: QGridLayout, row: int, name: str, value: str, *, copies: bool) -> None:
        side = Qt.AlignmentFlag.AlignVCenter if copies else Qt.AlignmentFlag.AlignTop
        grid.addWidget(label(name, "small"), row, 0, side)
        shown = label(value, wrap=not copies)
        shown.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        shown.setAccessibleName(f"{name}: {value}")
        if not copies:
            grid.addWidget(shown, row, 1)
            return
        line = QHBoxLayout()
        line.addWidget(shown)
        tip = self.tr("Copy our reference")
        button = Button(kind="icon", icon="copy", accessible=tip, tip=tip)
        button.clicked.connect(lambda: QGuiApplication.clipboard().setText(value))
        line.addWidget(button)
        line.addStretch(1)
        grid.addLayout(line, row, 1)

    # --- the answer ---------------------------------------------------------------------------------------------------

    def _enable(self) -> None:
        exists, absent = self._exists.isChecked(), self._absent.isChecked()
        self._id.setEnabled(exists)
        missing = ""
        if not (exists or absent):
            missing = self.tr("Say whether it exists at billing")
        elif exists and not self._id.text().strip():
            missing = self.tr("Give billing's id of it")
        elif not self._reason.text().strip():
            missing = self.tr("Say how you know")
        self._settle.setEnabled(not missing and not self._is_sending)
        self._settle.setToolTip(missing)
        self._settle.setAccessibleDescription(missing)

    def _send(self) -> None:
        if not self._settle.isEnabled():
            return
        order = self._detail.work_order
        which = order.iccid or order.asked_for
        desk, number, reason = self._context.desk, self._number, self._reason.text().strip()
        service_id = self._id.text().strip() if self._exists.isChecked() else None
        self._is_sending = True
        self._enable()
        self._context.background.run(
            lambda cancel: desk.resolve(number, which, service_id, reason),
            done=lambda _: self._sent(which),
            failed=self._refused,
            owner=self,
            lane=Lane.LONG,
        )

    def _sent(self, which: str) -> None:
        self._is_sending = False
        self.resolved.emit(which)
        del self._details[self._place]
        if not self._details:
            self.accept()
            return
        self._place %= len(self._details)
        self._show()

    def _refused(self, error: Exception) -> None:
        self._is_sending = False
        trouble = words.trouble(error)
        self._said.show_message(trouble.message, trouble.what_to_do, Tone.ERROR)
        self._said.show()
        self._fit()
        announce(self._said, f"{trouble.message} {trouble.what_to_do}")
        self._enable()

    def _next(self) -> None:
        self._place = (self._place + 1) % len(self._details)
        self._show()

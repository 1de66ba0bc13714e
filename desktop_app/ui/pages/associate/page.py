"""The page that connects its parts: what is selected, what is asked, what the check says, and submit."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from desktop_app.association.model import (
    AssociationRequest,
    FindingGroup,
    PickedDevices,
    Reread,
    Submitted,
    unpack,
)
from desktop_app.desk.protocol import Changes, Located, RequestDraft
from desktop_app.ui import words
from desktop_app.ui.background import Cancel, Lane
from desktop_app.ui.commands import Command, bind
from desktop_app.ui.context import Context
from desktop_app.ui.files import ask_open, ask_save
from desktop_app.ui.models.devices import Verdict
from desktop_app.ui.pages.associate.check_flow import CheckFlow, CheckState
from desktop_app.ui.pages.associate.check_panel import CheckPanel
from desktop_app.ui.pages.associate.device_list import DeviceListPanel
from desktop_app.ui.pages.associate.paste import LinesDialog, PasteDialog, lines_of, summary
from desktop_app.ui.pages.associate.request_panel import RequestPanel
from desktop_app.ui.pages.associate.two_scrolls import TwoScrolls
from desktop_app.ui.pages.device_record import DeviceRecordDialog
from desktop_app.ui.pages.page import Page
from desktop_app.ui.pages.rereading import show_answer
from desktop_app.ui.palette import Tone
from desktop_app.ui.widgets.buttons import Button
from desktop_app.ui.widgets.card import Card
from desktop_app.ui.widgets.dialogs import confirm
from desktop_app.ui.widgets.labels import label
from desktop_app.ui.widgets.scroll import PageScroll
from desktop_app.ui.widgets.toast import announce

#: Above this many devices, and always in production, submit asks first.
CONFIRM_ABOVE = 1_000
SIDE_WIDTH = 388
#: The list is read again at most this often while jobs change devices.
DEVICES_RELOAD_MS = 2_000


class AssociatePage(Page):
    """Find devices, say what is asked, see what the check says, submit.

    Signals:
        submitted(str): a job was submitted; its tracking number.
    """

    submitted = Signal(str)

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self.flow = CheckFlow(context.desk, context.background, self)
        self.list = DeviceListPanel(context)
        self.request = RequestPanel(context)
        self.check = CheckPanel(context.clock)
        self._reload_timer = QTimer(self)
        self._reload_timer.setSingleShot(True)
        self._reload_timer.setInterval(DEVICES_RELOAD_MS)
        self._reload_timer.timeout.connect(self.list.refresh)
        self._is_begun = False

    # --- building -----------------------------------------------------------------------------------------------------

    def build(self) -> Iterator[None]:
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(12)
        row.addWidget(self.list, 1)
        yield from self.list.build()
        self.list.start()  # the desk reads the rows while the rest is built
        side = Card(padding=0, spacing=0)
        row.addWidget(side)
        self._place_scrolls(side)
        yield
        yield from self.request.build()
        self.check.build()
        yield
        self._build_foot(side)
        self._connect()
        self._write_all()

    def _place_scrolls(self, side: Card) -> None:
        """Request and check, each of them empty yet."""
        side.setFixedWidth(SIDE_WIDTH)
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(16, 12, 12, 12)
        column.setSpacing(8)
        self._selected = label("", "heading")
        self._selected.setStyleSheet("font-size: 14px;")
        request = PageScroll(self.tr("Request"))
        request.setObjectName("requestScroll")
        request.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        request.show_page(inside)
        answer = PageScroll(self.tr("Check before submit"))
        answer.setObjectName("checkScroll")
        answer.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        around = QWidget()
        check = QVBoxLayout(around)
        check.setContentsMargins(16, 10, 12, 10)
        answer.show_page(around)
        side.body.addWidget(TwoScrolls(request, answer), 1)
        column.addWidget(self._selected)
        column.addWidget(self.request)
        column.addStretch(1)
        check.addWidget(self.check)
        check.addStretch(1)

    def _build_foot(self, side: Card) -> None:
        foot = QFrame()
        side.body.addWidget(foot)
        foot.setProperty("kind", "foot")
        column = QVBoxLayout(foot)
        column.setContentsMargins(16, 10, 16, 8)
        column.setSpacing(4)
        self.submit_button = Button(self.tr("Submit"), kind="primary", name="submitButton")
        self.submit_button.setProperty("size", "large")
        self.submit_button.clicked.connect(self.submit)
        column.addWidget(self.submit_button)
        row = QHBoxLayout()
        row.setSpacing(8)
        column.addLayout(row)
        self.summary = label("", "small", wrap=True)
        self.summary.setObjectName("checkSummary")
        self.summary.setMinimumHeight(30)
        row.addWidget(self.summary, 1)
        self.export_button = Button(self.tr("Export check…"), kind="link", name="exportCheckButton")
        self.export_button.clicked.connect(self._export_check)
        row.addWidget(self.export_button)

    def _connect(self) -> None:
        self.list.checks_changed.connect(self._checks_changed)
        self.list.subset_left.connect(lambda: self.check.show_pressed(""))
        self.list.paste_pressed.connect(self.paste)
        self.list.import_pressed.connect(self.import_file)
        self.list.device_opened.connect(self._open_device)
        self.request.changed.connect(self._request_changed)
        self.request.providers_known.connect(self.list.model.name_providers)
        self.request.provider_combo.currentIndexChanged.connect(self._find_providers)
        self.flow.changed.connect(self._flow_changed)
        self.list.model.check_all_changed.connect(self._write_all)
        self.check.verdict_pressed.connect(self._show_verdict)
        self.check.group_pressed.connect(self._show_group)
        self.check.again_pressed.connect(self.flow.run_now)
        self.check.reread_pressed.connect(self._reread)
        bind(self, self.commands())

    def commands(self) -> tuple[Command, ...]:
        return (
            Command(self.tr("Search devices"), self.list.focus_search, ("Ctrl+F",)),
            Command(self.tr("Paste IDs…"), self.paste, ("Ctrl+Shift+V",)),
            Command(self.tr("Import CSV or .xlsx…"), self.import_file),
            Command(self.tr("Submit"), self.submit, ("Ctrl+Return", "Ctrl+Enter"), can_run=self._may_submit),
            Command("", self._escape, ("Escape",), explains=self.tr("Clear the selection, or show all devices again")),
        )

    def _may_submit(self) -> bool:
        return self.submit_button.isEnabled()

    def title(self) -> str:
        return self.tr("Associate devices to a customer")

    def shown(self) -> None:
        if not self._is_begun:
            self._is_begun = True
            self.list.focus_search()

    def refresh(self) -> None:
        self.list.refresh()

    def take_changes(self, changes: Changes) -> None:
        if changes.devices_changed and not self._reload_timer.isActive():
            self._reload_timer.start()

    def fill_in(self, draft: RequestDraft) -> None:
        """Fills the page in with a job's request for some of its devices, to be changed and submitted as a new job.

        What was selected and asked here before is replaced; the filter stays as it is.
        """
        ids = unpack(draft.packed)
        self.list.model.uncheck_everything()
        self.request.fill_in(draft)
        self.list.model.check_devices(ids)
        devices = words.devices(len(ids))
        shown = self.tr("Showing only the devices of {number}: {count}")
        self.list.show_only(ids, shown.format(number=draft.tracking_number, count=words.number(len(ids))))
        rest = self.tr("Change what did not fit, then submit.")
        if draft.left_out:
            lines = self.tr("1 line that names no device is left out.")
            if draft.left_out > 1:
                lines = self.tr("{n} lines that name no device are left out.").format(n=words.number(draft.left_out))
            rest = f"{rest} {lines}"
        self.list.tell(
            Tone.INFO,
            self.tr("{devices} of {number}, with what was asked").format(devices=devices, number=draft.tracking_number),
            rest,
            ((self.tr("Show job"), lambda: self._context.show_job(draft.tracking_number), "showDraftedButton"),),
        )
        self.request.customer_combo.setFocus()

    # --- selection ----------------------------------------------------------------------------------------------------

    def _checks_changed(self) -> None:
        self._find_providers()
        self._request_changed()

    def _find_providers(self) -> None:
        """Which service providers are in the selection: each gets a row of plans."""
        checks = self.list.model.checks
        if not len(checks):
            self._context.background.drop("providers")
            self.request.show_providers({})
            return
        desk, packed = self._context.desk, checks.packed()

        def found(by_code: Mapping[str, int]) -> None:
            self.request.show_providers(by_code)
            self._request_changed()

        self._context.background.run(
            lambda cancel: desk.providers_of(PickedDevices(packed), cancel),
            done=found,
            failed=self._context.complain,
            key="providers",
            owner=self,
        )

    def _escape(self) -> None:
        if self.list.subset is not None:
            self.list.show_all()
        else:
            self.list.model.uncheck_everything()

    def _open_device(self, device: int) -> None:
        desk = self._context.desk

        def found(rows: tuple[object, ...]) -> None:
            if rows:
                DeviceRecordDialog.open_for(self, self._context, rows[0], self._check_again)

        self._context.background.run(
            lambda cancel: desk.device_rows(array("q", [device]).tobytes()),
            done=found,
            failed=self._context.complain,
            key="device",
            owner=self,
        )

    # --- paste and import ---------------------------------------------------------------------------------------------

    def paste(self) -> None:
        """Asks for identifiers, finds and selects their devices."""
        PasteDialog(self, lambda text: self._locate(self.tr("Pasted"), lambda: lines_of(text))).open()

    def import_file(self) -> None:
        """Asks for a file of identifiers, finds and selects their devices."""
        desk = self._context.desk
        ask_open(
            self,
            self.tr("Import devices"),
            self.tr("Lists of devices (*.csv *.txt *.xlsx);;All files (*)"),
            lambda path: self._locate(self.tr("Imported"), lambda: desk.read_devices_file(path)),
        )

    def _locate(self, source: str, read: Callable[[], tuple[str, ...]]) -> None:
        desk, provider = self._context.desk, self.request.service_provider

        def work(cancel: Cancel) -> Located:
            return desk.locate(read(), provider, cancel)

        self.list.tell(Tone.INFO, self.tr("Looking for the devices…"), "", ())
        self._context.background.run(
            work,
            done=lambda located: self._located(source, located),
            failed=self._not_located,
            key="locate",
            owner=self,
            lane=Lane.LONG,
        )

    def _located(self, source: str, located: Located) -> None:
        title, rest = summary(located, source)
        ids = unpack(located.packed)
        actions: list[tuple[str, Callable[[], None], str]] = []
        if located.lines:
            text = self.tr("Show the {count}").format(count=words.number(len(located.lines)))
            actions.append((text, lambda: LinesDialog(self, located).open(), "showLinesButton"))
        bad = located.count("NOT_FOUND") + located.count("AMBIGUOUS") + located.count("UNREADABLE")
        self.list.tell(Tone.WARNING if bad and not len(ids) else Tone.INFO, title, rest, tuple(actions))
        if len(ids):
            self.list.model.check_devices(ids)
            shown = self.tr("Showing only the devices of this list: {count}").format(count=words.number(len(ids)))
            self.list.show_only(ids, shown)

    def _not_located(self, error: Exception) -> None:
        trouble = words.trouble(error)
        self.list.tell(Tone.ERROR, trouble.message, trouble.what_to_do, ())

    # --- check --------------------------------------------------------------------------------------------------------

    def _is_complete(self) -> bool:
        return bool(len(self.list.model.checks)) and self.request.customer is not None and not self.request.missing()

    def _compose(self) -> AssociationRequest | None:
        return self.request.request(self.list.model.checks.packed())

    def _request_changed(self) -> None:
        may = self._context.capabilities.may_associate
        self.flow.request_changed(self._compose if may and self._is_complete() else None)

    def _flow_changed(self) -> None:
        fresh = self.flow.state is CheckState.FRESH
        if fresh and self.flow.answer is not None:
            self.list.model.show_verdicts(self.flow.answer.verdicts)
        elif self.flow.state in {CheckState.WAITING, CheckState.FAILED}:
            self.list.model.show_verdicts(None)
        self.list.table.fit_columns()
        self._write_all()

    def _write_all(self) -> None:
        count = len(self.list.model.checks)
        self._selected.setText(
            self.tr("{devices} selected").format(devices=words.devices(count))
            if count
            else self.tr("No devices selected")
        )
        self.check.show_missing(
            devices=count > 0,
            customer=self.request.customer is not None,
            more=self.request.missing() if count else "",
        )
        self.check.show_flow(self.flow)
        report = self.flow.answer.report if self.flow.answer and self.flow.state is CheckState.FRESH else None
        reason = self._why_not()
        self.submit_button.setEnabled(not reason)
        if report is not None and report.submittable:
            devices = words.devices(report.submittable)
            self.submit_button.setText(self.tr("Submit {devices}…").format(devices=devices))
        else:
            self.submit_button.setText(self.tr("Submit"))
        self.submit_button.setToolTip(reason or self.tr("Ctrl+Enter"))
        self.submit_button.setAccessibleDescription(reason)
        if reason or report is None:
            self.summary.setText(reason)
        else:
            parts = [self.tr("{n} ready").format(n=words.number(report.ready))]
            if report.warnings:
                parts.append(self.tr("{n} with a warning").format(n=words.number(report.warnings)))
            rest = "Ctrl+Enter"
            if report.blocked:
                rest = self.tr("{n} blocked are skipped").format(n=words.number(report.blocked)) + f" · {rest}"
            self.summary.setText(f"{' + '.join(parts)}\n{rest}")
        self.export_button.setVisible(report is not None)

    def _why_not(self) -> str:
        """Why submit is disabled; "" if it is not."""
        if not self._context.capabilities.may_associate:
            return self.tr("You may look, but you have no right to associate devices.")
        if self.list.model.check_all_waits:  # what was checked is not what was selected
            return self.tr("Selecting all…")
        has_devices, has_customer = len(self.list.model.checks) > 0, self.request.customer is not None
        if not has_devices and not has_customer:
            return self.tr("Select devices and a customer to continue")
        if not has_devices:
            return self.tr("Select devices to continue")
        if not has_customer:
            return self.tr("Choose a customer to continue")
        if missing := self.request.missing():
            return missing
        if self.flow.is_submitting:
            return self.tr("Submitting…")
        if self.flow.state is CheckState.FAILED:
            return self.tr("The check could not be made")
        if self.flow.state is not CheckState.FRESH or self.flow.answer is None:
            return self.tr("Checking…")
        report = self.flow.answer.report
        if report.request_blocked:
            return self.tr("The request is blocked; see the check")
        if not report.submittable:
            return self.tr("Every device is blocked; nothing to submit")
        return ""

    def _show_verdict(self, verdict: str) -> None:
        answer = self.flow.answer
        if answer is None or not verdict:
            self.list.show_all()
            return
        report = answer.report
        packed, text = {
            Verdict.READY: (report.ready_ids, self.tr("Showing only the devices that are ready: {count}")),
            Verdict.WARNING: (report.warning_ids, self.tr("Showing only the devices with a warning: {count}")),
            Verdict.BLOCKED: (report.blocked_ids, self.tr("Showing only the devices that are blocked: {count}")),
        }[Verdict(verdict)]
        ids = unpack(packed)
        self.list.show_only(ids, text.format(count=words.number(len(ids))))

    def _show_group(self, group: FindingGroup) -> None:
        self.check.show_pressed("")
        ids = unpack(group.packed)
        self.list.show_only(ids, self.tr("Showing only: {count} {title}").format(count=len(ids), title=group.title))

    def _reread(self, group: FindingGroup) -> None:
        desk, devices = self._context.desk, PickedDevices(group.packed)
        self.list.tell(Tone.INFO, self.tr("Asking the billing company…"), "", ())
        self.check.show_rereading(True)
        self._context.background.run(
            lambda cancel: desk.reread_billing(devices, cancel),
            done=self._reread_done,
            failed=self._reread_failed,
            owner=self,
            lane=Lane.LONG,
        )

    def _reread_done(self, answer: Reread) -> None:
        self.check.show_rereading(False)
        show_answer(self.list.info, answer, self)
        self._check_again()

    def _reread_failed(self, error: Exception) -> None:
        self.check.show_rereading(False)
        self._not_located(error)

    def _check_again(self) -> None:
        """Billing was re-read: the check may say something else now."""
        if self.flow.state is not CheckState.WAITING:
            self.flow.run_now()

    def _export_check(self) -> None:
        answer = self.flow.answer
        if answer is None:
            return
        desk, context = self._context.desk, self._context

        def write(path: Path) -> None:
            context.background.run(
                lambda cancel: desk.export_check(answer.report, path),
                done=lambda rows: context.notify(
                    self.tr("Check exported: {count} rows in {file}").format(count=words.number(rows), file=path.name)
                ),
                failed=context.complain,
                owner=self,
                lane=Lane.LONG,
            )

        ask_save(self, self.tr("Export check"), self.tr("CSV (*.csv)"), "check.csv", write)

    # --- submit -------------------------------------------------------------------------------------------------------

    def submit(self) -> None:
        """Submits what was checked; asks first in production or above 1,000 devices."""
        if not self.submit_button.isEnabled() or self.flow.answer is None:
            return
        report, customer = self.flow.answer.report, self.request.customer
        is_production = self._context.capabilities.environment == "PRODUCTION"
        if not is_production and report.submittable <= CONFIRM_ABOVE:
            self._submit()
            return
        devices = words.devices(report.submittable)
        text = self.tr("{devices} will be associated with {customer}.").format(
            devices=devices, customer=customer.name if customer else ""
        )
        if report.blocked:
            text += " " + self.tr("{blocked} blocked ones are skipped.").format(blocked=words.number(report.blocked))
        if is_production:
            text += " " + self.tr("This is the production environment: billing services made here are billed.")
        confirm(
            self,
            self.tr("Submit {devices}?").format(devices=devices),
            text,
            yes=self.tr("Submit {devices}").format(devices=devices),
            no=self.tr("Cancel"),
            run=self._submit,
        )

    def _submit(self) -> None:
        self.flow.submit(self._submitted, self._refused)

    def _submitted(self, result: Submitted) -> None:
        number = result.tracking_number
        self.submitted.emit(number)
        title = self.tr("{number} submitted: {devices}").format(number=number, devices=words.devices(result.submitted))
        rest = (
            self.tr("{count} blocked ones are recorded as rejected.").format(count=words.number(result.rejected))
            if result.rejected
            else ""
        )
        self.list.show_all()
        self.list.model.uncheck_everything()
        self.list.tell(
            Tone.OK,
            title,
            rest,
            (
                (self.tr("Copy number"), lambda: self._copy(number), "copySubmittedButton"),
                (self.tr("Show job"), lambda: self._context.show_job(number), "showSubmittedButton"),
            ),
        )
        announce(self, title)

    def _copy(self, number: str) -> None:
        QGuiApplication.clipboard().setText(number)
        self._context.notify(self.tr("{number} copied").format(number=number), Tone.INFO)

    def _refused(self, error: Exception) -> None:
        self._context.complain(error)
        if words.trouble(error).code == "CHECK_CHANGED":
            self.flow.run_now()

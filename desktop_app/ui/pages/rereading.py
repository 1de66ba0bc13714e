"""What a re-read from billing says: in a line, and service by service."""

from __future__ import annotations

from PySide6.QtCore import QObject, Qt
from PySide6.QtWidgets import QWidget

from desktop_app.association.model import AtBilling, OrphanService, Reread, RereadService
from desktop_app.ui import words
from desktop_app.ui.palette import Tone
from desktop_app.ui.widgets.dialogs import Dialog
from desktop_app.ui.widgets.info_bar import InfoBar
from desktop_app.ui.widgets.labels import label
from desktop_app.ui.widgets.rows import Cell, Column, RowModel, width_of
from desktop_app.ui.widgets.table import TableView
from desktop_app.ui.widgets.toast import announce
from desktop_app.ui.words import translate


def summary(answer: Reread) -> tuple[Tone, str, str]:
    """Tone, title and sentence."""
    tone = Tone.INFO if answer.is_whole and not answer.orphans else Tone.WARNING
    if len(answer.services) == 1 and not answer.orphans and not answer.not_permitted:
        return tone, *_of_one(answer.services[0])
    told = (
        (answer.count(AtBilling.ENDED), translate("rereading", "{n} ended")),
        (answer.count(AtBilling.ACTIVE), translate("rereading", "{n} still active")),
        (answer.count(AtBilling.ABSENT), translate("rereading", "{n} not listed there")),
        (answer.count(AtBilling.IN_WORK), translate("rereading", "{n} left alone, a job is working on them")),
        (answer.not_permitted, translate("rereading", "{n} not yours to ask about")),
        (len(answer.orphans), translate("rereading", "{n} known to billing alone")),
    )
    rest = " · ".join(text.format(n=words.number(n)) for n, text in told if n)
    if not rest:
        return tone, translate("rereading", "There is no active billing service to ask for"), ""
    asked = len(answer.services)
    if asked == 1:
        return tone, translate("rereading", "Re-read from billing, 1 service:"), rest
    title = translate("rereading", "Re-read from billing, {n} services:").format(n=words.number(asked))
    return tone, title, rest


def _of_one(one: RereadService) -> tuple[str, str]:
    title = {
        AtBilling.ENDED: translate("rereading", "Billing service {id} was ended at billing"),
        AtBilling.ACTIVE: translate("rereading", "Billing service {id} is active at billing"),
        AtBilling.ABSENT: translate("rereading", "Billing does not list service {id} for its customer"),
        AtBilling.IN_WORK: translate("rereading", "Billing service {id} was left alone"),
    }[one.at_billing]
    return title.format(id=one.service_id), what_follows(one)


def what_follows(one: RereadService) -> str:
    """What was done, and what a person does now."""
    match one.at_billing:
        case AtBilling.ENDED:
            return translate("rereading", "From now on it is ended here too.")
        case AtBilling.ACTIVE:
            return translate("rereading", "Nothing was changed.")
        case AtBilling.ABSENT:
            return translate(
                "rereading", "It stays active here. Look it up there: it may have got another customer or number."
            )
        case AtBilling.IN_WORK:
            text = translate("rereading", "Job {number} is working on its device. Re-read when that is finished.")
            return text.format(number=one.tracking_number)


def show_answer(bar: InfoBar, answer: Reread, parent: QWidget) -> None:
    """Shows and announces a re-read in a bar; where it is about several services, a button leads to each of them."""
    tone, title, rest = summary(answer)
    bar.clear_actions()
    bar.show_message(title, rest, tone)
    if len(answer.services) + len(answer.orphans) > 1:
        bar.add_action(
            translate("rereading", "Show them"), lambda: RereadDialog(parent, answer).open(), "showRereadButton"
        )
    bar.show()
    announce(bar, f"{title} {rest}")


#: What a person has to look at comes first.
_ORDER = (AtBilling.ABSENT, AtBilling.IN_WORK, AtBilling.ACTIVE, AtBilling.ENDED)


class _ServicesModel(RowModel):
    """The services that were asked for, and those that billing alone knows."""

    def __init__(self, answer: Reread, parent: QObject) -> None:
        columns = (
            Column("state", self.tr("At billing"), width_of("Known to billing alone", strong=True, icon=True)),
            Column("service", self.tr("Service"), 90),
            Column("device", self.tr("Device"), width_of("0" * 20)),
            Column("customer", self.tr("Customer"), 160, stretch=1),
            Column("number", self.tr("Number"), width_of("+1 000 000 0000")),
        )
        super().__init__(columns, parent)
        services = sorted(answer.services, key=lambda one: _ORDER.index(one.at_billing))
        self._cells = [*map(self._orphan, answer.orphans), *map(self._service, services)]
        told = self.tr("It is not taken over. Find out at billing what it is for.")
        self._follows = [*(told for _ in answer.orphans), *map(what_follows, services)]

    def follows(self, row: int) -> str:
        """What was done, and what a person does now."""
        return self._follows[row] if row >= 0 else ""

    def _orphan(self, one: OrphanService) -> tuple[Cell, ...]:
        return (
            Cell(self.tr("Known to billing alone"), icon="help-circle-filled", tone=Tone.WARNING, strong=True),
            Cell(one.service_id),
            Cell(one.iccid),
            Cell(),
            Cell(words.service_number(one.number)),
        )

    def _service(self, one: RereadService) -> tuple[Cell, ...]:
        state = {
            AtBilling.ENDED: Cell(self.tr("Ended"), icon="ban"),
            AtBilling.ACTIVE: Cell(self.tr("Active"), icon="circle-check-filled", tone=Tone.OK),
            AtBilling.ABSENT: Cell(self.tr("Not listed"), icon="alert-triangle-filled", tone=Tone.WARNING, strong=True),
            AtBilling.IN_WORK: Cell(self.tr("Left alone"), icon="progress", tone=Tone.INFO),
        }[one.at_billing]
        return (
            state,
            Cell(one.service_id),
            Cell(one.iccid),
            Cell(one.customer),
            Cell(words.service_number(one.number)),
        )

    def row_total(self) -> int:
        return len(self._cells)

    def cell(self, row: int, column: int) -> Cell:
        return self._cells[row][column]


class RereadDialog(Dialog):
    """Each service of a re-read."""

    def __init__(self, parent: QWidget, answer: Reread) -> None:
        super().__init__(parent, self.tr("Re-read from billing"), "rereadDialog", width=860)
        self.setMinimumHeight(380)
        view = TableView("rereadTable", self.tr("Re-read from billing"))
        model = _ServicesModel(answer, view)
        view.setModel(model)
        self.body.addWidget(view, 1)
        follows = label("", "muted", wrap=True)
        follows.setObjectName("rereadFollows")
        self.body.addWidget(follows)
        view.current_changed.connect(lambda row: follows.setText(model.follows(row)))
        view.set_current_row(0)
        view.setFocus(Qt.FocusReason.OtherFocusReason)
        self.add_button(self.tr("Close"), self.accept, kind="primary", default=True, name="rereadClose")

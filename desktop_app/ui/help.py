"""The page of shortcuts and words (F1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QTabWidget, QVBoxLayout, QWidget

from desktop_app.ui.commands import Command
from desktop_app.ui.widgets.dialogs import Dialog
from desktop_app.ui.widgets.labels import label
from desktop_app.ui.widgets.scroll import PageScroll


def glossary() -> tuple[tuple[str, str], ...]:
    """The terms that the window uses, each with what it means."""

    def tr(text: str) -> str:
        return QCoreApplication.translate("Glossary", text)

    return (
        (tr("Device"), tr("A SIM on one service provider, known by ICCID, IMEI, MSISDN or EID.")),
        (tr("Service provider"), tr("The carrier account that a device lives on. The same SIM can be on several.")),
        (tr("Customer, site"), tr("Who owns devices; a site is a customer’s location, one of them is the default.")),
        (tr("Billing service"), tr("The account line that the billing company bills for a device.")),
        (
            tr("Carrier rate plan"),
            tr(
                "A price plan of a service provider. It is recorded here; no carrier is called, so change it there too."
            ),
        ),
        (tr("Customer rate plan"), tr("A price plan of a customer, with its data limit and pool.")),
        (
            tr("Effective date"),
            tr("The day on which it starts, in the business time zone. Not chosen: each device’s activation date."),
        ),
        (
            tr("Check"),
            tr("Every rule on every device before anything is changed. What it calls blocked is not submitted."),
        ),
        (tr("Job"), tr("One submitted request. Its tracking number finds it again, here and in every export.")),
        (tr("Work order"), tr("One device of a job, with what was known of it when the job was submitted.")),
        (
            tr("Outcome unknown"),
            tr(
                "Billing was asked and gave no clear answer. The device waits; then billing is searched for what was "
                "asked, so that nothing is made twice. Where billing cannot tell, a person settles it."
            ),
        ),
        (
            tr("Paused by itself"),
            tr(
                "Billing cannot be reached, or too many devices failed. The job says which. In the first case it goes "
                "on by itself."
            ),
        ),
        (
            tr("Seven proofs"),
            tr(
                "Device found, operator permitted, billing service created, ownership updated, rate plans assigned, "
                "history recorded, processing completed: yes, no, kept, scheduled or not requested."
            ),
        ),
        (
            tr("Reassign"),
            tr("Takes a device over from another customer. Its owner’s time ends on the effective date."),
        ),
    )


class HelpDialog(Dialog):
    """Which keys do what, and what the words mean."""

    def __init__(self, parent: QWidget, groups: Mapping[str, Sequence[Command]]) -> None:
        """Args:
        groups: commands with keys under their headings, in order.
        """
        title = QCoreApplication.translate("HelpDialog", "Keyboard shortcuts and terms")
        super().__init__(parent, title, "helpDialog", width=640)
        tabs = QTabWidget()
        tabs.setObjectName("helpTabs")
        tabs.setAccessibleName(self.windowTitle())
        tabs.setDocumentMode(True)
        tabs.tabBar().setDrawBase(False)
        tabs.addTab(self._page(self._shortcuts(groups), self.tr("Keyboard shortcuts")), self.tr("Keyboard shortcuts"))
        tabs.addTab(self._page(self._terms(), self.tr("Terms")), self.tr("Terms"))
        self.body.addWidget(tabs)
        self.add_button(self.tr("Close"), self.accept, default=True, name="closeHelpButton")
        self.resize(720, 600)

    def _page(self, inside: QWidget, name: str) -> PageScroll:
        scroll = PageScroll(name, right=0)
        scroll.show_page(inside)
        return scroll

    def _shortcuts(self, groups: Mapping[str, Sequence[Command]]) -> QWidget:
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(4, 8, 12, 8)
        column.setSpacing(4)
        for heading, commands in groups.items():
            column.addSpacing(6)
            column.addWidget(label(heading, "heading"))
            grid = self._grid()
            for row, command in enumerate(commands):
                keys = QHBoxLayout()
                keys.setSpacing(4)
                for cap in command.all_keys:
                    keys.addWidget(_key_cap(cap))
                grid.addLayout(keys, row, 0, Qt.AlignmentFlag.AlignLeft)
                what = label(command.explains or command.text, wrap=True)
                what.setAccessibleName(f"{', '.join(command.all_keys)}: {what.text()}")
                grid.addWidget(what, row, 1)
            column.addLayout(grid)
        column.addStretch(1)
        return inside

    def _terms(self) -> QWidget:
        inside = QWidget()
        grid = self._grid()
        inside.setLayout(grid)
        grid.setContentsMargins(4, 8, 12, 8)
        for row, (term, meaning) in enumerate(glossary()):
            grid.addWidget(label(term, "heading"), row, 0, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(label(meaning, wrap=True), row, 1)
        grid.setRowStretch(len(glossary()), 1)
        return inside

    def _grid(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setHorizontalSpacing(16)
        grid.setVerticalSpacing(8)
        grid.setColumnMinimumWidth(0, 150)
        grid.setColumnStretch(1, 1)
        return grid


def _key_cap(text: str) -> QLabel:
    made = label(text)
    made.setProperty("kind", "key")
    return made

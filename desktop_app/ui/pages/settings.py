"""Settings: the look, and what is in force at this desk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QVBoxLayout, QWidget

from desktop_app.ui.context import Context
from desktop_app.ui.pages.page import Page
from desktop_app.ui.theme import ThemeMode
from desktop_app.ui.widgets.buttons import Button
from desktop_app.ui.widgets.card import Card
from desktop_app.ui.widgets.chips import ChipRow
from desktop_app.ui.widgets.labels import label
from desktop_app.ui.widgets.scroll import PageScroll

#: What the desk calls the folder of its data.
DATA_FOLDER = "data folder"


class SettingsPage(Page):
    """The theme to choose, and the settings in force to read.

    Signals:
        theme_picked(ThemeMode): a person chose another look.
    """

    theme_picked = Signal(object)

    def __init__(self, context: Context, mode: ThemeMode, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(12)
        column.addWidget(self._build_look(mode))
        column.addWidget(self._build_seat())
        self._in_force = Card(padding=16)
        self._in_force.body.addWidget(label(self.tr("Settings in force"), "heading"))
        self._grid = QGridLayout()
        self._in_force.body.addLayout(self._grid)
        self._in_force.body.addWidget(
            label(
                self.tr(
                    "Settings come from the program’s defaults, the settings file, the environment and the command "
                    "line, in this order. A change takes effect when the program starts again."
                ),
                "small",
                wrap=True,
            )
        )
        self._in_force.hide()
        column.addWidget(self._in_force)
        column.addStretch(1)
        scroll = PageScroll(self.tr("Settings"), right=0)
        scroll.show_page(inside)
        around = QVBoxLayout(self)
        around.setContentsMargins(0, 0, 0, 0)
        around.addWidget(scroll)

    def _build_look(self, mode: ThemeMode) -> Card:
        card = Card(padding=16)
        card.body.addWidget(label(self.tr("Look"), "heading"))
        self.themes = ChipRow("theme", self.tr("Theme"), exclusive=True)
        for key, word in (
            (ThemeMode.SYSTEM, self.tr("As the system")),
            (ThemeMode.LIGHT, self.tr("Light")),
            (ThemeMode.DARK, self.tr("Dark")),
        ):
            self.themes.add(key, word, on=key is mode)
        self.themes.picked.connect(lambda key: self.theme_picked.emit(ThemeMode(key)))
        card.body.addWidget(self.themes)
        return card

    def _build_seat(self) -> Card:
        may = self._context.capabilities
        card = Card(padding=16)
        card.body.addWidget(label(self.tr("This desk"), "heading"))
        operator = may.operator
        if may.acting and may.acting != may.operator:
            operator = self.tr("{operator}, acted for by {acting}").format(operator=may.operator, acting=may.acting)
        rights = [
            self.tr("administrator") if may.is_administrator else "",
            self.tr("may associate") if may.may_associate else self.tr("may look"),
            self.tr("may reassign") if may.may_reassign else "",
        ]
        work = self.tr("in this window") if may.runs_engine else self.tr("by other processes")
        grid = QGridLayout()
        self._fill(
            grid,
            {
                self.tr("Operator"): operator,
                self.tr("Rights"): ", ".join(filter(None, rights)),
                self.tr("Environment"): may.environment.capitalize(),
                self.tr("Database"): may.database,
                self.tr("Billing"): may.billing,
                self.tr("Jobs are worked on"): work,
                self.tr("Business time zone"): may.time_zone,
                self.tr("Version"): may.version,
            },
        )
        card.body.addLayout(grid)
        return card

    def _fill(self, grid: QGridLayout, facts: Mapping[str, str]) -> None:
        grid.setHorizontalSpacing(24)
        grid.setVerticalSpacing(6)
        grid.setColumnMinimumWidth(0, 190)
        grid.setColumnStretch(1, 1)
        for row, (name, value) in enumerate(facts.items()):
            grid.addWidget(label(name, "muted"), row, 0, Qt.AlignmentFlag.AlignTop)
            shown = label(value or "–", wrap=True)
            shown.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            shown.setAccessibleName(f"{name}: {value or '–'}")
            grid.addWidget(shown, row, 1)

    def title(self) -> str:
        return self.tr("Settings")

    def shown(self) -> None:
        self.refresh()

    def refresh(self) -> None:
        desk = self._context.desk
        self._context.background.run(
            lambda cancel: desk.settings(),
            done=self._show_settings,
            failed=self._context.complain,
            key="settings",
            owner=self,
        )

    def _show_settings(self, settings: Mapping[str, str]) -> None:
        while (item := self._grid.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        self._fill(self._grid, {name.capitalize(): value for name, value in settings.items()})
        folder = Path(settings[DATA_FOLDER]) if DATA_FOLDER in settings else None
        if folder is not None:
            row = QHBoxLayout()
            button = Button(self.tr("Open data folder"), icon="folder", name="openDataFolderButton")
            button.clicked.connect(lambda: QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder))))
            row.addWidget(button)
            row.addStretch(1)
            self._grid.addLayout(row, self._grid.rowCount(), 1)
        self._in_force.setVisible(bool(settings))

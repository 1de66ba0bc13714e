"""The page: cards one under the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QGridLayout, QVBoxLayout, QWidget

from desktop_app.desk.machine import Machine
from desktop_app.ui.commands import Command
from desktop_app.ui.context import Context
from desktop_app.ui.pages.page import Page
from desktop_app.ui.pages.settings.machine_cards import DatabaseCard, FilesCard, WorkCard
from desktop_app.ui.palette import Tone
from desktop_app.ui.theme import ThemeMode
from desktop_app.ui.widgets.card import Card
from desktop_app.ui.widgets.chips import ChipRow
from desktop_app.ui.widgets.info_bar import InfoBar
from desktop_app.ui.widgets.labels import label
from desktop_app.ui.widgets.scroll import PageScroll


class SettingsPage(Page):
    """The theme, the connections, how jobs are worked on, files for support, and what is in force.

    Signals:
        theme_picked(ThemeMode): a person chose another look.
        restart_pressed(): the program should start again, with the settings that were saved.
    """

    theme_picked = Signal(object)
    restart_pressed = Signal()

    def __init__(self, context: Context, mode: ThemeMode, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context, self._mode = context, mode
        self.database: DatabaseCard | None = None
        self.work: WorkCard | None = None
        self.files: FilesCard | None = None

    def build(self) -> Iterator[None]:
        around = QVBoxLayout(self)
        around.setContentsMargins(0, 0, 0, 0)
        scroll = PageScroll(self.tr("Settings"), right=0)
        around.addWidget(scroll)
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(12)
        scroll.show_page(inside)
        self._saved = InfoBar(Tone.INFO)
        self._saved.setObjectName("restartBar")
        self._saved.show_message(
            self.tr("Saved."),
            self.tr("The settings are in force when the program starts again; nothing is lost by it."),
        )
        self._saved.add_action(self.tr("Start again now"), self.restart_pressed.emit, "restartButton")
        self._saved.hide()
        column.addWidget(self._saved)
        column.addWidget(self._build_look())
        yield
        if self._context.machine is not None:
            yield from self._build_machine(self._context.machine, column)
        column.addWidget(self._build_seat())
        yield
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

    def _build_machine(self, machine: Machine, column: QVBoxLayout) -> Iterator[None]:
        self.database = DatabaseCard(self._context, machine)
        column.addWidget(self.database)
        yield
        self.work = WorkCard(self._context, machine)
        column.addWidget(self.work)
        yield
        self.files = FilesCard(self._context, machine)
        column.addWidget(self.files)
        yield
        self.database.saved.connect(self._saved.show)
        self.work.saved.connect(self._saved.show)

    def commands(self) -> tuple[Command, ...]:
        if self.files is None or self.database is None:
            return ()
        return (
            Command(self.tr("Save support bundle…"), self.files.save_bundle),
            Command(self.tr("Change the database connection…"), self.database.change),
        )

    def _build_look(self) -> Card:
        card = Card(padding=16)
        card.body.addWidget(label(self.tr("Look"), "heading"))
        self.themes = ChipRow("theme", self.tr("Theme"), exclusive=True)
        for key, word in (
            (ThemeMode.SYSTEM, self.tr("As the system")),
            (ThemeMode.LIGHT, self.tr("Light")),
            (ThemeMode.DARK, self.tr("Dark")),
        ):
            self.themes.add(key, word, on=key is self._mode)
        self.themes.picked.connect(lambda key: self.theme_picked.emit(ThemeMode(key)))
        card.body.addWidget(self.themes)
        return card

    def show_mode(self, mode: ThemeMode) -> None:
        """The look was chosen somewhere else."""
        self.themes.set_on(mode)

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

    # --- what others call ---------------------------------------------------------------------------------------------

    def title(self) -> str:
        return self.tr("Settings")

    def shown(self) -> None:
        self.refresh()

    def refresh(self) -> None:
        desk, machine = self._context.desk, self._context.machine
        self._context.background.run(
            lambda cancel: desk.settings(),
            done=self._show_settings,
            failed=self._context.complain,
            key="settings",
            owner=self,
        )
        if machine is None or self.work is None or self.database is None:
            return
        self.work.read_unless_edited()
        self._context.background.run(
            lambda cancel: machine.database_form(),
            done=self.database.show_form,
            failed=self._context.complain,
            key="database_form",
            owner=self,
        )

    def _show_settings(self, settings: Mapping[str, str]) -> None:
        while (item := self._grid.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        self._fill(self._grid, {name.capitalize(): value for name, value in settings.items()})
        self._in_force.setVisible(bool(settings))

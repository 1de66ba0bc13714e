"""The left side: find devices, filter them by chips, and check them."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QAction, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QMenu, QStackedWidget, QVBoxLayout, QWidget

from desktop_app.association.model import DeviceFilter, DeviceStatus, unpack
from desktop_app.desk.protocol import DeviceColumn, DeviceFacets, DeviceRow, FirstDevices
from desktop_app.ui import words
from desktop_app.ui.background import Cancel, Lane
from desktop_app.ui.context import Context
from desktop_app.ui.models.devices import CHECK_BOX, VERDICT, DeviceTableModel
from desktop_app.ui.pages.associate.device_view import DeviceTable
from desktop_app.ui.palette import Tone
from desktop_app.ui.widgets.buttons import Button
from desktop_app.ui.widgets.card import Band, Card
from desktop_app.ui.widgets.chips import ChipRow
from desktop_app.ui.widgets.empty_state import EmptyState
from desktop_app.ui.widgets.info_bar import InfoBar
from desktop_app.ui.widgets.labels import label
from desktop_app.ui.widgets.search_field import SearchField

T = TypeVar("T")

SEARCH_DEBOUNCE_MS = 150
#: From this width on (pixels) the long texts have room.
WIDE = 760
ALL, UNOWNED = "all", "unowned"
HIDDEN_COLUMNS_KEY = "associate/hidden-columns"
CHIP_STATUSES = (DeviceStatus.ACTIVE, DeviceStatus.INVENTORY, DeviceStatus.SUSPENDED)
#: So many devices are shown before the others are known; more than a screen holds.
FIRST_DEVICES = 200
#: What is listed: filter, order, and whether it is descending.
Question = tuple[DeviceFilter, DeviceColumn, bool]
MENU_STATUSES = tuple(status for status in DeviceStatus if status not in CHIP_STATUSES)


class DeviceListPanel(Card):
    """Search, chips, table and selection bar; they are made by :meth:`build`.

    Signals:
        checks_changed(): other devices are checked.
        subset_left(): what was shown alone (see :meth:`show_only`) is not any more.
        paste_pressed(), import_pressed(): as named.
        device_opened(int): Enter or a double click on a device; its handle.
        listed(): the list, all of it, was read from the desk just now.
    """

    checks_changed = Signal()
    subset_left = Signal()
    paste_pressed = Signal()
    import_pressed = Signal()
    device_opened = Signal(object)
    listed = Signal()

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent, padding=0, spacing=0)
        self._context = context
        self._filter = DeviceFilter()
        self._facets: DeviceFacets | None = None
        self._subset: array[int] | None = None
        self._subset_is_checks = False
        self._listed_for: Question | None = None  # what the model lists, or the beginning of it; None: something else
        self._asked: Question | None = None  # what is under way
        self._ask_again = False
        self.model = DeviceTableModel(context.desk, context.background, self)
        self.model.checks_changed.connect(self._checks_did_change)
        self.model.check_all_changed.connect(self._check_all_did_change)
        self.model.load_failed.connect(context.complain)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(SEARCH_DEBOUNCE_MS)
        self._timer.timeout.connect(self._list)

    # --- building -----------------------------------------------------------------------------------------------------

    def build(self) -> Iterator[None]:
        """Fills the panel in parts; see :meth:`desktop_app.ui.pages.page.Page.build`."""
        top = QVBoxLayout()
        top.setContentsMargins(12, 12, 12, 10)
        top.setSpacing(10)
        self.body.addLayout(top)
        self._build_search(top)
        yield
        self._build_chips(top)
        yield
        self._build_bars(top)
        self._build_stack()
        yield
        self._build_table()
        yield
        self._build_band()
        self._write_band()
        yield

    def _build_search(self, top: QVBoxLayout) -> None:
        row = QHBoxLayout()
        row.setSpacing(8)
        top.addLayout(row)
        self.search = SearchField("", self.tr("Search devices"), "deviceSearch")
        self.search.setToolTip(self.tr("Search ICCID, IMEI, MSISDN, EID or name"))
        self.search.textChanged.connect(self._searched)
        self.search.down_pressed.connect(self.focus_table)
        row.addWidget(self.search, 1)
        paste = Button(self.tr("Paste IDs…"), icon="clipboard-list", name="pasteIdsButton", tip=self.tr("Ctrl+Shift+V"))
        paste.clicked.connect(self.paste_pressed)
        row.addWidget(paste)
        read = Button(self.tr("Import CSV…"), icon="file-import", name="importCsvButton")
        read.clicked.connect(self.import_pressed)
        row.addWidget(read)
        self._columns = Button(icon="columns-3", name="columnsButton", accessible=self.tr("Columns"))
        self._columns.setToolTip(self.tr("Columns"))
        self._columns.setFixedWidth(46)
        row.addWidget(self._columns)

    def _build_bars(self, top: QVBoxLayout) -> None:
        self.info = InfoBar(Tone.INFO, closable=True)
        self.info.setObjectName("deviceInfo")
        self.info.hide()
        top.addWidget(self.info)
        self._alone = InfoBar(Tone.INFO)
        self._alone.setObjectName("subsetInfo")
        self._alone.add_action(self.tr("Show all"), self.show_all, "showAllButton")
        self._alone.hide()
        top.addWidget(self._alone)

    def _build_stack(self) -> None:
        self._stack = QStackedWidget()
        self.body.addWidget(self._stack, 1)
        around = QWidget()
        self._stack.addWidget(around)
        self._around_table = QHBoxLayout(around)
        self._around_table.setContentsMargins(1, 0, 1, 0)
        self._empty = EmptyState("search-off")
        self._stack.addWidget(self._empty)
        self._clear_filters_button = self._empty.add_button(self.tr("Search without filters"), self._clear_chips)
        self._clear_search_button = self._empty.add_button(self.tr("Clear search"), self.search.clear)

    def _build_table(self) -> None:
        self.table = DeviceTable(self.model)
        self._around_table.addWidget(self.table)
        self.table.sort_changed.connect(self._list)
        self.table.opened.connect(lambda row: self.device_opened.emit(self.model.device_at(row)))
        self._show_kept_columns()
        self._columns.setMenu(self._column_menu())

    def _build_band(self) -> None:
        self.band = Band()
        self.body.addWidget(self.band)
        self._strong, self._rest = label("", "heading"), label()
        self._select_all = Button(kind="link", name="selectAllButton", text=" ")
        self._select_all.clicked.connect(self.model.check_all_listed)
        self._show_selected = Button(" ", kind="link", name="showSelectedButton")
        self._show_selected.clicked.connect(self._show_selected_pressed)
        self._clear = Button(" ", kind="link", name="clearSelectionButton")
        self._clear.clicked.connect(self.model.uncheck_everything)
        self.band.row.setSpacing(4)
        for part in (self._strong, self._rest):
            self.band.row.addWidget(part)
        self.band.row.addSpacing(8)
        self.band.row.addWidget(self._select_all)
        self.band.row.addWidget(self._show_selected)
        self.band.row.addStretch(1)
        self.band.row.addWidget(self._clear)

    def _build_chips(self, top: QVBoxLayout) -> None:
        self.chips = ChipRow("deviceFilter", self.tr("Filters"))
        top.addWidget(self.chips)
        self.chips.add(ALL, self.tr("All"), on=True)
        for status in CHIP_STATUSES:
            self.chips.add(status, words.device_status(status))
        self.chips.add(UNOWNED, self.tr("No customer"))
        self._carrier_menu, self._carrier_button = self._menu_button(self.tr("Carrier"), "carrierFilterButton")
        self._status_menu, self._status_button = self._menu_button(self.tr("Status"), "statusFilterButton")
        self._clear_chips_button = Button(self.tr("Clear"), kind="link", name="clearFiltersButton")
        self._clear_chips_button.setAccessibleName(self.tr("Clear filters"))
        self._clear_chips_button.clicked.connect(self._clear_chips)
        self.chips.add_widget(self._carrier_button)
        self.chips.add_widget(self._status_button)
        self.chips.add_widget(self._clear_chips_button)
        self._clear_chips_button.hide()
        self.chips.picked.connect(self._chip_pressed)

    def _menu_button(self, text: str, name: str) -> tuple[QMenu, Button]:
        button = Button(text, kind="chip", icon="plus", name=name)
        button.setCheckable(True)
        menu = QMenu(button)
        button.setMenu(menu)
        menu.aboutToHide.connect(self._write_chips)
        return menu, button

    def _column_menu(self) -> QMenu:
        menu = QMenu(self._columns)
        for spec in self.model.columns:
            if spec.key in {CHECK_BOX, VERDICT, "iccid"}:
                continue
            action = menu.addAction(spec.title)
            action.setCheckable(True)
            action.setChecked(spec.key not in self.table.hidden_by_person())
            action.setData(spec.key)
            action.toggled.connect(lambda on, key=spec.key: self._column_toggled(key, on))
        return menu

    def _show_kept_columns(self) -> None:
        """The columns as a person left them."""
        state = self._context.state
        if state is not None and state.contains(HIDDEN_COLUMNS_KEY):
            known = {spec.key for spec in self.model.columns}
            self.table.set_hidden_by_person(known & set(str(state.value(HIDDEN_COLUMNS_KEY)).split(",")))

    def _column_toggled(self, key: str, on: bool) -> None:
        hidden = set(self.table.hidden_by_person())
        (hidden.discard if on else hidden.add)(key)
        self.table.set_hidden_by_person(hidden)
        if self._context.state is not None:
            self._context.state.setValue(HIDDEN_COLUMNS_KEY, ",".join(sorted(hidden)))

    # --- what others call ---------------------------------------------------------------------------------------------

    @property
    def subset(self) -> array[int] | None:
        """The devices that are shown alone, if any."""
        return self._subset

    @property
    def facets(self) -> DeviceFacets | None:
        """The counts of the chips; None: they are not there yet."""
        return self._facets

    def start(self) -> None:
        """Lists devices for the first time."""
        self._list()

    def refresh(self) -> None:
        """Devices have changed: lists them again, without moving what is looked at."""
        if self._subset is None and self._asked == self._question():
            self._ask_again = True  # a list that is begun anew at every change may never be there
        else:
            self._list()

    def focus_search(self) -> None:
        """Puts the cursor into the search field."""
        self.search.setFocus()
        self.search.selectAll()

    def focus_table(self) -> None:
        """Puts the focus on the table, on its first row if none was current."""
        self.table.setFocus()
        if self.table.current_row() < 0 and self.model.row_total():
            self.table.set_current_row(0)

    def show_only(self, ids: array[int], text: str, *, of_checks: bool = False) -> None:
        """Lists just these devices, whatever the filter says; ``text`` says which they are."""
        self._subset, self._subset_is_checks, self._listed_for = ids, of_checks, None
        self._alone.show_message("", text)
        self._alone.show()
        self._take(ids)

    def show_all(self) -> None:
        """Lists again what the filter matches."""
        if self._subset is not None:
            self._subset, self._subset_is_checks = None, False
            self._alone.hide()
            self.subset_left.emit()
            self._list()

    def tell(self, tone: Tone, title: str, text: str, actions: tuple[tuple[str, Callable[[], None], str], ...]) -> None:
        """Shows a message over the table until it is closed; ``actions`` are text, what it does, object name."""
        self.info.clear_actions()
        self.info.show_message(title, text, tone)
        for word, run, name in actions:
            self.info.add_action(word, run, name)
        self.info.show()

    # --- filter -------------------------------------------------------------------------------------------------------

    def _searched(self, text: str) -> None:
        self._filter = replace(self._filter, text=text.strip())
        self._leave_subset()
        self._timer.start()

    def _chip_pressed(self, key: str) -> None:
        if key == ALL:
            self._clear_chips()
            return
        if key == UNOWNED:
            self._filter = replace(self._filter, owned=False if self.chips.chip(UNOWNED).isChecked() else None)
        else:
            self._toggle_status(DeviceStatus(key), self.chips.chip(key).isChecked())
        self._filter_changed()

    def _toggle_status(self, status: DeviceStatus, on: bool) -> None:
        kept = tuple(one for one in self._filter.statuses if one is not status)
        self._filter = replace(self._filter, statuses=(*kept, status) if on else kept)

    def _toggle_provider(self, code: str, on: bool) -> None:
        kept = tuple(one for one in self._filter.service_providers if one != code)
        self._filter = replace(self._filter, service_providers=(*kept, code) if on else kept)
        self._filter_changed()

    def _menu_status_toggled(self, status: DeviceStatus, on: bool) -> None:
        self._toggle_status(status, on)
        self._filter_changed()

    def _clear_chips(self) -> None:
        self._filter = DeviceFilter(text=self._filter.text)
        self._filter_changed()

    def _filter_changed(self) -> None:
        self._leave_subset()
        self._write_chips()
        self._list()

    def _leave_subset(self) -> None:
        if self._subset is not None:
            self._subset, self._subset_is_checks = None, False
            self._alone.hide()
            self.subset_left.emit()

    def _write_chips(self) -> None:
        chosen = self._filter
        on: list[str] = [status for status in CHIP_STATUSES if status in chosen.statuses]
        if chosen.owned is False:
            on.append(UNOWNED)
        in_menu = [words.device_status(status) for status in MENU_STATUSES if status in chosen.statuses]
        is_filtered = bool(on or in_menu or chosen.service_providers)
        self.chips.set_on(*on, *(() if is_filtered else (ALL,)))
        providers = [self.model.provider_name(code) for code in chosen.service_providers]
        for button, word, names in (
            (self._carrier_button, self.tr("Carrier"), providers),
            (self._status_button, self.tr("Status"), in_menu),
        ):
            button.setChecked(bool(names))
            button.setText(f"{word}: {', '.join(names)}" if len(names) <= 2 and names else word)
            if len(names) > 2:
                button.setText(f"{word}: {len(names)}")
        self._clear_chips_button.setVisible(is_filtered)

    def _write_menus(self, facets: DeviceFacets) -> None:
        self._carrier_menu.clear()
        for code, count in sorted(facets.by_service_provider.items()):
            is_on = code in self._filter.service_providers
            action = self._check_action(self._carrier_menu, self.model.provider_name(code), count, is_on)
            action.toggled.connect(lambda on, code=code: self._toggle_provider(code, on))
        self._status_menu.clear()
        for status in MENU_STATUSES:
            count = facets.by_status.get(status, 0)
            is_on = status in self._filter.statuses
            action = self._check_action(self._status_menu, words.device_status(status), count, is_on)
            action.toggled.connect(lambda on, status=status: self._menu_status_toggled(status, on))

    def _check_action(self, menu: QMenu, word: str, count: int, on: bool) -> QAction:
        action = menu.addAction(f"{word}\t{words.number(count)}")
        action.setCheckable(True)
        action.setChecked(on)
        return action

    # --- listing ------------------------------------------------------------------------------------------------------

    def _question(self) -> Question:
        return self._filter, self.table.sort_column, self.table.sort_descending

    def _list(self) -> None:
        """Lists what the filter matches: the first ones, then all; where it is listed already, all of it anew."""
        self._timer.stop()
        if self._subset is not None:
            self.model.refresh()
            return
        question = self._question()
        if self._listed_for is None or self._listed_for[0] != question[0]:
            # counts of another filter: nobody waits for them, and they would hold the list up
            self._context.background.drop("devices/facets")
        if question == self._listed_for:
            self._ask_all(question)
        else:
            self._ask_first(question)

    def _ask_first(self, question: Question) -> None:
        desk = self._context.desk

        def work(cancel: Cancel) -> tuple[array[int], FirstDevices]:
            first = desk.first_devices(*question, limit=FIRST_DEVICES, cancelled=cancel)
            return unpack(first.packed), first

        def done(answer: tuple[array[int], FirstDevices]) -> None:
            ids, first = answer
            if self._subset is None:
                self._listed_for = question
                self._take(ids, first.rows, is_whole=first.is_all)
            if first.is_all or self._subset is not None:
                self._all_listed()
            else:
                self._ask_all(question)

        self._ask(question, work, done)

    def _ask_all(self, question: Question) -> None:
        desk = self._context.desk

        def done(ids: array[int]) -> None:
            if self._subset is None:
                self._take_rest(ids)
            self._all_listed()

        self._ask(question, lambda cancel: unpack(desk.device_ids(*question, cancel)), done)

    def _ask(self, question: Question, work: Callable[[Cancel], T], done: Callable[[T], None]) -> None:
        def failed(error: Exception) -> None:
            self._asked = None
            self.model.take_back_check_all()
            self._context.complain(error)

        self._asked, self._ask_again = question, False
        self._context.background.run(work, done=done, failed=failed, key="devices/list", owner=self)

    def _all_listed(self) -> None:
        """What was asked is there. Counts are asked for only now: both together would take as long as one by one, and
        a list is wanted before its counts."""
        self._asked, again = None, self._ask_again
        self.listed.emit()
        self._count(self._filter)
        if again:
            self._list()

    def _count(self, chosen: DeviceFilter) -> None:
        desk = self._context.desk
        self._context.background.run(
            lambda cancel: desk.device_facets(chosen, cancel),
            done=self._counted,
            failed=self._context.complain,
            key="devices/facets",
            owner=self,
        )

    def _prepare(self) -> None:
        """Has the desk read what makes the next search quick; nothing waits for it."""
        desk = self._context.desk
        self._context.background.run(
            desk.prepare_search,
            done=lambda _: None,
            failed=self._context.complain,
            key="devices/prepare",
            owner=self,
            lane=Lane.LONG,
        )

    def _take_rest(self, ids: array[int]) -> None:
        """The whole list, of which the beginning, or an older state, is shown: what is looked at stays where it is."""
        if self.model.list_rest(ids):
            self.model.refresh()
            self._write_list()
            return
        place, row = self.table.verticalScrollBar().value(), self.table.current_row()
        device = self.model.device_at(row) if row >= 0 else None
        is_waiting = self.model.check_all_waits
        self._take(ids)
        if device is not None:
            with suppress(ValueError):  # it is not listed any more
                self.table.set_current_row(ids.index(device))
        self.table.verticalScrollBar().setValue(place)
        if is_waiting:
            self.model.check_all_listed()

    def _take(self, ids: array[int], rows: Sequence[DeviceRow] = (), *, is_whole: bool = True) -> None:
        self.model.list_devices(ids, rows, is_whole=is_whole)
        self._write_list()

    def _write_list(self) -> None:
        """Everything around the rows, when others are listed."""
        self.table.horizontalHeader().viewport().update()
        self._stack.setCurrentIndex(0 if self.model.row_total() else 1)
        if not self.model.row_total():
            self._write_empty()
        self._write_band()

    def _counted(self, facets: DeviceFacets) -> None:
        self._facets = facets
        self._prepare()
        counts: dict[str, int] = {ALL: facets.total, UNOWNED: facets.without_customer}
        counts.update({status: facets.by_status.get(status, 0) for status in CHIP_STATUSES})
        self.chips.set_counts(counts)
        self._write_menus(facets)
        self._write_band()
        if not self.model.row_total():
            self._write_empty()

    def _write_empty(self) -> None:
        text, total = self._filter.text, self._facets.total if self._facets else 0
        filters = [self.chips.chip(key).text().split("  ")[0] for key in self.chips.on() if key != ALL]
        filters += [self.model.provider_name(code) for code in self._filter.service_providers]
        filters += [words.device_status(status) for status in MENU_STATUSES if status in self._filter.statuses]
        if self._facets is not None and not total:
            self._empty.show_texts(
                self.tr("No devices yet"), self.tr("The database holds no device that you may see."), "device-sim"
            )
        else:
            title = self.tr("No devices match “{text}”").format(text=text) if text else self.tr("No devices match")
            where = self.tr("Searched ICCID, IMEI, MSISDN, EID and name in {count} devices").format(
                count=words.number(total)
            )
            if filters:
                where = self.tr("{where}, with these filters on: {filters}").format(
                    where=where, filters=", ".join(filters)
                )
            self._empty.show_texts(title, f"{where}.", "search-off")
        self._clear_filters_button.setVisible(bool(filters))
        self._clear_search_button.setVisible(bool(text))

    # --- checks -------------------------------------------------------------------------------------------------------

    def _checks_did_change(self) -> None:
        self.table.horizontalHeader().viewport().update()
        if self._subset_is_checks and not len(self.model.checks):
            self.show_all()
        self._write_band()
        self.checks_changed.emit()

    def _check_all_did_change(self) -> None:
        """All is to be checked as soon as it is listed, or not any more."""
        self._write_band()
        if self.model.check_all_waits and self._asked is None:
            self._list()  # what was asked could not be read

    def _show_selected_pressed(self) -> None:
        ids = self.model.checks.ids()
        self.show_only(
            ids,
            self.tr("Showing only the selected devices: {count}").format(count=words.number(len(ids))),
            of_checks=True,
        )

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._write_for_width()

    def _write_for_width(self) -> None:
        """Texts that are shorter where the window is small."""
        is_wide = self.width() >= WIDE
        self.search.setPlaceholderText(
            self.tr("Search ICCID, IMEI, MSISDN, EID or name   (Ctrl+F)") if is_wide else self.tr("Search   (Ctrl+F)")
        )
        self._show_selected.setText(self.tr("Show selected only") if is_wide else self.tr("Show selected"))
        self._clear.setText(self.tr("Clear selection  Esc") if is_wide else self.tr("Clear  Esc"))

    def _write_band(self) -> None:
        checked, listed = len(self.model.checks), self.model.row_total()
        total = words.number(self._facets.total) if self._facets else "…"
        count = words.number(listed) if self.model.is_whole else "…"
        self.band.set_selected(checked > 0)
        self._strong.setVisible(checked > 0)
        if checked:
            self._strong.setText(self.tr("{count} selected").format(count=words.number(checked)))
            if self._facets and self._subset is not None:
                count = words.number(self._facets.matching)
            self._rest.setText(self.tr("of {count} matching").format(count=count))
        else:
            self._rest.setText(
                self.tr("{listed} of {total} devices match  ·  none selected").format(listed=count, total=total)
            )
        if self.model.check_all_waits:
            self._select_all.setText(self.tr("Selecting all…"))
        else:
            self._select_all.setText(self.tr("Select all {count}").format(count=count))
        self._select_all.setVisible(listed > 0 and self.model.header_state() is not Qt.CheckState.Checked)
        self._show_selected.setVisible(checked > 0 and not self._subset_is_checks)
        self._clear.setVisible(checked > 0)

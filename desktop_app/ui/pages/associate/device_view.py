"""The table of devices: check boxes by mouse and keyboard, sorting by header."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QPoint, QRect, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter
from PySide6.QtWidgets import QHeaderView, QWidget

from desktop_app.desk.protocol import DeviceColumn
from desktop_app.ui import icons, theme
from desktop_app.ui.models.devices import HIDDEN_AT_FIRST, SORTS, VERDICT, DeviceTableModel
from desktop_app.ui.widgets.row_painter import paint_check_box
from desktop_app.ui.widgets.rows import Column
from desktop_app.ui.widgets.table import TableView


class DeviceHeader(QHeaderView):
    """The header: a check box for all that is listed, and a mark at the column that is sorted by.

    Signals:
        check_all_pressed(): the check box was pressed.
        sort_pressed(str): the title of the column with that key was pressed.
    """

    check_all_pressed = Signal()
    sort_pressed = Signal(str)

    def __init__(self, view: DeviceTable) -> None:
        super().__init__(Qt.Orientation.Horizontal, view)
        self._view = view
        self.setSectionsClickable(True)
        self.setMouseTracking(True)
        self._pressed_at = QPoint()

    def paintSection(self, painter: QPainter, rect: QRect, section: int) -> None:
        painter.save()
        super().paintSection(painter, rect, section)
        painter.restore()
        model = self._view.devices()
        if section == 0:
            box = QRect(rect.left() + 13, rect.top() + (rect.height() - 16) // 2, 16, 16)
            paint_check_box(painter, box, model.header_state())
        elif model.columns[section].key == self._view.sort_key:
            colours = theme.active()
            left = rect.left() + 14 + self.fontMetrics().horizontalAdvance(model.columns[section].title)
            painter.save()
            painter.translate(left + 7, rect.center().y() + 1)
            if not self._view.sort_descending:
                painter.rotate(180)
            painter.drawPixmap(-7, -7, icons.pixmap("chevron-down", colours.muted, 14, self.devicePixelRatioF()))
            painter.setPen(QColor(colours.muted))
            painter.restore()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._pressed_at = event.position().toPoint()
        super().mousePressEvent(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        super().mouseReleaseEvent(event)
        section = self.logicalIndexAt(event.position().toPoint())
        if event.button() is not Qt.MouseButton.LeftButton or section != self.logicalIndexAt(self._pressed_at):
            return
        if section == 0:
            self.check_all_pressed.emit()
        elif section > 0:
            key = self._view.devices().columns[section].key
            if key in SORTS:
                self.sort_pressed.emit(key)


class DeviceTable(TableView):
    """The table of devices.

    A press on a check box, or Space on the current row, checks a device; Shift and a press checks all between; Ctrl+A
    checks all that is listed.

    Signals:
        sort_changed(): ``sort_column`` or ``sort_descending`` is another one.
    """

    sort_changed = Signal()

    def __init__(self, model: DeviceTableModel, parent: QWidget | None = None) -> None:
        self.sort_key, self.sort_descending = "iccid", False
        self._anchor = -1
        super().__init__("deviceTable", "", parent)
        self.setAccessibleName(self.tr("Devices"))
        self._hidden_by_person = set(HIDDEN_AT_FIRST)
        self._is_customised = False
        header = DeviceHeader(self)
        header.setFixedHeight(36)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setMinimumSectionSize(28)
        header.setHighlightSections(False)
        header.setAccessibleName(self.tr("Devices"))
        header.check_all_pressed.connect(self.toggle_all)
        header.sort_pressed.connect(self._sort_pressed)
        self.setHorizontalHeader(header)
        self.setModel(model)

    def devices(self) -> DeviceTableModel:
        """The model."""
        model = self.model()
        assert isinstance(model, DeviceTableModel)
        return model

    @property
    def sort_column(self) -> DeviceColumn:
        """What the list is sorted by."""
        return SORTS[self.sort_key]

    def _sort_pressed(self, key: str) -> None:
        self.sort_descending = not self.sort_descending if key == self.sort_key else False
        self.sort_key = key
        self.horizontalHeader().viewport().update()
        self.sort_changed.emit()

    # --- columns ------------------------------------------------------------------------------------------------------

    def column_wanted(self, spec: Column) -> bool:
        if spec.key == VERDICT:
            return self.devices().has_verdicts
        return super().column_wanted(spec)

    def set_hidden_by_person(self, keys: set[str]) -> None:
        self._is_customised = True
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        super().set_hidden_by_person(keys)

    def may_drop(self, spec: Column) -> bool:
        # what a person asked for is scrolled to rather than hidden
        return super().may_drop(spec) and not self._is_customised

    # --- checks -------------------------------------------------------------------------------------------------------

    def toggle_all(self) -> None:
        """Checks all that is listed, or unchecks it if it is all checked; takes back what waits to be checked."""
        model = self.devices()
        if model.check_all_waits:
            model.take_back_check_all()
        elif model.header_state() is Qt.CheckState.Checked:
            model.uncheck_all_listed()
        else:
            model.check_all_listed()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        at = event.position().toPoint()
        row, column = self.rowAt(at.y()), self.columnAt(at.x())
        super().mousePressEvent(event)
        if event.button() is not Qt.MouseButton.LeftButton or row < 0:
            return
        if column == 0:
            self._check_to(row, event.modifiers())
        else:
            self._anchor = row

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        if self.columnAt(event.position().toPoint().x()) == 0:
            self.mousePressEvent(event)  # two quick presses on a check box are two presses
        else:
            super().mouseDoubleClickEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        row = self.current_row()
        if event.key() == Qt.Key.Key_Space and row >= 0:
            self._check_to(row, event.modifiers())
        elif event.key() == Qt.Key.Key_A and event.modifiers() == Qt.KeyboardModifier.ControlModifier:
            self.devices().check_all_listed()
        else:
            super().keyPressEvent(event)

    def _check_to(self, row: int, modifiers: Qt.KeyboardModifier) -> None:
        model = self.devices()
        if modifiers & Qt.KeyboardModifier.ShiftModifier and 0 <= self._anchor < model.row_total():
            model.set_checked(self._anchor, row, model.is_checked(self._anchor))
        else:
            model.toggle(row)
            self._anchor = row

    def event(self, event: QEvent) -> bool:
        # Ctrl+A is ours, not the view's select-all
        if (
            event.type() is QEvent.Type.ShortcutOverride
            and isinstance(event, QKeyEvent)
            and event.key() == Qt.Key.Key_A
            and event.modifiers() == Qt.KeyboardModifier.ControlModifier
        ):
            event.accept()
            return True
        return super().event(event)

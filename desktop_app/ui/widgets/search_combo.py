"""A combo box whose list is searched somewhere else while a person types; the matching part is bold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import (
    QAbstractListModel,
    QEvent,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QPoint,
    QRect,
    QSignalBlocker,
    QSize,
    Qt,
    QTimer,
    Signal,
)
from PySide6.QtGui import QColor, QFocusEvent, QFontMetrics, QKeyEvent, QPainter, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QLineEdit,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from desktop_app.ui import fonts, theme

_Index = QModelIndex | QPersistentModelIndex
DEBOUNCE_MS = 120
ROW_HEIGHT = 32
MOST_ROWS = 9


@dataclass(frozen=True, slots=True)
class Choice:
    """One entry.

    Attributes:
        key: what stands behind it.
        text: what is shown, and written into the box when it is chosen.
        note: shown at the right, such as the account number.
        hint: a second thing that is searched and shown muted, such as a tag.
    """

    key: object
    text: str
    note: str = ""
    hint: str = ""


class _Choices(QAbstractListModel):
    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.entries: tuple[Choice, ...] = ()

    def replace(self, entries: Sequence[Choice]) -> None:
        self.beginResetModel()
        self.entries = tuple(entries)
        self.endResetModel()

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own default
        return 0 if parent.isValid() else len(self.entries)

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if role == Qt.ItemDataRole.DisplayRole:
            return self.entries[index.row()].text
        if role == Qt.ItemDataRole.AccessibleTextRole:
            entry = self.entries[index.row()]
            return ", ".join(filter(None, (entry.text, entry.note, entry.hint)))
        return None


class _ChoiceDelegate(QStyledItemDelegate):
    """Paints an entry: the text with the searched part bold, the note at the right."""

    def __init__(self, parent: QObject, choices: _Choices) -> None:
        super().__init__(parent)
        self._choices = choices
        self.searched = ""

    def sizeHint(self, option: QStyleOptionViewItem, index: _Index) -> QSize:
        return QSize(120, ROW_HEIGHT)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        colours = theme.active()
        entry = self._choices.entries[index.row()]
        rect: QRect = option.rect
        chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        painter.save()
        if chosen:
            painter.fillRect(rect, QColor(colours.selection))
        ink, dim = (colours.selection_text,) * 2 if chosen else (colours.text, colours.muted)
        inner = rect.adjusted(12, 0, -12, 0)
        right = inner.right()
        for words in (entry.note, entry.hint):
            if words:
                face = fonts.font(fonts.BODY if words == entry.note else fonts.SMALL)
                width = QFontMetrics(face).horizontalAdvance(words)
                painter.setPen(QColor(dim))
                self._run(painter, QPoint(right - width, rect.center().y()), words, face, width)
                right -= width + 12
        painter.setPen(QColor(ink))
        plain, strong = fonts.font(), fonts.font(strong=True)
        left, middle = inner.left(), rect.center().y()
        for words, is_match in self._parts(entry.text):
            face = strong if is_match else plain
            metrics = QFontMetrics(face)
            shown = metrics.elidedText(words, Qt.TextElideMode.ElideRight, max(0, right - left))
            width = metrics.horizontalAdvance(shown)
            self._run(painter, QPoint(left, middle), shown, face, width)
            left += width
            if shown != words:
                break
        painter.restore()

    def _run(self, painter: QPainter, at: QPoint, words: str, face: object, width: int) -> None:
        painter.setFont(face)  # type: ignore[arg-type]
        box = QRect(at.x(), at.y() - ROW_HEIGHT // 2, width + 4, ROW_HEIGHT)
        painter.drawText(box, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, words)

    def _parts(self, text: str) -> list[tuple[str, bool]]:
        at = text.casefold().find(self.searched.casefold()) if self.searched else -1
        if at < 0:
            return [(text, False)]
        end = at + len(self.searched)
        return [(part, bold) for part, bold in ((text[:at], False), (text[at:end], True), (text[end:], False)) if part]


class SearchCombo(QComboBox):
    """Type to search, pick with the arrows and Enter or Tab, or with the mouse.

    The list hangs under the box inside the same window and never takes the focus. An Enter that comes before the
    answer of the search picks the first entry as soon as it is there.

    Signals:
        searched(str): what is typed, when typing rests; answer by :meth:`show_choices`.
        chosen(object): the :class:`Choice` that was picked, or None when the text was changed after that.
    """

    searched = Signal(str)
    chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None, *, placeholder: str, accessible: str, name: str) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self.setEditable(True)
        self.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.setCompleter(None)  # type: ignore[arg-type]
        self.setMaxVisibleItems(MOST_ROWS)
        self.setAccessibleName(accessible)
        self._choice: Choice | None = None
        self._pick_when_ready = False
        self._waiting = False
        edit = self.lineEdit()
        assert edit is not None
        self._edit: QLineEdit = edit
        edit.setPlaceholderText(placeholder)
        edit.setAccessibleName(accessible)
        edit.textEdited.connect(self._typed)
        edit.installEventFilter(self)
        self._model = _Choices(self)
        self._list = _Overlay(self, self._model)
        self._list.clicked.connect(lambda index: self._pick(index.row()))
        self._delegate = _ChoiceDelegate(self._list, self._model)
        self._list.setItemDelegate(self._delegate)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DEBOUNCE_MS)
        self._timer.timeout.connect(self._search)
        self.currentIndexChanged.connect(self._index_changed)

    # --- what others call ---------------------------------------------------------------------------------------------

    def choice(self) -> Choice | None:
        """What is chosen."""
        return self._choice

    def show_choices(self, searched: str, choices: Sequence[Choice]) -> None:
        """The answer to a search; an outdated one is passed over."""
        if searched != self._searched_text():
            return
        self._waiting = False
        self._delegate.searched = searched
        self._model.replace(choices)
        self._mirror(choices)
        if self._pick_when_ready and choices:
            self._pick_when_ready = False
            self._pick(0)
        elif self._edit.hasFocus() and self._list.wanted:
            self._list.open_under(self, select_first=bool(searched))

    def choose(self, choice: Choice | None) -> None:
        """Chooses without a person, with the signal."""
        self._choice = choice
        with QSignalBlocker(self), QSignalBlocker(self._edit):
            if choice is not None and self.findText(choice.text) < 0:
                self.addItem(choice.text, choice)
            self.setCurrentIndex(self.findText(choice.text) if choice is not None else -1)
            self._edit.setText(choice.text if choice is not None else "")
            self._edit.setCursorPosition(0)
        self._list.close_it()
        self.chosen.emit(choice)

    def set_list_width(self, least: int) -> None:
        """The list is at least so wide, where the box is narrower."""
        self._list.least_width = least

    def list_view(self) -> QListView:
        """The list under the box."""
        return self._list

    # --- typing -------------------------------------------------------------------------------------------------------

    def _searched_text(self) -> str:
        return "" if self._choice is not None else self._edit.text().strip()

    def _typed(self) -> None:
        self._pick_when_ready = False
        self._list.wanted = True
        if self._choice is not None:
            self._choice = None
            self.chosen.emit(None)
        self._waiting = True
        self._timer.start()

    def _search(self) -> None:
        self._timer.stop()
        self.searched.emit(self._searched_text())

    def _mirror(self, choices: Sequence[Choice]) -> None:
        """The box's own items are the entries of the last answer; writing them must not touch what is typed."""
        text, cursor = self._edit.text(), self._edit.cursorPosition()
        with QSignalBlocker(self), QSignalBlocker(self._edit):
            self.clear()
            for choice in choices:
                self.addItem(choice.text, choice)
            here = -1
            if self._choice is not None:
                here = self.findText(self._choice.text)
                if here < 0:
                    self.addItem(self._choice.text, self._choice)
                    here = self.count() - 1
            self.setCurrentIndex(here)
            self._edit.setText(text)
            self._edit.setCursorPosition(cursor)

    def _index_changed(self, row: int) -> None:
        choice = self.itemData(row) if row >= 0 else None
        if isinstance(choice, Choice) and choice != self._choice:
            self.choose(choice)

    def _pick(self, row: int) -> None:
        if 0 <= row < len(self._model.entries):
            self.choose(self._model.entries[row])

    # --- the list -----------------------------------------------------------------------------------------------------

    def showPopup(self) -> None:
        if self._list.isVisible():
            self._list.close_it()
            return
        self._edit.setFocus(Qt.FocusReason.PopupFocusReason)
        self._list.wanted = True
        self._list.open_under(self, select_first=False)
        self._search()

    def hidePopup(self) -> None:
        self._list.close_it()

    def event(self, event: QEvent) -> bool:
        # the box has the focus, its line is a proxy: keys come here first
        if isinstance(event, QKeyEvent) and event.type() is QEvent.Type.ShortcutOverride:
            if event.key() == Qt.Key.Key_Escape and self._list.isVisible():
                event.accept()  # it closes the list, and is no shortcut of the page
                return True
        elif isinstance(event, QKeyEvent) and event.type() is QEvent.Type.KeyPress and self._key(event):
            return True
        return super().event(event)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self._edit and isinstance(event, QKeyEvent) and event.type() is QEvent.Type.KeyPress:
            return self._key(event)
        return super().eventFilter(watched, event)

    def _key(self, event: QKeyEvent) -> bool:
        """Keys while the line has the focus; True: nobody else gets it."""
        key = event.key()
        is_open = self._list.isVisible()
        if key in {Qt.Key.Key_Down, Qt.Key.Key_Up}:
            if not is_open:
                self.showPopup()
            else:
                self._list.step(1 if key == Qt.Key.Key_Down else -1)
            return True
        if key in {Qt.Key.Key_Return, Qt.Key.Key_Enter} and not event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            if self._timer.isActive() or self._waiting:
                self._pick_when_ready = True
                if self._timer.isActive():
                    self._search()
            elif is_open:
                self._pick(max(0, self._list.currentIndex().row()))
            return True
        if key == Qt.Key.Key_Tab and is_open and self._list.currentIndex().isValid() and self._choice is None:
            self._pick(self._list.currentIndex().row())
            return False  # and the focus goes on
        if key == Qt.Key.Key_Escape and is_open:
            self._list.close_it()
            return True
        return False

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        if event.reason() is not Qt.FocusReason.ActiveWindowFocusReason:
            self._list.close_it()

    def hideEvent(self, event: object) -> None:
        self._list.close_it()
        super().hideEvent(event)  # type: ignore[arg-type]

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self._list.isVisible():
            self._list.place_under(self)  # a scroll bar beside the box came or went


class _Overlay(QListView):
    """The list, a child of the box's window that is raised over everything."""

    def __init__(self, combo: QComboBox, model: _Choices) -> None:
        super().__init__(combo)
        self.wanted = False
        self.least_width = 0
        self.setObjectName(f"{combo.objectName()}List")
        self.setAccessibleName(combo.accessibleName())
        self.setProperty("kind", "popup")
        self.setModel(model)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setMouseTracking(True)
        self.entered.connect(self.setCurrentIndex)
        self.hide()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.parent() and event.type() in {QEvent.Type.Resize, QEvent.Type.WindowDeactivate}:
            self.hide()
        return super().eventFilter(watched, event)

    def place_under(self, combo: QComboBox) -> None:
        window, rows = combo.window(), self.model().rowCount()
        corner = combo.mapTo(window, QPoint(0, combo.height() + 3))
        width = max(combo.width(), self.least_width)
        left = min(corner.x(), combo.mapTo(window, QPoint(combo.width(), 0)).x() - width)  # grows to the left
        height = min(rows, MOST_ROWS) * ROW_HEIGHT + 2
        height = min(height, max(ROW_HEIGHT + 2, window.height() - corner.y() - 8))
        self.setGeometry(left, corner.y(), width, height)

    def open_under(self, combo: QComboBox, *, select_first: bool) -> None:
        rows = self.model().rowCount()
        if not rows:
            self.hide()
            return
        window = combo.window()
        if self.parentWidget() is not window:
            self.setParent(window)
            window.installEventFilter(self)
        self.place_under(combo)
        if select_first:
            self.setCurrentIndex(self.model().index(0, 0))
        self.show()
        self.raise_()

    def close_it(self) -> None:
        self.wanted = False
        self.hide()

    def step(self, by: int) -> None:
        rows = self.model().rowCount()
        if rows:
            row = self.currentIndex().row()
            self.setCurrentIndex(self.model().index((row + by) % rows if row >= 0 or by > 0 else rows - 1, 0))

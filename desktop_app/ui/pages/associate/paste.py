"""Identifiers from the clipboard or a file: asking for them, and saying line by line what became of them."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QMimeData, QObject, Qt, Signal
from PySide6.QtGui import QGuiApplication, QKeySequence, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QPlainTextEdit, QWidget

from desktop_app.association.model import unpack
from desktop_app.desk.protocol import Located, LocatedLine
from desktop_app.ui import words
from desktop_app.ui.palette import Tone
from desktop_app.ui.widgets.buttons import Button
from desktop_app.ui.widgets.dialogs import Dialog
from desktop_app.ui.widgets.labels import field_label, label
from desktop_app.ui.widgets.rows import Cell, Column, RowModel, width_of
from desktop_app.ui.widgets.table import TableView

#: The clipboard is only offered if it is shorter than this many characters (a million identifiers).
MOST_CLIPBOARD = 25_000_000
#: What is longer is not put into the field, which would hold up the window: its beginning is shown.
MOST_EDITED = 400_000
SHOWN_LINES = 200
#: A line that is longer holds up the window too, which lays out lines as wholes; no identifier is nearly so long.
MOST_IN_LINE = 5_000
SHOWN_OF_LINE = 200


def problem_words(code: str) -> str:
    """The word for a line's problem."""
    return {
        "NOT_FOUND": words.translate("paste", "not found"),
        "DUPLICATE": words.translate("paste", "duplicate"),
        "AMBIGUOUS": words.translate("paste", "ambiguous"),
        "UNREADABLE": words.translate("paste", "not readable"),
    }.get(code, code.replace("_", " ").lower())


#: In this order they are told.
PROBLEMS = ("NOT_FOUND", "AMBIGUOUS", "UNREADABLE", "DUPLICATE")


def summary(located: Located, source: str) -> tuple[str, str]:
    """Title and rest of the message about pasted or imported lines, such as "3 not found · 1 duplicate"."""
    found = len(unpack(located.packed))
    ids = words.translate("paste", "1 ID") if located.asked == 1 else words.translate("paste", "{n} IDs")
    title = words.translate("paste", "{source} {ids}: {found} found and selected").format(
        source=source, ids=ids.format(n=words.number(located.asked)), found=words.number(found)
    )
    counts = ((code, located.count(code)) for code in PROBLEMS)
    return title, " · ".join(f"{words.number(count)} {problem_words(code)}" for code, count in counts if count)


def lines_of(text: str) -> tuple[str, ...]:
    """The lines that are not empty. For a million of them this takes a while: off the UI thread."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def fits(text: str) -> bool:
    """Whether a field can hold the text without holding up the window."""
    return len(text) <= MOST_EDITED and all(len(line) <= MOST_IN_LINE for line in text.split("\n"))


class _Field(QPlainTextEdit):
    """A field of lines.

    Signals:
        too_long(str): what would stand in it after something was pasted or dropped, if it held that; it does not.
    """

    too_long = Signal(str)

    def insertFromMimeData(self, source: QMimeData) -> None:
        pasted = source.text()
        if fits(pasted):
            super().insertFromMimeData(source)
            return
        around = self.textCursor()
        start, end = around.selectionStart(), around.selectionEnd()
        around.setPosition(0)
        around.setPosition(start, around.MoveMode.KeepAnchor)
        before = around.selection().toPlainText()
        around.setPosition(end)
        around.movePosition(around.MoveOperation.End, around.MoveMode.KeepAnchor)
        self.too_long.emit(f"{before}{pasted}{around.selection().toPlainText()}")


class PasteDialog(Dialog):
    """Asks for identifiers, one a line; what the clipboard holds is there already."""

    def __init__(self, parent: QWidget, then: Callable[[str], None]) -> None:
        """``then`` is given the text, of which :func:`lines_of` makes the lines."""
        super().__init__(parent, self.tr("Paste IDs"), "pasteDialog", width=520)
        self._then = then
        self.edit = _Field()
        self.edit.setObjectName("pasteEdit")
        self.edit.setTabChangesFocus(True)
        self.edit.setMinimumHeight(240)
        self.edit.setPlaceholderText("8988303000000000018\n+1 274 555 0005")
        self.body.addWidget(field_label(self.tr("ICCID, IMEI, MSISDN or EID, &one a line"), self.edit))
        self.body.addWidget(self.edit, 1)
        self._count = label("", "small")
        self.body.addWidget(self._count)
        self.add_button(self.tr("Cancel"), self.reject, name="pasteCancel")
        self._find = self.add_button(self.tr("Find devices"), self._go, kind="primary", default=True, name="pasteFind")
        self._find.setToolTip(self.tr("Ctrl+Enter"))
        for keys in ("Ctrl+Return", "Ctrl+Enter"):
            QShortcut(QKeySequence(keys), self).activated.connect(self._go)
        self._long = ""  # what is too long for the field
        clipboard = QGuiApplication.clipboard().text()
        self.edit.textChanged.connect(self._counted)
        if fits(clipboard):
            self.edit.setPlainText(clipboard)
        elif len(clipboard) <= MOST_CLIPBOARD:
            self._show_long(clipboard)
        self._counted()
        self.edit.too_long.connect(self._take_long)
        self.edit.selectAll()
        self.edit.setFocus()

    def _take_long(self, text: str) -> None:
        if len(text) <= MOST_CLIPBOARD:
            self._show_long(text)
        else:
            self._count.setText(self.tr("That is too long to be pasted; import it as a file."))

    def _show_long(self, text: str) -> None:
        """Keeps the text, and shows its beginning."""
        self._long = text
        self.edit.setPlainText("\n".join(line[:SHOWN_OF_LINE] for line in text[:MOST_EDITED].split("\n")[:SHOWN_LINES]))
        self.edit.setReadOnly(True)

    def _counted(self) -> None:
        if self._long:
            count = self._long.rstrip().count("\n") + 1
            told = self.tr("1 line") if count == 1 else self.tr("{n} lines").format(n=words.number(count))
            self._count.setText(self.tr("{lines} will be looked for; the beginning is shown.").format(lines=told))
            self._find.setEnabled(True)
            return
        count = len(lines_of(self.edit.toPlainText()))
        self._count.setText(self.tr("1 line") if count == 1 else self.tr("{n} lines").format(n=words.number(count)))
        self._find.setEnabled(count > 0)

    def _go(self) -> None:
        text = self._long or self.edit.toPlainText()
        if text.strip():
            self.accept()
            self._then(text)


class _LinesModel(RowModel):
    """Lines with a problem."""

    def __init__(self, lines: tuple[LocatedLine, ...], parent: QObject) -> None:
        columns = (
            Column("line", self.tr("Line"), width_of("1,000,000"), right=True),
            Column("asked_for", self.tr("As it was given"), width_of("0" * 22)),
            Column("problem", self.tr("Result"), width_of("Not readable", strong=True, icon=True)),
            Column("message", self.tr("What happened, what to do"), 240, stretch=1),
        )
        super().__init__(columns, parent)
        self.lines = lines

    def row_total(self) -> int:
        return len(self.lines)

    def cell(self, row: int, column: int) -> Cell:
        line = self.lines[row]
        code = line.problem.code if line.problem else ""
        match self.columns[column].key:
            case "line":
                return Cell(words.number(line.line), muted=True)
            case "asked_for":
                return Cell(line.asked_for)
            case "problem" if code == "DUPLICATE":
                return Cell(problem_words(code).capitalize(), icon="copy")
            case "problem":
                tone = Tone.WARNING if code == "AMBIGUOUS" else Tone.ERROR
                icon = "alert-triangle-filled" if code == "AMBIGUOUS" else "circle-x-filled"
                return Cell(problem_words(code).capitalize(), icon=icon, tone=tone, strong=True)
            case _:
                return Cell(f"{line.problem.message} {line.problem.what_to_do}" if line.problem else "", muted=True)


class LinesDialog(Dialog):
    """Lists the lines that found no device, or found one twice or on several service providers."""

    def __init__(self, parent: QWidget, located: Located) -> None:
        title = self.tr("Lines to look at: {count}").format(count=words.number(len(located.lines)))
        super().__init__(parent, title, "linesDialog", width=900)
        self._located = located
        self.setMinimumHeight(420)
        view = TableView("linesTable", self.tr("Lines with a problem"))
        view.setModel(_LinesModel(located.lines, view))
        self.body.addWidget(view, 1)
        self._whole = label("", "muted", wrap=True)
        self._whole.setMinimumHeight(34)
        self.body.addWidget(self._whole)
        view.current_changed.connect(self._show_whole)
        copy = Button(self.tr("Copy these lines"), self, icon="copy", name="copyLinesButton")
        copy.clicked.connect(self._copy)
        left = QHBoxLayout()
        left.addWidget(copy)
        self.buttons.insertLayout(0, left)
        self.add_button(self.tr("Close"), self.accept, kind="primary", default=True, name="linesClose")
        view.set_current_row(0)
        view.setFocus(Qt.FocusReason.OtherFocusReason)

    def _show_whole(self, row: int) -> None:
        line = self._located.lines[row] if row >= 0 else None
        told = line.problem if line is not None else None
        self._whole.setText(f"{told.message} {told.what_to_do}" if told is not None else "")

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText("\n".join(line.asked_for for line in self._located.lines))

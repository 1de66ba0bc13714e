"""Dialogs. They are opened, never executed: a modal loop inside a call from the background would lock it up."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QHBoxLayout, QVBoxLayout, QWidget

from desktop_app.ui.widgets.buttons import Button
from desktop_app.ui.widgets.labels import label


class Dialog(QDialog):
    """A dialog with a title line, a body, and buttons at the lower right. Esc closes it."""

    def __init__(self, parent: QWidget, title: str, name: str, *, width: int = 480) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self.setWindowTitle(title)
        self.setAccessibleName(title)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(width)
        around = QVBoxLayout(self)
        around.setContentsMargins(20, 16, 20, 16)
        around.setSpacing(12)
        around.addWidget(label(title, "title"))
        self.body = QVBoxLayout()
        self.body.setSpacing(8)
        around.addLayout(self.body, 1)
        self.buttons = QHBoxLayout()
        self.buttons.setSpacing(8)
        self.buttons.addStretch(1)
        around.addLayout(self.buttons)

    def add_button(
        self, text: str, run: Callable[[], object], *, kind: str = "normal", default: bool = False, name: str = ""
    ) -> Button:
        """Adds a button at the right; the default one is pressed by Enter."""
        button = Button(text, self, kind=kind, name=name)
        button.clicked.connect(lambda: run())
        if default:
            button.setDefault(True)
        self.buttons.addWidget(button)
        return button


def confirm(
    parent: QWidget, title: str, text: str, *, yes: str, no: str, run: Callable[[], object], danger: bool = False
) -> Dialog:
    """Asks before something that matters. The default, and Esc, is ``no``; ``yes`` calls ``run``."""
    dialog = Dialog(parent, title, "confirmDialog")
    dialog.body.addWidget(label(text, wrap=True))

    def agreed() -> None:
        dialog.accept()
        run()

    cancel = dialog.add_button(no, dialog.reject, default=True, name="confirmNo")
    dialog.add_button(yes, agreed, kind="danger" if danger else "primary", name="confirmYes")
    cancel.setFocus()
    dialog.open()
    return dialog

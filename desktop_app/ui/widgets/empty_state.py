"""What a page shows where there is nothing: icon, title, one sentence, and the way out."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from desktop_app.ui import icons, theme
from desktop_app.ui.widgets.buttons import Button

WIDTH = 380  #: of the sentence, in pixels
TITLE_WIDTH = 560  #: of a title that is a long sentence (what went wrong, with the name of a file), in pixels


class EmptyState(QWidget):
    """Icon, title, sentence and buttons in the middle of the free room."""

    def __init__(self, icon: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._icon_name = icon
        self._picture = QLabel()
        self._title = QLabel()
        self._title.setProperty("kind", "heading")
        self._sentence = QLabel()
        self._sentence.setProperty("kind", "muted")
        self._sentence.setWordWrap(True)
        self._sentence.setFixedWidth(WIDTH)
        column = QVBoxLayout(self)
        column.setSpacing(6)
        column.addStretch(1)
        for part in (self._picture, self._title, self._sentence):
            part.setTextFormat(Qt.TextFormat.PlainText if part is not self._picture else Qt.TextFormat.AutoText)
            part.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            column.addWidget(part, 0, Qt.AlignmentFlag.AlignHCenter)
        self._buttons = QHBoxLayout()
        self._buttons.setSpacing(8)
        self._buttons.setContentsMargins(0, 8, 0, 0)
        around = QHBoxLayout()
        around.addStretch(1)
        around.addLayout(self._buttons)
        around.addStretch(1)
        column.addLayout(around)
        column.addStretch(1)
        self._recolour()

    def show_texts(self, title: str, sentence: str, icon: str = "") -> None:
        """Sets the texts, and the icon if one is given."""
        self._title.setText(title)
        self._title.ensurePolished()
        is_long = self._title.fontMetrics().horizontalAdvance(title) > TITLE_WIDTH
        self._title.setWordWrap(is_long)
        if is_long:
            self._title.setMinimumSize(TITLE_WIDTH, self._title.heightForWidth(TITLE_WIDTH))
        else:  # as wide as it is: in a narrow list there is not so much room
            self._title.setMinimumSize(0, 0)
        self._sentence.setText(sentence)
        self._sentence.setFixedHeight(max(16, self._sentence.heightForWidth(WIDTH)))
        self.setAccessibleName(f"{title}. {sentence}")
        if icon:
            self._icon_name = icon
            self._recolour()

    def texts(self) -> tuple[str, str]:
        """Title and sentence."""
        return self._title.text(), self._sentence.text()

    def add_button(self, text: str, run: Callable[[], None], *, icon: str = "", name: str = "") -> Button:
        """Adds a way out."""
        button = Button(text, self, icon=icon, name=name)
        button.clicked.connect(lambda: run())
        self._buttons.addWidget(button)
        return button

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in {QEvent.Type.PaletteChange, QEvent.Type.StyleChange}:
            self._recolour()

    def _recolour(self) -> None:
        picture = getattr(self, "_picture", None)
        if picture is not None:
            picture.setPixmap(icons.pixmap(self._icon_name, theme.active().edge, 40, self.devicePixelRatioF()))

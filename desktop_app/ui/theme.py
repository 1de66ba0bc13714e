"""The look: light, dark or as the system has it, switched while the window is open.

``setColorScheme`` alone changes nothing on bare platforms (offscreen, plain X11), so the application gets a palette and
a style sheet of its own as well.
"""

from __future__ import annotations

from enum import StrEnum

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QColor, QGuiApplication, QPalette
from PySide6.QtWidgets import QApplication

from desktop_app.ui import fonts
from desktop_app.ui.palette import DARK, LIGHT, Palette
from desktop_app.ui.stylesheet import style_sheet


class ThemeMode(StrEnum):
    """What the operator chose."""

    LIGHT = "light"
    DARK = "dark"
    SYSTEM = "system"  #: follows the desktop, also when that changes


class Theme(QObject):
    """The application's look. There is one, made by the application before its first window.

    Signals:
        changed(Palette): emitted after the colours have changed.
    """

    changed = Signal(object)

    def __init__(self, app: QApplication, mode: ThemeMode = ThemeMode.SYSTEM) -> None:
        super().__init__(app)
        self._app = app
        self._mode = mode
        self._palette: Palette | None = None
        fonts.load_fonts()
        app.setStyle("Fusion")
        app.setFont(fonts.font())
        QGuiApplication.styleHints().colorSchemeChanged.connect(self._system_changed)
        self._apply()

    @property
    def mode(self) -> ThemeMode:
        """What the operator chose."""
        return self._mode

    @property
    def palette(self) -> Palette:
        """The colours in force."""
        assert self._palette is not None
        return self._palette

    def set_mode(self, mode: ThemeMode) -> None:
        """Switches at once; every open window follows."""
        self._mode = mode
        self._apply()

    def _system_changed(self) -> None:
        if self._mode is ThemeMode.SYSTEM:
            self._apply()

    def _apply(self) -> None:
        hints = QGuiApplication.styleHints()
        wanted = {
            ThemeMode.LIGHT: Qt.ColorScheme.Light,
            ThemeMode.DARK: Qt.ColorScheme.Dark,
            ThemeMode.SYSTEM: Qt.ColorScheme.Unknown,
        }[self._mode]
        if wanted is Qt.ColorScheme.Unknown:
            hints.unsetColorScheme()
        else:
            hints.setColorScheme(wanted)
        dark = self._mode is ThemeMode.DARK or (
            self._mode is ThemeMode.SYSTEM and hints.colorScheme() is Qt.ColorScheme.Dark
        )
        palette = DARK if dark else LIGHT
        if palette is self._palette:
            return
        self._palette = palette
        _active[0] = palette
        self._app.setPalette(_qt_palette(palette))
        self._app.setStyleSheet(style_sheet(palette))
        self.changed.emit(palette)


_active: list[Palette] = [LIGHT]


def active() -> Palette:
    """The colours in force, for what paints itself; one per application, as ``QApplication.palette()`` is."""
    return _active[0]


def _qt_palette(colours: Palette) -> QPalette:
    role = QPalette.ColorRole
    made = QPalette()
    for which, colour in (
        (role.Window, colours.window),
        (role.WindowText, colours.text),
        (role.Base, colours.surface),
        (role.AlternateBase, colours.zebra),
        (role.Text, colours.text),
        (role.Button, colours.surface),
        (role.ButtonText, colours.text),
        (role.BrightText, colours.error),
        (role.Highlight, colours.selection),
        (role.HighlightedText, colours.selection_text),
        (role.Link, colours.accent),
        (role.LinkVisited, colours.accent),
        (role.Accent, colours.accent),
        (role.ToolTipBase, colours.surface),
        (role.ToolTipText, colours.text),
        (role.PlaceholderText, colours.muted),
        (role.Light, colours.surface),
        (role.Midlight, colours.border),
        (role.Mid, colours.border),
        (role.Dark, colours.edge),
        (role.Shadow, colours.edge),
    ):
        made.setColor(which, QColor(colour))
    for which in (role.WindowText, role.Text, role.ButtonText):
        made.setColor(QPalette.ColorGroup.Disabled, which, QColor(colours.muted))
    return made

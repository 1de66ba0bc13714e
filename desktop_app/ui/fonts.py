"""The shipped font, in the sizes and weights that the window uses. Figures are tabular, so that numbers line up."""

from __future__ import annotations

from functools import cache

from PySide6.QtGui import QFont, QFontDatabase

from desktop_app.ui.resources import resource_path

FAMILY = "Inter"
BODY, SMALL = 13, 12  # pixels
_FILES = ("Inter-Regular.ttf", "Inter-Medium.ttf", "Inter-SemiBold.ttf")


def load_fonts() -> None:
    """Registers the shipped font files with the application; a second call does nothing.

    Raises:
        FileNotFoundError: a font file is missing.
        RuntimeError: Qt cannot read one.
    """
    if _loaded and FAMILY in QFontDatabase.families():
        return
    for name in _FILES:
        if QFontDatabase.addApplicationFont(str(resource_path("fonts", name))) < 0:
            raise RuntimeError(f"The font file {name} cannot be read. Install the program again.")
    _loaded.append(FAMILY)


_loaded: list[str] = []


@cache
def _made(size: int, weight: int) -> QFont:
    made = QFont(FAMILY)
    made.setPixelSize(size)
    made.setWeight(QFont.Weight(weight))
    made.setFeature(QFont.Tag("tnum"), 1)
    made.setStyleStrategy(QFont.StyleStrategy.PreferAntialias)
    return made


def font(size: int = BODY, *, strong: bool = False) -> QFont:
    """The shipped font in ``size`` pixels; ``strong`` is semi-bold (600)."""
    return QFont(_made(size, 600 if strong else 400))

"""Icons: shipped SVG files, recoloured for the theme and drawn sharp at every scale."""

from __future__ import annotations

from functools import cache, lru_cache

from PySide6.QtCore import QByteArray, QRectF, Qt
from PySide6.QtGui import QGuiApplication, QIcon, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer

from desktop_app.ui import theme
from desktop_app.ui.palette import Palette
from desktop_app.ui.resources import resource_path


@cache
def _svg(name: str) -> str:
    return resource_path("icons", f"{name}.svg").read_text(encoding="utf-8")


@lru_cache(maxsize=1024)
def pixmap(name: str, colour: str, size: int = 16, ratio: float = 1.0) -> QPixmap:
    """The icon ``name`` (a file of ``resources/icons`` without its ending) in one colour.

    Args:
        name: such as ``"search"``; a name that ends in ``-filled`` is a filled shape.
        colour: ``#RRGGBB``.
        size: edge in device-independent pixels.
        ratio: the screen's device pixel ratio.

    Raises:
        FileNotFoundError: no such icon is shipped.
    """
    renderer = QSvgRenderer(QByteArray(_svg(name).replace("currentColor", colour).encode()))
    edge = max(1, round(size * ratio))
    picture = QPixmap(edge, edge)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    renderer.render(painter, QRectF(0, 0, edge, edge))
    painter.end()
    picture.setDevicePixelRatio(ratio)
    return picture


@lru_cache(maxsize=512)
def _icon(name: str, colour: str, disabled: str, size: int) -> QIcon:
    made = QIcon()
    for ratio in {screen.devicePixelRatio() for screen in QGuiApplication.screens()}:
        made.addPixmap(pixmap(name, colour, size, ratio), QIcon.Mode.Normal)
        made.addPixmap(pixmap(name, disabled, size, ratio), QIcon.Mode.Disabled)
    return made


def icon(name: str, colour: str | None = None, size: int = 16) -> QIcon:
    """The icon ``name`` for a button, in ``colour`` or the theme's text colour, greyed where the button is disabled."""
    colours: Palette = theme.active()
    return _icon(name, colour or colours.text, colours.edge, size)


def forget_cached() -> None:
    """Drops every drawn icon; called when the application ends, since pixmaps must not outlive it."""
    pixmap.cache_clear()
    _icon.cache_clear()

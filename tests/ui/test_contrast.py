"""Contrast as it is on the screen: every view is painted in both themes, and the pixels are looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache

import pytest
from PySide6.QtCore import QPoint, QRect, Qt
from PySide6.QtGui import QColor, QImage
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QHeaderView,
    QLabel,
    QLineEdit,
    QMenu,
    QPlainTextEdit,
    QPushButton,
    QRadioButton,
    QWidget,
)

from desktop_app.ui import theme as look
from desktop_app.ui.theme import ThemeMode
from desktop_app.ui.widgets.labels import StatusLabel
from desktop_app.ui.widgets.outcome_chart import OutcomeChart
from desktop_app.ui.widgets.segmented_bar import SegmentedBar
from desktop_app.ui.widgets.table import TableView
from desktop_app.ui.widgets.toast import Toast
from tests.ui.conftest import opened
from tests.ui.test_theme import contrast
from tests.ui.views import desk_with_jobs, settle, views

TEXT, EDGE = 4.5, 3.0
#: All views take a quarter of a minute of a core, and a core is not always there.
pytestmark = pytest.mark.timeout(900)
#: Twice as large: every stroke has pixels of its full colour then.
SCALE = 2


def painted(root: QWidget) -> QImage:
    image = QImage(root.size() * SCALE, QImage.Format.Format_RGB32)
    image.setDevicePixelRatio(SCALE)
    image.fill(QColor(look.active().window))
    root.render(image, QPoint(0, 0))
    return image


@cache
def ratio(one: int, other: int) -> float:
    return contrast(QColor.fromRgb(one).name(), QColor.fromRgb(other).name())


def colours(image: QImage, rect: QRect) -> Counter[int]:
    """How many pixels of each colour there are in ``rect``, which is in points."""
    part = image.copy(QRect(rect.topLeft() * SCALE, rect.size() * SCALE))
    return Counter(memoryview(part.constBits()).cast("I"))


def seen(widget: QWidget, root: QWidget, rect: QRect | None = None, *, inset: int = 0) -> QRect:
    """Where a widget, or ``rect`` in it, is in ``root``; nothing if it is scrolled away, or under a list or a toast."""
    whole = (rect or widget.rect()).adjusted(inset, inset, -inset, -inset)
    at = whole.intersected(widget.visibleRegion().boundingRect()).translated(widget.mapTo(root, QPoint(0, 0)))
    over = (one for one in root.children() if isinstance(one, QAbstractItemView) and one.isVisible())
    toasts = (one for one in root.findChildren(Toast) if one.isVisible() and not one.isAncestorOf(widget))
    hidden = any(
        QRect(one.mapTo(root, QPoint(0, 0)), one.size()).intersects(at) and one is not widget
        for one in (*over, *toasts)
    )
    return QRect() if hidden or at.height() < whole.height() else at


def texts(root: QWidget) -> Iterator[tuple[str, QRect]]:
    """Whatever is written: what, and where."""
    for widget in root.findChildren(QWidget):
        if not widget.isVisible() or widget.window() is not root:
            continue
        said = f"{widget.metaObject().className()} {widget.objectName()!r}"
        if isinstance(widget, QLabel) and widget.text() and widget.pixmap().isNull():
            # the border of a badge or a key is no text
            yield f"{said} {widget.text()!r}", seen(widget, root, inset=3 if widget.property("kind") else 0)
        elif isinstance(widget, QAbstractButton) and widget.text() and not isinstance(widget.parent(), QHeaderView):
            left = 22 if isinstance(widget, QCheckBox | QRadioButton) else 4
            yield f"{said} {widget.text()!r}", seen(widget, root, widget.rect().adjusted(left, 4, -4, -4))
        elif isinstance(widget, StatusLabel):
            yield f"{said} {widget.word()!r}", seen(widget, root, widget.rect().adjusted(22, 0, 0, 0))
        elif isinstance(widget, QLineEdit) and (widget.text() or widget.placeholderText()):
            yield f"{said} {widget.text() or widget.placeholderText()!r}", seen(widget, root, inset=4)
        elif isinstance(widget, QComboBox) and not widget.isEditable() and widget.currentText():
            rect = widget.rect().adjusted(4, 4, -30, -4)
            yield f"{said} {widget.currentText()!r}", seen(widget, root, rect)
        elif isinstance(widget, QPlainTextEdit) and widget.toPlainText():
            yield said, seen(widget, root, inset=6)
        elif isinstance(widget, TableView):
            yield from cells(widget, root)
            head = widget.horizontalHeader()
            for place, spec in enumerate(widget.row_model().columns):
                if spec.title and not head.isSectionHidden(place):
                    at = QRect(head.sectionViewportPosition(place), 0, head.sectionSize(place), head.height() - 2)
                    yield f"title {spec.title!r}", seen(head.viewport(), root, at)


def cells(table: TableView, root: QWidget) -> Iterator[tuple[str, QRect]]:
    model, last = table.row_model(), table.rowAt(table.viewport().height() - 1)
    for row in range(max(0, table.rowAt(0)), last + 1 or model.row_total()):
        for place, spec in enumerate(model.columns):
            cell = model.cell(row, place)
            if cell.text and not table.isColumnHidden(place):
                at = table.visualRect(model.index(row, place))
                left = at.width() - 60 if cell.bar is not None else 34 if cell.icon else 8
                yield f"{spec.key} {cell.text!r}", seen(table.viewport(), root, at.adjusted(left, 4, -4, -4))


def weak_texts(written: Iterable[tuple[str, QRect]], image: QImage) -> list[str]:
    bad = []
    for said, rect in written:
        if rect.width() < 6 or rect.height() < 12:
            continue  # scrolled away
        found = colours(image, rect)
        ground = found.most_common(1)[0][0]
        best = max((ratio(colour, ground) for colour in found), default=1.0)
        if best < TEXT:
            bad.append(f"{best:.1f} {said}")
    return bad


def weak_edges(root: QWidget, image: QImage) -> list[str]:
    """Edges of controls that can be used, and bars, against what they stand on."""
    bad = []
    for widget in root.findChildren(QWidget):
        if not widget.isVisible() or widget.window() is not root or not widget.isEnabled():
            continue
        said = f"{widget.metaObject().className()} {widget.objectName()!r}"
        is_field = isinstance(widget, QLineEdit | QComboBox | QPlainTextEdit) and not isinstance(
            widget.parent(), QComboBox
        )
        is_button = isinstance(widget, QPushButton) and widget.property("kind") in {"normal", "chip", "danger"}
        if (is_field and widget.objectName() != "qt_spinbox_lineedit") or is_button:
            edge = seen(widget, root, QRect(0, widget.height() // 2 - 2, 6, 4))
            if edge.width() == 6 and edge.height() == 4:
                found = colours(image, edge)
                ground = found.most_common(1)[0][0]
                best = max(ratio(colour, ground) for colour in found)
                bad += [f"{best:.1f} edge of {said}"] if best < EDGE else []
        elif isinstance(widget, SegmentedBar | OutcomeChart):
            rect = seen(widget, root)
            if rect.height() < widget.height() or (isinstance(widget, OutcomeChart) and not widget.bars()):
                continue
            surface, track = QColor(look.active().surface).rgb(), QColor(look.active().bar_track).rgb()
            found = colours(image, rect)
            enough = sum(found.values()) * 0.02  # less is the smoothing of a round end
            for colour, count in found.items():
                if count > enough and colour not in {surface, track} and ratio(colour, surface) < EDGE:
                    bad.append(f"{ratio(colour, surface):.1f} {QColor.fromRgb(colour).name()} in {said}")
    return bad


@pytest.mark.parametrize("mode", [ThemeMode.LIGHT, ThemeMode.DARK])
def test_contrast_in_the_pixels_of_every_view(qtbot, qapp, mode):
    faults: dict[str, list[str]] = {}
    looked_at = 0
    with opened(qtbot, qapp, desk_with_jobs(5_000)) as ui:
        ui.program.theme.set_mode(mode)
        for view in views(ui):
            if isinstance(view.root, QMenu | QFileDialog):
                continue
            settle(ui)
            image = painted(view.root)
            written = list(texts(view.root))
            looked_at += len(written)
            for fault in (*weak_texts(written, image), *weak_edges(view.root, image)):
                faults.setdefault(fault, []).append(view.name)
    assert not faults, "\n".join(f"{fault} ({', '.join(where)})" for fault, where in faults.items())
    assert looked_at > 1_000


def test_too_little_contrast_is_seen_in_the_pixels(qtbot, qapp, theme):
    """What the test above would say of grey on grey, and of a field without an edge."""
    root = QWidget()
    qtbot.addWidget(root)
    root.resize(300, 120)
    root.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
    root.setStyleSheet(
        "QWidget { background: #FFFFFF; } QLabel { color: #8A8F99; } QLineEdit { border-color: #DDDDDD; }"
    )
    label, edit = QLabel("hardly to be read", root), QLineEdit("well to be read", root)
    label.setGeometry(10, 10, 200, 20)
    edit.setGeometry(10, 50, 200, 34)
    root.show()
    image = painted(root)
    (text,) = weak_texts(texts(root), image)
    assert "hardly" in text
    (edge,) = weak_edges(root, image)
    assert "QLineEdit" in edge

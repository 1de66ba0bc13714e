"""No text is cut, elided, clipped or overlapped: in every view, both themes, at 1440×900, 1100×700 and at 150 %."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import combinations, pairwise
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, QRect
from PySide6.QtWidgets import (
    QAbstractButton,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QHeaderView,
    QLabel,
    QLayout,
    QLineEdit,
    QMenu,
    QRadioButton,
    QScrollArea,
    QStackedLayout,
    QStyle,
    QStyleOptionComboBox,
    QTabBar,
    QToolButton,
    QWidget,
)

from desktop_app.ui.theme import ThemeMode
from desktop_app.ui.widgets.buttons import CountButton
from desktop_app.ui.widgets.chips import Chip
from desktop_app.ui.widgets.labels import ElidedLabel, StatusLabel
from desktop_app.ui.widgets.table import TableView
from desktop_app.ui.widgets.toast import Toast
from tests.ui.conftest import Ui, opened
from tests.ui.views import desk_with_jobs, settle, views

#: All views take a quarter of a minute of a core, and a core is not always there.
VIEWS_S = 900
pytestmark = pytest.mark.timeout(VIEWS_S)
ROOT = Path(__file__).parents[2]
SIZES = ((1440, 900), (1100, 700))
#: A laptop's screen of 1920 × 1200 at 150 %.
SCALED_SIZES = ((1280, 800), (1100, 700))
SCALE = "ASSOCIATION_TEST_SCALE"
#: Sentences may be longer than a column: the table has them whole in a tool tip, and so has what opens with the row.
SENTENCES = {"message", "what_to_do", "what", "reason"}


def said_of(widget: QWidget) -> str:
    text = getattr(widget, "text", str)()
    return f"{widget.metaObject().className()} {widget.objectName()!r} {text!r}"


def shown(root: QWidget) -> list[QWidget]:
    return [one for one in root.findChildren(QWidget) if one.isVisible() and one.window() is root.window()]


def too_small(widget: QWidget) -> str:
    """Why its text does not fit into it; "" if it does."""
    size = widget.size()
    if isinstance(widget, ElidedLabel):
        return "elided" if QLabel.text(widget) != widget.full_text() else ""
    if isinstance(widget, QLabel):
        return _label(widget)
    if isinstance(widget, CountButton | StatusLabel | Chip | QCheckBox | QRadioButton) or (
        isinstance(widget, QAbstractButton) and widget.text() and not isinstance(widget.parent(), QHeaderView)
    ):
        wanted = widget.sizeHint()
        return "" if wanted.width() <= size.width() + 1 and wanted.height() <= size.height() + 1 else f"{size} {wanted}"
    if isinstance(widget, QLineEdit):
        return _line(widget)
    if isinstance(widget, QComboBox):
        return _combo(widget)
    if isinstance(widget, QTabBar):
        wide = widget.sizeHint().width()
        return "" if wide <= size.width() else f"{size.width()} < {wide}"
    return ""


def _label(widget: QLabel) -> str:
    if not widget.text() or not widget.pixmap().isNull():
        return ""
    if widget.wordWrap():
        high = widget.heightForWidth(widget.width())
        return "" if high <= widget.height() + 1 else f"{high} high in {widget.height()}"
    wanted, size = widget.sizeHint(), widget.size()
    return "" if wanted.width() <= size.width() + 1 and wanted.height() <= size.height() + 1 else f"{size} {wanted}"


def _line(widget: QLineEdit) -> str:
    """What is written in it, or what it asks for; texts that a person makes longer than the field are scrolled."""
    text = widget.text() or widget.placeholderText()
    buttons = [one for one in widget.findChildren(QToolButton) if one.isVisible()]
    middle = widget.width() // 2
    left = max([one.geometry().right() for one in buttons if one.x() < middle], default=0)
    right = min([one.x() for one in buttons if one.x() >= middle], default=widget.contentsRect().right())
    room = right - left - 2 - (0 if isinstance(widget.parent(), QComboBox) else 8)
    needed = widget.fontMetrics().horizontalAdvance(text)
    return "" if needed <= room else f"{needed} > {room}"


def _combo(widget: QComboBox) -> str:
    if widget.isEditable():
        return ""  # its line is looked at
    option = QStyleOptionComboBox()
    widget.initStyleOption(option)
    field = widget.style().subControlRect(
        QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, widget
    )
    needed = widget.fontMetrics().horizontalAdvance(widget.currentText() or widget.placeholderText())
    return "" if needed <= field.width() else f"{needed} > {field.width()}"


def cut_cells(table: TableView) -> list[str]:
    """Titles and cells in sight that do not fit; a sentence that does not must be whole in the tool tip."""
    model, head = table.row_model(), table.horizontalHeader()
    bad = []
    metrics = head.fontMetrics()
    rows = range(max(0, table.rowAt(0)), table.rowAt(table.viewport().height() - 1) + 1 or model.row_total())
    for place, spec in enumerate(model.columns):
        if table.isColumnHidden(place):
            continue
        if metrics.horizontalAdvance(spec.title) + 24 > head.sectionSize(place):
            bad.append(f"title {spec.title!r}: {head.sectionSize(place)}")
        for row in rows:
            cut = table.painter.cut_text(row, place)
            if cut and spec.key not in SENTENCES:
                bad.append(f"{table.objectName()}.{spec.key} {cut!r}: {table.columnWidth(place)}")
            assert not cut or cut == model.cell(row, place).text
    last = head.length()
    if last > table.viewport().width():
        bad.append(f"{table.objectName()}: columns are {last} wide in {table.viewport().width()}")
    return bad


def clipped(widget: QWidget, root: QWidget) -> str:
    """Which of the widgets that it stands in shows only a part of it; what is scrolled is cut by its scroll area."""
    rect = QRect(QPoint(0, 0), widget.size())
    chain = parents(widget)
    for inside, parent in pairwise(chain[: chain.index(root) + 1]):
        rect.translate(inside.pos())
        if parent.objectName() == "qt_scrollarea_viewport":
            scroll = parent.parentWidget()
            if not isinstance(scroll, QScrollArea):
                return ""  # a row of a list
            return (
                "" if parent.rect().left() <= rect.left() and rect.right() <= parent.rect().right() else "at its side"
            )
        if not parent.rect().adjusted(-1, -1, 1, 1).contains(rect):
            return f"{rect} in {parent.metaObject().className()} {parent.objectName()!r} {parent.size()}"
    return ""


def overlapping(layout: QLayout) -> list[str]:
    """Neighbours in a layout that lie on each other."""
    if isinstance(layout, QStackedLayout):
        return []
    items = [item for place in range(layout.count()) if (item := layout.itemAt(place)) is not None]
    seen = [one for item in items if isinstance(one := item.widget(), QWidget) and one.isVisible()]
    return [
        f"{said_of(one)} lies on {said_of(other)}"
        for one, other in combinations(seen, 2)
        if one.geometry().intersects(other.geometry())
    ]


def has_text(widget: QWidget) -> bool:
    return isinstance(widget, QLabel | QAbstractButton | QLineEdit | QComboBox | StatusLabel | QTabBar)


def faults(root: QWidget) -> list[str]:
    if isinstance(root, QMenu):
        return []  # Qt makes it as large as its texts
    bad = []
    for widget in shown(root):
        if any(isinstance(parent, QFileDialog) for parent in parents(widget)):
            continue  # Qt's own, in place of the system's
        if why := too_small(widget):
            bad.append(f"{said_of(widget)}: {why}")
        if has_text(widget) and not isinstance(widget, Toast) and (why := clipped(widget, root)):
            bad.append(f"clipped: {said_of(widget)}: {why}")
        if isinstance(widget, TableView):
            bad += cut_cells(widget)
        outer = widget.layout()
        for layout in (outer, *outer.findChildren(QLayout)) if outer is not None else ():
            bad += overlapping(layout)
    return bad


def parents(widget: QWidget) -> list[QWidget]:
    """The widget and all that it stands in, from the inside out."""
    found = [widget]
    while (parent := found[-1].parentWidget()) is not None:
        found.append(parent)
    return found


def look_at_everything(ui: Ui, mode: ThemeMode, sizes: tuple[tuple[int, int], ...]) -> None:
    """Every view in every size; a dialog once, over the smallest window."""
    ui.program.theme.set_mode(mode)
    found: dict[str, list[str]] = {}
    for view in views(ui):
        for size in sizes if view.root is ui.window else sizes[-1:]:
            ui.window.resize(*size)
            settle(ui)
            for fault in faults(view.root):
                found.setdefault(fault, []).append(f"{view.name} {size[0]}×{size[1]}")
        ui.window.resize(*sizes[0])
    assert not found, "\n".join(f"{fault} ({', '.join(where)})" for fault, where in found.items())


@pytest.mark.parametrize("mode", [ThemeMode.LIGHT, ThemeMode.DARK])
def test_no_text_is_cut_clipped_or_overlapped(qtbot, qapp, mode):
    sizes = SIZES if qapp.devicePixelRatio() == 1 else SCALED_SIZES
    assert qapp.devicePixelRatio() == float(os.environ.get(SCALE, "1"))
    with opened(qtbot, qapp, desk_with_jobs(5_000)) as ui:
        look_at_everything(ui, mode, sizes)


@pytest.mark.slow
@pytest.mark.timeout(2 * VIEWS_S)
def test_the_same_at_150_percent():
    """In a process of its own: Qt reads the scale when it starts."""
    test = f"{Path(__file__).relative_to(ROOT)}::{test_no_text_is_cut_clipped_or_overlapped.__name__}"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "--no-showlocals", test],
        cwd=ROOT,
        env={**os.environ, "QT_SCALE_FACTOR": "1.5", SCALE: "1.5"},
        capture_output=True,
        text=True,
        timeout=2 * VIEWS_S - 60,
        check=False,
    )
    assert done.returncode == 0, done.stdout

"""Combo boxes and date fields that look like the rest."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication, QLocale, Qt
from PySide6.QtGui import QTextCharFormat
from PySide6.QtWidgets import QComboBox, QDateEdit, QLineEdit, QSizePolicy, QStyledItemDelegate, QWidget


def combo_box(name: str, accessible: str = "", width: int | None = None) -> QComboBox:
    """A combo box whose entries do not matter for its width.

    Args:
        width: in pixels; None: as wide as its place.
    """
    combo = QComboBox()
    combo.setObjectName(name)
    if accessible:
        combo.setAccessibleName(accessible)
    if width is None:
        combo.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    else:
        # Beside something that stretches, a layout gives a box that ignores its hint no room at all.
        combo.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        combo.setFixedWidth(width)
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(8)
    combo.setItemDelegate(QStyledItemDelegate(combo))  # the box's own one passes the style sheet by
    return combo


def date_edit(name: str, accessible: str) -> QDateEdit:
    """A date field with a calendar; weekends look like the other days."""
    edit = QDateEdit()
    edit.setObjectName(name)
    edit.setAccessibleName(accessible)
    line = edit.findChild(QLineEdit)
    if line is not None:
        line.setAccessibleName(accessible)
    edit.setLocale(QLocale(QLocale.Language.English))
    edit.setDisplayFormat("dd MMM yyyy")
    edit.setCalendarPopup(True)
    calendar = edit.calendarWidget()
    calendar.setAccessibleName(accessible)
    for part_name, said in (
        ("qt_calendar_calendarview", accessible),
        ("qt_calendar_prevmonth", QCoreApplication.translate("Calendar", "Month before")),
        ("qt_calendar_nextmonth", QCoreApplication.translate("Calendar", "Month after")),
    ):
        part = calendar.findChild(QWidget, part_name)
        if part is not None:
            part.setAccessibleName(said)
    calendar.setFirstDayOfWeek(Qt.DayOfWeek.Monday)
    for weekday in (Qt.DayOfWeek.Saturday, Qt.DayOfWeek.Sunday):
        calendar.setWeekdayTextFormat(weekday, QTextCharFormat())
    return edit

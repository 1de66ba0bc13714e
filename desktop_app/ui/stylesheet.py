"""The style sheet of the window, made from a palette.

Widgets name what they are by the dynamic property ``kind`` (``primary``, ``link``, ``card``, …); nothing here names a
single widget. Every control that takes the focus shows it by a ring of 2 pixels in the accent colour: the borders are
1 pixel and 1 pixel of padding wide, so that nothing moves when the ring appears.
"""

from __future__ import annotations

from string import Template

from desktop_app.ui.palette import Palette
from desktop_app.ui.resources import resource_path

_TEMPLATE = Template(
    """
QWidget { color: $text; }
QMainWindow, QDialog { background: $window; }
QToolTip { background: $surface; color: $text; border: 1px solid $edge; padding: 4px 8px; }

QFrame[kind="card"] { background: $surface; border: 1px solid $border; border-radius: 8px; }
QFrame[kind="line"] { background: $border; border: none; max-height: 1px; min-height: 1px; }
QFrame[kind="rail"] { background: $surface; border: none; border-right: 1px solid $border; }
QFrame[kind="status"] { background: $surface; border: none; border-top: 1px solid $border; }
QFrame[kind="band"] { background: transparent; border: none; border-top: 1px solid $border;
    border-bottom-left-radius: 7px; border-bottom-right-radius: 7px; }
QFrame[kind="band"][selected="true"] { background: $selection; }
QFrame[kind="foot"] { background: transparent; border: none; border-top: 1px solid $border; }
QScrollArea, QScrollArea > QWidget > QWidget[kind="page"] { background: transparent; border: none; }
QStackedWidget { background: transparent; }

QLabel { background: transparent; }
QLabel[kind="title"] { font-size: 18px; font-weight: 600; }
QLabel[kind="heading"] { font-weight: 600; }
QLabel[kind="muted"] { color: $muted; }
QLabel[kind="small"] { color: $muted; font-size: 12px; }
QLabel[kind="warn"] { color: $warning; font-size: 12px; }
QLabel[kind="error"] { color: $error; font-size: 12px; }
QLabel[kind="badge"] { font-size: 11px; font-weight: 600; border-radius: 4px; padding: 2px 11px;
    color: $warning; background: $warning_back; border: 1px solid $warning; }
QLabel[kind="badge"][tone="error"] { color: $error; background: $error_back; border-color: $error; }
QLabel[kind="key"] { color: $text; background: $hover; border: 1px solid $edge; border-radius: 4px; padding: 2px 8px;
    font-size: 12px; }

QPushButton { background: $surface; border: 1px solid $edge; border-radius: 6px; padding: 1px 13px; min-height: 28px; }
QPushButton:hover { background: $hover; }
QPushButton:pressed { background: $selection; }
QPushButton:focus { border: 2px solid $accent; padding: 0px 12px; }
QPushButton:disabled { color: $muted; background: $hover; border-color: $border; }
QPushButton[kind="primary"] { background: $accent; color: $on_accent; border: 1px solid $accent; font-weight: 600; }
QPushButton[kind="primary"]:hover { background: $accent_hover; border-color: $accent_hover; }
QPushButton[kind="primary"]:focus { border: 2px solid $text; padding: 0px 12px; }
QPushButton[kind="primary"]:disabled { background: $hover; color: $muted; border-color: $border; }
QPushButton[kind="danger"] { color: $error; border-color: $error; }
QPushButton[kind="danger"]:focus { border: 2px solid $error; }
QPushButton[kind="danger"]:disabled { color: $muted; border-color: $border; }
QPushButton[size="large"] { min-height: 36px; font-size: 14px; }
QPushButton[kind="link"] { background: transparent; border: 1px solid transparent; border-radius: 4px; color: $accent;
    padding: 1px 5px; min-height: 22px; text-align: left; }
QPushButton[kind="link"]:hover { color: $accent_hover; background: $hover; }
QPushButton[kind="link"]:focus { border: 2px solid $accent; padding: 0px 4px; }
QPushButton[kind="link"]:disabled { color: $muted; background: transparent; }
QPushButton[kind="icon"] { background: transparent; border: 1px solid transparent; padding: 1px 4px; min-width: 16px; }
QPushButton[kind="icon"]:hover { background: $hover; }
QPushButton[kind="icon"]:focus { border: 2px solid $accent; padding: 0px 3px; }
QPushButton[kind="chip"] { border-radius: 15px; padding: 0px 12px; min-height: 28px; }
QPushButton[kind="chip"]:checked { background: $selection; color: $selection_text; border-color: $accent;
    font-weight: 600; }
QPushButton[kind="chip"]:focus { border: 2px solid $accent; padding: 0px 11px; min-height: 26px; border-radius: 15px; }
QPushButton[kind="count"] { background: transparent; border: 1px solid transparent; text-align: left; padding: 1px 7px;
    min-height: 26px; }
QPushButton[kind="count"]:hover { background: $hover; }
QPushButton[kind="count"]:checked { background: $selection; color: $selection_text; border-color: $accent; }
QPushButton[kind="count"]:focus { border: 2px solid $accent; padding: 0px 6px; }
QPushButton[kind="count"]:disabled { background: transparent; }
QPushButton::menu-indicator { image: none; width: 0px; }

QLineEdit, QPlainTextEdit, QTextEdit, QDateEdit, QSpinBox { background: $surface; border: 1px solid $edge;
    border-radius: 6px; padding: 1px 9px; min-height: 30px; selection-background-color: $accent;
    selection-color: $on_accent; }
QPlainTextEdit, QTextEdit { padding: 5px 8px; }
QLineEdit:focus, QDateEdit:focus, QSpinBox:focus { border: 2px solid $accent; padding: 0px 8px; }
QPlainTextEdit:focus, QTextEdit:focus { border: 2px solid $accent; padding: 4px 7px; }
QLineEdit, QPlainTextEdit, QComboBox { placeholder-text-color: $muted; }
QLineEdit:disabled, QDateEdit:disabled, QPlainTextEdit:disabled { background: $hover; color: $muted;
    border-color: $border; }
QLineEdit[invalid="true"], QComboBox[invalid="true"], QPlainTextEdit[invalid="true"] { border-color: $error; }

QComboBox { background: $surface; border: 1px solid $edge; border-radius: 6px; padding: 1px 9px; min-height: 30px; }
QComboBox:hover, QDateEdit:hover, QLineEdit:hover { border-color: $text; }
QComboBox:focus, QComboBox:on { border: 2px solid $accent; padding: 0px 8px; }
QComboBox:disabled { background: $hover; color: $muted; border-color: $border; }
QComboBox[kind="command"]::drop-down { width: 0px; border: none; }
QComboBox[kind="command"]::down-arrow { image: none; width: 0px; }
QComboBox::drop-down, QDateEdit::drop-down { subcontrol-origin: border; subcontrol-position: center right;
    width: 28px; border: none; }
QComboBox::down-arrow, QDateEdit::down-arrow { image: url("$chevron"); width: 16px; height: 16px; }
QComboBox::down-arrow:disabled, QDateEdit::down-arrow:disabled { image: url("$chevron_disabled"); }
QComboBox QLineEdit, QDateEdit QLineEdit { border: none; padding: 0px; min-height: 0px; background: transparent; }
QComboBox QLineEdit:focus, QDateEdit QLineEdit:focus { border: none; padding: 0px; }
QAbstractItemView[kind="popup"], QComboBox QAbstractItemView { background: $surface; border: 1px solid $edge;
    outline: none; padding: 0px; selection-background-color: $selection; selection-color: $selection_text; }
QComboBox QAbstractItemView::item { min-height: 30px; padding: 0px 10px; }
QComboBox QAbstractItemView::item:selected { background: $selection; color: $selection_text; }

QCheckBox, QRadioButton { background: transparent; spacing: 9px; min-height: 18px; padding: 1px 4px 1px 1px;
    border: 2px solid transparent; border-radius: 6px; }
QCheckBox:focus, QRadioButton:focus { border-color: $accent; }
QCheckBox:disabled, QRadioButton:disabled { color: $muted; }
QCheckBox::indicator { width: 14px; height: 14px; border: 1px solid $edge; border-radius: 3px; background: $surface; }
QCheckBox::indicator:hover, QRadioButton::indicator:hover { border-color: $accent; }
QCheckBox::indicator:checked { background: $accent; border-color: $accent; image: url("$check"); }
QCheckBox::indicator:checked:disabled { background: $hover; border-color: $edge; image: url("$check_disabled"); }
QCheckBox::indicator:indeterminate { background: $accent; border-color: $accent; image: url("$minus"); }
QRadioButton::indicator { width: 14px; height: 14px; border: 1px solid $edge; border-radius: 8px;
    background: $surface; }
QRadioButton::indicator:checked { border-color: $accent; image: url("$radio"); }
QRadioButton::indicator:checked:disabled { border-color: $edge; image: url("$radio_disabled"); }

QTableView, QListView, QTreeView { background: $surface; border: none; border-radius: 6px; outline: none;
    alternate-background-color: $zebra; selection-background-color: $selection;
    selection-color: $selection_text; }
QHeaderView { background: $surface; border: none; }
QHeaderView::section { background: $surface; color: $muted; font-size: 12px; font-weight: 600; border: none;
    border-bottom: 1px solid $border; padding: 0px 12px; }
QTableCornerButton::section { background: $surface; border: none; }

QScrollBar:vertical { background: transparent; width: 12px; margin: 2px; }
QScrollBar:horizontal { background: transparent; height: 12px; margin: 2px; }
QScrollBar::handle { background: $edge; border-radius: 4px; min-height: 32px; min-width: 32px; }
QScrollBar::handle:hover { background: $muted; }
QScrollBar::add-line, QScrollBar::sub-line { width: 0px; height: 0px; background: none; border: none; }
QScrollBar::add-page, QScrollBar::sub-page { background: none; }

QMenu { background: $surface; border: 1px solid $edge; padding: 4px; }
QMenu::item { padding: 6px 24px 6px 32px; border-radius: 4px; }
QMenu::indicator { width: 16px; height: 16px; left: 8px; }
QMenu::indicator:checked { image: url("$tick"); }
QMenu::indicator:unchecked { image: none; }
QMenu::item:selected { background: $selection; color: $selection_text; }
QMenu::item:disabled { color: $muted; }
QMenu::separator { height: 1px; background: $border; margin: 4px 8px; }

QTabWidget::pane { border: none; border-top: 1px solid $border; }
QTabBar { background: transparent; border: none; }
QTabBar::tab { background: transparent; color: $muted; border: 2px solid transparent; border-radius: 6px;
    padding: 6px 12px; margin: 0px 4px 4px 0px; }
QTabBar::tab:hover { background: $hover; }
QTabBar::tab:selected { color: $selection_text; background: $selection; }
QTabBar:focus::tab:selected, QTabBar::tab:selected:focus { border-color: $accent; }

QSplitter::handle { background: transparent; }
QSplitter::handle:hover { background: $border; }

QCalendarWidget QWidget#qt_calendar_navigationbar { background: $surface; border-bottom: 1px solid $border; }
QCalendarWidget QToolButton { background: transparent; color: $text; border: 1px solid transparent; border-radius: 4px;
    padding: 4px 8px; font-weight: 600; }
QCalendarWidget QToolButton:hover { background: $hover; }
QCalendarWidget QToolButton:focus { border: 2px solid $accent; padding: 3px 7px; }
QCalendarWidget QToolButton::menu-indicator { image: none; }
QCalendarWidget QToolButton#qt_calendar_prevmonth { qproperty-icon: url("$chevron_left"); }
QCalendarWidget QToolButton#qt_calendar_nextmonth { qproperty-icon: url("$chevron_right"); }
QCalendarWidget QAbstractItemView { background: $surface; color: $text; selection-background-color: $accent;
    selection-color: $on_accent; border-radius: 0px; }
QCalendarWidget QAbstractItemView:disabled { color: $edge; }
"""
)


def style_sheet(colours: Palette) -> str:
    """The style sheet for the application."""

    def image(name: str) -> str:
        return resource_path("styles", colours.name, f"{name}.svg").as_posix()

    return _TEMPLATE.substitute(
        {name: getattr(colours, name) for name in Palette.__slots__},
        chevron=image("chevron-down"),
        chevron_disabled=image("chevron-down-disabled"),
        chevron_left=image("chevron-left"),
        chevron_right=image("chevron-right"),
        tick=image("tick"),
        check=image("check"),
        check_disabled=image("check-disabled"),
        minus=image("minus"),
        radio=image("radio"),
        radio_disabled=image("radio-disabled"),
    )

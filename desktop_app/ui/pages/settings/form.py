"""A form over settings: a labelled field for each, what fixes it where it cannot be changed, and what was changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QIntValidator
from PySide6.QtWidgets import QCheckBox, QComboBox, QGridLayout, QLineEdit, QVBoxLayout, QWidget

from desktop_app.desk.machine import SettingRow, SettingType
from desktop_app.ui.widgets.combo import combo_box
from desktop_app.ui.widgets.labels import field_label, label

#: Width of a field; two stand beside each other.
FIELD_WIDTH = 300


@dataclass(frozen=True, slots=True)
class FormField:
    """One field.

    Attributes:
        label: above it; "" for a check box, which says it itself.
        widget: takes the input.
        read, write: its value.
    """

    label: str
    widget: QWidget
    read: Callable[[], SettingType]
    write: Callable[[SettingType], None]


class SettingsForm(QObject):
    """The fields of some settings, by the settings' names.

    Signals:
        edited(): a person changed a field.
    """

    edited = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._fields: dict[str, FormField] = {}
        self._shown: dict[str, SettingType] = {}

    # --- fields -------------------------------------------------------------------------------------------------------

    def choice(self, name: str, text: str, choices: Sequence[tuple[str, str]]) -> None:
        """A field with (value, words) to choose from."""
        combo: QComboBox = combo_box(_object_name(name), width=FIELD_WIDTH)
        for value, words in choices:
            combo.addItem(words, value)
        combo.currentIndexChanged.connect(self.edited)
        self._fields[name] = FormField(
            text, combo, combo.currentData, lambda value: combo.setCurrentIndex(combo.findData(value))
        )

    def text(self, name: str, text: str, placeholder: str = "") -> None:
        """A line of text."""
        edit = QLineEdit()
        edit.setObjectName(_object_name(name))
        edit.setPlaceholderText(placeholder)
        edit.setFixedWidth(FIELD_WIDTH)
        edit.textEdited.connect(self.edited)

        def write(value: SettingType) -> None:
            edit.setText(str(value))
            edit.setCursorPosition(0)

        self._fields[name] = FormField(text, edit, lambda: edit.text().strip(), write)

    def number(self, name: str, text: str, most: int, *, empty: str = "") -> None:
        """A whole number from 0; ``empty`` is what the empty field says, which stands for 0."""
        edit = QLineEdit()
        edit.setObjectName(_object_name(name))
        edit.setValidator(QIntValidator(0, most, edit))
        edit.setPlaceholderText(empty)
        edit.setFixedWidth(FIELD_WIDTH)
        edit.textEdited.connect(self.edited)

        def write(value: SettingType) -> None:
            edit.setText(str(round(float(value)) or ""))

        self._fields[name] = FormField(text, edit, lambda: int(edit.text() or 0), write)

    def check(self, name: str, text: str) -> None:
        """A check box."""
        box = QCheckBox(text)
        box.setObjectName(_object_name(name))
        box.toggled.connect(self.edited)
        self._fields[name] = FormField("", box, box.isChecked, lambda value: box.setChecked(bool(value)))

    def place(self, names: Sequence[str], columns: int = 2) -> QGridLayout:
        """A grid with these fields, each under its label."""
        grid = QGridLayout()
        grid.setHorizontalSpacing(24)
        grid.setVerticalSpacing(12)
        grid.setColumnStretch(columns, 1)
        for place, name in enumerate(names):
            made = self._fields[name]
            cell = QVBoxLayout()
            cell.setSpacing(4)
            if made.label:
                cell.addWidget(field_label(made.label, made.widget))
            else:
                cell.addSpacing(22)
            cell.addWidget(made.widget)
            cell.addStretch(1)
            grid.addLayout(cell, place // columns, place % columns)
        return grid

    # --- values -------------------------------------------------------------------------------------------------------

    def widget(self, name: str) -> QWidget:
        """The field of this setting."""
        return self._fields[name].widget

    def show_values(self, rows: Mapping[str, SettingRow], fixed_note: str) -> None:
        """Fills the form.

        Args:
            fixed_note: shown as the tool tip of a field that cannot be changed; ``{by}`` is what fixes it.
        """
        self.blockSignals(True)
        for name, made in self._fields.items():
            row = rows.get(name)
            if row is None:
                continue
            made.write(row.value)
            made.widget.setEnabled(not row.fixed_by)
            made.widget.setToolTip(fixed_note.format(by=row.fixed_by) if row.fixed_by else "")
            self._shown[name] = made.read()
        self.blockSignals(False)

    def accept(self) -> None:
        """What is filled in counts as unchanged from now on."""
        self._shown = {name: self._fields[name].read() for name in self._shown}

    def changes(self) -> dict[str, SettingType]:
        """What a person has changed, by name."""
        return {
            name: made.read()
            for name, made in self._fields.items()
            if name in self._shown and made.read() != self._shown[name]
        }


def _object_name(name: str) -> str:
    """``billing_url`` is the field ``billingUrlField``."""
    first, *rest = name.split("_")
    return f"{first}{''.join(part.capitalize() for part in rest)}Field"


def note(text: str) -> QWidget:
    """A muted sentence under a form."""
    return label(text, "small", wrap=True)

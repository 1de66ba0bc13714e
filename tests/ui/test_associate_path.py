"""The shortest way through Associate, counted: what a person does, not what the program does."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from desktop_app.association.model import PickedDevices, unpack
from desktop_app.ui.widgets.info_bar import InfoBar
from tests.ui.conftest import Ui
from tests.ui.fake_desk import iccid_of

CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
MOST_ACTIONS = 12


class Person:
    """Drives the window as a person does. A chord, a click and a text that is typed are one action each."""

    def __init__(self, ui: Ui) -> None:
        self._ui = ui
        self.actions = 0

    def chord(self, key: Qt.Key, modifiers: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        """A key, with or without others held down, for whatever has the focus."""
        self.actions += 1
        focus = QApplication.focusWidget()
        assert focus is not None
        QTest.keyClick(focus, key, modifiers)

    def type(self, text: str) -> None:
        """A text for whatever has the focus."""
        self.actions += 1
        focus = QApplication.focusWidget()
        assert focus is not None
        QTest.keyClicks(focus, text)

    def click(self, name: str) -> None:
        """A click on the one widget of that name that is to be seen."""
        self.actions += 1
        shown = [widget for widget in self._ui.window.findChildren(QWidget, name) if widget.isVisible()]
        assert len(shown) == 1, f"{len(shown)} of {name}"
        QTest.mouseClick(shown[0], Qt.MouseButton.LeftButton)


def in_focus() -> str:
    """Name of what has the focus."""
    focus = QApplication.focusWidget()
    return focus.objectName() if focus is not None else ""


def test_fifty_devices_from_a_pasted_list_are_associated_in_at_most_twelve_actions(ui: Ui) -> None:
    wanted = [device for device in range(101, 160) if device % 25][:50]
    QGuiApplication.clipboard().setText("\n".join(iccid_of(device) for device in wanted))
    person, page = Person(ui), ui.associate

    person.chord(Qt.Key.Key_V, CTRL | SHIFT)  # the dialog holds the clipboard already
    ui.until(lambda: in_focus() == "pasteEdit")
    person.chord(Qt.Key.Key_Return, CTRL)
    ui.until(lambda: len(page.list.model.checks) == 50)
    ui.window.activateWindow()  # a desktop does that by itself when a dialog closes
    ui.until(ui.window.isActiveWindow)
    person.click("customerCombo")
    person.type("nor")
    person.chord(Qt.Key.Key_Return)
    ui.until(lambda: page.request.customer is not None)
    person.click("createBillingServiceCheck")
    ui.until_checked()
    assert page.submit_button.text() == "Submit 50 devices…"
    person.chord(Qt.Key.Key_Return, CTRL)
    ui.until(lambda: ui.desk.submitted)
    ui.until(lambda: "submitted: 50 devices" in ui.find(InfoBar, "deviceInfo").texts()[0])

    request = ui.desk.submitted[0][0]
    assert isinstance(request.devices, PickedDevices)
    assert sorted(unpack(request.devices.packed)) == wanted
    assert request.create_billing_service
    assert page.request.customer is not None
    assert page.request.customer.name == "Northwind Fleet Ltd"
    assert person.actions <= MOST_ACTIONS
    assert person.actions == 7  # to be changed with the way, in either direction


def test_the_same_by_keyboard_alone(ui: Ui) -> None:
    wanted = [device for device in range(101, 160) if device % 25][:50]
    QGuiApplication.clipboard().setText("\n".join(iccid_of(device) for device in wanted))
    person, page = Person(ui), ui.associate
    person.chord(Qt.Key.Key_V, CTRL | SHIFT)
    ui.until(lambda: in_focus() == "pasteEdit")
    person.chord(Qt.Key.Key_Return, CTRL)
    ui.until(lambda: len(page.list.model.checks) == 50)
    ui.window.activateWindow()  # a desktop does that by itself when a dialog closes
    ui.until(ui.window.isActiveWindow)
    person.chord(Qt.Key.Key_C, Qt.KeyboardModifier.AltModifier)  # the label's letter
    person.type("104")
    person.chord(Qt.Key.Key_Return)
    ui.until(lambda: page.request.customer is not None)
    person.chord(Qt.Key.Key_V, Qt.KeyboardModifier.AltModifier)
    ui.until(page.request.billing_check.isChecked)
    ui.until_checked()
    person.chord(Qt.Key.Key_Return, CTRL)
    ui.until(lambda: ui.desk.submitted)
    assert person.actions <= MOST_ACTIONS

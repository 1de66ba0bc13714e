"""Names, roles, sizes and order of everything that takes the focus, and the names by which people and tests find it."""

from __future__ import annotations

import importlib
import pkgutil

import pytest
from PySide6.QtCore import QPoint, QRect, Qt
from PySide6.QtGui import QAccessible
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QDialog,
    QFileDialog,
    QLabel,
    QLineEdit,
    QMenu,
    QRadioButton,
    QScrollArea,
    QTabBar,
    QToolButton,
    QWidget,
)

import desktop_app.ui
from desktop_app.ui.main_window import PAGES
from desktop_app.ui.status_bar import StatusBar
from desktop_app.ui.widgets.card import Card
from desktop_app.ui.widgets.dialogs import Dialog
from desktop_app.ui.widgets.nav_rail import NavRail
from tests.ui.conftest import Ui, opened
from tests.ui.test_layout import parents
from tests.ui.views import desk_with_jobs, views

#: All views take ten seconds of a core, and a core is not always there.
pytestmark = pytest.mark.timeout(900)
NAMES = (
    "deviceTable",
    "deviceSearch",
    "pasteIdsButton",
    "importCsvButton",
    "serviceProviderCombo",
    "customerCombo",
    "siteCombo",
    "reassignCheck",
    "reasonEdit",
    "createBillingServiceCheck",
    "addCarrierRatePlanCheck",
    "carrierRatePlanCombo",
    "addCustomerRatePlanCheck",
    "customerRatePlanCombo",
    "effectiveOnDateRadio",
    "effectiveOnActivationRadio",
    "effectiveDateEdit",
    "submitButton",
    "checkSummary",
    "exportCheckButton",
    "jobsTable",
    "workOrdersTable",
    "retryFailedButton",
    "pauseJobButton",
    "resumeJobButton",
    "cancelJobButton",
    "exportCsvButton",
    "historyTable",
    "historySearch",
    "navAssociate",
    "navJobs",
    "navHistory",
    "navSettings",
)


def test_every_name_is_there_once(ui):
    ui.until(lambda: not ui.window._build_timer.isActive())
    for name in NAMES:
        ui.find(QWidget, name)


def test_tab_order_is_the_visual_order(ui):
    ui.associate.list.model.check_devices(range(1, 51))
    ui.choose_customer()
    ui.associate.request.carrier_check.setChecked(True)
    ui.associate.request.customer_check.setChecked(True)
    ui.until(lambda: ui.associate.request._carrier_plans._combos)
    ui.idle()
    ui.associate.request.customer_combo.setFocus()
    seen = []
    while (focus := QApplication.focusWidget()) is not None and (name := focus.objectName()) not in seen:
        seen.append(name)
        ui.key(Qt.Key.Key_Tab)
    assert seen[: seen.index("reasonEdit") + 1] == [
        "customerCombo",
        "siteCombo",
        "serviceProviderCombo",
        "createBillingServiceCheck",
        "addCarrierRatePlanCheck",
        "carrierRatePlanCombo",
        "carrierRatePlanCombo_HARBOR",
        "carrierRatePlanCombo_ATLAS",
        "carrierRatePlanCombo_POLAR",
        "addCustomerRatePlanCheck",
        "customerRatePlanCombo",
        "effectiveOnActivationRadio",
        "reassignCheck",
        "reasonEdit",
    ]


# ------------------------------------------------------------------------------------------ every page and every dialog

#: While one of these is open Tab belongs to its list; the controls are those of other views.
LISTS_OPEN = {"associate-customers", "command-box"}
#: Views whose parts are reached by the arrow keys alone: menus, and the days of a month.
BY_ARROWS = {"columnsButton-menu", "carrierFilterButton-menu", "statusFilterButton-menu", "calendar"}
#: What Qt gives to parts of other controls, and to areas that only scroll.
ROLES_OF_PARTS = {
    "qt_spinbox_lineedit": QAccessible.Role.Client,
    "QScrollArea": QAccessible.Role.Client,
    "QTabWidget": QAccessible.Role.Client,
}
NO_ROLE = {QAccessible.Role.NoRole, QAccessible.Role.Client, QAccessible.Role.Window}


def said_of(widget: QWidget) -> str:
    return f"{widget.metaObject().className()} {widget.objectName()!r} in {widget.parent()!r}"


def shown(root: QWidget) -> list[QWidget]:
    """What is to be seen in this window, dialog or menu; its own child windows are views of their own."""
    found = [one for one in root.findChildren(QWidget) if one.isVisible() and one.window() is root.window()]
    return [root, *found] if root.focusPolicy() is not Qt.FocusPolicy.NoFocus else found


def nameless(root: QWidget) -> list[str]:
    """What can have the focus, by whatever means, and tells a screen reader no name or no role."""
    bad = []
    for widget in shown(root):
        if widget.focusPolicy() is Qt.FocusPolicy.NoFocus or is_plain_text(widget):
            continue
        told = QAccessible.queryAccessibleInterface(widget)
        if not told.text(QAccessible.Text.Name).strip():
            bad.append(f"no name: {said_of(widget)}")
        allowed = {
            role for kind, role in ROLES_OF_PARTS.items() if widget.objectName() == kind or widget.inherits(kind)
        }
        if told.role() in NO_ROLE - allowed:
            bad.append(f"{told.role()}: {said_of(widget)}")
    for button in root.findChildren(QAbstractButton):  # those that only the mouse reaches are read out too
        if button.isVisible() and button.window() is root and not is_drawn_by_qt(button):
            told = QAccessible.queryAccessibleInterface(button)
            if not told.text(QAccessible.Text.Name).strip():
                bad.append(f"no name: {said_of(button)}")
    return bad


def is_plain_text(widget: QWidget) -> bool:
    """A label whose text can be marked: it does nothing."""
    return isinstance(widget, QLabel)


def is_picture(widget: QWidget) -> bool:
    """The magnifying glass in a search field: Qt makes it a button, which does nothing."""
    return isinstance(widget, QToolButton) and widget.defaultAction() is not None and not widget.defaultAction().text()


def is_drawn_by_qt(widget: QWidget) -> bool:
    """A part of Qt's own dialog of files, which the systems that people use replace by theirs."""
    return any(isinstance(one, QFileDialog) for one in parents(widget))


def small_targets(root: QWidget) -> list[str]:
    """What is pressed and is smaller than 24 × 24."""
    found = [
        (said_of(widget), widget.width(), widget.height())
        for widget in shown(root)
        if not is_plain_text(widget)
        and not is_drawn_by_qt(widget)
        and (widget.focusPolicy() is not Qt.FocusPolicy.NoFocus or isinstance(widget, QAbstractButton))
        and not is_picture(widget)
        and not (isinstance(widget, QLineEdit) and isinstance(widget.parent(), QComboBox | QAbstractSpinBox))
    ]
    for tabs in root.findChildren(QTabBar):
        rects = [tabs.tabRect(place) for place in range(tabs.count()) if tabs.isVisible() and not is_drawn_by_qt(tabs)]
        found += [(f"tab of {said_of(tabs)}", rect.width(), rect.height()) for rect in rects]
    if isinstance(root, QMenu):
        rects = [root.actionGeometry(action) for action in root.actions()]
        found += [(f"action of {said_of(root)}", rect.width(), rect.height()) for rect in rects]
    return [f"{what}: {width}×{height}" for what, width, height in found if width < 24 or height < 24]


def on_tab(root: QWidget) -> set[QWidget]:
    """All that Tab must reach."""
    return {
        widget
        for widget in shown(root)
        if widget.focusPolicy() & Qt.FocusPolicy.TabFocus and widget.isEnabled() and widget.focusProxy() is None
    }


def walk(ui: Ui, root: QWidget) -> list[QWidget]:
    """Presses Tab from the first on until it comes round, and gives back what had the focus, in order."""
    root.activateWindow()
    ui.until(root.isActiveWindow)
    first, wanted = root.nextInFocusChain(), on_tab(root)
    while first is not None and first not in wanted:
        first = first.nextInFocusChain()
    assert first is not None
    first.setFocus()
    seen = [first]
    for _ in range(300):
        ui.key(Qt.Key.Key_Tab)
        focus = QApplication.focusWidget()
        assert focus is not None
        if focus is seen[0]:
            break
        if focus is not seen[-1]:  # day, month and year of a date are three stops in one field
            seen.append(focus)
    return seen


def missed(wanted: set[QWidget], seen: list[QWidget]) -> list[str]:
    """What Tab did not come to. Of radio buttons it comes to one; arrows lead to the others."""
    groups = {button.parent() for button in seen if isinstance(button, QRadioButton)}
    return [
        said_of(widget)
        for widget in wanted - set(seen)
        if not (isinstance(widget, QRadioButton) and widget.parent() in groups)
        and widget.focusPolicy() & Qt.FocusPolicy.TabFocus
        and widget.isVisible()
        and widget.isEnabled()
    ]


def backwards(root: QWidget, seen: list[QWidget]) -> list[str]:
    """Where Tab goes up, or to the left in a row, within a card, the rail, a dialog."""
    bad: list[str] = []
    last: dict[QWidget | None, QWidget] = {}
    for after in seen:
        before = last.get(region(after))
        last[region(after)] = after
        if before is None:
            continue
        apart = scrolled_by(before) is not scrolled_by(after)  # then it depends on how far each is scrolled
        one, two = (place_of((scrolled_by(it) or it) if apart else it, root) for it in (before, after))
        same_row = min(one.bottom(), two.bottom()) - max(one.top(), two.top()) > 8
        if two.bottom() <= one.top() or (same_row and two.left() < one.left()):
            bad.append(f"{said_of(before)} → {said_of(after)}")
    return bad


def region(widget: QWidget) -> QWidget | None:
    kinds = Card | NavRail | StatusBar | QDialog
    return next((one for one in parents(widget)[1:] if isinstance(one, kinds)), None)


def scrolled_by(widget: QWidget) -> QWidget | None:
    return next((one for one in parents(widget)[1:] if isinstance(one, QScrollArea)), None)


def place_of(widget: QWidget, root: QWidget) -> QRect:
    return QRect(widget.mapTo(root, QPoint(0, 0)), widget.size())


def own_dialogs() -> set[type[Dialog]]:
    """Every kind of dialog that the program has."""
    for module in pkgutil.walk_packages(desktop_app.ui.__path__, "desktop_app.ui."):
        importlib.import_module(module.name)
    waiting, found = [Dialog], set()
    while waiting:
        kind = waiting.pop()
        found.add(kind)
        waiting += kind.__subclasses__()
    return found


def test_every_page_and_dialog_is_named_large_enough_and_reached_by_tab(qtbot, qapp):
    """Over all views in one window; nothing that can take the focus, and no dialog or menu, is left out."""
    faults: dict[str, list[str]] = {}
    kinds, pages, menus = set(), set(), set()
    with opened(qtbot, qapp, desk_with_jobs(5_000)) as ui:
        for view in views(ui):
            kinds.add(type(view.root))
            pages.add(ui.window._stack.currentWidget())
            menus |= {view.root} if isinstance(view.root, QMenu) else set()
            bad = nameless(view.root) if not isinstance(view.root, QFileDialog) else []
            bad += small_targets(view.root)
            if view.name not in LISTS_OPEN | BY_ARROWS:
                wanted = on_tab(view.root)
                assert wanted, view.name
                seen = walk(ui, view.root)
                bad += [f"not on Tab: {one}" for one in missed(wanted, seen)]
                if not isinstance(view.root, QFileDialog):
                    bad += [f"order: {one}" for one in backwards(view.root, seen)]
            for fault in bad:
                faults.setdefault(fault, []).append(view.name)
        assert not faults, "\n".join(f"{fault} ({', '.join(where)})" for fault, where in faults.items())
        assert {ui.window.page(key) for key in PAGES} <= pages
        of_qt = ui.window.findChild(QToolButton, "qt_calendar_monthbutton")
        own = {menu for menu in ui.window.findChildren(QMenu) if menu.parent() is not of_qt}
        assert {menu for menu in own if menu.actions()} - menus == set()
    assert own_dialogs() - kinds == set()
    assert QFileDialog in kinds

"""The window's building blocks, by mouse and keyboard."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QEvent, QPoint, QRectF, Qt
from PySide6.QtGui import QColor, QEnterEvent, QImage, QPainter
from PySide6.QtWidgets import QApplication, QLabel, QLineEdit, QVBoxLayout, QWidget

from desktop_app.ui import theme as look
from desktop_app.ui.palette import DARK, LIGHT, Tone
from desktop_app.ui.theme import ThemeMode
from desktop_app.ui.widgets.buttons import Button, CountButton
from desktop_app.ui.widgets.chips import ChipRow
from desktop_app.ui.widgets.dialogs import Dialog, confirm
from desktop_app.ui.widgets.empty_state import EmptyState
from desktop_app.ui.widgets.info_bar import InfoBar
from desktop_app.ui.widgets.labels import ElidedLabel, StatusLabel, field_label
from desktop_app.ui.widgets.nav_rail import NavRail
from desktop_app.ui.widgets.search_combo import Choice, SearchCombo
from desktop_app.ui.widgets.search_field import SearchField
from desktop_app.ui.widgets.segmented_bar import SegmentedBar, paint_bar
from desktop_app.ui.widgets.toast import Toast

pytestmark = pytest.mark.usefixtures("theme")


@pytest.fixture
def host(qtbot):
    """A window to put widgets in."""
    made = QWidget()
    QVBoxLayout(made)
    made.resize(500, 400)
    qtbot.addWidget(made)
    with qtbot.waitExposed(made):
        made.show()
    return made


def put(host, widget):
    host.layout().addWidget(widget)
    widget.show()
    QApplication.processEvents()
    return widget


def colours_of(widget) -> set[str]:
    image = widget.grab().toImage()
    return {image.pixelColor(x, y).name().upper() for x in range(image.width()) for y in range(image.height())}


# ------------------------------------------------------------------------------------------------------------- the box


PEOPLE = [
    Choice(1, "Adatum Fleet", "10844", "fleet"),
    Choice(2, "Alpine Agri", "13370"),
    Choice(3, "Coho Fleet", "11111"),
]


@pytest.fixture
def combo(host):
    made = put(host, SearchCombo(placeholder="Type", accessible="Customer", name="customerCombo"))
    put(host, QLineEdit())
    made.searched.connect(lambda text: made.show_choices(text, [p for p in PEOPLE if text.lower() in p.text.lower()]))
    made.picked = []
    made.chosen.connect(lambda choice: made.picked.append(choice.key if choice else None))
    made.setFocus()
    return made


def test_typing_opens_the_list_with_what_was_found(qtbot, combo):
    qtbot.keyClicks(combo.lineEdit(), "fle")
    qtbot.waitUntil(lambda: combo.list_view().isVisible())
    assert [combo.itemText(row) for row in range(combo.count())] == ["Adatum Fleet", "Coho Fleet"]
    assert combo.lineEdit().text() == "fle"
    assert combo.list_view().currentIndex().row() == 0
    assert combo.lineEdit().hasFocus()


@pytest.mark.parametrize(("keys", "chosen"), [([], 1), ([Qt.Key.Key_Down], 3), ([Qt.Key.Key_Down, Qt.Key.Key_Down], 1)])
def test_arrows_and_enter_pick(qtbot, combo, keys, chosen):
    qtbot.keyClicks(combo.lineEdit(), "fle")
    qtbot.waitUntil(lambda: combo.list_view().isVisible())
    for key in keys:
        qtbot.keyClick(combo.lineEdit(), key)
    qtbot.keyClick(combo.lineEdit(), Qt.Key.Key_Return)
    assert combo.picked == [chosen]
    assert not combo.list_view().isVisible()
    assert combo.choice().key == chosen
    assert combo.currentText() == combo.choice().text


def test_enter_before_the_answer_picks_the_first_when_it_comes(qtbot, combo):
    qtbot.keyClicks(combo.lineEdit(), "coh")
    qtbot.keyClick(combo.lineEdit(), Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: combo.picked == [3])


def test_tab_picks_and_goes_on(qtbot, combo):
    qtbot.keyClicks(combo.lineEdit(), "agri")
    qtbot.waitUntil(lambda: combo.list_view().isVisible())
    qtbot.keyClick(combo.lineEdit(), Qt.Key.Key_Tab)
    assert combo.picked == [2]
    assert not combo.hasFocus()


def test_a_click_picks(qtbot, combo):
    qtbot.keyClicks(combo.lineEdit(), "fle")
    view = combo.list_view()
    qtbot.waitUntil(view.isVisible)
    at = view.visualRect(view.model().index(1, 0)).center()
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=at)
    assert combo.picked == [3]


def test_escape_closes_and_keeps_the_text(qtbot, combo):
    qtbot.keyClicks(combo.lineEdit(), "fle")
    qtbot.waitUntil(lambda: combo.list_view().isVisible())
    qtbot.keyClick(combo.lineEdit(), Qt.Key.Key_Escape)
    assert not combo.list_view().isVisible()
    assert combo.lineEdit().text() == "fle"
    assert not combo.picked


def test_changing_the_text_takes_the_choice_back(qtbot, combo):
    combo.choose(PEOPLE[1])
    qtbot.keyClick(combo.lineEdit(), Qt.Key.Key_Backspace, Qt.KeyboardModifier.ControlModifier)
    qtbot.keyClicks(combo.lineEdit(), "x")
    assert combo.picked == [2, None]
    assert combo.choice() is None


def test_an_outdated_answer_is_passed_over(qtbot, combo):
    qtbot.keyClicks(combo.lineEdit(), "agri")
    qtbot.waitUntil(lambda: combo.list_view().isVisible())
    combo.show_choices("fle", PEOPLE)
    assert combo.count() == 1


def test_items_can_be_chosen_by_place(combo):
    combo.show_choices("", PEOPLE)
    combo.setCurrentIndex(combo.findText("Alpine Agri"))
    assert combo.picked == [2]
    assert combo.lineEdit().text() == "Alpine Agri"


def test_the_arrow_shows_everything(qtbot, combo):
    combo.showPopup()
    qtbot.waitUntil(lambda: combo.list_view().isVisible())
    assert combo.list_view().model().rowCount() == 3
    combo.showPopup()
    assert not combo.list_view().isVisible()


def test_a_long_list_stays_open(qtbot, combo):
    combo.searched.disconnect()
    many = [Choice(place, f"Fleet {place}") for place in range(40)]
    combo.searched.connect(lambda text: combo.show_choices(text, many))
    qtbot.keyClicks(combo.lineEdit(), "fle")
    qtbot.waitUntil(lambda: combo.list_view().isVisible())
    qtbot.wait(50)
    assert combo.list_view().isVisible()
    assert combo.list_view().verticalScrollBar().isVisible()


def test_the_match_is_bold(combo):
    delegate = combo.list_view().itemDelegate()
    delegate.searched = "FLE"
    assert delegate._parts("Adatum Fleet") == [("Adatum ", False), ("Fle", True), ("et", False)]
    assert delegate._parts("Alpine Agri") == [("Alpine Agri", False)]


# --------------------------------------------------------------------------------------------------------------- chips


@pytest.mark.parametrize(("exclusive", "left_on"), [(True, ("two",)), (False, ("one", "two"))])
def test_chips(qtbot, host, exclusive, left_on):
    row = put(host, ChipRow("row", "Filters", exclusive=exclusive))
    row.add("one", "One", on=True)
    row.add("two", "Two")
    with qtbot.waitSignal(row.picked) as said:
        qtbot.mouseClick(row.chip("two"), Qt.MouseButton.LeftButton)
    assert said.args == ["two"]
    assert row.on() == left_on


def test_chip_counts_and_sizes(host):
    row = put(host, ChipRow("row", "Filters"))
    chip = row.add("all", "All")
    row.set_counts({"all": 26_662, "other": 1})
    assert chip.text() == "All  26,662"
    assert chip.accessibleName() == "All 26,662"
    before = chip.sizeHint()
    chip.setChecked(True)
    assert chip.sizeHint() == before


def test_hidden_chips_leave_no_gap(host):
    row = put(host, ChipRow("row", "Filters"))
    for key in "abc":
        row.add(key, key)
    row.show_only("a", "c")
    QApplication.processEvents()
    gap = row.chip("c").x() - row.chip("a").geometry().right()
    assert gap < 12
    row.show_only("a", "b", "c")
    QApplication.processEvents()
    assert row.chip("a").x() < row.chip("b").x() < row.chip("c").x()


# ---------------------------------------------------------------------------------------------------------------- bars


def painted(segments, total, width=200):
    image = QImage(width, 8, QImage.Format.Format_ARGB32)
    image.fill(QColor(LIGHT.surface))
    painter = QPainter(image)
    paint_bar(painter, QRectF(0, 0, width, 8), segments, total)
    painter.end()
    return [image.pixelColor(x, 4).name().upper() for x in range(width)]


def test_one_failure_in_ten_thousand_is_seen():
    line = painted([(Tone.OK, 9_999), (Tone.ERROR, 1)], 10_000)
    assert line.count(LIGHT.bar_error) >= 2
    assert LIGHT.surface in line  # the gap that tells segments apart without colour


def test_segments_are_as_wide_as_their_share():
    line = painted([(Tone.OK, 50)], 100)
    assert line.count(LIGHT.bar_ok) == pytest.approx(100, abs=2)
    assert line.count(LIGHT.bar_track) == pytest.approx(98, abs=4)
    assert set(painted([(Tone.OK, 5)], 5)[4:-4]) == {LIGHT.bar_ok}
    assert LIGHT.bar_ok not in painted([], 0)


def test_many_small_segments_all_fit():
    line = painted([(Tone.OK, 9_000), (Tone.WARNING, 1), (Tone.ERROR, 1), (Tone.INFO, 1)], 9_003)
    assert {LIGHT.bar_ok, LIGHT.bar_warning, LIGHT.bar_error, LIGHT.bar_running} <= set(line)


def test_a_bar_speaks(host):
    bar = put(host, SegmentedBar())
    bar.show_segments([(Tone.OK, 1)], 2, "1 of 2 done")
    assert bar.accessibleName() == "1 of 2 done"
    assert LIGHT.bar_ok in colours_of(bar)


# ------------------------------------------------------------------------------------------------- messages and labels


def test_info_bar_says_and_does(qtbot, host):
    bar = put(host, InfoBar(Tone.WARNING, closable=True))
    bar.show_message("3 not found", "Look at them.")
    pressed = []
    action = bar.add_action("Show the 3", lambda: pressed.append(1), "showButton")
    QApplication.processEvents()
    assert bar.accessibleName() == "3 not found Look at them."
    assert {LIGHT.warning_back, LIGHT.warning} <= colours_of(bar)
    qtbot.mouseClick(action, Qt.MouseButton.LeftButton)
    assert pressed == [1]
    bar.clear_actions()
    with qtbot.waitSignal(bar.closed):
        close = next(button for button in bar.findChildren(Button) if not button.text() and button.isVisible())
        qtbot.mouseClick(close, Qt.MouseButton.LeftButton)
    assert not bar.isVisible()


def test_toast_goes_away_by_itself_but_not_under_the_mouse(qtbot, host):
    put(host, QLineEdit()).setFocus()
    toast = Toast(host)
    toast._timer.setInterval(30)
    toast.show_message("Saved", Tone.OK)
    toast.setAttribute(Qt.WidgetAttribute.WA_UnderMouse, on=False)  # where an earlier test has left the mouse
    qtbot.waitUntil(lambda: not toast.isVisible())
    toast.show_message("Saved again", Tone.ERROR, action="Show", run=lambda: None)
    at = QPoint(5, 5).toPointF()
    QApplication.sendEvent(toast, QEnterEvent(at, at, at))
    toast.setAttribute(Qt.WidgetAttribute.WA_UnderMouse)
    toast._expire()
    assert toast.isVisible()
    assert toast.text() == "Saved again"
    toast.setAttribute(Qt.WidgetAttribute.WA_UnderMouse, on=False)
    toast._expire()
    assert not toast.isVisible()
    toast._timer.stop()


def test_toast_action(qtbot, host):
    toast, done = Toast(host), []
    toast.show_message("Submitted", action="Show job", run=lambda: done.append(1))
    qtbot.mouseClick(toast.findChild(Button, "toastAction"), Qt.MouseButton.LeftButton)
    assert done == [1]
    assert not toast.isVisible()
    toast._timer.stop()


def test_elided_label_keeps_its_text(host):
    label = put(host, ElidedLabel("a long text that does not fit into this little room"))
    label.setFixedWidth(90)
    QApplication.processEvents()
    assert label.text().endswith("…")
    assert label.full_text() == label.toolTip() == label.accessibleName()
    label.setFixedWidth(480)
    QApplication.processEvents()
    assert label.text() == label.full_text()
    assert not label.toolTip()


def test_status_is_shape_word_and_colour(host):
    label = put(host, StatusLabel())
    label.show_status("circle-x-filled", "Blocked", Tone.ERROR, strong=True)
    QApplication.processEvents()
    assert label.accessibleName() == "Blocked"
    assert LIGHT.error in colours_of(label)


def test_count_button_says_all_of_it(host):
    button = put(host, CountButton("circle-check-filled", Tone.OK, "check_ready"))
    button.show_count("31", "ready", "", enabled=True)
    assert button.accessibleName() == "31 ready"
    assert button.height() >= 24


def test_field_label_names_its_field(host):
    edit = QLineEdit()
    label = put(host, field_label("Rea&son", edit))
    put(host, edit)
    assert edit.accessibleName() == "Reason"
    assert label.buddy() is edit


def test_empty_state_leads_out(qtbot, host):
    state, done = put(host, EmptyState("history")), []
    state.show_texts("No jobs yet", "They are kept here.")
    button = state.add_button("Associate devices", lambda: done.append(1))
    QApplication.processEvents()
    assert state.accessibleName() == "No jobs yet. They are kept here."
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert done == [1]


def test_search_field(qtbot, host):
    field = put(host, SearchField("Search", "Search devices", "deviceSearch"))
    field.setFocus()
    qtbot.keyClicks(field, "abc")
    with qtbot.waitSignal(field.down_pressed):
        qtbot.keyClick(field, Qt.Key.Key_Down)
    qtbot.keyClick(field, Qt.Key.Key_Escape)
    assert not field.text()


def test_nav_rail(qtbot, host):
    rail = put(host, NavRail())
    rail.add("a", "device-sim", "Associate", "navAssociate")
    jobs = rail.add("j", "progress-check", "Jobs", "navJobs")
    jobs.set_count(2)
    assert jobs.accessibleName() == "Jobs · 2"
    with qtbot.waitSignal(rail.picked) as said:
        qtbot.mouseClick(jobs, Qt.MouseButton.LeftButton)
    assert said.args == ["j"]
    jobs.set_count(0)
    assert jobs.text() == "Jobs"


def test_confirm_says_no_by_default(qtbot, host):
    done = []
    for key in (Qt.Key.Key_Return, Qt.Key.Key_Escape):
        dialog = confirm(host, "Submit?", "Really.", yes="Submit", no="Cancel", run=lambda: done.append(1))
        with qtbot.waitExposed(dialog):
            pass  # it was opened before
        qtbot.keyClick(dialog, key)
        qtbot.waitUntil(lambda: not host.findChildren(Dialog))
        assert not done
    dialog = confirm(host, "Submit?", "Really.", yes="Submit", no="Cancel", run=lambda: done.append(1))
    qtbot.mouseClick(dialog.findChild(Button, "confirmYes"), Qt.MouseButton.LeftButton)
    assert done == [1]


def test_icons_follow_the_theme(theme, host):
    button = put(host, Button("Paste", icon="clipboard-list"))
    state = put(host, EmptyState("history"))
    before = button.icon().pixmap(16).toImage()
    theme.set_mode(ThemeMode.DARK)
    QApplication.processEvents()
    assert button.icon().pixmap(16).toImage() != before
    assert DARK.edge in colours_of(state.findChild(QLabel))
    assert look.active() is DARK


def test_a_focused_button_has_a_ring_of_two_pixels(qtbot, host):
    button = put(host, Button("Paste IDs…"))
    host.activateWindow()
    button.setFocus()
    qtbot.waitUntil(button.hasFocus)
    image = button.grab().toImage()
    middle = image.height() // 2
    assert [image.pixelColor(x, middle).name().upper() for x in (0, 1)] == [LIGHT.accent] * 2
    assert image.pixelColor(3, middle).name().upper() != LIGHT.accent
    QApplication.sendEvent(button, QEvent(QEvent.Type.None_))

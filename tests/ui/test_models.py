"""Models that fetch their rows while they are looked at."""

from __future__ import annotations

import threading
import tracemalloc
from array import array
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from PySide6.QtCore import QObject, Qt

from desktop_app.association.errors import EnvironmentFault
from desktop_app.association.model import CheckReport, DeviceFilter, pack, unpack
from desktop_app.association.states import JobState
from desktop_app.desk.protocol import DeviceColumn, HistoryFilter, JobCounts, JobFilter
from desktop_app.ui import words
from desktop_app.ui.models.devices import PAGE, PAGES_KEPT, DeviceTableModel, Verdict, Verdicts
from desktop_app.ui.models.history import DeviceHistoryModel
from desktop_app.ui.models.jobs import JobTableModel
from desktop_app.ui.widgets.rows import width_of
from tests.ui.conftest import LONG_S, bury
from tests.ui.fake_desk import FakeDesk, iccid_of

pytestmark = pytest.mark.usefixtures("theme")
CLOCK = words.Clock("Europe/Berlin")


@pytest.fixture
def owner(qapp):
    made = QObject()
    yield made
    bury(made)


@pytest.fixture
def model(qtbot, background, owner):
    """20,000 devices."""
    desk = FakeDesk(20_000)
    made = DeviceTableModel(desk, background, owner)
    made.list_devices(unpack(desk.device_ids(DeviceFilter(), DeviceColumn.ICCID)))
    made.desk = desk  # type: ignore[attr-defined]
    return made


def shown(qtbot, model, row, column=2):
    qtbot.waitUntil(lambda: model.cell(row, column).text != "")
    return model.cell(row, column).text


def test_rows_come_when_they_are_painted(qtbot, model):
    assert model.rowCount() == 20_000
    assert model.cell(12_345, 2).text == ""
    assert shown(qtbot, model, 12_345) == iccid_of(12_346)
    assert model.desk.calls["device_rows"] == 1
    assert model.rows_kept == PAGE


def test_what_is_scrolled_past_is_not_fetched(qtbot, model, background):
    for row in range(0, 20_000, PAGE):
        model.cell(row, 2)
    assert shown(qtbot, model, 19_900) == iccid_of(19_901)
    qtbot.waitUntil(lambda: background.pending == 0)
    assert model.desk.calls["device_rows"] <= 7


def test_few_rows_are_kept(qtbot, model, background):
    for page in range(100):
        shown(qtbot, model, page * PAGE)
    assert model.rows_kept == PAGES_KEPT * PAGE
    assert model.cell(99 * PAGE, 2).text == iccid_of(99 * PAGE + 1)


def test_a_page_is_one_signal(qtbot, model):
    seen = []
    model.dataChanged.connect(lambda first, last: seen.append((first.row(), last.row())))
    shown(qtbot, model, 150)
    assert seen == [(100, 199)]


def test_refresh_shows_the_old_until_the_new_is_there(qtbot, model):
    before = shown(qtbot, model, 0, 4)
    model.refresh()
    assert model.cell(0, 4).text == before
    qtbot.waitUntil(lambda: model.desk.calls["device_rows"] == 2)


def test_a_device_that_is_gone_says_so(qtbot, model):
    model.desk.count = 10
    assert shown(qtbot, model, 50) == "no longer there"


def test_a_page_that_cannot_be_fetched_is_told_and_fetched_again(qtbot, model):
    model.desk.fail_with = EnvironmentFault("GONE", "Gone.", "Wait.")
    with qtbot.waitSignal(model.load_failed) as told:
        model.cell(0, 2)
    assert isinstance(told.args[0], EnvironmentFault)
    model.desk.fail_with = None
    assert shown(qtbot, model, 0) == iccid_of(1)


def test_an_answer_for_another_list_is_dropped(qtbot, model, background):
    model.cell(0, 2)
    model.list_devices(array("q", [7, 5]))
    assert shown(qtbot, model, 0) == iccid_of(7)
    qtbot.waitUntil(lambda: background.pending == 0)
    assert model.cell(1, 2).text == iccid_of(5)
    assert model.rows_kept == 2


def test_first_rows_come_with_the_list(qtbot, model, background):
    first = [model.desk.row(device) for device in range(1, 151) if device != 7]
    model.list_devices(array("q", range(1, 301)), first, is_whole=False)
    assert model.rows_kept == PAGE  # half a page is fetched when it is painted
    assert model.cell(5, 2).text == iccid_of(6)
    assert model.cell(6, 2).text == "no longer there"
    assert model.desk.calls["device_rows"] == 0
    assert shown(qtbot, model, 120) == iccid_of(121)
    assert not model.list_rest(array("q", range(2, 400)))
    assert model.row_total() == 300
    assert model.list_rest(array("q", range(1, 401)))
    assert model.is_whole
    assert shown(qtbot, model, 399) == iccid_of(400)
    assert model.cell(5, 2).text == iccid_of(6)


def test_the_same_list_again_is_known_to_be_all_checked(model):
    before = model.ids
    model.check_all_listed()
    assert model.list_rest(before[:])
    assert model.ids is before
    assert model.header_state() is Qt.CheckState.Checked
    assert len(model.checks) == 20_000


def test_check_states_for_qt(model):
    model.toggle(3)
    index = model.index(3, 0)
    assert model.data(index, Qt.ItemDataRole.CheckStateRole) is Qt.CheckState.Checked
    assert model.data(model.index(4, 0), Qt.ItemDataRole.CheckStateRole) is Qt.CheckState.Unchecked
    assert model.data(model.index(4, 2), Qt.ItemDataRole.CheckStateRole) is None
    assert model.headerData(2, Qt.Orientation.Horizontal) == "ICCID"


def test_verdicts(model):
    report = CheckReport(1, 1, 1, "f", ready_ids=pack([1]), warning_ids=pack([2]), blocked_ids=pack([3]))
    model.show_verdicts(Verdicts(report))
    assert [model.cell(row, 1).text for row in range(4)] == ["Ready", "Warning", "Blocked", ""]
    assert Verdicts().of(1) is None
    assert Verdicts(report).of(2) is Verdict.WARNING
    model.show_verdicts(None)
    assert model.cell(0, 1).text == ""


def test_a_million_devices_take_little(background, owner):
    ids = array("q", range(1, 1_000_001))
    tracemalloc.start()
    try:
        model = DeviceTableModel(FakeDesk(0), background, owner)
        model.list_devices(ids)
        model.check_all_listed()
        model.set_checked(10, 20, checked=False)
        model.list_devices(array("q", [5]))
        assert not model.is_checked(0) or model.is_checked(0)  # asks for a hash of all that is checked
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(model.checks) == 1_000_000 - 11
    assert taken / len(ids) + ids.itemsize <= 150


# --------------------------------------------------------------------------------------------------- rows that grow


@pytest.fixture
def jobs(background, owner):
    """A list of 450 jobs."""
    desk = FakeDesk(10)
    for _ in range(450):
        desk.add_job("Fabrikam Water SA", [1])
    made = JobTableModel(desk, background, CLOCK, owner)
    made.desk = desk  # type: ignore[attr-defined]
    return made


def test_more_is_fetched_at_the_end(qtbot, jobs):
    with qtbot.waitSignal(jobs.loaded):
        jobs.show(JobFilter.ALL, "")
    parent = jobs.index(-1, -1)
    sizes = [jobs.rowCount()]
    while jobs.canFetchMore(parent):
        jobs.fetchMore(parent)
        jobs.fetchMore(parent)  # while one is under way, no second
        qtbot.waitUntil(lambda: jobs.rowCount() > sizes[-1])
        sizes.append(jobs.rowCount())
    assert sizes == [200, 400, 450]
    assert jobs.row_of("AJ-20261124-0001") == 449


def test_a_reload_keeps_the_length_and_changes_rows_in_place(qtbot, jobs):
    with qtbot.waitSignal(jobs.loaded):
        jobs.show(JobFilter.ALL, "")
    jobs.fetchMore(jobs.index(-1, -1))
    qtbot.waitUntil(lambda: jobs.rowCount() == 400)
    jobs.desk.set_job("AJ-20261124-0450", state=JobState.RUNNING)
    resets = []
    jobs.modelReset.connect(lambda: resets.append(1))
    with qtbot.waitSignal(jobs.dataChanged) as changed:
        jobs.reload()
    assert (changed.args[0].row(), changed.args[1].row()) == (0, 0)
    assert jobs.rowCount() == 400
    assert not resets


def test_two_thousand_changes_are_one_signal(qtbot, jobs):
    with qtbot.waitSignal(jobs.loaded):
        jobs.show(JobFilter.ALL, "")
    seen = []
    jobs.dataChanged.connect(lambda *_: seen.append(1))
    changed = []
    for row in jobs.desk.jobs(limit=200):
        jobs.desk.set_job(row.tracking_number, state=JobState.RUNNING)
        changed.append(jobs.desk.jobs_by_number[row.tracking_number].row)
    assert not jobs.take_changes(changed * 10, 1.0)
    assert len(seen) == 1
    assert jobs.cell(0, 0).text == "Running"


def test_an_older_row_never_replaces_a_newer_one(qtbot, jobs):
    with qtbot.waitSignal(jobs.loaded):
        jobs.show(JobFilter.ALL, "")
    old = jobs.row_at(0)
    jobs.desk.set_job(old.tracking_number, state=JobState.RUNNING)
    jobs.take_changes([jobs.desk.jobs_by_number[old.tracking_number].row], 1.0)
    jobs.take_changes([old], 2.0)
    assert jobs.cell(0, 0).text == "Running"


def test_only_the_newest_list_is_shown(qtbot, background, owner):
    gate = threading.Event()

    class SlowDesk(FakeDesk):
        def history(self, filter, limit=200, before=None):
            if filter.text == "slow":
                gate.wait(LONG_S)
            return super().history(filter, limit, before)

    made = DeviceHistoryModel(SlowDesk(10), background, CLOCK, owner)
    made.show(HistoryFilter(text="slow"))
    made.show(HistoryFilter(text=iccid_of(3)))
    qtbot.waitUntil(lambda: made.rowCount() == 4)
    gate.set()
    qtbot.waitUntil(lambda: background.pending == 0)
    assert made.cell(0, 1).text == iccid_of(3)


def test_what_stands_in_the_column_of_times_fits_into_it_on_each_day_of_the_year(jobs):
    column, row, now = jobs.columns[-1], jobs.desk.jobs()[0], datetime.now(UTC)
    assert column.key == "time"
    running = replace(row, state=JobState.RUNNING, counts=JobCounts(total=1, outcome_unknown=1))
    days = [timedelta(days=day, minutes=7 * day) for day in range(-400, 400)]
    told = {jobs._time(replace(running, asks_at=now + day)) for day in days}
    told |= {jobs._time(replace(row, state=JobState.CANCELLED, finished_at=now - abs(day))) for day in days}
    assert {text.split()[0] for text in told} > {"Until", "Cancelled"}
    assert [text for text in told if width_of(text) > column.width] == []


# -------------------------------------------------------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (48.2, "48 s"), (72, "1 min 12 s"), (363, "6 min 03 s"), (7_500, "2 h 05 min")]
)
def test_durations(seconds, text):
    assert words.duration(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(1, "~ 5 s"), (38, "~ 40 s"), (170, "~ 3 min"), (7_300, "~ 2 h")])
def test_time_left(seconds, text):
    assert words.about(seconds) == text


@pytest.mark.parametrize(
    ("at", "text"),
    [
        ("2026-11-24T13:06:59", "14:06:59"),
        ("2026-11-24T13:07:00", "14:07"),
        ("2026-11-24T22:59:59", "23:59"),
        ("2026-11-24T23:00:00", "25 Nov 00:00"),
    ],
)
def test_what_is_soon_is_told_by_the_second_and_the_day_where_it_is_another(at, text):
    now = datetime(2026, 11, 24, 13, 5, tzinfo=UTC)
    assert CLOCK.soon(datetime.fromisoformat(at).replace(tzinfo=UTC), now) == text


@pytest.mark.parametrize(
    ("count", "title", "text"),
    [
        (2, "have no MSISDN", "2 devices have no MSISDN"),
        (1, "have no MSISDN", "1 device has no MSISDN"),
        (1, "belong to another customer", "1 device belongs to another customer"),
        (1, "cannot take both plans: each is a package", "1 device cannot take both plans: each is a package"),
        (1_200, "are not known", "1,200 devices are not known"),
    ],
)
def test_causes_as_sentences(count, title, text):
    assert words.devices_that(count, title) == text


@pytest.mark.parametrize(
    ("raw", "text"),
    [("12745550005", "+1 274 555 0005"), ("4915123456789", "+4915123456789"), ("", ""), ("+1 2", "+1 2")],
)
def test_phone_numbers(raw, text):
    assert words.msisdn(raw) == text


def test_shares_are_rounded_down():
    assert words.percent(999, 1_000) == 99
    assert words.percent(0, 0) == 0


@pytest.mark.parametrize(
    ("size", "text"), [(None, ""), (500_000, "500 KB"), (5_000_000, "5 MB"), (2_500_000_000, "2.5 GB")]
)
def test_data_sizes(size, text):
    assert words.data_size(size) == text

"""Looking at jobs, steering them, and what is told of changes; on demo data, which holds finished and paused jobs."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest
from python_calamine import CalamineWorkbook
from sqlalchemy import select, update

from db import schema
from db.demo.cases import find_case, pick_for_demo_job
from db.unit_of_work import Store
from desktop_app.association.errors import Cancelled, EnvironmentFault, NotFound, RequestRefused
from desktop_app.association.model import AskedLines, AssociationRequest, Proof
from desktop_app.association.result_csv import COLUMNS
from desktop_app.association.states import FINAL_JOBS, JobState, PauseCause, StepState, WorkOrderState
from desktop_app.desk.local import LocalDesk
from desktop_app.desk.protocol import HistoryFilter, JobFilter, JobRow
from tests.helpers.desks import Bell, desk_on


def a_job(desk: LocalDesk, state: JobState) -> JobRow:
    return next(row for row in desk.jobs() if row.state is state)


def submitted(desk: LocalDesk, store: Store, count: int = 40) -> str:
    """A fresh job with some blocked devices in it."""
    with store.read() as uow:
        request = pick_for_demo_job(uow, count, 0.2).request
    return desk.submit(request, desk.check(request).fingerprint, f"key-{count}").tracking_number


# --- lists -----------------------------------------------------------------------------------------------------------


def test_jobs_come_newest_first_and_by_filter(desk: LocalDesk) -> None:
    everything = desk.jobs()
    assert [row.submitted_at for row in everything] == sorted((row.submitted_at for row in everything), reverse=True)
    by_filter = {one: desk.jobs(one) for one in JobFilter}
    assert {row.tracking_number for row in by_filter[JobFilter.FINISHED]} == {
        row.tracking_number for row in everything if row.state in FINAL_JOBS
    }
    assert {row.tracking_number for row in by_filter[JobFilter.ACTIVE]} == {
        row.tracking_number for row in everything if row.state not in FINAL_JOBS
    }
    assert {row.tracking_number for row in by_filter[JobFilter.ATTENTION]} == {
        row.tracking_number for row in everything if row.needs_attention
    }
    assert desk.job_filter_counts() == {one: len(rows) for one, rows in by_filter.items()}
    assert desk.jobs(limit=3, offset=2) == everything[2:5]


def test_jobs_are_searched_by_number_and_customer(desk: LocalDesk) -> None:
    some = desk.jobs()[2]
    assert [row.tracking_number for row in desk.jobs(text=some.tracking_number[-9:].lower())] == [some.tracking_number]
    found = desk.jobs(text=some.customer[1:6].upper())
    assert some in found
    assert {row.customer for row in found} == {
        row.customer for row in desk.jobs() if some.customer[1:6].casefold() in row.customer.casefold()
    }
    assert desk.jobs(text="100%") == ()


def test_failed_devices_unknown_outcomes_and_pauses_by_itself_need_attention(desk: LocalDesk, demo: Store) -> None:
    assert all(row.needs_attention == (row.counts.failed > 0) for row in desk.jobs())
    paused = a_job(desk, JobState.PAUSED)
    assert paused.pause_cause is PauseCause.OPERATOR
    for cause in (PauseCause.ENVIRONMENT, PauseCause.QUOTA, PauseCause.THRESHOLD):
        _set(demo, paused, pause_cause=cause.value)
        assert desk.job(paused.tracking_number).job.needs_attention
    _set(demo, paused, pause_cause=PauseCause.OPERATOR.value, outcome_unknown=1)
    assert not desk.job(paused.tracking_number).job.needs_attention
    with demo.begin() as uow:
        one = select(schema.work_order.c.id).join(schema.job).where(
            schema.job.c.tracking_number == paused.tracking_number
        ).limit(1)  # fmt: skip
        uow.connection.execute(
            update(schema.work_order)
            .where(schema.work_order.c.id == uow.connection.execute(one).scalar_one())
            .values(state=WorkOrderState.OUTCOME_UNKNOWN.value)
        )
        uow.commit()
    assert desk.job(paused.tracking_number).job.needs_attention


def _set(store: Store, job: JobRow, **values: object) -> None:
    with store.begin() as uow:
        uow.connection.execute(
            update(schema.job).where(schema.job.c.tracking_number == job.tracking_number).values(**values)
        )
        uow.commit()


def test_billed_but_not_associated_comes_first_among_what_needs_attention(desk: LocalDesk, demo: Store) -> None:
    last = desk.jobs(JobFilter.ATTENTION)[-1]
    with demo.begin() as uow:
        job_id = select(schema.job.c.id).where(schema.job.c.tracking_number == last.tracking_number).scalar_subquery()
        uow.connection.execute(
            update(schema.work_order)
            .where(schema.work_order.c.job_id == job_id, schema.work_order.c.state == "failed")
            .values(error_code="BILLED_NOT_ASSOCIATED")
        )
        uow.commit()
    assert desk.jobs(JobFilter.ATTENTION)[0].tracking_number == last.tracking_number
    assert desk.job(last.tracking_number).causes[0].code == "BILLED_NOT_ASSOCIATED"
    assert desk.job(last.tracking_number).causes[0].retryable


def test_limited_operator_sees_jobs_of_its_customers_alone(demo: Store) -> None:
    limited, boss = desk_on(demo, "limited"), desk_on(demo)
    seen = {customer.name for customer in limited.customers("", 1000)}
    expected = [row.tracking_number for row in boss.jobs() if row.customer in seen]
    assert [row.tracking_number for row in limited.jobs()] == expected
    hidden = next(row for row in boss.jobs() if row.customer not in seen)
    with pytest.raises(NotFound):
        limited.job(hidden.tracking_number)
    with pytest.raises(NotFound):
        limited.work_orders(hidden.tracking_number)


# --- one job ---------------------------------------------------------------------------------------------------------


def test_detail_groups_causes_and_counts_equal_the_rows(desk: LocalDesk, demo: Store) -> None:
    number = submitted(desk, demo)
    detail = desk.job(number.lower())
    orders = desk.work_orders(number)
    assert [order.line for order in orders] == sorted(order.line for order in orders)
    states = Counter(order.state for order in orders)
    counts = detail.job.counts
    assert (counts.total, counts.rejected, counts.queued) == (
        40,
        states[WorkOrderState.REJECTED],
        states[WorkOrderState.QUEUED],
    )
    assert counts.rejected == 8
    codes = Counter(order.error.code for order in orders if order.error is not None)
    assert {cause.code: cause.count for cause in detail.causes} == codes
    assert all(cause.title and cause.what_to_do and cause.state is WorkOrderState.REJECTED for cause in detail.causes)
    assert detail.options[0] == "Create billing service"
    assert [line.event for line in detail.log] == ["submitted"]
    code = detail.causes[0].code
    assert {order.error.code for order in desk.work_orders(number, error_code=code) if order.error} == {code}
    assert not desk.work_orders(number, states=[WorkOrderState.SUCCEEDED])
    assert desk.work_orders(number, limit=5, offset=10) == orders[10:15]


def test_rejected_devices_prove_what_was_asked_and_not_done(desk: LocalDesk, demo: Store) -> None:
    number = submitted(desk, demo)
    for detail in desk.work_order_details(number):
        assert detail == desk.work_order(number, detail.work_order.line)
        proofs = detail.proofs
        assert proofs.operator_permitted is Proof.YES
        assert {proofs.billing_service_created, proofs.rate_plans_assigned, proofs.processing_completed} == {Proof.NO}
        error = detail.work_order.error
        unfit = error is not None and error.code in {"NOT_FOUND", "AMBIGUOUS", "DELETED", "ARCHIVED"}
        assert proofs.device_found is (Proof.NO if unfit else Proof.YES)


def test_past_jobs_prove_what_was_done(desk: LocalDesk) -> None:
    job = next(row for row in desk.jobs(JobFilter.FINISHED) if "service" in row.action and row.counts.succeeded)
    detail = next(
        one for one in desk.work_order_details(job.tracking_number) if one.work_order.state is WorkOrderState.SUCCEEDED
    )
    assert detail.proofs.processing_completed is Proof.YES
    assert detail.proofs.history_recorded is Proof.YES
    assert detail.steps
    assert {step.state for step in detail.steps} <= {
        StepState.DONE, StepState.KEPT, StepState.SCHEDULED, StepState.NOT_REQUESTED,
    }  # fmt: skip


def test_unknown_job_and_line_are_said(desk: LocalDesk) -> None:
    with pytest.raises(NotFound, match="AJ-1"):
        desk.job("AJ-1")
    with pytest.raises(NotFound, match="line 99999"):
        desk.work_order(desk.jobs()[0].tracking_number, 99_999)


# --- steering --------------------------------------------------------------------------------------------------------


def test_pause_resume_and_cancel_ring_the_engine_and_are_written_down(demo: Store) -> None:
    bell = Bell()
    desk = desk_on(demo, "operator", acting="boss", wake=bell)
    number = submitted(desk, demo)
    assert bell.rung == 1
    desk.pause(number)
    assert desk.job(number).job.state is JobState.PAUSED
    assert "boss" in desk.job(number).job.pause_reason
    desk.resume(number)
    assert desk.job(number).job.state is JobState.QUEUED
    desk.cancel(number)
    assert desk.job(number).job.counts.cancelled == 32
    assert bell.rung == 4
    with demo.read() as uow:
        audited = uow.connection.execute(
            select(
                schema.audit_entry.c.action, schema.audit_entry.c.operator_login, schema.audit_entry.c.acting_login
            ).where(schema.audit_entry.c.subject == number)
        ).all()
    assert [(row.operator_login, row.acting_login) for row in audited] == [("operator", "boss")] * 4
    assert [row.action for row in audited] == ["submit", "pause", "resume", "cancel"]


def test_viewer_may_look_and_not_steer(demo: Store) -> None:
    viewer = desk_on(demo, "viewer")
    number = next(row.tracking_number for row in viewer.jobs() if row.state is JobState.PAUSED)
    for steer in (viewer.pause, viewer.resume, viewer.cancel):
        with pytest.raises(RequestRefused) as refused:
            steer(number)
        assert refused.value.code == "NOT_PERMITTED"
    assert not viewer.capabilities().may_associate


def test_person_settles_only_what_is_unknown(desk: LocalDesk, demo: Store) -> None:
    number = submitted(desk, demo)
    iccid = next(order.iccid for order in desk.work_orders(number, states=[WorkOrderState.QUEUED]))
    with pytest.raises(RequestRefused) as refused:
        desk.resolve(number, iccid, "4711")
    assert refused.value.code == "OUTCOME_NOT_UNKNOWN"
    with pytest.raises(NotFound):
        desk.resolve(number, "89999990000000000003", None)
    with pytest.raises(RequestRefused) as no_id:
        desk.resolve(number, iccid, "  ")
    assert no_id.value.code == "SERVICE_ID_INVALID"


# --- export ----------------------------------------------------------------------------------------------------------


def test_export_accounts_for_every_device_and_can_be_fed_back(desk: LocalDesk, demo: Store, tmp_path: Path) -> None:
    number = submitted(desk, demo)
    path = tmp_path / "result.csv"
    assert desk.export(number, path) == 40
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    orders = desk.work_order_details(number)
    assert [int(row["line"]) for row in rows] == [order.work_order.line for order in orders]
    for row, order in zip(rows, orders, strict=True):
        assert row["state"] == order.work_order.state.value
        assert row["error_code"] == (order.work_order.error.code if order.work_order.error else "")
        assert row["billing_service_created"] == order.proofs.billing_service_created.value
    lines = desk.read_devices_file(path)
    assert lines[0] == ""
    again = desk.locate(lines)
    assert again.asked == 40
    found = {line.line for line in desk.locate([row["asked_for"] for row in rows]).lines}
    assert {line.line - 1 for line in again.lines} == found


def test_workbook_holds_the_same_as_text(desk: LocalDesk, demo: Store, tmp_path: Path) -> None:
    number = submitted(desk, demo)
    path = tmp_path / "result.xlsx"
    assert desk.export(number, path) == 40
    heading, *rows = CalamineWorkbook.from_path(str(path)).get_sheet_by_name("Result").to_python()
    assert tuple(heading) == COLUMNS
    assert {type(row[3]) for row in rows} == {str}
    assert [int(str(row[1]).removesuffix(".0")) for row in rows] == [order.line for order in desk.work_orders(number)]


def test_export_is_whole_or_not_at_all(desk: LocalDesk, tmp_path: Path) -> None:
    number = desk.jobs()[0].tracking_number
    path = tmp_path / "result.csv"
    path.write_text("before")
    with pytest.raises(Cancelled):
        desk.export(number, path, cancelled=lambda: True)
    assert path.read_text() == "before"
    assert [file.name for file in tmp_path.iterdir()] == ["result.csv"]
    with pytest.raises(RequestRefused) as other_kind:
        desk.export(number, tmp_path / "result.pdf")
    assert other_kind.value.code == "EXPORT_KIND_UNKNOWN"
    with pytest.raises(RequestRefused) as no_folder:
        desk.export(number, tmp_path / "missing" / "result.csv")
    assert no_folder.value.code == "FOLDER_NOT_FOUND"


def test_file_that_cannot_be_written_is_said(desk: LocalDesk, tmp_path: Path) -> None:
    path = tmp_path / ("long" * 100 + ".csv")
    with pytest.raises(EnvironmentFault) as fault:
        desk.export(desk.jobs()[0].tracking_number, path)
    assert fault.value.code == "EXPORT_FAILED"


def test_findings_of_a_check_are_exported(desk: LocalDesk, demo: Store, tmp_path: Path) -> None:
    with demo.read() as uow:
        lines = find_case(uow, "retired", 3)
    report = desk.check(AssociationRequest(devices=AskedLines(lines), customer="10482"))
    assert desk.export_check(report, tmp_path / "check.csv") == len(report.findings) >= 3
    with (tmp_path / "check.csv").open(encoding="utf-8-sig", newline="") as file:
        assert [row["code"] for row in csv.DictReader(file)] == [finding.code for finding in report.findings]


# --- changes ---------------------------------------------------------------------------------------------------------


def test_changes_tell_each_change_of_a_job_once(desk: LocalDesk, demo: Store) -> None:
    first = desk.changes()
    assert first.jobs == ()
    assert first.active_jobs == len(desk.jobs(JobFilter.ACTIVE))
    number = submitted(desk, demo)
    second = desk.changes(first.cursor)
    assert [row.tracking_number for row in second.jobs] == [number]
    assert second.active_jobs == first.active_jobs + 1
    assert second.active.queued == first.active.queued + 32
    assert desk.changes(second.cursor).jobs == ()
    assert [row.tracking_number for row in desk.changes(first.cursor).jobs] == [number]
    desk.pause(number)
    third = desk.changes(second.cursor)
    assert [(row.tracking_number, row.state) for row in third.jobs] == [(number, JobState.PAUSED)]
    assert desk.changes(third.cursor).jobs == ()


def test_change_that_becomes_visible_late_is_told(desk: LocalDesk, demo: Store) -> None:
    """A transaction that began before the last look, and was committed after it, wrote an older instant."""
    number = submitted(desk, demo)
    seen = desk.changes()
    job = desk.job(number).job
    with demo.read() as uow:
        then = uow.connection.execute(
            select(schema.job.c.changed_at).where(schema.job.c.tracking_number == number)
        ).scalar_one()
    _set(demo, job, revision=job.revision + 1, changed_at=then)
    assert [row.tracking_number for row in desk.changes(seen.cursor).jobs] == [number]


def test_changed_devices_are_told_once(desk: LocalDesk, demo: Store) -> None:
    seen = desk.changes(desk.changes().cursor)
    assert not seen.devices_changed
    with demo.begin() as uow:
        uow.connection.execute(
            update(schema.device)
            .where(schema.device.c.id == 1)
            .values(changed_at=uow.now(), revision=schema.device.c.revision + 1)
        )
        uow.commit()
    told = desk.changes(seen.cursor)
    assert told.devices_changed
    assert not desk.changes(told.cursor).devices_changed


def test_cursor_that_nobody_knows_is_a_fresh_start(desk: LocalDesk) -> None:
    for cursor in ("", "rubbish", "[1,2]", "{}"):
        assert desk.changes(cursor).jobs == ()


# --- history ---------------------------------------------------------------------------------------------------------


def test_history_pages_newest_first(desk: LocalDesk) -> None:
    first = desk.history(HistoryFilter(), limit=20)
    ids = [row.history_id for row in first]
    assert ids == sorted(ids, reverse=True)
    second = desk.history(HistoryFilter(), limit=20, before=ids[-1])
    assert second
    assert max(row.history_id for row in second) < ids[-1]


def test_history_is_searched_by_device_job_and_customer(desk: LocalDesk) -> None:
    some = next(row for row in desk.history(HistoryFilter(), limit=500) if row.tracking_number and row.customer)
    by_device = desk.history(HistoryFilter(text=f"{some.iccid[:5]} {some.iccid[5:]}"))
    assert some in by_device
    assert {row.iccid for row in by_device} == {some.iccid}
    by_job = desk.history(HistoryFilter(text=some.tracking_number.lower()), limit=1000)
    assert some in by_job
    assert {row.tracking_number for row in by_job} == {some.tracking_number}
    by_customer = desk.history(HistoryFilter(text=some.customer[:5].upper()), limit=1000)
    assert some in by_customer
    assert all(some.customer[:5].casefold() in row.customer.casefold() for row in by_customer)
    assert desk.history(HistoryFilter(text="89999990000000000003")) == ()


def test_history_by_period_and_operator(desk: LocalDesk) -> None:
    everything = desk.history(HistoryFilter(), limit=10_000)
    middle = everything[len(everything) // 2].at
    before = desk.history(HistoryFilter(until=middle), limit=10_000)
    after = desk.history(HistoryFilter(since=middle), limit=10_000)
    assert len(before) + len(after) == len(everything)
    assert all(row.at < middle for row in before)
    operator = everything[0].operator
    assert operator in desk.operators()
    assert {row.operator for row in desk.history(HistoryFilter(operator=operator), limit=10_000)} == {operator}


def _customer(desk: LocalDesk, name: str) -> int:
    return next(row.customer_id for row in desk.customers(name) if row.name == name)


def test_history_of_one_customer(desk: LocalDesk) -> None:
    some = next(row for row in desk.history(HistoryFilter(), limit=500) if row.customer)
    of_customer = desk.history(HistoryFilter(customer=_customer(desk, some.customer)), limit=1000)
    assert some in of_customer
    assert {row.customer for row in of_customer} == {some.customer}


def test_history_is_exported_as_it_is_filtered(desk: LocalDesk, tmp_path: Path) -> None:
    operator = desk.history(HistoryFilter(), limit=1)[0].operator
    wanted = HistoryFilter(operator=operator)
    facts, path = desk.history(wanted, limit=10_000), tmp_path / "history.csv"
    assert desk.export_history(wanted, path) == len(facts)
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["iccid"], row["event"], row["tracking_number"]) for row in rows] == [
        (fact.iccid, fact.event, fact.tracking_number) for fact in facts
    ]
    jobs = desk.job_history(HistoryFilter())
    assert desk.export_job_history(HistoryFilter(), tmp_path / "jobs.xlsx") == len(jobs)
    sheet = CalamineWorkbook.from_path(str(tmp_path / "jobs.xlsx")).get_sheet_by_index(0).to_python()
    assert [row[0] for row in sheet[1:]] == [job.tracking_number for job in jobs]
    assert [row[6] for row in sheet[1:]] == [job.counts.total for job in jobs]


def test_a_table_is_exported_with_its_formulas_defused(desk: LocalDesk, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    assert desk.export_table(("What", "n"), [("=1+1", 2), ("fine", 3)], path) == 2
    assert path.read_text("utf-8-sig") == "What,n\n'=1+1,2\nfine,3\n"
    with pytest.raises(RequestRefused):
        desk.export_table(("What",), [], tmp_path / "table.pdf")
    with pytest.raises(Cancelled):
        desk.export_history(HistoryFilter(), tmp_path / "never.csv", lambda: True)
    assert not (tmp_path / "never.csv").exists()


def test_finished_jobs_by_period_operator_and_text(desk: LocalDesk) -> None:
    everything = desk.job_history(HistoryFilter())
    assert {row.tracking_number for row in everything} == {row.tracking_number for row in desk.jobs(JobFilter.FINISHED)}
    finished = [row.finished_at for row in everything if row.finished_at]
    assert finished == sorted(finished, reverse=True)
    middle = finished[3]
    assert len(desk.job_history(HistoryFilter(since=middle))) == 4
    assert len(desk.job_history(HistoryFilter(until=middle))) == len(everything) - 4
    assert desk.job_history(HistoryFilter(text=everything[1].tracking_number)) == (everything[1],)
    first = desk.job_history(HistoryFilter(), limit=3)
    assert first + desk.job_history(HistoryFilter(), limit=1000, before=first[-1].tracking_number) == everything
    assert desk.job_history(HistoryFilter(), before="AJ-19990101-0001") == ()
    of_customer = desk.job_history(HistoryFilter(customer=_customer(desk, everything[0].customer)))
    assert of_customer == tuple(row for row in everything if row.customer == everything[0].customer)
    some = next(order for order in desk.work_orders(everything[0].tracking_number) if order.msisdn)
    assert everything[0] in desk.job_history(HistoryFilter(text=some.iccid))
    assert {row.operator for row in desk.job_history(HistoryFilter(operator=everything[0].operator))} == {
        everything[0].operator
    }


# --- once more -------------------------------------------------------------------------------------------------------


def test_draft_is_the_jobs_request_for_the_devices_that_were_not_done(desk: LocalDesk, demo: Store) -> None:
    with demo.read() as uow:
        request = pick_for_demo_job(uow, 40, 0.2).request
    number = desk.submit(request, desk.check(request).fingerprint, "draft").tracking_number
    rejected = desk.work_orders(number, (WorkOrderState.REJECTED,))
    draft = desk.draft(number.lower())
    assert draft.tracking_number == number
    assert [row.iccid for row in desk.device_rows(draft.packed)] == [row.iccid for row in rejected if row.iccid]
    assert len(draft.packed) // 8 + draft.left_out == len(rejected) == 8
    assert draft.customer == desk.customers(str(request.customer))[0]
    assert {(plan.service_provider, plan.plan) for plan in draft.carrier_rate_plans} >= {
        (plan.service_provider, plan.plan) for plan in request.carrier_rate_plans if plan.service_provider
    }
    assert draft.create_billing_service == request.create_billing_service
    assert (draft.customer_rate_plan, draft.effective_date, draft.reassign, draft.reason) == (
        request.customer_rate_plan,
        request.effective_date,
        request.reassign,
        request.reason,
    )
    assert draft.site in {site.code for site in desk.sites(draft.customer.customer_id)}
    code = next(row.error.code for row in rejected if row.error is not None and row.iccid)
    of_cause = [row.iccid for row in rejected if row.error is not None and row.error.code == code]
    by_cause = desk.draft(number, error_code=code)
    assert [row.iccid for row in desk.device_rows(by_cause.packed)] == [iccid for iccid in of_cause if iccid]
    assert desk.draft(number, (WorkOrderState.SUCCEEDED,)).packed == b""
    with pytest.raises(NotFound):
        desk.draft("AJ-19990101-0001")


def test_a_draft_is_not_given_to_who_may_not_see_the_customer(demo: Store) -> None:
    limited, boss = desk_on(demo, "limited"), desk_on(demo)
    seen = {customer.name for customer in limited.customers("", 1000)}
    hidden = next(row for row in boss.jobs() if row.customer not in seen)
    with pytest.raises(NotFound):
        limited.draft(hidden.tracking_number)

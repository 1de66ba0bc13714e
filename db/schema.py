"""The tables. One schema on SQLite, PostgreSQL and SQL Server; every constraint and index has a name.

Words: an *open* work order is queued, running, waiting for a retry or of unknown outcome. Instants are UTC, effective
dates are calendar dates in the business time zone. ``changed_at`` and ``revision`` feed the desks' change feed.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Unicode,
    UniqueConstraint,
    and_,
    false,
    true,
)

from db.dialects import filtered
from db.types import JsonText, Key, UtcDateTime

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def _id() -> Column[int]:
    return Column("id", Key, Identity(), primary_key=True)


# --- who and what there is -------------------------------------------------------------------------------------------

service_provider = Table(
    "service_provider",
    metadata,
    _id(),
    Column("code", Unicode(40), nullable=False, unique=True),
    Column("name", Unicode(120), nullable=False),
    Column("is_active", Boolean(create_constraint=False), nullable=False, server_default=true()),
)

billing_credential = Table(
    "billing_credential",
    metadata,
    _id(),
    Column("code", Unicode(60), nullable=False, unique=True),
    Column("name", Unicode(120), nullable=False),
    Column("is_default", Boolean(create_constraint=False), nullable=False, server_default=false()),
    Column("is_active", Boolean(create_constraint=False), nullable=False, server_default=true()),
    # {"version": 1,
    #  "providers": {SERVICE_PROVIDER_CODE: {"provider_id": "12", "service_type_id": "3"}},
    #  "plans": {"carrier:PROVIDER:CODE" | "customer:CODE": {"product_id": "101"} | {"package_id": "7"}}}
    Column("mapping", JsonText, nullable=False),
    comment="Which login of which billing company. The secret is in the OS keyring under this code, never here.",
)

rate_plan = Table(
    "rate_plan",
    metadata,
    _id(),
    Column("kind", Unicode(10), nullable=False),
    Column("code", Unicode(60), nullable=False),
    Column("name", Unicode(120), nullable=False),
    Column("service_provider_id", Key, ForeignKey("service_provider.id")),
    # A customer rate plan without a customer is offered to every customer.
    Column("customer_id", Key, ForeignKey("customer.id", use_alter=True)),
    Column("data_limit_bytes", BigInteger),
    Column("data_pool", Unicode(60)),
    Column("is_active", Boolean(create_constraint=False), nullable=False, server_default=true()),
    CheckConstraint("kind IN ('carrier', 'customer')", name="kind"),
)
Index(
    "uq_rate_plan_carrier_code",
    rate_plan.c.service_provider_id,
    rate_plan.c.code,
    unique=True,
    **filtered(rate_plan.c.kind == "carrier"),
)
Index("uq_rate_plan_customer_code", rate_plan.c.code, unique=True, **filtered(rate_plan.c.kind == "customer"))

customer = Table(
    "customer",
    metadata,
    _id(),
    Column("account_number", Unicode(40)),
    Column("name", Unicode(200), nullable=False),
    Column("search_name", Unicode(200), nullable=False),  # case-folded name, for finding by name
    Column("tag", Unicode(80), nullable=False, server_default=""),
    Column("is_active", Boolean(create_constraint=False), nullable=False, server_default=true()),
    Column("starts_on", Date),  # no association before the customer's own start
    Column("contract_until", Date),
    Column("bill_cycle_day", Integer),  # 1..28: the day on which the customer's bill cycle begins
    Column("billing_credential_id", Key, ForeignKey("billing_credential.id")),
    Column("billing_customer_id", Unicode(40)),  # the billing company's own id of this customer
    Column("default_customer_rate_plan_id", Key, ForeignKey("rate_plan.id", use_alter=True)),
    Column("changed_at", UtcDateTime, nullable=False),
    CheckConstraint("bill_cycle_day BETWEEN 1 AND 28", name="bill_cycle_day"),
)
Index(
    "uq_customer_account_number",
    customer.c.account_number,
    unique=True,
    **filtered(customer.c.account_number.is_not(None)),
)
Index("ix_customer_search_name", customer.c.search_name)

site = Table(
    "site",
    metadata,
    _id(),
    Column("customer_id", Key, ForeignKey("customer.id"), nullable=False),
    Column("code", Unicode(40), nullable=False),
    Column("name", Unicode(120), nullable=False),
    Column("is_default", Boolean(create_constraint=False), nullable=False, server_default=false()),
    Column("is_active", Boolean(create_constraint=False), nullable=False, server_default=true()),
    Column("billing_address_id", Unicode(40)),  # the billing company's id of the site's address
    UniqueConstraint("customer_id", "code"),
)
Index("uq_site_default", site.c.customer_id, unique=True, **filtered(site.c.is_default == true()))

device = Table(
    "device",
    metadata,
    _id(),
    Column("service_provider_id", Key, ForeignKey("service_provider.id"), nullable=False),
    Column("iccid", Unicode(20), nullable=False),
    Column("imei", Unicode(16)),
    Column("imei_14", Unicode(14)),  # an IMEI and its IMEISV agree on the first 14 digits
    Column("msisdn", Unicode(20)),  # E.164 digits without the plus
    Column("eid", Unicode(32)),
    Column("name", Unicode(120)),
    Column("status", Unicode(12), nullable=False),
    Column("activated_on", Date),
    Column("is_deleted", Boolean(create_constraint=False), nullable=False, server_default=false()),
    Column("is_archived", Boolean(create_constraint=False), nullable=False, server_default=false()),
    Column("carrier_rate_plan_id", Key, ForeignKey("rate_plan.id")),
    Column("changed_at", UtcDateTime, nullable=False),
    Column("revision", Integer, nullable=False, server_default="1"),
    UniqueConstraint("service_provider_id", "iccid"),
)
Index("ix_device_iccid", device.c.iccid)
Index("ix_device_imei_14", device.c.imei_14)
Index("ix_device_msisdn", device.c.msisdn)
Index("ix_device_eid", device.c.eid)
Index("ix_device_changed_at", device.c.changed_at)

device_ownership = Table(
    "device_ownership",
    metadata,
    _id(),
    Column("device_id", Key, ForeignKey("device.id"), nullable=False),
    Column("customer_id", Key, ForeignKey("customer.id"), nullable=False),
    Column("site_id", Key, ForeignKey("site.id")),
    Column("account_number", Unicode(40)),
    Column("billing_credential_id", Key, ForeignKey("billing_credential.id")),
    # scheduled: begins on a future effective_from; active: stands now; ended: over since effective_to
    Column("state", Unicode(10), nullable=False),
    Column("is_deleted", Boolean(create_constraint=False), nullable=False, server_default=false()),
    Column("effective_from", Date, nullable=False),
    Column("effective_to", Date),  # the first day on which it no longer stands; may lie ahead while it is active
    Column("customer_rate_plan_id", Key, ForeignKey("rate_plan.id")),
    Column("data_limit_bytes", BigInteger),
    Column("data_pool", Unicode(60)),
    Column("work_order_id", Key, ForeignKey("work_order.id", use_alter=True)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    CheckConstraint("state IN ('scheduled', 'active', 'ended')", name="state"),
)
# Two owners of one device must never be: one that stands, and at most one that is to come.
Index(
    "uq_device_ownership_active",
    device_ownership.c.device_id,
    unique=True,
    **filtered(and_(device_ownership.c.state == "active", device_ownership.c.is_deleted == false())),
)
Index(
    "uq_device_ownership_scheduled",
    device_ownership.c.device_id,
    unique=True,
    **filtered(and_(device_ownership.c.state == "scheduled", device_ownership.c.is_deleted == false())),
)
Index("ix_device_ownership_device_id", device_ownership.c.device_id)
Index("ix_device_ownership_customer_id", device_ownership.c.customer_id, device_ownership.c.state)
Index("ix_device_ownership_due", device_ownership.c.effective_from, **filtered(device_ownership.c.state == "scheduled"))

# --- billing ---------------------------------------------------------------------------------------------------------

billing_service = Table(
    "billing_service",
    metadata,
    _id(),
    Column("billing_credential_id", Key, ForeignKey("billing_credential.id"), nullable=False),
    Column("service_id", Unicode(40), nullable=False),  # the billing company's id
    Column("reference", Unicode(60)),  # ours, sent with the POST; none for services made outside the program
    Column("device_id", Key, ForeignKey("device.id"), nullable=False),
    Column("customer_id", Key, ForeignKey("customer.id"), nullable=False),
    Column("number", Unicode(40), nullable=False),
    Column("is_active", Boolean(create_constraint=False), nullable=False, server_default=true()),
    Column("effective_date", Date, nullable=False),
    Column("ended_on", Date),
    Column("work_order_id", Key, ForeignKey("work_order.id", use_alter=True)),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("billing_credential_id", "service_id"),
)
Index(
    "uq_billing_service_reference",
    billing_service.c.reference,
    unique=True,
    **filtered(billing_service.c.reference.is_not(None)),
)
Index("ix_billing_service_device_id", billing_service.c.device_id)

device_service_link = Table(
    "device_service_link",
    metadata,
    _id(),
    Column("device_id", Key, ForeignKey("device.id"), nullable=False),
    Column("billing_service_id", Key, ForeignKey("billing_service.id"), nullable=False),
    Column("linked_at", UtcDateTime, nullable=False),
    Column("closed_at", UtcDateTime),
)
Index(
    "uq_device_service_link_open",
    device_service_link.c.device_id,
    device_service_link.c.billing_service_id,
    unique=True,
    **filtered(device_service_link.c.closed_at.is_(None)),
)

# --- operators -------------------------------------------------------------------------------------------------------

operator = Table(
    "operator",
    metadata,
    _id(),
    Column("login", Unicode(120), nullable=False, unique=True),  # case-folded
    Column("name", Unicode(120), nullable=False),
    Column("is_administrator", Boolean(create_constraint=False), nullable=False, server_default=false()),
    Column("is_active", Boolean(create_constraint=False), nullable=False, server_default=true()),
    Column("created_at", UtcDateTime, nullable=False),
)

operator_grant = Table(
    "operator_grant",
    metadata,
    _id(),
    Column("operator_id", Key, ForeignKey("operator.id"), nullable=False),
    Column("right", Unicode(20), nullable=False, quote=True),  # view, associate, reassign
    Column("customer_id", Key, ForeignKey("customer.id")),  # none: on all customers
    CheckConstraint("\"right\" IN ('view', 'associate', 'reassign')", name="right"),
)
Index("ix_operator_grant_operator_id", operator_grant.c.operator_id)

# --- jobs ------------------------------------------------------------------------------------------------------------

job = Table(
    "job",
    metadata,
    _id(),
    Column("tracking_number", Unicode(24), nullable=False, unique=True),
    Column("submission_key", Unicode(64), nullable=False, unique=True),
    Column("state", Unicode(20), nullable=False),
    Column("pause_cause", Unicode(12)),
    Column("pause_reason", Unicode(400)),
    Column("resume_at", UtcDateTime),  # when a pause that ends by itself is tried again
    Column("resume_attempts", Integer, nullable=False, server_default="0"),
    Column("cancel_requested", Boolean(create_constraint=False), nullable=False, server_default=false()),
    Column("run_no", Integer, nullable=False, server_default="1"),
    # What is common to all its devices; the whole of it, as asked and as resolved, is frozen in `instructions`.
    Column("customer_id", Key, ForeignKey("customer.id"), nullable=False),
    Column("site_id", Key, ForeignKey("site.id")),
    Column("account_number", Unicode(40)),
    Column("billing_credential_id", Key, ForeignKey("billing_credential.id")),
    Column("customer_rate_plan_id", Key, ForeignKey("rate_plan.id")),
    Column("data_limit_bytes", BigInteger),
    Column("data_pool", Unicode(60)),
    Column("operator_id", Key, ForeignKey("operator.id"), nullable=False),
    Column("operator_login", Unicode(120), nullable=False),
    Column("reason", Unicode(400), nullable=False, server_default=""),
    Column("fingerprint", Unicode(64), nullable=False),
    Column("instructions", JsonText, nullable=False),
    # Counters: change last in each transaction and equal the rows.
    Column("total", Integer, nullable=False),
    Column("rejected", Integer, nullable=False, server_default="0"),
    Column("queued", Integer, nullable=False, server_default="0"),
    Column("running", Integer, nullable=False, server_default="0"),
    Column("waiting_retry", Integer, nullable=False, server_default="0"),
    Column("outcome_unknown", Integer, nullable=False, server_default="0"),
    Column("succeeded", Integer, nullable=False, server_default="0"),
    Column("failed", Integer, nullable=False, server_default="0"),
    Column("cancelled", Integer, nullable=False, server_default="0"),
    Column("statistics", JsonText),
    Column("submitted_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("turn_at", UtcDateTime),  # when it last had a turn: fair turns between jobs
    Column("changed_at", UtcDateTime, nullable=False),
    Column("revision", Integer, nullable=False, server_default="1"),
)
Index("ix_job_state", job.c.state, job.c.submitted_at)
Index("ix_job_submitted_at", job.c.submitted_at)
Index("ix_job_changed_at", job.c.changed_at)
Index("ix_job_customer_id", job.c.customer_id)
Index("ix_job_finished_at", job.c.finished_at)
Index("ix_job_operator_login", job.c.operator_login, job.c.finished_at)
#: Jobs that are not over.
OPEN_JOBS = ("queued", "running", "paused", "finishing")
Index("ix_job_open", job.c.state, **filtered(job.c.state.in_(OPEN_JOBS)))

_OPEN = ("queued", "running", "waiting_retry", "outcome_unknown")

work_order = Table(
    "work_order",
    metadata,
    _id(),
    Column("job_id", Key, ForeignKey("job.id"), nullable=False),
    Column("line", Integer, nullable=False),
    Column("asked_for", Unicode(64), nullable=False),
    Column("device_id", Key, ForeignKey("device.id")),  # none where no device was found
    Column("state", Unicode(20), nullable=False),
    # What was known of the device when it was built; `before` holds what an undo would need.
    Column("service_provider_id", Key, ForeignKey("service_provider.id")),
    Column("iccid", Unicode(20), nullable=False, server_default=""),
    Column("imei", Unicode(16)),
    Column("msisdn", Unicode(20)),
    Column("eid", Unicode(32)),
    Column("effective_date", Date),
    Column("ownership_action", Unicode(10)),
    Column("prior_ownership_id", Key, ForeignKey("device_ownership.id")),
    Column("carrier_rate_plan_id", Key, ForeignKey("rate_plan.id")),  # to be added; none: not asked for
    Column("billing_action", Unicode(10)),
    Column("billing_service_id", Key, ForeignKey("billing_service.id")),  # kept from before, or made by this one
    Column("reference", Unicode(60)),  # of its POSTs, made by us; none where nothing is posted
    Column("before", JsonText),
    # How the work stands.
    Column("engine_id", Unicode(36)),  # who holds the lease
    Column("lease_epoch", Integer, nullable=False, server_default="0"),  # grows with each claim; every write carries it
    Column("lease_until", UtcDateTime),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_attempt_at", UtcDateTime),
    Column("check_at", UtcDateTime),  # outcome_unknown: when billing is asked; none: a person decides
    Column("commit_token", Unicode(36)),  # stamped by the compare-and-set of the batch that applied its effects
    Column("error_kind", Unicode(12)),
    Column("error_code", Unicode(60)),
    Column("error_message", Unicode(400)),
    Column("what_to_do", Unicode(400)),
    Column("billing_answer", Unicode(400)),
    Column("started_at", UtcDateTime),
    Column("completed_at", UtcDateTime),
    Column("changed_at", UtcDateTime, nullable=False),
    Column("revision", Integer, nullable=False, server_default="1"),
    UniqueConstraint("job_id", "line"),
)
Index(
    "uq_work_order_open_device",
    work_order.c.device_id,
    unique=True,
    # `IS NOT NULL`: SQL Server lets a unique index hold one NULL only.
    **filtered(and_(work_order.c.device_id.is_not(None), work_order.c.state.in_(_OPEN))),
)
Index("ix_work_order_job_state", work_order.c.job_id, work_order.c.state, work_order.c.line)
Index("ix_work_order_device_id", work_order.c.device_id)
Index("ix_work_order_lease", work_order.c.lease_until, **filtered(work_order.c.state == "running"))
Index(
    "ix_work_order_retry",
    work_order.c.job_id,
    work_order.c.next_attempt_at,
    **filtered(work_order.c.state == "waiting_retry"),
)
Index(
    "ix_work_order_check",
    work_order.c.job_id,
    work_order.c.check_at,
    **filtered(work_order.c.state == "outcome_unknown"),
)
Index("ix_work_order_commit_token", work_order.c.commit_token, **filtered(work_order.c.commit_token.is_not(None)))

work_order_step = Table(
    "work_order_step",
    metadata,
    Column("work_order_id", Key, ForeignKey("work_order.id"), nullable=False),
    Column("step", Unicode(24), nullable=False),
    Column("state", Unicode(16), nullable=False),
    Column("reference", Unicode(60)),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("lease_epoch", Integer, nullable=False, server_default="0"),
    Column("intent_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("http_status", Integer),
    Column("billing_id", Unicode(40)),  # what billing calls what the step made
    Column("answer", Unicode(400)),
    PrimaryKeyConstraint("work_order_id", "step"),
)

job_log = Table(
    "job_log",
    metadata,
    _id(),
    Column("job_id", Key, ForeignKey("job.id"), nullable=False),
    Column("run_no", Integer, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("level", Unicode(10), nullable=False),
    Column("event", Unicode(40), nullable=False),
    Column("message", Unicode(400), nullable=False),
    Column("data", JsonText),
)
Index("ix_job_log_job_id", job_log.c.job_id)

# --- the record ------------------------------------------------------------------------------------------------------

device_history = Table(
    "device_history",
    metadata,
    _id(),
    Column("device_id", Key, ForeignKey("device.id"), nullable=False),
    Column("customer_id", Key, ForeignKey("customer.id")),
    Column("job_id", Key, ForeignKey("job.id")),
    Column("work_order_id", Key, ForeignKey("work_order.id")),
    Column("at", UtcDateTime, nullable=False),
    # assigned, kept, moved, reassigned, scheduled, ended, billing_service_created, billing_service_kept,
    # billing_service_ended, carrier_plan_changed, customer_plan_changed, plan_change_scheduled, plan_change_applied,
    # plan_change_dropped, failed
    Column("event", Unicode(32), nullable=False),
    Column("detail", Unicode(400), nullable=False, server_default=""),
    Column("effective_date", Date),
    Column("operator_login", Unicode(120), nullable=False),
    Column("reason", Unicode(400), nullable=False, server_default=""),
    Column("is_complete", Boolean(create_constraint=False), nullable=False, server_default=false()),
)
Index("ix_device_history_device_id", device_history.c.device_id, device_history.c.at)
Index("ix_device_history_job_id", device_history.c.job_id, device_history.c.at)
Index("ix_device_history_customer_id", device_history.c.customer_id, device_history.c.at)
Index("ix_device_history_operator_login", device_history.c.operator_login, device_history.c.at)
Index("ix_device_history_work_order_id", device_history.c.work_order_id)
Index("ix_device_history_at", device_history.c.at)

cross_provider_device_history = Table(
    "cross_provider_device_history",
    metadata,
    _id(),
    Column("device_history_id", Key, ForeignKey("device_history.id"), nullable=False),
    Column("device_id", Key, ForeignKey("device.id"), nullable=False),  # the same SIM on another service provider
    Column("matched_by", Unicode(5), nullable=False),  # iccid, eid
    Column("recorded_at", UtcDateTime, nullable=False),
    UniqueConstraint("device_history_id", "device_id"),
)
Index("ix_cross_provider_device_history_device_id", cross_provider_device_history.c.device_id)

scheduled_plan_change = Table(
    "scheduled_plan_change",
    metadata,
    _id(),
    Column("device_id", Key, ForeignKey("device.id"), nullable=False),
    Column("device_ownership_id", Key, ForeignKey("device_ownership.id"), nullable=False),  # applies to this one only
    Column("kind", Unicode(10), nullable=False),  # carrier, customer
    Column("rate_plan_id", Key, ForeignKey("rate_plan.id"), nullable=False),
    Column("data_limit_bytes", BigInteger),
    Column("data_pool", Unicode(60)),
    Column("due_on", Date, nullable=False),
    Column("state", Unicode(10), nullable=False),  # pending, applied, cancelled
    Column("work_order_id", Key, ForeignKey("work_order.id")),
    Column("created_at", UtcDateTime, nullable=False),
    Column("settled_at", UtcDateTime),
    CheckConstraint("kind IN ('carrier', 'customer')", name="kind"),
    CheckConstraint("state IN ('pending', 'applied', 'cancelled')", name="state"),
)
Index(
    "ix_scheduled_plan_change_due",
    scheduled_plan_change.c.due_on,
    **filtered(scheduled_plan_change.c.state == "pending"),
)
Index("ix_scheduled_plan_change_device_id", scheduled_plan_change.c.device_id)
Index("ix_scheduled_plan_change_ownership_id", scheduled_plan_change.c.device_ownership_id)

outbox_event = Table(
    "outbox_event",
    metadata,
    _id(),
    Column("event_id", Unicode(60), nullable=False, unique=True),  # tracking number and run number
    Column("job_id", Key, ForeignKey("job.id"), nullable=False),
    Column("run_no", Integer, nullable=False),
    Column("payload", JsonText, nullable=False),
    Column("state", Unicode(10), nullable=False),  # pending, sent, dead
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_attempt_at", UtcDateTime),
    Column("claimed_until", UtcDateTime),
    Column("last_error", Unicode(400)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("sent_at", UtcDateTime),
)
Index("ix_outbox_event_due", outbox_event.c.next_attempt_at, **filtered(outbox_event.c.state == "pending"))

audit_entry = Table(
    "audit_entry",
    metadata,
    _id(),
    Column("at", UtcDateTime, nullable=False),
    Column("operator_login", Unicode(120), nullable=False),  # on whose rights
    Column("acting_login", Unicode(120), nullable=False),  # who sat at the desk
    Column("action", Unicode(40), nullable=False),
    Column("subject", Unicode(120), nullable=False),
    Column("detail", JsonText),
)
Index("ix_audit_entry_at", audit_entry.c.at)

# --- engines and what they agree on ----------------------------------------------------------------------------------

engine = Table(
    "engine",
    metadata,
    Column("id", Unicode(36), nullable=False),
    Column("host", Unicode(120), nullable=False),
    Column("process_id", Integer, nullable=False),
    Column("kind", Unicode(20), nullable=False),  # desktop, work, wait
    Column("started_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("stopped_at", UtcDateTime),
    PrimaryKeyConstraint("id"),
)

quota_window = Table(
    "quota_window",
    metadata,
    Column("billing_credential_id", Key, ForeignKey("billing_credential.id"), nullable=False),
    Column("span", Unicode(6), nullable=False),  # minute, day
    Column("starts_at", UtcDateTime, nullable=False),
    Column("used", Integer, nullable=False),
    PrimaryKeyConstraint("billing_credential_id", "span", "starts_at"),
)

installation_setting = Table(
    "installation_setting",
    metadata,
    Column("name", Unicode(60), nullable=False),
    Column("value", Unicode(400), nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("name"),
    comment="What all engines of one database must agree on.",
)

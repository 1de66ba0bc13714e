"""The request: customer, site, service provider, options with their plans, effective date, reassign, reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date

from PySide6.QtCore import QDate, Qt, Signal
from PySide6.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLineEdit,
    QRadioButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from desktop_app.association.model import (
    AssociationRequest,
    CarrierPlanChoice,
    PickedDevices,
    PlanKind,
)
from desktop_app.desk.protocol import CustomerRow, RatePlanRow, RequestDraft, ServiceProviderRow, SiteRow
from desktop_app.ui import words
from desktop_app.ui.context import Context
from desktop_app.ui.widgets.combo import combo_box, date_edit
from desktop_app.ui.widgets.labels import field_label, label
from desktop_app.ui.widgets.search_combo import Choice, SearchCombo

REASON_LENGTH = 400
CUSTOMERS_SHOWN = 50
_TAB, _NO_TAB = Qt.FocusPolicy.StrongFocus, Qt.FocusPolicy.ClickFocus
#: What stands for "none of them" in a combo box of plans.
NO_PLAN = ""


class RequestPanel(QWidget):
    """The fields of an association request but for its devices; they are made by :meth:`build`.

    Signals:
        changed(): the request is another one.
        providers_known(dict): names of the service providers by code.
    """

    changed = Signal()
    providers_known = Signal(object)

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("requestPanel")
        self._context = context
        self._customer: CustomerRow | None = None
        self._providers: tuple[ServiceProviderRow, ...] = ()
        self._in_selection: Mapping[str, int] = {}
        self._draft: RequestDraft | None = None  # whose site and plan are chosen when the customer's are there
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(4)

    # --- building -----------------------------------------------------------------------------------------------------

    def build(self) -> Iterator[None]:
        """Fills the panel in parts; see :meth:`desktop_app.ui.pages.page.Page.build`."""
        for part in (self._build_customer, self._build_options, self._build_date, self._build_reason):
            part()
            yield
        self._load_providers()
        self._search_customers("")

    def _build_customer(self) -> None:
        self.customer_combo = SearchCombo(
            self,
            placeholder=self.tr("Type a name, account no. or tag…"),
            accessible=self.tr("Customer"),
            name="customerCombo",
        )
        self.customer_combo.searched.connect(self._search_customers)
        self.customer_combo.chosen.connect(self._customer_chosen)
        self._facts = label(self.tr("Required"), "small", wrap=True)
        self._column.addWidget(field_label(self.tr("&Customer"), self.customer_combo))
        self._column.addWidget(self.customer_combo)
        self._column.addWidget(self._facts)
        self._column.addSpacing(4)

        self.site_combo = combo_box("siteCombo")
        self.site_combo.setPlaceholderText(self.tr("Default site"))
        self.site_combo.setEnabled(False)
        self.provider_combo = combo_box("serviceProviderCombo")
        self.provider_combo.addItem(self.tr("Each device’s own"), None)
        grid = QGridLayout()
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(4)
        self._column.addLayout(grid)
        for place, (text, combo) in enumerate(
            ((self.tr("&Site"), self.site_combo), (self.tr("Service &provider"), self.provider_combo))
        ):
            grid.setColumnStretch(place, 1)
            grid.addWidget(field_label(text, combo), 0, place)
            grid.addWidget(combo, 1, place)
        self.site_combo.currentIndexChanged.connect(self.changed)
        self.provider_combo.currentIndexChanged.connect(self._provider_chosen)
        self._column.addSpacing(4)

    def _build_options(self) -> None:
        self._column.addWidget(label(self.tr("Options"), "heading"))
        self.billing_check = _check(self.tr("Create billing ser&vice"), "createBillingServiceCheck")
        self.carrier_check = _check(self.tr("Add carrier &rate plan"), "addCarrierRatePlanCheck")
        self.customer_check = _check(self.tr("Add c&ustomer rate plan"), "addCustomerRatePlanCheck")
        self._carrier_plans = _CarrierPlans(self._context)
        self._carrier_plans.changed.connect(self.changed)
        self.customer_plan_combo = combo_box("customerRatePlanCombo")
        self.customer_plan_combo.setAccessibleName(self.tr("Customer rate plan"))
        self.customer_plan_combo.setPlaceholderText(self.tr("Choose a customer first"))
        self.customer_plan_combo.currentIndexChanged.connect(self.changed)
        self._customer_plan = QWidget()
        inside = QVBoxLayout(self._customer_plan)
        inside.setContentsMargins(26, 0, 0, 4)
        inside.addWidget(self.customer_plan_combo)
        options = QVBoxLayout()
        options.setSpacing(2)
        self._column.addLayout(options)
        for part in (
            self.billing_check,
            self.carrier_check,
            self._carrier_plans,
            self.customer_check,
            self._customer_plan,
        ):
            options.addWidget(part)
        self._carrier_plans.tab_between(self.carrier_check, self.customer_check)
        self._carrier_plans.hide()
        self._customer_plan.hide()
        self.billing_check.toggled.connect(self.changed)
        self.carrier_check.toggled.connect(self._carrier_toggled)
        self.customer_check.toggled.connect(self._customer_plan_toggled)
        self._column.addSpacing(4)

    def _build_date(self) -> None:
        self._column.addWidget(label(self.tr("Effective date"), "heading"))
        self.on_date_radio = QRadioButton(self.tr("On a &date"))
        self.on_date_radio.setObjectName("effectiveOnDateRadio")
        self.on_activation_radio = QRadioButton(self.tr("On each device’s &activation date"))
        self.on_activation_radio.setObjectName("effectiveOnActivationRadio")
        for radio in (self.on_date_radio, self.on_activation_radio):
            radio.setAccessibleName(f"{self.tr('Effective date')}: {radio.text().replace('&', '')}")
            # Tab reaches the one that is on, arrows the other
            radio.toggled.connect(lambda on, radio=radio: radio.setFocusPolicy(_TAB if on else _NO_TAB))
            radio.setFocusPolicy(_NO_TAB)
        both = QButtonGroup(self)
        both.addButton(self.on_date_radio)
        both.addButton(self.on_activation_radio)
        self.on_activation_radio.setChecked(True)
        today = self._context.capabilities.today
        self.date_edit = date_edit("effectiveDateEdit", self.tr("Effective date"))
        self.date_edit.setDate(QDate(today.year, today.month, today.day))
        self.date_edit.setEnabled(False)
        self.date_edit.setFixedSize(150, 30)
        both_rows = QVBoxLayout()
        both_rows.setSpacing(2)
        self._column.addLayout(both_rows)
        row = QHBoxLayout()
        row.setSpacing(8)
        both_rows.addLayout(row)
        row.addWidget(self.on_date_radio)
        row.addWidget(self.date_edit)
        row.addStretch(1)
        both_rows.addWidget(self.on_activation_radio)
        self.on_date_radio.toggled.connect(self.date_edit.setEnabled)
        self.on_date_radio.toggled.connect(self.changed)
        self.date_edit.dateChanged.connect(self.changed)
        self._column.addSpacing(4)

    def _build_reason(self) -> None:
        self.reassign_check = _check(self.tr("Take devices &over from other customers"), "reassignCheck")
        may = self._context.capabilities.may_reassign
        self.reassign_check.setEnabled(may)
        if not may:
            self.reassign_check.setToolTip(self.tr("You have no right to reassign devices."))
        self.reassign_check.toggled.connect(self.changed)
        self._column.addWidget(self.reassign_check)
        self.reason_edit = QLineEdit()
        self.reason_edit.setObjectName("reasonEdit")
        self.reason_edit.setMaxLength(REASON_LENGTH)
        self.reason_edit.setPlaceholderText(self.tr("Optional, kept in the history"))
        self.reason_edit.textChanged.connect(self.changed)
        self._column.addWidget(field_label(self.tr("Reaso&n"), self.reason_edit))
        self._column.addWidget(self.reason_edit)

    # --- what others call ---------------------------------------------------------------------------------------------

    @property
    def customer(self) -> CustomerRow | None:
        """The customer that is chosen."""
        return self._customer

    @property
    def service_provider(self) -> str | None:
        """Code of the service provider that is chosen, None: each device's own."""
        code = self.provider_combo.currentData()
        return code if isinstance(code, str) else None

    def show_providers(self, in_selection: Mapping[str, int]) -> None:
        """How many of the selected devices live on each service provider: a row of plans for each."""
        self._in_selection = dict(in_selection)
        self._show_plan_rows()

    def choose_customer(self, row: CustomerRow) -> None:
        """Chooses a customer, as if it had been picked in the box."""
        self.customer_combo.choose(_choice(row))

    def fill_in(self, draft: RequestDraft) -> None:
        """Fills in everything but the devices. What there is no longer (a site, a plan) is left to be chosen."""
        self._draft = draft
        row = draft.customer
        self.customer_combo.choose(_choice(row))
        self.provider_combo.setCurrentIndex(max(0, self.provider_combo.findData(draft.service_provider)))
        self._carrier_plans.fill_in(draft.carrier_rate_plans)
        self.billing_check.setChecked(draft.create_billing_service)
        self.carrier_check.setChecked(bool(draft.carrier_rate_plans))
        self.customer_check.setChecked(draft.customer_rate_plan is not None)
        chosen = draft.effective_date
        if chosen is not None:
            self.date_edit.setDate(QDate(chosen.year, chosen.month, chosen.day))
        (self.on_activation_radio if chosen is None else self.on_date_radio).setChecked(True)
        self.reassign_check.setChecked(draft.reassign and self.reassign_check.isEnabled())
        self.reason_edit.setText(draft.reason)

    def missing(self) -> str:
        """What an option still needs, as a sentence; "" if nothing."""
        if self.carrier_check.isChecked() and (name := self._carrier_plans.missing()):
            return self.tr("Choose the carrier rate plan for {provider}").format(provider=name)
        if self.customer_check.isChecked() and self.customer_plan_combo.currentData() is None:
            return self.tr("Choose the customer rate plan")
        return ""

    def request(self, packed: bytes) -> AssociationRequest | None:
        """The request for these devices; None while something is missing."""
        if self._customer is None or self.missing():
            return None
        chosen = self.date_edit.date()
        return AssociationRequest(
            devices=PickedDevices(packed),
            customer=self._customer.customer_id,
            site=self.site_combo.currentData(),
            service_provider=self.service_provider,
            create_billing_service=self.billing_check.isChecked(),
            carrier_rate_plans=self._carrier_plans.choices() if self.carrier_check.isChecked() else (),
            customer_rate_plan=self.customer_plan_combo.currentData() if self.customer_check.isChecked() else None,
            effective_date=date(chosen.year(), chosen.month(), chosen.day())
            if self.on_date_radio.isChecked()
            else None,
            reassign=self.reassign_check.isChecked(),
            reason=self.reason_edit.text().strip(),
        )

    # --- customer -----------------------------------------------------------------------------------------------------

    def _search_customers(self, text: str) -> None:
        desk = self._context.desk
        self._context.background.run(
            lambda cancel: desk.customers(text, CUSTOMERS_SHOWN),
            done=lambda rows: self._customers_found(text, rows),
            failed=self._context.complain,
            key="customers",
            owner=self,
        )

    def _customers_found(self, text: str, rows: Sequence[CustomerRow]) -> None:
        choices = [_choice(row) for row in rows]
        self.customer_combo.show_choices(text, choices)
        if not rows and text and self._customer is None:
            self._show_facts(self.tr("No customer matches “{text}”.").format(text=text), "warn")
        elif self._customer is None:
            self._show_facts(self.tr("Required"), "small")

    def _customer_chosen(self, choice: Choice | None) -> None:
        row = choice.key if choice is not None else None
        self._customer = row if isinstance(row, CustomerRow) else None
        if self._draft is not None and self._draft.customer is not self._customer:
            self._draft = None
        self.site_combo.clear()
        self.site_combo.setEnabled(False)
        self.customer_plan_combo.clear()
        self.customer_plan_combo.setPlaceholderText(self.tr("Choose a customer first"))
        if self._customer is None:
            self._show_facts(self.tr("Required"), "small")
        else:
            self._show_facts(self._facts_of(self._customer), "small" if self._customer.is_active else "warn")
            self._load_sites(self._customer)
            self._load_customer_plans(self._customer)
        self.changed.emit()

    def _facts_of(self, row: CustomerRow) -> str:
        facts = [self.tr("Account {number}").format(number=row.account_number or "–"), words.devices(row.devices)]
        if row.contract_until is not None:
            facts.append(self.tr("contract until {date}").format(date=words.day(row.contract_until)))
        if not row.is_active:
            facts.append(self.tr("not active"))
        return " · ".join(facts)

    def _show_facts(self, text: str, kind: str) -> None:
        self._facts.setText(text)
        if self._facts.property("kind") != kind:
            self._facts.setProperty("kind", kind)
            self._facts.style().unpolish(self._facts)
            self._facts.style().polish(self._facts)

    def _load_sites(self, customer: CustomerRow) -> None:
        desk = self._context.desk
        self._context.background.run(
            lambda cancel: desk.sites(customer.customer_id),
            done=lambda rows: self._sites_found(customer, rows),
            failed=self._context.complain,
            key="sites",
            owner=self,
        )

    def _sites_found(self, customer: CustomerRow, rows: Sequence[SiteRow]) -> None:
        if customer is not self._customer:
            return
        self.site_combo.clear()
        for row in rows:
            self.site_combo.addItem(row.name, row.code)
            if row.is_default:
                tip = self.tr("The customer’s default site")
                self.site_combo.setItemData(self.site_combo.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.site_combo.setPlaceholderText(self.tr("Default site") if rows else self.tr("No site"))
        self.site_combo.setEnabled(len(rows) > 0)
        asked = self.site_combo.findData(self._draft.site) if self._draft is not None else -1
        self.site_combo.setCurrentIndex(max(asked, 0) if rows else -1)

    # --- providers and plans ------------------------------------------------------------------------------------------

    def _load_providers(self) -> None:
        desk = self._context.desk
        self._context.background.run(
            lambda cancel: desk.service_providers(),
            done=self._providers_found,
            failed=self._context.complain,
            key="service_providers",
            owner=self,
        )

    def _providers_found(self, rows: tuple[ServiceProviderRow, ...]) -> None:
        self._providers = rows
        self._context.provider_names.update({row.code: row.name for row in rows})
        self.providers_known.emit(self._context.provider_names)
        for row in rows:
            self.provider_combo.addItem(row.name, row.code)
        self._show_plan_rows()

    def _provider_chosen(self) -> None:
        self._show_plan_rows()
        self.changed.emit()

    def _carrier_toggled(self, on: bool) -> None:
        self._carrier_plans.setVisible(on)
        self._show_plan_rows()
        self.changed.emit()

    def _show_plan_rows(self) -> None:
        names = {row.code: row.name for row in self._providers}
        if self.service_provider is not None:
            rows = {self.service_provider: self._in_selection.get(self.service_provider, 0)}
        else:
            rows = dict(self._in_selection)
        self._carrier_plans.show_rows({code: (names.get(code, code), count) for code, count in rows.items()})

    def _customer_plan_toggled(self, on: bool) -> None:
        self._customer_plan.setVisible(on)
        self.changed.emit()

    def _load_customer_plans(self, customer: CustomerRow) -> None:
        desk = self._context.desk
        self._context.background.run(
            lambda cancel: desk.rate_plans(PlanKind.CUSTOMER, customer=customer.customer_id),
            done=lambda rows: self._customer_plans_found(customer, rows),
            failed=self._context.complain,
            key="customer_plans",
            owner=self,
        )

    def _customer_plans_found(self, customer: CustomerRow, rows: Sequence[RatePlanRow]) -> None:
        if customer is not self._customer:
            return
        self.customer_plan_combo.clear()
        for row in rows:
            limit = words.data_size(row.data_limit_bytes)
            self.customer_plan_combo.addItem(f"{row.name} · {limit}" if limit else row.name, row.code)
        self.customer_plan_combo.setPlaceholderText(
            self.tr("Choose a plan…") if rows else self.tr("This customer has no plans")
        )
        self.customer_plan_combo.setEnabled(bool(rows))
        asked = self._draft.customer_rate_plan if self._draft is not None else None
        plan = asked or customer.default_customer_rate_plan
        self.customer_plan_combo.setCurrentIndex(self.customer_plan_combo.findData(plan))


class _CarrierPlans(QWidget):
    """One combo box of plans for each service provider in the selection. Choices are remembered by provider.

    Signals:
        changed(): another plan is chosen.
    """

    changed = Signal()

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self._plans: dict[str, tuple[RatePlanRow, ...]] = {}
        self._chosen: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._combos: dict[str, QComboBox] = {}
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(26, 0, 0, 4)
        self._column.setSpacing(4)
        self._wanted: dict[str, tuple[str, int]] = {}
        self._tab_neighbours: tuple[QWidget, QWidget] | None = None
        self._build()

    def show_rows(self, wanted: dict[str, tuple[str, int]]) -> None:
        """A row for each provider code, with its name and its number of devices."""
        if wanted == self._wanted:
            return
        self._wanted = wanted
        for code in wanted:
            if code not in self._plans:
                self._load(code)
        self._build()

    def fill_in(self, choices: Sequence[CarrierPlanChoice]) -> None:
        """Chooses these plans, and no others."""
        self._chosen = {choice.service_provider: choice.plan for choice in choices if choice.service_provider}
        for code in self._combos:
            self._fill(code)

    def tab_between(self, before: QWidget, after: QWidget) -> None:
        """Puts its boxes between these two in the order of Tab, now and whenever they change."""
        self._tab_neighbours = (before, after)
        self._order_tabs()

    def _order_tabs(self) -> None:
        if self._tab_neighbours is None:
            return
        before, after = self._tab_neighbours
        for combo in (*self._combos.values(), after):
            QWidget.setTabOrder(before, combo)
            before = combo

    def missing(self) -> str:
        """Name of a provider whose plan is not decided yet; "" if none."""
        for code, name in self._names.items():
            if code not in self._chosen:
                return name
        return "" if self._names else self.tr("the selected devices")

    def choices(self) -> tuple[CarrierPlanChoice, ...]:
        """The plans that are chosen."""
        return tuple(
            CarrierPlanChoice(self._chosen[code], code)
            for code in self._names
            if self._chosen.get(code, NO_PLAN) != NO_PLAN
        )

    def _load(self, code: str) -> None:
        desk = self._context.desk

        def done(rows: tuple[RatePlanRow, ...]) -> None:
            self._plans[code] = rows
            if self._chosen.get(code, NO_PLAN) not in {NO_PLAN, *(row.code for row in rows)}:
                del self._chosen[code]  # it was filled in, and there is no such plan any more
                self.changed.emit()
            if code in self._combos:
                self._fill(code)

        self._context.background.run(
            lambda cancel: desk.rate_plans(PlanKind.CARRIER, service_provider=code),
            done=done,
            failed=self._context.complain,
            key=f"carrier_plans/{code}",
            owner=self,
        )

    def _build(self) -> None:
        had_focus = next((code for code, combo in self._combos.items() if combo.hasFocus()), None)
        while (item := self._column.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.setObjectName("")  # it lives on until the event loop turns; its name belongs to the new one
                widget.deleteLater()
        self._combos.clear()
        self._names = {code: name for code, (name, _) in self._wanted.items()}
        if not self._wanted:
            empty = combo_box("carrierRatePlanCombo")
            empty.setPlaceholderText(self.tr("Select devices first"))
            empty.setAccessibleName(self.tr("Carrier rate plan"))
            empty.setEnabled(False)
            self._column.addWidget(empty)
            return
        for place, (code, (name, count)) in enumerate(self._wanted.items()):
            combo = combo_box("carrierRatePlanCombo" if place == 0 else f"carrierRatePlanCombo_{code}")
            combo.setAccessibleName(self.tr("Carrier rate plan for {provider}").format(provider=name))
            combo.setPlaceholderText(self.tr("Choose a plan…"))
            if len(self._wanted) > 1:
                self._column.addWidget(label(f"{name} · {words.devices(count)}", "small"))
            self._column.addWidget(combo)
            self._combos[code] = combo
            self._fill(code)
            combo.currentIndexChanged.connect(lambda _, code=code: self._pick(code))
        self._order_tabs()
        if had_focus in self._combos:
            self._combos[had_focus].setFocus()

    def _fill(self, code: str) -> None:
        combo = self._combos[code]
        was_blocked = combo.blockSignals(True)
        combo.clear()
        plans = self._plans.get(code)
        for plan in plans or ():
            combo.addItem(plan.name, plan.code)
        if plans is not None and (len(self._wanted) > 1 or not plans):
            combo.addItem(self.tr("No carrier rate plan"), NO_PLAN)
        combo.setCurrentIndex(combo.findData(self._chosen[code]) if code in self._chosen else -1)
        combo.blockSignals(was_blocked)

    def _pick(self, code: str) -> None:
        chosen = self._combos[code].currentData()
        if isinstance(chosen, str):
            self._chosen[code] = chosen
        else:
            self._chosen.pop(code, None)
        self.changed.emit()


def _choice(row: CustomerRow) -> Choice:
    return Choice(row, row.name, row.account_number, row.tag)


def _check(text: str, name: str) -> QCheckBox:
    check = QCheckBox(text)
    check.setObjectName(name)
    check.setAccessibleName(text.replace("&", ""))
    check.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
    check.setCursor(Qt.CursorShape.PointingHandCursor)
    return check

//! Invoices, previews, and the intervals behind each line.

use super::{
    Api, Shared,
    common::{Answer, find},
    extract::{Id, Input, Params, Who},
    once::create,
    page::{Listed, Listing, Paging, Shown, list_with, show},
    problem::Problem,
    reach::{Reach, key},
    reply,
};
use axum::{extract::State, http::HeaderMap};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use sutler_actors::Caller;
use sutler_model::{
    BillingEntityId, Currency, CustomerId, Evidence, Interval, Invoice, InvoiceCharge, InvoiceId, InvoiceLine, Meter,
    Nanos, Permission, RunId, Timestamp, Transaction, TransactionId, TransactionState,
};
use sutler_store::{Field, Filter, Snapshot};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

/// The routes of this noun.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list_invoices))
        .routes(routes!(show_invoice))
        .routes(routes!(preview_invoice))
        .routes(routes!(create_invoice))
        .routes(routes!(list_usage))
}

/// Filters of the list of invoices.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct InvoiceFilter {
    /// To this customer.
    customer_id: Option<CustomerId>,
    /// From this seller.
    billing_entity_id: Option<BillingEntityId>,
}

/// An invoice, or a preview of one.
#[derive(Serialize, ToSchema)]
pub struct InvoiceView {
    /// Its id; null on a preview.
    id: Option<InvoiceId>,
    /// Always 1: invoices are never edited.
    version: u64,
    /// The seller's gap-free number; null on a preview.
    number: Option<u64>,
    /// Who sells.
    billing_entity_id: BillingEntityId,
    /// Who owes.
    customer_id: CustomerId,
    /// First moment covered.
    from: Timestamp,
    /// First moment no longer covered.
    to: Timestamp,
    /// What the amounts are in.
    currency: Currency,
    /// One line for each resource and meter; left out of lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<Vec<InvoiceLineView>>,
    /// What billing methods of scripts charged; left out of lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    charges: Option<Vec<InvoiceChargeView>>,
    /// Sum of the lines and charges.
    #[schema(example = "12.30")]
    total: String,
    /// What comes on top; null where no tax was computed.
    tax: Option<TaxView>,
    /// What is to be paid: the total and its tax.
    #[schema(example = "14.64")]
    due: String,
    /// Whether it is paid; null on a preview.
    status: Option<InvoiceStatus>,
    /// When it was paid.
    paid_at: Option<Timestamp>,
    /// The payment that it has or may still get.
    transaction_id: Option<TransactionId>,
    /// When it was closed or previewed.
    issued_at: Timestamp,
}

/// What a billing method of a script charged.
#[derive(Serialize, ToSchema)]
pub struct InvoiceChargeView {
    /// For which resource.
    resource_id: Uuid,
    /// Its name then.
    resource_name: String,
    /// The plan's component.
    component: String,
    /// The method's words.
    description: String,
    /// Units taken, where it charged in units.
    units: Option<Nanos>,
    /// What one unit cost.
    unit_price: Nanos,
    /// Rounded once, to the currency's places; negative: given back.
    #[schema(example = "0.24")]
    amount: String,
    /// The run that charged; it shows what the method was told and said.
    run_id: RunId,
    /// What was measured of the resource in the period.
    measurements_url: String,
    /// What tells by its intervals when the resource was there, or was used; null for a customer.
    meter: Option<Meter>,
    /// Where these intervals are.
    intervals_url: Option<String>,
}

/// Tax on an invoice.
#[derive(Serialize, ToSchema)]
pub struct TaxView {
    /// Per cent of the total; null when an amount alone was set.
    rate: Option<Nanos>,
    /// Rounded once, to the currency's places.
    #[schema(example = "2.34")]
    amount: String,
}

/// Whether an invoice is paid.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InvoiceStatus {
    /// It is not.
    Unpaid,
    /// A payment of it is under way.
    Paying,
    /// It is, or nothing was to be paid.
    Paid,
}

/// What one resource used of one thing.
#[derive(Serialize, ToSchema)]
pub struct InvoiceLineView {
    /// The server or disk.
    resource_id: Uuid,
    /// Its name.
    resource_name: String,
    /// What was counted.
    meter: Meter,
    /// How many intervals stand behind the line.
    intervals: u64,
    /// Milliseconds in use in the period.
    used_ms: i64,
    /// Sum over the intervals of counted units × milliseconds; text, for it may not fit a double.
    #[schema(example = "86400000")]
    unit_ms: String,
    /// What one counts in: `vCPU-hour`, `GiB-hour`.
    unit: &'static str,
    /// Price of one unit.
    unit_price: Nanos,
    /// Rounded once, to the currency's places.
    #[schema(example = "0.24")]
    amount: String,
    /// Where the intervals behind the line are.
    intervals_url: String,
}

impl InvoiceView {
    fn of(invoice: Invoice, payment: Option<Transaction>) -> Self {
        let places = invoice.currency.places();
        let due = invoice.due().unwrap_or(invoice.total);
        let status = match &payment {
            _ if due <= Nanos::ZERO => InvoiceStatus::Paid,
            Some(paid) if paid.state == TransactionState::Success => InvoiceStatus::Paid,
            Some(_) => InvoiceStatus::Paying,
            None => InvoiceStatus::Unpaid,
        };
        let (customer, from, to) = (invoice.customer_id, invoice.from, invoice.to);
        let intervals = |resource: Uuid, meter: Meter| {
            let meter = meter.name();
            format!("/api/v1/customers/{customer}/usage?from={from}&to={to}&resource={resource}&meter={meter}")
        };
        let line = |line: InvoiceLine| InvoiceLineView {
            intervals_url: intervals(line.resource_id, line.meter),
            resource_id: line.resource_id,
            resource_name: line.resource_name,
            meter: line.meter,
            intervals: line.intervals,
            used_ms: line.used_ms,
            unit_ms: line.unit_ms.to_string(),
            unit: line.meter.priced_unit(),
            unit_price: line.unit_price,
            amount: line.amount.to_text(places),
        };
        let charge = |charge: InvoiceCharge| InvoiceChargeView {
            measurements_url: format!("/api/v1/resources/{}/measurements?from={from}&to={to}", charge.resource_id),
            intervals_url: charge.meter.map(|meter| intervals(charge.resource_id, meter)),
            meter: charge.meter,
            resource_id: charge.resource_id,
            resource_name: charge.resource_name,
            component: charge.component,
            description: charge.description,
            units: charge.units,
            unit_price: charge.unit_price,
            amount: charge.amount.to_text(places),
            run_id: charge.run_id,
        };
        Self {
            id: invoice.number.map(|_| invoice.id),
            version: invoice.version,
            number: invoice.number,
            billing_entity_id: invoice.billing_entity_id,
            customer_id: invoice.customer_id,
            from,
            to,
            currency: invoice.currency,
            lines: Some(invoice.lines.into_iter().map(line).collect()),
            charges: Some(invoice.charges.into_iter().map(charge).collect()),
            total: invoice.total.to_text(places),
            tax: invoice.tax.map(|tax| TaxView { rate: tax.rate, amount: tax.amount.to_text(places) }),
            due: due.to_text(places),
            status: invoice.number.map(|_| status),
            paid_at: payment.as_ref().filter(|_| matches!(status, InvoiceStatus::Paid)).and_then(|paid| paid.ended_at),
            transaction_id: payment.map(|paid| paid.id),
            issued_at: invoice.issued_at,
        }
    }
}

/// The period of a preview.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PreviewPeriod {
    /// First moment; the end of the last invoice unless given.
    from: Option<Timestamp>,
    /// First moment no longer covered; now unless given.
    to: Option<Timestamp>,
}

/// An invoice to close.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"to": "2026-12-01T00:00:00Z"}))]
pub struct CreateInvoice {
    /// First moment no longer covered; not in the future.
    to: Timestamp,
}

/// Which intervals.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct UsageFilter {
    /// First moment.
    from: Timestamp,
    /// First moment no longer covered.
    to: Timestamp,
    /// The server, disk or pluggable resource.
    resource: Uuid,
    /// What is counted.
    meter: Meter,
    /// At most this many intervals on the page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<usize>,
    /// Where to go on: `next` of the page before.
    cursor: Option<String>,
}

/// A stretch of use at a constant quantity.
#[derive(Clone, Serialize, ToSchema)]
pub struct IntervalView {
    /// The server, disk or pluggable resource.
    resource_id: Uuid,
    /// Its name when the interval began.
    resource_name: String,
    /// What is counted.
    meter: Meter,
    /// First moment counted.
    start: Timestamp,
    /// First moment no longer counted; null while the use goes on.
    end: Option<Timestamp>,
    /// Counted units.
    quantity: u64,
    /// How the end is known; null while open.
    evidence: Option<Evidence>,
}

impl From<Interval> for IntervalView {
    fn from(interval: Interval) -> Self {
        Self {
            resource_id: interval.key.resource_id,
            resource_name: interval.resource_name,
            meter: interval.key.meter,
            start: interval.key.start,
            end: interval.end,
            quantity: interval.quantity,
            evidence: interval.evidence,
        }
    }
}

/// The payment that an invoice has or may still get.
fn payment_of(snapshot: &Snapshot, id: InvoiceId) -> Result<Option<Transaction>, sutler_store::Error> {
    snapshot.holder("payment", &[id.0.as_bytes()])
}

/// List invoices.
#[utoipa::path(get, path = "/invoices", tag = "billing", params(InvoiceFilter, Paging),
    responses((status = 200, description = "A page of invoices, without their lines.", body = Listed<InvoiceView>)))]
async fn list_invoices(State(api): State<Arc<Api>>, Who(caller): Who, listing: Listing<InvoiceFilter>) -> Answer {
    caller.must(Permission::BillingRead)?;
    let mut filter = Reach::of(&caller, api.store()).narrow(Filter::new());
    if let Some(id) = listing.filter.customer_id {
        filter = filter.is(Field::Customer, key(id));
    }
    if let Some(id) = listing.filter.billing_entity_id {
        filter = filter.is(Field::BillingEntity, key(id));
    }
    let view = |invoice: Invoice, _: &Caller, snapshot: &Snapshot| {
        let payment = payment_of(snapshot, invoice.id)?;
        Ok(InvoiceView { lines: None, charges: None, ..InvoiceView::of(invoice, payment) })
    };
    list_with(&api, &caller, filter, listing.page, view).await
}

/// Show an invoice.
#[utoipa::path(get, path = "/invoices/{id}", tag = "billing", params(("id" = InvoiceId, Path), Shown),
    responses((status = 200, description = "The invoice.", body = InvoiceView)))]
async fn show_invoice(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<InvoiceId>,
    Params(shown): Params<Shown>,
    headers: HeaderMap,
) -> Answer {
    caller.must(Permission::BillingRead)?;
    let invoice: Invoice = find(&api, &caller, id).await?;
    let payment = api.store().read(move |snapshot| payment_of(snapshot, id)).await?;
    // An invoice never changes, but its payment does, and may be followed by another.
    let version = payment.as_ref().map_or(invoice.version, |paid| paid.id.0.as_u64_pair().1 ^ paid.version);
    let view = InvoiceView::of(invoice, payment);
    reply::unless_known(&headers, version, show(version, &view, shown.fields.as_deref()))
}

/// Preview what a customer owes.
#[utoipa::path(get, path = "/customers/{id}/invoice-preview", tag = "billing",
    params(("id" = CustomerId, Path), PreviewPeriod),
    responses((status = 200, description = "What an invoice would say.", body = InvoiceView)))]
async fn preview_invoice(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<CustomerId>,
    Params(period): Params<PreviewPeriod>,
) -> Answer {
    let invoice = api.system.preview_invoice(&caller, id, period.from, period.to).await?;
    reply::ok(&InvoiceView::of(invoice, None))
}

/// Close a customer's period and number the invoice.
#[utoipa::path(post, path = "/customers/{id}/invoices", tag = "billing", params(("id" = CustomerId, Path)),
    request_body = CreateInvoice, responses((status = 201, description = "Closed.", body = InvoiceView)))]
async fn create_invoice(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<CustomerId>,
    Input { value: asked, key }: Input<CreateInvoice>,
) -> Answer {
    let work = api.system.close_invoice(&caller, id, asked.to);
    create(&api, &caller, key, "invoices", work, |invoice| InvoiceView::of(invoice, None)).await
}

/// List the intervals behind a line or charge of an invoice.
#[utoipa::path(get, path = "/customers/{id}/usage", tag = "billing", params(("id" = CustomerId, Path), UsageFilter),
    responses((status = 200, description = "A page of intervals, oldest first.", body = Listed<IntervalView>)))]
async fn list_usage(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<CustomerId>,
    Params(asked): Params<UsageFilter>,
) -> Answer {
    let limit = asked.limit.unwrap_or(50);
    if !(1..=200).contains(&limit) {
        return Err(Problem::malformed("limit", format!("is {limit}; must be from 1 to 200")));
    }
    // Intervals are only ever added at the end, so the start of the next one is a stable place.
    let after: Option<Timestamp> = match asked.cursor {
        Some(text) => Some(text.parse().map_err(|_| Problem::from(sutler_store::Error::BadCursor))?),
        None => None,
    };
    let mut found = api.system.line_intervals(&caller, id, asked.from, asked.to, asked.resource, asked.meter).await?;
    found.sort_by_key(|interval| interval.key.start);
    found.retain(|interval| after.is_none_or(|at| interval.key.start >= at));
    let next = found.get(limit).map(|interval| interval.key.start.to_string());
    let items: Vec<IntervalView> = found.into_iter().take(limit).map(IntervalView::from).collect();
    reply::ok(&Listed { items, next })
}

//! Disks, images and invoices.

use super::{
    Beans, Described, Property, amount, contact, derived, described, id,
    items::items,
    keys, metadata,
    payments::{filled, payment_of},
    point_id, set_keys, set_name, whole,
};
use crate::remains;
use serde_json::{Value, json};
use sutler_model::{
    BillingEntity, Blob, Customer, Disk, DiskState, Image, ImageBase, ImagePermission, ImageState, Invoice, Nanos,
    Noun, PaymentInstance, Plan, PlanCharge, Point, PointKind, Scope, Script, Server, TransactionState,
};
use sutler_store::{Error, Field, Filter, Order};

impl Described for Disk {
    const KIND: &'static str = "Disk";
    const PLACED: bool = true;

    fn properties() -> &'static [Property<Self>] {
        type P = Property<Disk>;
        const PROPERTIES: &[P] = &[
            P::new("resourceKey", keys).or_set(|d, v, viewer| set_keys(&mut d.keys, v, viewer)),
            P::new("size", |d, _| d.size_gib.into()).or_set(|d, v, _| {
                d.size_gib = whole(v)?;
                Ok(())
            }),
            P::new("index", |d, _| d.index.into()),
            P::new("iso", |_, _| false.into()),
            P::new("status", |_, _| "ATTACHED_TO_SERVER".into()),
            P::new("serverUUID", |d, _| id(Some(d.server_id))),
            P::read("serverName", |d, b| match b.name_of::<Server>(d.server_id.into())? {
                Value::Null => Ok(remains::server_name(b.snapshot, d.server_id)?.map_or(Value::Null, Value::from)),
                name => Ok(name),
            }),
            P::new("imageUUID", |d, _| id(d.image_id)),
            P::read("imageName", |d, b| match d.image_id {
                Some(image) => b.name_of::<Image>(image.into()),
                None => Ok(Value::Null),
            }),
        ];
        PROPERTIES
    }

    described! {
        label: |d| d.name.clone();
        created_at: |d| d.created_at;
        resource_state: |d| match d.state {
            DiskState::Creating => "CREATING",
            DiskState::Ready => "ACTIVE",
            // Only its bytes are kept for a time of grace.
            DiskState::Deleting => "DELETED",
        };
        customer: |d| Some(d.customer_id);
        billing_entity: |d| d.billing_entity_id;
        keys: |d| &d.keys;
    }
}

impl Described for Image {
    const KIND: &'static str = "Image";
    const PLACED: bool = true;

    fn properties() -> &'static [Property<Self>] {
        type P = Property<Image>;
        const PROPERTIES: &[P] = &[
            P::new("resourceName", |i, _| i.name.as_str().into()).or_set(|i, v, _| set_name(&mut i.name, v)),
            // To whom it is only offered need not know what its owner keeps on it.
            P::read("resourceKey", |i, b| Ok(if b.owns(i)? { keys(i, b.viewer) } else { json!([]) }))
                .or_set(|i, v, viewer| set_keys(&mut i.keys, v, viewer)),
            P::new("size", |i, _| i.size_gib.into()),
            P::new("imageType", |i, _| {
                if i.base.as_ref().is_some_and(|base| base.noun == Noun::Server) { "SERVER" } else { "DISK" }.into()
            }),
            P::read("baseUUID", |i, b| Ok(id(base(i, b)?.map(|base| base.id)))),
            P::read("baseName", |i, b| Ok(base(i, b)?.map_or(Value::Null, |base| base.name.as_str().into()))),
            P::new("ownerPermission", |i, _| permission(i.owner_permission))
                .or_set(|i, v, viewer| set_permission(&mut i.owner_permission, v, viewer)),
            P::new("userPermission", |i, _| permission(i.user_permission))
                .or_set(|i, v, viewer| set_permission(&mut i.user_permission, v, viewer)),
            P::read("publishedTo", published_to),
            P::new("genPassword", |_, _| false.into()),
            P::new("vmSupport", |_, _| true.into()),
            P::new("ctSupport", |_, _| false.into()),
        ];
        PROPERTIES
    }

    described! {
        label: |i| i.name.clone();
        created_at: |i| i.created_at;
        resource_state: |i| match i.state {
            ImageState::Ready => "ACTIVE",
            ImageState::Retired => "HIDDEN",
            ImageState::Creating => "CREATING",
            ImageState::Deleting => "TO_BE_DELETED",
        };
        customer: |i| i.customer_id;
        billing_entity: |i| i.billing_entity_id;
        keys: |i| &i.keys;
        metadata: |i| Some(metadata::kept(&i.metadata));
        metadata_mut: |i| &mut i.metadata;
    }
}

/// Where an image came from; that is not for those to whom it is only offered.
fn base<'i>(image: &'i Image, beans: &Beans<'_>) -> Result<Option<&'i ImageBase>, Error> {
    match &image.base {
        Some(base) if beans.owns(image)? => Ok(Some(base)),
        _ => Ok(None),
    }
}

/// To whom an image is offered: all of its publisher's, or none but its customer.
fn published_to(image: &Image, beans: &Beans<'_>) -> Result<Value, Error> {
    if image.customer_id.is_some() || image.state != ImageState::Ready {
        return Ok(json!([]));
    }
    let seller = image.billing_entity_id;
    let name = beans.name_of::<BillingEntity>(seller.into())?;
    Ok(json!([{
        "resourceUUID": seller.to_string(), "resourceName": name, "resourceType": "BILLING_ENTITY", "exclude": false,
    }]))
}

/// ImagePermission.
pub(crate) fn permission(mut permission: ImagePermission) -> Value {
    permission.each().into_iter().map(|(name, allowed)| (name.to_owned(), Value::from(*allowed))).collect()
}

/// What a bean allows; as in the original, that is what it says and nothing else. A customer's script takes away and gives
/// nothing.
fn set_permission(permission: &mut ImagePermission, value: &Value, viewer: Scope) -> Result<(), String> {
    let before = *permission;
    let fields = value.as_object().ok_or("must be an ImagePermission")?;
    for (name, allowed) in permission.each() {
        match fields.get(name) {
            None | Some(Value::Null) => *allowed = false,
            Some(Value::Bool(asked)) => *allowed = *asked,
            Some(_) => return Err(format!("{name} must be true or false")),
        }
    }
    if matches!(viewer, Scope::Customer(_)) {
        *permission = permission.and(before);
    }
    Ok(())
}

/// What a script's bean allows of everything; none where it says nothing.
pub(crate) fn permission_of(value: Option<&Value>) -> Result<Option<ImagePermission>, String> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(None) };
    let mut permission = ImagePermission::ALL;
    // It is held to what its caller may grant where it is stored.
    set_permission(&mut permission, value, Scope::Provider)?;
    Ok(Some(permission))
}

impl Described for Blob {
    const KIND: &'static str = "Blob";

    fn properties() -> &'static [Property<Self>] {
        type P = Property<Blob>;
        const PROPERTIES: &[P] = &[
            P::new("resourceName", |b, _| b.name.as_str().into()).or_set(|b, v, _| set_name(&mut b.name, v)),
            P::new("publicResource", |b, _| b.public.into()).or_set(|b, v, _| {
                b.public = v.as_bool().ok_or("must be true or false")?;
                Ok(())
            }),
            P::new("sha256", |b, _| b.sha256.as_str().into()),
        ];
        PROPERTIES
    }

    described! {
        label: |b| b.name.clone();
        created_at: |b| b.created_at;
        modified_at: |b| b.modified_at;
        customer: |b| b.customer_id;
        billing_entity: |b| b.billing_entity_id;
    }
}

impl Described for Invoice {
    const KIND: &'static str = "Invoice";

    fn properties() -> &'static [Property<Self>] {
        type P = Property<Invoice>;
        const PROPERTIES: &[P] = &[
            P::new("invoiceNo", |i, _| i.number.into()),
            // Dates of invoices are whole seconds in the language, unlike all others.
            P::new("invoiceDate", |i, _| i.issued_at.0.div_euclid(1000).into()),
            // What is due is due when it is issued.
            P::new("dueDate", |i, _| i.issued_at.0.div_euclid(1000).into()),
            P::read("customerAddress", |i, b| buyer(i, b, |customer| contact::address(&customer.contact))),
            P::read("billingAddress", |i, b| buyer(i, b, |customer| contact::address(&customer.contact))),
            P::read("customerVatNo", |i, b| buyer(i, b, |customer| contact::known(&customer.contact.vat_number))),
            P::read("billingEntityVatNo", |i, b| {
                let seller = b.snapshot.get::<BillingEntity>(i.billing_entity_id)?;
                Ok(seller.map_or(Value::Null, |seller| contact::known(&seller.contact.vat_number)))
            }),
            P::new("testMode", |_, _| false.into()),
            P::new("cutOffDate", |i, _| i.to.0.div_euclid(1000).into()),
            P::read("status", |i, b| Ok(if paid(i, b)?.is_some() { "PAID" } else { "UNPAID" }.into())),
            P::read("paidDate", |i, b| Ok(paid(i, b)?.and_then(|at| at).map_or(Value::Null, |at| at.into()))),
            P::read("transactionUUID", |i, b| Ok(id(payment_of(b.snapshot, i)?.map(|paid| paid.id)))),
            P::read("paymentMethodInstanceUUID", |i, b| {
                Ok(id(payment_of(b.snapshot, i)?.and_then(|paid| paid.payment_instance_id)))
            }),
            P::read("paymentMethodInstanceName", |i, b| {
                match payment_of(b.snapshot, i)?.and_then(|paid| paid.payment_instance_id) {
                    Some(instance) => b.name_of::<PaymentInstance>(instance.into()),
                    None => Ok(Value::Null),
                }
            }),
            P::new("creditNote", |_, _| false.into()),
            P::new("invoiceTotalExc", |i, _| amount(i.total)),
            P::new("invoiceTotalInc", |i, _| amount(i.due().unwrap_or(i.total))),
            P::new("invoiceTaxAmt", |i, _| i.tax.map_or(Value::from(0), |tax| amount(tax.amount))),
            P::new("taxRate", |i, _| i.tax.and_then(|tax| tax.rate).map_or(Value::from(0), amount)),
            // Beside the original: a script's numbers have 15 digits, amounts may have more.
            P::new("exactTotal", |i, _| i.total.to_string().into()),
            P::new("exactDue", |i, _| i.due().unwrap_or(i.total).to_string().into()),
            P::new("currency", |i, _| i.currency.to_string().into()),
            P::new("invoiceItems", |i, _| items(i)),
        ];
        PROPERTIES
    }

    described! {
        label: |i| i.number.map_or_else(String::new, |number| number.to_string());
        created_at: |i| i.issued_at;
        customer: |i| Some(i.customer_id);
        billing_entity: |i| i.billing_entity_id;
    }
}

/// Something of the customer that an invoice is for.
fn buyer(invoice: &Invoice, beans: &Beans<'_>, of: fn(&Customer) -> Value) -> Result<Value, Error> {
    Ok(beans.snapshot.get::<Customer>(invoice.customer_id)?.as_ref().map_or(Value::Null, of))
}

/// Whether an invoice is paid, and when that was, in whole seconds; what owes nothing has no time.
fn paid(invoice: &Invoice, beans: &Beans<'_>) -> Result<Option<Option<i64>>, Error> {
    if invoice.due().is_ok_and(|due| due <= Nanos::ZERO) {
        return Ok(Some(None));
    }
    let payment = payment_of(beans.snapshot, invoice)?.filter(|paid| paid.state == TransactionState::Success);
    Ok(payment.map(|paid| paid.ended_at.map(|at| at.0.div_euclid(1000))))
}

/// Of what each plan is an offer: all there is to be had.
pub(crate) const PLAN_TYPES: [&str; 2] = ["SERVER", "DISK"];

/// What a plan is made of, as a product: the filters of scripts look into it.
pub(super) fn product(plan: &Plan) -> Value {
    let components = plan.charges.iter().map(|charge| json!({"referenceField": charge.component}));
    json!({
        "resourceUUID": derived(plan.id.0).to_string(),
        "resourceName": plan.name,
        "associatedType": PLAN_TYPES,
        "components": components.collect::<Vec<_>>(),
    })
}

/// What a plan fills in for a component of it, and the billing method that charges for it.
fn component_config(charge: &PlanCharge, beans: &Beans<'_>) -> Result<Value, Error> {
    let script = charge.script_id.map(|id| beans.snapshot.get::<Script>(id)).transpose()?.flatten();
    let is_it = |point: &&Point| {
        matches!(point.kind, PointKind::Billing(_))
            && charge.function.as_ref().is_none_or(|function| *function == point.function)
    };
    let method = script.and_then(|script| {
        let point = script.points.iter().find(is_it)?;
        Some(point_id(script.id, &point.function).to_string())
    });
    Ok(json!({"billingMethodUUID": method, "billingConfiguredValues": filled(&charge.values)}))
}

impl Described for Plan {
    const KIND: &'static str = "ProductOffer";

    fn properties() -> &'static [Property<Self>] {
        type P = Property<Plan>;
        const PROPERTIES: &[P] = &[
            P::new("resourceName", |p, _| p.name.as_str().into()).or_set(|p, v, _| set_name(&mut p.name, v)),
            P::new("billingPeriod", |_, _| "HOURLY".into()),
            P::new("unitType", |_, _| "NONCARRYOVER".into()),
            P::new("productAssociatedType", |_, _| PLAN_TYPES[0].into()),
            P::new("productName", |p, _| p.name.as_str().into()),
            P::new("productUUID", |p, _| id(Some(derived(p.id.0)))),
            P::new("product", |p, _| product(p)),
            P::new("isEditable", |_, _| true.into()),
            P::read("inUse", |p, b| {
                let (seller, id) = (p.billing_entity_id, p.id);
                let on_it = Filter::<Customer>::new().is(Field::BillingEntity, seller.0.as_bytes());
                let on_it = on_it.when(move |customer| customer.plan_id == id);
                Ok(b.snapshot.first(on_it, Order::Ascending)?.is_some().into())
            }),
            P::read("componentConfig", |p, b| p.charges.iter().map(|charge| component_config(charge, b)).collect()),
            P::read("clusters", |_, b| Ok(b.cluster()?.iter().map(|(id, _)| id.to_string()).collect())),
            P::new("productComponentTypes", |p, _| {
                let kinds = p.charges.iter().map(|charge| {
                    let kind = json!({"referenceField": charge.component, "resourceName": charge.component});
                    (charge.component.clone(), kind)
                });
                Value::Object(kinds.collect())
            }),
        ];
        PROPERTIES
    }

    described! {
        label: |p| p.name.clone();
        created_at: |p| p.created_at;
        customer: |_| None;
        billing_entity: |p| p.billing_entity_id;
    }
}

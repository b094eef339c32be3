//! Customers and billing entities.

use super::{
    ask::Ask,
    done::Done,
    failed, refusal,
    skeleton::{Skeleton, invalid},
    taken::taken,
};
use crate::{
    BillingEntityPatch, CustomerPatch, Error, MetadataPatch, NewBillingEntity, NewCustomer, scripts::beans::apply,
};
use serde_json::{Value, json};
use sutler_lua::{Bean, HostError};
use sutler_model::{
    BillingEntity, BillingEntityId, Contact, Customer, CustomerId, CustomerStatus, Noun, Plan, PlanId, Quota,
    Timestamp, User,
};
use sutler_store::{Field, Filter, Order};

/// `createCustomer(Customer, when)`: of the script's seller and its first plan, unless the bean says otherwise.
pub(super) async fn create(ask: &Ask<'_>) -> Result<Value, HostError> {
    ask.at_once(1)?;
    let skeleton = Skeleton(ask.args.any_bean("a Customer")?);
    // Rather than to leave out who was to administer it.
    if skeleton.list("users").next().is_some() {
        return Err(HostError::Absent {
            nouns: "customers made together with their users (make each with createUser)".to_owned(),
            operation: ask.args.operation.to_owned(),
        });
    }
    let system = ask.platform.system()?;
    let id = CustomerId(ask.new_id());
    let seller = skeleton.id("billingEntityUUID")?.map_or(ask.caller.billing_entity_id, BillingEntityId);
    let plan_id = match skeleton.id("productOfferUUID")? {
        Some(plan) => PlanId(plan),
        None => first_plan(ask, seller).await?,
    };
    let name = skeleton.text("resourceName").or_else(|| skeleton.text("organisationName"));
    let mut draft = Customer {
        id,
        version: 0,
        name: name.map(str::to_owned).map_or_else(|| skeleton.required("resourceName").map(str::to_owned), Ok)?,
        billing_entity_id: seller,
        status: CustomerStatus::Active,
        plan_id,
        quota: Quota::default(),
        warning_level: None,
        invoiced_until: Timestamp(0),
        provider_values: Default::default(),
        metadata: None,
        keys: Vec::new(),
        contact: Default::default(),
        created_at: Timestamp(0),
        closed_at: None,
    };
    let mut asked = skeleton.bean("Customer");
    asked.properties.insert("resourceName", draft.name.as_str());
    apply(&Bean::new("Customer"), &asked, &mut draft, ask.caller.scope)
        .map_err(|problems| refusal(Error::Invalid(problems)))?;
    let new = NewCustomer {
        name: draft.name.clone(),
        billing_entity_id: seller,
        plan_id,
        quota: Some(draft.quota),
        keys: draft.keys.clone(),
        contact: draft.contact.clone(),
    };
    // In one commit: what a crash leaves is the whole.
    let all = |customer: &mut Customer| {
        (customer.status, customer.warning_level) = (draft.status, draft.warning_level);
        customer.metadata.clone_from(&draft.metadata);
    };
    let customer = system.create_customer_as(ask.caller, id, new, all).await.map_err(refusal)?;
    ask.done(&Done { noun: Noun::Customer, id: id.into(), name: &customer.name, customer: Some(id) })
}

/// The plan that a seller made first.
async fn first_plan(ask: &Ask<'_>, seller: BillingEntityId) -> Result<PlanId, HostError> {
    let read = ask.platform.store.read(move |snapshot| {
        let filter = Filter::<Plan>::new().is(Field::BillingEntity, seller.0.as_bytes());
        snapshot.first(filter, Order::Ascending)
    });
    let plan = read.await.map_err(failed)?;
    plan.map(|plan| plan.id).ok_or_else(|| invalid("productOfferUUID", "must be set: the seller has no price plan"))
}

/// `createBillingEntity(BillingEntity, when)`: with its keys and address, below the script's own, in its currency, unless the
/// bean says otherwise.
pub(super) async fn create_entity(ask: &Ask<'_>) -> Result<Value, HostError> {
    ask.at_once(1)?;
    let skeleton = Skeleton(ask.args.any_bean("a BillingEntity")?);
    let system = ask.platform.system()?;
    let id = BillingEntityId(ask.new_id());
    let parent_id = skeleton.id("parentUUID")?.map_or(ask.caller.billing_entity_id, BillingEntityId);
    let code = skeleton.0.get("currency").and_then(|currency| currency.get("code")).and_then(Value::as_str);
    let currency = match code {
        Some(code) => code.parse().map_err(|_| invalid("currency", "must have a code such as EUR"))?,
        None => system.entity(ask.caller, parent_id).await.map_err(refusal)?.currency,
    };
    let new = NewBillingEntity { parent_id, name: skeleton.required("resourceName")?.to_owned(), currency };
    let keys = skeleton.keys(ask.caller.scope)?;
    let contact = skeleton.contact(&Contact::default())?;
    // In one commit: what a crash leaves is the whole.
    let more = |entity: &mut BillingEntity| (entity.keys, entity.contact) = (keys.clone(), contact.clone());
    let entity = system.create_billing_entity_as(ask.caller, id, new, more).await.map_err(refusal)?;
    ask.done(&Done { noun: Noun::BillingEntity, id: id.into(), name: &entity.name, customer: None })
}

/// `modifyBillingEntity(BillingEntity, when)`: its name, keys, address, provider values and metadata.
pub(super) async fn modify_entity(ask: &Ask<'_>) -> Result<Value, HostError> {
    ask.at_once(1)?;
    let skeleton = Skeleton(ask.args.bean(0, "a BillingEntity")?);
    let id = BillingEntityId(skeleton.own_id()?);
    let system = ask.platform.system()?;
    let old = system.entity(ask.caller, id).await.map_err(refusal)?;
    let new = taken(ask, &skeleton, &old).await?;
    let patch = BillingEntityPatch {
        name: (new.name != old.name).then_some(new.name),
        language: None,
        keys: (new.keys != old.keys).then_some(new.keys),
        contact: (new.contact != old.contact).then(|| new.contact.into()),
        provider_values: (new.provider_values != old.provider_values).then_some(new.provider_values),
        metadata: MetadataPatch::between(old.metadata.as_deref(), new.metadata.as_deref()),
    };
    let entity = system.update_billing_entity(ask.caller, id, None, patch).await.map_err(refusal)?;
    ask.done(&Done { noun: Noun::BillingEntity, id: id.into(), name: &entity.name, customer: None })
}

/// `updateCustomer(Customer)`: the changed customer.
pub(super) async fn update(ask: &Ask<'_>) -> Result<Value, HostError> {
    let customer = changed(ask).await?;
    ask.answer(customer).await
}

/// `modifyCustomer(Customer, when)`: the same as a job.
pub(super) async fn modify(ask: &Ask<'_>) -> Result<Value, HostError> {
    ask.at_once(1)?;
    let customer = changed(ask).await?;
    ask.done(&Done { noun: Noun::Customer, id: customer.id.into(), name: &customer.name, customer: Some(customer.id) })
}

/// Name, status, keys, limits, warning level, provider values and metadata, and how it is reached.
async fn changed(ask: &Ask<'_>) -> Result<Customer, HostError> {
    let skeleton = Skeleton(ask.args.bean(0, "a Customer")?);
    let id = skeleton.id("resourceUUID")?.map(CustomerId);
    let id = id.ok_or_else(|| HostError::refused("NO_CUSTOMER_FOUND", "the customer has no UUID"))?;
    let system = ask.platform.system()?;
    let old = system.customer(ask.caller, id).await.map_err(refusal)?;
    let new = taken(ask, &skeleton, &old).await?;
    let patch = CustomerPatch {
        name: (new.name != old.name).then_some(new.name),
        status: (new.status != old.status).then_some(new.status),
        plan_id: None,
        quota: (new.quota != old.quota).then_some(new.quota),
        warning_level: (new.warning_level != old.warning_level).then_some(new.warning_level),
        keys: (new.keys != old.keys).then_some(new.keys),
        contact: (new.contact != old.contact).then(|| new.contact.into()),
        provider_values: (new.provider_values != old.provider_values).then_some(new.provider_values),
        metadata: MetadataPatch::between(old.metadata.as_deref(), new.metadata.as_deref()),
    };
    if patch == CustomerPatch::default() {
        return Ok(old);
    }
    system.update_customer(ask.caller, id, Some(old.version), patch).await.map_err(refusal)
}

/// Details of a mail that say where it goes and how it looks.
const ENVELOPE: [&str; 6] = ["CC_ADDRESS", "BCC_ADDRESS", "FROM_ADDRESS", "REPLY_TO", "EMAIL_SUBJECT", "EMAIL_FOOTER"];

/// `sendEmail(CustomerEmail)`: to whom it goes and what it says, for the runtime to send. Without addresses it goes to all of
/// the customer's people. Subject and body are the texts of the bean; there are no templates here.
pub(super) async fn email(ask: &Ask<'_>) -> Result<Value, HostError> {
    let skeleton = Skeleton(ask.args.bean(0, "a CustomerEmail")?);
    let system = ask.platform.system()?;
    let id = skeleton.id("customerUUID")?.map(CustomerId).or(ask.caller.customer_id);
    let id = id.ok_or_else(|| HostError::refused("REQUIRED_FIELD_NOT_SET", "customerUUID: must be set"))?;
    let customer = system.customer(ask.caller, id).await.map_err(refusal)?;
    let texts = |property: &str| -> Vec<String> {
        let items = skeleton.0.get(property).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut to = texts("sendToEmail");
    let users = users_of(ask, id).await?;
    let named = texts("sendTo");
    to.extend(users.iter().filter(|user| named.contains(&user.id.to_string())).map(|user| user.email.clone()));
    if to.is_empty() {
        to = users.into_iter().filter(|user| !user.locked).map(|user| user.email).collect();
    }
    if to.is_empty() {
        return Err(HostError::refused("INVALID_EMAIL_ADDRESS", "the customer has nobody to write to"));
    }
    let empty = serde_json::Map::new();
    let details = skeleton.0.get("emailSettingDetails").and_then(Value::as_object).unwrap_or(&empty);
    let detail = |word: &str| {
        let found =
            details.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).and_then(|(_, text)| text.as_str());
        found.map(str::to_owned)
    };
    let kind = skeleton.text("emailType").unwrap_or("GENERAL_EMAIL");
    let about = || format!("{}: {}", customer.name, kind.to_lowercase().replace('_', " "));
    let subject = detail("EMAIL_SUBJECT").unwrap_or_else(about);
    let body = detail("EMAIL_BODY").unwrap_or_else(|| {
        // Whom it goes to is not for its readers: least of all a blind copy.
        let told = details.iter().filter(|(name, _)| !ENVELOPE.iter().any(|word| name.eq_ignore_ascii_case(word)));
        let lines = told.filter_map(|(name, text)| Some(format!("{name}: {}\n", text.as_str()?)));
        lines.collect()
    });
    let footer = detail("EMAIL_FOOTER").map(|footer| format!("\n{footer}")).unwrap_or_default();
    Ok(json!({
        "to": to.join(", "), "cc": detail("CC_ADDRESS"), "bcc": detail("BCC_ADDRESS"), "from": detail("FROM_ADDRESS"),
        "reply_to": detail("REPLY_TO"), "subject": subject, "body": body + &footer,
        "attachments": skeleton.0.get("attachments"),
    }))
}

async fn users_of(ask: &Ask<'_>, customer: CustomerId) -> Result<Vec<User>, HostError> {
    let read = ask.platform.store.read(move |snapshot| {
        let filter = Filter::<User>::new().is(Field::Customer, customer.0.as_bytes());
        snapshot.all(filter)
    });
    read.await.map_err(failed)
}

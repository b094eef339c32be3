//! All that a run is told about its event, read from the store when an entry has matched.

use super::{
    beans::{Beans, Described, Posting, WHOSE, operator_id, remains, unrecorded_job},
    events::{Event, state},
    host::{block_told, transaction_job},
    schedule::root,
    words::{deed_type, resource_type},
};
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};
use sutler_lua::{Bean, Input, Params};
use sutler_model::{
    BillingEntity, BillingEntityId, Blob, Cause, Customer, CustomerId, Disk, Happening, Image, Invoice, Job, Notice,
    Noun, PaymentFunction, PaymentInstance, PaymentMethod, Plan, PluggableResource, Scope, Script, Server, Session,
    Transaction, TriggerType, User, UserId,
};
use sutler_store::{Change, Error, FeedEntry, Op, Snapshot};
use uuid::Uuid;

/// An event as one owner sees it.
#[derive(Clone, Debug)]
pub(crate) struct Occasion {
    /// What the script gets.
    pub params: Params,
    /// The record whose events are kept in order; of a job the record it works on.
    pub resource: Uuid,
    /// How many runs stand behind the event.
    pub depth: u8,
}

/// Jobs followed back from an event: a parent of a parent is all there is.
const CHAIN_MAX: usize = 8;

/// Reads what belongs to an event, for the viewer of `beans`.
///
/// # Errors
/// Those of the store.
pub(crate) fn occasion(beans: &Beans<'_>, entry: &FeedEntry, event: &Event) -> Result<Occasion, Error> {
    let (snapshot, owner) = (beans.snapshot(), beans.viewer());
    let (depth, by) = chain(snapshot, &entry.cause)?;
    let (mut input, resource, about) = subject(snapshot, entry, event, beans, owner)?;
    let by = match by {
        Some(by) => Some(by),
        None => asker(snapshot, entry)?,
    };
    let user = about.or(by).map(|id| snapshot.get::<User>(id)).transpose()?.flatten();
    if let (Input::Bean(job), Some(user)) = (&mut input, &user)
        && is_deed(event)
    {
        job.properties.insert("userUUID", user.id.to_string());
        job.properties.insert("userName", user.label());
    }
    // What staff do, they do as people of their seller's own customer.
    let staff = matches!(event.noun, Noun::Session | Noun::Notice).then_some(user.as_ref()).flatten();
    let customer = match beans.of_event(event.customer, staff)? {
        None if is_deed(event) => {
            let seller = event.billing_entity.map(|id| snapshot.get::<BillingEntity>(id)).transpose()?.flatten();
            let sees = |_: &BillingEntity| !matches!(owner, Scope::Customer(_));
            seller.filter(sees).map(|seller| beans.operator(&seller, user.as_ref())).transpose()?
        }
        customer => customer,
    };
    let params = Params {
        input,
        option: event.option.clone().into_owned(),
        be_uuid: event.billing_entity.map(|id| id.to_string()).unwrap_or_default(),
        customer,
        // A customer's script is not told which of its seller's people did something.
        user: user.filter(|u| sees_user(owner, u)).map(|u| beans.bean(u)).transpose()?,
        timestamp_ms: entry.at.0,
        ..Params::default()
    };
    Ok(Occasion { params, resource, depth })
}

/// Who asked for the job that a change sets going, or for the transaction that it is a part of and that its provider ends in its
/// own time. So what a script does for its session user is that user's, too.
fn asker(snapshot: &Snapshot, entry: &FeedEntry) -> Result<Option<UserId>, Error> {
    let among = |noun: Noun| entry.changes.iter().find(|change| change.noun == noun);
    if let Some(job) = among(Noun::Job).map(|change| snapshot.get::<Job>(change.id)).transpose()?.flatten() {
        return Ok(job.user_id);
    }
    let Some(change) = among(Noun::Transaction) else { return Ok(None) };
    Ok(snapshot.get::<Transaction>(change.id)?.and_then(|transaction| transaction.user_id))
}

pub(crate) fn sees_user(owner: Scope, user: &User) -> bool {
    match owner {
        Scope::Customer(id) => user.customer_id == Some(id),
        _ => true,
    }
}

/// Whether an event is the end of a job that has no record: something was done at once, or a payment provider was asked.
pub(crate) fn is_deed(event: &Event) -> bool {
    event.trigger == TriggerType::PostJobStateChange && event.noun != Noun::Job
}

/// The job that the language has for what was done to a record.
fn deed(entry: &FeedEntry, event: &Event, item: &Bean) -> Bean {
    let verb = match entry.changes[event.change].op {
        Op::Deleted => "DELETE",
        // A customer that is closed is deleted; a pluggable resource is made once its provider has made it.
        Op::Updated if event.noun == Noun::Customer => "DELETE",
        Op::Created | Op::Updated => "CREATE",
    };
    let kind = deed_type(verb, event.noun);
    // Derived, so that a repeated run is told of the same job.
    let id = Uuid::new_v5(&event.id, format!("job:{}", entry.seq).as_bytes());
    let name = item.text("resourceName");
    unrecorded_job(id, &kind, &event.option, entry.at, (event.noun, event.id))
        .with("itemName", name.clone())
        .with("itemDescription", name)
        .with("endTime", entry.at.0)
}

/// The display name of what a payment provider was asked about.
fn asked_about(snapshot: &Snapshot, transaction: &Transaction) -> Result<String, Error> {
    fn label<R: Described>(snapshot: &Snapshot, id: Option<impl Into<Uuid>>) -> Result<Option<String>, Error> {
        let record = id.map(|id| snapshot.get::<R>(id.into())).transpose()?.flatten();
        Ok(record.map(|record| record.label()))
    }
    let name = match transaction.function {
        PaymentFunction::RegisterPaymentMethod | PaymentFunction::UpdatePaymentMethod | PaymentFunction::SelfTest => {
            label::<PaymentMethod>(snapshot, Some(transaction.payment_method_id))?
        }
        PaymentFunction::RegisterPaymentInstance | PaymentFunction::RemovePaymentInstance => {
            label::<PaymentInstance>(snapshot, transaction.payment_instance_id)?
        }
        PaymentFunction::MakePayment => label::<Invoice>(snapshot, transaction.invoice_ids.first().copied())?,
        PaymentFunction::CancelTransaction | PaymentFunction::RefundPayment | PaymentFunction::RefundTransaction => {
            label::<Transaction>(snapshot, transaction.linked_id)?
        }
    };
    Ok(name.unwrap_or_else(|| transaction.label()))
}

/// A job with whose its item is, and where it stands; of what is a seller's own that is its own customer.
fn of_item(mut job: Bean, item: &Bean) -> Bean {
    let seller = item.text("billingEntityUUID").and_then(|seller| seller.parse().ok()).map(BillingEntityId);
    if let (None, Some(seller)) = (item.text("customerUUID"), seller) {
        job.properties.insert("customerUUID", operator_id(seller).to_string());
        job.properties.insert("customerName", item.text("billingEntityName"));
    }
    for name in WHOSE {
        if let Some(text) = item.text(name) {
            job.properties.insert(name, text);
        }
    }
    job
}

/// The subject at the moment of the event, the record whose events are kept in order, and whom it is about if that is not
/// who caused it.
fn subject(
    snapshot: &Snapshot,
    entry: &FeedEntry,
    event: &Event,
    beans: &Beans<'_>,
    owner: Scope,
) -> Result<(Input, Uuid, Option<UserId>), Error> {
    let change = &entry.changes[event.change];
    let bean = match event.noun {
        Noun::Job if event.trigger == TriggerType::PostException => {
            let job = snapshot.get::<Job>(event.id)?;
            let item = job.as_ref().map_or(event.id, |job| job.item_id);
            return Ok((Input::Bean(exception_of(event, job.as_ref(), owner)), item, None));
        }
        Noun::Job => {
            return Ok(match snapshot.get::<Job>(event.id)? {
                Some(mut job) => {
                    // The job may have gone on since; the script is told of this state.
                    if let Some(then) = state(change.new_value("state")) {
                        job.state = then;
                    }
                    if !job.state.is_final() {
                        job.error = None;
                        job.finished_at = None;
                    }
                    let item = job.item_id;
                    (Input::Bean(beans.bean(job)?), item, None)
                }
                None => (
                    Input::Bean(
                        remains("Job", event.id, event.customer, event.billing_entity)
                            .with("status", event.option.as_ref()),
                    ),
                    event.id,
                    None,
                ),
            });
        }
        Noun::Server if event.trigger == TriggerType::PostServerStateChange => {
            match snapshot.get::<Server>(event.id)? {
                Some(mut server) => {
                    if let Some(then) = state(change.new_value("state")) {
                        server.state = then;
                    }
                    beans.bean(server)?
                }
                None => remains("Server", event.id, event.customer, event.billing_entity)
                    .with("status", event.option.as_ref()),
            }
        }
        // Who signed in; their sign-ins are kept in order.
        Noun::Session => {
            let user = change.created::<Session>()?.user_id;
            let login = match snapshot.get::<User>(user)? {
                Some(user) => login(&user),
                None => user.to_string(),
            };
            return Ok((Input::Text(login), user.0, Some(user)));
        }
        Noun::Notice => {
            let notice = change.deleted::<Notice>()?;
            let resource = match &notice.what {
                Happening::Exception { item_id: Some(item), .. } => *item,
                _ => notice.user_id.map_or(notice.billing_entity_id.0, |user| user.0),
            };
            return Ok((told_of(notice.what), resource, notice.user_id));
        }
        Noun::Customer if event.trigger == TriggerType::PostPurchase => {
            let customer = match change.op {
                Op::Created => Some(change.created::<Customer>()?),
                _ => snapshot.get::<Customer>(event.id)?,
            };
            match customer {
                Some(mut customer) => {
                    if let Some(then) = state(change.new_value("plan_id")) {
                        customer.plan_id = then;
                    }
                    beans.purchase(&customer, entry.at)?
                }
                None => remains("ProductPurchase", event.id, event.customer, event.billing_entity),
            }
        }
        Noun::Invoice if event.trigger == TriggerType::PostUnitTransaction => {
            let invoice = change.created::<Invoice>()?;
            beans.posted(invoice.customer_id, Posting::charged(&invoice))?
        }
        Noun::Transaction if event.trigger == TriggerType::PostUnitTransaction => {
            match (event.customer, snapshot.get::<Transaction>(event.id)?.as_ref().and_then(Posting::moved)) {
                (Some(customer), Some(posting)) => beans.posted(customer, posting)?,
                _ => remains("UnitTransaction", event.id, event.customer, event.billing_entity),
            }
        }
        Noun::Transaction => told::<Transaction>(snapshot, change, event, beans)?,
        Noun::PaymentMethod => told::<PaymentMethod>(snapshot, change, event, beans)?,
        Noun::PaymentInstance => told::<PaymentInstance>(snapshot, change, event, beans)?,
        Noun::Server => told::<Server>(snapshot, change, event, beans)?,
        Noun::Customer => told::<Customer>(snapshot, change, event, beans)?,
        Noun::User => told::<User>(snapshot, change, event, beans)?,
        Noun::BillingEntity => told::<BillingEntity>(snapshot, change, event, beans)?,
        Noun::Disk => told::<Disk>(snapshot, change, event, beans)?,
        Noun::Image => told::<Image>(snapshot, change, event, beans)?,
        Noun::Invoice => told::<Invoice>(snapshot, change, event, beans)?,
        Noun::PluggableResource => told::<PluggableResource>(snapshot, change, event, beans)?,
        Noun::Blob => told::<Blob>(snapshot, change, event, beans)?,
        Noun::Plan => told::<Plan>(snapshot, change, event, beans)?,
        Noun::Script if event.trigger != TriggerType::Init => {
            let script = match change.op {
                Op::Created => Some(change.created::<Script>()?),
                Op::Deleted => Some(change.deleted::<Script>()?),
                Op::Updated => snapshot.get::<Script>(event.id)?,
            };
            match script {
                Some(script) => block_told(snapshot, &script)?,
                None => remains("FDLCodeBlock", event.id, event.customer, event.billing_entity),
            }
        }
        // No other noun raises events.
        other => Bean::new(other.name()),
    };
    let bean = match event.noun {
        Noun::Transaction if is_deed(event) => match snapshot.get::<Transaction>(event.id)? {
            Some(transaction) => {
                let name = asked_about(snapshot, &transaction)?;
                of_item(transaction_job(&transaction), &bean)
                    .with("itemName", name.as_str())
                    .with("itemDescription", name)
            }
            None => bean,
        },
        _ if is_deed(event) => of_item(deed(entry, event, &bean), &bean),
        _ => bean,
    };
    Ok((Input::Bean(bean), event.id, None))
}

/// What a script is told of something that changed no record.
fn told_of(what: Happening) -> Input {
    match what {
        Happening::SignInFailed { login } => Input::Text(login),
        Happening::ApiCall { operation, method, path, status, .. } => {
            let call = api_call(&operation, &method, &path);
            Input::Bean(match status {
                Some(status) => call.with("status", status),
                None => call,
            })
        }
        Happening::Exception { source, code, message, request_id, item_kind, item_id, untold } => Input::Bean(
            exception(&source, &code, &message)
                .with("requestId", request_id)
                .with("itemType", item_kind)
                .with("itemUUID", item_id.map(|id| id.to_string()))
                .with("untold", untold),
        ),
    }
}

/// Something that went wrong.
fn exception(source: &str, code: &str, message: &str) -> Bean {
    Bean::new("Exception")
        .with("source", source)
        .with("errorCode", code.to_uppercase())
        // The language's family of errors that are nobody's input.
        .with("errorType", "Internal")
        .with("message", message)
        .with("untold", 0)
}

/// A job that waits for an operator: what its customer may know of it, and all to its sellers.
fn exception_of(event: &Event, job: Option<&Job>, owner: Scope) -> Bean {
    let error = job.and_then(|job| job.error.as_ref());
    let (code, told) = error.map_or(("unknown", ""), |error| (&error.code, &error.message));
    let facts = error.and_then(|error| error.operator_message.as_deref());
    let message = match (facts, owner) {
        (Some(facts), Scope::Provider | Scope::Entity(_)) => format!("{told}; {facts}"),
        _ => told.to_owned(),
    };
    let bean = exception(&event.option, code, &message).with("jobUUID", event.id.to_string());
    match job {
        Some(job) => bean
            .with("itemType", resource_type(job.item_noun))
            .with("itemUUID", job.item_id.to_string())
            .with("itemName", job.item_name.as_str()),
        None => bean,
    }
}

/// A call of the API.
pub(crate) fn api_call(operation: &str, method: &str, path: &str) -> Bean {
    Bean::new("ApiCall").with("operation", operation).with("method", method).with("path", path)
}

/// How a user names themselves at a sign-in in the language: with their customer, for one address may be known to several.
pub(crate) fn login(user: &User) -> String {
    match user.customer_id {
        Some(customer) => format!("{}/{customer}", user.email),
        None => user.email.clone(),
    }
}

/// A record as it came to be or was when it went; of a modification as it is now, for it may have gone on.
fn told<R: Described>(snapshot: &Snapshot, change: &Change, event: &Event, beans: &Beans<'_>) -> Result<Bean, Error> {
    match change.op {
        Op::Created => beans.bean(change.created::<R>()?),
        Op::Deleted => beans.bean(change.deleted::<R>()?),
        Op::Updated => match snapshot.get::<R>(event.id)? {
            Some(record) => beans.bean(record),
            None => Ok(remains(R::KIND, event.id, event.customer, event.billing_entity)),
        },
    }
}

/// Says whose event it is where the change alone does not tell: a sign-in is its user's, and a code block its owner's.
///
/// # Errors
/// Those of the store.
pub(crate) fn locate(snapshot: &Snapshot, entry: &FeedEntry, mut event: Event) -> Result<Event, Error> {
    if event.noun == Noun::Session {
        let session = entry.changes[event.change].created::<Session>()?;
        if let Some(user) = snapshot.get::<User>(session.user_id)? {
            event.customer = user.customer_id;
            event.billing_entity = Some(user.billing_entity_id);
        }
    }
    if event.noun == Noun::Script && event.billing_entity.is_none() {
        event.billing_entity = match event.customer {
            Some(customer) => snapshot.get::<Customer>(customer)?.map(|customer| customer.billing_entity_id),
            None => root(snapshot)?,
        };
    }
    Ok(event)
}

/// How many runs stand behind a cause, and which user at its beginning. Jobs pass on what set them off.
pub(crate) fn chain(snapshot: &Snapshot, cause: &Cause) -> Result<(u8, Option<UserId>), Error> {
    let mut cause = cause.clone();
    let mut user = None;
    for _ in 0..CHAIN_MAX {
        match cause {
            Cause::Request { user_id, .. } => return Ok((0, user.or(user_id))),
            Cause::Run { depth, .. } => return Ok((depth, user)),
            Cause::System { .. } => return Ok((0, user)),
            Cause::Job { job_id } => match snapshot.get::<Job>(job_id)? {
                Some(job) => {
                    user = user.or(job.user_id);
                    cause = job.cause;
                }
                None => return Ok((0, user)),
            },
        }
    }
    Ok((0, user))
}

/// Paths of billing entities, which never change. Kept, because every event asks for one.
#[derive(Clone, Default)]
pub(crate) struct Tree {
    paths: Arc<RwLock<HashMap<BillingEntityId, Arc<[BillingEntityId]>>>>,
}

impl Tree {
    /// From the provider down to the entity; empty for one that is not there.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) fn path(&self, snapshot: &Snapshot, id: BillingEntityId) -> Result<Arc<[BillingEntityId]>, Error> {
        if let Some(path) = self.known(id) {
            return Ok(path);
        }
        let Some(entity) = snapshot.get::<BillingEntity>(id)? else { return Ok(Arc::new([])) };
        let path: Arc<[BillingEntityId]> = entity.path.into();
        self.paths.write().unwrap_or_else(PoisonError::into_inner).insert(id, path.clone());
        Ok(path)
    }

    /// A path that was read before.
    pub(crate) fn known(&self, id: BillingEntityId) -> Option<Arc<[BillingEntityId]>> {
        self.paths.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }
}

/// Whether a record of `customer`, sold by `seller`, lies in `scope`.
///
/// # Errors
/// Those of the store.
pub(crate) fn within(
    snapshot: &Snapshot,
    tree: &Tree,
    scope: Scope,
    seller: BillingEntityId,
    customer: Option<CustomerId>,
) -> Result<bool, Error> {
    Ok(match scope {
        Scope::Provider => true,
        Scope::Entity(_) => scope.covers(&tree.path(snapshot, seller)?, customer),
        Scope::Customer(_) => scope.covers(&[], customer),
    })
}

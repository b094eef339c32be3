//! From a feed entry to the events that triggers wait for. Pure, so that a replay raises the same events.
//!
//! What is raised: POST_CREATE, POST_MODIFY and POST_DELETE for every kind of record that scripts know but jobs;
//! POST_JOB_STATE_CHANGE for a new job and for each change of its state; POST_SERVER_STATE_CHANGE for each change of a
//! server's state; POST_AUTH for each sign-in; POST_BILLING and POST_COLLECTION for each invoice; POST_EXCEPTION for a job that
//! needs an operator; POST_PURCHASE for each plan that a customer takes, POST_PAYMENT for each end of a payment or refund and
//! POST_UNIT_TRANSACTION for what was charged or paid; for each notice that goes what it tells of; and for a block that is loaded its own
//! `init`. What people and scripts make or delete at once, and what a payment provider was asked, is a job in the language:
//! its end is told as POST_JOB_STATE_CHANGE too. A change between two states that are one in the language (a job at work and one being undone) raises nothing.

use super::words;
use serde_json::Value;
use std::borrow::Cow;
use sutler_model::{
    BillingEntityId, Cause, CustomerId, CustomerStatus, Happening, JobState, Notice, Noun, PluggableResource, RunId,
    ScriptId, ServerState, Timestamp, TransactionState, TriggerType, pluggable::PluggableState,
};
use sutler_store::{Change, FeedEntry, FieldChange, Op};
use uuid::Uuid;

/// Something that happened, as far as the entry alone tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// What kind of event.
    pub trigger: TriggerType,
    /// Which: the resource type or the new state, in the language's words.
    pub option: Cow<'static, str>,
    /// Which of the entry's changes.
    pub change: usize,
    /// The kind of record it is about.
    pub noun: Noun,
    /// The record it is about.
    pub id: Uuid,
    /// Whose record.
    pub customer: Option<CustomerId>,
    /// Their seller.
    pub billing_entity: Option<BillingEntityId>,
}

/// Whether changes of such a record raise events, or matter to what raises them. Half of all entries tell of runs.
pub(crate) fn raises(noun: Noun) -> bool {
    noun != Noun::ScriptRun
}

/// The events in an entry, in the order of its changes.
pub(crate) fn events(entry: &FeedEntry) -> Vec<Event> {
    let mut events = Vec::new();
    let deed = is_deed(entry);
    for (index, change) in entry.changes.iter().enumerate() {
        let customer = match change.noun {
            Noun::Customer => Some(change.id),
            _ => change.customer_id,
        };
        let billing_entity = match change.noun {
            Noun::BillingEntity => Some(change.id),
            _ => change.billing_entity_id,
        };
        events.extend(occurrences(change, deed).into_iter().flatten().map(|(trigger, option)| Event {
            trigger,
            option,
            change: index,
            noun: change.noun,
            id: change.id,
            customer: customer.map(CustomerId),
            billing_entity: billing_entity.map(BillingEntityId),
        }));
    }
    events
}

/// Whether somebody asked for what an entry tells, and it was done at once: no job stands for it.
fn is_deed(entry: &FeedEntry) -> bool {
    matches!(entry.cause, Cause::Request { .. } | Cause::Run { .. })
        && entry.changes.iter().all(|change| change.noun != Noun::Job)
}

/// The end of the job that the language has for what was done at once to a kind of record.
fn done(noun: Noun, deed: bool) -> Option<(TriggerType, Cow<'static, str>)> {
    // What a payment provider is asked is told by the transaction, and so is what becomes of methods and instances.
    let told = matches!(
        noun,
        Noun::Customer | Noun::User | Noun::BillingEntity | Noun::Blob | Noun::Script | Noun::Image | Noun::Plan
    );
    (deed && told).then(|| (TriggerType::PostJobStateChange, "SUCCESSFUL".into()))
}

/// What a record's owner does not change, but the platform as it works: such a change is no modification.
const KEPT_BY_US: [&str; 13] = [
    "runtime_metadata",
    "version",
    // Of an image when it is whole; of a blob it never changes alone.
    "sha256",
    "state",
    "state_since",
    "state_reason",
    "wanted",
    "job_id",
    "node_id",
    "nics",
    "invoiced_until",
    "pending",
    "turns",
];

/// The option of [`TriggerType::Init`].
const LOADED: &str = "LOADED";

/// A change of state and a modification may be one change, and an invoice is four events.
type Occurrences = [Option<(TriggerType, Cow<'static, str>)>; 4];

/// The option of events of types that have none.
const ANY: &str = "ANY";

fn occurrences(change: &Change, deed: bool) -> Occurrences {
    let kind = words::resource_type(change.noun).map(Cow::Borrowed);
    let created = |kind: Option<Cow<'static, str>>| kind.map(|kind| (TriggerType::PostCreate, kind));
    let any = |trigger| Some((trigger, Cow::Borrowed(ANY)));
    let one = |event| [event, None, None, None];
    let loaded = || (TriggerType::Init, Cow::Borrowed(LOADED));
    match (change.noun, change.op) {
        (Noun::Job, Op::Created | Op::Updated) => {
            let status = |value: Option<Value>| state::<JobState>(value).map(words::job_status);
            [turned(TriggerType::PostJobStateChange, change, status), stuck(change), None, None]
        }
        // What is loaded, or loaded anew, runs its own `init`.
        (Noun::Script, Op::Created) => [created(kind), Some(loaded()), done(Noun::Script, deed), None],
        (Noun::Script, Op::Updated) => {
            let loads = |field: &FieldChange| matches!(field.name.as_str(), "source" | "enabled");
            let loaded = change.fields().iter().any(loads).then(loaded);
            [kind.map(|kind| (TriggerType::PostModify, kind)), loaded, None, None]
        }
        // Whoever signs in has a session from then on.
        (Noun::Session, Op::Created) => one(Some((TriggerType::PostAuth, "SUCCESS".into()))),
        // One that goes has been: see [`Notice`]. One that cannot be read is of a newer version, and so are its triggers.
        (Noun::Notice, Op::Deleted) => one(change.deleted::<Notice>().ok().map(|notice| told(notice.what))),
        // Billing a period is issuing its invoice: one change, in which the use is closed and rated, and a posting.
        (Noun::Invoice, Op::Created) => [
            created(kind),
            any(TriggerType::PostBilling),
            any(TriggerType::PostCollection),
            any(TriggerType::PostUnitTransaction),
        ],
        (Noun::Customer, Op::Created) => {
            [created(kind), any(TriggerType::PostPurchase), done(Noun::Customer, deed), None]
        }
        (Noun::Transaction, Op::Updated) => {
            let outcome = state::<TransactionState>(change.new_value("outcome"));
            let moved = outcome == Some(TransactionState::Success);
            let payment = outcome.map(|outcome| (TriggerType::PostPayment, outcome.word().into()));
            let state = state::<TransactionState>(change.new_value("state")).filter(|state| state.is_final());
            let ended = state.map(|state| (TriggerType::PostJobStateChange, words::transaction_status(state).into()));
            [payment, any(TriggerType::PostUnitTransaction).filter(|_| moved), ended, None]
        }
        (noun, Op::Created) => [created(kind), done(noun, deed), None, None],
        // Its provider has let it go.
        (Noun::PluggableResource, Op::Deleted) => {
            let going = change.deleted::<PluggableResource>().ok().map(|resource| resource.state);
            let ended = (going == Some(PluggableState::Deleting)).then_some("SUCCESSFUL");
            let gone = kind.map(|kind| (TriggerType::PostDelete, kind));
            [gone, ended.map(|word| (TriggerType::PostJobStateChange, word.into())), None, None]
        }
        (noun, Op::Deleted) => [kind.map(|kind| (TriggerType::PostDelete, kind)), done(noun, deed), None, None],
        (noun, Op::Updated) => {
            let status = |value: Option<Value>| state::<ServerState>(value).map(words::server_status);
            let turned = match noun {
                Noun::Server => turned(TriggerType::PostServerStateChange, change, status),
                Noun::Customer => {
                    let takes = change.fields().iter().any(|field| field.name == "plan_id");
                    any(TriggerType::PostPurchase).filter(|_| takes)
                }
                // Its provider has made it.
                Noun::PluggableResource => {
                    let state = |value| state::<PluggableState>(value);
                    let made = state(change.old_value("state")) == Some(PluggableState::Creating)
                        && state(change.new_value("state")) == Some(PluggableState::Active);
                    made.then(|| (TriggerType::PostJobStateChange, "SUCCESSFUL".into()))
                }
                _ => None,
            };
            let modified = change.fields().iter().any(|field| !KEPT_BY_US.contains(&field.name.as_str()));
            // A customer that is deleted is closed: its invoices stay.
            let closed = noun == Noun::Customer && state(change.new_value("status")) == Some(CustomerStatus::Closed);
            let event = |trigger, raised: bool| kind.clone().filter(|_| raised).map(|kind| (trigger, kind));
            let ended = done(noun, deed).filter(|_| closed);
            [turned, event(TriggerType::PostModify, modified), event(TriggerType::PostDelete, closed), ended]
        }
    }
}

/// A job that could be neither finished nor reversed.
fn stuck(change: &Change) -> Option<(TriggerType, Cow<'static, str>)> {
    let state = state::<JobState>(change.new_value("state"));
    (state == Some(JobState::NeedsOperator)).then(|| (TriggerType::PostException, "JOB".into()))
}

/// The event that a notice is.
fn told(what: Happening) -> (TriggerType, Cow<'static, str>) {
    match what {
        Happening::SignInFailed { .. } => (TriggerType::PostAuth, "FAILURE".into()),
        Happening::ApiCall { staff: false, operation, .. } => (TriggerType::PostUserApiCall, operation.into()),
        Happening::ApiCall { staff: true, operation, .. } => (TriggerType::PostAdminApiCall, operation.into()),
        Happening::Exception { source, .. } => (TriggerType::PostException, source.into()),
    }
}

/// A change from one state to another that differs in the language.
fn turned(
    trigger: TriggerType,
    change: &Change,
    status: impl Fn(Option<Value>) -> Option<&'static str>,
) -> Option<(TriggerType, Cow<'static, str>)> {
    let (old, new) = (status(change.old_value("state")), status(change.new_value("state"))?);
    (old != Some(new)).then_some((trigger, new.into()))
}

/// A state as a feed entry keeps it.
pub(crate) fn state<S: serde::de::DeserializeOwned>(value: Option<Value>) -> Option<S> {
    serde_json::from_value(value?).ok()
}

/// The id of the run of a function for a change. Derived, so that a replay after a crash finds the run it did before.
pub(crate) fn run_id(script: ScriptId, function: &str, entry: &FeedEntry, change: usize) -> RunId {
    derived(script, entry.at, &format!("{function}:{}:{change}", entry.seq))
}

/// An id that follows from the script, a time and a text, and is listed by that time.
pub(crate) fn derived(script: ScriptId, at: Timestamp, text: &str) -> RunId {
    let [_, _, _, _, _, _, rest @ ..] = Uuid::new_v5(&script.0, text.as_bytes()).into_bytes();
    RunId::new(at.0.max(0).unsigned_abs(), rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sutler_model::JobId;
    use sutler_store::Content;

    fn text(word: &str) -> FieldChange {
        serde_json::from_value(serde_json::json!({"name": "state", "old": null, "new": word})).unwrap()
    }

    fn change(noun: Noun, op: Op, fields: Vec<FieldChange>) -> Change {
        Change {
            noun,
            id: Uuid::from_u128(7),
            key: Vec::new(),
            version: 1,
            op,
            content: Content::Fields(fields),
            customer_id: Some(Uuid::from_u128(1)),
            billing_entity_id: Some(Uuid::from_u128(2)),
        }
    }

    fn turn(old: &str, new: &str) -> FieldChange {
        serde_json::from_value(serde_json::json!({"name": "state", "old": old, "new": new})).unwrap()
    }

    fn raised(changes: Vec<Change>) -> Vec<(usize, TriggerType, Cow<'static, str>)> {
        raised_by(Cause::system("test"), changes)
    }

    fn raised_by(cause: Cause, changes: Vec<Change>) -> Vec<(usize, TriggerType, Cow<'static, str>)> {
        let entry = FeedEntry { seq: 1, at: Timestamp(0), cause, changes };
        events(&entry).into_iter().map(|e| (e.change, e.trigger, e.option)).collect()
    }

    #[test]
    fn one_entry_raises_each_event_in_the_order_of_its_changes() {
        use TriggerType as T;
        let changes = vec![
            change(Noun::Server, Op::Created, vec![text("building")]),
            change(Noun::Disk, Op::Created, vec![text("creating")]),
            change(Noun::Interval, Op::Created, vec![]),
            change(Noun::Job, Op::Created, vec![text("not_started")]),
            change(Noun::ScriptRun, Op::Created, vec![text("succeeded")]),
            change(Noun::Server, Op::Updated, vec![turn("starting", "running")]),
        ];
        assert_eq!(
            raised(changes),
            [
                (0, T::PostCreate, "SERVER".into()),
                (1, T::PostCreate, "DISK".into()),
                (3, T::PostJobStateChange, "NOT_STARTED".into()),
                (5, T::PostServerStateChange, "RUNNING".into()),
            ]
        );
    }

    #[test]
    fn every_kind_of_record_that_scripts_know_raises_its_creation() {
        for (noun, option) in [
            (Noun::User, "USER"),
            (Noun::BillingEntity, "BILLING_ENTITY"),
            (Noun::Image, "IMAGE"),
            (Noun::PaymentMethod, "PAYMENT_METHOD"),
            (Noun::PaymentInstance, "PAYMENT_METHOD_INSTANCE"),
            (Noun::Transaction, "TRANSACTION"),
            (Noun::Plan, "PRODUCTOFFER"),
        ] {
            assert_eq!(raised(vec![change(noun, Op::Created, vec![])]), [(0, TriggerType::PostCreate, option.into())]);
            assert_eq!(raised(vec![change(noun, Op::Updated, vec![])]), []);
            assert_eq!(raised(vec![change(noun, Op::Deleted, vec![])]), [(0, TriggerType::PostDelete, option.into())]);
        }
        for silent in [Noun::ApiKey, Noun::Node] {
            assert_eq!(raised(vec![change(silent, Op::Created, vec![])]), [], "{silent}");
        }
    }

    #[test]
    fn charges_payments_and_plans_that_are_taken_are_events() {
        use TriggerType as T;
        let set = |name: &str, new: &str| -> FieldChange {
            serde_json::from_value(serde_json::json!({"name": name, "old": null, "new": new})).unwrap()
        };
        let of = |noun, op, fields| raised(vec![change(noun, op, fields)]);
        assert_eq!(
            of(Noun::Invoice, Op::Created, vec![]),
            [
                (0, T::PostCreate, "INVOICE".into()),
                (0, T::PostBilling, "ANY".into()),
                (0, T::PostCollection, "ANY".into()),
                (0, T::PostUnitTransaction, "ANY".into())
            ]
        );
        assert_eq!(
            of(Noun::Customer, Op::Created, vec![]),
            [(0, T::PostCreate, "CUSTOMER".into()), (0, T::PostPurchase, "ANY".into())]
        );
        assert_eq!(
            of(Noun::Customer, Op::Updated, vec![set("plan_id", "p")]),
            [(0, T::PostPurchase, "ANY".into()), (0, T::PostModify, "CUSTOMER".into())]
        );
        assert_eq!(
            of(Noun::Transaction, Op::Updated, vec![set("outcome", "success")]),
            [(0, T::PostPayment, "SUCCESS".into()), (0, T::PostUnitTransaction, "ANY".into())]
        );
        let failed = of(Noun::Transaction, Op::Updated, vec![set("outcome", "failure")]);
        assert_eq!(failed, [(0, T::PostPayment, "FAILURE".into())]);
        assert_eq!(of(Noun::Transaction, Op::Updated, vec![set("refunded", "1")]), []);
    }

    #[test]
    fn what_somebody_makes_or_deletes_at_once_is_a_job_that_has_ended() {
        use TriggerType as T;
        let request = || Cause::Request { request_id: "r".into(), user_id: None };
        let done = |cause, changes| -> Vec<(usize, Cow<'static, str>)> {
            let of =
                |event: (usize, T, Cow<'static, str>)| (event.1 == T::PostJobStateChange).then_some((event.0, event.2));
            raised_by(cause, changes).into_iter().filter_map(of).collect()
        };
        let successful = |index| vec![(index, Cow::Borrowed("SUCCESSFUL"))];
        for noun in [Noun::Customer, Noun::User, Noun::BillingEntity, Noun::Blob, Noun::Script, Noun::Plan, Noun::Image]
        {
            assert_eq!(done(request(), vec![change(noun, Op::Created, vec![])]), successful(0), "{noun}");
            // What the platform does by itself nobody asked for, and what a job does is the job's.
            assert_eq!(done(Cause::system("test"), vec![change(noun, Op::Created, vec![])]), []);
            let step = Cause::Job { job_id: JobId(Uuid::from_u128(1)) };
            assert_eq!(done(step, vec![change(noun, Op::Created, vec![])]), []);
        }
        let run = || Cause::run(RunId(Uuid::from_u128(1)), 1);
        assert_eq!(done(run(), vec![change(Noun::User, Op::Deleted, vec![])]), successful(0));
        assert_eq!(done(run(), vec![change(Noun::User, Op::Updated, vec![turn("a", "b")])]), []);
        let accepted =
            vec![change(Noun::Image, Op::Created, vec![]), change(Noun::Job, Op::Created, vec![text("not_started")])];
        assert_eq!(done(request(), accepted), [(1, "NOT_STARTED".into())]);
        // Each as often as it happens, whoever is the cause.
        for (noun, old, new, told) in [
            (Noun::PluggableResource, "creating", "active", Some("SUCCESSFUL")),
            (Noun::PluggableResource, "modifying", "active", None),
            (Noun::Transaction, "in_progress", "success", Some("SUCCESSFUL")),
            (Noun::Transaction, "in_progress", "failure", Some("FAILED")),
            (Noun::Transaction, "awaiting_input", "cancelled", Some("CANCELLED")),
            (Noun::Transaction, "in_progress", "awaiting_input", None),
        ] {
            let told: Vec<(usize, Cow<'static, str>)> = told.into_iter().map(|word| (0, word.into())).collect();
            assert_eq!(done(run(), vec![change(noun, Op::Updated, vec![turn(old, new)])]), told, "{noun} {new}");
        }
    }

    #[test]
    fn states_that_are_one_in_the_language_raise_nothing_between_them() {
        let job = |old, new| raised(vec![change(Noun::Job, Op::Updated, vec![turn(old, new)])]);
        assert_eq!(job("in_progress", "undoing"), []);
        assert_eq!(
            job("undoing", "needs_operator"),
            [(0, TriggerType::PostJobStateChange, "FAILED".into()), (0, TriggerType::PostException, "JOB".into())]
        );
        let server = |old, new| raised(vec![change(Noun::Server, Op::Updated, vec![turn(old, new)])]);
        assert_eq!(server("paused", "frozen"), []);
        assert_eq!(server("running", "paused"), [(0, TriggerType::PostServerStateChange, "RECOVERY".into())]);
        assert_eq!(raised(vec![change(Noun::Server, Op::Updated, vec![])]), []);
    }

    #[test]
    fn a_change_by_people_is_a_modification_and_one_by_the_platform_is_none() {
        let updated = |noun, fields| raised(vec![change(noun, Op::Updated, fields)]);
        let named = |name: &str| -> FieldChange {
            serde_json::from_value(serde_json::json!({"name": name, "old": 1, "new": 2})).unwrap()
        };
        assert_eq!(updated(Noun::Customer, vec![named("name")]), [(0, TriggerType::PostModify, "CUSTOMER".into())]);
        assert_eq!(updated(Noun::Customer, vec![named("invoiced_until")]), []);
        assert_eq!(updated(Noun::Disk, vec![named("state")]), []);
        assert_eq!(
            updated(Noun::Server, vec![turn("starting", "running"), named("keys")]),
            [(0, TriggerType::PostServerStateChange, "RUNNING".into()), (0, TriggerType::PostModify, "SERVER".into())]
        );
        assert_eq!(
            updated(Noun::Server, vec![turn("starting", "running"), named("nics")]),
            [(0, TriggerType::PostServerStateChange, "RUNNING".into())]
        );
        assert_eq!(
            raised(vec![change(Noun::Session, Op::Created, vec![])]),
            [(0, TriggerType::PostAuth, "SUCCESS".into())]
        );
        assert_eq!(raised(vec![change(Noun::Session, Op::Deleted, vec![])]), []);
    }

    #[test]
    fn the_scope_of_customers_and_billing_entities_is_their_own() {
        let entry = FeedEntry {
            seq: 1,
            at: Timestamp(0),
            cause: Cause::system("test"),
            changes: vec![
                change(Noun::Customer, Op::Created, vec![]),
                change(Noun::BillingEntity, Op::Created, vec![]),
            ],
        };
        let events = events(&entry);
        assert_eq!(events[0].customer, Some(CustomerId(Uuid::from_u128(7))));
        assert_eq!(events[0].billing_entity, Some(BillingEntityId(Uuid::from_u128(2))));
        assert_eq!(events[2].billing_entity, Some(BillingEntityId(Uuid::from_u128(7))));
    }

    #[test]
    fn a_run_keeps_its_id_shares_it_with_no_other_and_is_listed_by_time() {
        let script = ScriptId(Uuid::from_u128(1));
        let entry = |seq, at| FeedEntry { seq, at: Timestamp(at), cause: Cause::system("test"), changes: Vec::new() };
        let id = run_id(script, "f", &entry(12, 5), 3);
        assert_eq!(id, run_id(script, "f", &entry(12, 5), 3));
        for other in [
            run_id(ScriptId(Uuid::from_u128(2)), "f", &entry(12, 5), 3),
            run_id(script, "g", &entry(12, 5), 3),
            run_id(script, "f", &entry(13, 5), 3),
            run_id(script, "f", &entry(12, 5), 4),
        ] {
            assert_ne!(id, other);
        }
        assert!(id < run_id(script, "f", &entry(13, 6), 0));
    }
}

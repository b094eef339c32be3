//! Random change sets against the obvious model: maps, and preconditions checked one after the other.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Slots 0–5 are servers, 6–11 jobs.
const SLOTS: u8 = 12;

#[derive(Clone, Debug)]
enum Step {
    Create { slot: u8, name: u8, state: u8 },
    Update { slot: u8, name: u8, state: u8, stale: bool },
    Delete { slot: u8, stale: bool },
    Require { slot: u8, stale: bool },
}

fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let (slot, name, state) = (0..SLOTS, 0..4_u8, 0..4_u8);
    let stale = prop::bool::weighted(0.15);
    let step = prop_oneof![
        4 => (slot.clone(), name.clone(), state.clone())
            .prop_map(|(slot, name, state)| Step::Create { slot, name, state }),
        4 => (slot.clone(), name, state, stale)
            .prop_map(|(slot, name, state, stale)| Step::Update { slot, name, state, stale }),
        1 => (slot.clone(), stale).prop_map(|(slot, stale)| Step::Delete { slot, stale }),
        1 => (slot, stale).prop_map(|(slot, stale)| Step::Require { slot, stale }),
    ];
    prop::collection::vec(prop::collection::vec(step, 1..4), 1..40)
}

#[derive(Clone, Default, PartialEq, Debug)]
struct Model {
    servers: BTreeMap<Uuid, Server>,
    jobs: BTreeMap<Uuid, Job>,
}

/// What the store should answer.
#[derive(Debug, PartialEq)]
enum Refused {
    Conflict { expected: Option<u64>, found: Option<u64> },
    Taken { holder: Uuid },
}

fn make_server(slot: u8, name: u8, state: u8) -> Server {
    let mut server = bare_server(Uuid::from_u128(u128::from(slot) + 1), &format!("N{name}"), u128::from(slot % 2));
    server.state =
        [ServerState::Building, ServerState::Running, ServerState::Stopped, ServerState::Deleting][usize::from(state)];
    server
}

fn make_job(slot: u8, name: u8, state: u8) -> Job {
    let mut job = bare_job(Uuid::from_u128(u128::from(slot) + 1), u128::from(slot % 2));
    job.state =
        [JobState::NotStarted, JobState::InProgress, JobState::Successful, JobState::Failed][usize::from(state)];
    job.idempotency_key = (name > 0).then(|| format!("k{name}"));
    job
}

/// Applies one step to a change set and to the model.
fn step<R: Record>(
    map: &mut BTreeMap<Uuid, R>,
    claim: impl Fn(&R) -> Option<Vec<u8>>,
    fresh: R,
    step: &Step,
    set: &mut ChangeSet,
) -> Result<(), Refused> {
    let id = fresh.id();
    let found = map.get(&id).cloned();
    let mut old = found.clone().unwrap_or_else(|| fresh.clone());
    if old.version() == 0 {
        old.set_version(1);
    }
    if let Step::Update { stale: true, .. } | Step::Delete { stale: true, .. } | Step::Require { stale: true, .. } =
        step
    {
        old.set_version(old.version() + 7);
    }
    let mut new = fresh;
    let expected = match step {
        Step::Create { .. } => {
            set.create(&mut new);
            None
        }
        Step::Update { .. } => {
            set.update(&old, &mut new);
            Some(old.version())
        }
        Step::Delete { .. } => {
            set.delete(&old);
            Some(old.version())
        }
        Step::Require { .. } => {
            set.require(&old);
            Some(old.version())
        }
    };
    let found = found.map(|r| r.version());
    if found != expected {
        return Err(Refused::Conflict { expected, found });
    }
    match step {
        Step::Create { .. } | Step::Update { .. } => {
            if let Some(wanted) = claim(&new)
                && let Some((holder, _)) = map.iter().find(|(h, r)| **h != id && claim(r).as_ref() == Some(&wanted))
            {
                return Err(Refused::Taken { holder: *holder });
            }
            map.insert(id, new);
        }
        Step::Delete { .. } => drop(map.remove(&id)),
        Step::Require { .. } => {}
    }
    Ok(())
}

fn apply(model: &mut Model, steps: &[Step], set: &mut ChangeSet) -> Result<(), Refused> {
    let mut after = model.clone();
    let mut outcome = Ok(());
    for s in steps {
        let (slot, name, state) = match *s {
            Step::Create { slot, name, state } | Step::Update { slot, name, state, .. } => (slot, name, state),
            Step::Delete { slot, .. } | Step::Require { slot, .. } => (slot, 0, 0),
        };
        let this = if slot < SLOTS / 2 {
            let claim = |s: &Server| {
                (s.state != ServerState::Deleting).then(|| [s.customer_id.0.as_bytes(), s.name.as_bytes()].concat())
            };
            step(&mut after.servers, claim, make_server(slot, name, state), s, set)
        } else {
            let claim = |j: &Job| {
                j.idempotency_key.as_ref().map(|k| [j.customer_id.unwrap().0.as_bytes(), k.as_bytes()].concat())
            };
            step(&mut after.jobs, claim, make_job(slot, name, state), s, set)
        };
        // The set goes on being filled, as a caller who cannot know would.
        outcome = outcome.and(this);
    }
    if outcome.is_ok() {
        *model = after;
    }
    outcome
}

fn refused(error: Error) -> Refused {
    match error {
        Error::Conflict { expected, found, .. } => Refused::Conflict { expected, found },
        Error::Taken { holder, .. } => Refused::Taken { holder },
        other => panic!("neither a conflict nor taken: {other}"),
    }
}

/// Every way of asking must give what the model holds.
fn check(store: &Store, model: &Model) {
    for order in [Order::Ascending, Order::Descending] {
        let sorted = |mut ids: Vec<Uuid>| {
            if order == Order::Descending {
                ids.reverse();
            }
            ids
        };
        let all = listed::<Server>(store, &Filter::new(), 3, order);
        assert_eq!(all.iter().map(|s| s.id.0).collect::<Vec<_>>(), sorted(model.servers.keys().copied().collect()));
        assert!(all.iter().all(|s| model.servers[&s.id.0] == *s));
        let all = listed::<Job>(store, &Filter::new(), 3, order);
        assert_eq!(all.iter().map(|j| j.id.0).collect::<Vec<_>>(), sorted(model.jobs.keys().copied().collect()));
        assert!(all.iter().all(|j| model.jobs[&j.id.0] == *j));
        for customer in [0, 1] {
            for states in [vec![JobState::Successful], vec![JobState::NotStarted, JobState::Failed]] {
                let customer_id = Uuid::from_u128(customer);
                let filter = Filter::new()
                    .is(Field::Customer, customer_id.as_bytes())
                    .any(Field::State, states.iter().map(|s| s.name()));
                let found = listed::<Job>(store, &filter, 1, order).iter().map(|j| j.id.0).collect::<Vec<_>>();
                let wanted = model
                    .jobs
                    .values()
                    .filter(|j| j.customer_id.unwrap().0 == customer_id && states.contains(&j.state));
                assert_eq!(found, sorted(wanted.map(|j| j.id.0).collect()));
            }
        }
    }
    let index = store.index();
    assert_eq!(index.all(Noun::Server), model.servers.keys().copied().collect::<Vec<_>>());
    let pending = model.jobs.values().filter(|j| !j.state.is_final()).map(|j| j.id.0).collect::<Vec<_>>();
    assert_eq!(index.ids(Noun::Job, Field::Pending, b"1"), pending);
    assert_eq!(index.count(Noun::Job, Field::Pending, b"1"), pending.len());
    for state in ServerState::ALL {
        let wanted = model.servers.values().filter(|s| s.state == state).map(|s| s.id.0).collect::<Vec<_>>();
        assert_eq!(index.ids(Noun::Server, Field::State, state.name().as_bytes()), wanted);
    }
    for server in model.servers.values() {
        assert_eq!(index.version(Noun::Server, server.id.0), Some(server.version));
    }
    assert_eq!(replayed(store), *model);
}

/// What the feed alone says the store holds.
fn replayed(store: &Store) -> Model {
    let mut model = Model::default();
    for entry in store.feed(1, usize::MAX).unwrap() {
        for change in entry.changes {
            fn follow<R: Record>(map: &mut BTreeMap<Uuid, R>, change: &Change, decode: impl Fn(&[u8]) -> R) {
                match change.op {
                    Op::Created => drop(map.insert(change.id, change.created().unwrap())),
                    Op::Deleted => drop(map.remove(&change.id)),
                    Op::Updated => {
                        let mut bytes = Vec::new();
                        crate::msgpack::write(&mut bytes, &map[&change.id]);
                        let encoded: Vec<_> = change
                            .fields()
                            .iter()
                            .map(|f| {
                                let mut value = Vec::new();
                                rmpv::encode::write_value(&mut value, f.new.as_ref().unwrap()).unwrap();
                                (f.name.clone(), value)
                            })
                            .collect();
                        let fields: Vec<_> =
                            encoded.iter().map(|(n, v)| (n.as_str(), None, Some(v.as_slice()))).collect();
                        let patched = crate::msgpack::patch(&bytes, &fields, change.version).unwrap();
                        map.insert(change.id, decode(&patched));
                    }
                }
            }
            match change.noun {
                Noun::Server => follow(&mut model.servers, &change, |b| rmp_serde::from_slice(b).unwrap()),
                _ => follow(&mut model.jobs, &change, |b| rmp_serde::from_slice(b).unwrap()),
            }
        }
    }
    model
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn random_change_sets_do_what_the_model_says(sets in steps(), gather in 1..9_usize) {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        let mut model = Model::default();
        run(async {
            // Groups go in together, so that sets meet others of their own batch.
            for group in sets.chunks(gather) {
                let mut answers = Vec::new();
                for steps in group {
                    let mut changes = set();
                    let expected = apply(&mut model, steps, &mut changes);
                    answers.push((store.submit(changes), expected));
                }
                for (answer, expected) in answers {
                    assert_eq!(answer.await.map(|_| ()).map_err(refused), expected);
                }
            }
        });
        check(&store, &model);
        drop(store);
        let path = folder.path().join("store.redb");
        crate::verify(&path).unwrap();
        check(&open(folder.path()), &model);
    }
}

#[test]
fn of_many_writers_of_one_record_none_overwrites_another() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut shared = server(&store, "shared", 1);
    run(async {
        let mut changes = set();
        changes.create(&mut shared);
        store.commit(changes).await.unwrap();
    });
    let id = shared.id;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                run(async {
                    let mut done = 0;
                    while done < 50 {
                        let old = store.get::<Server>(id).await.unwrap().unwrap();
                        let mut new = old.clone();
                        new.cpu += 1;
                        let mut changes = set();
                        changes.update(&old, &mut new);
                        match store.commit(changes).await {
                            Ok(_) => done += 1,
                            Err(Error::Conflict { .. }) => {}
                            Err(other) => panic!("{other}"),
                        }
                    }
                });
            });
        }
    });
    let end = run(store.get::<Server>(id)).unwrap().unwrap();
    assert_eq!((end.cpu, end.version), (201, 201));
}

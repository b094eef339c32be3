//! The match table: which enabled entries an event sets off. All that is awake of a trigger that does not run.
//!
//! It is keyed by type, option and owner, and an event is looked up once for each owner it can have: the provider, each
//! billing entity above it and its customer. So what an event costs does not depend on how many triggers there are.
//! It keeps the sources of enabled scripts, which are texts of a few kilobytes; Lua states are kept by the runtime.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::{Arc, RwLock},
};
use sutler_model::{
    BillingEntityId, CustomerId, Entry, Point, PointKind, Scope, Script, ScriptId, Timestamp, TriggerType,
    point::Component, translation::Translations,
};

/// An enabled script.
#[derive(Clone, Debug)]
pub(crate) struct Armed {
    /// Its id.
    pub id: ScriptId,
    /// Its record's version; a new one loads the Lua state again.
    pub version: u64,
    /// Display name.
    pub name: String,
    /// Whose it is.
    pub owner: Scope,
    /// The source in force.
    pub source: Arc<str>,
    /// A failing PRE entry lets the event pass.
    pub fail_open: bool,
    /// Its POST and scheduled runs are held back.
    pub paused: bool,
    /// Events before this place in the feed are not for it.
    pub from_seq: u64,
    /// Schedules count from here.
    pub since: Timestamp,
    /// What it registered.
    pub entries: Vec<Entry>,
    /// What else it registered.
    pub points: Vec<Point>,
    /// The texts of its package.
    pub translations: Arc<Translations>,
}

impl From<Script> for Armed {
    fn from(script: Script) -> Self {
        Self {
            id: script.id,
            version: script.version,
            name: script.name,
            owner: script.owner,
            source: script.source.into(),
            fail_open: script.fail_open,
            paused: script.paused,
            from_seq: script.from_seq,
            since: script.modified_at,
            entries: script.entries,
            points: script.points,
            translations: Arc::new(script.translations),
        }
    }
}

/// One entry of an enabled script.
#[derive(Clone, Debug)]
pub(crate) struct Hook {
    /// The script.
    pub script: Arc<Armed>,
    index: usize,
}

impl Hook {
    /// The entry.
    pub(crate) fn entry(&self) -> &Entry {
        &self.script.entries[self.index]
    }
}

/// An entry point of an enabled script that is no trigger.
#[derive(Clone, Debug)]
pub(crate) struct Pointed {
    /// The script.
    pub script: Arc<Armed>,
    index: usize,
}

impl Pointed {
    /// The entry point.
    pub(crate) fn point(&self) -> &Point {
        &self.script.points[self.index]
    }
}

/// Every option, as scripts write it.
const ANY: &str = "ANY";

/// The table, shared by those who read it.
pub(crate) type Enabled = Arc<RwLock<Table>>;

/// See the module.
#[derive(Default)]
pub(crate) struct Table {
    scripts: HashMap<ScriptId, Arc<Armed>>,
    hooks: HashMap<TriggerType, HashMap<String, HashMap<Scope, Vec<Hook>>>>,
    /// Those scripts that have entry points of other kinds: few, so they are looked through.
    pointed: BTreeMap<ScriptId, Arc<Armed>>,
}

impl Table {
    /// Takes in a script, in place of what was known of it. An older version than the known one is stale news.
    pub(crate) fn arm(&mut self, script: Armed) -> Arc<Armed> {
        match self.scripts.get(&script.id) {
            Some(known) if known.version >= script.version => return known.clone(),
            Some(_) => self.disarm(script.id),
            None => {}
        }
        let script = Arc::new(script);
        for (index, entry) in script.entries.iter().enumerate() {
            for option in options(entry) {
                let by_option = self.hooks.entry(entry.trigger_type).or_default();
                let by_owner = by_option.entry(option.into_owned()).or_default();
                by_owner.entry(script.owner).or_default().push(Hook { script: script.clone(), index });
            }
        }
        if !script.points.is_empty() {
            self.pointed.insert(script.id, script.clone());
        }
        self.scripts.insert(script.id, script.clone());
        script
    }

    /// Forgets a script.
    pub(crate) fn disarm(&mut self, id: ScriptId) {
        let Some(script) = self.scripts.remove(&id) else { return };
        self.pointed.remove(&id);
        for entry in &script.entries {
            let Some(by_option) = self.hooks.get_mut(&entry.trigger_type) else { continue };
            for option in options(entry) {
                let Some(by_owner) = by_option.get_mut(option.as_ref()) else { continue };
                if let Some(hooks) = by_owner.get_mut(&script.owner) {
                    hooks.retain(|hook| hook.script.id != id);
                }
                by_owner.retain(|_, hooks| !hooks.is_empty());
            }
            by_option.retain(|_, by_owner| !by_owner.is_empty());
        }
    }

    /// An enabled script.
    pub(crate) fn script(&self, id: ScriptId) -> Option<&Arc<Armed>> {
        self.scripts.get(&id)
    }

    /// A script's own entries of a type.
    pub(crate) fn own(&self, id: ScriptId, trigger: TriggerType) -> Vec<Hook> {
        let Some(script) = self.scripts.get(&id) else { return Vec::new() };
        let entries = script.entries.iter().enumerate().filter(|(_, entry)| entry.trigger_type == trigger);
        entries.map(|(index, _)| Hook { script: script.clone(), index }).collect()
    }

    /// Whether any entry waits for events of this type and option.
    pub(crate) fn awaits(&self, trigger: TriggerType, option: &str) -> bool {
        self.hooks.get(&trigger).is_some_and(|by_option| {
            by_option.contains_key(ANY) || by_option.contains_key(meant(trigger, option).as_ref())
        })
    }

    /// The entries that an event sets off whose subject belongs to `customer`, sold by the entity with `path`, in the order
    /// they run in: by priority, then by age of the script, then as registered.
    pub(crate) fn matches(
        &self,
        trigger: TriggerType,
        option: &str,
        path: &[BillingEntityId],
        customer: Option<CustomerId>,
    ) -> Vec<Hook> {
        let Some(by_option) = self.hooks.get(&trigger) else { return Vec::new() };
        let owners = || {
            let above = path.iter().map(|entity| Scope::Entity(*entity));
            std::iter::once(Scope::Provider).chain(above).chain(customer.map(Scope::Customer))
        };
        let option = meant(trigger, option);
        // An event of a type without options has none but this.
        let own = Some(option.as_ref()).filter(|option| *option != ANY);
        let mut found: Vec<Hook> = own
            .into_iter()
            .chain([ANY])
            .filter_map(|option| by_option.get(option))
            .flat_map(|by_owner| owners().filter_map(|owner| by_owner.get(&owner)))
            .flatten()
            .cloned()
            .collect();
        found.sort_by_key(|hook| (hook.entry().priority, hook.script.id, hook.index));
        found
    }

    /// The entry points of other kinds, by age of their scripts.
    pub(crate) fn points(&self) -> impl Iterator<Item = Pointed> {
        let of =
            |script: &Arc<Armed>| (0..script.points.len()).map(|index| (script.clone(), index)).collect::<Vec<_>>();
        self.pointed.values().flat_map(of).map(|(script, index)| Pointed { script, index })
    }

    /// Leaves out what is secret of what was filled into a resource's form: all of it while its block is not enabled, for the form
    /// alone tells.
    pub(crate) fn hide_values(&self, script: ScriptId, provider_type: &str, filled: &mut BTreeMap<String, String>) {
        let points = self.pointed.values().filter(|armed| armed.id == script).flat_map(|armed| &armed.points);
        let forms = points.filter_map(|point| match &point.kind {
            PointKind::PluggableProvider(own) if own.provider_type == provider_type => Some(&own.components),
            _ => None,
        });
        hide(forms, filled);
    }

    /// The same for a provider's settings on a record of a customer, sold by the last of `path`: the forms are those of the blocks
    /// that add settings to it.
    pub(crate) fn hide_settings(
        &self,
        (path, customer): (&[BillingEntityId], Option<CustomerId>),
        provider_type: &str,
        filled: &mut BTreeMap<String, String>,
    ) {
        let points =
            self.pointed.values().filter(|armed| armed.owner.covers(path, customer)).flat_map(|armed| &armed.points);
        let configs = points.filter_map(|point| match &point.kind {
            PointKind::ConfigProvider(own) if own.provider_type == provider_type => Some(&own.resources),
            _ => None,
        });
        hide(configs.flatten().map(|config| &config.components), filled);
    }

    /// The entries that run at set times.
    pub(crate) fn scheduled(&self) -> Vec<Hook> {
        let by_option = self.hooks.get(&TriggerType::Scheduled);
        by_option.into_iter().flat_map(HashMap::values).flat_map(HashMap::values).flatten().cloned().collect()
    }
}

/// Leaves out what one of the forms calls a secret, and all where there is none.
fn hide<'a>(forms: impl Iterator<Item = &'a Vec<Component>>, filled: &mut BTreeMap<String, String>) {
    let mut forms = forms.peekable();
    if forms.peek().is_none() {
        filled.clear();
    }
    for secret in forms.flatten().flat_map(|component| &component.values).filter(|value| value.is_secret()) {
        filled.remove(&secret.key);
    }
}

/// The options an entry is kept under, each once. `ANY` stands for all others, and for none at all.
fn options(entry: &Entry) -> Vec<Cow<'_, str>> {
    let mut options: Vec<Cow<'_, str>> = entry.options.iter().map(|word| meant(entry.trigger_type, word)).collect();
    if options.is_empty() || options.iter().any(|option| option == ANY) || entry.trigger_type == TriggerType::Scheduled
    {
        return vec![ANY.into()];
    }
    options.sort_unstable();
    options.dedup();
    options
}

/// The option that a word stands for: some have several spellings.
fn meant(trigger: TriggerType, word: &str) -> Cow<'_, str> {
    match (trigger, word) {
        (TriggerType::PostAuth, "FAILED" | "FAIL" | "UNSUCCESSFUL") => "FAILURE".into(),
        (TriggerType::PostAuth, "SUCCESSFUL" | "SUCCEEDED") => "SUCCESS".into(),
        (trigger, word) if trigger.is_api_call() => word.to_uppercase().into(),
        (_, word) => word.into(),
    }
}

/// An option as the entry spells it, which is how its function compares it.
pub(crate) fn spelled<'a>(entry: &'a Entry, option: &'a str) -> &'a str {
    if entry.trigger_type != TriggerType::PostAuth {
        return option;
    }
    let same = |word: &&String| meant(entry.trigger_type, word) == meant(entry.trigger_type, option);
    entry.options.iter().find(same).map_or(option, String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn entity(n: u128) -> BillingEntityId {
        BillingEntityId(Uuid::from_u128(n))
    }

    fn customer(n: u128) -> CustomerId {
        CustomerId(Uuid::from_u128(n))
    }

    fn entry(trigger_type: TriggerType, options: &[&str], priority: i64) -> Entry {
        Entry {
            function: format!("f{priority}"),
            reference: "r".into(),
            name: "n".into(),
            description: String::new(),
            trigger_type,
            options: options.iter().map(|o| (*o).to_owned()).collect(),
            priority,
            schedule: None,
            customer_tags: Vec::new(),
        }
    }

    fn armed(id: u128, version: u64, owner: Scope, entries: Vec<Entry>) -> Armed {
        Armed {
            id: ScriptId(Uuid::from_u128(id)),
            version,
            name: "script".into(),
            owner,
            source: "".into(),
            fail_open: false,
            paused: false,
            from_seq: 0,
            since: Timestamp(0),
            translations: Arc::default(),
            entries,
            points: Vec::new(),
        }
    }

    fn found(table: &Table, option: &str, path: &[BillingEntityId], customer: Option<CustomerId>) -> Vec<u128> {
        let hooks = table.matches(TriggerType::PostCreate, option, path, customer);
        hooks.iter().map(|hook| hook.script.id.0.as_u128()).collect()
    }

    #[test]
    fn only_owners_that_cover_the_subject_are_found_and_all_of_them() {
        let mut table = Table::default();
        let owners = [
            Scope::Provider,
            Scope::Entity(entity(1)),
            Scope::Entity(entity(2)),
            Scope::Entity(entity(3)),
            Scope::Customer(customer(8)),
            Scope::Customer(customer(9)),
        ];
        for (n, owner) in owners.iter().enumerate() {
            table.arm(armed(n as u128, 1, *owner, vec![entry(TriggerType::PostCreate, &["SERVER"], 0)]));
        }
        for path in [vec![entity(1)], vec![entity(1), entity(2)], vec![entity(1), entity(3)]] {
            for subject in [None, Some(customer(8)), Some(customer(9)), Some(customer(10))] {
                let covering: Vec<u128> =
                    (0..).zip(owners).filter(|(_, o)| o.covers(&path, subject)).map(|(n, _)| n).collect();
                assert_eq!(found(&table, "SERVER", &path, subject), covering);
            }
        }
    }

    #[test]
    fn entries_run_by_priority_and_each_once() {
        let mut table = Table::default();
        table.arm(armed(1, 1, Scope::Provider, vec![entry(TriggerType::PostCreate, &["ANY", "SERVER"], 5)]));
        table.arm(armed(2, 1, Scope::Provider, vec![entry(TriggerType::PostCreate, &["SERVER", "SERVER"], -8000)]));
        table.arm(armed(3, 1, Scope::Provider, vec![entry(TriggerType::PostCreate, &[], 0)]));
        assert_eq!(found(&table, "SERVER", &[], None), [2, 3, 1]);
        assert_eq!(found(&table, "DISK", &[], None), [3, 1]);
    }

    #[test]
    fn a_new_version_takes_the_place_of_the_old_and_stale_news_changes_nothing() {
        let mut table = Table::default();
        table.arm(armed(1, 2, Scope::Provider, vec![entry(TriggerType::PostCreate, &["SERVER"], 0)]));
        table.arm(armed(1, 1, Scope::Provider, vec![entry(TriggerType::PostCreate, &["DISK"], 0)]));
        assert_eq!(found(&table, "SERVER", &[], None), [1]);
        table.arm(armed(1, 3, Scope::Provider, vec![entry(TriggerType::PostCreate, &["DISK"], 0)]));
        assert_eq!((found(&table, "SERVER", &[], None), found(&table, "DISK", &[], None)), (vec![], vec![1]));
        table.disarm(ScriptId(Uuid::from_u128(1)));
        assert!(!table.awaits(TriggerType::PostCreate, "DISK"));
        assert!(table.hooks.values().all(HashMap::is_empty));
    }

    #[test]
    fn an_option_is_found_under_every_spelling_and_told_in_the_entrys_own() {
        let mut table = Table::default();
        let failed = entry(TriggerType::PostAuth, &["FAILED"], 0);
        table.arm(armed(1, 1, Scope::Provider, vec![failed.clone()]));
        table.arm(armed(2, 1, Scope::Provider, vec![entry(TriggerType::PostUserApiCall, &["createServer"], 0)]));
        let found = |trigger, option| {
            let hooks = table.matches(trigger, option, &[], None);
            hooks.iter().map(|hook| hook.script.id.0.as_u128()).collect::<Vec<_>>()
        };
        assert_eq!(found(TriggerType::PostAuth, "FAILURE"), [1]);
        assert_eq!(found(TriggerType::PostAuth, "SUCCESS"), []);
        assert_eq!((spelled(&failed, "FAILURE"), spelled(&failed, "SUCCESS")), ("FAILED", "SUCCESS"));
        for word in ["createServer", "CREATESERVER"] {
            assert_eq!(found(TriggerType::PostUserApiCall, word), [2]);
            assert!(table.awaits(TriggerType::PostUserApiCall, word));
        }
        assert_eq!(found(TriggerType::PostUserApiCall, "createDisk"), []);
        assert!(!table.awaits(TriggerType::PostAdminApiCall, "createServer"));
        table.disarm(ScriptId(Uuid::from_u128(1)));
        assert!(!table.awaits(TriggerType::PostAuth, "FAILURE"));
    }

    #[test]
    fn ten_thousand_triggers_of_others_are_not_even_looked_at() {
        let mut table = Table::default();
        for n in 0..10_000 {
            let owner = Scope::Customer(customer(n));
            table.arm(armed(n, 1, owner, vec![entry(TriggerType::PostCreate, &["SERVER"], 0)]));
        }
        let slots = &table.hooks[&TriggerType::PostCreate]["SERVER"];
        assert_eq!(slots.len(), 10_000);
        assert!(slots.values().all(|hooks| hooks.len() == 1));
        assert_eq!(found(&table, "SERVER", &[entity(1), entity(2)], Some(customer(4711))), [4711]);
    }
}

//! Keys on records.

use super::{
    Platform,
    ask::{Args, Ask},
    failed,
    operations::noun_of,
    refusal,
    skeleton::Skeleton,
};
use crate::{
    Caller, Error,
    ops::missing,
    scripts::{
        beans::{ALL, Beans, Described, key, may_see, seller_of_operator},
        occasion::within,
    },
};
use serde_json::Value;
use sutler_lua::{HostError, Who};
use sutler_model::{
    BillingEntity, Customer, Disk, Image, KeyKind, Noun, Permission, PluggableResource, ResourceKey, Server, User,
};
use sutler_store::{ChangeSet, Error as StoreError};
use uuid::Uuid;

/// Tries against others who change the same record.
const TRIES: usize = 20;

/// A record that keeps keys.
pub(crate) trait Keyed: Described {
    /// What one must be allowed to, to change them.
    const PERMISSION: Permission;
    /// Its keys.
    fn keys_mut(&mut self) -> &mut Vec<ResourceKey>;
}

macro_rules! keyed {
    ($($record:ty => $permission:ident),*) => {$(
        impl Keyed for $record {
            const PERMISSION: Permission = Permission::$permission;
            fn keys_mut(&mut self) -> &mut Vec<ResourceKey> {
                &mut self.keys
            }
        }
    )*};
}
keyed!(
    Server => ServersWrite,
    Customer => CustomersWrite,
    BillingEntity => CustomersWrite,
    User => CustomersWrite,
    Disk => ServersWrite,
    Image => ImagesWrite,
    PluggableResource => ServersWrite
);

/// What to do with the keys of a record.
#[derive(Clone)]
enum Change {
    /// Sets the value of the name, whatever keys of that name there were.
    Set(ResourceKey),
    /// Removes all keys of the name that the caller may set.
    Remove(String),
    /// These in place of all that the caller may set.
    All(Vec<ResourceKey>),
}

/// `addKey`, `modifyKey`, `removeKey` (resource UUID, ResourceKey): the changed resource. Adding a key that is there already
/// with its value changes nothing, so a repeated run may do it again.
pub(super) async fn change(
    platform: &Platform,
    caller: &Caller,
    who: &Who,
    args: &Args<'_>,
) -> Result<Value, HostError> {
    let id = args.id(0)?;
    let change = if args.operation == "removeKey" {
        let name = args.get(1).get("name").and_then(Value::as_str);
        Change::Remove(name.ok_or_else(|| args.wrong(1, "a ResourceKey with a name"))?.to_owned())
    } else {
        let key = key(args.get(1), caller.scope);
        Change::Set(key.map_err(|detail| HostError::refused("CANNOT_CHANGE_SYSTEM_OR_BILLING_KEYS", detail))?)
    };
    change_of(platform, caller, who, id, change).await
}

/// `setUserKeys(resource UUID, KeyList)`: the resource with these keys in place of all its user keys.
pub(super) async fn set_all(ask: &Ask<'_>) -> Result<Value, HostError> {
    let id = ask.args.id(0)?;
    let list = Skeleton(ask.args.bean(1, "a KeyList")?);
    let items = list.0.get("keyContent").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut keys = Vec::with_capacity(items.len());
    for item in items {
        let key = key(item, ask.caller.scope).and_then(|key| match key.kind {
            KeyKind::User => Ok(key),
            _ => Err(format!("`{}` is no user key; set it with addKey", key.name)),
        });
        keys.push(key.map_err(|detail| HostError::refused("CANNOT_CHANGE_SYSTEM_OR_BILLING_KEYS", detail))?);
    }
    change_of(ask.platform, ask.caller, ask.who, id, Change::All(keys)).await
}

async fn change_of(
    platform: &Platform,
    caller: &Caller,
    who: &Who,
    id: Uuid,
    change: Change,
) -> Result<Value, HostError> {
    // A seller's own customer keeps its keys on the seller.
    let (noun, id) = match noun_of(platform, id) {
        Some(noun) => (Some(noun), id),
        None => {
            let read = platform.store.read(move |snapshot| seller_of_operator(snapshot, id));
            let seller = read.await.map_err(failed)?;
            (seller.is_some().then_some(Noun::BillingEntity), seller.map_or(id, |seller| seller.id.0))
        }
    };
    match noun {
        Some(Noun::Server) => apply::<Server>(platform, caller, who, id, &change).await,
        Some(Noun::Customer) => apply::<Customer>(platform, caller, who, id, &change).await,
        Some(Noun::BillingEntity) => apply::<BillingEntity>(platform, caller, who, id, &change).await,
        Some(Noun::User) => apply::<User>(platform, caller, who, id, &change).await,
        Some(Noun::Disk) => apply::<Disk>(platform, caller, who, id, &change).await,
        Some(Noun::Image) => apply::<Image>(platform, caller, who, id, &change).await,
        Some(Noun::PluggableResource) => apply::<PluggableResource>(platform, caller, who, id, &change).await,
        _ => Err(HostError::refused("NO_RESOURCE_FOUND", "there is no such resource that keeps keys")),
    }
}

async fn apply<R: Keyed>(
    platform: &Platform,
    caller: &Caller,
    who: &Who,
    id: Uuid,
    change: &Change,
) -> Result<Value, HostError> {
    caller.must(R::PERMISSION).map_err(refusal)?;
    let store = &platform.store;
    for _ in 0..TRIES {
        let (scope, tree) = (caller.scope, platform.tree.clone());
        let read = store.read(move |snapshot| {
            let Some(record) = snapshot.get::<R>(id)? else { return Ok(None) };
            let seen = within(snapshot, &tree, scope, record.billing_entity(), record.customer())?;
            Ok(seen.then_some(record))
        });
        let old = read.await.map_err(failed)?.ok_or_else(|| refusal(missing(R::NOUN, id)))?;
        let mut new = old.clone();
        let keys = new.keys_mut();
        match change {
            Change::Set(key) => match keys.iter_mut().find(|known| known.name == key.name && known.kind == key.kind) {
                Some(known) => known.clone_from(key),
                None => keys.push(key.clone()),
            },
            Change::Remove(name) => keys.retain(|key| key.name != *name || !may_see(scope, key.kind)),
            Change::All(new) => {
                // The original's list is one of the customer's own keys.
                keys.retain(|key| key.kind != KeyKind::User);
                keys.extend(new.iter().cloned());
            }
        }
        let problems = sutler_model::key::problems("keys", keys);
        if !problems.is_empty() {
            return Err(refusal(Error::Invalid(problems)));
        }
        if old.keys() != new.keys() {
            let mut set = ChangeSet::new(caller.cause.clone());
            set.update(&old, &mut new);
            match store.commit(set).await {
                Ok(_) => {}
                Err(StoreError::Conflict { .. }) => continue,
                Err(error) => return Err(failed(error)),
            }
        }
        let owner = who.owner;
        let bean = store.read(move |snapshot| Beans::new(snapshot, owner, ALL).bean(new)).await.map_err(failed)?;
        return Ok(tagged(bean));
    }
    Err(HostError::Failed("others keep changing this resource; try again".to_owned()))
}

/// A bean as the runtime takes it from a call.
pub(in crate::scripts) fn tagged(bean: sutler_lua::Bean) -> Value {
    let kind = bean.kind.clone().into_owned();
    bean.with("@bean", kind).properties.into()
}

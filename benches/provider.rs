//! A provider in this process: the actors over a store in a folder of its own, with simulated compute.

use crate::store_writes;
use anyhow::{Context, Result};
use sutler_actors::{Caller, NewProvider, NewScript, NodeConfig, Settings, Setup, System};
use sutler_drivers::simulated::{Config, Simulated};
use sutler_model::{Cause, Noun, Permission, Role, Scope, Script};
use sutler_store::{Options, Store};
use tempfile::TempDir;

/// The running whole and one who may do everything in it.
pub struct Provider {
    pub system: System,
    pub caller: Caller,
    _folder: TempDir,
}

impl Provider {
    pub async fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let options = Options { cache_bytes: store_writes::CACHE, reserve_bytes: 0, ..Options::default() };
        let store = Store::open(&folder.path().join("store.redb"), options)?;
        let world = Simulated::new(Config::default())?;
        let node = NodeConfig { name: "n".into(), uri: "simulated:///n".into(), drivers: world.drivers("n") };
        let setup = Setup { store, nodes: vec![node], settings: Settings::default(), simulated: None, arbiters: 2 };
        let system = System::start(setup).await?;
        let new = NewProvider {
            name: "Provider".into(),
            currency: "EUR".parse()?,
            admin_email: "admin@example.org".into(),
            password_hash: "none".into(),
        };
        system.bootstrap(new).await?;
        let seller = *system.store().index().all(Noun::BillingEntity).first().context("the provider")?;
        let caller = Caller {
            user_id: None,
            scope: Scope::Provider,
            role: Role::ProviderAdmin,
            permissions: Permission::ALL.to_vec(),
            billing_entity_id: seller.into(),
            customer_id: None,
            cause: Cause::system("bench"),
            request: None,
        };
        Ok(Self { system, caller, _folder: folder })
    }

    /// Loads an enabled script.
    pub async fn load(&self, name: &str, owner: Scope, source: &str) -> Result<Script> {
        let new = NewScript { name: name.into(), owner, source: source.into(), enabled: true, fail_open: false };
        Ok(self.system.create_script(&self.caller, new).await?)
    }

    pub async fn stop(self) {
        self.system.stop().await;
        self.system.store().close().await;
    }
}

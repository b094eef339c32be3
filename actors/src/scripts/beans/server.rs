//! Servers, with their interfaces.

use super::{Described, Property, described, id, keys, metadata, set_keys, set_name, whole};
use crate::scripts::words::server_status;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use sutler_model::{Disk, Image, Nic, Node, Scope, Server, ServerState};
use sutler_store::Field;
use uuid::Uuid;

impl Described for Server {
    const KIND: &'static str = "Server";
    const PLACED: bool = true;

    fn properties() -> &'static [Property<Self>] {
        type P = Property<Server>;
        const PROPERTIES: &[P] = &[
            P::new("resourceName", |s, _| s.name.as_str().into()).or_set(|s, v, _| set_name(&mut s.name, v)),
            P::new("resourceKey", keys).or_set(|s, v, viewer| set_keys(&mut s.keys, v, viewer)),
            P::new("status", |s, _| server_status(s.state).into()),
            P::new("cpu", |s, _| s.cpu.into()).or_set(|s, v, _| {
                s.cpu = whole(v)?.try_into().map_err(|_| "is too large".to_owned())?;
                Ok(())
            }),
            // Both count in binary megabytes.
            P::new("ram", |s, _| s.memory_mib.into()).or_set(|s, v, _| {
                s.memory_mib = whole(v)?;
                Ok(())
            }),
            P::new("imageUUID", |s, _| id(Some(s.image_id))),
            P::read("imageName", |s, b| b.name_of::<Image>(s.image_id.into())),
            P::held("imagePermission", |s, b| b.image_permission(s)),
            P::new("nics", |s, _| nics(s).map(Value::Object).collect()),
            P::held("disks", |s, b| b.within::<Disk>(Field::Subject, s.id.into())),
            // Where it runs is for sellers.
            P::new("nodeUUID", |s, viewer| id(s.node_id.filter(|_| !matches!(viewer, Scope::Customer(_))))),
            P::read("nodeName", |s, b| match (s.node_id, b.viewer) {
                (None, _) | (_, Scope::Customer(_)) => Ok(Value::Null),
                (Some(node), _) => Ok(b.snapshot.get::<Node>(node)?.map_or(Value::Null, |node| node.name.into())),
            }),
            // They are lines of its own, no resources.
            P::new("sshkeys", |s, _| s.ssh_keys.iter().map(|line| json!({"publicKey": line})).collect()),
            P::new("virtualizationType", |_, _| "VIRTUAL_MACHINE".into()),
            P::new("providers", |s, _| json!(s.provider_values)).or_set(|s, v, _| {
                s.provider_values = providers(v)?;
                Ok(())
            }),
        ];
        PROPERTIES
    }

    described! {
        label: |s| s.name.clone();
        created_at: |s| s.created_at;
        modified_at: |s| s.state_since;
        resource_state: |s| match s.state {
            ServerState::Building => "CREATING",
            ServerState::Deleting => "TO_BE_DELETED",
            _ => "ACTIVE",
        };
        customer: |s| Some(s.customer_id);
        billing_entity: |s| s.billing_entity_id;
        keys: |s| &s.keys;
        metadata: |s| Some(metadata::kept(&s.metadata));
        metadata_mut: |s| &mut s.metadata;
        runtime_metadata: |s| s.runtime_metadata.as_deref();
    }
}

/// The properties of its interfaces.
pub(crate) fn nics(server: &Server) -> impl Iterator<Item = Map<String, Value>> {
    server.nics.iter().map(|n| nic(server, n))
}

fn nic(server: &Server, nic: &Nic) -> Map<String, Value> {
    // Interfaces are no records of their own; their ids derive from the server's.
    let nic_id = Uuid::new_v5(&server.id.0, format!("nic:{}", nic.index).as_bytes()).to_string();
    let addresses: Vec<Value> = (nic.addresses.iter())
        .map(|address| {
            let kind = if address.contains(':') { "IPV6" } else { "IPV4" };
            json!({"ipAddress": address, "type": kind, "auto": true, "nicUUID": nic_id})
        })
        .collect();
    let properties = [
        ("resourceUUID", nic_id.into()),
        ("resourceType", "NIC".into()),
        ("resourceName", format!("{}-nic-{}", server.name, nic.index).into()),
        ("resourceState", server.resource_state().into()),
        ("resourceCreateDate", server.created_at.0.into()),
        ("lastModifiedTime", server.created_at.0.into()),
        ("index", nic.index.into()),
        ("macAddress", nic.mac.as_str().into()),
        ("networkType", "IP".into()),
        ("serverUUID", server.id.to_string().into()),
        ("serverName", server.name.as_str().into()),
        ("ipAddresses", Value::Array(addresses)),
    ];
    properties.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Longest text and most settings of configuration providers: they are forms that people fill in.
const SETTING_BYTES: usize = 4096;
const SETTINGS_MAX: usize = 200;

pub(crate) fn providers(value: &Value) -> Result<BTreeMap<String, BTreeMap<String, String>>, String> {
    let mut providers = BTreeMap::new();
    let empty = serde_json::Map::new();
    // Nil for all of a provider's settings is as good as none of them.
    for (provider, settings) in value.as_object().unwrap_or(&empty).iter().filter(|(_, settings)| !settings.is_null()) {
        let settings = settings.as_object().ok_or("must be a map of maps of texts")?;
        let mut kept = BTreeMap::new();
        for (name, setting) in settings.iter().filter(|(_, setting)| !setting.is_null()) {
            kept.insert(name.clone(), super::text(setting));
        }
        if !kept.is_empty() {
            providers.insert(provider.clone(), kept);
        }
    }
    let settings = || providers.values().flatten();
    if settings().count() > SETTINGS_MAX {
        return Err(format!("has more than {SETTINGS_MAX} settings"));
    }
    if settings().any(|(name, setting)| name.len() + setting.len() > SETTING_BYTES) {
        return Err(format!("has a setting longer than {SETTING_BYTES} bytes"));
    }
    Ok(providers)
}

//! Reading is tested with the events over a running system; here, what comes back.

use super::*;
use sutler_model::{CustomerStatus, ImageId, PlanId, Quota, ServerId, ServerState, Wanted};
use sutler_model::{Server, User};

fn server() -> Server {
    Server {
        id: ServerId(Uuid::from_u128(1)),
        version: 0,
        name: "web".into(),
        customer_id: CustomerId(Uuid::from_u128(2)),
        billing_entity_id: BillingEntityId(Uuid::from_u128(3)),
        cpu: 2,
        memory_mib: 1024,
        image_id: ImageId(Uuid::from_u128(4)),
        node_id: None,
        nics: Vec::new(),
        state: ServerState::Building,
        state_since: Timestamp(0),
        state_reason: None,
        wanted: Wanted::Running,
        job_id: None,
        user_data: None,
        ssh_keys: Vec::new(),
        keys: vec![ResourceKey {
            name: "plan".into(),
            value: "gold".into(),
            kind: KeyKind::BillingEntity,
            ..ResourceKey::default()
        }],
        provider_values: Default::default(),
        metadata: None,
        runtime_metadata: None,
        created_at: Timestamp(0),
    }
}

fn customer() -> Customer {
    Customer {
        id: CustomerId(Uuid::from_u128(2)),
        version: 0,
        name: "Ada".into(),
        billing_entity_id: BillingEntityId(Uuid::from_u128(3)),
        status: CustomerStatus::Active,
        plan_id: PlanId(Uuid::from_u128(5)),
        quota: Quota::default(),
        warning_level: None,
        invoiced_until: Timestamp(0),
        provider_values: Default::default(),
        metadata: None,
        keys: Vec::new(),
        contact: Default::default(),
        created_at: Timestamp(0),
        closed_at: None,
    }
}

fn bean(properties: Value) -> Bean {
    let Value::Object(properties) = properties else { panic!("an object") };
    Bean { kind: "Bean".into(), properties: properties.into() }
}

#[test]
fn only_what_changed_is_taken_and_the_rest_is_named() {
    let before = bean(json!({"resourceName": "web", "cpu": 2, "ram": 1024, "status": "BUILDING", "nics": []}));
    let after = bean(json!({"resourceName": "db", "cpu": 2.0, "ram": 2048.0, "status": "RUNNING", "odd": 1}));
    let mut record = server();
    let ignored = apply(&before, &after, &mut record, Scope::Provider).unwrap();
    assert_eq!(ignored, ["odd", "status"]);
    assert_eq!(record, Server { name: "db".into(), memory_mib: 2048, ..server() });
}

#[test]
fn every_value_that_cannot_be_is_named_with_its_property() {
    let before = bean(json!({"cpu": 2, "ram": 1024, "resourceName": "web", "providers": {}}));
    let after = bean(json!({"cpu": -1, "ram": 0.5, "resourceName": null, "providers": {"a": "b"}}));
    let problems = apply(&before, &after, &mut server(), Scope::Provider).unwrap_err();
    let fields: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(fields, ["cpu", "providers", "ram", "resourceName"]);
    assert!(problems[0].detail.contains("-1"), "{}", problems[0]);
    let huge = bean(json!({"cpu": 1e300, "ram": 1024, "resourceName": "web"}));
    assert!(apply(&before, &huge, &mut server(), Scope::Provider).is_err());
}

#[test]
fn customers_scripts_keep_their_hands_off_their_sellers_keys() {
    let own = Scope::Customer(CustomerId(Uuid::from_u128(2)));
    let before = bean(json!({"resourceKey": []}));
    let mut record = server();
    let after = bean(json!({"resourceKey": [{"name": "mine", "value": 1}]}));
    apply(&before, &after, &mut record, own).unwrap();
    let keys: Vec<(&str, &str)> = record.keys.iter().map(|key| (key.name.as_str(), key.value.as_str())).collect();
    assert_eq!(keys, [("plan", "gold"), ("mine", "1")]);
    let forged = bean(json!({"resourceKey": [{"name": "plan", "value": "free", "type": "BILLING_ENTITY_KEY"}]}));
    assert!(apply(&before, &forged, &mut record, own).is_err());
    apply(&before, &forged, &mut record, Scope::Provider).unwrap();
    assert_eq!(record.keys.iter().map(|key| key.value.as_str()).collect::<Vec<_>>(), ["free"]);
}

#[test]
fn amounts_and_limits_of_customers_come_back_exactly() {
    let before = bean(json!({"limitsMap": {"MAX_SERVERS": 20}}));
    let after = bean(json!({"warningLevel": 12.34, "limitsMap": {"MAX_SERVERS": 5.0}, "status": "DISABLED"}));
    let mut record = customer();
    apply(&before, &after, &mut record, Scope::Provider).unwrap();
    assert_eq!(record.warning_level, Some(Nanos(12_340_000_000)));
    assert_eq!((record.quota.servers, record.quota.cpus), (5, Quota::default().cpus));
    assert_eq!(record.status, CustomerStatus::Suspended);
    let own = Scope::Customer(record.id);
    assert!(apply(&before, &bean(json!({"limitsMap": {"MAX_SERVERS": 500}})), &mut record, own).is_err());
}

#[test]
fn names_of_properties_are_those_of_the_language_and_stand_once_in_each_table() {
    fn check<R: Described>() {
        let mut names: Vec<&str> = R::properties().iter().map(|property| property.name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "{}", R::KIND);
        assert!(names.iter().all(|name| name.starts_with(|c: char| c.is_ascii_lowercase())), "{}", R::KIND);
        // What was read stands before what follows from the record.
        let of_owner = ["billingEntityName", "customerName", "vdcUUID", "vdcName", "clusterUUID", "clusterName"];
        assert!(of_owner.iter().all(|name| !names.contains(name)), "{}", R::KIND);
    }
    check::<Server>();
    check::<Customer>();
    check::<User>();
    check::<BillingEntity>();
    check::<sutler_model::Job>();
    check::<sutler_model::Disk>();
    check::<sutler_model::Image>();
    check::<sutler_model::Invoice>();
}

#[test]
fn a_bean_tells_what_was_read_with_it_and_the_rest_from_the_record_as_it_was() {
    let told = Told {
        record: server(),
        viewer: Scope::Customer(CustomerId(Uuid::from_u128(2))),
        read: vec![("imageName", Read::Value("linux".into()))],
        of_owner: Arc::new([("customerName", "Ada".into())]),
    };
    let bean = Bean { kind: "Server".into(), properties: Properties::of(Arc::new(told)) };
    let value = |name: &str| bean.properties.get(name).map(|value| value.into_owned());
    assert_eq!(value("imageName"), Some("linux".into()));
    assert_eq!(value("customerName"), Some("Ada".into()));
    assert_eq!(value("resourceName"), Some("web".into()));
    assert_eq!(value("ram"), Some(1024.into()));
    // Its one key is the seller's.
    assert_eq!(value("resourceKey"), Some(json!([])));
    // What is read is not made from the record, and what is null is not there.
    assert_eq!((value("nodeName"), value("nodeUUID"), value("nothing")), (None, None, None));
    let all = bean.properties.to_map();
    assert!(all.iter().all(|(name, there)| value(name).as_ref() == Some(there)), "{all:?}");
    assert!(["imageName", "customerName", "resourceUUID", "status"].iter().all(|name| all.contains_key(*name)));
    assert!(!all.contains_key("nodeUUID"));
}

//! Scripts that wait for the jobs of what is done at once here, and change it before.

use super::{super::*, Stage};
use crate::{NewBlob, NewPlan};
use sutler_model::Cause;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_signs_up_is_a_job_and_gets_an_account_and_a_tidy_name() {
    let stage = Stage::open().await;
    let bench = &stage.bench;
    let ada = bench.user("ada").await;
    stage.load("accounts", include_str!("sub_accounts.lua")).await;
    // As a request of a user makes it.
    let cause = Cause::Request { request_id: "r".into(), user_id: Some(ada.id) };
    let caller = Caller { cause, ..bench.caller.clone() };
    let system = &bench.system;
    let plan = all::<Plan>(system).await.remove(0);
    let made = system.create_customer(&caller, crate::testing::new_customer("Acme", &plan)).await.unwrap();
    let log = stage.logs("storage_account", 1).await;
    assert_eq!(log, ["CUSTOMER\tAcme\ttrue\tProvider\tnil\ttrue\n"]);
    assert_eq!(stage.customer(made.id).await.provider_values["STORAGE_SERVICE"]["account"], "acc-acme");
    let user = |last: &str| NewUser {
        email: "bob@example.org".into(),
        first_name: "bob".into(),
        last_name: last.into(),
        billing_entity_id: plan.billing_entity_id,
        customer_id: Some(made.id),
        role: Role::CustomerAdmin,
        password_hash: "none".into(),
        contact: Default::default(),
    };
    // What a script makes of a name is held to the same rules.
    system.create_user(&caller, user("Nobody")).await.unwrap_err();
    let run = stage.bench.runs().await.into_iter().rfind(|run| run.function == "storage_hook").expect("its run");
    assert!(run.result.contains("last_name"), "{run:#?}");
    let bob = system.create_user(&caller, user("Babbage")).await.unwrap();
    assert_eq!((bob.first_name.as_str(), bob.email.as_str()), ("Bob", "bob@example.org"));
    system.delete_user(&caller, bob.id, None).await.unwrap();
    let offer = NewPlan {
        name: "Gold".into(),
        billing_entity_id: plan.billing_entity_id,
        currency: plan.currency,
        cpu_hour: plan.cpu_hour,
        memory_gib_hour: plan.memory_gib_hour,
        disk_gib_hour: plan.disk_gib_hour,
        unit_price: plan.unit_price,
        charges: Vec::new(),
    };
    system.create_plan(&caller, offer).await.unwrap();
    let log = stage.logs("storage_login", 3).await;
    let user = |kind| format!("{kind}\tSUCCESSFUL\tBob Babbage\tAcme\tada Lovelace\n");
    // What is the seller's own is its own customer's.
    let offer = "CREATE_PRODUCT_OFFER of Provider, ADMIN\n".to_owned();
    assert_eq!(log, [user("CREATE_USER"), user("DELETE_USER"), offer]);
    let blob = NewBlob {
        name: "logo.png".into(),
        content: vec![1],
        media_type: "image/png".into(),
        billing_entity_id: plan.billing_entity_id,
        customer_id: Some(made.id),
        public: false,
    };
    let blob = system.create_blob(&caller, blob).await.unwrap();
    assert_eq!((blob.name.as_str(), blob.public), ("storage-logo.png", true));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_made_as_asked_is_not_made_at_all_and_all_else_whole() {
    let stage = Stage::open().await;
    let asked = r#"
        function register() return { "asked" } end
        function asked(p)
            if p == nil then return { ref = "a", triggerType = "SCHEDULED", schedule = { frequency = { HOUR = 24 } }, api = "TRIGGER" } end
            local server = new("Server")
            server:setResourceName("wide") server:setCpu(1) server:setRam(128)
            for i = 1, 2 do server:getDisks():add(new("Disk")) end
            print(select(2, pcall(adminAPI.createServer, adminAPI, server, nil, nil)))
            server:setDisks({})
            server:setNics({ new("Nic"), new("Nic") })
            print(select(2, pcall(adminAPI.createServer, adminAPI, server, nil, nil)))
            local customer, user = new("Customer"), new("User")
            customer:setResourceName("Alone") user:setEmail("a@example.org") customer:getUsers():add(user)
            print(select(2, pcall(adminAPI.createCustomer, adminAPI, customer, nil)))
            local seller, key, address = new("BillingEntity"), new("ResourceKey"), new("Address")
            key:setName("TIER") key:setValue(2) key:setType(new("ResourceKeyType", "BILLING_ENTITY_KEY"))
            address:setAddress6("GB")
            seller:setResourceName("North") seller:getResourceKey():add(key) seller:setAddress(address) seller:setVatNumber("GB1")
            local made = adminAPI:getResource(adminAPI:createBillingEntity(seller, nil):getItemUUID(), true)
            print(made:getResourceKey():get(0):getValue(), made:getAddress():getAddress6(), made:getVatNumber())
        end
    "#;
    let asked = asked.replace(
        "server:setRam(128)",
        &format!(
            "server:setRam(128) server:setCustomerUUID('{}') server:setImageUUID('{}')",
            stage.bench.customer, stage.bench.image
        ),
    );
    let script = stage.load("asked", &asked).await;
    let log = stage.run(&script, sutler_model::Timestamp(1)).await;
    for (line, words) in log.lines().zip(["more than one disk", "more than one network interface", "with createUser"]) {
        assert!(line.contains(words) && line.contains("not offered here"), "{log}");
    }
    // What can be is made whole.
    assert_eq!(log.lines().nth(3), Some("2\tGB\tGB1"), "{log}");
    assert!(stage.bench.server("wide").await.is_none());
    assert!(all::<Customer>(&stage.bench.system).await.iter().all(|customer| customer.name != "Alone"));
    stage.bench.stop().await;
}

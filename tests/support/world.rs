//! A provider with a reseller, customers and their users.

use super::{Client, Program};
use serde_json::{Value, json};

/// Every test user's password.
pub const PASSWORD: &str = "a long pass phrase";

/// A customer and its administrator.
pub struct Account {
    /// The customer.
    pub id: String,
    /// Its administrator's user id.
    pub user: String,
    /// Its administrator, signed in.
    pub client: Client,
}

/// A program with people on it.
pub struct World {
    /// The program.
    pub program: Program,
    /// The provider's administrator.
    pub admin: Client,
    /// The provider.
    pub provider: String,
    /// The provider's plan.
    pub plan: String,
    /// An image offered to all.
    pub image: String,
    /// A customer of the provider.
    pub ada: Account,
    /// Another customer of the provider.
    pub bob: Account,
}

impl World {
    /// Two customers of the provider, and an image.
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// The same, with settings.
    pub async fn with(settings: &[(&str, &str)]) -> Self {
        let program = Program::with(settings).await;
        let admin = program.admin().await;
        let provider = admin.get("/billing-entities").await.items()[0]["id"].as_str().expect("an id").to_owned();
        let plan = admin.get("/plans").await.items()[0]["id"].as_str().expect("an id").to_owned();
        let image = import(&program, &admin, json!({ "name": "tiny" })).await;
        let ada = account(&program, &admin, "ada", json!({ "plan_id": plan })).await;
        let bob = account(&program, &admin, "bob", json!({ "plan_id": plan })).await;
        Self { program, admin, provider, plan, image, ada, bob }
    }

    /// The body of a request for a server.
    pub fn server(&self, name: &str) -> Value {
        json!({ "name": name, "cpu": 1, "memory_mib": 256, "disk_gib": 1, "image_id": self.image })
    }

    /// Creates a running server for `owner` and answers its id.
    pub async fn running_server(&self, owner: &Client, name: &str) -> String {
        let job = owner.post("/servers", self.server(name)).await.expect(202);
        let done = owner.finished(&job.id()).await;
        assert_eq!(done["state"], "successful", "{done}");
        done["item_id"].as_str().expect("an id").to_owned()
    }

    /// A user of `customer` in a role, signed in.
    pub async fn user(&self, customer: &str, name: &str, role: &str) -> (String, Client) {
        user(&self.program, &self.admin, name, role, json!({ "customer_id": customer })).await
    }
}

/// Takes a small image in. `more` must give its name.
pub async fn import(program: &Program, admin: &Client, more: Value) -> String {
    let file = program.data().with_file_name("tiny.raw");
    let mut bytes = vec![0; 1024 * 1024];
    // A boot sector, so that it passes for a disk.
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    std::fs::write(&file, bytes).expect("an image file");
    let body = merged(json!({ "file": file, "size_gib": 1, "memory_mib_min": 64 }), more);
    admin.post("/images", body).await.expect(201).id()
}

/// Creates a customer and its administrator.
pub async fn account(program: &Program, admin: &Client, name: &str, more: Value) -> Account {
    let customer = admin.post("/customers", merged(json!({ "name": name }), more)).await.expect(201).id();
    let (user, client) = user(program, admin, name, "customer_admin", json!({ "customer_id": customer })).await;
    Account { id: customer, user, client }
}

/// Creates a user and signs them in.
pub async fn user(program: &Program, admin: &Client, name: &str, role: &str, more: Value) -> (String, Client) {
    let email = format!("{name}@example.org");
    let body = json!({ "email": email, "first_name": name, "last_name": "Test", "role": role, "password": PASSWORD });
    let id = admin.post("/users", merged(body, more)).await.expect(201).id();
    (id, program.client().sign_in(&email, PASSWORD).await)
}

fn merged(mut body: Value, more: Value) -> Value {
    let (Some(body_map), Value::Object(more)) = (body.as_object_mut(), more) else { panic!("two objects") };
    body_map.extend(more);
    body
}

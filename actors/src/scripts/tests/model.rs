//! The original's model held against a system that has one of everything: each operation by each door with arguments that fit,
//! with none and with wrong ones; each property of each kind of bean; each resource type; each trigger type and option.

use super::{
    payments::{CARD, PAID, Till},
    pluggables::NOTES,
    *,
};
use crate::{NewBlob, NewPluggable};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};
use uuid::Uuid;

const OPERATIONS: &str = include_str!("model/operations.txt");
const UNSET: &str = include_str!("model/unset.txt");
const BEANS: &str = include_str!("../../../../crates/lua/schema/beans.txt");
const ENUMS: &str = include_str!("../../../../crates/lua/schema/enums.txt");

/// What the rows of `operations.txt` are written in.
const WORDS: &str = r##"
    local turn = 0
    local function fresh() turn = turn + 1 return "n" .. turn .. string.lower(DOOR) .. OPERATION end
    local function key(name, value) local k = new("ResourceKey") k:setName(name) k:setValue(value) return k end
    local function keys() local l = new("KeyList") l:getKeyContent():add(key("audit", 3)) return l end
    local function value(name, text) local v = new("Value") v:setKey(name) v:setValue(text) return v end
    local function action(word) local a = new("CapabilityAction") a:setCapability(word) return a end
    local function permission(word) local p = new("Permission") p:setCapability(word) p:setPermitted(true) return p end
    local function person(name)
        local u = new("User") u:setFirstName(name) u:setLastName("Babbage") u:setEmail(name .. fresh() .. "@example.org")
        u:setOrganisation("x") local c = u c.setCustomerUUID(U.customer) return u
    end
    local function blob() local b = new("Blob") b:setResourceName("f" .. fresh()) b:setValue("text") b:setCustomerUUID(U.customer) return b end
    local function image() local i = new("Image") i:setResourceName("i" .. fresh()) i:setBaseUUID(U.stopped) return i end
    local function card() local c = new("PaymentMethodInstance") c:setResourceName("c" .. fresh()) c:setCustomerUUID(U.customer) c:setPaymentMethodUUID(U.method) return c end
    local function note()
        local n = new("PluggableResource") n:setResourceName("n" .. fresh()) n:setProviderType("NOTE") n:setCustomerUUID(U.customer)
        n:getResourceValues():put("text", "world") return n
    end
    local function server()
        local s = new("Server") s:setResourceName("s-" .. fresh()) s:setCpu(1) s:setRam(512) s:setImageUUID(U.image) s:setCustomerUUID(U.customer) return s
    end
    local function spare() return userAPI:waitForJob(adminAPI:createServer(server(), nil, nil):getResourceUUID(), true):getItemUUID() end
    local function customer() local c = new("Customer") c:setOrganisationName("Firm " .. fresh()) c:setResourceName("Firm " .. fresh()) c:setBillingEntityUUID(U.seller) return c end
    local function entity() local e = new("BillingEntity") e:setResourceName("Reseller " .. fresh()) e:setParentUUID(U.seller) return e end
    local function filter()
        local f = new("SearchFilter") f:addCondition(new("Utils"):createFilterCondition("customerUUID", "IS_EQUAL_TO", { U.customer })) return f
    end
    local function query()
        local q = new("Query") q:setResourceType(new("ResourceType", "SERVER")) q:setSearchFilter(filter()) q:setOutputFields({ "resourceName" }) return q
    end
    local function metadata() local m = new("ResourceMetadata") m:setPublicMetadata("<a/>") return m end
    local function scheduled()
        return adminAPI:changeServerStatus(U.server, new("ServerStatus", "RUNNING"), true, nil, new("FDLDateHelper"):addDays(new("FDLDateHelper"):getTimestamp(), 1)):getResourceUUID()
    end
    local function changed(uuid) local r = adminAPI:getResource(uuid, true) r:getResourceKey():add(key("changed", DOOR)) return r end
    local function named(uuid, name) local r = adminAPI:getResource(uuid, true) r:setResourceName(name) return r end

    -- The kind of what an operation gave, or what it raised.
    local function told(done, value)
        if not done then return "ERROR " .. tostring(value) end
        if type(value) ~= "userdata" then return type(value) end
        for _, kind in ipairs { "ListResult", "QueryResult", "Job", "Server", "Customer", "User", "Blob" } do
            local _, why = pcall(function() return value:noSuchMethod() end)
            if string.find(why, "a " .. kind .. " has", 1, true) then return kind end
        end
        return string.match(select(2, pcall(function() return value:noSuchMethod() end)), "an? (%a+) has")
    end
"##;

/// A system with one of everything, and the UUIDs of what is in it.
struct World {
    till: Till,
    uuids: BTreeMap<&'static str, Uuid>,
}

impl World {
    async fn open() -> Self {
        let till = Till::open(PAID).await;
        let bench = &till.bench;
        let (system, caller) = (&bench.system, &bench.caller);
        let plan = all::<Plan>(system).await.remove(0);
        let notes = bench.script("notes", Scope::Provider, NOTES.to_owned()).await;
        let (user, other) = (bench.user("ada").await, bench.user("bob").await);
        let job = bench.create("web", true).await;
        let server = bench.ended(job.id).await.item_id;
        let stopped = bench.create("idle", false).await;
        let stopped = bench.ended(stopped.id).await.item_id;
        let made =
            bench.image_of(crate::ImageSource::Server(sutler_model::ServerId(stopped)), "golden", "i").await.unwrap();
        let image = bench.ended(made.id).await.item_id;
        let (card, _) = till.card("Visa", CARD).await;
        let invoice = till.invoice(1, "2.5").await;
        let unpaid = till.invoice(2, "3").await;
        let transaction = till.paid(invoice).await.id.0;
        let blob = NewBlob {
            name: "logo".into(),
            billing_entity_id: caller.billing_entity_id,
            customer_id: Some(bench.customer),
            media_type: "text/plain".into(),
            public: true,
            content: b"text".to_vec(),
        };
        let blob = system.create_blob(caller, blob).await.unwrap().id.0;
        let note = NewPluggable {
            id: None,
            name: "note".into(),
            provider_type: "NOTE".into(),
            customer_id: Some(bench.customer),
            values: [("text".to_owned(), "world".to_owned())].into(),
            keys: Vec::new(),
        };
        let note = system.create_pluggable(caller, note).await.unwrap().id.0;
        let uuids = [
            ("server", server),
            ("stopped", stopped),
            ("disk", bench.disks().await[0].id.0),
            ("job", job.id.0),
            ("user", user.id.0),
            ("other", other.id.0),
            ("customer", bench.customer.0),
            ("seller", caller.billing_entity_id.0),
            ("offer", plan.id.0),
            ("offered", bench.image.0),
            ("image", image),
            ("card", card.id.0),
            ("method", till.method.id.0),
            ("invoice", invoice.0),
            ("unpaid", unpaid.0),
            ("transaction", transaction),
            ("blob", blob),
            ("note", note),
            ("report", Uuid::new_v5(&notes.id.0, b"point:note_report")),
        ];
        Self { uuids: uuids.into(), till }
    }

    /// The beginning of a script that knows the world.
    fn words(&self, door: &str, operation: &str) -> String {
        let uuids: String = self.uuids.iter().map(|(name, id)| format!("{name} = '{id}', ")).collect();
        format!("local DOOR, OPERATION = '{door}', '{}'\nlocal U = {{ {uuids} }}\n{WORDS}", operation.to_lowercase())
    }

    /// What the provider's script prints that does this.
    async fn said(&self, name: &str, body: &str) -> Vec<String> {
        let bench = &self.till.bench;
        let source = block("SCHEDULED", "", body).replace("priority = 0", "schedule = { frequency = { hours = 24 } }");
        let script = bench.script(name, Scope::Provider, source).await;
        let run = bench.system.run_script(&bench.caller, script.id, None, None).await.unwrap();
        let mut ended = None;
        bench
            .until(async || {
                ended = bench
                    .system
                    .store()
                    .get::<ScriptRun>(run.id)
                    .await
                    .unwrap()
                    .filter(|run| run.finished_at.is_some());
                ended.is_some()
            })
            .await;
        let run = ended.expect("the run");
        assert_eq!(run.state, RunState::Succeeded, "{name}: {} {}", run.result, run.log);
        run.log.lines().filter(|line| !line.starts_with("note: ")).map(str::to_owned).collect()
    }
}

/// The cells of a table.
fn rows(text: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines.map(|line| line.split('|').map(str::trim).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_does_what_the_table_says_or_says_why_not() {
    let world = World::open().await;
    let mut faults = Vec::new();
    for door in ["adminAPI", "userAPI"] {
        for row in rows(OPERATIONS) {
            let (operation, arguments) = (row[0], row[1]);
            let gives = row.get(3).filter(|_| door == "userAPI").unwrap_or(&row[2]);
            let body = format!(
                "{}
                if DOOR == 'userAPI' then userAPI:setSessionUser('ada@example.org/' .. U.customer) end
                print(told(pcall(function() return {door}:{operation}({arguments}) end)))
                for _, wrong in ipairs {{ {{ n = 0 }}, {{ {{}}, {{}}, {{}}, {{}}, {{}}, n = 5 }}, {{ 'x', 'y', 'z', 'a', 'b', n = 5 }}, {{ 7, true, 7, 7, 7, n = 5 }},
                    {{ new('Nic'), new('List'), new('Map'), nil, nil, n = 5 }}, {{ U.user, U.user, U.user, U.user, n = 4 }} }} do
                    print(told(pcall(function() return {door}.{operation}(unpack(wrong, 1, wrong.n)) end)))
                end",
                world.words(door, operation)
            );
            let lines = world.said(&format!("{door} {operation}"), &body).await;
            let mut fault = |text: &str, line: &str| faults.push(format!("{door}:{operation} {text}: {line}"));
            let absent = |line: &str| line.contains(" are not offered here: ") && line.ends_with(operation);
            let is_code = gives.len() > 4 && *gives == gives.to_uppercase();
            let fits = match *gives {
                "absent" => absent(&lines[0]),
                code if is_code => lines[0].contains(&format!(" {code}: ")),
                kind => lines[0] == kind,
            };
            if !fits {
                fault(&format!("is not answered with {gives}"), &lines[0]);
            }
            for line in &lines[1..] {
                let error = line.strip_prefix("ERROR ");
                if *gives == "absent" {
                    if !absent(line) {
                        fault("is absent for some arguments only", line);
                    }
                } else if error.is_some_and(|error| error.contains("FUNCTION_FAILED") || !coded(error)) {
                    fault("raises something vague", line);
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    world.till.bench.stop().await;
}

/// Whether an error has one of the original's codes, or says that something is not here.
fn coded(error: &str) -> bool {
    let is_code = |word: &str| word.len() > 6 && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    error.contains(" not offered here") || error.split(": ").any(is_code)
}

/// What is listed, and the beans that the lists hold.
const LISTED: [(&str, &str); 25] = [
    ("SERVER", "Server"),
    ("CUSTOMER", "CustomerDetails"),
    ("USER", "UserDetails"),
    ("BILLING_ENTITY", "BillingEntityDetails"),
    ("JOB", "Job"),
    ("DISK", "Disk"),
    ("IMAGE", "Image"),
    ("INVOICE", "Invoice"),
    ("PLUGGABLE_RESOURCE", "PluggableResource"),
    ("PAYMENT_METHOD", "PaymentMethod"),
    ("PAYMENT_METHOD_INSTANCE", "PaymentMethodInstance"),
    ("TRANSACTION", "Transaction"),
    ("BLOB", "Blob"),
    ("PRODUCTOFFER", "ProductOffer"),
    ("FDL", "FDLCodeBlock"),
    ("TRIGGER_METHOD", "TriggerMethod"),
    ("PAYMENT_PROVIDER", "PaymentProvider"),
    ("VDC", "VDC"),
    ("CLUSTER", "Cluster"),
    ("NIC", "Nic"),
    ("UNIT_TRANSACTION", "UnitTransaction"),
    ("UNIT_TRANSACTION_SUMMARY", "UnitTransactionSummary"),
    ("PRODUCT_PURCHASE", "ProductPurchase"),
    ("PLUGGABLE_PROVIDER", "PluggableResourceProvider"),
    ("REPORT_METHOD", "ReportMethod"),
];

/// Sets on the world's records what people may set on theirs.
const FILLED: &str = r#"
    for _, uuid in ipairs { U.server, U.disk, U.image, U.customer, U.user, U.seller, U.note } do adminAPI:addKey(uuid, key("k", "v")) end
    for _, uuid in ipairs { U.server, U.image, U.customer, U.seller } do adminAPI:updateMetadata(uuid, metadata()) end
    local c = adminAPI:getResource(U.customer, true)
    c:setWarningLevel(-5)
    c:setVatNumber("GB1")
    c:getAddress():setAddress1("1 Main Street")
    adminAPI:updateCustomer(c)
    local u = adminAPI:getResource(U.user, true)
    for _, name in ipairs { "DayTime", "Evening", "Mobile", "Fax" } do u["set" .. name .. "Number"](u, "+44 1") end
    u:setOrganisation("Works")
    adminAPI:updateUser(u, nil, nil)
    local e = adminAPI:getResource(U.seller, true)
    e:setVatNumber("GB2")
    adminAPI:modifyBillingEntity(e, nil)
    adminAPI:createBillingEntity(entity(), nil)
    adminAPI:waitForJob(adminAPI:createServer(server(), { "ssh-ed25519 AAAA ada" }, nil):getResourceUUID(), true)
    userAPI:setSessionUser("ada@example.org/" .. U.customer)
    userAPI:waitForJob(userAPI:changeServerStatus(U.stopped, new("ServerStatus", "RUNNING"), true, metadata(), nil):getResourceUUID(), true)
"#;

/// A bean's properties by its first name, those of its base included.
fn beans() -> BTreeMap<&'static str, Vec<(&'static str, &'static str)>> {
    let mut beans: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for row in rows(BEANS) {
        let (names, base) = row[0].split_once(':').map_or((row[0], None), |(names, base)| (names, Some(base.trim())));
        let mut properties = base.map(|base| beans[base].clone()).unwrap_or_default();
        properties.extend(row[1].split(", ").filter_map(|property| property.trim().split_once(':')));
        beans.insert(names.split('=').next().unwrap_or_default().trim(), properties);
    }
    beans
}

fn constants(kind: &str) -> Option<Vec<&'static str>> {
    rows(ENUMS).find(|row| row[0] == kind).map(|row| row[1].split_whitespace().collect())
}

/// What of `v` shows that it is of a type.
fn proof(kind: &str) -> String {
    match kind {
        "string" => "type(v) == 'string'".to_owned(),
        "int" | "double" => "type(v) == 'number'".to_owned(),
        "bool" => "type(v) == 'boolean'".to_owned(),
        "date" => "new('FDLDateHelper'):getTimestamp(v) >= 0".to_owned(),
        kind if kind.ends_with("[]") || kind.starts_with("map<") => "v:size() >= 0".to_owned(),
        kind if constants(kind).is_some() => format!("v == new('{kind}', v:name()) and known['{kind}' .. v:name()]"),
        _ => "string.sub(v:toJSONString(), 1, 1) == '{'".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_property_of_a_record_is_of_its_type_and_what_is_never_there_is_listed() {
    let world = World::open().await;
    world.said("filled", &format!("{}\n{FILLED}", world.words("adminAPI", "filled"))).await;
    let beans = beans();
    let mut unset = BTreeSet::new();
    for (resource_type, kind) in LISTED {
        let mut body = "local known = {}\n".to_owned();
        for (_, of) in &beans[kind] {
            for constant in constants(of).unwrap_or_default() {
                writeln!(body, "known['{of}{constant}'] = true").unwrap();
            }
        }
        writeln!(
            body,
            "local all = adminAPI:listResources(nil, nil, new('ResourceType', '{resource_type}')):getList()
            if all:size() == 0 then print('none') end
            local function each(getter, right) local found = false
                for i = 0, all:size() - 1 do
                    local bean = all:get(i)
                    local v = bean['get' .. getter](bean)
                    if v ~= nil then
                        local done, is = pcall(right, v)
                        if not (done and is) then print(getter .. ' is ' .. tostring(v)) end
                        if type(v) ~= 'userdata' or not pcall(function() return v:size() end) or v:size() > 0 then found = true end
                    end
                end
                if not found then print('unset ' .. getter) end
            end"
        )
        .unwrap();
        for (property, of) in &beans[kind] {
            let name = property[..1].to_uppercase() + &property[1..];
            writeln!(body, "each('{name}', function(v) return {} end)", proof(of)).unwrap();
        }
        for line in world.said(resource_type, &body).await {
            match line.strip_prefix("unset ") {
                Some(property) => drop(unset.insert(format!("{kind} {property}"))),
                None => panic!("{resource_type}: {line}"),
            }
        }
    }
    let listed: BTreeSet<String> = rows(UNSET)
        .flat_map(|row| row[1].split_whitespace().map(|property| format!("{} {property}", row[0])).collect::<Vec<_>>())
        .collect();
    let difference: Vec<_> = unset.symmetric_difference(&listed).collect();
    assert!(difference.is_empty(), "{}", difference.iter().map(|line| format!("{line}\n")).collect::<String>());
    world.till.bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_resource_type_is_listed_and_one_that_is_not_here_has_no_resources() {
    let world = World::open().await;
    let types = constants("ResourceType").unwrap();
    let mut body = "local function told(word) local done, what = pcall(function()
            return adminAPI:listResources(nil, nil, new('ResourceType', word)):getTotalCount() end)
        if done and adminAPI:runListQuery(nil, nil, word):hasNext() ~= (what > 0) then print(word .. ' is counted otherwise') end
        if not done then print(word .. ': ' .. what) end
        if done then count = (count or 0) + 1 end end\n"
        .to_owned();
    for word in &types {
        writeln!(body, "told('{word}')").unwrap();
    }
    body.push_str("print(count)");
    let lines = world.said("types", &body).await;
    assert_eq!(lines, [types.len().to_string()], "{types:?}");
    world.till.bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_trigger_type_is_taken_with_every_option_it_may_have() {
    let bench = Bench::start().await;
    let anything = ["SUCCESS", "FAILURE", "FAILED", "FAIL", "ANY", "any"].map(str::to_owned);
    for trigger in constants("TriggerType").unwrap() {
        let options: Vec<String> = match trigger {
            word if word.ends_with("_CREATE") || word.ends_with("_MODIFY") || word.ends_with("_DELETE") => {
                constants("ResourceType").unwrap().into_iter().map(str::to_owned).collect()
            }
            word if word.contains("JOB_STATE") => {
                constants("JobStatus").unwrap().into_iter().map(str::to_owned).collect()
            }
            word if word.contains("SERVER_STATE") => {
                constants("ServerStatus").unwrap().into_iter().map(str::to_owned).collect()
            }
            word if word.contains("API_CALL") => rows(OPERATIONS).map(|row| row[0].to_owned()).collect(),
            "POST_AUTH" | "POST_PAYMENT" => anything.to_vec(),
            _ => vec!["ANY".to_owned()],
        };
        let quoted: Vec<String> = options.iter().map(|option| format!("\"{option}\"")).collect();
        let schedule = if trigger == "SCHEDULED" { "schedule = { frequency = { HOUR = 1 } }, " } else { "" };
        let source = block(trigger, &quoted.join(", "), "").replace("ref = \"t\"", &format!("{schedule}ref = \"t\""));
        let script = bench.script(trigger, Scope::Provider, source).await;
        assert_eq!(script.entries[0].options.len(), options.len(), "{trigger}");
    }
    bench.stop().await;
}

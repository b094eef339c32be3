//! What scripts find: as far as their session user sees, what is no record of its own, and keys on everything.

use super::*;
use sutler_model::{Disk, Image, Timestamp};

/// Runs a body once, for a new user of the bench's customer, and answers its log.
async fn told(bench: &Bench, body: &str) -> String {
    bench.script("ask", Scope::Provider, block("POST_CREATE", r#""USER""#, body)).await;
    bench.user("ada").await;
    let runs = bench.runs_until(|runs| runs.iter().any(|run| run.finished_at.is_some())).await;
    assert_eq!(states(&runs), [RunState::Succeeded], "{runs:#?}");
    runs[0].log.clone()
}

async fn server_of(bench: &Bench, customer: CustomerId, name: &str) -> Server {
    let job = bench.system.create_server(&bench.caller, customer, bench.new_server(name, false), None).await.unwrap();
    bench.ended(job.id).await;
    bench.server(name).await.expect("the server")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_user_finds_what_is_its_customers_and_nothing_else() {
    let bench = Bench::start().await;
    let (stranger, _) = bench.stranger().await;
    let own = server_of(&bench, bench.customer, "own").await;
    let others = server_of(&bench, stranger, "others").await;
    let body = format!(
        r#"
        local function names(api)
            local names, list = {{}}, api:runListQuery(nil, nil, "SERVER")
            while list:hasNext() do names[#names + 1] = list:next():getResourceName() end
            table.sort(names)
            return table.concat(names, " ")
        end
        print(names(adminAPI))
        userAPI:setSessionUser(p.input:getEmail() .. "/" .. p.customer:getResourceUUID())
        print(names(userAPI))
        local server = new("ResourceType", "SERVER")
        print(userAPI:listResources(nil, nil, server):getTotalCount(), adminAPI:listResources(nil, nil, server):getTotalCount())
        print(userAPI:getResource("{}", true):getResourceName(), userAPI:getResource("{}", true))
        local query = new("Query")
        query:setResourceType(server)
        local count = new("AggregationField")
        count:setAggregationFunction(new("Aggregation", "COUNT"))
        count:setFieldName("resourceUUID")
        query:setAggregationFields({{ count }})
        print(userAPI:runAggregationQuery(query):next():getColumnMap():get("COUNT(resourceUUID)"))
        userAPI:setSessionUser("nobody@example.org/" .. p.customer:getResourceUUID())
        print(select(2, pcall(names, userAPI)):match("NO_USER_FOUND"))
        "#,
        own.id, others.id
    );
    assert_eq!(told(&bench, &body).await, "others own\nown\n1\t2\nown\tnil\n1\nNO_USER_FOUND\n");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_disks_and_images_keep_keys_and_are_found_by_them() {
    let bench = Bench::start().await;
    server_of(&bench, bench.customer, "web").await;
    let body = r#"
        local function key(name, value)
            local key = new("ResourceKey")
            key:setName(name)
            key:setValue(value)
            return key
        end
        for _, kind in ipairs({ "USER", "DISK", "IMAGE" }) do
            local all = adminAPI:listResources(nil, nil, new("ResourceType", kind)):getList()
            local one = all:get(all:size() - 1)
            adminAPI:addKey(one:getResourceUUID(), key("LABEL", kind))
            adminAPI:addKey(one:getResourceUUID(), key("GONE", 1))
            adminAPI:removeKey(one:getResourceUUID(), key("GONE"))
            local filter = new("SearchFilter")
            filter:addCondition(new("Utils"):createFilterCondition("resourcekey.name", "IS_EQUAL_TO", "LABEL"))
            filter:addCondition(new("Utils"):createFilterCondition("resourcekey.value", "IS_EQUAL_TO", kind))
            local found = adminAPI:listResources(filter, nil, new("ResourceType", kind)):getList()
            print(kind, found:size(), found:get(0):getResourceName() == one:getResourceName(), found:get(0):getResourceKey():size())
        end
    "#;
    assert_eq!(told(&bench, body).await, "USER\t1\ttrue\t1\nDISK\t1\ttrue\t1\nIMAGE\t1\ttrue\t1\n");
    let (disk, image) = (all::<Disk>(&bench.system).await.remove(0), all::<Image>(&bench.system).await.remove(0));
    assert_eq!((disk.keys[0].value.as_str(), image.keys[0].value.as_str()), ("DISK", "IMAGE"));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_offers_and_interfaces_are_found_by_what_servers_say_of_them() {
    let bench = Bench::start().await;
    server_of(&bench, bench.customer, "web").await;
    let body = r#"
        local server = adminAPI:runListQuery(nil, nil, "SERVER"):next()
        local vdc = adminAPI:getResource(server:getVdcUUID(), false)
        print(vdc:getResourceType():name(), vdc:getResourceName(), vdc:getCustomerUUID() == server:getCustomerUUID())
        local cluster = adminAPI:getResource(vdc:getClusterUUID(), false)
        print(cluster:getResourceType():name(), cluster:getHypervisor() == new("HypervisorType", "KVM"), cluster:getResourceUUID() == server:getClusterUUID())
        local offer = adminAPI:getResource(server:getProductOfferUUID(), true)
        print(offer:getResourceType():name(), offer:getResourceName(), offer:getProductAssociatedType():name())
        local function count(kind, field, value)
            local filter = new("SearchFilter")
            filter:addCondition(new("Utils"):createFilterCondition(field, "IS_EQUAL_TO", value))
            return adminAPI:listResources(filter, nil, new("ResourceType", kind)):getTotalCount()
        end
        print(count("VDC", "resourceUUID", server:getVdcUUID()), count("CLUSTER", "hypervisor", "KVM"),
            count("PRODUCTOFFER", "product.associatedType", "DISK"), count("SERVER", "vdcUUID", vdc:getResourceUUID()),
            count("DISK", "clusterUUID", cluster:getResourceUUID()), count("NIC", "serverUUID", server:getResourceUUID()) == server:getNics():size())
        print(count("SNAPSHOT", "status", "x"), adminAPI:runListQuery(nil, nil, "SNAPSHOT"):hasNext())
        print(select(2, pcall(count, "NONSENSE", "status", "x")):match("INVALID_RESOURCE_TYPE"))
    "#;
    let told = told(&bench, body).await;
    let expected = "VDC\tCustomer\ttrue\nCLUSTER\ttrue\ttrue\nPRODUCTOFFER\tStandard\tSERVER\n1\t1\t1\t1\t1\ttrue\n\
        0\tfalse\nINVALID_RESOURCE_TYPE\n";
    let note = "note: snapshots are not offered here: a list of resources of the type SNAPSHOT";
    assert_eq!(told.lines().filter(|line| *line == note).count(), 1, "{told}");
    let own: String = told.lines().filter(|line| !line.starts_with("note: ")).map(|line| format!("{line}\n")).collect();
    assert_eq!(own, expected);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_in_its_time_of_grace_is_listed_where_deleted_ones_are_asked_for() {
    let bench = Bench::start().await;
    let server = server_of(&bench, bench.customer, "web").await;
    let job = bench.act(server.id, crate::ServerAction::Delete, "delete").await;
    bench.ended(job.id).await;
    let body = r#"
        local deleted = new("SearchFilter")
        deleted:addCondition(new("Utils"):createFilterCondition("resourceState", "IS_EQUAL_TO", "DELETED"))
        print(adminAPI:runListQuery(nil, nil, "DISK"):hasNext())
        print(adminAPI:runListQuery(deleted, nil, "DISK"):next():getServerName())
    "#;
    assert_eq!(told(&bench, body).await, "false\nweb\n");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_charged_is_found_by_posting_and_by_day() {
    let bench = Bench::start().await;
    for (number, total, day) in [(1, "12.5", 1_000), (2, "2", 1_000), (3, "4", 1_001)] {
        bench.invoice(bench.customer, number, total, Timestamp(day * 86_400_000 + 5_000)).await;
    }
    let body = r#"
        local query = new("Query")
        query:setResourceType(new("ResourceType", "UNIT_TRANSACTION_SUMMARY"))
        local filter = new("SearchFilter")
        filter:addCondition(new("Utils"):createFilterCondition("transactionDate", "IS_EQUAL_TO", "1972-09-27"))
        query:setSearchFilter(filter)
        query:setGroupByFields({ "billingEntityUUID" })
        query:setOutputFields({ "billingEntityUUID" })
        local sum = new("AggregationField")
        sum:setAggregationFunction(new("Aggregation", "SUM"))
        sum:setFieldName("unitDebits")
        query:setAggregationFields({ sum })
        local rows = adminAPI:runAggregationQuery(query)
        while rows:hasNext() do
            local row = rows:next():getColumnMap()
            print(row:get("billingEntityUUID") == p.beUUID, row:get("SUM(unitDebits)"))
        end
        local postings = adminAPI:listUnitTransactions(nil, nil):getList()
        for i = 0, postings:size() - 1 do
            local posting = postings:get(i)
            print(posting:getDescription(), posting:getTransactionAmount(), posting:getOpeningBalance(), posting:getClosingBalance())
            if i > 0 then print(posting:getUnitTransactionId() > postings:get(i - 1):getUnitTransactionId()) end
        end
        print(adminAPI:getResource(p.customer:getResourceUUID(), true):getNonCarryOverBalance(), p.customer:getNonCarryOverBalance(), adminAPI:listProductPurchases(nil, nil):getTotalCount())
    "#;
    assert_eq!(
        told(&bench, body).await,
        "true\t14.5\nInvoice 1\t-12.5\t0\t-12.5\nInvoice 2\t-2\t-12.5\t-14.5\ntrue\nInvoice 3\t-4\t-14.5\t-18.5\ntrue\n-18.5\t-18.5\t1\n"
    );
    bench.stop().await;
}

//! Triggers around money: before and after payments, purchases and charges, taxes; and paying as scripts do it.

use super::{
    payments::{CARD, PAID, Till},
    *,
};
use sutler_model::{PaymentFunction, Transaction};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn triggers_see_payments_before_and_after_and_may_refuse_them() {
    let till = Till::open(PAID).await;
    till.card("Visa", CARD).await;
    let bench = &till.bench;
    let limit = r#"
        if p.input:getPaymentAmount() > 100 then return { exitState = "REFUSE", reason = "too much" } end
        p.input:setMerchantDescription("Hosting " .. p.triggerOption)
    "#;
    bench.script("limit", Scope::Provider, block("PRE_PAYMENT", "", limit)).await;
    let tell = r#"print(p.triggerOption, p.input:getTransactionFunction():name(), p.input:getPaymentAmount(), p.input:getState():name())"#;
    let after = bench.script("after", Scope::Provider, block("POST_PAYMENT", "\"SUCCESS\", \"FAILURE\"", tell)).await;
    let book =
        r#"print(p.input:getTransactionAmount(), p.input:getDescription(), p.input:getLinkedResourceType():name())"#;
    let book = bench.script("book", Scope::Provider, block("POST_UNIT_TRANSACTION", "", book)).await;
    let dear = till.invoice(1, "100.01").await;
    let refused = till.pay(dear).await;
    assert!(matches!(&refused, Err(Error::Refused { reason, .. }) if reason == "too much"), "{refused:?}");
    assert!(all::<Transaction>(&bench.system).await.iter().all(|t| t.function != PaymentFunction::MakePayment));
    let invoice = till.invoice(2, "1").await;
    let paid = till.paid(invoice).await;
    assert_eq!(paid.told.merchant_description.as_deref(), Some("Hosting MAKE_PAYMENT"));
    let refund = bench.system.refund(&bench.caller, paid.id, Some("0.25".parse().unwrap()), None).await;
    till.settled(refund.expect("accepted").id.0).await;
    let logs = async |script: &Script| {
        let runs = bench
            .runs_until(|runs| runs.iter().filter(|r| r.script_id == script.id && r.finished_at.is_some()).count() >= 2)
            .await;
        let runs = runs.into_iter().filter(|run| run.script_id == script.id);
        runs.map(|run| run.log.trim().replace('\t', " ")).collect::<Vec<_>>()
    };
    assert_eq!(logs(&after).await, ["SUCCESS MAKE_PAYMENT 1 SUCCESS", "SUCCESS REFUND_PAYMENT 0.25 SUCCESS"]);
    let booked = bench
        .runs_until(|runs| runs.iter().filter(|r| r.script_id == book.id && r.finished_at.is_some()).count() >= 4)
        .await;
    let booked: Vec<String> =
        (booked.iter().filter(|run| run.script_id == book.id)).map(|run| run.log.trim().replace('\t', " ")).collect();
    assert_eq!(
        booked,
        ["-100.01 Invoice 1 INVOICE", "-1 Invoice 2 INVOICE", "1 Payment TRANSACTION", "-0.25 Refund TRANSACTION"]
    );
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn taking_a_plan_is_a_purchase_that_triggers_may_refuse() {
    let bench = Bench::start().await;
    let plan = all::<Plan>(&bench.system).await.remove(0);
    let new = crate::NewPlan { name: "Gold".into(), ..new_plan(&plan) };
    let gold = bench.system.create_plan(&bench.caller, new).await.expect("a plan");
    let refuse = format!(
        r#"if p.input:getProductOfferUUID() == "{}" then return {{ exitState = "REFUSE", reason = "not for sale" }} end"#,
        gold.id
    );
    let guard = bench.script("guard", Scope::Provider, block("PRE_PURCHASE", "", &refuse)).await;
    let tell = "print(p.input:getProductOfferUUID(), p.input:getCustomerUUID())";
    let after = bench.script("after", Scope::Provider, block("POST_PURCHASE", "\"ANY\"", tell)).await;
    let take = |plan| crate::CustomerPatch { plan_id: Some(plan), ..crate::CustomerPatch::default() };
    let refused = bench.system.update_customer(&bench.caller, bench.customer, None, take(gold.id)).await;
    assert!(matches!(&refused, Err(Error::Refused { reason, .. }) if reason == "not for sale"), "{refused:?}");
    let new = NewCustomer { plan_id: gold.id, ..crate::testing::new_customer("Other", &plan) };
    assert!(matches!(bench.system.create_customer(&bench.caller, new).await, Err(Error::Refused { .. })));
    let patch = ScriptPatch { enabled: Some(false), ..ScriptPatch::default() };
    bench.system.update_script(&bench.caller, guard.id, None, patch).await.expect("disabled");
    bench.system.update_customer(&bench.caller, bench.customer, None, take(gold.id)).await.expect("taken");
    // The same plan again is no purchase.
    bench.system.update_customer(&bench.caller, bench.customer, None, take(gold.id)).await.expect("taken");
    let (other, _) = bench.stranger().await;
    let done =
        |runs: &[ScriptRun]| runs.iter().filter(|r| r.script_id == after.id && r.finished_at.is_some()).count() >= 2;
    let runs = bench.runs_until(done).await;
    let logs: Vec<_> = runs.iter().filter(|r| r.script_id == after.id).map(|r| r.log.trim().to_owned()).collect();
    assert_eq!(logs, [format!("{}\t{}", gold.id, bench.customer), format!("{}\t{other}", plan.id)]);
    bench.stop().await;
}

pub(super) fn new_plan(like: &Plan) -> crate::NewPlan {
    crate::NewPlan {
        name: like.name.clone(),
        billing_entity_id: like.billing_entity_id,
        currency: like.currency,
        cpu_hour: like.cpu_hour,
        memory_gib_hour: like.memory_gib_hour,
        disk_gib_hour: like.disk_gib_hour,
        unit_price: like.unit_price,
        charges: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tax_trigger_sets_what_comes_on_top_of_an_invoice() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start_with(folder.path(), Settings { runs_keep_ms: 1, ..settings() }).await;
    let plan = all::<Plan>(&bench.system).await.remove(0);
    let dear = crate::PlanPatch { cpu_hour: Some("3600000".parse().unwrap()), ..crate::PlanPatch::default() };
    bench.system.update_plan(&bench.caller, plan.id, None, dear).await.expect("dear enough for milliseconds to count");
    let job = bench.create("one", true).await;
    bench.ended(job.id).await;
    let preview = async || bench.system.preview_invoice(&bench.caller, bench.customer, None, None).await;
    assert_eq!(preview().await.expect("a preview").tax, None, "nobody computes one");
    let vat = r#"
        if p.input:getInvoiceTotalExc() > 0 and p.customer:getResourceName() == "Customer" then
            return { exitState = "SUCCESS", taxRate = 19 }
        end
    "#;
    let vat = bench.script("vat", Scope::Provider, block("TAX_CALCULATION", "", vat)).await;
    let drawn = preview().await.expect("a preview");
    let expected = sutler_model::Tax::of(drawn.total, "19".parse().unwrap(), drawn.currency).unwrap();
    assert_eq!(drawn.tax, Some(expected));
    assert_eq!(drawn.due().unwrap(), drawn.total.add(expected.amount).unwrap());
    assert!(bench.runs().await.iter().all(|run| run.script_id != vat.id), "a preview has no effects");
    let end = bench.system.core().now();
    bench.until(async || bench.system.core().now() > end.plus_ms(6_000)).await;
    let closed = bench.system.close_invoice(&bench.caller, bench.customer, end).await.expect("closed");
    let expected = sutler_model::Tax::of(closed.total, "19".parse().unwrap(), closed.currency).unwrap();
    assert_eq!((closed.tax, closed.number), (Some(expected), Some(1)));
    let runs: Vec<_> = bench.runs().await.into_iter().filter(|run| run.script_id == vat.id).collect();
    assert_eq!(states(&runs), [RunState::Succeeded]);
    bench.swept().await;
    assert!(bench.runs().await.iter().any(|run| run.id == runs[0].id), "the tax opens to its run");
    // One that fails keeps the period open, for an invoice is never corrected.
    bench.script("broken", Scope::Provider, block("TAX_CALCULATION", "", "error('no idea')")).await;
    let refused = bench.system.close_invoice(&bench.caller, bench.customer, end.plus_ms(500)).await;
    assert!(matches!(&refused, Err(Error::Refused { reason, .. }) if reason.contains("no idea")), "{refused:?}");
    let customer: Customer = bench.system.store().get(bench.customer).await.unwrap().unwrap();
    assert_eq!(customer.invoiced_until, end);
    // Why it fails is its owner's business.
    let debtor = bench.as_customer(Role::CustomerAdmin).await;
    let refused = bench.system.preview_invoice(&debtor, bench.customer, None, None).await;
    assert!(
        matches!(&refused, Err(Error::Refused { reason, .. }) if reason.contains("it failed; who runs it is told why")),
        "{refused:?}"
    );
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_pay_and_keep_cards_as_the_languages_operations() {
    let till = Till::open(PAID).await;
    let bench = &till.bench;
    let invoice = till.invoice(4, "2.50").await;
    let work = format!(
        r#"
        local card = new("PaymentMethodInstance")
        card:setResourceName("Visa")
        card:setCustomerUUID("{customer}")
        card:setPaymentMethodUUID("{method}")
        local value = new("Value")
        value:setKey("card")
        value:setValue("4242424242424242")
        local job = adminAPI:createPaymentMethodInstance(card, {{ value }}, false, nil, nil)
        job = adminAPI:waitForJob(job:getResourceUUID(), true)
        assert(job:getStatus():name() == "SUCCESSFUL", job:getInfo())
        local paid = adminAPI:payInvoice("{invoice}", job:getItemUUID(), false, nil, nil)
        paid = adminAPI:waitForJob(paid:getResourceUUID(), true)
        print(paid:getJobType():name(), paid:getStatus():name(), paid:getItemUUID() == "{invoice}")
        local transaction = adminAPI:getResource(paid:getResourceUUID(), true)
        print(transaction:getState():name(), transaction:getProviderReference())
        local filter = new("SearchFilter")
        local condition = new("FilterCondition")
        condition:setField("status")
        condition:setValue({{ "PAID" }})
        condition:setCondition(new("Condition", "IS_EQUAL_TO"))
        filter:addCondition(condition)
        print(adminAPI:listResources(filter, nil, "INVOICE"):getTotalCount())
        print(adminAPI:listResources(nil, nil, "PAYMENT_PROVIDER"):getList():get(0):getFdlPaymentRef())
        print(adminAPI:listResources(nil, nil, "PAYMENT_METHOD_INSTANCE"):getList():get(0):getPaymentMethodName())
        print(adminAPI:waitForJob(adminAPI:testPaymentMethod("{method}", nil):getResourceUUID(), true):getStatus():name())
        local later = adminAPI:payInvoice("{invoice}", nil, false, nil, p.timeStamp + 3600000)
        print(later:getJobType():name(), later:getStatus():name(), later:getItemType():name())
        "#,
        customer = bench.customer,
        method = till.method.id,
    );
    let script = bench.script("work", Scope::Provider, block("POST_CREATE", "\"USER\"", &work)).await;
    bench.user("ada").await;
    let done = |runs: &[ScriptRun]| runs.iter().any(|r| r.script_id == script.id && r.finished_at.is_some());
    let runs = bench.runs_until(done).await;
    let run = runs.iter().find(|run| run.script_id == script.id).unwrap();
    assert_eq!(run.state, RunState::Succeeded, "{}", run.result);
    let lines: Vec<_> = run.log.lines().collect();
    let expected = [
        "MAKE_PAYMENT\tSUCCESSFUL\ttrue",
        "SUCCESS\tpay-2.50-4",
        "1",
        "cards",
        "Cards",
        "SUCCESSFUL",
        "MAKE_PAYMENT\tNOT_STARTED\tINVOICE",
    ];
    assert_eq!(lines, expected);
    bench.stop().await;
}

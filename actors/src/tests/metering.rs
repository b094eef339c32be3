//! From state changes to invoices.

use crate::{Error, ServerAction, testing::Bench};
use sutler_model::{Customer, JobState, Meter, Nanos, Timestamp};

impl Bench {
    async fn now_is_past(&self, moment: Timestamp) {
        self.until(async || self.system.core().now() > moment).await;
    }

    async fn done(&self, job: sutler_model::Job) {
        let job = self.ended(job.id).await;
        assert_eq!(job.state, JobState::Successful, "{:?}", job.error);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_preview_line_opens_to_the_intervals_behind_it() {
    let bench = Bench::start().await;
    bench.done(bench.create("one", true).await).await;
    let server = bench.server("one").await.expect("the server");
    bench.done(bench.act(server.id, ServerAction::Stop { force: true }, "stop").await).await;
    bench.done(bench.act(server.id, ServerAction::Start, "start").await).await;
    // Use that began in this very millisecond is none yet.
    bench.now_is_past(bench.system.core().now()).await;
    let preview = bench.system.preview_invoice(&bench.caller, bench.customer, None, None).await.expect("a preview");
    assert_eq!(preview.number, None);
    let line = preview.lines.iter().find(|l| l.meter == Meter::Cpu).expect("a line for CPU");
    assert_eq!(line.intervals, 2);
    let behind = bench
        .system
        .line_intervals(&bench.caller, bench.customer, preview.from, preview.to, line.resource_id, line.meter)
        .await
        .expect("the intervals");
    let sum: i128 = behind
        .iter()
        .map(|i| {
            let end = i.end.unwrap_or(preview.to).min(preview.to);
            i128::from(i.quantity) * i128::from(end.since_ms(i.key.start))
        })
        .sum();
    assert_eq!((behind.len(), sum), (2, line.unit_ms), "the line is the sum of its intervals, to the millisecond");
    let total = preview.lines.iter().try_fold(Nanos::ZERO, |sum, l| sum.add(l.amount));
    assert_eq!(total, Ok(preview.total));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_invoices_are_numbered_without_gaps_and_cover_time_without_gaps() {
    let bench = Bench::start().await;
    bench.done(bench.create("one", true).await).await;
    let first_end = bench.system.core().now();
    bench.now_is_past(first_end.plus_ms(6_000)).await;
    let future = bench.system.close_invoice(&bench.caller, bench.customer, bench.system.core().now()).await;
    assert!(matches!(future, Err(Error::Invalid(_))), "a period that has not settled cannot be closed");
    let first = bench.system.close_invoice(&bench.caller, bench.customer, first_end).await.expect("closed");
    let again = bench.system.close_invoice(&bench.caller, bench.customer, first_end).await;
    assert!(matches!(again, Err(Error::Invalid(_))), "the same period cannot be closed twice");
    let second_end = first_end.plus_ms(500);
    let second = bench.system.close_invoice(&bench.caller, bench.customer, second_end).await.expect("closed");
    assert_eq!((first.number, second.number), (Some(1), Some(2)));
    assert_eq!((first.to, second.from, second.to), (first_end, first_end, second_end));
    let cpu = second.lines.iter().find(|l| l.meter == Meter::Cpu).expect("CPU");
    assert_eq!((cpu.used_ms, cpu.unit_ms), (500, 1000), "two vCPUs for half a second");
    let customer: Vec<Customer> = crate::testing::all(&bench.system).await;
    assert_eq!(customer[0].invoiced_until, second_end);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_servers_use_stays_on_the_bill_and_ends() {
    let bench = Bench::start().await;
    bench.done(bench.create("one", true).await).await;
    let server = bench.server("one").await.expect("the server");
    bench.done(bench.act(server.id, ServerAction::Delete, "delete").await).await;
    assert_eq!(bench.open_meters().await, Vec::<&str>::new());
    let preview = bench.system.preview_invoice(&bench.caller, bench.customer, None, None).await.expect("a preview");
    let meters: Vec<_> = preview.lines.iter().map(|l| l.meter).collect();
    assert!(meters.contains(&Meter::Cpu) && meters.contains(&Meter::Memory), "{meters:?}");
    assert!(preview.lines.iter().all(|l| !l.resource_name.is_empty()));
    bench.stop().await;
}

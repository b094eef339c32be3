//! Invoices: preview, close, show; each line can be opened to the intervals behind it.

use super::{
    client::Query,
    error::Error,
    field,
    output::{Format, cell, lines, table},
    provider,
    session::{Session, Write},
};
use reqwest::Method;
use serde_json::{Value, json};
use sutler_model::{Currency, InvoiceLine, Nanos, Timestamp, money::ONE};
use sutler_rating as rating;

/// Commands of `invoice` beside its list.
#[derive(clap::Subcommand, Debug)]
pub enum Invoice {
    /// What a customer would owe if the period were closed now
    Preview {
        /// Name or id of the customer
        customer: String,
        /// First moment covered; default: the end of the last invoice
        #[arg(long, value_parser = field::time, value_name = "TIME")]
        from: Option<Timestamp>,
        /// First moment no longer covered; default: now
        #[arg(long, value_parser = field::time, value_name = "TIME")]
        to: Option<Timestamp>,
        /// Show the arithmetic of each line and the intervals behind it
        #[arg(long)]
        explain: bool,
    },
    /// Close a period for good: make an invoice of what is not yet invoiced
    Close {
        /// Name or id of the customer
        customer: String,
        /// First moment no longer covered, such as 2026-12-01
        #[arg(long, value_parser = field::time, value_name = "TIME")]
        to: Timestamp,
        /// Repeating the command with the same key does nothing twice; default: a random one
        #[arg(long, value_name = "KEY")]
        idempotency_key: Option<String>,
    },
    /// Pay an invoice and wait until its provider has answered
    Pay {
        /// Its id
        invoice: String,
        /// With what (name or id); default: what the customer uses when none is named
        #[arg(long, value_name = "PAYMENT_INSTANCE")]
        with: Option<String>,
        /// The customer can be asked something: the answer says where (`interactive_url`)
        #[arg(long)]
        interactive: bool,
        /// Where the customer's browser comes back to then; `transaction resume` goes on
        #[arg(long, value_name = "URL", requires = "interactive")]
        return_url: Option<String>,
        /// Repeating the command with the same key does nothing twice; default: a random one
        #[arg(long, value_name = "KEY")]
        idempotency_key: Option<String>,
    },
    /// Show one invoice
    Show {
        /// Its id
        invoice: String,
        /// Show the arithmetic of each line and the intervals behind it
        #[arg(long)]
        explain: bool,
    },
}

/// Options of `usage`.
#[derive(clap::Args, Debug)]
pub struct Usage {
    /// Name or id of the customer
    customer: String,
    /// From here on; default: the end of the last invoice
    #[arg(long, value_parser = field::time, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Up to here; default: now
    #[arg(long, value_parser = field::time, value_name = "TIME")]
    to: Option<Timestamp>,
    /// Only of this server, disk or pluggable resource (name or id)
    #[arg(long, value_name = "RESOURCE")]
    resource: Option<String>,
    /// Only what this meter counts
    #[arg(long, value_parser = ["cpu", "memory", "disk", "pluggable_resource"])]
    meter: Option<String>,
}

/// Runs a command of `invoice`.
///
/// # Errors
/// Those of the request.
pub async fn run(session: &Session, command: Invoice) -> Result<(), Error> {
    match command {
        Invoice::Preview { customer, from, to, explain } => {
            let id = session.id_of("customer", &customer).await?;
            let path = format!("customers/{id}/invoice-preview");
            let answer = session.client.send(session.client.request(Method::GET, &path, &period(from, to))).await?;
            print(session, answer.body, explain).await
        }
        Invoice::Show { invoice, explain } => {
            let id = session.id_of("invoice", &invoice).await?;
            print(session, session.client.get(&format!("invoices/{id}")).await?, explain).await
        }
        Invoice::Pay { invoice, with, interactive, return_url, idempotency_key } => {
            let id = session.id_of("invoice", &invoice).await?;
            let mut body = json!({ "allow_interactive": interactive });
            if let Some(url) = return_url {
                body["return_url"] = json!(url);
            }
            if let Some(with) = with {
                body["payment_instance_id"] = json!(session.id_of("payment-instance", &with).await?);
            }
            let request = session.client.request(Method::POST, &format!("invoices/{id}/pay"), &Query::new());
            session.write(request.json(&body), "paid", &Write { idempotency_key, ..Write::default() }).await
        }
        Invoice::Close { customer, to, idempotency_key } => {
            let id = session.id_of("customer", &customer).await?;
            let path = format!("customers/{id}/invoices");
            let request = session.client.request(Method::POST, &path, &Query::new()).json(&json!({"to": to}));
            let answer = session.post(request, &Write { idempotency_key, ..Write::default() }).await?;
            print(session, answer.body, false).await
        }
    }
}

/// Prints the intervals of a customer's use: those behind the lines and charges of a preview of the same period.
///
/// # Errors
/// Those of the request.
pub async fn usage(session: &Session, asked: Usage) -> Result<(), Error> {
    let customer = session.id_of("customer", &asked.customer).await?;
    let path = format!("customers/{customer}/invoice-preview");
    let query = period(asked.from, asked.to);
    let preview = session.client.send(session.client.request(Method::GET, &path, &query)).await?.body;
    let mut found = Vec::new();
    // What has no price is on no line: scripts alone charge for it.
    let parts = |name: &str| preview[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut charged: Vec<&Value> =
        parts("charges").iter().filter(|charge| charge["meter"] == "pluggable_resource").collect();
    charged.sort_by_key(|charge| charge["resource_id"].as_str());
    charged.dedup_by_key(|charge| charge["resource_id"].as_str());
    for line in parts("lines").iter().chain(charged) {
        let named = |r: &String| line["resource_id"] == r.as_str() || line["resource_name"] == r.as_str();
        let wanted = asked.resource.as_ref().is_none_or(named);
        if wanted && asked.meter.as_ref().is_none_or(|m| line["meter"] == m.as_str()) {
            found.extend(intervals(session, &preview, line).await?);
        }
    }
    if session.format != Format::Table {
        return session.format.value(&Value::Array(found));
    }
    let titles = ["RESOURCE", "NAME", "METER", "QUANTITY", "START", "END", "EVIDENCE"].map(str::to_owned).to_vec();
    let rows = found.iter().map(|i| {
        vec![
            cell(&i["resource_id"]),
            cell(&i["resource_name"]),
            cell(&i["meter"]),
            quantity(i),
            exact(&i["start"]),
            exact(&i["end"]),
            cell(&i["evidence"]),
        ]
    });
    lines(&table(titles, rows.collect(), super::terminal::width()))
}

fn period(from: Option<Timestamp>, to: Option<Timestamp>) -> Query {
    let given = [("from", from), ("to", to)];
    given.into_iter().filter_map(|(name, time)| time.map(|t| (name.to_owned(), t.to_string()))).collect()
}

async fn print(session: &Session, mut invoice: Value, explain: bool) -> Result<(), Error> {
    let mut opened = Vec::new();
    if explain {
        for line in invoice["lines"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let intervals = intervals(session, &invoice, line).await?;
            opened.push(json!({"explanation": arithmetic(line, &invoice["currency"]), "intervals": intervals}));
        }
    }
    let mut measured = Vec::new();
    if explain {
        for charge in invoice["charges"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let measurements = measurements(session, &invoice, charge).await?;
            let intervals = match charge["meter"].is_null() {
                true => Vec::new(),
                false => intervals(session, &invoice, charge).await?,
            };
            measured.push(json!({"measurements": measurements, "intervals": intervals}));
        }
    }
    if session.format != Format::Table {
        for (part, opened) in [("lines", opened), ("charges", measured)] {
            if let Value::Array(lines) = &mut invoice[part] {
                for (line, more) in lines.iter_mut().zip(opened) {
                    line["opened"] = more;
                }
            }
        }
        return session.format.value(&invoice);
    }
    lines(&text(&invoice, &opened, &measured))
}

/// What was measured of a charge's resource in the period.
async fn measurements(session: &Session, invoice: &Value, charge: &Value) -> Result<Vec<Value>, Error> {
    let part = |name: &str| (name.to_owned(), invoice[name].as_str().unwrap_or_default().to_owned());
    let resource = charge["resource_id"].as_str().unwrap_or_default();
    let path = format!("resources/{resource}/measurements");
    match session.client.list(&path, &vec![part("from"), part("to")], usize::MAX).await {
        Ok((found, _)) => Ok(found),
        // A resource that is gone, and of which nothing was measured.
        Err(Error::Problem(problem)) if problem.status == 404 => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The intervals behind a line or charge: those of its resource and meter in the period.
async fn intervals(session: &Session, invoice: &Value, line: &Value) -> Result<Vec<Value>, Error> {
    let part = |name: &str, value: &Value| (name.to_owned(), value.as_str().unwrap_or_default().to_owned());
    let query = vec![
        part("from", &invoice["from"]),
        part("to", &invoice["to"]),
        part("resource", &line["resource_id"]),
        part("meter", &line["meter"]),
    ];
    let customer = invoice["customer_id"].as_str().unwrap_or_default();
    Ok(session.client.list(&format!("customers/{customer}/usage"), &query, usize::MAX).await?.0)
}

/// An invoice for people.
fn text(invoice: &Value, opened: &[Value], measured: &[Value]) -> String {
    let number = match invoice["number"].as_u64() {
        Some(number) => format!("invoice {number}"),
        None => "preview (not an invoice)".to_owned(),
    };
    let currency = cell(&invoice["currency"]);
    let mut text = format!(
        "{number}\ncustomer  {}\nperiod    {} to {}\n\n",
        cell(&invoice["customer_id"]),
        cell(&invoice["from"]),
        cell(&invoice["to"])
    );
    let all = invoice["lines"].as_array().map(Vec::as_slice).unwrap_or_default();
    let titles = ["RESOURCE", "METER", "USED", "PRICE/H", "AMOUNT"].map(str::to_owned).to_vec();
    let rows = all.iter().map(|line| {
        vec![
            cell(&line["resource_name"]),
            cell(&line["meter"]),
            rating::duration(line["used_ms"].as_i64().unwrap_or_default().into()),
            cell(&line["unit_price"]),
            amount(&line["amount"], &currency),
        ]
    });
    text.push_str(&table(titles, rows.collect(), None));
    let charges = invoice["charges"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !charges.is_empty() {
        let titles = ["RESOURCE", "COMPONENT", "UNITS", "PRICE/UNIT", "AMOUNT", "FOR"].map(str::to_owned).to_vec();
        let rows = charges.iter().map(|charge| {
            let price = if charge["units"].is_null() { "-".to_owned() } else { cell(&charge["unit_price"]) };
            vec![
                cell(&charge["resource_name"]),
                cell(&charge["component"]),
                cell(&charge["units"]),
                price,
                amount(&charge["amount"], &currency),
                cell(&charge["description"]),
            ]
        });
        text.push('\n');
        text.push_str(&table(titles, rows.collect(), None));
    }
    text.push_str(&format!("\ntotal     {}\n", amount(&invoice["total"], &currency)));
    if !invoice["tax"].is_null() {
        text.push_str(&format!("tax       {}\n", amount(&invoice["tax"]["amount"], &currency)));
        text.push_str(&format!("due       {}\n", amount(&invoice["due"], &currency)));
    }
    if let Some(status) = invoice["status"].as_str() {
        text.push_str(&format!("status    {status}\n"));
    }
    for (line, more) in all.iter().zip(opened) {
        let title = format!("{} {} {}", cell(&line["resource_name"]), cell(&line["meter"]), cell(&line["resource_id"]));
        text.push_str(&format!("\n{title}\n  {}\n", more["explanation"].as_str().unwrap_or_default()));
        text.push_str(&stretches(more));
    }
    for (charge, more) in charges.iter().zip(measured) {
        let part = |name: &str| cell(&charge[name]);
        text.push_str(&format!(
            "\n{} {} {}\n  {}: {}\n",
            part("resource_name"),
            part("component"),
            part("resource_id"),
            part("description"),
            charged(charge, &currency)
        ));
        // A preview's runs are not recorded.
        if !invoice["id"].is_null() {
            text.push_str(&format!("  charged by run {}\n", part("run_id")));
        }
        for one in more["measurements"].as_array().map(Vec::as_slice).unwrap_or_default() {
            text.push_str(&format!("    {}  {}\n", exact(&one["at"]), provider::measured(&one["values"])));
        }
        text.push_str(&stretches(more));
    }
    text
}

/// The intervals to which a line or charge was opened, one a line.
fn stretches(opened: &Value) -> String {
    let all = opened["intervals"].as_array().map(Vec::as_slice).unwrap_or_default();
    let told = all.iter().map(|interval| {
        let (start, end) = (exact(&interval["start"]), exact(&interval["end"]));
        format!("    {start} – {end}  {}  {}\n", quantity(interval), cell(&interval["evidence"]))
    });
    told.collect()
}

/// How a charge comes to its amount: by units, by an amount that its method said, or by both.
fn charged(charge: &Value, currency: &str) -> String {
    let sum = amount(&charge["amount"], currency);
    let places = currency.parse::<Currency>().map_or(2, Currency::places);
    let read = |name: &str| charge[name].as_str()?.parse::<Nanos>().ok();
    let of_units = || {
        let (units, price, whole) = (read("units")?, read("unit_price")?, read("amount")?);
        Some((units, price, whole.sub(price.mul_div_round(units.0, ONE, places).ok()?).ok()?))
    };
    match of_units() {
        None => sum,
        Some((units, price, Nanos::ZERO)) => format!("{units} units × {price} {currency} = {sum}"),
        Some((units, price, rest)) => {
            format!("{units} units × {price} {currency} + {} {currency} = {sum}", rest.to_text(places))
        }
    }
}

/// The line in words; empty for a line that this program does not understand.
fn arithmetic(line: &Value, currency: &Value) -> String {
    let text = |name: &str| line[name].as_str().unwrap_or_default();
    let read = || {
        let line = InvoiceLine {
            resource_id: text("resource_id").parse().ok()?,
            resource_name: text("resource_name").to_owned(),
            meter: serde_json::from_value(line["meter"].clone()).ok()?,
            intervals: line["intervals"].as_u64()?,
            used_ms: line["used_ms"].as_i64()?,
            unit_ms: text("unit_ms").parse().ok()?,
            unit_price: text("unit_price").parse().ok()?,
            amount: text("amount").parse().ok()?,
        };
        Some(rating::explain(&line, currency.as_str()?.parse().ok()?))
    };
    read().unwrap_or_default()
}

fn amount(value: &Value, currency: &str) -> String {
    let nanos: Option<Nanos> = value.as_str().and_then(|t| t.parse().ok());
    let places = currency.parse::<Currency>().map_or(2, Currency::places);
    nanos.map_or_else(|| cell(value), |n| format!("{} {currency}", n.to_text(places)))
}

/// A time to the millisecond: this is the proof of a bill.
fn exact(time: &Value) -> String {
    time.as_str().unwrap_or("goes on").to_owned()
}

fn quantity(interval: &Value) -> String {
    let units = interval["quantity"].as_i64().unwrap_or_default();
    match serde_json::from_value(interval["meter"].clone()) {
        Ok(meter) => rating::quantity(meter, units.into()),
        Err(_) => units.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invoice_opens_to_its_arithmetic_and_its_intervals() {
        let line = json!({"resource_id": "0198c5e8-a4d2-7c3e-9f0b-6a1d2c3e4f50", "resource_name": "web-1",
            "meter": "cpu", "intervals": 1, "used_ms": 11_525_000, "unit_ms": "23050000", "unit_price": "0.01",
            "amount": "0.06"});
        let invoice = json!({"number": null, "customer_id": "c", "from": "2026-11-01T00:00:00.000Z",
            "to": "2026-12-01T00:00:00.000Z", "currency": "EUR", "total": "0.06", "lines": [line]});
        let interval = json!({"meter": "cpu", "start": "2026-11-02T00:00:00.000Z",
            "quantity": 2, "end": "2026-11-02T03:12:05.000Z", "evidence": "seen"});
        let opened = [json!({"explanation": arithmetic(&line, &json!("EUR")), "intervals": [interval]})];
        let text = text(&invoice, &opened, &[]);
        for part in [
            "preview (not an invoice)",
            "web-1     cpu    3 h 12 min 5 s  0.01     0.06 EUR",
            "total     0.06 EUR",
            "3 h 12 min 5 s × 2 vCPU × 0.01 EUR/h = 0.06 EUR",
            "2026-11-02T00:00:00.000Z – 2026-11-02T03:12:05.000Z  2 vCPU  seen",
        ] {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
    }

    #[test]
    fn what_scripts_charged_is_listed_and_opens_to_what_was_measured() {
        let charge = json!({"resource_id": "0198c5e8-a4d2-7c3e-9f0b-6a1d2c3e4f50", "resource_name": "web-1",
            "component": "VAULT_SETTINGS", "units": "0.75", "unit_price": "2", "amount": "1.50",
            "description": "2.5 GB kept", "run_id": "0198c5e8-a4d2-7c3e-9f0b-6a1d2c3e4f51"});
        let fee = json!({"resource_name": "acme", "component": "FEE", "units": null, "unit_price": "2",
            "amount": "9.99", "description": "a month"});
        let both = json!({"units": "0.75", "unit_price": "2", "amount": "11.50"});
        assert_eq!(charged(&both, "EUR"), "0.75 units × 2 EUR + 10.00 EUR = 11.50 EUR");
        let invoice = json!({"id": "i", "number": 7, "customer_id": "c", "from": "2026-11-01T00:00:00.000Z",
            "to": "2026-12-01T00:00:00.000Z", "currency": "EUR", "total": "11.49", "lines": [], "charges": [charge, fee]});
        let value = json!({"providers.VAULT.stored": {"value": "2.5", "unit": "GB"}});
        let interval = json!({"meter": "pluggable_resource", "start": "2026-11-02T00:00:00.000Z",
            "quantity": 1, "end": "2026-11-02T03:12:05.000Z", "evidence": "seen"});
        let measured = [json!({"measurements": [{"at": "2026-11-02T00:00:00.000Z", "values": value}],
            "intervals": [interval]})];
        let text = text(&invoice, &[], &measured);
        for part in [
            "RESOURCE  COMPONENT       UNITS  PRICE/UNIT  AMOUNT    FOR",
            "web-1     VAULT_SETTINGS  0.75   2           1.50 EUR  2.5 GB kept",
            "acme      FEE             -      -           9.99 EUR  a month",
            "total     11.49 EUR",
            "2.5 GB kept: 0.75 units × 2 EUR = 1.50 EUR",
            "charged by run 0198c5e8-a4d2-7c3e-9f0b-6a1d2c3e4f51",
            "    2026-11-02T00:00:00.000Z  providers.VAULT.stored 2.5 GB",
            "    2026-11-02T00:00:00.000Z – 2026-11-02T03:12:05.000Z  1 resource  seen",
        ] {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
    }
}

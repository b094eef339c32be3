//! The walk through the main job, once a server answers.

use super::{
    client::Client,
    server,
    service::{PROFILE, Service},
};
use crate::{home, step::Step};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{fs, path::PathBuf};

const RESELLER: &str = "Northwind Hosting";
const PLAN: &str = "pay-as-you-go";
const CUSTOMER: &str = "acme";
const USER: &str = "ada@acme.example";
/// A name that the PRE trigger refuses.
const REFUSED: &str = "forbidden-1";
/// What the first of them prints, the second, and what the third refuses.
const TRIGGERS: [&str; 3] = ["server-created-note", "server-started-note", "refuse-forbidden-names"];

/// The image to import.
pub struct Guest {
    pub name: String,
    pub file: PathBuf,
    pub size_gib: u64,
    pub memory_mib_min: u64,
}

/// Walks.
pub fn walk(service: &Service, guest: &Guest) -> Result<()> {
    let client = &service.client;
    kvm(service)?;
    println!("\nWho sells, who buys");
    people(client)?;
    println!("\nWhat is sold");
    image(client, guest)?;
    println!("\nWhat happens by itself");
    for trigger in TRIGGERS {
        load(client, trigger)?;
    }
    println!("\nA server");
    let address = server::ensure(service, CUSTOMER, guest)?;
    println!("\nIts triggers ran");
    server::show_run(client, TRIGGERS[0])?;
    server::show_run(client, TRIGGERS[1])?;
    println!("\nA server that a trigger refuses");
    refused(client, guest)?;
    println!("\nWhat it costs so far: each line with its arithmetic and the intervals behind it");
    client.show(&["invoice", "preview", CUSTOMER, "--explain"])?;
    ending(service, &address);
    Ok(())
}

/// Whether guests run on KVM, said plainly.
fn kvm(service: &Service) -> Result<()> {
    if service.simulated {
        println!("\nSimulated drivers: no guest runs.");
        return Ok(());
    }
    let step = Step::begin("KVM self-test");
    let node = server::wait_for("the node's self-test", || {
        let nodes = service.client.ask(&["node", "list"])?;
        let node = first(&nodes).cloned().unwrap_or_default();
        let tested = node["kvm"]["verdict"].as_str().is_some_and(|verdict| verdict != "unknown");
        Ok(tested.then_some(node))
    })?;
    if node["kvm"]["verdict"] == "usable" {
        step.done("it works, guests run at full speed");
    } else {
        let reason = node["kvm"]["reason"].as_str().unwrap_or("no reason given");
        step.done("KVM: unusable, using emulation; a boot takes a minute or more");
        for line in reason.lines() {
            println!("      {line}");
        }
    }
    Ok(())
}

fn people(client: &Client) -> Result<()> {
    let entities = client.ask(&["billing-entity", "list"])?;
    let provider = items(&entities).iter().find(|entity| entity["parent_id"].is_null());
    let provider = provider.and_then(|entity| entity["name"].as_str()).unwrap_or_default();
    println!("  ✓ provider {provider}: made at the first start");
    ensure(
        client,
        "reseller",
        &["billing-entity", "show", RESELLER],
        &["billing-entity", "create", RESELLER, "--currency", "EUR"],
    )?;
    let plan = ["plan", "create", PLAN, "--billing-entity", RESELLER];
    // Steep, so that the first minute already shows on the invoice: 3.60 an hour is a tenth of a cent a second.
    let prices = ["--cpu-hour", "3.60", "--memory-gib-hour", "1.20", "--disk-gib-hour", "0.36"];
    ensure(client, "price plan", &["plan", "show", PLAN], &[&plan[..], &prices[..]].concat())?;
    let customer = ["customer", "create", CUSTOMER, "--billing-entity", RESELLER, "--plan", PLAN];
    ensure(client, "customer", &["customer", "show", CUSTOMER], &customer)?;
    if client.find(&["user", "show", USER])?.is_some() {
        println!("  ✓ user {USER}: found");
        return Ok(());
    }
    let user = ["user", "create", USER, "--first-name", "Ada", "--last-name", "Acme", "--role", "customer_admin"];
    let whose = ["--customer", CUSTOMER, "--billing-entity", RESELLER, "--password-stdin"];
    // Nobody knows it: whoever wants to sign in as this user gives a new one first.
    let password = fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    client.ask_with_input(&[&user[..], &whose[..]].concat(), password.trim())?;
    println!("  ✓ user {USER}: made (`sutler user update {USER} --password-stdin` gives a password)");
    Ok(())
}

fn image(client: &Client, guest: &Guest) -> Result<()> {
    let file = guest.file.to_string_lossy();
    let (size, memory) = (guest.size_gib.to_string(), guest.memory_mib_min.to_string());
    let create = ["image", "create", &guest.name, "--file", &file, "--size", &size, "--memory", &memory];
    ensure(client, "image", &["image", "show", &guest.name], &create)
}

fn load(client: &Client, name: &str) -> Result<()> {
    let file = home::checkout().join("scripts").join(name).join("trigger.lua");
    let source = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let found = client.find(&["trigger", "show", name])?;
    let is_same = found.as_ref().is_some_and(|trigger| trigger["source"] == Value::String(source));
    if !is_same {
        client.ask(&["trigger", "load", &file.to_string_lossy(), "--name", name])?;
    }
    let how = match (found, is_same) {
        (_, true) => "found",
        (Some(_), false) => "its source has changed: loaded anew",
        (None, false) => "loaded",
    };
    println!("  ✓ trigger {name}: {how}");
    Ok(())
}

/// A trigger refuses: nothing is created, and the caller sees why.
fn refused(client: &Client, guest: &Guest) -> Result<()> {
    let (disk, memory) = (guest.size_gib.to_string(), guest.memory_mib_min.to_string());
    let asked = ["server", "create", REFUSED, "--customer", CUSTOMER, "--image", &guest.name];
    let size = ["--cpu", "1", "--memory", &memory, "--disk", &disk];
    let reason = client.show_refused(&[&asked[..], &size[..]].concat())?;
    if !reason.contains("reserved") {
        bail!("the server was refused, but not by the trigger");
    }
    if client.find(&["server", "show", REFUSED])?.is_some() {
        bail!("the server {REFUSED} was refused and is there all the same");
    }
    Ok(())
}

/// Finds it or makes it.
fn ensure(client: &Client, what: &str, show: &[&str], create: &[&str]) -> Result<()> {
    let name = show.last().copied().unwrap_or_default();
    if client.find(show)?.is_some() {
        println!("  ✓ {what} {name}: found");
        return Ok(());
    }
    client.ask(create)?;
    println!("  ✓ {what} {name}: made");
    Ok(())
}

/// The records of a list.
pub fn items(list: &Value) -> &[Value] {
    list.as_array().or(list["items"].as_array()).map(Vec::as_slice).unwrap_or_default()
}

fn first(list: &Value) -> Option<&Value> {
    items(list).first()
}

fn ending(service: &Service, address: &str) {
    let program = service.client.program.display();
    let (email, password) = &service.admin;
    println!("\nDone. Guests and Sutler run on in the background, also after Ctrl-C.\n");
    println!("  server         {} at {address}", server::NAME);
    println!("  Sutler         {}", service.client.url);
    match password {
        Some(password) => println!("  administrator  {email}, one-time password (shown only now): {password}"),
        None => println!("  administrator  {email}; the password was shown by the first run"),
    }
    println!("\nNext:");
    println!("  {program} --profile {PROFILE} server console {}", server::NAME);
    println!("  {program} --profile {PROFILE} invoice preview {CUSTOMER} --explain");
    println!("  cargo xtask down");
}

//! What comes with a script: its texts in the owner's language, and blobs.

use super::*;
use crate::{BillingEntityPatch, BlobPatch, NewBillingEntity, NewBlob};
use std::collections::BTreeMap;
use sutler_model::{Blob, BlobContent, BlobId, Noun, RunState, translation::Translations};
use uuid::Uuid;

fn texts(all: &[(&str, &str, &str)]) -> Translations {
    let mut translations = Translations::new();
    for (language, key, text) in all {
        let texts: &mut BTreeMap<String, String> = translations.entry((*language).to_owned()).or_default();
        texts.insert((*key).to_owned(), (*text).to_owned());
    }
    translations
}

async fn last_log(bench: &Bench, runs: usize) -> String {
    let all = bench.runs_until(|all| all.iter().filter(|run| run.state == RunState::Succeeded).count() >= runs).await;
    all.into_iter().rfind(|run| run.state == RunState::Succeeded).expect("a run").log
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_speaks_the_language_of_its_owner_as_it_is_now() {
    let bench = Bench::start().await;
    let body = r##"
        print(translate.string("#__HELLO", p.input:getFirstName()), translate.advanced("#__HELLO", "#__NAME"))
        print(translate.string("#__NONE"), translate.string("LBL_NO_CHARGE"), translate.measureType(new("MeasureType", "HOUR")))
    "##;
    let new = NewScript {
        name: "talk".into(),
        owner: Scope::Provider,
        source: block("POST_CREATE", r#""USER""#, body).replace("name = \"t\"", "name = translate.string(\"#__NAME\")"),
        enabled: true,
        fail_open: false,
    };
    let all = texts(&[
        ("en", "#__HELLO", "Hello, {0}"),
        ("en", "#__NAME", "world"),
        ("de_DE", "#__HELLO", "Hallo, {0}"),
        ("de_DE", "HOUR", "Stunde"),
    ]);
    let script = bench.system.create_package(&bench.caller, new, all.clone()).await.expect("taken");
    assert_eq!((script.entries[0].name.as_str(), &script.translations), ("world", &all));
    bench.user("ada").await;
    assert_eq!(last_log(&bench, 1).await, "Hello, ada\tHello, world\n#__NONE\tNo charge\thour\n");

    let provider = bench.caller.billing_entity_id;
    let german = |language: &str| BillingEntityPatch { language: Some(Some(language.into())), ..Default::default() };
    let wrong = bench.system.update_billing_entity(&bench.caller, provider, None, german("German")).await;
    assert!(matches!(wrong, Err(Error::Invalid(_))), "{wrong:?}");
    bench.system.update_billing_entity(&bench.caller, provider, None, german("de_AT")).await.expect("changed");
    bench.user("bob").await;
    assert_eq!(last_log(&bench, 2).await, "Hallo, bob\tHallo, world\n#__NONE\tNo charge\tStunde\n");

    let patch = ScriptPatch { translations: Some(texts(&[("de", "#__HELLO", "Servus")])), ..ScriptPatch::default() };
    let changed = bench.system.update_script(&bench.caller, script.id, None, patch).await.expect("changed");
    assert_eq!(changed.revision, 1, "texts are no revision of the source");
    bench.user("eve").await;
    assert_eq!(last_log(&bench, 3).await, "Servus\tServus\n#__NONE\tNo charge\thour\n");
    let patch = ScriptPatch { translations: Some(texts(&[("Deutsch", "a", "b")])), ..ScriptPatch::default() };
    let wrong = bench.system.update_script(&bench.caller, script.id, None, patch).await;
    assert!(matches!(&wrong, Err(Error::Invalid(all)) if all[0].field == "translations.Deutsch"), "{wrong:?}");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_keeps_changes_reads_and_deletes_blobs_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start_with(folder.path(), settings()).await;
    let (stranger, _) = bench.stranger().await;
    let foreign = NewBlob {
        name: "theirs".into(),
        billing_entity_id: bench.caller.billing_entity_id,
        customer_id: None,
        media_type: "text/plain".into(),
        public: false,
        content: b"secret".to_vec(),
    };
    let private = bench.system.create_blob(&bench.caller, foreign.clone()).await.expect("kept");
    let public = NewBlob { public: true, content: b"for all".to_vec(), ..foreign.clone() };
    let public = bench.system.create_blob(&bench.caller, public).await.expect("kept");
    let body = format!(
        r#"
        local skeleton = new("Blob")
        skeleton:setResourceName("mine")
        skeleton:setValue("one")
        local blob = adminAPI:createBlob(skeleton, nil)
        print(blob:getResourceType():name(), blob:isPublicResource(), adminAPI:getBlobContent(blob:getResourceUUID()))
        blob:setPublicResource(true)
        blob:setValue("two")
        print(adminAPI:modifyBlob(blob, nil):getItemUUID() == blob:getResourceUUID())
        print(adminAPI:getBlobContent(blob:getResourceUUID()), adminAPI:getBlobContent("{public}"))
        print(adminAPI:listResources(nil, nil, new("ResourceType", "BLOB")):getTotalCount())
        local function try(what)
            print(string.match(select(2, pcall(what)), "[A-Z_]+:"))
        end
        try(function() return adminAPI:getBlobContent("{private}") end)
        try(function() return adminAPI:deleteResource("{public}", false, nil) end)
        blob:setResourceUUID("{public}")
        try(function() return adminAPI:modifyBlob(blob, nil) end)
        local gone = adminAPI:createBlob(skeleton, nil)
        print(adminAPI:deleteResource(gone:getResourceUUID(), false, nil):getStatus():name())
        error("again")
        "#,
        private = private.id,
        public = public.id,
    );
    bench.script("blobs", Scope::Customer(stranger), block("POST_CREATE", r#""USER""#, &body)).await;
    bench.user_of(stranger, "eve").await;
    let run = bench.runs_until(|runs| runs.iter().any(|run| run.state == RunState::Dead)).await.remove(0);
    assert_eq!(run.attempts, 3, "{run:#?}");
    let blobs = all::<Blob>(&bench.system).await;
    let own: Vec<&Blob> = blobs.iter().filter(|blob| blob.customer_id == Some(stranger) && blob.public).collect();
    assert_eq!((own.len(), own[0].name.as_str(), own[0].bytes), (1, "mine", 3));
    assert_eq!(run.log.lines().last(), Some("SUCCESSFUL"), "{}", run.log);
    let refused = ["NO_BLOB_FOUND:", "NO_BLOB_FOUND:", "NO_BLOB_FOUND:"];
    assert_eq!(run.log.lines().skip(4).take(3).collect::<Vec<_>>(), refused, "{}", run.log);
    assert_eq!(all::<BlobContent>(&bench.system).await.len(), blobs.len(), "content goes with its blob");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs_have_limits_and_packages_names_are_for_sellers() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start_with(folder.path(), settings()).await;
    let (stranger, eve) = bench.stranger().await;
    let new = |content: Vec<u8>| NewBlob {
        name: "logo.png".into(),
        billing_entity_id: bench.caller.billing_entity_id,
        customer_id: None,
        media_type: "image/png".into(),
        public: true,
        content,
    };
    let long = bench.system.create_blob(&bench.caller, new(vec![0; (512 << 10) + 1])).await;
    assert!(matches!(&long, Err(Error::Invalid(all)) if all[0].field == "content"), "{long:?}");
    let kind = NewBlob { media_type: "text/html\r\nx: y".into(), ..new(Vec::new()) };
    assert!(matches!(bench.system.create_blob(&bench.caller, kind).await, Err(Error::Invalid(_))));

    let id = BlobId(Uuid::new_v5(&Uuid::NAMESPACE_URL, b"_skyline/blobs/logo.png"));
    let (blob, is_new) = bench.system.put_blob(&bench.caller, id, new(vec![1])).await.expect("kept");
    assert_eq!((blob.id, is_new), (id, true));
    let (same, is_new) = bench.system.put_blob(&bench.caller, id, new(vec![1])).await.expect("kept");
    assert_eq!((same.version, is_new), (1, false), "putting it again changes nothing");
    let (other, _) = bench.system.put_blob(&bench.caller, id, new(vec![2])).await.expect("kept");
    assert_eq!(bench.system.blob_content(None, id).await.expect("public").1, [2]);
    assert_ne!(other.sha256, blob.sha256);

    let theirs = NewBlob { customer_id: Some(stranger), ..new(vec![3]) };
    for (id, asked) in [(id, theirs.clone()), (BlobId(Uuid::new_v5(&Uuid::NAMESPACE_URL, b"else")), theirs)] {
        assert!(bench.system.put_blob(&eve, id, asked).await.is_err(), "a customer takes no name of a package");
    }
    let random = bench.system.put_blob(&bench.caller, BlobId(Uuid::new_v4()), new(vec![1])).await;
    assert!(matches!(&random, Err(Error::Invalid(all)) if all[0].field == "id"), "{random:?}");
    let hidden = BlobPatch { public: Some(false), ..BlobPatch::default() };
    bench.system.update_blob(&bench.caller, id, None, hidden).await.expect("hidden");
    assert!(matches!(bench.system.blob_content(None, id).await, Err(Error::NotFound { noun: Noun::Blob, .. })));
    assert!(bench.system.blob_content(Some(&eve), id).await.is_err());
    let north = NewBillingEntity {
        parent_id: bench.caller.billing_entity_id,
        name: "North".into(),
        currency: "EUR".parse().expect("a currency"),
    };
    let north = bench.system.create_billing_entity(&bench.caller, north).await.expect("made").id;
    let reseller = Caller { scope: Scope::Entity(north), billing_entity_id: north, ..bench.caller.clone() };
    let taken = bench.system.put_blob(&reseller, id, NewBlob { billing_entity_id: north, ..new(vec![1]) }).await;
    assert!(matches!(taken, Err(Error::Taken { noun: Noun::Blob, .. })), "{taken:?}");
    bench.system.delete_blob(&bench.caller, id, None).await.expect("deleted");
    assert!(all::<BlobContent>(&bench.system).await.is_empty());
    bench.stop().await;
}

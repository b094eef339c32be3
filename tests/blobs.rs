//! Blobs: kept, fetched with and without a credential, and harmless wherever a browser opens them.

use crate::support::World;
use serde_json::json;

const PLACE: &str = "/rest/open/current/resources/blob";

#[tokio::test]
async fn a_public_blob_is_fetched_by_anybody_and_a_private_one_by_its_owners_alone() {
    let world = World::new().await;
    let (ada, bob) = (&world.ada.client, &world.bob.client);
    // "body { color: red }"
    let css = json!({ "name": "a.css", "media_type": "text/css", "content": "Ym9keSB7IGNvbG9yOiByZWQgfQ==" });
    let blob = ada.post("/blobs", css).await.expect(201);
    let id = blob.id();
    assert_eq!((&blob.body["bytes"], &blob.body["public"]), (&json!(19), &json!(false)));
    assert_eq!(blob.body["customer_id"], json!(world.ada.id));
    let fetched = ada.get(&format!("/blobs/{id}/content")).await.expect(200);
    assert_eq!((fetched.text.as_str(), fetched.header("content-type")), ("body { color: red }", "text/css"));
    assert_eq!(fetched.header("cache-control"), "no-store");
    bob.get(&format!("/blobs/{id}/content")).await.problem(404, "not_found");
    assert!(bob.get("/blobs").await.items().is_empty());
    let anybody = world.program.client();
    anybody.get(&format!("{PLACE}/{id}/download")).await.problem(404, "not_found");

    ada.patch(&format!("/blobs/{id}"), json!({ "public": true })).await.expect(200);
    let open = anybody.get(&format!("{PLACE}/{id}/download")).await.expect(200);
    assert_eq!((open.text.as_str(), open.header("x-content-type-options")), ("body { color: red }", "nosniff"));
    assert!(open.header("content-security-policy").starts_with("sandbox;"));
    assert_eq!(open.header("etag"), format!("\"{}\"", blob.body["sha256"].as_str().unwrap()));
    bob.patch(&format!("/blobs/{id}"), json!({ "public": false })).await.problem(404, "not_found");

    let wrong = ada.patch(&format!("/blobs/{id}"), json!({ "content": "not base64" })).await.expect(422);
    assert!(wrong.body.to_string().contains("content"), "{}", wrong.body);
    ada.patch(&format!("/blobs/{id}"), json!({ "content": "", "name": "empty.css" })).await.expect(200);
    assert_eq!(ada.get(&format!("/blobs/{id}/content")).await.expect(200).text, "");
    ada.delete(&format!("/blobs/{id}")).await.expect(204);
    anybody.get(&format!("{PLACE}/{id}/download")).await.problem(404, "not_found");
}

#[tokio::test]
async fn whoever_fetches_a_blob_chooses_harmless_headers_and_no_page_is_shown_as_ours() {
    let world = World::new().await;
    let page = json!({ "name": "x", "public": true, "content": "PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==" });
    let id = world.ada.client.post("/blobs", page).await.expect(201).id();
    let anybody = world.program.client();
    let fetch = async |headers: &str| {
        let query: String = form_urlencoded::byte_serialize(headers.as_bytes()).collect();
        anybody.get(&format!("{PLACE}/{id}/download?headers={query}")).await
    };
    let css =
        fetch(r#"{"Content-Type": "text/css", "Set-Cookie": "a=b", "X-Frame-Options": "ALLOWALL"}"#).await.expect(200);
    assert_eq!((css.header("content-type"), css.header("set-cookie")), ("text/css", ""));
    assert_eq!((css.header("x-frame-options"), css.header("content-disposition")), ("DENY", ""));
    for page in ["text/html", "image/svg+xml", "application/xhtml+xml"] {
        let shown =
            fetch(&format!(r#"{{"Content-Type": "{page}", "Content-Disposition": "inline"}}"#)).await.expect(200);
        assert_eq!((shown.header("content-type"), shown.header("content-disposition")), (page, "attachment"));
        assert!(shown.header("content-security-policy").starts_with("sandbox; default-src 'none'"));
    }
    for bad in [r#"{"Content-Type": "text/css\r\nSet-Cookie: a=b"}"#, "nonsense", r#"{"Cache-Control": "a\u0000b"}"#] {
        let refused = fetch(bad).await;
        assert_eq!(refused.status, 400, "{bad}: {}", refused.text);
        assert_eq!(refused.header("set-cookie"), "");
    }
}

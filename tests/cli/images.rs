//! Images from the command line.

use super::Installation;

#[tokio::test]
async fn an_image_is_made_of_a_stopped_server() {
    let it = Installation::with_customer().await;
    assert_eq!(it.create_server("web", &["--no-start"]).code, 0);
    let image = it.json(&["image", "create", "golden", "--server", "web"]);
    assert_eq!((image["name"].as_str(), image["state"].as_str()), (Some("golden"), Some("ready")), "{image}");
    let disk = it.json(&["disk", "list"])[0]["id"].as_str().expect("an id").to_owned();
    let job = it.json(&["image", "create", "copy", "--from-disk", &disk, "--no-wait"]);
    assert_eq!(job["kind"], "create_image");
    it.ok(&["image", "update", "golden", "--new-name", "silver", "--state", "retired"]);
    assert_eq!(it.json(&["image", "show", "silver"])["state"], "retired");
    let neither = it.say(&["image", "create", "nothing"]);
    assert!(neither.code != 0 && neither.err.contains("server_id"), "{}", neither.err);
}

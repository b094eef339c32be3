//! Packages: folders of sources with their translations and blobs.

use super::Installation;
use crate::support::eventually;
use serde_json::json;
use std::fs;

#[tokio::test]
async fn a_package_is_loaded_whole_and_again_without_a_change() {
    let it = Installation::with_customer().await;
    let folder = it.home.path().join("package");
    let write = |name: &str, content: &[u8]| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    let source = "function register() return {'greet'} end\nfunction greet(p)\n  if p == nil then return {triggerType='POST_CREATE', \
                  triggerOptions={'SERVER'}} end\n  local id = new('FDLHashHelper'):getNamedUUID('_skyline/blobs/hello.txt')\n  \
                  print(translate.string('#__HELLO', adminAPI:getBlobContent(id)))\nend\n";
    write("greet.lua", source.as_bytes());
    write("other.lua", b"function register() return {} end\n");
    write("translations/en.json", b"{\"#__HELLO\": \"Hello, {0}\"}");
    write("translations/de_DE.json", "{\n\"#__HELLO\": \"Grüß dich, {0}\",\n\"#__X\": 5\n}".as_bytes());
    write("_skyline/blobs/hello.txt", b"blob");
    let path = folder.to_str().unwrap();
    let refused = it.say(&["trigger", "load", path]);
    assert_eq!((refused.code, refused.err.contains("de_DE.json:3: ")), (2, true), "{}", refused.err);
    assert!(
        it.json(&["trigger", "list"]).as_array().unwrap().is_empty(),
        "nothing is loaded of what is wrong somewhere"
    );

    write("translations/de_DE.json", "{\"#__HELLO\": \"Grüß dich, {0}\"}".as_bytes());
    let loaded = it.ok(&["trigger", "load", path]);
    for line in ["loaded: _skyline/blobs/hello.txt (", "loaded: greet (", "loaded: other (", "2 texts in 2 languages"] {
        assert!(loaded.contains(line), "{loaded}");
    }
    let again = it.ok(&["trigger", "load", path]);
    assert_eq!(again.matches("unchanged: ").count(), 3, "{again}");
    it.ok(&[
        "billing-entity",
        "update",
        it.json(&["billing-entity", "list"])[0]["id"].as_str().unwrap(),
        "--language",
        "de_DE",
    ]);
    assert_eq!(it.create_server("web-1", &[]).code, 0);
    let logs = || it.ok(&["trigger", "logs", "greet"]);
    eventually("the trigger ran", async || logs().contains("\nGrüß dich, blob\n").then_some(())).await;
    assert_eq!(it.ok(&["trigger", "translations", "greet", "--language", "en"]), "en  #__HELLO  Hello, {0}\n");
    let run = it.json(&["trigger", "runs", "greet"])[0]["id"].as_str().unwrap().to_owned();
    for command in ["retry", "skip"] {
        assert_eq!(it.say(&["trigger", command, &run]).code, 5, "it did not fail, so there is nothing to {command}");
    }

    write("translations/en.json", b"{\"#__HELLO\": \"Hi, {0}\"}");
    write("_skyline/blobs/hello.txt", b"new");
    let changed = it.ok(&["trigger", "load", path]);
    assert_eq!(changed.matches("loaded anew: ").count(), 3, "{changed}");
    assert_eq!(it.ok(&["blob", "get", "hello.txt"]), "new");
    let file = it.home.path().join("picture.png");
    fs::write(&file, [0, 159, 146, 150]).unwrap();
    let kept = it.json(&["blob", "create", file.to_str().unwrap(), "--public"]);
    assert_eq!((&kept["media_type"], &kept["bytes"]), (&json!("image/png"), &json!(4)));
    it.ok(&["blob", "get", "picture.png", "--to", file.to_str().unwrap()]);
    assert_eq!(fs::read(&file).unwrap(), [0, 159, 146, 150]);
}

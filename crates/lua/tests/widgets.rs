//! What dashboard widgets are made of.

use crate::support::Fixture;
use serde_json::json;

#[tokio::test]
async fn definitions_of_a_widget_are_tables_that_its_descriptor_can_hold() {
    let found = Fixture::new()
        .eval(
            r#"
        local w = new("FDLCustomWidgetHelper")
        local refresh = w:getRefreshTimeValueDefinition(true)
        local icon = w.getResourceIconValueDefinition(false)
        local action = w:getContentActionDefinition("get_content", { "BE", "CUSTOMER" }, nil, true)
        local content = new("JSON"):decode(w:createGetContentOutput(nil, "<p>&</p>", "1 < 2"))
        return {
            refresh.key, refresh.required, refresh.validator.validatorType, refresh.measureType,
            w:getResourceDescriptionValueDefinition().key, icon.required, icon.validator.validatorType,
            action.executionFunction, action.returnType, #action.invocationLevels, action.synchronous,
            content.css, content.html, content.javascript,
        }"#,
        )
        .await;
    let expected = json!([
        "REFRESH_TIME",
        true,
        "NUMERIC_INT",
        "SECOND",
        "RESOURCE_DESCRIPTION",
        false,
        "ICON",
        "get_content",
        "STRING",
        2,
        true,
        "",
        "<p>&</p>",
        "1 < 2",
    ]);
    assert_eq!(found, expected);
}

#[tokio::test]
async fn the_blob_of_a_widgets_icon_follows_the_icon() {
    let fixture = Fixture::new();
    let found = fixture
        .eval(
            r#"
        local w, resource = new("FDLCustomWidgetHelper"), new("PluggableResource")
        resource:setResourceUUID("r-1")
        local function p(icon) return { resource = resource, resourceValues = { RESOURCE_ICON = icon } } end
        return {
            w:createIconBlob(p("FONT_ICON_RETWEET"), true), w:createIconBlob(p("data:1"), true),
            w:modifyIconBlob(p("data:2"), true), w:deleteIconBlob(p("data:2"), true), w:deleteIconBlob(p(nil)),
            select(2, pcall(w.createIconBlob, nil)),
        }"#,
        )
        .await;
    assert_eq!(found.as_array().unwrap()[..5], [json!(false), json!(true), json!(true), json!(true), json!(true)]);
    assert!(found[5].as_str().unwrap().contains("the function's `p` expected"), "{found}");
    let seen = fixture.platform.seen();
    let calls: Vec<_> = seen.iter().map(|seen| (seen.operation.as_str(), &seen.args[0])).collect();
    assert_eq!(calls.len(), 3, "{calls:?}");
    assert_eq!(
        (calls[0].0, &calls[0].1["value"], &calls[0].1["@bean"]),
        ("createBlob", &json!("data:1"), &json!("Blob"))
    );
    let (changed, blob) = (calls[1], &calls[2].1);
    assert_eq!((changed.0, &changed.1["value"], &changed.1["resourceUUID"]), ("modifyBlob", &json!("data:2"), *blob));
    assert_eq!(calls[2].0, "deleteResource");
    assert!(blob.as_str().unwrap().starts_with("blob-"), "{blob}");
}

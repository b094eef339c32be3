//! XML documents in scripts, and the metadata that a server is to find.

use crate::support::{Fixture, about};
use serde_json::json;
use sutler_lua::*;

fn metadata(document: &str) -> Params {
    let server = Bean::new("Server").with("resourceUUID", "s-1").with("customerUUID", "c-1");
    let input = Input::Metadata { server, document: document.to_owned() };
    Params { input, option: "ANY".to_owned(), ..about(Bean::new("Server"), "") }
}

#[tokio::test]
async fn a_trigger_changes_the_metadata_of_a_server_and_adds_to_its_first_boot() {
    let document = "<?xml version=\"1.0\"?>\n<CONFIG><meta><server uuid='s-1'/><old>x</old></meta></CONFIG>";
    let body = r##"
        local server, doc = p.input[1], p.input[2]
        assert(#p.input == 2 and server:getCustomerUUID() == "c-1")
        local xml = new("FDLXMLHelper")
        local meta = xml:findNode(doc, "CONFIG/meta")
        local keys = xml:addNode(doc, meta, "keys")
        xml:addTextNode(doc, keys, "level", "gold & <silver>")
        xml:addCDataNode(doc, keys, "script", "if a < b && c ]]> then")
        xml:removeNode(meta, xml:findNode(meta, "old"))
        assert(xml:findNode(doc, "CONFIG/meta/keys/level"):getTextContent() == "gold & <silver>")
        assert(xml:findNode(meta, "keys/script"):getTextContent() == "if a < b && c ]]> then")
        assert(xml:findNode(doc, "meta") == nil and xml:findNode(doc, "CONFIG/none") == nil)
        server:addCloudInitData("#cloud-config\npackages: [nginx]")
        server.addCloudInitData("#!/bin/sh\ntrue")
        return { exitState = "SUCCESS" }"##;
    let outcome = Fixture::new().body(body, metadata(document)).await;
    assert_eq!(outcome.exit, Exit::Success, "{}", outcome.result);
    let expected = "<?xml version=\"1.0\"?><CONFIG><meta><server uuid=\"s-1\"/><keys><level>gold &amp; &lt;silver&gt;\
                    </level><script><![CDATA[if a < b && c ]]]]><![CDATA[> then]]></script></keys></meta></CONFIG>";
    assert_eq!(outcome.document.as_deref(), Some(expected));
    let left = outcome.input.unwrap();
    assert_eq!(
        left.properties.to_map()["cloudInitData"],
        json!(["#cloud-config\npackages: [nginx]", "#!/bin/sh\ntrue"])
    );
}

#[tokio::test]
async fn metadata_that_nobody_changes_comes_back_as_it_was() {
    let document = "<?xml version='1.0' ?>\n<!-- kept -->\n<a b='1'  c=\"&#65;\" />\n";
    let body = r#"
        local root = p.input[2]:getDocumentElement()
        return { found = root:getAttribute("c") .. root.getAttribute("b"), missing = root:hasAttribute("d") }"#;
    let outcome = Fixture::new().body(body, metadata(document)).await;
    assert_eq!(outcome.document.as_deref(), Some(document));
    assert_eq!(outcome.result, json!({"found": "A1", "missing": false}).to_string());
    let outcome = Fixture::new().body("return", metadata("<a><b></a>")).await;
    assert!(matches!(&outcome.exit, Exit::Failed(e) if e.message.contains("not an XML document")), "{outcome:?}");
}

#[tokio::test]
async fn documents_are_read_searched_changed_and_written() {
    let found = Fixture::new()
        .eval(
            r#"
        local xml = new("FDLXMLHelper")
        local doc = xml:parse("<a><x:b n='1'>one<c/></x:b><b n='2'>t&amp;w<![CDATA[o]]>&#33;</b></a>")
        local b = xml.findNodes(doc, "a/b")
        local second = b:get(1)
        second:setAttribute("n", "a\"<\n")
        second:setTextContent("new")
        b:get(0):removeAttribute("n")
        local made = xml:newDocument("root")
        xml:addTextNode(made, made:getDocumentElement(), "n", 7)
        return {
            size = b:size(), text = doc:getDocumentElement():getTextContent(), first = b:get(0):getLocalName(),
            same = second == xml:findNodes(doc, "a/b"):get(1), parent = second:getParentNode():getNodeName(),
            before = second:getPreviousSibling():getNodeName(), none = tostring(second:getNextSibling()),
            below = doc:getElementsByTagName("c"):size(), type = doc:getNodeName(), all = xml:toString(doc),
            made = made:toString(), length = b:getLength(), second = b:item(1) == second, past = tostring(b:item(2)),
            kinds = doc:getNodeType() .. second:getNodeType() .. second:getFirstChild():getNodeType(),
        }"#,
        )
        .await;
    assert_eq!(
        found,
        json!({
            "size": 2, "text": "onenew", "first": "b", "same": true, "parent": "a", "before": "x:b", "none": "nil",
            "below": 1, "length": 2, "second": true, "past": "nil", "kinds": "913", "type": "#document", "made": "<root><n>7</n></root>",
            "all": "<a><x:b>one<c/></x:b><b n=\"a&quot;&lt;&#10;\">new</b></a>",
        })
    );
}

#[tokio::test]
async fn what_is_no_xml_or_too_much_of_it_is_refused_in_words() {
    let fixture = Fixture::new();
    let bomb = r#"<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;">]><a>&c;</a>"#;
    for (expression, reason) in [
        (format!("xml:parse([==[{bomb}]==])"), "DOCTYPE"),
        ("xml:parse('<a>&nbsp;</a>')".to_owned(), "no entity `nbsp`"),
        ("xml:parse('<a><b></a>')".to_owned(), "FDLXMLHelper.parse"),
        ("xml:parse('<a>')".to_owned(), "`a` is not closed"),
        ("xml:parse('')".to_owned(), "no root element"),
        ("xml:parse('<a/>x')".to_owned(), "outside the root"),
        ("xml:parse('<a/><b/>')".to_owned(), "one root element"),
        ("xml:parse('<a b=\"1\" b=\"2\"/>')".to_owned(), "twice"),
        ("xml:parse(string.rep('<a>', 101) .. string.rep('</a>', 101))".to_owned(), "100 levels"),
        ("xml:parse('<a>' .. string.rep('<b/>', 60000) .. '</a>')".to_owned(), "50000 nodes"),
        ("xml:parse('<a ' .. string.rep('b=\"\" ', 100000) .. '/>')".to_owned(), "twice"),
        ("xml:parse(string.rep(' ', 2000000))".to_owned(), "1048576 bytes"),
        ("xml:addNode(doc, nil, 'second')".to_owned(), "one root element"),
        ("xml:addNode(doc, root, 'a b')".to_owned(), "no name"),
        ("xml:addTextNode(doc, root, 'b', '\\0')".to_owned(), "U+0000"),
        ("xml:addNode('text', root, 'b'):none()".to_owned(), "no method `none`"),
        ("xml:findNode(nil, 'a')".to_owned(), "a document or node expected, got nil"),
        ("xml:removeNode(doc, xml:addNode(doc, root, 'deep'))".to_owned(), "not a child"),
    ] {
        let body = format!(
            "local xml = new('FDLXMLHelper') local doc = xml:newDocument('r')\nlocal root = doc:getDocumentElement()\n{expression}"
        );
        let found = fixture.eval(&body).await;
        assert!(found.as_str().is_some_and(|text| text.contains(reason)), "{expression}: {found}");
    }
}

#[tokio::test]
async fn a_document_that_grows_without_end_is_stopped_by_the_memory_limit() {
    let body = "local xml = new('FDLXMLHelper') local doc = xml:newDocument('r')\n\
        local text = string.rep('x', 1000000)\n\
        while true do xml:addTextNode(doc, doc:getDocumentElement(), 'b', text) end";
    assert_eq!(Fixture::new().body(body, Params::default()).await.exit, Exit::Stopped(Limit::Memory));
}

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

#[tokio::test]
async fn an_attribute_in_a_namespace_declares_its_prefix_where_nothing_does() {
    let found = Fixture::new()
        .eval(
            r#"
        local doc = new("FDLXMLHelper"):newDocument("order")
        local root = doc:getDocumentElement()
        root:setAttributeNS("http://www.w3.org/2000/xmlns/", "xmlns:x", "urn:x")
        root:setAttributeNS("http://www.w3.org/XML/1998/namespace", "xml:lang", "en")
        root:setAttributeNS(nil, "n", 1)
        local item = root:appendChild(doc:createElementNS("urn:x", "x:item"))
        item:setAttributeNS("urn:x", "x:a", "<")
        item.setAttributeNS(item, "urn:y", "y:b", 2)
        item:setAttributeNS("urn:y", "y:b", 3)
        local function refused(...)
            return select(2, pcall(item.setAttributeNS, ...))
        end
        return { root:toString(), refused("urn:z", "y:c", "1"), refused("urn:z", "c", "1"), refused("", "a b", "1"),
            item:getAttribute("y:b") }"#,
        )
        .await;
    assert_eq!(
        found,
        json!([
            "<order xmlns:x=\"urn:x\" xml:lang=\"en\" n=\"1\"><x:item xmlns:x=\"urn:x\" x:a=\"&lt;\" xmlns:y=\"urn:y\" y:b=\"3\"/>\
             </order>",
            "script:12: INVALID_INPUT: `y` stands for another namespace there",
            "script:12: INVALID_INPUT: an attribute in a namespace has a prefix",
            "script:12: INVALID_INPUT: `a b` is no name of an XML element or attribute",
            "3",
        ])
    );
}

#[tokio::test]
async fn documents_are_built_by_the_methods_of_the_dom() {
    let found = Fixture::new()
        .eval(
            r#"
        local xml = new("FDLXMLHelper")
        local doc = xml:newDocument("order")
        local root = doc:getDocumentElement()
        local item = doc:createElement("item")
        item:setAttribute("n", 1)
        item:appendChild(doc:createTextNode("a < b"))
        local last = root:appendChild(item)
        local first = root:insertBefore(doc:createElementNS("urn:x", "x:head"), item)
        first:appendChild(doc:createCDATASection("c ]]> d"))
        root:insertBefore(doc:createComment("note"), nil)
        local copy = item:cloneNode(true)
        copy:setAttribute("n", 2)
        root:appendChild(copy)
        root:appendChild(item:cloneNode(false))
        local whole = root:toString()
        -- What is put elsewhere leaves its place.
        root:appendChild(first)
        root:insertBefore(root:getLastElementChild(), root:getFirstChild())
        local old = root:replaceChild(doc:createElement("only"), copy)
        local other = xml:parse("<a><b x='1'>deep<c/></b></a>")
        local b = other:getDocumentElement():getFirstChild()
        local imported = root:appendChild(doc:importNode(b, true))
        local adopted = root:appendChild(doc:adoptNode(b))
        return {
            whole = whole, now = root:toString(), same = last == item, old = old:toString(), parent = tostring(old:getParentNode()),
            head = first:getNamespaceURI() .. " " .. first:getPrefix() .. " " .. first:getLocalName(),
            ns = root:getElementsByTagNameNS("urn:x", "head"):getLength() .. root:getElementsByTagNameNS("urn:y", "head"):getLength(),
            other = other:toString(), copy = doc:cloneNode(true):toString() == doc:toString(), adopted = adopted:getOwnerDocument() == doc,
            beside = imported:getPreviousElementSibling():getNodeName() .. tostring(adopted:getNextElementSibling()),
        }"#,
        )
        .await;
    assert_eq!(
        found,
        json!({
            "whole": "<order><x:head xmlns:x=\"urn:x\"><![CDATA[c ]]]]><![CDATA[> d]]></x:head><item n=\"1\">a &lt; b</item><!--note-->\
                      <item n=\"2\">a &lt; b</item><item n=\"1\"/></order>",
            "now": "<order><x:head xmlns:x=\"urn:x\"><![CDATA[c ]]]]><![CDATA[> d]]></x:head><item n=\"1\">a &lt; b</item><!--note-->\
                    <only/><item n=\"1\"/><b x=\"1\">deep<c/></b><b x=\"1\">deep<c/></b></order>",
            "same": true, "old": "<item n=\"2\">a &lt; b</item>", "parent": "nil", "head": "urn:x x head", "ns": "10",
            "other": "<a/>", "copy": true, "adopted": true, "beside": "itemnil",
        })
    );
}

#[tokio::test]
async fn attributes_are_listed_read_and_set_as_nodes() {
    let found = Fixture::new()
        .eval(
            r#"
        local root = new("FDLXMLHelper"):parse("<a x:one='1' two='2'><b/></a>"):getDocumentElement()
        local all, told = root:getAttributes(), {}
        for i = 0, all:getLength() - 1 do
            local each = all:item(i)
            told[#told + 1] = each:getName() .. "=" .. each:getNodeValue() .. each:getNodeType() .. each:getLocalName()
        end
        local two = all:getNamedItem("two")
        two:setValue("zwei")
        root:removeAttribute("x:one")
        return {
            told = table.concat(told, " "), two = root:getAttribute("two"), live = two:getValue(), gone = all:item(0):getValue(),
            none = tostring(all:getNamedItem("three")) .. tostring(root:getAttributeNode("x:one")) .. tostring(all:item(2)),
            same = two == root:getAttributeNode("two"), owner = two:getOwnerElement() == root, has = root:hasAttributes(),
            text = tostring(two) .. "!", child = root:getFirstChild():getAttributes():size(),
            document = tostring(root:getOwnerDocument():getAttributes()),
        }"#,
        )
        .await;
    assert_eq!(
        found,
        json!({
            "told": "x:one=12one two=22two", "two": "zwei", "live": "zwei", "gone": "", "none": "nilnilnil", "same": true,
            "owner": true, "has": true, "text": "zwei!", "child": 0, "document": "nil",
        })
    );
}

#[tokio::test]
async fn texts_that_follow_each_other_become_one_by_normalizing() {
    let found = Fixture::new()
        .eval(
            r#"
        local doc = new("FDLXMLHelper"):parse("<a>one<b>x</b>two</a>")
        local root = doc:getDocumentElement()
        local b = root:getFirstChild():getNextSibling()
        b:appendChild(doc:createTextNode(""))
        b:appendChild(doc:createTextNode("y"))
        root:appendChild(doc:createTextNode("three"))
        root:appendChild(doc:createCDATASection("four"))
        local before = root:getChildNodes():size() .. b:getChildNodes():size()
        doc:normalize()
        return {before, root:getChildNodes():size() .. b:getChildNodes():size(), root:toString(), b:getNextSibling():getData()}"#,
        )
        .await;
    assert_eq!(found, json!(["53", "41", "<a>one<b>xy</b>twothree<![CDATA[four]]></a>", "twothree"]));
}

#[tokio::test]
async fn what_would_be_no_document_is_refused_and_nothing_changes() {
    for (expression, reason) in [
        ("root:appendChild(root)", "a node cannot stand in itself"),
        ("root:getFirstChild():appendChild(root)", "a node cannot stand in itself"),
        ("root:replaceChild(root, root:getFirstChild())", "a node cannot stand in itself"),
        ("doc:appendChild(doc:createElement('second'))", "one root element"),
        ("doc:insertBefore(root:getFirstChild(), root)", "one root element"),
        ("doc:appendChild(doc:createTextNode('x'))", "only an element holds other nodes"),
        ("root:getLastChild():appendChild(doc:createElement('in'))", "only an element holds other nodes"),
        ("root:appendChild(doc)", "a document stands in no node"),
        ("root:appendChild(doc:importNode(doc, true))", "a document stands in no node"),
        ("root:appendChild(xml:newDocument('o'):getDocumentElement())", "is of another document"),
        ("root:insertBefore(doc:createElement('x'), xml:newDocument('o'):getDocumentElement())", "is not a child"),
        ("root:insertBefore(doc:createElement('x'), root)", "is not a child"),
        ("root:replaceChild(doc:createElement('x'), doc:createElement('y'))", "is not a child"),
        ("root:removeChild(doc:createElement('y'))", "is not a child"),
        ("root:appendChild('x')", "a node expected"),
        ("root:appendChild(root:getAttributeNode('n'))", "a node expected"),
        ("doc:createElement('a b')", "no name"),
        ("doc:createElement()", "no name"),
        ("doc:createTextNode('\\1')", "U+0001"),
        (
            "local chain = doc:createElement('c') for i = 1, 200 do local around = doc:createElement('c') around:appendChild(chain) chain = around end",
            "100 levels",
        ),
        (
            "local chain = doc:createElement('c') for i = 1, 98 do local around = doc:createElement('c') around:appendChild(chain) chain = around end root:getFirstChild():appendChild(chain)",
            "100 levels",
        ),
        ("local part = root:cloneNode(true) while true do part:appendChild(part:cloneNode(false)) end", "50000 nodes"),
        ("while true do root:appendChild(root:cloneNode(true)) end", "50000 nodes"),
    ] {
        let body = format!(
            "local xml = new('FDLXMLHelper') local doc = xml:parse('<r n=\"1\"><b/>t</r>')
            local root = doc:getDocumentElement()
            local done, why = pcall(function() {expression} end)
            return {{ tostring(why), root:getFirstChild():toString(), root:getNodeName() }}"
        );
        let found = Fixture::new().eval(&body).await;
        assert!(found[0].as_str().is_some_and(|why| why.contains(reason)), "{expression}: {found}");
        assert_eq!((&found[1], &found[2]), (&json!("<b/>"), &json!("r")), "{expression}");
    }
}

#[tokio::test]
async fn the_root_element_can_be_replaced_and_copies_count_on_the_blocks_account() {
    let body = "local doc = new('FDLXMLHelper'):parse('<old><keep/></old>')
        local new, old = doc:createElement('new'), doc:getDocumentElement()
        new:appendChild(old:getFirstChild())
        doc:replaceChild(new, old)
        return doc:toString()";
    assert_eq!(Fixture::new().eval(body).await, json!("<new><keep/></new>"));
    let body = "local doc = new('FDLXMLHelper'):newDocument('r')
        local text = doc:createTextNode(string.rep('x', 1000000))
        while true do text:cloneNode(true) end";
    assert_eq!(Fixture::new().body(body, Params::default()).await.exit, Exit::Stopped(Limit::Memory));
}

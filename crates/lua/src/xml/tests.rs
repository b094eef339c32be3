//! Documents, without the scripts that change them.

use super::*;
use proptest::prelude::*;

#[test]
fn content_closes_what_it_opens_and_nothing_else() {
    for (text, content) in [
        ("", ""),
        ("just text &amp; more", "just text &amp; more"),
        ("<a x=\"1\"/><b>2</b>", "<a x=\"1\"/><b>2</b>"),
        ("<?xml version=\"1.0\"?>\n<a/>", "\n<a/>"),
    ] {
        assert_eq!(xml_content(text), Ok(content), "{text}");
    }
    let deep = format!("{}{}", "<a>".repeat(DEPTH), "</a>".repeat(DEPTH));
    for text in ["<a>", "</m><m>", "</m><evil/><m>", "a & b", "&nbsp;", "<!DOCTYPE a>", "<?xml ", "<![CDATA[", &deep] {
        assert!(xml_content(text).is_err(), "{text}");
    }
}

/// A document whose root has an attribute and holds one node.
fn written(attribute: &str, kind: Kind) -> Node {
    let document = Node::parse("<r a=''>x</r>").unwrap();
    let root = document.elements().next().unwrap();
    root.edit(|root| *root = Kind::Element("r".to_owned(), vec![("a".to_owned(), attribute.to_owned())]));
    root.children()[0].edit(|child| *child = kind);
    let text = document.to_xml().unwrap();
    let read = Node::parse(&text).unwrap_or_else(|reason| panic!("{reason}: {text}"));
    let root = read.elements().next().unwrap();
    assert_eq!(root.attribute("a").as_deref(), Some(attribute), "{text}");
    root
}

#[test]
fn a_comment_ends_where_it_is_closed() {
    for content in ["--->x", "---><e/><!--", "-", "--", "a-"] {
        let root = written("", Kind::Comment(content.to_owned()));
        assert_eq!(root.children().len(), 1, "{content}");
        assert!(root.children()[0].with(|kind| matches!(kind, Kind::Comment(_))), "{content}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_reads_back(content in "(--|-|]]>|]|<|>|&|\"|'|\r|\n|\t|é|\\?>|a| |&lt;|<!--){1,8}") {
        prop_assert_eq!(written(&content, Kind::Text(content.clone())).text(), content.as_str());
        // What ends a line cannot be escaped there.
        let lines = content.replace('\r', "");
        prop_assert_eq!(written(&content, Kind::CData(lines.clone())).text(), lines.as_str());
        let root = written(&content, Kind::Comment(lines.clone()));
        prop_assert_eq!(root.children().len(), 1);
        let blank = |text: &str| text.replace(' ', "");
        prop_assert_eq!(blank(&root.children()[0].value().unwrap()), blank(&lines));
    }
}

//! Writes XML: every name is ours, every value is escaped.

/// A document being written.
#[derive(Default)]
pub(super) struct Xml(String);

impl Xml {
    /// An element without content.
    pub(super) fn empty(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.open(name, attributes);
        self.0.push_str("/>");
    }

    /// An element with text.
    pub(super) fn text(&mut self, name: &str, attributes: &[(&str, &str)], text: &str) {
        self.within(name, attributes, |x| x.escaped(text));
    }

    /// An element with elements.
    pub(super) fn within(&mut self, name: &str, attributes: &[(&str, &str)], inner: impl FnOnce(&mut Self)) {
        self.open(name, attributes);
        self.0.push('>');
        inner(self);
        self.0.push_str("</");
        self.0.push_str(name);
        self.0.push('>');
    }

    /// The text of the document.
    pub(super) fn finish(self) -> String {
        self.0
    }

    fn open(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.0.push('<');
        self.0.push_str(name);
        for (key, value) in attributes {
            self.0.push(' ');
            self.0.push_str(key);
            self.0.push_str("='");
            self.escaped(value);
            self.0.push('\'');
        }
    }

    fn escaped(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '\'' => self.0.push_str("&apos;"),
                '"' => self.0.push_str("&quot;"),
                // A parser would turn these into spaces in attributes.
                '\t' | '\n' | '\r' => self.0.push_str(&format!("&#{};", c as u32)),
                // XML 1.0 has no way to write the others.
                c if (c as u32) < 0x20 || matches!(c, '\u{fffe}' | '\u{ffff}') => self.0.push('\u{fffd}'),
                c => self.0.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_breaks_out_of_its_place() {
        let mut x = Xml::default();
        x.within("a", &[("b", "'/><evil a='\n\0")], |x| {
            x.text("c", &[], "</c>&");
            x.empty("d", &[]);
        });
        let expected = "<a b='&apos;/&gt;&lt;evil a=&apos;&#10;\u{fffd}'><c>&lt;/c&gt;&amp;</c><d/></a>";
        assert_eq!(x.finish(), expected);
    }
}

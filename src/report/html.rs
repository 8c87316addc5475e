//! Writes markup. Whatever comes from outside can only become text or the value of an attribute, both
//! escaped: names of tables and columns are hostile.

use crate::ui::visible;

/// Names and values of attributes.
pub(super) type Attributes<'a> = &'a [(&'static str, &'a str)];

/// Markup under way. Names of elements and attributes are the program's own.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// The markup.
    pub(super) fn finish(self) -> String {
        self.0
    }

    /// Begins an element.
    pub(super) fn open(&mut self, tag: &'static str, attributes: Attributes<'_>) {
        self.0.push('<');
        self.0.push_str(tag);
        for (name, value) in attributes {
            self.0.push(' ');
            self.0.push_str(name);
            self.0.push_str("=\"");
            self.text(value);
            self.0.push('"');
        }
        self.0.push('>');
    }

    /// Ends an element.
    pub(super) fn close(&mut self, tag: &'static str) {
        self.0.push_str("</");
        self.0.push_str(tag);
        self.0.push('>');
    }

    /// An element that holds text.
    pub(super) fn leaf(&mut self, tag: &'static str, attributes: Attributes<'_>, text: &str) {
        self.open(tag, attributes);
        self.text(text);
        self.close(tag);
    }

    /// An element that holds others.
    pub(super) fn nest(
        &mut self,
        tag: &'static str,
        attributes: Attributes<'_>,
        inside: impl FnOnce(&mut Self),
    ) {
        self.open(tag, attributes);
        inside(self);
        self.close(tag);
    }

    /// A name from outside, kept apart from the text around it whatever its direction of writing.
    pub(super) fn name(&mut self, text: &str) {
        self.leaf("bdi", &[], text);
    }

    /// Text.
    pub(super) fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' => self.0.push('\n'),
                c => self.0.push(visible(c)),
            }
        }
    }

    /// What the program itself has written: its style, the document's type.
    pub(super) fn own(&mut self, markup: &'static str) {
        self.0.push_str(markup);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_stays_text() {
        let mut html = Html::default();
        html.nest("p", &[("title", "\" onload='x'")], |html| {
            html.text("</script><img src=x onerror=alert(1)>&amp;\u{202e}\u{0}");
        });
        assert_eq!(
            html.finish(),
            "<p title=\"&quot; onload=&#39;x&#39;\">&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;\
             &amp;amp;\u{fffd}\u{fffd}</p>"
        );
    }

    proptest! {
        #[test]
        fn nothing_from_outside_is_markup(text in any::<String>()) {
            let mut html = Html::default();
            html.text(&text);
            let written = html.finish();
            prop_assert!(!written.contains(['<', '>', '"', '\'']));
            // It comes back as it was, but for what cannot be shown.
            let back = written
                .replace("&lt;", "<")
                .replace("&gt;", ">")
                .replace("&quot;", "\"")
                .replace("&#39;", "'")
                .replace("&amp;", "&");
            let shown: String = text
                .chars()
                .map(|c| if c == '\n' { c } else { visible(c) })
                .collect();
            prop_assert_eq!(back, shown);
        }
    }
}

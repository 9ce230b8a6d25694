//! JSON on one line, written straight into its text.
//!
//! A text keeps its exact value. Whatever a terminal or a reader would obey instead of show (`text::is_hidden`) is escaped, so that the bytes
//! hold no character that ends a line anywhere or turns what follows around. A member without a value, and an object or a list with nothing in
//! it, is left out.

use std::fmt::Write as _;

use super::text::is_hidden;

/// A JSON object, or a list, under construction.
#[derive(Debug, Default)]
pub(crate) struct Json {
    out: String,
}

/// One object.
pub(crate) fn object(fill: impl FnOnce(&mut Json)) -> String {
    let mut json = Json::default();
    json.out.push('{');
    fill(&mut json);
    json.out.push('}');
    json.out
}

impl Json {
    fn separate(&mut self) {
        if !matches!(self.out.as_bytes().last(), None | Some(b'{' | b'[' | b':')) {
            self.out.push(',');
        }
    }

    fn key(&mut self, key: &str) {
        self.separate();
        self.quote(key);
        self.out.push(':');
    }

    fn quote(&mut self, text: &str) {
        self.out.push('"');
        // Nearly every text is plain, and this is most of what a format does.
        if text.bytes().all(is_plain) {
            self.out.push_str(text);
            self.out.push('"');
            return;
        }
        let mut rest = text;
        while let Some(at) = rest.find(is_escaped) {
            let (plain, tail) = rest.split_at(at);
            self.out.push_str(plain);
            let mut characters = tail.chars();
            if let Some(character) = characters.next() {
                escape(character, &mut self.out);
            }
            rest = characters.as_str();
        }
        self.out.push_str(rest);
        self.out.push('"');
    }

    /// A member that is a text.
    pub fn text(&mut self, key: &str, text: &str) {
        self.key(key);
        self.quote(text);
    }

    /// A member that is a text, where there is one.
    pub fn text_option(&mut self, key: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(key, text);
        }
    }

    /// A member that is a number.
    pub fn int(&mut self, key: &str, int: i64) {
        self.key(key);
        self.number(int);
    }

    /// A member that is a number, where there is one.
    pub fn int_option(&mut self, key: &str, int: Option<i64>) {
        if let Some(int) = int {
            self.int(key, int);
        }
    }

    fn number(&mut self, int: i64) {
        // A `String` takes whatever it is given.
        let _infallible = write!(self.out, "{int}");
    }

    /// A member that is true or false.
    pub fn bool(&mut self, key: &str, is: bool) {
        self.key(key);
        self.out.push_str(if is { "true" } else { "false" });
    }

    /// A member that is a list of texts.
    pub fn texts<S: AsRef<str>>(&mut self, key: &str, texts: impl IntoIterator<Item = S>) {
        self.list(key, |json| texts.into_iter().for_each(|text| json.text_item(text.as_ref())));
    }

    /// A member that is a list of numbers.
    pub fn ints(&mut self, key: &str, ints: &[i64]) {
        self.list(key, |json| ints.iter().for_each(|int| json.int_item(*int)));
    }

    /// A member that is an object.
    pub fn object(&mut self, key: &str, fill: impl FnOnce(&mut Json)) {
        self.nested(Some(key), '{', '}', fill);
    }

    /// A member that is a list, which `fill` fills with items.
    pub fn list(&mut self, key: &str, fill: impl FnOnce(&mut Json)) {
        self.nested(Some(key), '[', ']', fill);
    }

    /// An item of a list that is an object.
    pub fn object_item(&mut self, fill: impl FnOnce(&mut Json)) {
        self.nested(None, '{', '}', fill);
    }

    /// An item of a list that is a text.
    pub fn text_item(&mut self, text: &str) {
        self.separate();
        self.quote(text);
    }

    /// An item of a list that is a number.
    pub fn int_item(&mut self, int: i64) {
        self.separate();
        self.number(int);
    }

    /// A member whose value is JSON already: what [`object`] gave.
    pub fn json(&mut self, key: &str, json: &str) {
        self.key(key);
        self.out.push_str(json);
    }

    /// Opens an object that [`Json::end`] ends. For members whose nesting is known only as they come.
    pub fn begin(&mut self, key: &str) {
        self.key(key);
        self.out.push('{');
    }

    /// Ends what [`Json::begin`] began.
    pub fn end(&mut self) {
        self.out.push('}');
    }

    fn nested(&mut self, key: Option<&str>, open: char, close: char, fill: impl FnOnce(&mut Json)) {
        let before = self.out.len();
        match key {
            Some(key) => self.key(key),
            None => self.separate(),
        }
        self.out.push(open);
        let inside = self.out.len();
        fill(self);
        if self.out.len() == inside {
            self.out.truncate(before);
        } else {
            self.out.push(close);
        }
    }
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

fn is_escaped(character: char) -> bool {
    matches!(character, '"' | '\\') || is_hidden(character)
}

fn escape(character: char, out: &mut String) {
    match character {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        _ => {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // A `String` takes whatever it is given.
                let _infallible = write!(out, "\\u{unit:04x}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_empty_is_left_out_and_the_rest_is_json() {
        let text = object(|json| {
            json.text_option("none", None);
            json.object("empty", |_| {});
            json.int_option("int", Some(-1));
            json.list("list", |json| {
                json.object_item(|json| json.bool("is", true));
                json.text_item("a\nb");
                json.object_item(|_| {});
            });
            json.begin("open");
            json.texts("texts", ["{", "[", ":"]);
            json.end();
            json.ints("ints", &[1, 2]);
        });
        let expected =
            r#"{"int":-1,"list":[{"is":true},"a\nb"],"open":{"texts":["{","[",":"]},"ints":[1,2]}"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn what_hides_is_escaped() {
        let text = object(|json| json.text("k", "a\u{202e}\u{85}\u{e0001}\u{2028}é😀\0\""));
        assert_eq!(text, r#"{"k":"a\u202e\u0085\udb40\udc01\u2028é😀\u0000\""}"#);
    }

    proptest! {
        #[test]
        fn every_text_comes_back_as_it_was(key in any::<String>(), value in any::<String>()) {
            let text = object(|json| json.text(&key, &value));
            prop_assert!(!text.contains(is_hidden));
            let read: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(read, serde_json::json!({ key: value }));
        }
    }
}

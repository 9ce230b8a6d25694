//! Redaction of JSON: what a name gives away, and every string as text. Nothing is re-serialised; the edits are byte ranges.

mod escape;
mod tape;

use crate::edit::{Edit, apply};
use crate::error::Error;
use crate::marker::is_inert;
use crate::names;
use crate::redactor::Redactor;
use crate::text::{Level, string_edits};
use escape::{decode, escaped_edits};
use tape::{Kind, Token, tokenize};

/// A container that the walk is in.
struct Frame {
    /// Index of its closing token.
    close: usize,
    is_object: bool,
    /// Class that a name outside gives to every scalar within.
    inherited: Option<&'static str>,
    /// Class that a member such as `name` gives to its sibling `value`.
    pair: Option<&'static str>,
    /// Whether another member says whose it is.
    names_user: bool,
    /// Class of the next value: its key's, or that of the array element before it.
    next: Option<&'static str>,
    at_key: bool,
}

/// Edits of one complete JSON value that stands in others as deep as `level` says.
pub(crate) fn json_edits(redactor: &Redactor, json: &str, level: Level) -> Result<Vec<Edit>, Error> {
    let tape = tokenize(json)?;
    let mut walk = Walk { redactor, json, tape: &tape, level, edits: Vec::new() };
    walk.run();
    Ok(walk.edits)
}

struct Walk<'a> {
    redactor: &'a Redactor,
    json: &'a str,
    tape: &'a [Token],
    level: Level,
    edits: Vec<Edit>,
}

impl Walk<'_> {
    fn run(&mut self) {
        let mut frames: Vec<Frame> = Vec::new();
        let mut index = 0;
        while let Some(token) = self.tape.get(index) {
            let Some(frame) = frames.last_mut() else {
                frames.extend(self.value(index, token, None));
                index += 1;
                continue;
            };
            if index == frame.close {
                frames.pop();
            } else if frame.is_object && frame.at_key {
                frame.at_key = false;
                frame.next = self.key(token, frame).or(frame.inherited);
            } else {
                frame.at_key = true;
                let next = if frame.is_object { None } else { self.class_of_next_element(token) };
                // In a list of names, none is the value of the one before it.
                let own = if next.is_some() { None } else { frame.next };
                let class = own.or(frame.inherited);
                frame.next = next;
                let inner = self.value(index, token, class);
                frames.extend(inner);
            }
            index += 1;
        }
    }

    /// Redacts a key as text, or as a secret where it is one, and gives the class of its value.
    fn key(&mut self, token: &Token, frame: &Frame) -> Option<&'static str> {
        let raw = token.inside(self.json);
        let key = decode(raw);
        let mut edits = string_edits(self.redactor, &key, self.level);
        let class = names::class_of_key(&key)
            // A secret glued to a key's name can hide it.
            .or_else(|| names::class_of_key(&apply(&key, &edits).text))
            .or_else(|| frame.pair.filter(|_| names::is_value_key(key.as_bytes())))
            .or_else(|| names::class_beside_user(&key).filter(|_| frame.names_user));
        // Below a secret's name the keys may be the secrets: `{"api_keys": {"9f8e7d6c5b4a3928": "alice"}}`.
        if let Some(inherited) = frame.inherited.filter(|_| edits.is_empty() && names::is_opaque(&key)) {
            let replacement = self.redactor.marker(inherited, &key);
            edits = vec![Edit { start: 0, end: key.len(), class: inherited, replacement }];
        }
        self.push(token, raw, edits);
        class
    }

    /// Redacts a scalar; a container becomes a frame.
    fn value(&mut self, index: usize, token: &Token, class: Option<&'static str>) -> Option<Frame> {
        match token.kind {
            Kind::String => self.string(token, class),
            Kind::Number => self.number(token, class),
            Kind::Literal | Kind::Close => {}
            Kind::Object | Kind::Array => {
                let is_object = token.kind == Kind::Object;
                let (pair, names_user) =
                    if is_object { self.members(index, token.close) } else { (None, false) };
                return Some(Frame {
                    close: token.close,
                    is_object,
                    inherited: class,
                    pair,
                    names_user,
                    next: None,
                    at_key: true,
                });
            }
        }
        None
    }

    fn string(&mut self, token: &Token, class: Option<&'static str>) {
        let raw = token.inside(self.json);
        let text = decode(raw);
        let Some(class) = class else {
            let edits = string_edits(self.redactor, &text, self.level);
            self.push(token, raw, edits);
            return;
        };
        if is_inert(text.as_bytes()) {
            return;
        }
        // A known shape says more than the name, and gives the same fingerprint as the same secret elsewhere.
        let mut edits = crate::text::text_edits(self.redactor, &text, self.level);
        if !matches!(edits.as_slice(), [edit] if edit.start == 0 && edit.end == text.len()) {
            let replacement = self.redactor.marker(class, &text);
            edits = vec![Edit { start: 0, end: text.len(), class, replacement }];
        }
        self.push(token, raw, edits);
    }

    fn number(&mut self, token: &Token, class: Option<&'static str>) {
        if let Some(class) = class {
            let marker = self.redactor.marker(class, &self.json[token.start..token.end]);
            let replacement = format!("\"{marker}\"");
            self.edits.push(Edit { start: token.start, end: token.end, class, replacement });
        }
    }

    fn push(&mut self, token: &Token, raw: &str, edits: Vec<Edit>) {
        if !edits.is_empty() {
            self.edits.extend(escaped_edits(raw, token.start + 1, edits));
        }
    }

    /// Of the object at `open`: the class that a member such as `"name": "Authorization"` gives to its sibling `value`, and
    /// whether a member says whose it is.
    fn members(&self, open: usize, close: usize) -> (Option<&'static str>, bool) {
        let (mut class, mut names_user) = (None, false);
        let mut index = open + 1;
        while index + 1 < close {
            let (Some(key), Some(value)) = (self.tape.get(index), self.tape.get(index + 1)) else { break };
            let name = decode(key.inside(self.json));
            names_user |= names::is_user_key(&name);
            if class.is_none() && value.kind == Kind::String && names::is_name_key(name.as_bytes()) {
                class = names::name_of_value(&decode(value.inside(self.json))).map(|name| name.class);
            }
            index = value.close + 1;
        }
        (class, names_user)
    }

    /// The class that an array's element gives to the next: of a header's name, or of a command's flag.
    fn class_of_next_element(&self, token: &Token) -> Option<&'static str> {
        if token.kind != Kind::String {
            return None;
        }
        let text = decode(token.inside(self.json));
        let name = names::name_of_value(&text)?;
        names::counts_as_element(name, text.as_bytes()).then_some(name.class)
    }
}

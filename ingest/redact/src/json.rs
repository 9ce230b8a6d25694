//! Redaction of JSON: what a name gives away, and every string as text. Nothing is re-serialised; the edits are byte ranges.

mod escape;
mod members;
mod tape;

use crate::edit::{Edit, apply};
use crate::error::Error;
use crate::finding::Why;
use crate::marker::is_inert;
use crate::names::{self, Given};
use crate::personal;
use crate::random;
use crate::redactor::Redactor;
use crate::text::{Level, string_edits};
use escape::{decode, escaped_edits};
pub(crate) use members::Members;
use tape::{Kind, Token, tokenize};

/// A container that the walk is in.
struct Frame {
    /// Index of its closing token.
    close: usize,
    is_object: bool,
    /// Class that a name outside gives to every scalar within.
    inherited: Option<&'static str>,
    /// What a member such as `name` says of its sibling `value`.
    pair: Option<Given>,
    /// Whether another member says whose it is.
    names_user: bool,
    /// What is said of the next value: by its key, or by the array element before it.
    next: Option<Given>,
    /// The key of the next value, where personal data is looked for.
    key: Option<String>,
    at_key: bool,
}

/// Edits of one complete JSON value that stands in others as deep as `level` says.
pub(crate) fn json_edits(redactor: &Redactor, json: &str, level: Level) -> Result<Vec<Edit>, Error> {
    let tape = tokenize(json)?;
    Ok(walk(redactor, json, &tape, level))
}

/// Edits of one complete JSON value, and the members of it if it is an object.
pub(crate) fn json_edits_and_members(redactor: &Redactor, json: &str) -> Result<(Vec<Edit>, Members), Error> {
    let tape = tokenize(json)?;
    let edits = walk(redactor, json, &tape, Level::default());
    let members = if edits.is_empty() { Members::default() } else { Members::of(json, &tape, &edits) };
    Ok((edits, members))
}

fn walk(redactor: &Redactor, json: &str, tape: &[Token], level: Level) -> Vec<Edit> {
    let mut walk = Walk { redactor, json, tape, level, edits: Vec::new() };
    walk.run();
    walk.edits
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
                frame.next = self.key(token, frame);
                frame.key =
                    self.redactor.policies.is_active().then(|| decode(token.inside(self.json)).into_owned());
            } else {
                frame.at_key = true;
                let next = if frame.is_object { None } else { self.given_to_next_element(token) };
                // In a list of names, none is the value of the one before it.
                let own = if next.is_some() { None } else { frame.next };
                let class = match (own, frame.inherited) {
                    (Some(own), _) if !own.opaque => Some(own),
                    (own, inherited) => inherited.map(Given::surely).or(own),
                };
                frame.next = next;
                let key = frame.key.take();
                if class.is_some_and(|class| !class.opaque) || !self.personal_value(token, key.as_deref()) {
                    let inner = self.value(index, token, class);
                    frames.extend(inner);
                }
            }
            index += 1;
        }
    }

    /// Redacts a key as text, or as a secret where it is one, and gives what it says of its value.
    fn key(&mut self, token: &Token, frame: &Frame) -> Option<Given> {
        let raw = token.inside(self.json);
        let key = decode(raw);
        let mut edits = string_edits(self.redactor, &key, self.level);
        let class = names::given_by_key(&key)
            // A secret glued to a key's name can hide it.
            .or_else(|| names::given_by_key(&apply(&key, &edits).text))
            .or_else(|| frame.pair.filter(|_| names::is_value_key(key.as_bytes())))
            .or_else(|| names::class_beside_user(&key).filter(|_| frame.names_user).map(Given::surely));
        // Below a secret's name the keys may be the secrets: `{"api_keys": {"9f8e7d6c5b4a3928": "alice"}}`.
        if let Some(inherited) = frame.inherited.filter(|_| edits.is_empty() && names::is_opaque(&key)) {
            let replacement = self.redactor.marker(inherited, &key);
            edits = vec![Edit { start: 0, end: key.len(), class: inherited, why: Why::Name, replacement }];
        }
        self.push(token, raw, edits);
        class
    }

    /// Redacts a scalar; a container becomes a frame.
    fn value(&mut self, index: usize, token: &Token, given: Option<Given>) -> Option<Frame> {
        let class = given.filter(|given| !given.opaque).map(|given| given.class);
        match token.kind {
            Kind::String => self.string(token, given),
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
                    key: None,
                    at_key: true,
                });
            }
        }
        None
    }

    fn string(&mut self, token: &Token, given: Option<Given>) {
        let raw = token.inside(self.json);
        let text = decode(raw);
        let is_meant = |given: &Given| !given.opaque || random::looks_random(text.as_bytes());
        let Some(Given { class, .. }) = given.filter(is_meant) else {
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
            edits = vec![Edit { start: 0, end: text.len(), class, why: Why::Name, replacement }];
        }
        self.push(token, raw, edits);
    }

    fn number(&mut self, token: &Token, class: Option<&'static str>) {
        if let Some(class) = class {
            let marker = self.redactor.marker(class, &self.json[token.start..token.end]);
            let replacement = format!("\"{marker}\"");
            self.edits.push(Edit { start: token.start, end: token.end, class, why: Why::Name, replacement });
        }
    }

    /// Treats a value that its key, or a number that its form says to be personal data as a whole; false where it is none.
    fn personal_value(&mut self, token: &Token, key: Option<&str>) -> bool {
        if !matches!(token.kind, Kind::String | Kind::Number) || !self.redactor.policies.is_active() {
            return false;
        }
        let is_number = token.kind == Kind::Number;
        let raw =
            if is_number { self.json.get(token.start..token.end) } else { Some(token.inside(self.json)) };
        let raw = raw.unwrap_or_default();
        let text = decode(raw);
        let named = key.and_then(|key| personal::whole_value(key, &text));
        let by_form = || {
            let found = personal::find(text.as_bytes(), &self.redactor.policies);
            found
                .into_iter()
                .find(|found| is_number && found.range == (0..text.len()))
                .map(|found| found.class)
        };
        let class = named.filter(|class| self.redactor.policies.looks_for(*class)).or_else(by_form);
        let Some(class) = class else { return false };
        let replacement = self.redactor.replacement(class, &text);
        let (class, why) = (class.name(), Why::Personal);
        if is_number {
            let replacement = format!("\"{replacement}\"");
            self.edits.push(Edit { start: token.start, end: token.end, class, why, replacement });
        } else {
            self.push(token, raw, vec![Edit { start: 0, end: text.len(), class, why, replacement }]);
        }
        true
    }

    fn push(&mut self, token: &Token, raw: &str, edits: Vec<Edit>) {
        if !edits.is_empty() {
            self.edits.extend(escaped_edits(raw, token.start + 1, edits));
        }
    }

    /// Of the object at `open`: what a member such as `"name": "Authorization"` says of its sibling `value`, and whether a
    /// member says whose it is.
    fn members(&self, open: usize, close: usize) -> (Option<Given>, bool) {
        let (mut class, mut names_user) = (None, false);
        let mut index = open + 1;
        while index + 1 < close {
            let (Some(key), Some(value)) = (self.tape.get(index), self.tape.get(index + 1)) else { break };
            let name = decode(key.inside(self.json));
            names_user |= names::is_user_key(&name);
            if class.is_none() && value.kind == Kind::String && names::is_name_key(name.as_bytes()) {
                class = names::given_by_value(&decode(value.inside(self.json)));
            }
            index = value.close + 1;
        }
        (class, names_user)
    }

    /// What an array's element says of the next: a header's name, or a command's flag.
    fn given_to_next_element(&self, token: &Token) -> Option<Given> {
        if token.kind != Kind::String {
            return None;
        }
        let text = decode(token.inside(self.json));
        let name = names::name_of_value(&text)?;
        names::given_by_value(&text).filter(|_| names::counts_as_element(name, text.as_bytes()))
    }
}

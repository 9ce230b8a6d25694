//! Redaction of JSON: what a name gives away, and every string as text. Nothing is re-serialised; the edits are byte ranges.

mod escape;
mod members;
mod tape;

use std::collections::HashSet;

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
    /// What a name outside gives to every scalar within; of what is only likely, to the items of a list.
    inherited: Option<Given>,
    /// What a member such as `name` says of its siblings.
    pair: Option<Pair>,
    /// Whether another member says whose it is.
    names_user: bool,
    /// What is said of the next value: by its key, or by the array element before it.
    next: Option<Given>,
    /// The key of the next value, where personal data is looked for; of a list, that of the list.
    key: Option<String>,
    /// What its keys became that were redacted.
    keys: HashSet<String>,
    at_key: bool,
    /// Whether the value is a list of what was removed elsewhere.
    holds_counts: bool,
    /// Whether the next value is the member `token`, or such a list.
    next_is: NextIs,
}

/// What a key says of its value beside its class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NextIs {
    Plain,
    /// `token` and nothing else.
    BareToken,
    /// Counts of what was removed, as this product writes them.
    Counts,
    /// What was typed into a form's field.
    Typed,
}

/// What a member such as `name` says: of a sibling `value`, and of what is typed in.
#[derive(Debug, Clone)]
struct Pair {
    given: Option<Given>,
    /// The name itself, where personal data is looked for.
    name: Option<String>,
}

/// Members that hold counts of what was removed: of a source, and of the tap.
const COUNTS: [&str; 2] = ["redactions", "redacted_by_tap"];
/// Replacements in one value.
const EDITS: usize = schemas::limits::REDACT_EDITS_MAX;

/// Edits of one complete JSON value that stands in others as deep as `level` says.
pub(crate) fn json_edits(redactor: &Redactor, json: &str, level: Level) -> Result<Vec<Edit>, Error> {
    let tape = tokenize(json)?;
    walk(redactor, json, &tape, level)
}

/// Edits of one complete JSON value, and the members of it if it is an object.
pub(crate) fn json_edits_and_members(redactor: &Redactor, json: &str) -> Result<(Vec<Edit>, Members), Error> {
    let tape = tokenize(json)?;
    let edits = walk(redactor, json, &tape, Level::default())?;
    let members = if edits.is_empty() { Members::default() } else { Members::of(json, &tape, &edits) };
    Ok((edits, members))
}

fn walk(redactor: &Redactor, json: &str, tape: &[Token], level: Level) -> Result<Vec<Edit>, Error> {
    let mut walk = Walk { redactor, json, tape, level, edits: Vec::new() };
    walk.run()?;
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
    fn run(&mut self) -> Result<(), Error> {
        let mut frames: Vec<Frame> = Vec::new();
        let mut index = 0;
        while let Some(token) = self.tape.get(index) {
            if self.edits.len() > EDITS {
                return Err(Error::TooLarge);
            }
            let Some(frame) = frames.last_mut() else {
                frames.extend(self.value(index, token, None, NextIs::Plain, None));
                index += 1;
                continue;
            };
            if index == frame.close {
                frames.pop();
            } else if frame.is_object && frame.at_key {
                frame.at_key = false;
                self.key(token, frame);
            } else {
                frame.at_key = true;
                let next = if frame.is_object { None } else { self.given_to_next_element(token) };
                // In a list of names, none is the value of the one before it.
                let own = if next.is_some() { None } else { frame.next };
                let class = match (own, frame.inherited) {
                    (Some(own), _) if !own.opaque => Some(own),
                    (own, Some(inherited)) if !inherited.opaque => Some(inherited).or(own),
                    // What is only likely holds for the items of a list, and for nothing within them.
                    (own, inherited) => own.or(inherited.filter(|_| !frame.is_object)),
                };
                frame.next = next;
                let key = if frame.is_object { frame.key.take() } else { frame.key.clone() };
                let next_is = if frame.holds_counts { NextIs::Counts } else { frame.next_is };
                if class.is_some_and(|class| !class.opaque) || !self.personal_value(token, key.as_deref()) {
                    match self.whole_list(index, token, class) {
                        Some(close) => index = close,
                        None => frames.extend(self.value(index, token, class, next_is, key)),
                    }
                }
            }
            index += 1;
        }
        Ok(())
    }

    /// Replaces a long list of scalars under a secret's name as one, and gives the index of its end.
    fn whole_list(&mut self, index: usize, token: &Token, class: Option<Given>) -> Option<usize> {
        let given = class.filter(|class| !class.opaque && token.kind == Kind::Array)?;
        let items = self.tape.get(index + 1..token.close())?;
        let is_scalar = |item: &Token| matches!(item.kind, Kind::String | Kind::Number | Kind::Literal);
        if items.len() <= LIST_ITEMS || !items.iter().all(is_scalar) {
            return None;
        }
        let end = self.tape.get(token.close())?.end();
        let replacement =
            format!("[\"{}\"]", self.redactor.marker(given.class, self.json.get(token.start()..end)?));
        let (class, why) = (given.class, Why::Name);
        self.edits.push(Edit { start: token.start(), end, class, why, replacement });
        Some(token.close())
    }

    /// Redacts a key as text, or as a secret where it is one, and sees what it says of its value.
    fn key(&mut self, token: &Token, frame: &mut Frame) {
        let raw = token.inside(self.json);
        let key = decode(raw);
        let mut edits = string_edits(self.redactor, &key, self.level);
        let is_value = names::is_value_key(key.as_bytes());
        let is_typed = names::is_typed_key(key.as_bytes());
        let pair = frame.pair.as_ref().filter(|_| is_value || is_typed);
        frame.next = names::given_by_key(&key)
            // A secret glued to a key's name can hide it.
            .or_else(|| names::given_by_key(&apply(&key, &edits).text))
            .or_else(|| pair.and_then(|pair| pair.given))
            .or_else(|| names::class_beside_user(&key).filter(|_| frame.names_user).map(Given::surely));
        frame.next_is = if is_typed {
            NextIs::Typed
        } else if names::is_bare_token(&key) {
            NextIs::BareToken
        } else if COUNTS.contains(&key.as_ref()) {
            NextIs::Counts
        } else {
            NextIs::Plain
        };
        frame.key = self
            .redactor
            .policies
            .is_active()
            .then(|| pair.and_then(|pair| pair.name.clone()).unwrap_or_else(|| key.clone().into_owned()));
        // Below a secret's name the keys may be the secrets: `{"api_keys": {"9f8e7d6c5b4a3928": "alice"}}`.
        let inherited = frame.inherited.filter(|given| !given.opaque);
        if let Some(inherited) = inherited.filter(|_| edits.is_empty() && names::is_opaque(&key)) {
            let class = inherited.class;
            let replacement = self.redactor.marker(class, &key);
            edits = vec![Edit { start: 0, end: key.len(), class, why: Why::Name, replacement }];
        }
        // What is left of two different keys can be the same, and an object has each key once.
        if let Some(last) = edits.last().map(|last| last.replacement.clone()) {
            let mut ordinal = 1;
            while !frame.keys.insert(apply(&key, &edits).text.into_owned()) {
                ordinal = (ordinal + 1).max(frame.keys.len());
                if let Some(edit) = edits.last_mut() {
                    edit.replacement = format!("{last}-{ordinal}");
                }
            }
        }
        self.push(token, raw, edits);
    }

    /// Redacts a scalar; a container becomes a frame.
    fn value(
        &mut self,
        index: usize,
        token: &Token,
        given: Option<Given>,
        next_is: NextIs,
        key: Option<String>,
    ) -> Option<Frame> {
        let class = given.filter(|given| !given.opaque).map(|given| given.class);
        match token.kind {
            Kind::String => self.string(token, given, next_is),
            Kind::Number if next_is == NextIs::BareToken => {}
            Kind::Number => self.number(token, class),
            Kind::Literal | Kind::Close => {}
            Kind::Object | Kind::Array => {
                let is_object = token.kind == Kind::Object;
                let (pair, names_user) =
                    if is_object { self.members(index, token.close()) } else { (None, false) };
                return Some(Frame {
                    close: token.close(),
                    is_object,
                    inherited: if is_object { class.map(Given::surely) } else { given },
                    pair,
                    names_user,
                    next: None,
                    key: key.filter(|_| !is_object),
                    keys: HashSet::new(),
                    at_key: true,
                    holds_counts: next_is == NextIs::Counts && !is_object,
                    next_is: NextIs::Plain,
                });
            }
        }
        None
    }

    fn string(&mut self, token: &Token, given: Option<Given>, next_is: NextIs) {
        let raw = token.inside(self.json);
        let text = decode(raw);
        let is_meant = |given: &Given| {
            let is_random = || random::looks_random(text.as_bytes());
            // What is typed beside a name is prose as often: a password has no blanks, and is not its own name. Asked of what is
            // left once secrets of other kinds are gone, so that the answer stays the same.
            let is_prose = || {
                let edits = string_edits(self.redactor, &text, self.level);
                let left = apply(&text, &edits).text;
                left.bytes().any(|byte| byte.is_ascii_whitespace())
                    || edits.is_empty() && names::given_by_label(&text).is_some()
            };
            let is_harmless = names::is_harmless_value(given.class, text.as_bytes())
                || next_is == NextIs::BareToken && names::is_piece_of_text(&text)
                || next_is == NextIs::Typed && is_prose();
            !is_harmless && (!given.opaque || is_random())
        };
        if next_is == NextIs::Counts && is_count(&text) {
            return;
        }
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
            let marker = self.redactor.marker(class, token.text(self.json));
            let replacement = format!("\"{marker}\"");
            let (start, end) = (token.start(), token.end());
            self.edits.push(Edit { start, end, class, why: Why::Name, replacement });
        }
    }

    /// Treats a value that its key, or a number that its form says to be personal data as a whole; false where it is none.
    fn personal_value(&mut self, token: &Token, key: Option<&str>) -> bool {
        if !self.redactor.policies.is_active() {
            return false;
        }
        match token.kind {
            Kind::String => self.personal_string(token, key),
            Kind::Number => {
                // As many as stand beside each other in a list.
                let mut start = token.start();
                for number in token.text(self.json).split(',') {
                    let blank = number.len() - number.trim_ascii_start().len();
                    self.personal_number(start + blank, number.trim_ascii(), key);
                    start += number.len() + 1;
                }
                true
            }
            _ => false,
        }
    }

    fn personal_string(&mut self, token: &Token, key: Option<&str>) -> bool {
        let raw = token.inside(self.json);
        let text = decode(raw);
        let named = key.and_then(|key| personal::whole_value(key, &text));
        let Some(class) = named.filter(|class| self.redactor.policies.looks_for(*class)) else {
            return false;
        };
        let replacement = self.redactor.replacement(class, &text);
        let (class, why) = (class.name(), Why::Personal);
        self.push(token, raw, vec![Edit { start: 0, end: text.len(), class, why, replacement }]);
        true
    }

    fn personal_number(&mut self, start: usize, number: &str, key: Option<&str>) {
        let policies = &self.redactor.policies;
        let named = key.and_then(|key| personal::whole_value(key, number));
        let by_form = || {
            let found = personal::find(number.as_bytes(), policies);
            found.into_iter().find(|found| found.range == (0..number.len())).map(|found| found.class)
        };
        let class = named.filter(|class| policies.looks_for(*class)).or_else(by_form);
        let Some(class) = class else { return };
        let replacement = format!("\"{}\"", self.redactor.replacement(class, number));
        let (class, why) = (class.name(), Why::Personal);
        self.edits.push(Edit { start, end: start + number.len(), class, why, replacement });
    }

    fn push(&mut self, token: &Token, raw: &str, edits: Vec<Edit>) {
        if !edits.is_empty() {
            self.edits.extend(escaped_edits(raw, token.start() + 1, edits));
        }
    }

    /// Of the object at `open`: what a member such as `"name": "Authorization"` says of its siblings, and whether a member says
    /// whose it is.
    fn members(&self, open: usize, close: usize) -> (Option<Pair>, bool) {
        let (mut pair, mut names_user): (Option<Pair>, bool) = (None, false);
        let mut index = open + 1;
        while index + 1 < close {
            let (Some(key), Some(value)) = (self.tape.get(index), self.tape.get(index + 1)) else { break };
            let name = decode(key.inside(self.json));
            names_user |= names::is_user_key(&name);
            let is_unknown = pair.as_ref().is_none_or(|pair| pair.given.is_none());
            if is_unknown && value.kind == Kind::String && names::is_name_key(name.as_bytes()) {
                let label = decode(value.inside(self.json));
                let given = names::given_by_value(&label).or_else(|| names::given_by_label(&label));
                let name = self.redactor.policies.is_active().then(|| label.into_owned());
                let name = name.filter(|name| personal::is_name(name));
                pair = (given.is_some() || name.is_some()).then_some(Pair { given, name }).or(pair);
            }
            index = value.close() + 1;
        }
        (pair, names_user)
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

/// From so many items on, a list of scalars under a secret's name is replaced as one.
const LIST_ITEMS: usize = 64;

/// True for `CLASS:COUNT` and `CLASS:COUNT:MEMBER`, as [`crate::Removed::items`] gives them.
fn is_count(text: &str) -> bool {
    let mut parts = text.splitn(3, ':');
    let is_word = |part: &str, signs: &[u8]| {
        (1..=members::NAME_BYTES_MAX).contains(&part.len())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || signs.contains(&byte))
    };
    let class = parts.next().is_some_and(|class| is_word(class, b"_"));
    let count =
        parts.next().is_some_and(|count| count.len() <= 6 && count.bytes().all(|byte| byte.is_ascii_digit()));
    class
        && count
        && parts
            .next()
            .is_none_or(|member| is_word(member, b"_.-/") && !random::looks_random(member.as_bytes()))
}

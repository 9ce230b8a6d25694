//! Which four bytes each anchor is looked for by.
//!
//! The scan looks at every second position only, so each anchor is given two windows of four bytes, one that starts an even
//! and one that starts an odd number of bytes from the anchor; whichever the anchor's place, one of the two is looked at.
//! A window may reach over the byte before the anchor and over the bytes that must follow it, where these are known.

use std::collections::BTreeMap;

use crate::bytes::{Set, is_scheme_byte};
use crate::names::{NAMES, NUMBERED, Place, SEPARATORS, SUFFIXES, TERMINATORS, USER_LEADS};
use crate::shapes::{Anchor, RULES};

/// Bytes a window.
pub(super) const WINDOW_BYTES: usize = 4;

/// What an anchor stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// An anchor of the shape of this rank.
    Shape { rank: usize, anchor: Anchor },
    /// The start of a Discord bot token.
    DiscordBot,
    /// The last word of a secret's name.
    Name { word: &'static str },
    /// A word that may follow a secret's name.
    Suffix { word: &'static str },
    /// The colon of `://`.
    Url,
    /// Our own marker.
    Marker,
    /// `\u` with two of its digits: it could hide any literal.
    UnicodeEscape,
    /// What stands before two slashes with a backslash before either: the colon of `://`, the digit of a refresh token.
    SlashEscape,
}

/// A set of bytes as a bitmap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ByteSet([u64; 4]);

impl ByteSet {
    fn of(contains: impl Fn(u8) -> bool) -> ByteSet {
        let mut words = [0; 4];
        for byte in 0..=u8::MAX {
            if contains(byte) {
                words[usize::from(byte >> 6)] |= 1 << (byte & 63);
            }
        }
        ByteSet(words)
    }

    pub(super) fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 != 0
    }

    pub(super) fn bytes(&self) -> impl Iterator<Item = u8> + '_ {
        (0..=u8::MAX).filter(|byte| self.contains(*byte))
    }

    fn weight(&self) -> f64 {
        self.bytes().map(weight).sum()
    }
}

/// Ordinary traffic of this product. It only decides which windows are taken and how they are dealt out, that is, how often
/// the scan stops in vain; never what it finds.
pub(super) const SAMPLE: &[u8] = include_bytes!("sample.txt");

/// How common a byte is in text, roughly: decides where the sample says nothing.
pub(super) fn weight(byte: u8) -> f64 {
    match byte {
        b'a'..=b'z' | b'0'..=b'9' | b'"' | b' ' => 0.03,
        b'_' | b'-' | b':' | b',' | b'.' | b'/' => 0.02,
        b'A'..=b'Z' => 0.003,
        b'\\' | b'[' | b']' | b'{' | b'}' | b'=' | b'(' | b')' | b'\'' => 0.003,
        0x80.. => 0.001,
        _ => 0.0005,
    }
}

/// How many bytes of sample the rough weights count for.
pub(super) const PRIOR_BYTES: f64 = 1000.0;

/// Four bytes to look for, and where the anchor stands by them.
#[derive(Debug, Clone)]
pub(super) struct Window {
    pub sets: [ByteSet; WINDOW_BYTES],
    /// From the window's start to the anchor's: from one byte after it (1) to well before it (negative).
    pub to_anchor: isize,
    pub target: Target,
}

/// An anchor as a run of byte sets; `before` is the byte ahead of it.
struct Run {
    before: ByteSet,
    sets: Vec<ByteSet>,
    target: Target,
}

impl Run {
    /// The rarest window at an even and at an odd distance.
    fn windows(&self) -> [Option<Window>; 2] {
        let all: Vec<ByteSet> = std::iter::once(self.before).chain(self.sets.iter().copied()).collect();
        let mut best: [Option<(f64, Window)>; 2] = [None, None];
        for (start, sets) in all.windows(WINDOW_BYTES).enumerate() {
            let prior: f64 = sets.iter().map(ByteSet::weight).product();
            let seen = SAMPLE
                .windows(WINDOW_BYTES)
                .filter(|bytes| bytes.iter().zip(sets).all(|(byte, set)| set.contains(*byte)))
                .count();
            let cost = seen as f64 + prior * PRIOR_BYTES;
            let place = &mut best[start % 2];
            if place.as_ref().is_none_or(|(least, _)| cost < *least) {
                let sets = [sets[0], sets[1], sets[2], sets[3]];
                *place = Some((cost, Window { sets, to_anchor: 1 - start as isize, target: self.target }));
            }
        }
        best.map(|found| found.map(|(_, window)| window))
    }
}

/// Both windows of every anchor of every rule.
pub(super) fn all() -> Vec<Window> {
    let mut runs: Vec<Run> = Vec::new();
    for (rank, rule) in RULES.iter().enumerate() {
        runs.extend(rule.anchors.iter().map(|anchor| anchor_run(rank, *anchor)));
    }
    runs.push(discord_bot_run());
    runs.extend(name_runs());
    let scheme = ByteSet::of(is_scheme_byte);
    let any = any();
    runs.push(Run { before: scheme, sets: [literal("://"), vec![any]].concat(), target: Target::Url });
    runs.push(Run { before: any, sets: literal("<redacted:"), target: Target::Marker });
    let hex = ByteSet::of(|byte| byte.is_ascii_hexdigit());
    runs.push(Run {
        before: any,
        sets: [literal("\\u"), vec![hex, hex]].concat(),
        target: Target::UnicodeEscape,
    });
    let slash = ByteSet::of(|byte| matches!(byte, b'/' | b'\\'));
    for (start, slashes) in [(":\\", 2), (":/\\", 1)] {
        let sets = [literal(start), vec![slash; slashes]].concat();
        runs.push(Run { before: scheme, sets, target: Target::SlashEscape });
    }
    // A refresh token of Google's begins with slashes, and these may have backslashes.
    let one_slash = [literal("1\\"), vec![slash, any]].concat();
    runs.push(Run { before: boundary(), sets: one_slash, target: Target::SlashEscape });
    runs.iter().flat_map(|run| run.windows()).flatten().collect()
}

/// What follows a name's end: something does, or there is no value. (The scan fills the end of a text up with zeros.)
fn any() -> ByteSet {
    ByteSet::of(|_| true)
}

fn literal(text: &str) -> Vec<ByteSet> {
    text.bytes().map(|wanted| ByteSet::of(|byte| byte == wanted)).collect()
}

fn any_case(text: &str) -> Vec<ByteSet> {
    text.bytes().map(|wanted| ByteSet::of(|byte| byte.eq_ignore_ascii_case(&wanted))).collect()
}

/// What may stand before a token: nothing alphanumeric, but the letter of an escape may.
fn boundary() -> ByteSet {
    ByteSet::of(|byte| !byte.is_ascii_alphanumeric() || b"bfnrt".contains(&byte))
}

fn anchor_run(rank: usize, anchor: Anchor) -> Run {
    let mut sets = if anchor.any_case { any_case(anchor.literal) } else { literal(anchor.literal) };
    let body = ByteSet::of(|byte| {
        if anchor.any_case { anchor.body.contains_either_case(byte) } else { anchor.body.contains(byte) }
    });
    sets.extend(vec![body; anchor.body_bytes_min.min(WINDOW_BYTES)]);
    let before = if anchor.boundary { boundary() } else { ByteSet::of(|byte| Set::Any.contains(byte)) };
    Run { before, sets, target: Target::Shape { rank, anchor } }
}

/// A Discord bot token starts with the base64 of its bot's id, a decimal number.
fn discord_bot_run() -> Run {
    let quartet = ["MNO", "DTjz", "AEIMQUYcgk", "wxyz012345"];
    let sets = quartet.iter().chain(&quartet).map(|set| ByteSet::of(|byte| set.as_bytes().contains(&byte)));
    Run { before: boundary(), sets: sets.collect(), target: Target::DiscordBot }
}

/// One run for each last word of a name: before it, what may end the word before; after it, what may end a name.
fn name_runs() -> Vec<Run> {
    let mut previous: BTreeMap<&'static str, Vec<Option<u8>>> = BTreeMap::new();
    for name in NAMES.iter().filter(|name| name.place != Place::BesideUser) {
        if let Some((last, ahead)) = name.words.split_last() {
            previous.entry(last).or_default().push(ahead.last().and_then(|word| word.bytes().last()));
        }
    }
    let digit = ByteSet::of(|byte| byte.is_ascii_digit());
    let sign = ByteSet::of(|byte| matches!(byte, b'_' | b'-' | b'.'));
    let run = |(word, previous): (&'static str, Vec<Option<u8>>)| {
        let before = ByteSet::of(|byte| {
            previous.iter().any(|last| match last {
                None => true,
                Some(last) => byte.eq_ignore_ascii_case(last) || SEPARATORS.contains(&byte),
            })
        });
        let end = ByteSet::of(|byte| TERMINATORS.contains(&byte));
        let mut tails = vec![vec![end, any()]];
        if NUMBERED.contains(&word) {
            tails.extend([vec![digit, any()], vec![sign, digit]]);
        }
        tails.into_iter().map(move |tail| Run {
            before,
            sets: [any_case(word), tail].concat(),
            target: Target::Name { word },
        })
    };
    let suffixed = SUFFIXES.iter().map(|word| {
        let before = ByteSet::of(|byte| SEPARATORS.contains(&byte));
        let end = ByteSet::of(|byte| TERMINATORS.contains(&byte));
        Run { before, sets: [any_case(word), vec![end, any()]].concat(), target: Target::Suffix { word } }
    });
    // In camel case, after the last letter of a name.
    let last = ByteSet::of(|byte| {
        let ends = |name: &&crate::names::Name| {
            name.words.last().is_some_and(|word| word.bytes().last() == Some(byte))
        };
        NAMES.iter().filter(|name| name.place == Place::Everywhere).any(|name| ends(&name))
    });
    let camel = SUFFIXES.iter().map(|word| {
        let end = ByteSet::of(|byte| TERMINATORS.contains(&byte));
        let mut sets = literal(word);
        if let Some((first, head)) = sets.first_mut().zip(word.bytes().next()) {
            *first = ByteSet::of(|byte| byte == head.to_ascii_uppercase());
        }
        sets.extend([end, any()]);
        Run { before: last, sets, target: Target::Suffix { word } }
    });
    let suffixed = suffixed.collect::<Vec<_>>().into_iter().chain(camel.collect::<Vec<_>>());
    let beside_user = NAMES.iter().filter(|name| name.place == Place::BesideUser).flat_map(|name| name.words);
    previous
        .into_iter()
        .flat_map(run)
        .chain(suffixed)
        .chain(beside_user.map(|word| whole_name_run(word)))
        .collect()
}

/// A name that counts only as the whole of a member's or a parameter's: these are not to cost what all its endings would.
fn whole_name_run(word: &'static str) -> Run {
    let before = ByteSet::of(|byte| USER_LEADS.contains(&byte));
    let end = ByteSet::of(|byte| b"\"\\=".contains(&byte));
    Run { before, sets: [any_case(word), vec![end, any()]].concat(), target: Target::Name { word } }
}

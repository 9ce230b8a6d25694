//! The gram table: which four bytes point to which anchors, and the scan over it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::names::{NAMES, SEPARATORS, TERMINATORS};
use crate::shapes::{Anchor, SHAPES};

/// Bytes a gram.
const GRAM_BYTES: usize = 4;
/// Positions looked at between two branches.
const BLOCK_BYTES: usize = 8;
/// Folds ASCII letters to lower case, four bytes at once (and some other bytes together: the anchors are compared after).
const FOLD: u32 = 0x2020_2020;
/// Bits of the hash: 2^18 bits are 32 KiB, which stay in the first-level cache.
const HASH_BITS: u32 = 18;
const BITMAP_WORDS: usize = 1 << (HASH_BITS - 6);
/// Multiplier of Fibonacci hashing, 2^32 divided by the golden ratio.
const HASH_MULTIPLIER: u32 = 0x9E37_79B1;

/// What a gram points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// Anchor of the shape of this rank; the gram starts this far into its literal.
    Shape { rank: usize, anchor: Anchor, offset: usize },
    /// The start of a Discord bot token.
    DiscordBot,
    /// A name's last word; the gram starts this far into it, or this far before it.
    Name { word: &'static str, offset: isize },
    /// The byte before `://`.
    Url,
    /// Our own marker, `<red`.
    Marker,
    /// An escape in JSON that could hide a rule's literal.
    Escape,
}

/// Grams and what they point to.
pub(super) struct Grams {
    bitmap: Box<[u64; BITMAP_WORDS]>,
    /// Sorted by gram; several may share one.
    targets: Vec<(u32, Target)>,
    /// Open addressing over the grams: first index into `targets`, plus one; zero is free.
    slots: Vec<u32>,
}

impl Grams {
    pub(super) fn compile(mut targets: Vec<(u32, Target)>) -> Grams {
        targets.sort_by_key(|(gram, _)| *gram);
        targets.dedup();
        let mut bitmap = Box::new([0_u64; BITMAP_WORDS]);
        let slot_count = (targets.len() * 4).next_power_of_two();
        let mut slots = vec![0_u32; slot_count];
        let mut previous = None;
        for (index, (gram, _)) in targets.iter().enumerate() {
            if previous == Some(*gram) {
                continue;
            }
            previous = Some(*gram);
            let hash = hash(*gram);
            bitmap[hash >> 6] |= 1 << (hash & 63);
            let mut slot = hash & (slot_count - 1);
            while slots[slot] != 0 {
                slot = (slot + 1) & (slot_count - 1);
            }
            slots[slot] = index as u32 + 1;
        }
        Grams { bitmap, targets, slots }
    }

    /// Calls `each` with every target of every gram in `bytes` and the gram's offset, in order.
    pub(super) fn scan(
        &self,
        bytes: &[u8],
        mut each: impl FnMut(&Target, usize) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut position = 0;
        while let Some(block) = bytes.get(position..position + BLOCK_BYTES + GRAM_BYTES) {
            let Some(low) = block.first_chunk::<8>() else { break };
            let Some(high) = block.last_chunk::<8>() else { break };
            let (low, high) = (u64::from_le_bytes(*low), u64::from_le_bytes(*high));
            let [first, second, third, fourth] = lanes(low);
            let [fifth, sixth, seventh, eighth] = lanes(high);
            let seen = self.bit(first)
                | self.bit(second)
                | self.bit(third)
                | self.bit(fourth)
                | self.bit(fifth)
                | self.bit(sixth)
                | self.bit(seventh)
                | self.bit(eighth);
            if seen & 1 != 0 {
                self.look_up(low, position, &mut each)?;
                self.look_up(high, position + BLOCK_BYTES / 2, &mut each)?;
            }
            position += BLOCK_BYTES;
        }
        // The last grams: bytes past the end are zero, which no gram holds.
        while position < bytes.len() {
            let mut padded = [0_u8; 8];
            let rest = &bytes[position..];
            let len = rest.len().min(padded.len() - 1);
            padded[..len].copy_from_slice(&rest[..len]);
            self.look_up(u64::from_le_bytes(padded), position, &mut each)?;
            position += BLOCK_BYTES / 2;
        }
        ControlFlow::Continue(())
    }

    /// One (in the lowest bit) when the bitmap knows the gram; the other bits mean nothing.
    #[inline(always)]
    pub(super) fn bit(&self, gram: u32) -> u64 {
        let hash = hash(gram | FOLD);
        self.bitmap[hash >> 6] >> (hash & 63)
    }

    /// Looks up the four grams of `window`, which begins at `position`.
    #[inline(never)]
    fn look_up(
        &self,
        window: u64,
        position: usize,
        each: &mut impl FnMut(&Target, usize) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for (offset, gram) in lanes(window).into_iter().enumerate() {
            if self.bit(gram) & 1 != 0 {
                let gram = gram | FOLD;
                for (_, target) in self.targets_of(gram) {
                    each(target, position + offset)?;
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn targets_of(&self, gram: u32) -> impl Iterator<Item = &(u32, Target)> {
        let mask = self.slots.len() - 1;
        let mut slot = hash(gram) & mask;
        let mut first = self.targets.len();
        while let Some(index) = self.slots[slot].checked_sub(1) {
            if self.targets.get(index as usize).is_some_and(|(found, _)| *found == gram) {
                first = index as usize;
                break;
            }
            slot = (slot + 1) & mask;
        }
        self.targets[first..].iter().take_while(move |(found, _)| *found == gram)
    }
}

/// The four grams that begin in the lower half of `window`.
#[inline(always)]
fn lanes(window: u64) -> [u32; 4] {
    [window as u32, (window >> 8) as u32, (window >> 16) as u32, (window >> 24) as u32]
}

#[inline(always)]
fn hash(gram: u32) -> usize {
    (gram.wrapping_mul(HASH_MULTIPLIER) >> (32 - HASH_BITS)) as usize
}

/// The gram of four bytes, folded.
fn gram(bytes: [u8; GRAM_BYTES]) -> u32 {
    u32::from_le_bytes(bytes) | FOLD
}

/// All grams of all rules.
pub(super) fn all() -> Vec<(u32, Target)> {
    let mut targets = Vec::new();
    for (rank, shape) in SHAPES.iter().enumerate() {
        for anchor in shape.anchors {
            push_anchor(rank, *anchor, &mut targets);
        }
    }
    push_discord_bot(&mut targets);
    let words: BTreeMap<&str, ()> = NAMES.iter().filter_map(|name| name.words.last()).map(|w| (*w, ())).collect();
    for word in words.into_keys() {
        push_name(word, &mut targets);
    }
    for scheme in (0..=127_u8).filter(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)) {
        targets.push((gram([scheme, b':', b'/', b'/']), Target::Url));
    }
    targets.push((gram(*b"<red"), Target::Marker));
    for escape in [*b":\\/\\", *b":\\//", *b":/\\/"] {
        targets.push((gram(escape), Target::Escape));
    }
    for high in (0..=127_u8).filter(u8::is_ascii_hexdigit) {
        for low in (0..=127_u8).filter(u8::is_ascii_hexdigit) {
            targets.push((gram([b'\\', b'u', high, low]), Target::Escape));
        }
    }
    targets
}

/// Grams to take of longer literals whose last four bytes are common in other words.
const RARE_INSIDE: &[&str] = &["k_li", "k_te", "glag", "s.sl", "bhoo", "-BEG"];

/// A literal of four bytes and more gives its last four, or a rarer gram inside; a shorter one is filled up from the set that follows it.
fn push_anchor(rank: usize, anchor: Anchor, targets: &mut Vec<(u32, Target)>) {
    let literal = anchor.literal.as_bytes();
    let offset = RARE_INSIDE
        .iter()
        .find_map(|rare| anchor.literal.find(rare))
        .unwrap_or(literal.len().saturating_sub(GRAM_BYTES));
    let head = &literal[offset..literal.len().min(offset + GRAM_BYTES)];
    let mut prefixes = vec![head.to_vec()];
    while prefixes[0].len() < GRAM_BYTES {
        prefixes = prefixes
            .iter()
            .flat_map(|prefix| (0..=127_u8).filter(|byte| anchor.body.contains(*byte)).map(|b| [&prefix[..], &[b]].concat()))
            .collect();
    }
    for bytes in prefixes {
        let bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
        targets.push((gram(bytes), Target::Shape { rank, anchor, offset }));
    }
}

/// A Discord bot token starts with the base64 of its bot's id, a decimal number: its first four characters encode three
/// digits, which leaves 1,200 grams.
fn push_discord_bot(targets: &mut Vec<(u32, Target)>) {
    for first in *b"MNO" {
        for second in *b"DTjz" {
            for third in *b"AEIMQUYcgk" {
                for fourth in *b"wxyz012345" {
                    targets.push((gram([first, second, third, fourth]), Target::DiscordBot));
                }
            }
        }
    }
}

/// The bytes that can stand before a name's last word `pass`.
fn ends_before_pass() -> Vec<u8> {
    let mut ends: Vec<u8> = NAMES
        .iter()
        .filter_map(|name| match name.words {
            [.., before, "pass"] => before.bytes().last(),
            _ => None,
        })
        .collect();
    ends.extend(SEPARATORS);
    ends
}

/// A long word has a rare gram inside; a short one gives its last three letters with whatever may end a name.
fn push_name(word: &'static str, targets: &mut Vec<(u32, Target)>) {
    let bytes = word.as_bytes();
    let inside = ["sswo", "sswd", "sphr", "ssco", "riza", "irma", "rede", "ooki", "trin", "gnat", "ecre", "eare", "hras"]
        .into_iter()
        .find_map(|rare| word.find(rare).map(|offset| (rare, offset)));
    if let Some((rare, offset)) = inside {
        let rare = rare.as_bytes();
        targets.push((gram([rare[0], rare[1], rare[2], rare[3]]), Target::Name { word, offset: offset as isize }));
        return;
    }
    if word == "pass" {
        // Common in prose and as a verdict, so the byte before it takes part: a separator or the end of a word it follows.
        for previous in ends_before_pass() {
            targets.push((gram([previous, b'p', b'a', b's']), Target::Name { word, offset: -1 }));
        }
        return;
    }
    let offset = bytes.len() - 3;
    for terminator in TERMINATORS {
        let tail = [bytes[offset], bytes[offset + 1], bytes[offset + 2], *terminator];
        targets.push((gram(tail), Target::Name { word, offset: offset as isize }));
    }
}

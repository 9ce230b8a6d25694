//! The scan: a table over byte pairs, looked up once for every second byte.
//!
//! Windows are dealt out to sixteen buckets. The table's entry of a pair has a bit for each bucket in which a window begins
//! with the pair (low half) and in which one ends with it (high half). A window of a bucket can start at an even position
//! only if its bit is set in the low half there and in the high half two bytes on. The lookups do not wait for one another,
//! which is what a multi-pattern automaton's do; the part of the table that text uses stays in the first-level cache.

use std::ops::ControlFlow;

use super::windows::{PRIOR_BYTES, SAMPLE, Target, WINDOW_BYTES, Window, weight};

const BUCKETS: usize = 16;
const PAIRS: usize = 1 << 16;
/// Bytes between two branches.
const BLOCK_BYTES: usize = 16;
/// The bytes of a block and the pair after it.
const REACH_BYTES: usize = BLOCK_BYTES + 2;

/// Windows, and the table that finds where they could be.
pub(super) struct Scanner {
    table: Box<[u32; PAIRS]>,
    buckets: [Bucket; BUCKETS],
}

/// The windows of a bucket, and by each byte of a window those that have it there: four look-ups instead of a comparison
/// with every window.
#[derive(Debug, Default)]
struct Bucket {
    windows: Vec<Window>,
    /// One bit a window, by place in the window and byte.
    holders: [Vec<u128>; WINDOW_BYTES],
}

/// Windows of a bucket: one bit each.
const BUCKET_WINDOWS: usize = u128::BITS as usize;

impl Bucket {
    fn new(windows: Vec<Window>) -> Bucket {
        let holders = std::array::from_fn(|place| {
            let holds = |byte: u8| {
                let bits = windows.iter().enumerate().filter(|(_, window)| window.sets[place].contains(byte));
                bits.fold(0, |bits, (index, _)| bits | 1_u128 << index)
            };
            (0..=u8::MAX).map(holds).collect()
        });
        Bucket { windows, holders }
    }

    /// The windows that `bytes` are, one bit each.
    fn matching(&self, bytes: &[u8]) -> u128 {
        self.holders.iter().zip(bytes).fold(u128::MAX, |bits, (holders, byte)| {
            bits & holders.get(usize::from(*byte)).copied().unwrap_or(0)
        })
    }
}

impl Scanner {
    /// Deals the windows out, the commonest first, each to the bucket that it makes least more likely to be hit in vain.
    pub(super) fn compile(mut windows: Vec<Window>) -> Scanner {
        let cost = |window: &Window| half_weight(window, 0) * half_weight(window, 2);
        windows.sort_by(|left, right| cost(right).total_cmp(&cost(left)));
        let mut table: Box<[u32; PAIRS]> = Box::new([0; PAIRS]);
        let mut dealt: [Vec<Window>; BUCKETS] = Default::default();
        let mut weights = [(0.0, 0.0); BUCKETS];
        for window in windows {
            let added: Vec<(f64, f64)> = (0..BUCKETS)
                .map(|bucket| {
                    let missing = |half: usize, bit: usize| -> f64 {
                        let absent = |pair: &u16| table[usize::from(*pair)] >> bit & 1 == 0;
                        pairs(&window, half).filter(absent).map(pair_weight).sum()
                    };
                    (missing(0, bucket), missing(2, BUCKETS + bucket))
                })
                .collect();
            let growth = |bucket: usize| {
                let ((lead, trail), (more_lead, more_trail)): ((f64, f64), (f64, f64)) =
                    (weights[bucket], added[bucket]);
                let prior = (lead + more_lead) * (trail + more_trail) - lead * trail;
                new_stops(&table, &window, bucket) as f64 + prior * PRIOR_BYTES
            };
            let has_room = |bucket: &usize| dealt[*bucket].len() < BUCKET_WINDOWS;
            let best = (0..BUCKETS)
                .filter(has_room)
                .min_by(|left, right| growth(*left).total_cmp(&growth(*right)))
                .unwrap_or(0);
            weights[best].0 += added[best].0;
            weights[best].1 += added[best].1;
            for pair in pairs(&window, 0) {
                table[usize::from(pair)] |= 1 << best;
            }
            for pair in pairs(&window, 2) {
                table[usize::from(pair)] |= 1 << (BUCKETS + best);
            }
            dealt[best].push(window);
        }
        Scanner { table, buckets: dealt.map(Bucket::new) }
    }

    /// Calls `each` with the target of every window found, and the offset of its anchor, in the windows' order.
    pub(super) fn scan(
        &self,
        bytes: &[u8],
        mut each: impl FnMut(&Target, usize) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut position = 0;
        while let Some(block) = bytes.get(position..).and_then(|rest| rest.first_chunk::<REACH_BYTES>()) {
            if self.may_hold(block) {
                self.look_up(block, position, &mut each)?;
            }
            position += BLOCK_BYTES;
        }
        // What is left, filled up with zeros: these can only add windows that the anchor's own check refuses.
        let mut block = [0; REACH_BYTES];
        if let Some(rest) = bytes.get(position..)
            && let Some(head) = block.get_mut(..rest.len())
        {
            head.copy_from_slice(rest);
            self.look_up(&block, position, &mut each)?;
        }
        ControlFlow::Continue(())
    }

    /// How many of the blocks of `bytes` are looked at closely, and of how many.
    #[cfg(test)]
    pub(super) fn stops(&self, bytes: &[u8]) -> (usize, usize) {
        let blocks = || (0..bytes.len()).step_by(BLOCK_BYTES);
        let block = |at: &usize| bytes.get(*at..).and_then(|rest| rest.first_chunk::<REACH_BYTES>());
        (blocks().filter(|at| block(at).is_some_and(|block| self.may_hold(block))).count(), blocks().count())
    }

    /// Written out, since the compiler does not unroll it.
    #[inline(always)]
    fn may_hold(&self, block: &[u8; REACH_BYTES]) -> bool {
        let (low, rest) = split_word(block);
        let (high, rest) = split_word(rest);
        let Some(after) = rest.first_chunk::<2>() else { return true };
        let (low, high) = (self.entries(low), self.entries(high));
        let after = self.table[usize::from(u16::from_le_bytes(*after))];
        let seen = low[0] & (low[1] >> BUCKETS)
            | low[1] & (low[2] >> BUCKETS)
            | low[2] & (low[3] >> BUCKETS)
            | low[3] & (high[0] >> BUCKETS)
            | high[0] & (high[1] >> BUCKETS)
            | high[1] & (high[2] >> BUCKETS)
            | high[2] & (high[3] >> BUCKETS)
            | high[3] & (after >> BUCKETS);
        // Shifted down, the upper halves are zero: nothing else is in `seen`.
        seen != 0
    }

    /// The entries of the four pairs of a word.
    #[inline(always)]
    fn entries(&self, word: u64) -> [u32; 4] {
        let entry = |pair: u64| self.table[usize::from(pair as u16)];
        [entry(word), entry(word >> 16), entry(word >> 32), entry(word >> 48)]
    }

    fn entry(&self, block: &[u8; REACH_BYTES], at: usize) -> u32 {
        self.table[usize::from(u16::from_le_bytes([block[at], block[at + 1]]))]
    }

    #[inline(never)]
    fn look_up(
        &self,
        block: &[u8; REACH_BYTES],
        position: usize,
        each: &mut impl FnMut(&Target, usize) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for start in (0..BLOCK_BYTES).step_by(2) {
            let mut hit = self.entry(block, start) & (self.entry(block, start + 2) >> BUCKETS);
            while hit != 0 {
                let bucket = hit.trailing_zeros() as usize;
                hit &= hit - 1;
                let bucket = &self.buckets[bucket];
                let mut found = bucket.matching(&block[start..start + WINDOW_BYTES]);
                while found != 0 {
                    let window = &bucket.windows[found.trailing_zeros() as usize];
                    found &= found - 1;
                    if let Some(anchor) = (position + start).checked_add_signed(window.to_anchor) {
                        each(&window.target, anchor)?;
                    }
                }
            }
        }
        ControlFlow::Continue(())
    }
}

/// The first word of `bytes` and what follows it; a missing one is zero.
#[inline(always)]
fn split_word(bytes: &[u8]) -> (u64, &[u8]) {
    bytes.split_first_chunk::<8>().map_or((0, &[]), |(word, rest)| (u64::from_le_bytes(*word), rest))
}

/// How many more positions of the sample a bucket would stop at if it held `window`.
fn new_stops(table: &[u32; PAIRS], window: &Window, bucket: usize) -> usize {
    SAMPLE
        .windows(WINDOW_BYTES)
        .filter(|bytes| {
            let entry = |at: usize| table[usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))];
            let fits = |at: usize| {
                window.sets[at].contains(bytes[at]) && window.sets[at + 1].contains(bytes[at + 1])
            };
            let (lead, trail) = (entry(0) >> bucket & 1 != 0, entry(2) >> (BUCKETS + bucket) & 1 != 0);
            !(lead && trail) && (lead || fits(0)) && (trail || fits(2))
        })
        .count()
}

/// The pairs at `half` (0 or 2) of a window, as the table's indices.
fn pairs(window: &Window, half: usize) -> impl Iterator<Item = u16> + '_ {
    window.sets[half].bytes().flat_map(move |first| {
        window.sets[half + 1].bytes().map(move |second| u16::from_le_bytes([first, second]))
    })
}

fn pair_weight(pair: u16) -> f64 {
    let [first, second] = pair.to_le_bytes();
    weight(first) * weight(second)
}

fn half_weight(window: &Window, half: usize) -> f64 {
    pairs(window, half).map(pair_weight).sum()
}

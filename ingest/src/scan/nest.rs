//! Which containers a place is inside, one bit each.

/// A stack of "is an object", 64 to a word; only what is deeper than 64 levels is on the heap.
#[derive(Debug, Default)]
pub(super) struct Nest {
    word: u64,
    below: Vec<u64>,
    depth: usize,
    deepest: usize,
}

impl Nest {
    pub(super) fn clear(&mut self) {
        self.below.clear();
        (self.word, self.depth, self.deepest) = (0, 0, 0);
    }

    pub(super) fn push(&mut self, is_object: bool) {
        if self.depth.is_multiple_of(64) && self.depth > 0 {
            self.below.push(self.word);
        }
        self.word = self.word << 1 | u64::from(is_object);
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
    }

    pub(super) fn pop(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.word >>= 1;
        if self.depth.is_multiple_of(64)
            && let Some(word) = self.below.pop()
        {
            self.word = word;
        }
    }

    /// Whether the innermost container is an object.
    pub(super) fn is_object(&self) -> bool {
        self.word & 1 == 1
    }

    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// The greatest depth since [`Nest::clear`].
    pub(super) fn deepest(&self) -> usize {
        self.deepest
    }
}

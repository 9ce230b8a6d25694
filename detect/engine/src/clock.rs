//! The engine's only clock.

use serde::{Deserialize, Serialize};

/// Both in microseconds UTC, `i64::MIN` before the first record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Clock {
    /// Greatest `min(time, ingest_time)` seen.
    watermark_us: i64,
    /// Greatest `ingest_time` seen: what a source dates its records by has no part in it.
    received_us: i64,
}

impl Clock {
    pub fn new() -> Clock {
        Clock { watermark_us: i64::MIN, received_us: i64::MIN }
    }

    pub fn watermark_us(self) -> i64 {
        self.watermark_us
    }

    /// What a person's "for an hour" is held against.
    pub fn received_us(self) -> i64 {
        self.received_us
    }

    /// Neither a late record nor one dated into the future can do harm: the first does not turn the clock
    /// back, the second counts as of its receipt.
    pub fn advance(&mut self, placed_us: i64, received_us: i64) {
        self.received_us = self.received_us.max(received_us);
        self.watermark_us = self.watermark_us.max(placed_us);
    }
}

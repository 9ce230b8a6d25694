//! What a power cut leaves of a file that was not synced: nothing, or parts of it with zeros between.
//!
//! Such a file is one that can be made again from what is synced, and whoever opens the store next makes it again. A single byte
//! that is not what was written is no part that is missing.

use schemas::limits::SECTOR_BYTES;

/// What is said of one.
pub const TORN: &str =
    "not written to its end, as a power cut leaves it; the next start of the service makes it again";

fn is_zero(sector: &[u8]) -> bool {
    sector.iter().all(|byte| *byte == 0)
}

/// Whether a part of this file was never written. For files in which no sector is zero.
pub fn is_torn(bytes: &[u8]) -> bool {
    bytes.chunks(SECTOR_BYTES).any(is_zero) || bytes.is_empty()
}

/// Whether this is what was written, but for parts that never were.
pub fn is_torn_of(bytes: &[u8], written: &[u8]) -> bool {
    if bytes.is_empty() {
        return true;
    }
    let mut sectors = bytes.chunks(SECTOR_BYTES).zip(written.chunks(SECTOR_BYTES));
    bytes.len() == written.len()
        && bytes != written
        && sectors.all(|(found, right)| found == right || is_zero(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_written_is_told_from_what_was_changed() {
        let whole: Vec<u8> = (0..1300u32).map(|at| at as u8 | 1).collect();
        assert!(is_torn(b"") && is_torn_of(b"", &whole));
        assert!(!is_torn(&whole) && !is_torn_of(&whole, &whole));
        for sector in [0..512, 512..1024, 1024..1300] {
            let mut torn = whole.clone();
            torn[sector.clone()].fill(0);
            assert!(is_torn(&torn) && is_torn_of(&torn, &whole), "{sector:?}");
            torn[(sector.start + 600) % 1300] ^= 0x40;
            assert!(!is_torn_of(&torn, &whole), "{sector:?} and another byte");
            torn[sector.start] = 7;
            assert!(!is_torn(&torn), "{sector:?} has a byte");
        }
        assert!(!is_torn_of(&whole[..1024], &whole), "it is shorter");
    }
}

//! How a full map makes room.

use std::collections::BTreeMap;

/// When there are more than `most` entries, takes out the lowest by `rank`, ties by key, until a sixteenth is free, so that the search
/// is paid for by the insertions that follow. Gives back the keys that went.
pub(super) fn shrink<V, R: Ord>(map: &mut BTreeMap<u64, V>, most: usize, rank: impl Fn(&V) -> R) -> Vec<u64> {
    if map.len() <= most {
        return Vec::new();
    }
    let mut ranked: Vec<(R, u64)> = map.iter().map(|(key, value)| (rank(value), *key)).collect();
    ranked.sort_unstable();
    ranked.truncate(map.len().saturating_sub(most.saturating_sub(most / 16)));
    for (_, key) in &ranked {
        map.remove(key);
    }
    ranked.into_iter().map(|(_, key)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_go_when_there_are_too_many() {
        let mut map: BTreeMap<u64, u64> = (0..32).map(|at| (at, 100 - at)).collect();
        assert!(shrink(&mut map, 32, |value| *value).is_empty() && map.len() == 32);
        map.insert(32, 1_000);
        assert_eq!(shrink(&mut map, 32, |value| *value), [31, 30, 29]);
        assert_eq!((map.len(), map.get(&32)), (30, Some(&1_000)));
    }
}

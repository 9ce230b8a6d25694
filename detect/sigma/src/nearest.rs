//! The name that somebody meant who wrote another.

/// The closest of `names` to `name`, if it is close enough to be a slip: a third of its letters wrong at most.
pub(crate) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let letters: Vec<char> =
        name.to_lowercase().chars().take(schemas::limits::ENGINE_IDENTIFIER_BYTES_MAX).collect();
    let ranked = names.map(|known| (distance(&letters, known), known));
    let (wrong, known) = ranked.min()?;
    (wrong <= letters.len().max(3) / 3).then_some(known)
}

/// Insertions, deletions and substitutions from one to the other (Levenshtein), one row at a time.
fn distance(from: &[char], to: &str) -> usize {
    let mut row: Vec<usize> = (0..=from.len()).collect();
    for (line, letter) in to.chars().enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        for (cell, other) in row.iter_mut().skip(1).zip(from) {
            let kept = diagonal + usize::from(*other != letter);
            diagonal = *cell;
            left = kept.min(left + 1).min(diagonal + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or(to.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_find_their_name_and_strangers_do_not() {
        let names = ["agent_id", "user_id", "capability", "server"];
        let find = |name| nearest(name, names.into_iter());
        assert_eq!(find("agentid"), Some("agent_id"));
        assert_eq!(find("Server"), Some("server"));
        assert_eq!(find("capabilty"), Some("capability"));
        assert_eq!(find("CommandLine"), None);
        assert_eq!(distance(&['a', 'b', 'c'], "abd"), 1);
        assert_eq!(distance(&[], "abd"), 3);
        assert_eq!(distance(&['k', 'i', 't', 't', 'e', 'n'], "sitting"), 3);
    }
}

//! Which catalogue a reference of an alert is from. Names are the catalogue's to give: they change between releases, ids do not.

/// The release of MITRE ATLAS that has the ids which our rules name.
pub(crate) const ATLAS_VERSION: &str = "5.6.1";

/// A reference of an alert, by the shape of its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reference<'a> {
    /// `AML.T0053`, `AML.T0034.002`
    Atlas(Technique<'a>),
    /// `T1078`, `T1078.004`
    Attack(Technique<'a>),
    /// Whatever else: `MCP02`, an OWASP MCP Top 10 entry.
    Other(&'a str),
}

/// A technique or one of its sub-techniques.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Technique<'a> {
    /// As the alert has it.
    pub id: &'a str,
    /// The technique: of a sub-technique the one that it is part of.
    pub technique: &'a str,
}

impl<'a> Reference<'a> {
    pub fn of(id: &'a str) -> Reference<'a> {
        match id.strip_prefix("AML.") {
            Some(rest) => match split(rest) {
                Some(length) => Reference::Atlas(Technique::new(id, "AML.".len() + length)),
                None => Reference::Other(id),
            },
            None => match split(id) {
                Some(length) => Reference::Attack(Technique::new(id, length)),
                None => Reference::Other(id),
            },
        }
    }
}

impl<'a> Technique<'a> {
    fn new(id: &'a str, length: usize) -> Technique<'a> {
        Technique { id, technique: id.get(..length).unwrap_or(id) }
    }

    /// Whether the id is that of a part.
    pub fn is_sub_technique(&self) -> bool {
        self.id != self.technique
    }
}

/// The length of `T0000` in `T0000` or `T0000.000`.
fn split(id: &str) -> Option<usize> {
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let digits = id.strip_prefix('T')?;
    let (number, part) = digits.split_once('.').map_or((digits, None), |(number, part)| (number, Some(part)));
    (is_digits(number) && part.is_none_or(is_digits)).then(|| "T".len() + number.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_told_apart_by_their_shape() {
        let part = Technique { id: "AML.T0034.002", technique: "AML.T0034" };
        assert_eq!(Reference::of("AML.T0034.002"), Reference::Atlas(part));
        assert!(part.is_sub_technique());
        let whole = Technique { id: "T1078", technique: "T1078" };
        assert_eq!(Reference::of("T1078"), Reference::Attack(whole));
        assert!(!whole.is_sub_technique());
        for other in ["MCP02", "AML.X1", "T", "T1.", "T1.2.3", "Tabc", "AML.", "", "T1\n"] {
            assert_eq!(Reference::of(other), Reference::Other(other));
        }
    }
}

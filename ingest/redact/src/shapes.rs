//! Secrets that are known by their shape, wherever they stand.
//!
//! Each shape gives the anchors (what the prefilter looks for; a match of the expression must contain one) and the expression
//! that finds the whole secret. A secret with a left boundary is not preceded by a letter or digit, and every match is
//! stretched over the letters and digits that follow it, so that nothing glued to a secret is left behind.

mod prefixes;
mod structured;

use std::sync::LazyLock;

use regex::Regex;

use crate::bytes::Set;
pub(crate) use prefixes::PREFIXES;
use structured::STRUCTURED;

/// One shape.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// Class, as in the marker and in an event's `redactions`.
    pub class: &'static str,
    /// Literals of which each match contains one.
    pub anchors: &'static [Anchor],
    /// The secret. A group named `secret` narrows what is replaced.
    pub expression: &'static str,
    /// What the expression cannot say.
    pub check: Check,
    /// How long a secret must be to count in another case than its own; 0 where the expression sees to it.
    pub whole: usize,
}

/// A literal in a shape, with what must follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Anchor {
    /// At least three bytes (two if `body` is a set of hexadecimal digits or long).
    pub literal: &'static str,
    /// True when letter case does not matter.
    pub any_case: bool,
    /// True when the literal begins the secret, so that no letter or digit runs into it.
    pub boundary: bool,
    /// The bytes that follow the literal, in either case.
    pub body: Set,
    /// How many of them there are at least.
    pub body_bytes_min: usize,
}

/// A condition on a match beside its expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// None.
    Any,
    /// No letter or digit follows: digests and identifiers of other lengths are not meant.
    EndsThere,
    /// It holds a digit: words joined by dashes are not meant.
    HasDigit,
    /// It holds letters and a digit, or letters of both cases and nothing between them.
    Random,
    /// The same, or it is whole.
    RandomOrWhole,
    /// It holds a digit and letters of both cases: for shapes that begin like words or numbers do.
    Mixed,
    /// It is long or holds a digit: prose ("bearer authentication") is not meant.
    Opaque,
    /// It is base64 of `user:password`.
    BasicPair,
    /// As [`Check::Random`], and no row of words and numbers.
    NoWords,
    /// It is of six bytes at least, with a digit among letters: `PASS=12` is a count.
    Password,
}

use Check::{BasicPair, EndsThere, HasDigit, Mixed, NoWords, Opaque, Password, Random, RandomOrWhole};

/// Class of a Discord bot token; found by the form of its first part, the base64 of the bot's decimal id, not by a literal.
pub(crate) const DISCORD_BOT_CLASS: &str = "discord_bot_token";
pub(crate) const DISCORD_BOT_EXPRESSION: &str =
    r"[MNO][DTjz][AEIMQUYcgk][w-z0-5][0-9A-Za-z_-]{19,24}\.[0-9A-Za-z_-]{6}(?:\.[0-9A-Za-z_-]*)?";

/// A shape as it is used: those that are known by their beginning alone, then those with a structure. The rank is the place
/// in the list; where two overlap, the lower names the class.
#[derive(Debug)]
pub(crate) struct Rule {
    pub class: &'static str,
    pub anchors: Vec<Anchor>,
    expression: String,
    check: Check,
    /// See [`Shape::whole`].
    whole: usize,
    /// What a match in its own case contains one of; none where case is no matter.
    literals: Vec<&'static str>,
}

/// How many rules there are, the Discord bot token's not counted.
pub(crate) const RULE_COUNT: usize = PREFIXES.len() + STRUCTURED.len();

/// All rules but the Discord bot token's, whose rank is one past them.
pub(crate) static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let prefixed = PREFIXES.iter().map(|row| {
        let anchor = |literal: &&'static str| Anchor {
            literal,
            any_case: true,
            boundary: true,
            // A slash of base64 may have backslashes before it.
            body: if row.body == Set::Base64 { Set::Any } else { row.body },
            body_bytes_min: row.cut,
        };
        let literals: Vec<String> = row.literals.iter().map(|literal| regex::escape(literal)).collect();
        Rule {
            class: row.class,
            anchors: row.literals.iter().map(anchor).collect(),
            expression: format!("(?i:(?:{}){}{{{},}})", literals.join("|"), row.body.expression(), row.cut),
            check: row.check,
            whole: row.whole + row.literals.iter().map(|literal| literal.len()).min().unwrap_or_default(),
            literals: row.literals.to_vec(),
        }
    });
    let structured = STRUCTURED.iter().map(|shape| Rule {
        class: shape.class,
        anchors: shape.anchors.to_vec(),
        expression: if shape.whole == 0 {
            shape.expression.to_owned()
        } else {
            format!("(?i:{})", shape.expression)
        },
        check: shape.check,
        whole: shape.whole,
        literals: if shape.whole == 0 {
            Vec::new()
        } else {
            shape.anchors.iter().map(|anchor| anchor.literal).collect()
        },
    });
    prefixed.chain(structured).collect()
});

/// The expressions of [`RULES`], compiled, in the same order; the Discord bot token's comes last.
pub(crate) struct Matchers(Vec<Matcher>);

struct Matcher {
    class: &'static str,
    check: Check,
    whole: usize,
    literals: Vec<&'static str>,
    expression: Regex,
}

/// A secret found: where, which class, and its rank (the lower names an overlap).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    pub start: usize,
    pub end: usize,
    pub class: &'static str,
    pub rank: usize,
    /// What takes its place, where that is not the marker of the text between `start` and `end`.
    pub replacement: Option<String>,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize, class: &'static str, rank: usize) -> Span {
        Span { start, end, class, rank, replacement: None }
    }
}

impl Matchers {
    pub(crate) fn new() -> Matchers {
        let mut matchers: Vec<Matcher> = RULES.iter().map(Matcher::new).collect();
        matchers.push(Matcher::new(&Rule {
            class: DISCORD_BOT_CLASS,
            anchors: Vec::new(),
            expression: format!(r"(?:^|[^0-9A-Za-z]|\\[bfnrt])(?P<secret>{DISCORD_BOT_EXPRESSION})"),
            check: Check::Any,
            whole: 0,
            literals: Vec::new(),
        }));
        Matchers(matchers)
    }

    /// All secrets of the shape of this rank.
    pub(crate) fn find(&self, rank: usize, text: &str, spans: &mut Vec<Span>) {
        if let Some(matcher) = self.0.get(rank) {
            matcher.find(rank, text, spans);
        }
    }
}

impl Matcher {
    /// The expressions are made of this module's constants and each is compiled by the tests.
    fn new(rule: &Rule) -> Matcher {
        // What stands before is part of the match, so that a refused match cannot hide a later one; the group leaves it out.
        // As in `bytes::token_boundary`, the letter of an escape that the text shows is no part of the word after it.
        let boundary = rule.anchors.iter().any(|anchor| anchor.boundary);
        let prefix = if boundary { r"(?:^|[^0-9A-Za-z]|\\[bfnrt])" } else { "" };
        let open = if rule.expression.contains("(?P<secret>") { "(?:" } else { "(?P<secret>" };
        let expression = Regex::new(&format!("{prefix}{open}{})", rule.expression))
            .expect("expression of a shape compiles");
        Matcher {
            class: rule.class,
            check: rule.check,
            whole: rule.whole,
            literals: rule.literals.clone(),
            expression,
        }
    }

    fn find(&self, rank: usize, text: &str, spans: &mut Vec<Span>) {
        for captures in self.expression.captures_iter(text) {
            if let Some(found) = captures.name("secret") {
                self.keep(rank, text, found.start(), found.end(), spans);
            }
        }
    }

    fn keep(&self, rank: usize, text: &str, start: usize, end: usize, spans: &mut Vec<Span>) {
        let tail = text[end..].bytes().take_while(u8::is_ascii_alphanumeric).count();
        let secret = &text[start..end];
        let in_its_case = self.is_in_its_case(secret)
            && match self.check {
                Check::Any => true,
                EndsThere => tail == 0,
                HasDigit => has(secret, |byte| byte.is_ascii_digit()),
                Random => is_random(self.without_literal(secret)),
                RandomOrWhole => is_random(self.without_literal(secret)) || secret.len() >= self.whole,
                Mixed => is_mixed(self.without_literal(secret)),
                Opaque => has(secret, |byte| byte.is_ascii_digit()) || secret.len() >= 24,
                BasicPair => is_basic_pair(secret),
                NoWords => {
                    let random = self.without_literal(secret);
                    is_random(random) && !is_words(random)
                }
                Password => {
                    secret.len() >= PASSWORD_BYTES
                        && has(secret, |byte| byte.is_ascii_alphabetic())
                        && (has(secret, |byte| byte.is_ascii_digit()) || changes_case(secret.as_bytes()))
                }
            };
        if in_its_case || self.is_whole_in_another_case(secret) {
            spans.push(Span::new(start, end + tail, self.class, rank));
        }
    }

    fn is_in_its_case(&self, secret: &str) -> bool {
        self.literals.is_empty() || self.literals.iter().any(|literal| secret.contains(literal))
    }

    /// Of a secret whose case was changed as a whole nothing but its length and its randomness speaks: digits, and letters
    /// that no digest has unless the secret itself has none.
    fn is_whole_in_another_case(&self, secret: &str) -> bool {
        self.whole > 0
            && secret.len() >= self.whole
            && has(self.without_literal(secret), |byte| byte.is_ascii_digit())
            && has(secret, |byte| byte.is_ascii_alphabetic() && !byte.is_ascii_hexdigit())
    }

    /// What follows the literal that the secret begins with.
    fn without_literal<'a>(&self, secret: &'a str) -> &'a str {
        let len = self.literals.iter().map(|literal| literal.len()).find(|len| {
            let head = secret.get(..*len).unwrap_or_default();
            self.literals.iter().any(|literal| literal.eq_ignore_ascii_case(head))
        });
        secret.get(len.unwrap_or_default()..).unwrap_or_default()
    }
}

fn has(text: &str, fits: impl Fn(u8) -> bool) -> bool {
    text.bytes().any(fits)
}

/// True for what changes its case more often than a word does, which has one capital, its first letter.
fn changes_case(word: &[u8]) -> bool {
    let is_change = |pair: &&[u8]| pair[0].is_ascii_uppercase() != pair[1].is_ascii_uppercase();
    word.windows(2).filter(is_change).count() >= CASE_CHANGES
}

/// Changes of case that no word has.
const CASE_CHANGES: usize = 3;

fn is_random(text: &str) -> bool {
    let letters = has(text, |byte| byte.is_ascii_alphabetic());
    let cases = has(text, |byte| byte.is_ascii_uppercase()) && has(text, |byte| byte.is_ascii_lowercase());
    let is_sign = |byte: &u8| matches!(byte, b'-' | b'_' | b'.');
    let joined = text.as_bytes().iter().any(is_sign);
    let is_no_word = || text.as_bytes().split(is_sign).any(changes_case);
    letters && (has(text, |byte| byte.is_ascii_digit()) || cases && (!joined || is_no_word()))
}

/// Shortest password that stands after a name that is a count as often, in bytes.
const PASSWORD_BYTES: usize = schemas::limits::REDACT_SAID_PASSWORD_BYTES_MIN;

/// True for words of one case and numbers, one after the other or joined by signs: `learn-tutorial-2024-v2`, `GATEWAY12345`.
fn is_words(text: &str) -> bool {
    text.split(['-', '_', '.']).all(|part| {
        let letters = part.trim_end_matches(|letter: char| letter.is_ascii_digit());
        let is_one_case = letters.bytes().all(|byte| byte.is_ascii_lowercase())
            || letters.bytes().all(|byte| byte.is_ascii_uppercase());
        is_one_case && letters.len() <= WORD_LETTERS
    })
}

/// Letters of a long word.
const WORD_LETTERS: usize = 16;

fn is_mixed(text: &str) -> bool {
    has(text, |byte| byte.is_ascii_digit())
        && has(text, |byte| byte.is_ascii_uppercase())
        && has(text, |byte| byte.is_ascii_lowercase())
}

/// True for the base64 of `user:password`.
fn is_basic_pair(encoded: &str) -> bool {
    use base64::Engine as _;
    use base64::alphabet;
    use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
    let lenient = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    [&alphabet::STANDARD, &alphabet::URL_SAFE].into_iter().any(|alphabet| {
        let engine = GeneralPurpose::new(alphabet, lenient);
        engine.decode(encoded).is_ok_and(|decoded| decoded.contains(&b':'))
    })
}

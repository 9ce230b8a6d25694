//! What hostile texts are made of.

/// Pieces of which each alone has broken some reader.
pub const PIECES: [&str; 34] = [
    "a",
    "Z9",
    " ",
    "  ",
    "|",
    "=",
    "\\",
    "\"",
    "'",
    "\n",
    "\r\n",
    "\t",
    "\0",
    "\u{1b}[31m",
    "\u{7f}",
    "\u{85}",
    "\u{202e}",
    "\u{2066}",
    "\u{200b}",
    "\u{feff}",
    "\u{2028}",
    "\u{e0001}",
    "\u{ad}",
    "\u{fe0f}",
    "\\ud800",
    "\\n",
    "\\u202e",
    "é😀中",
    " cs1=forged",
    "\tsev=10",
    "CEF:0|a|b|c|d|e|1|x=",
    "\",\"severity\":\"low\",\"x\":\"",
    "<!channel> @here `x [y](z)",
    "192.0.2.1",
];

/// Those characters of the pieces that a line must not hold, and how it shows them.
const HIDDEN: [(char, &str); 16] = [
    ('\n', "\\u000a"),
    ('\r', "\\u000d"),
    ('\t', "\\u0009"),
    ('\0', "\\u0000"),
    ('\u{1b}', "\\u001b"),
    ('\u{7f}', "\\u007f"),
    ('\u{85}', "\\u0085"),
    ('\u{202e}', "\\u202e"),
    ('\u{2066}', "\\u2066"),
    ('\u{200b}', "\\u200b"),
    ('\u{feff}', "\\ufeff"),
    ('\u{2028}', "\\u2028"),
    ('\u{e0001}', "\\u{e0001}"),
    ('\u{ad}', "\\u00ad"),
    ('\u{fe0f}', "\\ufe0f"),
    ('\u{180e}', "\\u180e"),
];

/// Whether a line must not hold this character of the pieces.
pub fn is_hidden(character: char) -> bool {
    HIDDEN.iter().any(|(hidden, _)| *hidden == character)
}

/// `text` as a line shows it, but for the characters in `kept`.
pub fn shown(text: &str, kept: &[char]) -> String {
    let mut out = String::new();
    for character in text.chars() {
        match HIDDEN.iter().find(|(hidden, _)| *hidden == character && !kept.contains(hidden)) {
            Some((_, shown)) => out.push_str(shown),
            None => out.push(character),
        }
    }
    out
}

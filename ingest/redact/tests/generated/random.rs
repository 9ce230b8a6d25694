//! A small seeded generator, so that the same seed plants the same secrets on every machine.

/// SplitMix64.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// Below `bound`, which is not zero.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    pub fn word(&mut self, words: &[&'static str]) -> &'static str {
        words[self.below(words.len())]
    }

    pub fn text(&mut self, alphabet: &str, len: usize) -> String {
        let letters = alphabet.as_bytes();
        (0..len).map(|_| char::from(letters[self.below(letters.len())])).collect()
    }

    /// Letters, digits and signs as a template says: `{A36}` is 36 of the alphabet `A`, `{A20-40}` 20 to 40 of it, `{G}` a
    /// UUID; everything else stands for itself.
    pub fn expand(&mut self, template: &str) -> String {
        let mut out = String::new();
        let mut rest = template;
        while let Some((before, more)) = rest.split_once('{') {
            out.push_str(before);
            let (inside, after) = more.split_once('}').expect("a template closes its braces");
            let (kind, length) = inside.split_at(1);
            if kind == "G" {
                let lengths = [8, 4, 4, 4, 12];
                let parts: Vec<String> = lengths.iter().map(|len| self.text(HEX, *len)).collect();
                out.push_str(&parts.join("-"));
            } else {
                let (least, most) = length.split_once('-').unwrap_or((length, length));
                let (least, most): (usize, usize) = (least.parse().unwrap(), most.parse().unwrap());
                let length = least + self.below(most - least + 1);
                out.push_str(&self.text(alphabet(kind), length));
            }
            rest = after;
        }
        out.push_str(rest);
        out
    }
}

const HEX: &str = "0123456789abcdef";

fn alphabet(kind: &str) -> &'static str {
    match kind {
        "A" => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
        "L" => "abcdefghijklmnopqrstuvwxyz0123456789",
        "U" => "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
        "V" => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
        "K" => "0123456789ABCDEFGHJKMNPQRSTVWXYZ",
        "H" => HEX,
        "X" => "0123456789ABCDEF",
        "W" => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-",
        "B" => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
        "D" => "0123456789",
        "P" => "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789!$*+.-_~#^",
        // What a generator of passwords takes: most of what a keyboard has. `R` is without the sign that begins a URL's host.
        "Q" => "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789!$*+.-_~#^&;'\"/?@=%,:",
        "R" => "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789!$*+.-_~#^&;/?=,",
        _ => panic!("no alphabet {kind}"),
    }
}

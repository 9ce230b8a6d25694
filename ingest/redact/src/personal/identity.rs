//! Persons' numbers of states. Those whose form and checksum together are rare among other numbers are found anywhere; the
//! others only under a name that says what they are.

use std::ops::Range;
use std::sync::LazyLock;

use regex::bytes::Regex;

use super::number::{Digits, luhn};
use crate::bytes::at;

/// Last words of the names of members that hold a telephone's number.
#[rustfmt::skip]
const PHONES: &[&str] = &["phone", "telephone", "mobile", "cell", "fax", "tel", "telefon", "handy", "msisdn"];
/// Names of members that hold a person's number.
#[rustfmt::skip]
const PERSONS: &[&str] = &[
    "ssn", "socialsecuritynumber", "nationalid", "nationalidnumber", "taxid", "steuerid", "steuernummer", "nino", "nhsnumber",
    "bsn", "pesel", "cpf", "nir", "dni", "nie", "personnummer", "codicefiscale", "aadhaar", "passport", "passportnumber",
    "driverslicense", "identitynumber", "personalnumber", "ahv", "rodnecislo",
];

/// The letters of a name in lower case, if it is made of words with single signs between them.
fn letters(key: &str) -> Option<String> {
    let is_sign = |byte: u8| b"_-. ".contains(&byte);
    let fits = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || is_sign(byte))
        && !key.as_bytes().windows(2).any(|pair| pair.iter().all(|byte| is_sign(*byte)));
    fits.then(|| key.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase())
}

/// What may follow the name of a telephone.
const NUMBERS: [&str; 3] = ["number", "nr", "no"];

/// True for `phone`, `home_phone`, `mobileNumber`.
pub(super) fn is_phones_name(key: &str) -> bool {
    letters(key).is_some_and(|letters| {
        let stem = NUMBERS.iter().find_map(|word| letters.strip_suffix(word)).unwrap_or(&letters);
        PHONES.iter().any(|word| stem.ends_with(word))
    })
}

/// True for `ssn`, `customer_ssn`, `national_id`, `taxId`.
pub(super) fn is_persons_name(key: &str) -> bool {
    // A short one must be a word of its own.
    let last = key.rsplit(|letter: char| !letter.is_ascii_alphanumeric()).next().unwrap_or_default();
    let camel = last.rfind(|letter: char| letter.is_ascii_uppercase()).and_then(|at| last.get(at..));
    let is_word = |word: &&str| {
        last.eq_ignore_ascii_case(word) || camel.is_some_and(|camel| camel.eq_ignore_ascii_case(word))
    };
    letters(key).is_some_and(|letters| {
        PERSONS
            .iter()
            .any(|word| letters == *word || letters.ends_with(word) && (word.len() > 4 || is_word(word)))
    })
}

/// True for the name of either.
pub(crate) fn is_name(key: &str) -> bool {
    is_phones_name(key) || is_persons_name(key)
}

/// Either kind of name before a closing quote, in raw JSON of any depth.
static NAMED: LazyLock<Regex> = LazyLock::new(|| {
    let spaced = |word: &&str| word.chars().map(String::from).collect::<Vec<_>>().join("[_ .-]?");
    let words = |list: &[&str]| list.iter().map(spaced).collect::<Vec<_>>().join("|");
    let expression = format!(
        r#"(?i-u)(?:(?:{})[_ .-]?(?:{})?|{})[_ .-]?\\*""#,
        words(PHONES),
        words(&NUMBERS),
        words(PERSONS)
    );
    Regex::new(&expression).expect("the expression of names compiles")
});

/// True when a member may have a name of either kind; `bytes` are raw JSON.
pub(crate) fn may_be_named(bytes: &[u8]) -> bool {
    NAMED.is_match(bytes)
}

/// A form: groups of digits with these signs between them, and its check.
struct Form {
    groups: &'static [usize],
    sign: &'static [u8],
    check: fn(&[u8]) -> bool,
}

#[rustfmt::skip]
const FORMS: &[Form] = &[
    // United States: social security number.
    Form { groups: &[3, 2, 4], sign: b"--", check: is_social_security },
    // Brazil: CPF.
    Form { groups: &[3, 3, 3, 2], sign: b"..-", check: is_cpf },
    // Switzerland: AHV number, an EAN-13.
    Form { groups: &[3, 4, 4, 2], sign: b"...", check: is_ahv },
    // Sweden: personnummer with or without the century.
    Form { groups: &[6, 4], sign: b"-", check: |digits| is_date(digits, 0) && luhn(digits) },
    Form { groups: &[8, 4], sign: b"-", check: |digits| is_date(digits, 2) && luhn(digits.get(2..).unwrap_or_default()) },
    // India: Aadhaar.
    Form { groups: &[4, 4, 4], sign: b"  ", check: |digits| digits.first().is_some_and(|first| *first >= 2) && verhoeff(digits) },
    // France: NIR with its key.
    Form { groups: &[15], sign: b"", check: is_nir },
    Form { groups: &[1, 2, 2, 2, 3, 3, 2], sign: b"      ", check: is_nir },
    // China: resident identity number that ends in a digit.
    Form { groups: &[18], sign: b"", check: is_resident },
];

/// Where a number of one of the forms ends.
pub(super) fn number(digits: &Digits<'_>) -> Option<usize> {
    with_letter(digits).or_else(|| of_digits(digits))
}

/// Spain's DNI, eight digits and their letter; China's number where the check digit is ten.
fn with_letter(digits: &Digits<'_>) -> Option<usize> {
    let glued = |count: usize| {
        let text = digits.text(count);
        let end = digits.start + text.len();
        let is_whole = text.len() == count && digits.digits.len() >= count;
        let alone =
            !at(digits.bytes, end + 1).is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        at(digits.bytes, end).filter(|_| is_whole && alone).map(|letter| (letter, end + 1))
    };
    if let Some((letter, end)) = glued(8)
        && spanish_letter(value(&digits.values(8))) == Some(letter)
    {
        return Some(end);
    }
    let (letter, end) = glued(17)?;
    (letter.eq_ignore_ascii_case(&b'X') && is_resident(&[&digits.values(17)[..], &[10]].concat()))
        .then_some(end)
}

fn spanish_letter(number: u64) -> Option<u8> {
    b"TRWAGMYFPDXBNJZSQVHLCKE".get((number % 23) as usize).copied()
}

fn of_digits(digits: &Digits<'_>) -> Option<usize> {
    FORMS.iter().find_map(|form| {
        let count: usize = form.groups.iter().sum();
        if digits.digits.len() < count || !digits.ends_after(count) {
            return None;
        }
        let text = digits.text(count);
        let groups = text.split(|byte| !byte.is_ascii_digit()).map(<[u8]>::len);
        let signs = text.iter().copied().filter(|byte| !byte.is_ascii_digit());
        let fits = groups.eq(form.groups.iter().copied()) && signs.eq(form.sign.iter().copied());
        (fits && (form.check)(&digits.values(count))).then_some(digits.start + text.len())
    })
}

fn value(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |value, digit| value * 10 + u64::from(*digit))
}

fn part(digits: &[u8], from: usize, len: usize) -> u64 {
    value(digits.get(from..from + len).unwrap_or_default())
}

/// Year, month and day in six digits from `from` on.
fn is_date(digits: &[u8], from: usize) -> bool {
    (1..=12).contains(&part(digits, from + 2, 2)) && (1..=31).contains(&part(digits, from + 4, 2))
}

/// Areas, groups and serials that are given out.
fn is_social_security(digits: &[u8]) -> bool {
    let area = part(digits, 0, 3);
    area != 0 && area != 666 && area < 900 && part(digits, 3, 2) != 0 && part(digits, 5, 4) != 0
}

fn is_cpf(digits: &[u8]) -> bool {
    let check = |count: usize| {
        let weights = (2..=count as u64 + 1).rev();
        let sum: u64 =
            digits.iter().take(count).zip(weights).map(|(digit, weight)| u64::from(*digit) * weight).sum();
        (sum * 10 % 11 % 10) as u8
    };
    let is_one_digit = digits.iter().all(|digit| Some(digit) == digits.first());
    !is_one_digit && digits.get(9) == Some(&check(9)) && digits.get(10) == Some(&check(10))
}

fn is_ahv(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .enumerate()
        .map(|(index, digit)| u32::from(*digit) * if index % 2 == 1 { 3 } else { 1 })
        .sum();
    part(digits, 0, 3) == 756 && sum.is_multiple_of(10)
}

fn is_nir(digits: &[u8]) -> bool {
    let month = part(digits, 3, 2);
    let is_month = (1..=12).contains(&month) || (20..=42).contains(&month) || (50..=99).contains(&month);
    matches!(digits.first(), Some(1 | 2)) && is_month && part(digits, 13, 2) == 97 - part(digits, 0, 13) % 97
}

fn is_resident(digits: &[u8]) -> bool {
    const WEIGHTS: [u64; 18] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2, 1];
    let sum: u64 = digits.iter().zip(WEIGHTS).map(|(digit, weight)| u64::from(*digit) * weight).sum();
    matches!(part(digits, 6, 2), 19 | 20) && is_date(digits, 8) && sum % 11 == 1
}

/// Verhoeff's check over the group of the pentagon's symmetries.
fn verhoeff(digits: &[u8]) -> bool {
    const MULTIPLY: [[u8; 10]; 10] = [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        [1, 2, 3, 4, 0, 6, 7, 8, 9, 5],
        [2, 3, 4, 0, 1, 7, 8, 9, 5, 6],
        [3, 4, 0, 1, 2, 8, 9, 5, 6, 7],
        [4, 0, 1, 2, 3, 9, 5, 6, 7, 8],
        [5, 9, 8, 7, 6, 0, 4, 3, 2, 1],
        [6, 5, 9, 8, 7, 1, 0, 4, 3, 2],
        [7, 6, 5, 9, 8, 2, 1, 0, 4, 3],
        [8, 7, 6, 5, 9, 3, 2, 1, 0, 4],
        [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
    ];
    const PERMUTE: [u8; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    let mut check = 0;
    for (index, digit) in digits.iter().rev().enumerate() {
        let permuted =
            (0..index % 8).fold(*digit, |digit, _| PERMUTE.get(usize::from(digit)).copied().unwrap_or(0));
        check = MULTIPLY
            .get(usize::from(check))
            .and_then(|row| row.get(usize::from(permuted)))
            .copied()
            .unwrap_or(1);
    }
    check == 0
}

/// Numbers with letters: Spain's DNI and NIE begin with a digit or one of `XYZ`, Italy's codice fiscale with letters.
pub(super) fn lettered(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    let ends = |len: usize| !at(bytes, start + len).is_some_and(|byte| byte.is_ascii_alphanumeric());
    let found = |len: usize| bytes.get(start..start + len).filter(|_| ends(len));
    if found(9).is_some_and(is_nie) {
        return Some(start..start + 9);
    }
    found(16).is_some_and(is_codice_fiscale).then_some(start..start + 16)
}

fn is_nie(text: &[u8]) -> bool {
    let [lead @ (b'X' | b'Y' | b'Z'), digits @ .., letter] = text else { return false };
    if !digits.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let number =
        digits.iter().fold(u64::from(lead - b'X'), |value, digit| value * 10 + u64::from(digit - b'0'));
    spanish_letter(number) == Some(*letter)
}

/// Italy's: six letters, two digits, a month's letter, two digits, a letter, three digits, a check letter.
fn is_codice_fiscale(text: &[u8]) -> bool {
    const FORM: &[u8; 16] = b"AAAAAA00M00A000A";
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let fits = text.iter().zip(FORM).all(|(byte, form)| match form {
        b'A' => byte.is_ascii_uppercase(),
        b'M' => b"ABCDEHLMPRST".contains(byte),
        _ => byte.is_ascii_digit(),
    });
    let Some((letter, head)) = text.split_last().filter(|_| fits) else { return false };
    let sum: u32 = head
        .iter()
        .enumerate()
        .map(|(index, byte)| {
            let place = if byte.is_ascii_digit() { byte - b'0' } else { byte - b'A' };
            if index % 2 == 0 { ODD.get(usize::from(place)).copied().unwrap_or(0) } else { u32::from(place) }
        })
        .sum();
    u32::from(letter - b'A') == sum % 26
}

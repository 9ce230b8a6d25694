use super::{Class, Policies, Policy};
use crate::Redactor;

fn policies(policy: Policy) -> Policies {
    Class::ALL.into_iter().fold(Policies::default(), |policies, class| policies.with(class, policy))
}

fn redactor(policy: Policy) -> Redactor {
    Redactor::new([7; 32]).with_policies(policies(policy))
}

/// Redacts, and checks what must always hold.
fn redact(redactor: &Redactor, text: &str) -> String {
    let redacted = redactor.redact_text(text);
    let again = redactor.redact_text(&redacted.text);
    assert_eq!(again.text, redacted.text, "not idempotent: {text}");
    for lead in ["", "\n", "\t", "\u{8}", "\u{c}", "x ", "\\n"] {
        let json = serde_json::to_string(&[format!("{lead}{text}")]).unwrap();
        let as_json = redactor.redact_json(&json).unwrap();
        assert_eq!(as_json.removed.is_empty(), redacted.removed.is_empty(), "{json} -> {}", as_json.text);
        assert!(as_json.removed.is_empty() || !redactor.is_clean(json.as_bytes()), "cleared: {json}");
    }
    redacted.text.into_owned()
}

/// (class, as it is written, masked).
const SAMPLES: &[(Class, &str, &str)] = &[
    (Class::Email, "jane.doe+test@mail.example.co.uk", "j***@mail.example.co.uk"),
    (Class::Email, "o'neil_9@example.com", "o***@example.com"),
    (Class::Phone, "+49 151 2345-6789", "***89"),
    (Class::Phone, "+14155552671", "***71"),
    (Class::Phone, "(415) 555-2671", "***71"),
    (Class::Phone, "415-555-2671", "***71"),
    (Class::Card, "4111111111111111", "****1111"),
    (Class::Card, "5500 0000 0000 0004", "****0004"),
    (Class::Card, "3782-822463-10005", "****0005"),
    (Class::Card, "6011000990139424", "****9424"),
    (Class::Iban, "DE89370400440532013000", "DE****00"),
    (Class::Iban, "GB82 WEST 1234 5698 7654 32", "GB****32"),
    (Class::Iban, "NO9386011117947", "NO****47"),
    (Class::NationalId, "536-90-4399", "***99"),
    (Class::NationalId, "529.982.247-25", "***25"),
    (Class::NationalId, "756.9217.0769.85", "***85"),
    (Class::NationalId, "811218-9876", "***76"),
    (Class::NationalId, "19811218-9876", "***76"),
    (Class::NationalId, "2341 2341 2346", "***46"),
    (Class::NationalId, "255081416802538", "***38"),
    (Class::NationalId, "X1234567L", "***7L"),
    (Class::NationalId, "RSSMRA85T10A562S", "***2S"),
    (Class::NationalId, "11010519491231002X", "***2X"),
    (Class::NationalId, "12345678Z", "***8Z"),
    (Class::IpAddress, "10.20.3.27", "10.20.3.*"),
    (Class::IpAddress, "192.168.0.1:8080", "192.168.0.*"),
    (Class::IpAddress, "2001:db8:85a3::8a2e:370:7334", "2001:db8:85a3:****"),
    (Class::IpAddress, "fe80::1ff:fe23:4567:890a", "****"),
];

#[test]
fn each_class_is_found_and_treated_as_the_policy_says() {
    let (mask, hash, pseudonymise, drop) = (
        redactor(Policy::Mask),
        redactor(Policy::Hash),
        redactor(Policy::Pseudonymise),
        redactor(Policy::Drop),
    );
    for (class, value, masked) in SAMPLES.iter() {
        for (before, after) in [("", ""), ("call ", ", please"), ("(", ")"), ("a\tb: ", " "), ("is ", ".")] {
            let text = format!("{before}{value}{after}");
            let port = if value.ends_with(":8080") { ":8080" } else { "" };
            assert_eq!(redact(&mask, &text), format!("{before}{masked}{port}{after}"), "{text}");
            let hashed = redact(&hash, &text);
            assert!(
                hashed.starts_with(&format!("{before}<redacted:{}:", class.name())),
                "{text} -> {hashed}"
            );
            let pseudonym = redact(&pseudonymise, &text);
            assert!(
                pseudonym.starts_with(&format!("{before}{}-", class.name())) && pseudonym.ends_with(after),
                "{text} -> {pseudonym}"
            );
            let dropped = redact(&drop, &text);
            assert_eq!(dropped, format!("{before}<redacted:{}>{port}{after}", class.name()));
        }
        assert_eq!(redact(&redactor(Policy::Keep), value), *value);
        let items = mask.redact_text(value).removed.items();
        assert_eq!(items, [format!("{}:1", class.name())]);
    }
}

#[test]
fn what_only_resembles_personal_data_stays() {
    let all = redactor(Policy::Drop);
    for text in [
        "user@localhost and @decorator and a@b and git@",
        "4111111111111112 is no card, 1234567890123456 neither",
        "1772409600000000 us, 1772409600000000000 ns, 20260302000826",
        "019cabdf-f19c-7574-b9d1-4978b060578d",
        "DE89370400440532013001 and DE893704004405320130001",
        "version 1.2.3 of 10.20, at 12:34:56, ratio 10:30",
        "123456789 and 000-12-3456 and 666-12-3456 and 900-12-3456",
        "order 2026-11-21-0007, 415-155-2671, 115-555-2671",
        "trace dd98b7f70ea0482aad7f999cb3e4cf12",
        "<redacted:email:0123456789ab> <redacted:card>",
        "email-hgfbmjkaoplcdnei paid 4.111.111.111.111 dong",
        "11010519491231003X, 12345678A, at 20261121T",
    ] {
        assert_eq!(redact(&all, text), text);
    }
}

#[test]
fn one_person_has_one_pseudonym_in_every_spelling_and_another_in_another_tenant() {
    let here = redactor(Policy::Pseudonymise);
    let there = Redactor::new([8; 32]).with_policies(policies(Policy::Pseudonymise));
    for (one, other) in [
        ("Jane@Example.com", "jane@example.com"),
        ("4111 1111 1111 1111", "4111111111111111"),
        ("+49 151 2345-6789", "+4915123456789"),
        ("GB82 WEST 1234 5698 7654 32", "gb82west12345698765432"),
        ("2001:0db8:0:0:0:0:0:1", "2001:DB8::1"),
        ("+1 415 555 2671", "415-555-2671"),
    ] {
        assert_eq!(redact(&here, one), redact(&here, other));
        assert_ne!(redact(&here, one), redact(&there, one));
        assert_ne!(redact(&here, one), redact(&here, "jim@example.com"));
    }
}

#[test]
fn a_members_name_says_what_its_whole_value_is() {
    let mask = redactor(Policy::Mask);
    for (json, expected) in [
        (r#"{"phone":"0151 23456789"}"#, r#"{"phone":"***89"}"#),
        (r#"{"homePhoneNumber":"0151/23456789","n":1}"#, r#"{"homePhoneNumber":"***89","n":1}"#),
        (r#"{"mobile":491512345678}"#, r#"{"mobile":"***78"}"#),
        (r#"{"tax_id":"12345678903"}"#, r#"{"tax_id":"***03"}"#),
        (r#"{"a":"{\"ssn\":\"123456789\"}"}"#, r#"{"a":"{\"ssn\":\"***89\"}"}"#),
        (r#"{"card":4111111111111111}"#, r#"{"card":"****1111"}"#),
        (r#"{"cards":[1, 4111111111111111,2]}"#, r#"{"cards":[1, "****1111",2]}"#),
        (r#"{"phone":["030 1234567","none"]}"#, r#"{"phone":["***67","none"]}"#),
        (r#"{"name":"phone","value":"030 1234567"}"#, r#"{"name":"phone","value":"***67"}"#),
        (
            r#"{"customer_ssn":"123456789","customerSsn":123456789}"#,
            r#"{"customer_ssn":"***89","customerSsn":"***89"}"#,
        ),
        (r#"{"ssn":["123456789"],"lessn":"123456789"}"#, r#"{"ssn":["***89"],"lessn":"123456789"}"#),
        (
            r#"{"phone":"none","microphone":"12","session":"123456789"}"#,
            r#"{"phone":"none","microphone":"12","session":"123456789"}"#,
        ),
    ] {
        let redacted = mask.redact_json(json).unwrap();
        assert_eq!(redacted.text, expected);
        assert_eq!(mask.redact_json(&redacted.text).unwrap().text, expected);
        assert!(json == expected || !mask.is_clean(json.as_bytes()), "{json}");
    }
}

#[test]
fn a_secret_stays_a_secret_and_only_the_named_class_goes() {
    let email = Redactor::new([7; 32]).with_policies(Policies::default().with(Class::Email, Policy::Drop));
    assert_eq!(
        email.redact_text("jane@example.com 4111111111111111").text,
        "<redacted:email> 4111111111111111"
    );
    let text = email.redact_text("https://u:pa55word@example.com/x").text.into_owned();
    assert!(text.contains("<redacted:url_password:") && !text.contains("pa55"), "{text}");
    let text = email.redact_text("password=jane@example.com").text.into_owned();
    assert!(text.starts_with("password=<redacted:"), "{text}");
    let encoded = email.redact_text("https://h/?to=jane%40example.com&x=1").text.into_owned();
    assert_eq!(encoded, "https://h/?to=<redacted:email>&x=1");
}

#[test]
fn keys_stay_different_from_one_another() {
    for policy in [Policy::Mask, Policy::Drop] {
        let redactor = redactor(policy);
        let json = r#"{"10.0.0.1":"up","10.0.0.2":"down","10.0.0.3":1,"a@example.com":2,"ab@example.com":3}"#;
        let redacted = redactor.redact_json(json).unwrap().text.into_owned();
        let parsed: std::collections::BTreeMap<String, serde_json::Value> =
            serde_json::from_str(&redacted).unwrap();
        assert_eq!(parsed.len(), 5, "{redacted}");
        assert!(!redacted.contains("10.0.0.1") && !redacted.contains("\"ab@"), "{redacted}");
        assert_eq!(redactor.redact_json(&redacted).unwrap().text, redacted);
    }
}

#[test]
fn nothing_is_left_of_what_is_dropped_in_an_encoding() {
    use base64::Engine as _;
    let encoded =
        base64::engine::general_purpose::STANDARD.encode("write to Alice at alice@example.com for more");
    assert_eq!(redactor(Policy::Drop).redact_text(&encoded).text, "<redacted:email>");
}

#[test]
fn a_cards_stripe_and_an_international_domain_are_found() {
    let mask = redactor(Policy::Mask);
    let stripe = "%B4111111111111111^DOE/JOHN^25121010000000";
    assert_eq!(redact(&mask, stripe), "%B****1111^DOE/JOHN^25121010000000");
    assert_eq!(redact(&mask, "user@xn--80a1acny.xn--p1ai"), "u***@xn--80a1acny.xn--p1ai");
}

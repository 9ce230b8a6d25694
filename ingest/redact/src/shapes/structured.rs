//! Secrets with a structure of their own: parts between dots and dashes, texts around them that show where they are.

use super::Check::{BasicPair, EndsThere, Mixed, NoWords, Opaque, Password, Random};
use super::{Anchor, Check, Shape};
use crate::bytes::Set;
use crate::bytes::Set::{Alphanumeric, Any, Hex, HexAnyCase, Unreserved, Word};

const fn token(literal: &'static str, body: Set, body_bytes_min: usize) -> Anchor {
    Anchor { literal, any_case: true, boundary: true, body, body_bytes_min }
}

const fn exact(literal: &'static str, body: Set, body_bytes_min: usize) -> Anchor {
    Anchor { literal, any_case: false, boundary: true, body, body_bytes_min }
}

const fn inner(literal: &'static str, body: Set, body_bytes_min: usize) -> Anchor {
    Anchor { literal, any_case: true, boundary: false, body, body_bytes_min }
}

const fn shape(
    class: &'static str,
    anchors: &'static [Anchor],
    expression: &'static str,
    check: Check,
) -> Shape {
    Shape { class, anchors, expression, check, whole: 0 }
}

/// With the length from which it counts in another case than its own.
const fn cased(
    class: &'static str,
    anchors: &'static [Anchor],
    expression: &'static str,
    check: Check,
    whole: usize,
) -> Shape {
    Shape { class, anchors, expression, check, whole }
}

/// All of them; where two overlap, the first names the class.
#[rustfmt::skip]
pub(super) const STRUCTURED: &[Shape] = &[
    // Microsoft Entra client secret.
    cased("azure_client_secret", &[inner("7Q~", Unreserved, 10), inner("8Q~", Unreserved, 10)],
        r"[0-9A-Za-z_~.-]{3}[78]Q~[0-9A-Za-z_~.-]{10,34}", Random, 37),
    // Google refresh token; slashes in JSON may have backslashes, so the prefilter looks for these apart.
    shape("gcp_refresh_token", &[exact("1//0", Word, 20)], "1//0[0-9A-Za-z_-]{20,}", Random),
    // Cloudflare's origin CA key.
    cased("cloudflare_key", &[token("v1.0-", HexAnyCase, 24)], r"v1\.0-[0-9a-f]{24}-[0-9a-f]{8,}", Check::Any, 100),
    // Slack incoming webhook and workflow trigger: who knows the address may post.
    shape("slack_webhook", &[inner("hooks.slack", Any, 16)],
        r"(?i:hooks\.slack\.com/(?:services|workflows|triggers)/)(?P<secret>[0-9A-Za-z+/_-]{8,})", Check::Any),
    // Discord webhook: who knows the address may post.
    shape("discord_webhook", &[inner("webhooks", Any, 20)],
        r"(?i:discord(?:app)?\.com/api/(?:v[0-9]+/)?webhooks/[0-9]{10,}/)(?P<secret>[0-9A-Za-z_-]{8,})", Check::Any),
    // Microsoft Teams incoming webhook.
    shape("teams_webhook", &[inner("incomingwebhook", Any, 9)],
        r"(?i:webhookb?2?/[0-9a-z@_-]{8,}/IncomingWebhook/)(?P<secret>[0-9A-Za-z/_-]{8,})", Check::Any),
    // Telegram bot token: bot id, colon, secret.
    cased("telegram_bot_token", &[inner(":AA", Word, 10)], "[0-9]{8,10}:AA[0-9A-Za-z_-]{10,33}", Random, 43),
    // Twilio API key and account identifiers.
    shape("twilio_key", &[exact("SK", Hex, 16), exact("AC", Hex, 16)],
        "(?:(?:SK|AC)[0-9a-f]{16,32}|(?i:SK|AC)(?:[0-9a-f]{32}|[0-9A-F]{32}))", EndsThere),
    // SendGrid API key.
    cased("sendgrid_key", &[token("SG.", Word, 16)], r"SG\.[0-9A-Za-z_-]{16,32}(?:\.[0-9A-Za-z_-]{0,64})?", Mixed, 60),
    // Mailchimp key with its data centre.
    shape("mailchimp_key", &[inner("-us", Hex, 1)], "(?i:[0-9a-f]{32}-us)[0-9]{1,2}", Check::Any),
    // Resend key.
    cased("resend_key", &[token("re_", Alphanumeric, 8)], "re_[0-9A-Za-z]{8}_[0-9A-Za-z]{6,}", Mixed, 36),
    // Braintree and PayPal access token.
    shape("braintree_token", &[inner("access_token$", Any, 20)],
        r"(?i:access_token\$(?:production|sandbox)\$[0-9a-z]{4,}(?:\$[0-9a-z]*)?)", Check::Any),
    // Plaid access token.
    shape("plaid_token", &[token("access-production-", HexAnyCase, 8), token("access-development-", HexAnyCase, 8), token("access-sandbox-", HexAnyCase, 8)],
        "(?i:access-(?:production|development|sandbox)-[0-9a-f-]{8,36})", Check::Any),
    // Terraform Cloud token.
    shape("terraform_token", &[inner(".atlasv1.", Any, 4)], r"(?i:[0-9a-z]{14}\.atlasv1\.[0-9a-z_=-]{4,})", Check::Any),
    // Harness token; Airtable token; Octopus key; 1Password key.
    shape("harness_token", &[token("pat.", Any, 20)], r"(?i:pat\.[0-9a-z_-]{22}\.[0-9a-f]{6,24}(?:\.[0-9a-z]*)?)", Check::Any),
    cased("airtable_token", &[token("pat", Alphanumeric, 14)], r"pat[0-9A-Za-z]{14}\.[0-9a-f]{8,64}", Check::Any, 70),
    cased("octopus_key", &[token("API-", Alphanumeric, 12)], "API-[0-9A-Z]{12,}", NoWords, 30),
    cased("onepassword_key", &[token("A3-", Alphanumeric, 6)],
        "A3-[0-9A-Z]{6}-[0-9A-Z]{5,11}(?:-[0-9A-Z]{1,6}){0,4}", Random, 34),
    // X's (Twitter's) bearer token.
    cased("twitter_token", &[token("AAAAAAAAAAAAAAAAAAAA", Any, 30)], "A{20}[0-9A-Za-z%]{10,}", Random, 60),
    // Okta token.
    cased("okta_token", &[token("00", Word, 40)], "00[0-9A-Za-z][0-9A-Za-z_-]{39}", Mixed, 42),
    // Signed or encrypted JSON web token; also cut after its second part.
    cased("jwt", &[token("eyJ", Word, 10)],
        r"eyJ[0-9A-Za-z_-]{10,}\.[0-9A-Za-z_-]{10,}(?:\.[0-9A-Za-z_-]*){0,3}", Check::Any, 60),
    // One that was cut before that, told by how its header begins.
    cased("jwt", &[token("eyJhbGciOi", Word, 6), token("eyJ0eXAiOi", Word, 6), token("eyJraWQiOi", Word, 6), token("eyJlbmMiOi", Word, 6), token("eyJ4NXQiOi", Word, 6)],
        r"eyJ(?:hbGci|0eXAi|raWQi|lbmMi|4NXQi)Oi[0-9A-Za-z_-]{6,}(?:\.[0-9A-Za-z_-]*){0,4}", Check::Any, 16),
    // Credential after its scheme, in text.
    shape("bearer", &[token("bearer", Any, 0)], r"(?i:bearer)[ \t]+(?P<secret>[0-9A-Za-z._~+/=-]{8,})", Opaque),
    // User and password in base64 after the scheme of HTTP basic authentication.
    shape("basic_auth", &[token("basic", Any, 0)], r"(?i:basic)[ \t]+(?P<secret>[0-9A-Za-z+/_-]{6,}={0,2})", BasicPair),
    // PEM private key of any kind (also Google service accounts'), to its end line or, where that is cut off, to the text's end.
    shape("private_key", &[inner("-----BEGIN", Any, 0)],
        r"(?is)-----BEGIN (?:[0-9A-Z]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----(?:.*?-----END (?:[0-9A-Z]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----|.*)", Check::Any),
    // User and password of a request, as curl takes them.
    shape("password", &[inner("curl ", Any, 0)],
        r#"(?i:curl) (?:[^\r\n]*?[ \t])?(?:-[A-Za-z]*[uU]|--(?i:(?:proxy-)?user))[ \t=]*\\*["']?[^\s"':@/\\]+:(?P<secret>(?:[^\s"'\\]|\\[^\s"'])+)"#, Check::Any),
    // The password of a MySQL client, glued to its flag, and of sshpass.
    shape("password", &[token("mysql ", Any, 2), token("mysqldump ", Any, 2), token("mysqladmin ", Any, 2), token("mariadb ", Any, 2), token("mariadb-dump ", Any, 2)],
        r#"(?i:mysql|mysqldump|mysqladmin|mariadb|mariadb-dump) (?:[^\r\n|;]*?[ \t])?-[pP]\\*["']?(?P<secret>[^\s"'\\]+)"#, Check::Any),
    shape("password", &[token("sshpass ", Any, 2)], r#"(?i:sshpass) (?:-[A-Za-z]+ )*?-[pP][ \t]*\\*["']?(?P<secret>[^\s"'\\]+)"#, Check::Any),
    // The flag and the variable of a password, which are counts as often; OpenSSL's source of one.
    shape("password", &[inner("--pass ", Any, 6), inner("--pass=", Any, 6), exact("PASS=", Any, 6)],
        r#"(?:(?i:--pass)[ =]|PASS=)\\*["']?(?P<secret>[^\s"'\\,;&]{6,})"#, Password),
    shape("password", &[inner("-passin pass:", Any, 1), inner("-passout pass:", Any, 1), inner("-pass pass:", Any, 1)],
        r#"(?i:-pass(?:in|out)? pass:)(?P<secret>[^\s"'\\]+)"#, Check::Any),
    // SQL that makes a user.
    shape("password", &[token("identified by ", Any, 1), token("identified as ", Any, 1)],
        r#"(?i:identified (?:by|as) (?:password )?)\\*["'](?P<secret>[^"'\\]+)"#, Check::Any),
    // The address of a database as Go's driver of MySQL writes it.
    shape("password", &[inner("@tcp(", Any, 1), inner("@unix(", Any, 1), inner("@udp(", Any, 1)],
        r#"[0-9A-Za-z_.-]+:(?P<secret>[^\s"'/\\@]+)@(?i:tcp|unix|udp)\("#, Check::Any),
    // A line of PostgreSQL's password file: host, port, database, user, password.
    shape("password", &[inner(":5432:", Any, 3), inner(":6432:", Any, 3), inner(":5433:", Any, 3)],
        r#"[0-9A-Za-z_.*-]+:[56]43[23]:[^\s:"'\\]+:[^\s:"'\\]+:(?P<secret>[^\s"'\\]+)"#, Check::Any),
];

//! Secrets made up for tests: assembled here, so that no scanner of sources takes this file for a leak.

use crate::bytes::Set;
use crate::shapes::PREFIXES;

const LOWER: &str = "k3x9q7w2m5z8r4t6y1u0pasdfghjlcvbn";
const MIXED: &str = "aB3dE5fG7hJ9kL2mN4pQ6rS8tU1vW0xYz";
const UPPER: &str = "Q3ER5TY7UIOP2ASDF6GHJKL4ZXCVBNM";
const HEX: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f9";

fn body(alphabet: &str, len: usize) -> String {
    alphabet.chars().cycle().take(len).collect()
}

/// (class, the secret, a near-miss: its first letters alone).
pub(super) fn shapes() -> Vec<(&'static str, String, String)> {
    let mut all = Vec::new();
    let mut push = |class, secret: String| {
        let near = secret.chars().take(NEAR_CHARACTERS).collect();
        all.push((class, secret, near));
    };
    for row in PREFIXES {
        let alphabet = match row.body {
            Set::Hex => HEX,
            Set::Upper => UPPER,
            _ => MIXED,
        };
        for literal in row.literals {
            push(row.class, format!("{literal}{}", body(alphabet, row.whole)));
            // Cut off as far as it may be.
            push(row.class, format!("{literal}{}", body(alphabet, row.cut.max(CUT_CHARACTERS))));
        }
    }
    let uuid = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9";
    for (class, secret) in [
        ("azure_client_secret", format!("abc8Q~{}", body(MIXED, 31))),
        ("azure_client_secret", format!("abc7Q~{}", body(MIXED, 12))),
        ("gcp_refresh_token", format!("1//0{}", body(MIXED, 60))),
        ("cloudflare_key", format!("v1.0-{}-{}", body(HEX, 24), body(HEX, 146))),
        ("sendgrid_key", format!("SG.{}.{}", body(MIXED, 22), body(MIXED, 43))),
        ("telegram_bot_token", format!("123456789:AA{}", body(MIXED, 32))),
        ("twilio_key", format!("SK{}", body(HEX, 32))),
        ("twilio_key", format!("AC{}", body(HEX, 32))),
        ("mailchimp_key", format!("{}-us12", body(HEX, 32))),
        ("resend_key", format!("re_{}_{}", body(MIXED, 8), body(MIXED, 24))),
        ("braintree_token", format!("access_token$production${}${}", body(HEX, 16), body(HEX, 32))),
        ("plaid_token", format!("access-production-{uuid}")),
        ("plaid_token", format!("access-development-{uuid}")),
        ("plaid_token", format!("access-sandbox-{uuid}")),
        ("terraform_token", format!("{}.atlasv1.{}", body(MIXED, 14), body(MIXED, 60))),
        ("harness_token", format!("pat.{}.{}.{}", body(MIXED, 22), body(HEX, 24), body(MIXED, 20))),
        ("airtable_token", format!("pat{}.{}", body(MIXED, 14), body(HEX, 64))),
        ("octopus_key", format!("API-{}", body(UPPER, 26))),
        ("onepassword_key", format!("A3-{}-{}-Q3ER5-TY7UI-OP2AS", body(UPPER, 6), body(UPPER, 11))),
        ("twitter_token", format!("{}{}", "A".repeat(20), body(MIXED, 60))),
        ("okta_token", format!("00{}", body(MIXED, 40))),
        ("jwt", format!("eyJhbGciOiJIUzI1NiJ9.eyJzd{}", body(MIXED, 5))),
        ("jwt", format!("eyJhbGciOi{}", body(MIXED, 8))),
        ("jwt", format!("eyJ0eXAiOi{}", body(MIXED, 8))),
        ("jwt", format!("eyJraWQiOi{}", body(MIXED, 8))),
        ("jwt", format!("eyJlbmMiOi{}", body(MIXED, 8))),
        ("jwt", format!("eyJ4NXQiOi{}", body(MIXED, 8))),
        ("discord_bot_token", format!("MTIzNDU2Nzg5MDEyMzQ1Njc4.{}.{}", body(MIXED, 6), body(MIXED, 27))),
    ] {
        push(class, secret);
    }
    all
}

/// Letters that are too few for any shape.
const NEAR_CHARACTERS: usize = 8;
/// Letters of [`MIXED`] among which there are digits and both cases.
const CUT_CHARACTERS: usize = 10;

/// (class, a text around a secret, the secret in it) for shapes of which a part is kept.
pub(super) fn contexts() -> Vec<(&'static str, String, String)> {
    let mut all = Vec::new();
    let mut push = |class, head: &str, secret: String, tail: &str| {
        all.push((class, format!("{head}{secret}{tail}"), secret));
    };
    push("slack_webhook", "https://hooks.slack.com/services/", body(MIXED, 24), "");
    push("discord_webhook", "https://discord.com/api/webhooks/1234567890123/", body(MIXED, 60), "");
    push("bearer", "Bearer ", body(LOWER, 20), " ok");
    push("basic_auth", "sent Basic ", ["dXNlcjpw", "YXNzd29yZA=="].concat(), "");
    push("url_password", "postgres://app:", body(LOWER, 9), "@db.internal:5432/x");
    push("url_password", "redis://:", body(MIXED, 9), "@cache");
    push("password", "password=", body(LOWER, 9), "");
    push("password", "my pwd: ", body(LOWER, 9), ", ok");
    push("password", "Server=x;Password=", body(LOWER, 9), ";Timeout=3");
    push("secret", "secret = '", body(LOWER, 9), "'");
    push("token", "https://x.example/a?b=1&access_token=", body(LOWER, 12), "&c=2");
    push("signature", "https://x.example/a?sv=2020&sig=", "aB%2Fc3d%3D".into(), "&se=1");
    push("signature", "https://x.example/a?X-Amz-Signature=", body(HEX, 64), "");
    push("api_key", "?api_key=", body(LOWER, 12), "");
    push(
        "azure_account_key",
        "AccountName=x;AccountKey=",
        format!("{}==", body(MIXED, 86)),
        ";EndpointSuffix=y",
    );
    push("aws_secret_access_key", "aws_secret_access_key = ", body(MIXED, 40), "");
    push("authorization", "authorization: ", body(LOWER, 12), "");
    push("cookie", "Cookie: ", "a=b; c=d".into(), "");
    push("token", "run --token ", body(LOWER, 12), " --verbose");
    push("password", "{\\\"password\\\": \\\"", body(LOWER, 12), "\\\"}");
    push(
        "teams_webhook",
        "https://x.webhook.office.com/webhookb2/aaaa-bb@cc/IncomingWebhook/",
        body(HEX, 32),
        " ok",
    );
    push("password", "mysqldump -h db -u root -p", body(LOWER, 9), " orders");
    push("password", "mysql -p'", body(LOWER, 9), "' orders");
    push("password", "mysqladmin -p", body(LOWER, 9), " ping");
    push("password", "mariadb -uroot -p", body(LOWER, 9), " ping");
    push("password", "mariadb-dump -p", body(LOWER, 9), " ping");
    push("password", "sshpass -p ", body(LOWER, 9), " ssh h");
    push("password", "sshpass -v -p'", body(LOWER, 9), "' ssh h");
    push("password", "restic --pass ", body(LOWER, 9), " ls");
    push("password", "restic --pass=", body(LOWER, 9), " ls");
    push("password", "PASS=", body(LOWER, 9), " ./run");
    push("password", "openssl rsa -passin pass:", body(LOWER, 9), " -x");
    push("password", "openssl rsa -passout pass:", body(LOWER, 9), " -x");
    push("password", "openssl enc -pass pass:", body(LOWER, 9), " -x");
    push("password", "CREATE USER u IDENTIFIED BY '", body(LOWER, 9), "' x");
    push("password", "CREATE USER u IDENTIFIED AS '", body(LOWER, 9), "' x");
    push("password", "app:", body(LOWER, 9), "@tcp(db:3306)/x");
    push("password", "app:", body(LOWER, 9), "@unix(/run/x)/x");
    push("password", "app:", body(LOWER, 9), "@udp(db)/x");
    push("password", "db:5432:x:app:", body(LOWER, 9), " ok");
    push("password", "db:5433:x:app:", body(LOWER, 9), " ok");
    push("password", "*:6432:*:app:", body(LOWER, 9), " ok");
    push("password", "curl -u a:", body(LOWER, 9), " https://h");
    push("url_password", "postgres://app:", body(LOWER, 9), "");
    push("password", "the password is ", body(LOWER, 9), " now");
    push("token", "your token is ", body(LOWER, 20), ", keep it");
    push("api_key", "algolia_admin_key = ", body(HEX, 32), "");
    push("secret", "api_key_prod=", body(LOWER, 20), " x");
    push("credential", "\"auth\": \"", body(MIXED, 24), "\" }");
    push("password", "<password>", body(LOWER, 9), "");
    push("password", "WITH PASSWORD '", body(LOWER, 9), "");
    push("private_key", "", private_key("\n"), " after");
    push("private_key", "", private_key("\\n"), "");
    all
}

fn private_key(line_end: &str) -> String {
    let kind = "PRIVATE KEY";
    format!("-----BEGIN RSA {kind}-----{line_end}{}{line_end}-----END RSA {kind}-----", body(MIXED, 64))
}

//! Secrets that are known by their shape, wherever they stand: one row a shape.
//!
//! Each row gives the anchors (what the prefilter looks for; a match of the expression must contain one) and the expression
//! that finds the whole secret. A secret with a left boundary is not preceded by a letter or digit, and every match is
//! stretched over the letters and digits that follow it, so that nothing glued to a secret is left behind.

use regex::Regex;

use crate::bytes::Set;

/// One shape.
#[derive(Debug)]
pub(crate) struct Shape {
    /// Class, as in the marker and in an event's `redactions`.
    pub class: &'static str,
    /// Literals of which each match contains one.
    pub anchors: &'static [Anchor],
    /// The secret. A group named `secret` narrows what is replaced.
    pub expression: &'static str,
    /// What the expression cannot say.
    pub check: Check,
}

/// A literal in a shape, with what must follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Anchor {
    /// At least three bytes (two if `body` is a set of hexadecimal digits).
    pub literal: &'static str,
    /// True when letter case does not matter.
    pub any_case: bool,
    /// True when the literal begins the secret, so that no letter or digit runs into it.
    pub boundary: bool,
    /// The bytes that follow the literal.
    pub body: Set,
    /// How many of them there are at least.
    pub body_bytes_min: usize,
}

/// A condition on a match beside its expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// None.
    None,
    /// No letter or digit follows: digests and identifiers of other lengths are not meant.
    EndsThere,
    /// It holds a digit: words joined by dashes are not meant.
    HasDigit,
    /// It is long or holds a digit: prose ("bearer authentication") is not meant.
    Opaque,
    /// It is base64 of `user:password`.
    BasicPair,
}

const fn token(literal: &'static str, body: Set, body_bytes_min: usize) -> Anchor {
    Anchor { literal, any_case: false, boundary: true, body, body_bytes_min }
}

const fn inner(literal: &'static str, body: Set, body_bytes_min: usize) -> Anchor {
    Anchor { literal, any_case: false, boundary: false, body, body_bytes_min }
}

const fn word(literal: &'static str) -> Anchor {
    Anchor { literal, any_case: true, boundary: true, body: Any, body_bytes_min: 0 }
}

const fn shape(
    class: &'static str,
    anchors: &'static [Anchor],
    expression: &'static str,
    check: Check,
) -> Shape {
    Shape { class, anchors, expression, check }
}

use Check::{BasicPair, EndsThere, HasDigit, Opaque};
use Set::{Alphanumeric, Any, Hex, HexAnyCase, Unreserved, Upper, Word};

/// All shapes; where two overlap, the first names the class.
#[rustfmt::skip]
pub(crate) const SHAPES: &[Shape] = &[
    // Amazon Web Services access key id (long-lived AKIA, temporary ASIA, bearer ABIA, context ACCA).
    shape("aws_access_key_id", &[token("AKIA", Upper, 16), token("ASIA", Upper, 16), token("ABIA", Upper, 16), token("ACCA", Upper, 16)],
        "A(?:KIA|SIA|BIA|CCA)[A-Z0-9]{16}", EndsThere),
    // Google Cloud and Firebase API key.
    shape("gcp_api_key", &[token("AIza", Word, 35)], "AIza[0-9A-Za-z_-]{35}", Check::None),
    // Google OAuth client secret.
    shape("gcp_client_secret", &[token("GOCSPX-", Word, 28)], "GOCSPX-[0-9A-Za-z_-]{28}", Check::None),
    // Google OAuth access token.
    shape("gcp_access_token", &[token("ya29.", Word, 20)], r"ya29\.[0-9A-Za-z_-]{20,}", Check::None),
    // Microsoft Entra client secret.
    shape("azure_client_secret", &[inner("7Q~", Unreserved, 31), inner("8Q~", Unreserved, 31)],
        r"[0-9A-Za-z_~.-]{3}[78]Q~[0-9A-Za-z_~.-]{31,34}", Check::None),
    // GitHub personal, OAuth, user-to-server, server-to-server and refresh token.
    shape("github_token", &[token("ghp_", Word, 36), token("gho_", Word, 36), token("ghu_", Word, 36), token("ghs_", Word, 36), token("ghr_", Word, 36)],
        "gh[pousr]_[0-9A-Za-z_]{36,}", Check::None),
    // GitHub fine-grained personal access token.
    shape("github_token", &[token("github_pat_", Word, 22)], "github_pat_[0-9A-Za-z_]{22,}", Check::None),
    // GitLab personal, deploy, runner, job, trigger, feed, mail, agent and OAuth tokens.
    shape("gitlab_token", &[token("glpat-", Word, 20), token("gldt-", Word, 20), token("glrt-", Word, 20), token("glcbt-", Word, 20),
            token("glptt-", Word, 20), token("glft-", Word, 20), token("glimt-", Word, 20), token("glagent-", Word, 20), token("gloas-", Word, 20)],
        "gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas)-[0-9A-Za-z_-]{20,}", Check::None),
    // Slack bot, user, app, refresh and configuration tokens.
    shape("slack_token", &[token("xoxb-", Word, 10), token("xoxp-", Word, 10), token("xoxa-", Word, 10), token("xoxr-", Word, 10),
            token("xoxs-", Word, 10), token("xoxe-", Word, 10), token("xoxe.", Word, 4), token("xoxc-", Word, 10), token("xoxd-", Word, 10), token("xapp-", Word, 20)],
        r"(?:xox[bparscd]-[0-9A-Za-z-]{10,}|xoxe(?:\.xox[bp])?-[0-9A-Za-z-]{10,}|xapp-[0-9A-Za-z-]{20,})", HasDigit),
    // Slack incoming webhook and workflow trigger: who knows the address may post.
    shape("slack_webhook", &[inner("hooks.slack", Any, 24)],
        r"hooks\.slack\.com/(?:services|workflows|triggers)/(?P<secret>[0-9A-Za-z+/_-]{20,})", Check::None),
    // Discord webhook: who knows the address may post.
    shape("discord_webhook", &[inner("webhooks", Any, 20)],
        r"discord(?:app)?\.com/api/(?:v[0-9]+/)?webhooks/[0-9]{10,}/(?P<secret>[0-9A-Za-z_-]{30,})", Check::None),
    // Stripe secret and restricted keys, live and test.
    shape("stripe_key", &[token("sk_live_", Alphanumeric, 10), token("sk_test_", Alphanumeric, 10), token("rk_live_", Alphanumeric, 10), token("rk_test_", Alphanumeric, 10)],
        "[sr]k_(?:live|test)_[0-9A-Za-z]{10,}", Check::None),
    // Stripe webhook signing secret.
    shape("stripe_webhook_secret", &[token("whsec_", Any, 24)], "whsec_[0-9A-Za-z+/=]{24,}", Check::None),
    // Anthropic API and admin key.
    shape("anthropic_key", &[token("sk-ant-", Word, 20)], "sk-ant-[0-9A-Za-z_-]{20,}", HasDigit),
    // OpenAI key (user, project, service account, admin) and the many services that took over the form.
    shape("openai_key", &[token("sk-", Word, 20)], "sk-[0-9A-Za-z_-]{20,}", HasDigit),
    // npm access token.
    shape("npm_token", &[token("npm_", Alphanumeric, 36)], "npm_[0-9A-Za-z]{36}", Check::None),
    // PyPI upload token (a macaroon).
    shape("pypi_token", &[token("pypi-", Word, 50)], "pypi-[0-9A-Za-z_-]{50,}", Check::None),
    // RubyGems API key.
    shape("rubygems_key", &[token("rubygems_", Hex, 48)], "rubygems_[0-9a-f]{48}", Check::None),
    // Hugging Face user and organisation token.
    shape("huggingface_token", &[token("hf_", Alphanumeric, 30)], "hf_[0-9A-Za-z]{30,}", Check::None),
    // Replicate, Groq, xAI and Perplexity keys.
    shape("model_provider_key", &[token("r8_", Alphanumeric, 37), token("gsk_", Alphanumeric, 40), token("xai-", Alphanumeric, 60), token("pplx-", Alphanumeric, 40)],
        "(?:r8_[0-9A-Za-z]{37,}|gsk_[0-9A-Za-z]{40,}|xai-[0-9A-Za-z]{60,}|pplx-[0-9A-Za-z]{40,})", Check::None),
    // DigitalOcean personal, OAuth and refresh token.
    shape("digitalocean_token", &[token("dop_v1_", Hex, 64), token("doo_v1_", Hex, 64), token("dor_v1_", Hex, 64)],
        "do[opr]_v1_[0-9a-f]{64}", Check::None),
    // Twilio API key and account identifiers.
    shape("twilio_key", &[token("SK", Hex, 32), token("AC", Hex, 32)], "(?:SK|AC)[0-9a-f]{32}", EndsThere),
    // SendGrid API key.
    shape("sendgrid_key", &[token("SG.", Word, 16)], r"SG\.[0-9A-Za-z_-]{16,32}\.[0-9A-Za-z_-]{16,64}", Check::None),
    // Mailgun private key.
    shape("mailgun_key", &[token("key-", Hex, 32)], "key-[0-9a-f]{32}", EndsThere),
    // Telegram bot token: bot id, colon, secret.
    shape("telegram_bot_token", &[inner(":AA", Word, 32)], "[0-9]{8,10}:AA[0-9A-Za-z_-]{32,33}", Check::None),
    // Signed or encrypted JSON web token; also cut after its second part.
    shape("jwt", &[token("eyJ", Word, 10)],
        r"eyJ[0-9A-Za-z_-]{10,}\.[0-9A-Za-z_-]{10,}(?:\.[0-9A-Za-z_-]*){0,3}", Check::None),
    // Credential after its scheme, in text.
    shape("bearer", &[word("bearer")], r"(?i:bearer)[ \t]+(?P<secret>[0-9A-Za-z._~+/=-]{8,})", Opaque),
    // User and password in base64 after the scheme of HTTP basic authentication.
    shape("basic_auth", &[word("basic")], r"(?i:basic)[ \t]+(?P<secret>[0-9A-Za-z+/_-]{6,}={0,2})", BasicPair),
    // PEM private key of any kind (also Google service accounts'), to its end line or, where that is cut off, to the text's end.
    shape("private_key", &[inner("-----BEGIN", Any, 0)],
        r"(?s)-----BEGIN (?:[0-9A-Z]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----(?:.*?-----END (?:[0-9A-Z]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----|.*)", Check::None),
    // age identity.
    shape("age_secret_key", &[token("AGE-SECRET-KEY-", Upper, 50)], "AGE-SECRET-KEY-1[0-9A-Z]{50,}", Check::None),
    // Shopify admin, custom app, private app and shared secrets.
    shape("shopify_token", &[token("shpat_", HexAnyCase, 32), token("shpca_", HexAnyCase, 32), token("shppa_", HexAnyCase, 32), token("shpss_", HexAnyCase, 32)],
        "shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}", Check::None),
    // User and password of a request, as curl takes them.
    shape("password", &[inner("curl ", Any, 0)],
        r#"curl [^\r\n]*?[ \t](?:-[A-Za-z]*[uU]|--(?:proxy-)?user)[ \t=]*\\*["']?[^\s"':@/\\]+:(?P<secret>(?:[^\s"'\\]|\\[^\s"'])+)"#, Check::None),
    // Databricks personal access token.
    shape("databricks_token", &[token("dapi", Hex, 32)], "dapi[0-9a-f]{32}(?:-[0-9])?", EndsThere),
    // HashiCorp Vault service, batch and recovery token.
    shape("vault_token", &[token("hvs.", Word, 20), token("hvb.", Word, 20), token("hvr.", Word, 20)], r"hv[sbr]\.[0-9A-Za-z_-]{20,}", Check::None),
    // This product's own API token.
    shape("tacho_token", &[token("tacho_", Word, 40)], "tacho_[0-9A-Za-z_-]{40,}", Check::None),
    // Grafana service account token and cloud key.
    shape("grafana_token", &[token("glsa_", Alphanumeric, 32), token("glc_", Any, 32)], "(?:glsa_[0-9A-Za-z]{32}_[0-9A-Fa-f]{8}|glc_[0-9A-Za-z+/]{32,}={0,3})", Check::None),
    // Postman API key.
    shape("postman_key", &[token("PMAK-", Hex, 24)], "PMAK-[0-9a-f]{24}-[0-9a-f]{34}", Check::None),
    // Docker Hub access token.
    shape("docker_token", &[token("dckr_pat_", Word, 20)], "dckr_pat_[0-9A-Za-z_-]{20,}", Check::None),
    // Atlassian API token.
    shape("atlassian_token", &[token("ATATT3", Any, 60)], "ATATT3[0-9A-Za-z_=-]{60,}", Check::None),
    // Linear API key.
    shape("linear_key", &[token("lin_api_", Alphanumeric, 32)], "lin_api_[0-9A-Za-z]{32,}", Check::None),
    // Notion integration secret.
    shape("notion_token", &[token("ntn_", Alphanumeric, 40)], "ntn_[0-9A-Za-z]{40,}", HasDigit),
    // New Relic user key.
    shape("newrelic_key", &[token("NRAK-", Upper, 27)], "NRAK-[0-9A-Z]{27}", Check::None),
    // Pulumi access token.
    shape("pulumi_token", &[token("pul-", Hex, 40)], "pul-[0-9a-f]{40}", EndsThere),
    // Supabase access token.
    shape("supabase_token", &[token("sbp_", Hex, 40)], "sbp_[0-9a-f]{40}", EndsThere),
    // Tailscale key.
    shape("tailscale_key", &[token("tskey-", Word, 16)], "tskey-[a-z]+-[0-9A-Za-z-]{12,}", HasDigit),
];

/// Class of a Discord bot token; found by the form of its first part, the base64 of the bot's decimal id, not by a literal.
pub(crate) const DISCORD_BOT_CLASS: &str = "discord_bot_token";
pub(crate) const DISCORD_BOT_EXPRESSION: &str =
    r"[MNO][DTjz][AEIMQUYcgk][w-z0-5][0-9A-Za-z_-]{19,24}\.[0-9A-Za-z_-]{6}\.[0-9A-Za-z_-]{27,}";

/// The expressions of [`SHAPES`], compiled, in the same order; the Discord bot token's comes last.
pub(crate) struct Matchers(Vec<Matcher>);

struct Matcher {
    class: &'static str,
    check: Check,
    expression: Regex,
}

/// A secret found: where, which class, and its rank (the lower names an overlap).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub start: usize,
    pub end: usize,
    pub class: &'static str,
    pub rank: usize,
}

impl Matchers {
    pub(crate) fn new() -> Matchers {
        let mut matchers: Vec<Matcher> = SHAPES
            .iter()
            .map(|shape| {
                let boundary = shape.anchors.iter().any(|anchor| anchor.boundary);
                Matcher::new(shape.class, shape.expression, shape.check, boundary)
            })
            .collect();
        matchers.push(Matcher::new(DISCORD_BOT_CLASS, DISCORD_BOT_EXPRESSION, Check::None, true));
        Matchers(matchers)
    }

    /// All secrets of shape number `rank`.
    pub(crate) fn find(&self, rank: usize, text: &str, spans: &mut Vec<Span>) {
        if let Some(matcher) = self.0.get(rank) {
            matcher.find(rank, text, spans);
        }
    }
}

impl Matcher {
    /// The expressions are constants of this file and each is compiled by the tests.
    fn new(class: &'static str, expression: &str, check: Check, boundary: bool) -> Matcher {
        // What stands before is part of the match, so that a refused match cannot hide a later one; the group leaves it out.
        // As in `bytes::token_boundary`, the letter of an escape that the text shows is no part of the word after it.
        let prefix = if boundary { r"(?:^|[^0-9A-Za-z]|\\[bfnrt])" } else { "" };
        let open = if expression.contains("(?P<secret>") { "(?:" } else { "(?P<secret>" };
        let expression =
            Regex::new(&format!("{prefix}{open}{expression})")).expect("expression of a shape compiles");
        Matcher { class, check, expression }
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
        let has_digit = || secret.bytes().any(|byte| byte.is_ascii_digit());
        let holds = match self.check {
            Check::None => true,
            EndsThere => tail == 0,
            HasDigit => has_digit(),
            Opaque => has_digit() || secret.len() >= 24,
            BasicPair => is_basic_pair(secret),
        };
        if holds {
            spans.push(Span { start, end: end + tail, class: self.class, rank });
        }
    }
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

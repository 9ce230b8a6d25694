//! Secrets made up for tests: assembled here, so that no scanner of sources takes this file for a leak.

const LOWER: &str = "k3x9q7w2m5z8r4t6y1u0pasdfghjlcvbn";
const MIXED: &str = "aB3dE5fG7hJ9kL2mN4pQ6rS8tU1vW0xYz";
const UPPER: &str = "Q3ER5TY7UIOP2ASDF6GHJKL4ZXCVBNM";
const HEX: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f9";

fn body(alphabet: &str, len: usize) -> String {
    alphabet.chars().cycle().take(len).collect()
}

/// (class, the secret, a near-miss of the same shape).
pub(super) fn shapes() -> Vec<(&'static str, String, String)> {
    let mut all = Vec::new();
    let mut push = |class, head: &str, alphabet: &str, len: usize| {
        // One character short of the shape.
        all.push((
            class,
            format!("{head}{}", body(alphabet, len)),
            format!("{head}{}", body(alphabet, len - 1)),
        ));
    };
    for head in ["AKIA", "ASIA", "ABIA", "ACCA"] {
        push("aws_access_key_id", head, UPPER, 16);
    }
    push("gcp_api_key", "AIza", MIXED, 35);
    push("gcp_client_secret", "GOCSPX-", MIXED, 28);
    push("gcp_access_token", "ya29.", MIXED, 20);
    push("azure_client_secret", "abc8Q~", MIXED, 31);
    for head in ["ghp_", "gho_", "ghu_", "ghs_", "ghr_"] {
        push("github_token", head, MIXED, 36);
    }
    push("github_token", "github_pat_", MIXED, 22);
    for head in ["glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glimt-", "glagent-", "gloas-"] {
        push("gitlab_token", head, MIXED, 20);
    }
    for head in ["xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxe-", "xoxe.xoxp-", "xoxc-", "xoxd-"] {
        push("slack_token", head, MIXED, 10);
    }
    push("slack_token", "xapp-", MIXED, 20);
    for head in ["sk_live_", "sk_test_", "rk_live_", "rk_test_"] {
        push("stripe_key", head, MIXED, 10);
    }
    push("stripe_webhook_secret", "whsec_", MIXED, 24);
    push("anthropic_key", "sk-ant-", MIXED, 20);
    push("openai_key", "sk-", MIXED, 20);
    push("openai_key", "sk-proj-", MIXED, 15);
    push("npm_token", "npm_", MIXED, 36);
    push("pypi_token", "pypi-", MIXED, 50);
    push("rubygems_key", "rubygems_", HEX, 48);
    push("huggingface_token", "hf_", MIXED, 30);
    push("model_provider_key", "r8_", MIXED, 37);
    push("model_provider_key", "gsk_", MIXED, 40);
    push("model_provider_key", "xai-", MIXED, 60);
    push("model_provider_key", "pplx-", MIXED, 40);
    for head in ["dop_v1_", "doo_v1_", "dor_v1_"] {
        push("digitalocean_token", head, HEX, 64);
    }
    push("twilio_key", "SK", HEX, 32);
    push("twilio_key", "AC", HEX, 32);
    push("sendgrid_key", "SG.aB3dE5fG7hJ9kL2mN4pQ6r.", MIXED, 16);
    push("mailgun_key", "key-", HEX, 32);
    push("telegram_bot_token", "123456789:AA", MIXED, 32);
    push("jwt", "eyJhbGciOiJIUzI1NiJ9.eyJzd", MIXED, 5);
    push("age_secret_key", "AGE-SECRET-KEY-1", UPPER, 50);
    for head in ["shpat_", "shpca_", "shppa_", "shpss_"] {
        push("shopify_token", head, HEX, 32);
    }
    push("databricks_token", "dapi", HEX, 32);
    for head in ["hvs.", "hvb.", "hvr."] {
        push("vault_token", head, MIXED, 20);
    }
    push("tacho_token", "tacho_", MIXED, 40);
    push("grafana_token", &format!("glsa_{}_", body(MIXED, 32)), HEX, 8);
    push("grafana_token", "glc_", MIXED, 32);
    push("postman_key", &format!("PMAK-{}-", body(HEX, 24)), HEX, 34);
    push("docker_token", "dckr_pat_", MIXED, 20);
    push("atlassian_token", "ATATT3", MIXED, 60);
    push("linear_key", "lin_api_", MIXED, 32);
    push("notion_token", "ntn_", MIXED, 40);
    push("newrelic_key", "NRAK-", UPPER, 27);
    push("pulumi_token", "pul-", HEX, 40);
    push("supabase_token", "sbp_", HEX, 40);
    push("tailscale_key", "tskey-auth-", MIXED, 12);
    push("discord_bot_token", &format!("MTIzNDU2Nzg5MDEyMzQ1Njc4.{}.", body(MIXED, 6)), MIXED, 27);
    all
}

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
    push("private_key", "", private_key("\n"), " after");
    push("private_key", "", private_key("\\n"), "");
    all
}

fn private_key(line_end: &str) -> String {
    let kind = "PRIVATE KEY";
    format!("-----BEGIN RSA {kind}-----{line_end}{}{line_end}-----END RSA {kind}-----", body(MIXED, 64))
}

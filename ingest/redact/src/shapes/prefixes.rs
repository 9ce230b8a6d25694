//! Secrets that begin with letters of their maker's own and go on with nothing but letters, digits and a few signs.
//!
//! Written from the makers' documents and compared with the rules of gitleaks (MIT, see NOTICE). Each row says how much of a
//! secret that was cut off is still taken for one, and how long a whole one is: in another case than its own (a log in
//! capitals) only a whole one is.

use super::Check;
use super::Check::{Any as Whatever, Mixed, NoWords, Random};
use crate::bytes::Set;
use crate::bytes::Set::{Alphanumeric, Base64, Hex, Unreserved, Upper, Word};

/// A row.
#[derive(Debug)]
pub(crate) struct Prefixed {
    pub class: &'static str,
    /// At least two bytes; of these bytes none is a slash, which JSON may write with a backslash.
    pub literals: &'static [&'static str],
    /// What follows.
    pub body: Set,
    /// How much of it at least.
    pub cut: usize,
    /// How much of it in a whole secret.
    pub whole: usize,
    pub check: Check,
}

const fn row(
    class: &'static str,
    literals: &'static [&'static str],
    body: Set,
    cut: usize,
    whole: usize,
    check: Check,
) -> Prefixed {
    Prefixed { class, literals, body, cut, whole, check }
}

/// All rows; where two overlap, the first names the class.
#[rustfmt::skip]
pub(crate) const PREFIXES: &[Prefixed] = &[
    // Clouds and what runs in them.
    row("aws_access_key_id", &["AKIA", "ASIA", "ABIA", "ACCA"], Upper, 6, 16, Check::RandomOrWhole),
    row("aws_session_token", &["IQoJb3JpZ2lu", "FwoGZXIvYXdz", "FQoGZXIvYXdz"], Base64, 40, 100, Random),
    row("aws_bedrock_key", &["ABSKQmVkcm9ja0FQSUtleS"], Base64, 10, 80, Random),
    row("gcp_api_key", &["AIza"], Word, 16, 35, Random),
    row("gcp_client_secret", &["GOCSPX-"], Word, 10, 28, Random),
    row("gcp_access_token", &["ya29."], Word, 16, 20, Random),
    row("alibaba_key_id", &["LTAI"], Alphanumeric, 10, 20, Random),
    row("yandex_key", &["AQVN"], Word, 16, 35, Random),
    row("scaleway_key_id", &["SCW"], Upper, 8, 17, Random),
    row("digitalocean_token", &["dop_v1_", "doo_v1_", "dor_v1_"], Hex, 16, 64, Random),
    row("heroku_key", &["HRKU-"], Word, 20, 36, Random),
    row("fly_token", &["fm2_", "fm1a_", "fm1r_", "fo1_"], Base64, 30, 43, Random),
    row("netlify_token", &["nfp_"], Alphanumeric, 12, 36, Random),
    row("openshift_token", &["sha256~"], Word, 16, 43, Random),
    row("planetscale_token", &["pscale_pw_", "pscale_tkn_", "pscale_oauth_"], Word, 14, 32, Random),
    row("databricks_token", &["dapi"], Hex, 16, 32, Random),
    row("clickhouse_secret", &["4b1d"], Alphanumeric, 16, 38, Mixed),
    row("supabase_token", &["sbp_"], Hex, 16, 40, Random),
    row("vault_token", &["hvs.", "hvb.", "hvr."], Word, 14, 24, Random),
    row("doppler_token", &["dp.pt.", "dp.st.", "dp.ct.", "dp.sa.", "dp.scim.", "dp.audit."], Unreserved, 16, 40, Random),
    row("pulumi_token", &["pul-"], Hex, 16, 40, Random),
    // Forges, registries, builds.
    row("github_token", &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"], Word, 10, 36, Random),
    row("github_token", &["github_pat_"], Word, 12, 22, Random),
    row("gitlab_token", &["glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glimt-", "glagent-", "gloas-", "glsoat-", "glffct-", "GR1348941"],
        Word, 9, 20, Random),
    row("bitbucket_token", &["ATBB"], Alphanumeric, 14, 32, Mixed),
    row("atlassian_token", &["ATATT3", "ATCTT3"], Base64, 20, 60, Random),
    row("npm_token", &["npm_"], Alphanumeric, 10, 36, Random),
    row("pypi_token", &["pypi-"], Word, 30, 50, Random),
    row("rubygems_key", &["rubygems_"], Hex, 16, 48, Random),
    row("crates_token", &["cio"], Alphanumeric, 14, 32, Mixed),
    row("clojars_token", &["CLOJARS_"], Alphanumeric, 20, 60, Random),
    row("nuget_key", &["oy2"], Alphanumeric, 20, 43, Random),
    row("docker_token", &["dckr_pat_", "dckr_oat_"], Word, 12, 20, Random),
    row("artifactory_key", &["AKCp"], Alphanumeric, 16, 69, Mixed),
    row("artifactory_key", &["cmVmdGtuO"], Alphanumeric, 20, 55, Random),
    row("circleci_token", &["CCIPAT_", "CCIPRJ_"], Word, 14, 40, Random),
    row("buildkite_token", &["bkua_", "bkaa_"], Hex, 16, 40, Random),
    row("sourcegraph_token", &["sgp_", "slk_"], Word, 16, 40, Random),
    row("prefect_token", &["pnu_", "pnb_"], Alphanumeric, 14, 36, Random),
    row("postman_key", &["PMAK-"], Word, 14, 59, Random),
    // Chat.
    row("slack_token", &["xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxe-", "xoxc-", "xoxd-", "xoxo-"], Word, 10, 24, Check::HasDigit),
    row("slack_token", &["xapp-"], Word, 14, 40, Check::HasDigit),
    row("slack_token", &["xoxe.xoxb-", "xoxe.xoxp-"], Word, 10, 40, Check::HasDigit),
    // Payment and trade.
    row("stripe_key", &["sk_live_", "sk_test_", "rk_live_", "rk_test_", "sk_org_"], Alphanumeric, 10, 24, Random),
    row("stripe_webhook_secret", &["whsec_"], Base64, 12, 24, Random),
    row("square_token", &["EAAA"], Word, 30, 60, Mixed),
    row("square_token", &["sq0atp-", "sq0csp-"], Word, 12, 22, Random),
    row("facebook_token", &["EAAC", "EAAM", "EAAG", "EAAB"], Alphanumeric, 50, 100, Mixed),
    row("shopify_token", &["shpat_", "shpca_", "shppa_", "shpss_"], Hex, 16, 32, Random),
    row("flutterwave_key", &["FLWSECK_TEST-", "FLWSECK-"], Word, 12, 30, Random),
    row("easypost_key", &["EZAK", "EZTK"], Alphanumeric, 24, 54, Mixed),
    row("shippo_token", &["shippo_live_", "shippo_test_"], Hex, 16, 40, Random),
    row("duffel_token", &["duffel_live_", "duffel_test_"], Word, 16, 43, Random),
    // Mail.
    row("mailgun_key", &["key-"], Hex, 16, 32, Random),
    row("brevo_key", &["xkeysib-", "xsmtpsib-"], Word, 20, 64, Random),
    // Monitoring.
    row("newrelic_key", &["NRAK-"], Upper, 10, 27, Random),
    row("newrelic_key", &["NRII-", "NRAL-"], Word, 12, 32, Random),
    row("grafana_token", &["glsa_"], Word, 16, 41, Random),
    row("grafana_token", &["glc_"], Base64, 20, 32, Random),
    row("honeycomb_key", &["hcaik_", "hcamk_", "hcxik_"], Alphanumeric, 20, 58, Random),
    row("sentry_token", &["sntryu_"], Hex, 16, 64, Random),
    row("sentry_token", &["sntrys_"], Base64, 24, 60, Random),
    row("posthog_key", &["phx_"], Alphanumeric, 16, 43, Random),
    row("dynatrace_token", &["dt0c01.", "dt0s01.", "dt0s16."], Unreserved, 14, 89, Random),
    // Providers of models.
    row("anthropic_key", &["sk-ant-"], Word, 16, 20, Random),
    row("openai_key", &["sk-"], Word, 20, 40, NoWords),
    row("huggingface_token", &["hf_", "api_org_"], Alphanumeric, 12, 30, Random),
    row("model_provider_key", &["r8_", "gsk_", "pplx-"], Alphanumeric, 14, 37, Random),
    row("model_provider_key", &["xai-", "tvly-"], Alphanumeric, 14, 32, Random),
    row("model_provider_key", &["fw_"], Alphanumeric, 10, 24, Mixed),
    row("model_provider_key", &["nvapi-"], Word, 20, 60, Random),
    row("model_provider_key", &["lsv2_pt_", "lsv2_sk_"], Word, 16, 43, Random),
    row("model_provider_key", &["pcsk_"], Word, 16, 60, Random),
    row("model_provider_key", &["sk_"], Hex, 24, 48, Random),
    // Other services.
    row("notion_token", &["ntn_"], Alphanumeric, 16, 40, Random),
    row("notion_token", &["secret_"], Alphanumeric, 30, 43, Mixed),
    row("linear_key", &["lin_api_"], Alphanumeric, 14, 32, Random),
    row("figma_token", &["figd_", "figo_", "figor_"], Word, 14, 40, Random),
    row("dropbox_token", &["sl."], Word, 60, 130, Mixed),
    row("onepassword_token", &["ops_eyJ"], Base64, 40, 250, Random),
    row("typeform_token", &["tfp_"], Word, 16, 59, Random),
    row("readme_key", &["rdme_"], Alphanumeric, 20, 70, Random),
    row("contentful_token", &["CFPAT-"], Word, 14, 43, Random),
    row("adobe_secret", &["p8e-"], Alphanumeric, 16, 32, Random),
    row("age_secret_key", &["AGE-SECRET-KEY-1"], Upper, 16, 50, Whatever),
    row("tailscale_key", &["tskey-"], Word, 12, 20, Random),
    // This product's own API token.
    row("tacho_token", &["tacho_"], Word, 20, 40, Random),
];

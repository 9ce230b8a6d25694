//! Kinds of secrets, as their makers document them. Written from those documents, not from the rules under test: a kind
//! that the rules do not know belongs here all the more.

use super::random::Random;

/// How a secret is told to be one.
#[derive(Debug, Clone, Copy)]
pub enum Carry {
    /// By its own form, wherever it stands.
    Bare,
    /// By the name before it only.
    Named,
    /// By the text around it, in which `{}` is the secret.
    Form(&'static str),
}

/// How a secret is made.
#[derive(Debug, Clone, Copy)]
pub enum Make {
    Template(&'static str),
    With(fn(&mut Random) -> String),
}

#[derive(Debug, Clone, Copy)]
pub struct Kind {
    pub name: &'static str,
    pub make: Make,
    pub carry: Carry,
    /// Names it goes by, in snake case.
    pub names: &'static [&'static str],
}

const fn bare(name: &'static str, template: &'static str, names: &'static [&'static str]) -> Kind {
    Kind { name, make: Make::Template(template), carry: Carry::Bare, names }
}

const fn named(name: &'static str, template: &'static str, names: &'static [&'static str]) -> Kind {
    Kind { name, make: Make::Template(template), carry: Carry::Named, names }
}

const fn form(name: &'static str, template: &'static str, form: &'static str) -> Kind {
    Kind { name, make: Make::Template(template), carry: Carry::Form(form), names: &["password"] }
}

const fn made(
    name: &'static str,
    make: fn(&mut Random) -> String,
    carry: Carry,
    names: &'static [&'static str],
) -> Kind {
    Kind { name, make: Make::With(make), carry, names }
}

impl Kind {
    /// What all secrets of the kind begin with.
    pub fn head(&self) -> &'static str {
        match self.make {
            Make::Template(template) => template.split('{').next().unwrap_or_default(),
            Make::With(_) => "eyJhbGciOi",
        }
    }

    pub fn secret(&self, random: &mut Random) -> String {
        match self.make {
            Make::Template(template) => random.expand(template),
            Make::With(make) => make(random),
        }
    }
}

/// All kinds.
#[rustfmt::skip]
pub const KINDS: &[Kind] = &[
    // Clouds.
    bare("aws access key id", "AKIA{V16}", &["aws_access_key_id"]),
    bare("aws temporary key id", "ASIA{V16}", &["aws_access_key_id"]),
    named("aws secret access key", "{B40}", &["aws_secret_access_key", "secret_access_key", "secret_key"]),
    named("aws session token", "IQoJb3JpZ2luX2VjE{B200-300}==", &["aws_session_token", "x_amz_security_token", "session_token"]),
    bare("aws bedrock key", "ABSKQmVkcm9ja0FQSUtleS{A90-110}==", &["aws_bearer_token_bedrock"]),
    bare("google api key", "AIza{W35}", &["google_api_key", "gcp_api_key"]),
    bare("google oauth secret", "GOCSPX-{W28}", &["client_secret", "google_client_secret"]),
    bare("google access token", "ya29.{W120-180}", &["access_token"]),
    bare("google refresh token", "1//0{A1}{W60-90}", &["refresh_token"]),
    bare("azure client secret", "{A3}8Q~{W34}", &["azure_client_secret", "client_secret"]),
    named("azure storage key", "{B86}==", &["account_key", "azure_storage_key", "storage_account_key"]),
    form("azure storage connection", "{B86}==", "DefaultEndpointsProtocol=https;AccountName=stlogs;AccountKey={};EndpointSuffix=core.windows.net"),
    form("azure sas", "{A20-30}%2F{A20}%3D", "https://stlogs.blob.core.windows.net/c/b.txt?sv=2024-11-04&se=2026-12-01&sr=b&sp=r&sig={}"),
    form("azure service bus", "{B43}=", "Endpoint=sb://bus.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey={}"),
    bare("alibaba key id", "LTAI{A20}", &["alibaba_access_key_id"]),
    bare("digitalocean token", "dop_v1_{H64}", &["digitalocean_token"]),
    named("linode token", "{H64}", &["linode_token", "linode_api_token"]),
    named("hetzner token", "{A64}", &["hcloud_token"]),
    bare("yandex key", "AQVN{W35}", &["yandex_api_key"]),
    named("cloudflare token", "{W40}", &["cloudflare_api_token", "cf_api_token"]),
    named("cloudflare global key", "{H37}", &["cloudflare_api_key", "cf_api_key"]),
    bare("cloudflare origin ca key", "v1.0-{H24}-{H146}", &["cloudflare_origin_ca_key"]),
    bare("fly token", "fm2_{B120-160}", &["fly_api_token"]),
    bare("heroku key", "HRKU-AA{W58}", &["heroku_api_key"]),
    named("heroku key of old", "{G}", &["heroku_api_key"]),
    bare("netlify token", "nfp_{A36}", &["netlify_auth_token"]),
    named("vercel token", "{A24}", &["vercel_token"]),
    bare("scaleway key id", "SCW{U17}", &["scw_access_key"]),
    bare("openshift token", "sha256~{W43}", &["openshift_token"]),
    bare("planetscale password", "pscale_pw_{W43}", &["planetscale_password"]),
    bare("planetscale token", "pscale_tkn_{W43}", &["planetscale_token"]),
    bare("databricks token", "dapi{H32}", &["databricks_token"]),
    bare("clickhouse cloud secret", "4b1d{A38}", &["clickhouse_api_secret", "clickhouse_secret_key"]),
    // Forges, registries and builds.
    bare("github token", "ghp_{A36}", &["github_token", "gh_token"]),
    bare("github app token", "ghs_{A36}", &["github_token"]),
    bare("github oauth token", "gho_{A36}", &["oauth_token"]),
    bare("github fine-grained token", "github_pat_{A22}_{A59}", &["github_pat", "github_token"]),
    bare("gitlab token", "glpat-{W20}", &["gitlab_token", "private_token"]),
    bare("gitlab runner token", "glrt-{W20}", &["runner_token"]),
    bare("gitlab deploy token", "gldt-{W20}", &["deploy_token"]),
    bare("bitbucket app password", "ATBB{A32}", &["bitbucket_app_password"]),
    named("azure devops token", "{L52}", &["azure_devops_pat_token", "system_access_token"]),
    bare("npm token", "npm_{A36}", &["npm_token"]),
    form("npmrc", "{A36}", "//registry.npmjs.org/:_authToken={}"),
    bare("pypi token", "pypi-AgEIcHlwaS5vcmc{W90-120}", &["twine_password", "pypi_token"]),
    bare("rubygems key", "rubygems_{H48}", &["rubygems_api_key"]),
    bare("crates.io token", "cio{A32}", &["cargo_registry_token"]),
    bare("clojars token", "CLOJARS_{L60}", &["clojars_password"]),
    bare("nuget key", "oy2{L43}", &["nuget_api_key"]),
    bare("docker token", "dckr_pat_{W27}", &["docker_password"]),
    made("docker config", basic, Carry::Form("{\"auths\":{\"https://index.docker.io/v1/\":{\"auth\":\"{}\"}}}"), &["auth"]),
    bare("artifactory key", "AKCp{A69}", &["artifactory_api_key"]),
    bare("circleci token", "CCIPAT_{A22}_{H40}", &["circle_token"]),
    bare("buildkite token", "bkua_{H40}", &["buildkite_token"]),
    named("travis token", "{A22}", &["travis_token"]),
    bare("sourcegraph token", "sgp_{H16}_{H40}", &["src_access_token"]),
    bare("terraform cloud token", "{A14}.atlasv1.{W60-67}", &["tfe_token", "terraform_token"]),
    bare("pulumi token", "pul-{H40}", &["pulumi_access_token"]),
    bare("harness token", "pat.{A22}.{H24}.{A20}", &["harness_api_key"]),
    bare("octopus key", "API-{U26}", &["octopus_api_key"]),
    bare("prefect token", "pnu_{L36}", &["prefect_api_key"]),
    // Chat.
    bare("slack bot token", "xoxb-{D12}-{D12}-{A24}", &["slack_token", "slack_bot_token"]),
    bare("slack user token", "xoxp-{D12}-{D12}-{D12}-{H32}", &["slack_token"]),
    bare("slack app token", "xapp-1-A{U10}-{D13}-{H64}", &["slack_app_token"]),
    form("slack webhook", "T{U8}/B{U10}/{A24}", "https://hooks.slack.com/services/{}"),
    form("discord webhook", "{W68}", "https://discord.com/api/webhooks/1284623908123456789/{}"),
    made("discord bot token", discord_bot, Carry::Bare, &["discord_token", "bot_token"]),
    form("teams webhook", "{H32}/{G}", "https://contoso.webhook.office.com/webhookb2/3fa85f64-5717-4562-b3fc-2c963f66afa6@0f8fad5b-d9cb-469f-a165-70867728950e/IncomingWebhook/{}"),
    form("google chat webhook", "{W43}%3D", "https://chat.googleapis.com/v1/spaces/AAAAb3xQ1zc/messages?threadKey=7&token={}"),
    bare("telegram bot token", "{D10}:AA{W33}", &["telegram_bot_token"]),
    named("mattermost token", "{L26}", &["mattermost_token"]),
    bare("twilio key", "SK{H32}", &["twilio_api_key"]),
    named("twilio auth token", "{H32}", &["twilio_auth_token"]),
    // Payment.
    bare("stripe live key", "sk_live_{A24-99}", &["stripe_secret_key", "stripe_api_key"]),
    bare("stripe restricted key", "rk_live_{A24-99}", &["stripe_key"]),
    bare("stripe webhook secret", "whsec_{A32}", &["stripe_webhook_secret"]),
    bare("square token", "EAAA{W60}", &["square_access_token"]),
    bare("square secret", "sq0csp-{W43}", &["square_application_secret"]),
    bare("braintree token", "access_token$production${L16}${H32}", &["braintree_token"]),
    named("paypal secret", "E{W79}", &["paypal_client_secret"]),
    bare("shopify token", "shpat_{H32}", &["shopify_access_token"]),
    bare("flutterwave key", "FLWSECK_TEST-{H32}-X", &["flutterwave_secret_key"]),
    bare("plaid token", "access-production-{G}", &["plaid_access_token"]),
    named("adyen key", "AQE{B150-180}", &["adyen_api_key"]),
    bare("easypost key", "EZAK{A54}", &["easypost_api_key"]),
    bare("shippo token", "shippo_live_{H40}", &["shippo_token"]),
    bare("duffel token", "duffel_live_{W43}", &["duffel_access_token"]),
    // Mail.
    bare("sendgrid key", "SG.{W22}.{W43}", &["sendgrid_api_key"]),
    bare("mailgun key", "key-{H32}", &["mailgun_api_key"]),
    bare("mailchimp key", "{H32}-us12", &["mailchimp_api_key"]),
    bare("brevo key", "xkeysib-{H64}-{A16}", &["brevo_api_key", "sendinblue_api_key"]),
    bare("resend key", "re_{A8}_{A24}", &["resend_api_key"]),
    named("postmark token", "{G}", &["postmark_server_token"]),
    // Monitoring.
    named("datadog api key", "{H32}", &["dd_api_key", "datadog_api_key"]),
    named("datadog application key", "{H40}", &["dd_app_key", "datadog_app_key"]),
    bare("new relic key", "NRAK-{U27}", &["new_relic_api_key"]),
    bare("new relic insert key", "NRII-{W32}", &["new_relic_insert_key"]),
    bare("grafana service account", "glsa_{A32}_{H8}", &["grafana_token"]),
    bare("grafana cloud key", "glc_{A40-80}", &["grafana_cloud_api_key"]),
    bare("honeycomb key", "hcaik_{L58}", &["honeycomb_api_key"]),
    bare("dynatrace token", "dt0c01.{U24}.{U64}", &["dynatrace_token"]),
    bare("sentry token", "sntryu_{H64}", &["sentry_auth_token"]),
    form("sentry dsn of old", "{H32}", "https://9f1c3b7d5e2a4860b1d2c3e4f5a60718:{}@o123456.ingest.sentry.io/42"),
    form("splunk hec", "{G}", "Authorization: Splunk {}"),
    bare("posthog key", "phx_{A43}", &["posthog_api_key"]),
    named("pagerduty key", "{A20}", &["pagerduty_api_key", "pagerduty_token"]),
    named("elastic api key", "{B58}==", &["elastic_api_key"]),
    // Providers of models.
    bare("anthropic key", "sk-ant-api03-{W93}AA", &["anthropic_api_key"]),
    bare("openai key", "sk-proj-{W120-156}", &["openai_api_key"]),
    bare("openai key of old", "sk-{A48}", &["openai_api_key"]),
    bare("openrouter key", "sk-or-v1-{H64}", &["openrouter_api_key"]),
    bare("groq key", "gsk_{A52}", &["groq_api_key"]),
    bare("xai key", "xai-{A80}", &["xai_api_key"]),
    bare("perplexity key", "pplx-{A48}", &["perplexity_api_key"]),
    bare("huggingface token", "hf_{A34}", &["hf_token", "huggingface_token"]),
    bare("replicate token", "r8_{A37}", &["replicate_api_token"]),
    named("mistral key", "{A32}", &["mistral_api_key"]),
    named("cohere key", "{A40}", &["cohere_api_key", "co_api_key"]),
    named("together key", "{H64}", &["together_api_key"]),
    bare("fireworks key", "fw_{A24}", &["fireworks_api_key"]),
    bare("nvidia key", "nvapi-{W64}", &["nvidia_api_key"]),
    bare("langsmith key", "lsv2_pt_{H32}_{H10}", &["langsmith_api_key"]),
    bare("pinecone key", "pcsk_{A6}_{A60}", &["pinecone_api_key"]),
    bare("tavily key", "tvly-{A32}", &["tavily_api_key"]),
    bare("elevenlabs key", "sk_{H48}", &["elevenlabs_api_key"]),
    // Other services.
    bare("notion token", "ntn_{D11}{A35}", &["notion_token"]),
    bare("airtable token", "pat{A14}.{H64}", &["airtable_token", "airtable_api_key"]),
    bare("linear key", "lin_api_{A40}", &["linear_api_key"]),
    bare("figma token", "figd_{W40}", &["figma_token"]),
    bare("atlassian token", "ATATT3xFfGF0{W170-180}={X8}", &["jira_api_token", "atlassian_token"]),
    bare("dropbox token", "sl.{W130-140}", &["dropbox_token"]),
    bare("doppler token", "dp.pt.{A43}", &["doppler_token"]),
    bare("vault token", "hvs.{W90-120}", &["vault_token"]),
    bare("1password secret key", "A3-{U6}-{U11}-{U5}-{U5}-{U5}", &["op_secret_key"]),
    bare("postman key", "PMAK-{H24}-{H34}", &["postman_api_key"]),
    bare("typeform token", "tfp_{W59}", &["typeform_token"]),
    bare("readme key", "rdme_{L70}", &["readme_api_key"]),
    bare("contentful token", "CFPAT-{W43}", &["contentful_management_token"]),
    bare("adobe secret", "p8e-{L32}", &["adobe_client_secret"]),
    bare("facebook token", "EAAC{A100-140}", &["facebook_access_token"]),
    bare("twitter bearer", "AAAAAAAAAAAAAAAAAAAAA{A20}%3D{A40}", &["twitter_bearer_token"]),
    bare("okta token", "00{W40}", &["okta_api_token"]),
    bare("tailscale key", "tskey-auth-{A12}-{A32}", &["tailscale_auth_key"]),
    bare("supabase token", "sbp_{H40}", &["supabase_access_token"]),
    named("algolia admin key", "{H32}", &["algolia_admin_key", "algolia_api_key"]),
    named("zendesk token", "{A40}", &["zendesk_api_token"]),
    named("snyk token", "{G}", &["snyk_token"]),
    bare("tachograph token", "tacho_{W43}", &["tacho_token"]),
    // Keys, tokens and passwords of no one service.
    made("rsa private key", rsa_key, Carry::Bare, &["private_key"]),
    made("openssh private key", openssh_key, Carry::Bare, &["ssh_key", "private_key"]),
    made("encrypted private key", encrypted_key, Carry::Bare, &["private_key"]),
    made("pgp private key", pgp_key, Carry::Bare, &["gpg_private_key"]),
    bare("age identity", "AGE-SECRET-KEY-1{U58}", &["age_secret_key"]),
    made("jwt", jwt, Carry::Bare, &["id_token", "access_token", "jwt"]),
    made("jwe", jwe, Carry::Bare, &["access_token"]),
    named("opaque access token", "{W32-64}", &["access_token", "refresh_token", "auth_token"]),
    form("bearer header", "{W32-64}", "Authorization: Bearer {}"),
    form("token header", "{H40}", "Authorization: Token {}"),
    made("basic header", basic, Carry::Form("Authorization: Basic {}"), &["authorization"]),
    form("session cookie", "{W32}", "Cookie: theme=dark; sessionid={}"),
    form("set-cookie", "s%3A{W32}.{A43}", "Set-Cookie: connect.sid={}; Path=/; HttpOnly"),
    named("api key of no maker", "{L32}", &["api_key", "x_api_key", "apikey"]),
    named("client secret of no maker", "{A32-48}", &["client_secret", "oauth_client_secret"]),
    named("webhook signing key", "{A32}", &["webhook_secret", "signing_secret", "signing_key"]),
    named("encryption key", "{B43}=", &["encryption_key", "master_key", "secret_key_base"]),
    named("password", "{P10-20}", &["password", "passwd", "db_password", "pwd", "admin_password"]),
    named("password of all signs", "{A1}{Q11-19}", &["password", "db_password", "passwd", "admin_password"]),
    named("password that is repeated", "{P10-16}", &["password_confirm", "password_again", "new_password"]),
    named("password of a tool", "{P10-16}", &["ansible_ssh_pass", "ansible_become_pass", "email_pass", "db_pass"]),
    named("weak password", "Winter{D4}{P2}", &["password", "user_password", "root_password"]),
    named("passphrase", "{L5}-{L6}-{L7}-{D2}", &["passphrase", "key_passphrase"]),
    named("one-time code", "{D6}", &["otp", "totp", "mfa_code"]),
    form("postgres url", "{A10-24}", "postgres://app:{}@db.internal:5432/orders?sslmode=require"),
    form("postgres url as typed", "{A1}{R9-16}", "postgres://app:{}@db.internal:5432/orders?sslmode=require"),
    form("openssl", "{A14}", "openssl rsa -in k.pem -passin pass:{} -out k.der"),
    form("flag of a password", "{A14}", "restic --repo s3:b --pass {} snapshots"),
    form("variable of a password", "{A14}", "PASS={} ./deploy.sh --dry-run"),
    form("sql server login", "{A14}", "CREATE LOGIN app WITH PASSWORD = N'{}', CHECK_POLICY = ON"),
    form("debug of a struct", "{A14}", "Config { user: \"bob\", password: Some(\"{}\"), port: 5432 }"),
    form("xml attribute", "{A14}", "<add key=\"Password\" value=\"{}\"/>"),
    form("mongodb url", "{A10-24}", "mongodb+srv://svc:{}@cluster0.ab1cd.mongodb.net/test"),
    form("redis url", "{A16}", "redis://:{}@cache.internal:6379/0"),
    form("amqp url", "{A16}", "amqp://worker:{}@mq.internal:5672/%2f"),
    form("mysql dsn", "{A12-20}", "app:{}@tcp(db.internal:3306)/orders?parseTime=true"),
    form("jdbc url", "{A12-20}", "jdbc:postgresql://db:5432/orders?user=app&password={}"),
    form("sql server", "{A12-20}", "Server=db;Database=orders;User Id=sa;Password={};Encrypt=true"),
    form("libpq string", "{A12-20}", "host=db port=5432 dbname=orders user=app password={} sslmode=require"),
    form("git remote", "{A24}", "https://deploy:{}@git.example.com/team/app.git"),
    form("proxy", "{A12}", "http://svc:{}@proxy.corp:3128"),
    form("netrc", "{A14}", "machine api.example.com login bot password {}"),
    form("pgpass", "{A14}", "db.internal:5432:orders:app:{}"),
    form("curl user", "{A14}", "curl -sS -u bot:{} https://api.example.com/v1/items"),
    form("kafka jaas", "{A16}", "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"svc\" password=\"{}\";"),
    form("sql alter user", "{A14}", "ALTER USER app WITH PASSWORD '{}'"),
    form("sql identified by", "{A14}", "CREATE USER 'app'@'%' IDENTIFIED BY '{}'"),
    form("mysql command", "{A14}", "mysqldump -h db -u root -p{} orders"),
    form("sshpass", "{A14}", "sshpass -p {} ssh deploy@10.2.3.4 uptime"),
    form("xml element", "{A16}", "<server><username>bot</username><password>{}</password></server>"),
    form("basic auth in url", "{A16}", "https://bot:{}@api.example.com/v1/items"),
    form("presigned url", "{H64}", "https://b.s3.amazonaws.com/k?X-Amz-Credential=x&X-Amz-Date=20261101T000000Z&X-Amz-Signature={}"),
];

const BASE64: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A PEM of `lines` lines. The words are put together, so that this file holds no key.
fn pem(random: &mut Random, words: &str, head: &str, lines: usize) -> String {
    let body: Vec<String> = (0..lines).map(|_| random.text(BASE64, 64)).collect();
    let dashes = "-".repeat(5);
    format!("{dashes}BEGIN {words}{dashes}\n{head}{}\n{dashes}END {words}{dashes}", body.join("\n"))
}

fn rsa_key(random: &mut Random) -> String {
    pem(random, "RSA PRIVATE KEY", "", 6)
}

fn openssh_key(random: &mut Random) -> String {
    pem(random, "OPENSSH PRIVATE KEY", "", 5)
}

fn encrypted_key(random: &mut Random) -> String {
    pem(random, "ENCRYPTED PRIVATE KEY", "", 6)
}

fn pgp_key(random: &mut Random) -> String {
    pem(random, "PGP PRIVATE KEY BLOCK", "Version: GnuPG v2\n\n", 6)
}

fn jwt(random: &mut Random) -> String {
    random.expand("eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOi{W60-120}.{W43-86}")
}

fn jwe(random: &mut Random) -> String {
    random.expand("eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.{W86}.{W16}.{W60}.{W22}")
}

fn discord_bot(random: &mut Random) -> String {
    random.expand("MTI4NDYyMzkwODEyMzQ1Njc4OQ.G{W5}.{W38}")
}

fn basic(random: &mut Random) -> String {
    use base64::Engine as _;
    let pair = random.expand("bot:{A12-20}");
    base64::engine::general_purpose::STANDARD.encode(pair)
}

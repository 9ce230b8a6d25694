//! Look-alikes: what is long, random or named like a secret and is none. All of it must stay, byte for byte.

use super::random::Random;

/// What must stay, made anew for each seed.
pub fn benign(random: &mut Random) -> Vec<String> {
    let templates = [
        // Identifiers and digests.
        "request {G} of session s-{H16}",
        "trace {H32} span {H16}",
        "commit {H40} merged into main",
        "sha256:{H64}",
        "image registry.example.com/team/app@sha256:{H64}",
        "integrity sha512-{B86}==",
        "\"etag\": \"W/{H32}\"",
        "md5 {H32}  dist/app.tar.gz",
        "arn:aws:iam::{D12}:role/deploy-{L8}",
        "i-0{H17} in subnet-{H17} of vpc-{H8}",
        "ulid 01J{U23}",
        "order {D16} paid, invoice INV-{D8}",
        "s3://bucket-{L8}/2026/11/{G}/part-00001.parquet",
        "https://example.com/watch?v={A11}&list=PL{A16}",
        "https://docs.example.com/d/{A44}/edit",
        "s3 key uploads/{G}/{A12}.png",
        // Words that resemble names of secrets.
        "input_tokens={D4} output_tokens={D4} max_tokens={D4}",
        "next_page_token={A40}",
        "continuationToken: {A32}",
        "token_type: bearer, expires_in: {D4}",
        "the password must have 12 characters and is changed every 90 days",
        "primary key id, foreign key (user_id) references users(id)",
        "SELECT token_count, secret_name FROM usage WHERE key = ? AND token IS NOT NULL",
        "cache key user:{D6}:profile:v{D1} hit",
        "keyboard, monkey and turkey; the author authorised the capital",
        "public_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{B43} deploy@host",
        "key_id={A20} alg=RS256",
        "secret_ref: projects/{D8}/secrets/db/versions/{D1}",
        "credential_id: c-{H8}",
        "policy_hash {H16} approval_id apr-{H16}",
        "Authorization: required",
        "Set the API_KEY variable, then call the API with your token.",
        "password: ${DB_PASSWORD}",
        "password: {{ vault.db.password }}",
        "token=$GITHUB_TOKEN",
        "api_key: <your-api-key>",
        "secret: ****",
        "password=[REDACTED]",
        "const token = getToken(request);",
        "token = os.environ[\"GITHUB_TOKEN\"]",
        "password = input('Password: ')",
        "if password == null { return }",
        "fn verify(token: &str, secret: &Secret) -> Result<Token, Error>",
        // Shapes that are cut short or of something else.
        "sk-learn and risk-assessment-of-the-quarter",
        "AKIAEXAMPLE is not a key",
        "-----BEGIN CERTIFICATE-----\n{B64}\n{B64}\n-----END CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----\n{B64}\n-----END PUBLIC KEY-----",
        "ghp_ is the prefix of a token",
        "basic knowledge, bearer of news, cookie recipe: flour and sugar",
        "git@github.com:team/app.git",
        "http://localhost:8080/path@v1/x",
        "mailto:bot@example.com?subject=a:b",
        "postgres://db.internal:5432/orders",
        "redis://cache:6379/0",
        "ratio 10:30:45 at 12:34:56.789, host db:5432:orders",
        "base64 of a picture: iVBORw0KGgoAAAANSUhEUgAA{B120}",
        "data:font/woff2;base64,d09GMgABAAAAA{B120}",
        "color #{H6} width {D3}px, version {D1}.{D2}.{D1}-rc.{D1}+build.{H8}",
        "createIssueCommentReactionsForPullRequestReviews in GettingStartedWithDeployments",
        "X-Request-Id: {G}",
        "traceparent: 00-{H32}-{H16}-01",
        "x-amzn-trace-id: Root=1-{H8}-{H24}",
        "nonce {B22}== of the page",
        "mysql -h db -u root -p orders",
        "python -m pip install -p x86 --user",
        "cp -pr /srv/a /srv/b && mkdir -p /srv/cache/{H8}",
    ];
    // These braces are the text's own.
    templates
        .iter()
        .map(|template| {
            let is_literal = ["${", "{{", "{ return"].iter().any(|own| template.contains(own));
            if is_literal { (*template).to_owned() } else { random.expand(template) }
        })
        .collect()
}

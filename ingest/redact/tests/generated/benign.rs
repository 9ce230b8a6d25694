//! Look-alikes: what is long, random or named like a secret and is none. All of it must stay, byte for byte.

use serde_json::{Value, json};

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
        "API-GATEWAY12345 is down",
        "sk-learn-tutorial-2024-edition-v2 of the course",
        "dedupe_key={H32} seen",
        "fetch(url, {credentials: 'include'}) or credentials: \"same-origin\"",
        "data:image/svg+xml;base64,PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciPjx0ZXh0IGtleT0iVmFsdWUiPlRva2VuczwvdGV4dD48L3N2Zz4=",
        "env:\n  - name: LOG_LEVEL\n    value: debug\n  - name: TOKEN_TTL\n    value: 3600",
        "password: Some(password), token: Some(token)",
        "let password = String::new(); token = Vec::new()",
        "token: Option<String>, secrets: Vec<Secret>",
        "api_keys = []\nsecrets = {}",
        "password = (user, host)",
        "tests: PASS=12 FAIL=0, --pass-through yes",
        "GET /v1/items?token_count=12&page_token={A20}&x=1",
        "for key in [\"id\", \"name\"]: print(key)",
        "password & token are names; secret, too",
        "progressToken={D4} of {G}",
        "file key {A22} in https://www.figma.com/design/{A22}/Home",
        "ratio a:b@c and https://h.example/a:b/c@d",
        "https://example.com:8443/users/@me and http://h:80/x@y",
        "cp -pr /srv/a /srv/b && mkdir -p /srv/cache/{H8}",
    ];
    // These braces are the text's own.
    templates
        .iter()
        .map(|template| {
            let is_literal =
                ["${", "{{", "{ return", "{cred", "= {}"].iter().any(|own| template.contains(own));
            if is_literal { (*template).to_owned() } else { random.expand(template) }
        })
        .collect()
}

/// Members that must stay: what protocols and services name like secrets.
pub fn benign_members(random: &mut Random) -> Vec<Value> {
    vec![
        json!({ "_meta": { "progressToken": 1 }, "name": "search" }),
        json!({ "_meta": { "progressToken": random.expand("abc-{D2}") } }),
        json!({ "_meta": { "progressToken": random.expand("{G}"), "io.modelcontextprotocol/related-task": { "taskId": random.expand("{G}") } } }),
        json!({ "progressToken": 0, "progress": 50, "total": 100, "message": "half" }),
        json!({ "method": "notifications/cancelled", "params": { "requestId": random.expand("{G}"), "cancelToken": "c" } }),
        json!({ "logprobs": [{ "token": "Hel", "logprob": -0.1 }, { "token": " world", "logprob": -0.2 }] }),
        json!({ "num_tokens": 12, "n_tokens": 3, "tokens": 1234, "n_token": 3, "token": 17 }),
        json!({ "tokens": ["The", " quick", " fox"], "token_ids": [1, 2, 3] }),
        json!({ "fileKey": random.expand("{A22}"), "nodeId": "1:2" }),
        json!({ "Bucket": "assets", "Key": random.expand("{H64}.png") }),
        json!({ "key": random.expand("01J9ZK{K20}"), "score": 1 }),
        json!({ "dedupe_key": random.expand("{H32}"), "cursor": random.expand("{A24}") }),
        json!({ "credentials": "same-origin", "mode": "cors" }),
        json!({ "credentials": "include" }),
        json!({ "redacted_by_tap": ["github_token:1:arguments", "password:12:result"] }),
        json!({ "redactions": ["password:1:arguments", "token:2"] }),
        json!({ "element": "Password field", "ref": "e12" }),
        json!({ "element": "Submit button", "text": "Login", "selector": "#username", "value": "bob" }),
        json!({ "name": "LOG_LEVEL", "value": "debug", "label": "Level" }),
        json!({ "name": "sortKey", "type": "S", "required": true }),
        json!({ "capability": "get_token", "scopes": ["read", "write"], "auth_method": "token" }),
    ]
}

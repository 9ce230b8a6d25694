use super::{given_by_key, name_of_value};

fn class_of_key(key: &str) -> Option<&'static str> {
    given_by_key(key).filter(|given| !given.opaque).map(|given| given.class)
}

#[test]
fn spellings_of_secret_names() {
    for (key, class) in [
        ("password", "password"),
        ("PASSWORD", "password"),
        ("PassWord", "password"),
        ("db_password", "password"),
        ("dbPassword", "password"),
        ("user[password]", "password"),
        ("passwd", "password"),
        ("pwd", "password"),
        ("DB-PWD", "password"),
        ("passphrase", "password"),
        ("secret", "secret"),
        ("jwtSecret", "secret"),
        ("client_secret", "client_secret"),
        ("clientSecret", "client_secret"),
        ("token", "token"),
        ("access_token", "token"),
        ("accessToken", "token"),
        ("ACCESSTOKEN", "token"),
        ("refresh-token", "token"),
        ("idToken", "token"),
        ("session_token", "token"),
        ("bearer token", "token"),
        ("x-amz-security-token", "token"),
        ("http.request.header.authorization", "authorization"),
        ("Proxy-Authorization", "authorization"),
        ("Cookie", "cookie"),
        ("set_cookie", "cookie"),
        ("setCookie", "cookie"),
        ("api_key", "api_key"),
        ("apiKey", "api_key"),
        ("apikey", "api_key"),
        ("X-API-Key", "api_key"),
        ("Ocp-Apim-Subscription-Key", "api_key"),
        ("private_key", "private_key"),
        ("privateKey", "private_key"),
        ("aws_secret_access_key", "aws_secret_access_key"),
        ("AccountKey", "azure_account_key"),
        ("credential", "credential"),
        ("credentials", "credential"),
        ("otp", "otp"),
        ("user_otp", "otp"),
        ("connectionString", "connection_string"),
        ("DB_PASSWORD_1", "password"),
        ("api_key_1", "api_key"),
        ("apiKey2", "api_key"),
        ("password_confirm", "password"),
        ("passwordAgain", "password"),
        ("ansible_ssh_pass", "password"),
        ("EMAIL_PASS", "password"),
        ("Password:", "password"),
        ("Password *", "password"),
        // These end in words that excuse a name only where they stand alone: `min`, `end`, `per`.
        ("admin_token", "token"),
        ("backend_token", "token"),
        ("wrapper_token", "token"),
    ] {
        assert_eq!(class_of_key(key), Some(class), "{key}");
    }
}

#[test]
fn names_that_are_no_secrets() {
    for key in [
        "input_tokens",
        "output_tokens",
        "max_tokens",
        "total_tokens",
        "token_count",
        "token_type",
        "credential_id",
        "credential_expires",
        "auth_method",
        "policy_hash",
        "approval_id",
        "request_id",
        "session_id",
        "event_id",
        "secret_ref",
        "next_page_token",
        "nextPageToken",
        "continuation_token",
        "eos_token",
        "hotp",
        "public_key",
        "cache_key",
        "tokenizer",
        "passwordless",
        "progressToken",
        "cancel_token",
        "num_token",
        "password_2026",
        "sig",
        "",
        "_",
    ] {
        assert_eq!(class_of_key(key), None, "{key}");
    }
}

#[test]
fn names_that_are_secrets_if_the_value_looks_random() {
    for (key, class) in [
        ("algolia_admin_key", "api_key"),
        ("stripeKey", "api_key"),
        ("auth", "credential"),
        ("API_KEY_PROD", "secret"),
        ("apiKeyProd", "secret"),
        ("tokens", "token"),
        ("db-password-staging", "secret"),
    ] {
        assert_eq!(given_by_key(key).map(|given| (given.class, given.opaque)), Some((class, true)), "{key}");
    }
    for key in [
        "monkey",
        "author",
        "environment_prod",
        "tokenizer_test",
        "cacheKey",
        "idempotency-key",
        "fileKey",
        "dedupe_key",
    ] {
        assert_eq!(given_by_key(key), None, "{key}");
    }
}

#[test]
fn a_value_is_a_name_only_as_a_whole() {
    assert!(name_of_value("Authorization").is_some());
    assert!(name_of_value("X-Api-Key").is_some());
    assert!(name_of_value("the: token").is_none());
    assert!(name_of_value("get_secret_ref").is_none());
    assert!(name_of_value(&format!("{}_token", "x".repeat(64))).is_none());
}

use super::*;

fn parsed(text: &str) -> Result<Configuration> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tacho.toml");
    std::fs::write(&file, text).unwrap();
    let configuration = Configuration::from_file(Some(file))?;
    configuration.detect_settings()?;
    configuration.policies()?;
    configuration.identity_settings()?;
    configuration.collector_settings()?;
    configuration.redaction()?;
    Ok(configuration)
}

#[test]
fn file_environment_and_defaults_have_their_rank() {
    let mut configuration = parsed("listen = \"127.0.0.1:1\"\n[store]\nseal_rows = 7\n").unwrap();
    assert_eq!(configuration.number("store.seal_rows").unwrap(), 7);
    configuration
        .overlay_environment(|name| (name == "TACHO_STORE_SEAL_ROWS").then(|| "9".to_string()))
        .unwrap();
    assert_eq!(configuration.number("store.seal_rows").unwrap(), 9);
    assert_eq!(configuration.listen().unwrap().port(), 1);
    assert_eq!(configuration.keys(), PathBuf::from("./tacho-data-keys"));
    let shown = configuration.lines().unwrap().join("\n");
    assert!(shown.contains("store.seal_rows = 9  # environment"), "{shown}");
    assert!(shown.contains("listen = \"127.0.0.1:1\"  # file"), "{shown}");
}

#[test]
fn mistakes_are_named() {
    for (text, named) in [
        ("seal_rows = 1", "unknown key seal_rows"),
        ("[store]\nseal_rows = \"x\"", "store.seal_rows is string, expected integer"),
        ("[detect]\nnonsense = 1", "nonsense"),
        ("[policy.nobody]\n", "nobody"),
        ("[policy.auditor.columns]\nuser_id = \"paint\"", "paint"),
        ("[policy.auditor.columns]\nnothing = \"mask\"", "no table that this role sees has it"),
        ("[[mtls]]\nsubject = \"CN=a\"\nrole = \"collector\"", "missing field `tenant`"),
        ("[[mtls]]\nsubject = \"CN=a\"\nrole = \"root\"\ntenant = \"a\"", "unknown variant `root`"),
        ("[[mtls]]\nsubjekt = \"CN=a\"\nrole = \"collector\"\ntenant = \"a\"", "unknown field `subjekt`"),
        ("[oidc]\nissuer = \"https://a\"\nrole_claim = \"g\"\n[oidc.roles]", "missing field `audience`"),
        (
            "[oidc]\nissuer = \"http://a.example\"\naudience = \"t\"\ntenant = \"a\"\nrole_claim = \"g\"\nroles = {}",
            "https://",
        ),
        (
            "[oidc]\nissuer = \"https://a\"\naudience = \"t\"\nrole_claim = \"g\"\nroles = {a = \"admin\"}",
            "one of oidc.tenant",
        ),
        (
            "[oidc]\nissuer = \"https://a\"\naudience = \"t\"\ntenant = \"a\"\nrole_claim = \"g\"\nroles = {}",
            "oidc.roles",
        ),
        ("[oidc]\nsecret = 1", "unknown field `secret`"),
        ("[redaction]\nemails = \"mask\"", "unknown field `emails`"),
        ("[redaction]\nemail = \"paint\"", "unknown variant `paint`"),
        ("[redaction]\nemail = 1", "redaction"),
        ("[redaction.tenants.acme]\nsecret = \"keep\"", "unknown field `secret`"),
        ("[redaction.tenants]\nacme = \"mask\"", "redaction.tenants.acme"),
        ("[[tail]]\nname = \"a\"", "missing field `path`"),
        ("[[tail]]\nname = \"A/b\"\npath = \"b\"", "A/b"),
        ("[[tail]]\nname = \"a\"\npath = \"b\"\n[[tail]]\nname = \"a\"\npath = \"c\"", "twice"),
        ("[[kafka]]\nname = \"a\"\nbrokers = []\ntopics = [\"t\"]", "are needed"),
        (
            "[[kafka]]\nname = \"a\"\nbrokers = [\"b:1\"]\ntopics = [\"t\"]\npassword = \"x\"",
            "unknown field `password`",
        ),
        ("listen", "tacho.toml"),
    ] {
        let error = format!("{:#}", parsed(text).unwrap_err());
        assert!(error.contains(named), "{text:?}: {error}");
    }
}

#[test]
fn personal_data_has_a_policy_for_all_tenants_and_others_for_some() {
    use redact::{Class, Policy};
    let text = "[redaction]\nemail = \"pseudonymise\"\ncard = \"mask\"\n[redaction.tenants.acme]\ncard = \"drop\"\nphone = \"hash\"\n";
    let configuration = parsed(text).unwrap();
    let redaction = configuration.redaction().unwrap();
    for (tenant, class, policy) in [
        ("other", Class::Email, Policy::Pseudonymise),
        ("other", Class::Card, Policy::Mask),
        ("other", Class::Phone, Policy::Keep),
        ("acme", Class::Email, Policy::Pseudonymise),
        ("acme", Class::Card, Policy::Drop),
        ("acme", Class::Phone, Policy::Hash),
        ("acme", Class::Iban, Policy::Keep),
    ] {
        assert_eq!(redaction.policies(tenant).of(class), policy, "{tenant} {class:?}");
    }
    let shown = configuration.lines().unwrap().join("\n");
    assert!(
        shown.contains("[redaction.tenants.acme]") && shown.contains("email = \"pseudonymise\""),
        "{shown}"
    );
    assert!(!parsed("").unwrap().lines().unwrap().join("\n").contains("[redaction"));
}

//! What loads, and what is said of what does not.

use schemas::limits::{
    SIGMA_COUNT_MAX, SIGMA_FILE_BYTES_MAX, SIGMA_LIST_VALUES_MAX, SIGMA_NESTING_MAX, SIGMA_PATTERN_BYTES_MAX,
    SIGMA_RULES_MAX, SIGMA_STAGES_MAX, SIGMA_TIMESPAN_S_MAX,
};
use sigma::{Level, Options, Rules};

use crate::fixture::{Files, correlation, event, id, rule, set};

fn refused(text: &str, part: &str) {
    let files = Files::new();
    let message = files.rule("mine.yml", text).refusal();
    assert!(message.contains(part), "{message:?} does not say {part:?}");
    assert!(message.contains("mine.yml: rule `Rule 1`"), "{message:?} names no file and rule");
}

#[test]
fn every_refusal_says_where_and_what_to_do() {
    let line = |line: &str| rule(1, &format!("a:\n    {line}"), "a");
    for (text, part) in [
        (line("CommandLine: x"), "unknown column `CommandLine`"),
        (line("agentid: x"), "did you mean `agent_id`?"),
        (line("arguments|contains: x"), "payload side"),
        (line("control: x"), "recorder's own"),
        (line("server|base64: x"), "modifier Base64 is not supported"),
        (line("server|containz: x"), "containz"),
        (line("server|contains|re: x"), "two modifiers"),
        (line("server|i: x"), "belong to `re`"),
        (line("server|contains: ''"), "empty text"),
        (line("server: []"), "no value"),
        (line("server: 1.5"), "whole numbers"),
        (line("server|re: '('"), "no regular expression"),
        (line("server|re: '(a{1000}){1000}'"), "too large"),
        (line("source_ip|cidr: 10.0.0.0/40"), "no network"),
        (line("latency_us|contains: 5"), "not what this column holds"),
        (line("server|gt: 5"), "not what this column holds"),
        (line("latency_us|gt: soon"), "no number"),
        (line("credential_expired: soon"), "not what this column holds"),
        (line("server|exists: maybe"), "true or false"),
        (line("server|expand: '%nowhere%'"), "no list `nowhere`"),
        (line("server|expand: 'x%nowhere%'"), "name of a list and nothing else"),
        (line("server|contains|all: x"), "more than one value"),
        (line("approver|fieldref: latency_us"), "another kind"),
        (line("approver|fieldref: nobody"), "unknown column `nobody`"),
        (rule(1, "a:\n    - just\n    - words", "a"), "keywords"),
        (rule(1, "a:\n    server: x", "a and b"), "`b`, and no selection"),
        (rule(1, "a:\n    server: x\nb:\n    server: y", "a"), "selection `b` is in no condition"),
        (rule(1, "a:\n    server: x", "1 of b*"), "no selection is called so"),
        (rule(1, "a:\n    server: x", "3 of them"), "there are 1"),
        (rule(1, "a: {}", "a"), "empty"),
        (rule(1, "a:\n    server: x", "a").replace("tachograph", "windows"), "another log"),
        (rule(1, "a:\n    server: x", "a").replace("level: medium\n", ""), "no `level`"),
        (rule(1, "a:\n    server: x", "a").replace("medium", "serious"), "level"),
        (rule(1, "a:\n    server: x", "a").replace(&format!("id: {}\n", id(1)), ""), "no `id`"),
        (rule(1, "a:\n    server: x", "a").replace(&id(1), "my-rule"), "no UUID"),
        (rule(1, "a:\n    server: x", "a") + "falsepositive:\n    - x\n", "did you mean `falsepositives`?"),
        (rule(1, "a:\n    server: x", "a").replace("detection", "detektion"), "detection"),
        (format!("action: global\n{}", rule(1, "a:\n    server: x", "a")), "no rule"),
        ("title: Rule 1\n\tid: x\n".to_owned(), "YAML"),
    ] {
        refused(&text, part);
    }
}

#[test]
fn correlations_that_a_stream_cannot_tell_are_refused() {
    let base = rule(2, "a:\n    server: x", "a");
    let other = rule(3, "a:\n    server: y", "a");
    let with = |text: String| format!("{text}---\n{base}---\n{other}");
    let count = |rest: &str| with(correlation(1, "event_count", &["rule_2"], "5m", rest));
    for (text, part) in [
        (count("group-by: [agent_id]"), "condition"),
        (count("condition:\n    gte: 3"), "no `group-by`"),
        (count("group-by: [agent]\ncondition:\n    gte: 3"), "unknown column `agent`"),
        (count("group-by: [scopes]\ncondition:\n    gte: 3"), "holds lists"),
        (count("group-by: [agent_id]\ncondition:\n    lt: 3"), "when the time is over"),
        (count("group-by: [agent_id]\ncondition:\n    gte: 0"), "when the time is over"),
        (count("group-by: [agent_id]\ncondition:\n    gt: 5\n    lte: 5"), "no count"),
        (count("group-by: [agent_id]\ncondition:\n    neq: 5"), "neq"),
        (count("group-by: [agent_id]\ncondition:\n    gte: -1"), "at most"),
        (
            count(&format!("group-by: [agent_id]\ncondition:\n    gte: {}", SIGMA_COUNT_MAX + 1)),
            "at most 256",
        ),
        (
            count("group-by: [agent_id]\ncondition:\n    field: server\n    gte: 2"),
            "belongs to `value_count`",
        ),
        (count("group-by: [agent_id]\nwindow: tumbling\ncondition:\n    gte: 2"), "sliding"),
        (
            with(correlation(1, "value_count", &["rule_2"], "5m", "group-by: []\ncondition:\n    gte: 2")),
            "one `field`",
        ),
        (
            with(correlation(1, "value_sum", &["rule_2"], "5m", "group-by: []\ncondition:\n    gte: 2")),
            "not supported",
        ),
        (with(correlation(1, "temporal", &["rule_2"], "5m", "group-by: []")), "two or more"),
        (with(correlation(1, "temporal", &["rule_2", "rule_9"], "5m", "group-by: []")), "joins `rule_9`"),
        (with(correlation(1, "temporal", &["rule_2", "rule_2"], "5m", "group-by: []")), "joined twice"),
        (with(correlation(1, "temporal", &["rule_2", "rule_3"], "0s", "group-by: []")), "timespan"),
        (with(correlation(1, "temporal", &["rule_2", "rule_3"], "31d", "group-by: []")), "timespan"),
        (
            with(correlation(
                1,
                "temporal",
                &["rule_2", "rule_3"],
                "5m",
                "group-by: []\ncondition: rule_2 or rule_3",
            )),
            "names of rules",
        ),
        (
            with(correlation(
                1,
                "temporal",
                &["rule_2", "rule_3"],
                "5m",
                "group-by: [who]\naliases:\n    who:\n        rule_2: user_id",
            )),
            "no column for `rule_3`",
        ),
        (
            correlation(1, "event_count", &["rule_1"], "5m", "group-by: []\ncondition:\n    gte: 2"),
            "break the circle",
        ),
    ] {
        refused(&text, part);
    }
    assert_eq!(SIGMA_TIMESPAN_S_MAX, 30 * 86_400);
}

#[test]
fn limits_are_reached_and_not_passed() {
    let files = Files::new();
    let padded =
        format!("{}# {}\n", rule(1, "a:\n    server: x", "a"), "x".repeat(SIGMA_FILE_BYTES_MAX as usize));
    assert!(files.rule("long.yml", &padded).refusal().contains("longer than"));
    let long = |bytes: usize| rule(1, &format!("a:\n    server: '{}'", "x".repeat(bytes)), "a");
    assert!(files.rule("long.yml", &long(SIGMA_PATTERN_BYTES_MAX)).load().is_ok());
    assert!(files.rule("long.yml", &long(SIGMA_PATTERN_BYTES_MAX + 1)).refusal().contains("at most 4096"));
    let many: Vec<String> = (0..=SIGMA_RULES_MAX as u32).map(|n| rule(n, "a:\n    server: x", "a")).collect();
    for (at, part) in many.chunks(500).enumerate() {
        files.rule(&format!("many_{at}.yml"), &part.join("---\n"));
    }
    std::fs::remove_file(files.rules.join("long.yml")).unwrap();
    assert!(files.refusal().contains("at most 2000"));
    let files = Files::new();
    files.list("l.txt", &"a\n".repeat(SIGMA_LIST_VALUES_MAX + 1));
    assert!(files.refusal().contains("at most 100000"));
    let nested =
        |depth: usize| rule(1, &format!("a: {}{{server: x}}{}", "[".repeat(depth), "]".repeat(depth)), "a");
    let files = Files::new();
    assert!(files.rule("deep.yml", &nested(SIGMA_NESTING_MAX)).load().is_ok());
    assert!(files.rule("deep.yml", &nested(SIGMA_NESTING_MAX + 1)).refusal().contains("nested deeper"));
    let bases: Vec<String> =
        (2..=SIGMA_STAGES_MAX as u32 + 2).map(|n| rule(n, "a:\n    server: x", "a")).collect();
    let names: Vec<String> = (2..=SIGMA_STAGES_MAX as u32 + 2).map(|n| format!("rule_{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let joined = |count: usize| {
        format!(
            "{}---\n{}",
            correlation(1, "temporal", &names[..count], "5m", "group-by: []"),
            bases.join("---\n")
        )
    };
    let files = Files::new();
    assert!(files.rule("joined.yml", &joined(SIGMA_STAGES_MAX)).load().is_ok());
    assert!(files.rule("joined.yml", &joined(SIGMA_STAGES_MAX + 1)).refusal().contains("from 1 to 8"));
}

#[test]
fn all_errors_come_at_once() {
    let files = Files::new();
    files
        .rule("a.yml", &rule(1, "a:\n    nonsense: x", "a"))
        .rule("b.yml", &rule(2, "a:\n    server: x", "b"));
    let message = files.refusal();
    assert!(
        message.contains("a.yml: rule `Rule 1`") && message.contains("b.yml: rule `Rule 2`"),
        "{message}"
    );
}

#[test]
fn ids_and_names_are_unique() {
    let files = Files::new();
    files.rule("a.yml", &rule(1, "a:\n    server: x", "a")).rule("b.yml", &rule(1, "a:\n    server: x", "a"));
    assert!(files.refusal().contains("has the id"));
    files.rule("b.yml", &rule(2, "a:\n    server: x", "a").replace("rule_2", "rule_1"));
    assert!(files.refusal().contains("the name `rule_1` is taken"));
}

#[test]
fn an_own_rule_takes_the_place_of_a_shipped_one() {
    let shipped = Rules::load(&Options::default()).unwrap();
    let victim = shipped.rule("output_blocked").unwrap();
    let files = Files::new();
    let own = rule(1, "a:\n    output_action: block", "a")
        .replace(&id(1), &victim.id)
        .replace("medium", "critical");
    let options = Options { without_shipped: false, ..files.rule("own.yml", &own).options() };
    let rules = Rules::load(&options).unwrap();
    assert_eq!(rules.rules().len(), shipped.rules().len());
    assert_eq!(rules.rule(&victim.id).unwrap().level, Level::Critical);
    assert_eq!(rules.matches(&event(r#"{"output_action":"quarantine"}"#)).len(), 0);
    assert_ne!(rules.digest(), shipped.digest());
}

#[test]
fn rules_are_switched_off_by_id_or_name_and_slips_are_told() {
    let mut options = Options { disabled: ["output_blocked".to_owned()].into(), ..Options::default() };
    let rules = Rules::load(&options).unwrap();
    assert!(!rules.rule("output_blocked").unwrap().alerts);
    assert!(rules.matches(&event(r#"{"output_action":"block"}"#)).is_empty());
    options.disabled = ["output_bloked".to_owned()].into();
    assert!(Rules::load(&options).unwrap_err().to_string().contains("did you mean `output_blocked`?"));
}

#[test]
fn lists_fill_placeholders() {
    let files = Files::new();
    files.rule(
        "a.yml",
        &rule(1, "a:\n    server|expand: '%mine%'\nb:\n    source_ip|expand: '%nets%'", "1 of them"),
    );
    files.list("mine.txt", "# ours\n\n crm \ncorp-*\n").list("nets.cidr", "10.0.0.0/8\n");
    let rules = files.load().unwrap();
    let hits = |json: &str| rules.matches(&event(json)).len();
    assert_eq!([r#"{"server":"CRM"}"#, r#"{"server":"corp-9"}"#, r#"{"server":"x"}"#].map(hits), [1, 1, 0]);
    assert_eq!([r#"{"source_ip":"10.1.1.1"}"#, r#"{"source_ip":"9.1.1.1"}"#].map(hits), [1, 0]);
    assert_eq!(rules.rules()[0].lists, ["mine", "nets"]);
    files.list("mine.txt", "# nothing\n");
    assert!(files.refusal().contains("empty"));
    files.list("mine.txt", "crm\n").list("nets.cidr", "10.0.0.0/8\nten\n");
    assert!(files.refusal().contains("`ten` is no network"));
    files.list("nets.cidr", "10.0.0.0/8\n").list("nets.txt", "x\n");
    assert!(files.refusal().contains("as .txt and as .cidr"));
}

#[test]
fn a_digest_names_the_set_whatever_the_files() {
    let (one, two) = (rule(1, "a:\n    server: x", "a"), rule(2, "a:\n    server|expand: '%mine%'", "a"));
    let files = Files::new();
    files.rule("a.yml", &one).rule("b.yml", &two).list("mine.txt", "crm\n");
    let digest = files.load().unwrap().digest().to_owned();
    let turned = Files::new();
    turned
        .rule("z.yml", &format!("# a remark\n{two}---\n{one}"))
        .list("mine.txt", "# a remark\ncrm\n")
        .list("other.txt", "x\n");
    assert_eq!(turned.load().unwrap().digest(), digest);
    turned.list("mine.txt", "crm2\n");
    assert_ne!(turned.load().unwrap().digest(), digest);
    for _ in 0..8 {
        assert_eq!(files.load().unwrap().digest(), digest);
    }
    let tagged = set(&[one.clone()
        + "tags:\n    - atlas.aml.t0086\n    - owasp.mcp10\n    - attack.t1110.001\n    - attack.execution\n"]);
    assert_eq!(tagged.rules()[0].framework_ids(), ["AML.T0086", "MCP10", "T1110.001"]);
    assert_ne!(tagged.digest(), set(&[one]).digest());
}

#[test]
fn an_absent_directory_is_an_error() {
    let options = Options { rules: Some("/nonexistent/rules".into()), ..Options::default() };
    assert!(Rules::load(&options).unwrap_err().to_string().contains("cannot read /nonexistent/rules"));
}

#[test]
fn a_directory_without_a_rule_is_an_error_that_says_what_to_do() {
    let said = |files: &Files| {
        let message = files.refusal();
        let directory = files.rules.display().to_string();
        assert!(message.starts_with(&directory) && message.contains("no rule is in it"), "{message}");
        assert!(message.contains("put files *.yml or *.yaml there"), "{message}");
    };
    said(&Files::new());
    // Neither another ending, nor a directory, nor a file that only has remarks holds a rule.
    let text = rule(1, "a:\n    server: x", "a");
    said(Files::new().rule("mine.yml.bak", &text).rule("deeper/mine.yml", &text));
    let files = Files::new();
    said(files.rule("later.yml", "# to be written\n--- # and more\n\n"));
    assert_eq!(files.rule("mine.yaml", &text).load().unwrap().rules().len(), 1);
    // Beside the shipped ones as well: whoever names a directory means rules of their own.
    let files = Files::new();
    let options = Options { without_shipped: false, ..files.options() };
    assert!(Rules::load(&options).unwrap_err().to_string().contains("no rule is in it"));
}

/// A set with a file that is not there is not the set that its owner means.
#[cfg(unix)]
#[test]
fn a_file_that_leads_nowhere_is_an_error_with_its_path() {
    let text = rule(1, "a:\n    server: x", "a");
    let files = Files::new();
    files.rule("mine.yml", &text).rule("deeper.yml/mine.yml", "no rule").list("mine.txt", "x");
    assert_eq!(files.load().unwrap().rules().len(), 1, "a directory is passed over");
    let (rule, other) = (files.rules.join("gone.yml"), files.rules.join("round.yaml"));
    std::os::unix::fs::symlink("nowhere", &rule).unwrap();
    std::os::unix::fs::symlink("round.yaml", &other).unwrap();
    let said = files.refusal();
    for path in [&rule, &other] {
        assert!(said.contains(&format!("cannot read {}", path.display())), "{said}");
    }
    assert!(said.contains("remove it"), "{said}");
    std::fs::remove_file(rule).unwrap();
    std::fs::remove_file(other).unwrap();
    let list = files.lists.join("gone.cidr");
    std::os::unix::fs::symlink("nowhere", &list).unwrap();
    let said = files.refusal();
    assert!(said.contains(&list.display().to_string()), "{said}");
}

#[test]
fn no_document_is_lost_between_separators() {
    let (one, two) = (rule(1, "a:\n    server: x", "a"), rule(2, "a:\n    server: y", "a"));
    for separator in ["---", "--- ", "---\t", "--- # the next", "---\r"] {
        let files = Files::new();
        files.rule("both.yml", &format!("{one}{separator}\n{two}"));
        assert_eq!(files.load().unwrap().rules().len(), 2, "{separator:?}");
    }
    // What the parser takes for an end and we do not is an error and no silence.
    for text in [format!("{one}...\n{two}"), format!("{one}---\r{two}")] {
        let files = Files::new();
        let said = files.rule("both.yml", &text).load().map(|rules| rules.rules().len());
        assert!(said.is_err() || said.as_ref().is_ok_and(|rules| *rules == 2), "{text:?}: {said:?}");
    }
}

#[test]
fn a_remark_is_no_group_and_one_of_several_is_not_all() {
    let bases = [rule(2, "a:\n    server: x", "a"), rule(3, "a:\n    server: y", "a")].join("---\n");
    let counted =
        correlation(1, "event_count", &["rule_2"], "5m", "# group-by: nothing\ncondition:\n    gte: 2");
    refused(&format!("{counted}---\n{bases}"), "no `group-by`");
    let any = correlation(1, "temporal", &["rule_2", "rule_3"], "5m", "group-by: []\ncondition:\n    gte: 1");
    refused(&format!("{any}---\n{bases}"), "`gte: 1`");
}

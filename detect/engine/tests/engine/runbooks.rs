//! Every alert names a runbook. It must be there.

use std::collections::BTreeSet;
use std::path::PathBuf;

use engine::{RULE_IDS, Settings};

const SECTIONS: [&str; 5] = ["## Look", "## Likely benign", "## Do", "## Tune", "## It cannot see"];

#[test]
fn every_rule_has_its_runbook_and_no_other_is_there() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/runbooks");
    let there: BTreeSet<String> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    let wanted: BTreeSet<String> =
        RULE_IDS.iter().copied().chain(["sigma"]).map(|id| format!("{id}.md")).collect();
    assert_eq!(there, wanted);
    // Rules in Sigma share one, and what is set about them is in their files.
    let sigma = std::fs::read_to_string(dir.join("sigma.md")).unwrap();
    for section in SECTIONS {
        assert!(sigma.contains(&format!("\n{section}\n")), "sigma: {section}");
    }
    let settings = serde_json::to_value(Settings::default()).unwrap();
    for id in RULE_IDS {
        let text = std::fs::read_to_string(dir.join(format!("{id}.md"))).unwrap();
        assert!(text.starts_with(&format!("# {id}\n")), "{id}");
        for section in SECTIONS {
            assert!(text.contains(&format!("\n{section}\n")), "{id}: {section}");
        }
        // What it says can be set, can be, and is the default.
        let (_, tune) =
            text.split_once(&format!("[detect.{id}]\n")).unwrap_or_else(|| panic!("{id}: no settings"));
        let (tune, _) = tune.split_once("```").unwrap();
        for line in tune.lines() {
            let (key, value) = line.split('#').next().unwrap().split_once('=').unwrap();
            assert_eq!(settings[id][key.trim()].to_string(), value.trim(), "{id}: {line}");
        }
    }
}

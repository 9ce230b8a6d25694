//! Every rule fires in its drill, under the defaults and under other settings.

use std::path::Path;
use std::sync::Arc;

use detect::{Drill, Outcome, drill};
use engine::{Settings, Setup};
use sigma::{Options, Rules};

fn drilled(settings: Settings, options: &Options) -> Vec<Drill> {
    let rules = Rules::load(options).unwrap();
    let rehearsals = sigma::rehearsals(options, &rules).unwrap();
    drill(&Setup { settings, rules: Some(Arc::new(rules)) }, &rehearsals).unwrap()
}

fn with_lists() -> Options {
    let lists = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules/tests/lists");
    Options { lists: Some(lists), ..Options::default() }
}

fn of<'a>(drills: &'a [Drill], rule_id: &str) -> &'a Drill {
    drills.iter().find(|drill| drill.rule_id == rule_id).unwrap()
}

#[test]
fn r33_every_rule_fires_under_the_defaults() {
    let drills = drilled(Settings::default(), &with_lists());
    for one in &drills {
        eprintln!("{one:?}");
    }
    for Drill { rule_id, outcome, .. } in &drills {
        assert!(matches!(outcome, Outcome::Fired { .. }), "{rule_id}: {outcome:?}");
    }
    assert!(drills.len() > engine::RULE_IDS.len() + 20, "{}", drills.len());
    let Outcome::Fired { after, alert } = &of(&drills, "revoked_credential_use").outcome else { panic!() };
    assert_eq!((*after, alert.entity.as_str()), (3, "drill-credential"));
}

#[test]
fn ceilings_are_those_of_the_settings_and_what_is_off_is_said_so() {
    let mut settings = Settings::default();
    settings.disabled.insert("off_hours".to_owned());
    settings.auth_failure_burst.failures_min = 37;
    settings.denial_ratio_ceiling.calls_min = 55;
    settings.call_rate.count_min = 10_000_000;
    let options = Options {
        disabled: ["anonymous_write".to_owned(), "target_cut".to_owned()].into(),
        ..Options::default()
    };
    let drills = drilled(settings, &options);
    assert_eq!(of(&drills, "off_hours").outcome, Outcome::Disabled);
    assert_eq!(of(&drills, "d8e06a9b-778f-4765-9c4b-bb3bb1385d2e").outcome, Outcome::Disabled);
    for (rule, events) in [("auth_failure_burst", 37), ("denial_ratio_ceiling", 55)] {
        let Outcome::Fired { after, .. } = &of(&drills, rule).outcome else { panic!("{rule}") };
        assert_eq!(*after, events, "{rule}");
    }
    let never = &of(&drills, "call_rate").outcome;
    assert!(matches!(never, Outcome::NotDrilled(why) if why.contains("more than")), "{never:?}");
    // Without a list a rule waits, and nothing is claimed of it.
    let waiting = of(&drills, "49ac624e-fc60-4311-a08c-a1ca60a383aa");
    assert!(
        matches!(&waiting.outcome, Outcome::NotDrilled(why) if why.contains("registered_servers")),
        "{waiting:?}"
    );
}

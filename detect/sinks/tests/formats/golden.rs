//! What each format says of ordinary items, byte for byte. `TACHO_GOLDEN=write` writes the files anew: look at the difference.

use std::fmt::Write as _;
use std::path::PathBuf;

use sinks::{Context, Format, Item, KillSwitch, kill_switch, render};

use crate::fixture;

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn name(item: &str, format: Format) -> String {
    match format {
        Format::Cef | Format::Leef => format!("{item}.{}", format.name()),
        _ => format!("{item}.{}.json", format.name()),
    }
}

/// Every golden file: name and content.
fn files() -> Vec<(String, String)> {
    let context = fixture::context();
    let (alerts, events, digest) = (fixture::alerts(), fixture::events(), fixture::digest());
    let mut items: Vec<(String, Item<'_>)> = Vec::new();
    items.extend(alerts.iter().map(|(name, alert)| (format!("alert_{name}"), Item::Alert(alert))));
    items.extend(events.iter().map(|(name, event)| (format!("event_{name}"), Item::Event(event))));
    items.push(("digest".to_owned(), Item::Digest(&digest)));
    let mut files = Vec::new();
    let mut add = |name: String, body: &[u8]| {
        files.push((name, format!("{}\n", std::str::from_utf8(body).unwrap())));
    };
    for (item_name, item) in &items {
        for format in Format::ALL {
            add(name(item_name, format), &render(format, *item, &context).body);
        }
    }
    let attested = Context { record_integrity: true, ..context.clone() };
    let (alert_name, alert) = &alerts[0];
    add(
        format!("alert_{alert_name}.ocsf-1.9.json"),
        &render(Format::Ocsf, Item::Alert(alert), &attested).body,
    );
    let switch = KillSwitch { holds_s: 900, is_dry_run: false };
    for (alert_name, alert) in &alerts {
        add(format!("alert_{alert_name}.kill_switch.json"), &kill_switch(alert, &context, switch).body);
    }
    files
}

#[test]
fn formats_say_what_they_said() {
    let mut wrong = String::new();
    let files = files();
    for (name, body) in &files {
        let path = directory().join(name);
        if std::env::var("TACHO_GOLDEN").is_ok_and(|value| value == "write") {
            std::fs::write(&path, body).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        if &golden != body {
            let at = golden.bytes().zip(body.bytes()).take_while(|(a, b)| a == b).count();
            let around = |text: &str| {
                let (from, to) =
                    (text.floor_char_boundary(at.saturating_sub(40)), text.ceil_char_boundary(at + 80));
                text[from..to].to_owned()
            };
            writeln!(wrong, "{name}, at {at}:\n- {}\n+ {}", around(&golden), around(body)).unwrap();
        }
    }
    assert!(
        wrong.is_empty(),
        "{wrong}if that is meant, run with TACHO_GOLDEN=write and commit the difference"
    );
    let known: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    for entry in std::fs::read_dir(directory()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(known.contains(&name.as_str()), "{name} is nobody's");
    }
}

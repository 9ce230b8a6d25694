//! What the shipped rules cost an event, and what rsigma-eval takes for the same rules and events.
//!
//! Times are those that the thread was on a core (Linux), so that other work on the machine does not count.
//!
//! `cargo run --release -p tachograph-sigma --example cost [EVENTS]`

#![expect(clippy::print_stdout, reason = "a measurement that is run by hand")]

use std::borrow::Cow;
use std::error::Error;
use std::path::Path;

use rsigma_eval::{CompiledRule, Event, EventValue, JsonEvent, compile_rule, evaluate_rule};
use schemas::Column;
use sigma::{Correlations, Fields, Options, Rules, Value};

/// One event as a collector's record would be: borrowed texts by field id.
#[derive(Debug)]
struct Row {
    texts: Vec<(u16, String)>,
    time_us: i64,
}

impl Fields for Row {
    fn value(&self, column: &'static Column) -> Value<'_> {
        if column.name == "time" {
            return Value::Number(self.time_us);
        }
        match self.texts.binary_search_by_key(&column.id, |(id, _)| *id) {
            Ok(at) => self.texts.get(at).map_or(Value::Null, |(_, text)| Value::Text(text)),
            Err(_) => Value::Null,
        }
    }
}

/// The same for the other evaluator, looked up by name.
struct Named(Vec<(&'static str, String)>);

impl Event for Named {
    fn get_field(&self, path: &str) -> Option<EventValue<'_>> {
        let found = self.0.iter().find(|(name, _)| *name == path);
        found.map(|(_, text)| EventValue::Str(Cow::Borrowed(text)))
    }

    fn any_string_value(&self, pred: &dyn Fn(&str) -> bool) -> bool {
        self.0.iter().any(|(_, text)| pred(text))
    }

    fn all_string_values(&self) -> Vec<Cow<'_, str>> {
        self.0.iter().map(|(_, text)| Cow::Borrowed(text.as_str())).collect()
    }

    fn to_json(&self) -> serde_json::Value {
        self.0.iter().map(|(name, text)| (*name, text.as_str())).collect()
    }
}

/// A call, mostly allowed: the columns that most records have.
fn cells(number: usize) -> Vec<(&'static str, String)> {
    let actions = ["read", "read", "read", "write", "execute"];
    let denied = number.is_multiple_of(50);
    let text = |text: &str| text.to_owned();
    vec![
        ("kind", text("call")),
        ("decision", text(if denied { "deny" } else { "allow" })),
        ("status", text(if denied { "denied" } else { "ok" })),
        ("environment", text("prod")),
        ("user_id", format!("user-{}", number % 400)),
        ("agent_id", format!("agent-{}", number % 40)),
        ("source_ip", format!("10.0.{}.{}", number % 7, number % 251)),
        ("session_id", format!("session-{}", number / 20)),
        ("call_id", format!("call-{number}")),
        ("server", format!("corp-{}", number % 12)),
        ("capability_type", text("tool")),
        ("capability", text(if number.is_multiple_of(3) { "pay" } else { "lookup" })),
        ("target", format!("https://example.com/accounts/{}/documents/{}", number % 90, number % 1_000)),
        ("action", text(actions.get(number % 5).copied().unwrap_or("read"))),
        ("request_hash", format!("{:032x}", number % 5_000)),
    ]
}

fn main() -> Result<(), Box<dyn Error>> {
    let events: usize = std::env::args().nth(1).map_or(Ok(300_000), |count| count.parse())?;
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules");
    let lists = directory.join("tests/lists");
    let rules = Rules::load(&Options { lists: Some(lists), ..Options::default() })?;
    let named: Vec<Named> = (0..events).map(|number| Named(cells(number))).collect();
    let rows = named.iter().zip(0_i64..).map(|(named, number)| {
        let column = |name: &str| schemas::Stream::Events.column(name).map_or(0, |column| column.id);
        let mut texts: Vec<(u16, String)> =
            named.0.iter().map(|(name, text)| (column(name), text.clone())).collect();
        texts.sort_unstable();
        Row { texts, time_us: number * 10_000 }
    });
    let rows: Vec<Row> = rows.collect();

    let begun = on_core()?;
    let matched: usize = rows.iter().map(|row| rules.matches(row).len()).sum();
    report("single events", events, begun, matched)?;

    let mut state = Correlations::new(&rules);
    let begun = on_core()?;
    let observe =
        |(row, index): (&Row, i64)| state.observe(&rules, row, index, row.time_us, row.time_us).len();
    let alerts: usize = rows.iter().zip(0_i64..).map(observe).sum();
    report("and correlations", events, begun, alerts)?;
    println!("{} groups, {} bytes of state", state.groups(), serde_json::to_vec(&state)?.len());

    // Rules with lists are left out of both: the other evaluator takes a placeholder for a column's name.
    let mut compiled: Vec<CompiledRule> = Vec::new();
    for entry in std::fs::read_dir(&directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "yml") {
            let collection = rsigma_parser::parse_sigma_yaml(&std::fs::read_to_string(path)?)?;
            for rule in collection.rules.iter().filter(|rule| !format!("{rule:?}").contains("Expand")) {
                compiled.push(compile_rule(rule)?);
            }
        }
    }
    let without_lists = Rules::load(&Options::default())?;
    let begun = on_core()?;
    let matched: usize = rows.iter().map(|row| without_lists.matches(row).len()).sum();
    report("single events without lists", events, begun, matched)?;
    let begun = on_core()?;
    let count = |event: &Named| compiled.iter().filter(|rule| evaluate_rule(rule, event).is_some()).count();
    let matched: usize = named.iter().map(count).sum();
    report("rsigma-eval, the same", events, begun, matched)?;
    let json: Vec<serde_json::Value> = named.iter().map(Event::to_json).collect();
    let begun = on_core()?;
    let count = |value: &serde_json::Value| {
        let event = JsonEvent::borrow(value);
        compiled.iter().filter(|rule| evaluate_rule(rule, &event).is_some()).count()
    };
    let matched: usize = json.iter().map(count).sum();
    report("rsigma-eval, the same from JSON", events, begun, matched)?;
    Ok(())
}

fn report(what: &str, events: usize, begun: u128, matched: usize) -> Result<(), Box<dyn Error>> {
    let nanoseconds = on_core()?.saturating_sub(begun) / (events as u128).max(1);
    println!("{what}: {nanoseconds} ns an event, {matched} matches");
    Ok(())
}

/// Nanoseconds that this process has been on a core.
fn on_core() -> Result<u128, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/self/schedstat")?;
    Ok(text.split_whitespace().next().ok_or("schedstat is empty")?.parse()?)
}

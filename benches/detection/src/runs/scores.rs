//! What a run may be scored by.

use std::collections::{BTreeMap, BTreeSet};

use engine::novelty::{Element, Novelty, Peers, Session};

use super::record::Run;

/// A score: the first number decides, the second where the first is the same.
pub type Score = [f64; 2];

/// Scores of `asked`, in order, by what was learnt of `baseline`.
pub type Scorer = fn(baseline: &[&Run], asked: &[&Run]) -> Vec<Score>;

/// What a session is made of.
#[derive(Clone, Copy)]
struct Made {
    workflow: bool,
    pairs: bool,
    destinations: bool,
}

const TOOLS: Made = Made { workflow: true, pairs: false, destinations: false };
const ALL: Made = Made { workflow: true, pairs: false, destinations: true };

/// The peers are a suite's, the workflow is the task, the entity is the pipeline.
fn session(run: &Run, made: Made) -> Session {
    let workflow = Some(run.task.as_str()).filter(|_| made.workflow);
    let mut session = Session::new(&run.pipeline, Peers::new(&run.suite, workflow));
    let mut before: Option<&str> = None;
    for call in &run.calls {
        session.call(&call.tool, if made.destinations { &call.destinations } else { &[] });
        if let Some(before) = before.filter(|_| made.pairs) {
            session.add(Element::pair(before, &call.tool));
        }
        before = Some(&call.tool);
    }
    session
}

/// By p, and by the surprise where no session of the baseline reaches it.
fn novelty(baseline: &[&Run], asked: &[&Run], made: Made) -> Vec<Score> {
    let mut novelty = Novelty::new();
    novelty.commit(baseline.iter().map(|run| session(run, made)).collect());
    let judged = asked.iter().map(|run| novelty.judge(&session(run, made)));
    judged.map(|verdict| [-verdict.ln_p, verdict.surprise]).collect()
}

pub fn ours(baseline: &[&Run], asked: &[&Run]) -> Vec<Score> {
    novelty(baseline, asked, ALL)
}

pub fn workflow_hidden(baseline: &[&Run], asked: &[&Run]) -> Vec<Score> {
    novelty(baseline, asked, Made { workflow: false, ..ALL })
}

pub fn with_pairs(baseline: &[&Run], asked: &[&Run]) -> Vec<Score> {
    novelty(baseline, asked, Made { pairs: true, ..ALL })
}

pub fn tools(baseline: &[&Run], asked: &[&Run]) -> Vec<Score> {
    novelty(baseline, asked, TOOLS)
}

pub fn tools_workflow_hidden(baseline: &[&Run], asked: &[&Run]) -> Vec<Score> {
    novelty(baseline, asked, Made { workflow: false, ..TOOLS })
}

/// The sum without the rank.
pub fn surprise(baseline: &[&Run], asked: &[&Run]) -> Vec<Score> {
    ours(baseline, asked).into_iter().map(|score| [score[1], 0.0]).collect()
}

pub fn calls(_baseline: &[&Run], asked: &[&Run]) -> Vec<Score> {
    asked.iter().map(|run| [run.calls.len() as f64, 0.0]).collect()
}

/// The number of tools and destinations that no run of the baseline had in this workflow: what a rule of new terms counts.
pub fn new_terms(baseline: &[&Run], asked: &[&Run]) -> Vec<Score> {
    let mut known: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for run in baseline {
        known.entry((&run.suite, &run.task)).or_default().extend(terms(run));
    }
    let new = |run: &&Run| {
        let known = known.get(&(run.suite.as_str(), run.task.as_str()));
        let terms: BTreeSet<&str> = terms(run).collect();
        let new = terms.iter().filter(|term| known.is_none_or(|known| !known.contains(*term)));
        [new.count() as f64, 0.0]
    };
    asked.iter().map(new).collect()
}

fn terms(run: &Run) -> impl Iterator<Item = &str> {
    run.calls.iter().flat_map(|call| {
        std::iter::once(call.tool.as_str()).chain(call.destinations.iter().map(String::as_str))
    })
}

#[cfg(test)]
mod tests {
    use super::super::record::{Call, Kind};
    use super::*;

    fn run(pipeline: &str, tools: &[&str]) -> Run {
        let call = |tool: &&str| Call {
            tool: (*tool).to_owned(),
            destinations: vec![format!("{tool}:to:recipient:1")],
        };
        let calls = tools.iter().map(call).collect();
        let text = str::to_owned;
        Run { pipeline: text(pipeline), suite: text("s"), task: text("t"), kind: Kind::Benign, calls }
    }

    #[test]
    fn each_score_sees_what_it_is_named_after() {
        let known: Vec<Run> = (0..30).map(|at| run(&at.to_string(), &["a", "b"])).collect();
        let baseline: Vec<&Run> = known.iter().collect();
        let (usual, turned, new) = (run("x", &["a", "b"]), run("x", &["b", "a"]), run("x", &["a", "c"]));
        let asked = [&usual, &turned, &new];
        let higher = |scores: &[Score]| (scores[1] > scores[0], scores[2] > scores[0]);
        assert_eq!(higher(&ours(&baseline, &asked)), (false, true));
        assert_eq!(higher(&tools_workflow_hidden(&baseline, &asked)), (false, true));
        assert_eq!(higher(&with_pairs(&baseline, &asked)), (true, true));
        assert_eq!(calls(&baseline, &asked), [[2.0, 0.0]; 3]);
        assert_eq!(new_terms(&baseline, &asked), [[0.0, 0.0], [0.0, 0.0], [2.0, 0.0]]);
        assert!(surprise(&baseline, &asked)[2][0] > tools(&baseline, &asked)[2][1]);
    }
}

//! The score of the Numenta Anomaly Benchmark, version 1.1.
//!
//! Written from the paper (Lavin and Ahmad 2015, "Evaluating Real-time Anomaly Detection Algorithms") and held against the
//! benchmark's published scores (`published.rs`); of its code `nab/sweeper.py` and `nab/runner.py` say what counts:
//!
//! - A record's score is compared with one threshold, the same for all files; at or above it is a detection. Detections in
//!   the first 15 % of a file, at most 750 records, are not looked at.
//! - A window is worth its first detection: `S(y) / S(-1)` times the weight of a hit, with `S(y) = 2 / (1 + e^(5 y)) - 1` and
//!   y from -1 at the first record to `-1 / length` at the last. A window without any costs the weight of a miss; one that
//!   lies in the first 15 % as a whole costs and earns nothing.
//! - Every detection outside costs the weight of a false alarm times `-S(y)`, y being its distance from the end of the last
//!   window over that window's length less one; `-S` is 1 from y = 3 on and before the first window.
//! - The threshold is the best there is for the profile, in hindsight; of equal ones the highest.
//! - 0 is a detector that never speaks, 100 one that speaks at the first record of every window and at no other.

use super::corpus::{Labelled, Window};

/// What hits, false alarms and misses are worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Profile {
    pub name: &'static str,
    pub hit: f64,
    pub false_alarm: f64,
    pub miss: f64,
}

/// The benchmark's own profiles.
pub const PROFILES: [Profile; 3] = [
    Profile { name: "standard", hit: 1.0, false_alarm: 0.11, miss: 1.0 },
    Profile { name: "reward low FP", hit: 1.0, false_alarm: 0.22, miss: 1.0 },
    Profile { name: "reward low FN", hit: 1.0, false_alarm: 0.11, miss: 2.0 },
];

/// Share of a file in which nothing counts, and the length of a file that it is taken of at most.
const PROBATION: f64 = 0.15;
const PROBATION_ROWS: f64 = 5_000.0;
/// Window lengths after which a false alarm costs all.
const FAR: f64 = 3.0;

/// A file and the score of each of its records.
pub type Judged<'a> = (&'a Labelled, &'a [f64]);

/// What one file is worth at a threshold, and its records by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct FileScore {
    pub score: f64,
    /// Detections in windows and outside.
    pub hits: usize,
    pub false_alarms: usize,
    /// Windows with a detection, and those that could have one.
    pub windows_seen: usize,
    pub windows: usize,
}

/// A record that counts, with what a detection there is worth but for the profile's weight.
#[derive(Debug, Clone, Copy)]
struct Place {
    score: f64,
    /// Number of the window among those of all files.
    window: Option<usize>,
    worth: f64,
}

/// First record that counts.
pub fn probation(rows: usize) -> usize {
    (PROBATION * rows as f64).floor().min(PROBATION * PROBATION_ROWS) as usize
}

/// `S`: from 1 far before to -1 far behind the end of a window.
fn sigmoid(position: f64) -> f64 {
    if position >= FAR { -1.0 } else { 2.0 / (1.0 + libm::exp(5.0 * position)) - 1.0 }
}

fn worth_inside(window: Window, at: usize) -> f64 {
    let length = (window.last - window.first + 1) as f64;
    sigmoid(-((window.last - at + 1) as f64) / length) / sigmoid(-1.0)
}

fn worth_outside(before: Option<Window>, at: usize) -> f64 {
    before.map_or(-1.0, |window| sigmoid((at - window.last) as f64 / (window.last - window.first) as f64))
}

/// The records of a file that count; its windows are numbered from `number` on.
fn places<'a>(file: &'a Labelled, scores: &'a [f64], number: usize) -> impl Iterator<Item = Place> + 'a {
    let counted = scores.iter().enumerate().skip(probation(scores.len()));
    counted.map(move |(at, score)| {
        let begun = file.windows.partition_point(|window| window.first <= at);
        let last = begun.checked_sub(1).and_then(|last| file.windows.get(last).copied());
        match last {
            Some(window) if at <= window.last => {
                Place { score: *score, window: Some(number + begun - 1), worth: worth_inside(window, at) }
            }
            before => Place { score: *score, window: None, worth: worth_outside(before, at) },
        }
    })
}

/// Windows of a file that a detection can fall into.
fn countable(file: &Labelled) -> usize {
    let from = probation(file.values.len());
    file.windows.iter().filter(|window| window.last >= from).count()
}

/// What a file is worth at a threshold.
pub fn at_threshold(file: &Labelled, scores: &[f64], threshold: f64, profile: &Profile) -> FileScore {
    let mut best: Vec<Option<f64>> = vec![None; file.windows.len()];
    let mut found = FileScore { windows: countable(file), ..FileScore::default() };
    for place in places(file, scores, 0).filter(|place| place.score >= threshold) {
        match place.window.and_then(|window| best.get_mut(window)) {
            Some(best) => {
                found.hits += 1;
                *best = Some(best.unwrap_or(place.worth).max(place.worth));
            }
            None => {
                found.false_alarms += 1;
                found.score += profile.false_alarm * place.worth;
            }
        }
    }
    for worth in best.iter().flatten() {
        found.windows_seen += 1;
        found.score += profile.hit * worth;
    }
    found.score -= profile.miss * (found.windows - found.windows_seen) as f64;
    found
}

/// The threshold that is best for all files together, and the sum of their scores at it. Infinity when it is best to be
/// silent.
pub fn best_threshold(files: &[Judged<'_>], profile: &Profile) -> (f64, f64) {
    let mut all = Vec::new();
    let mut windows = 0;
    for (file, scores) in files {
        all.extend(places(file, scores, windows));
        windows += file.windows.len();
    }
    all.sort_by(|a, b| f64::total_cmp(&b.score, &a.score));
    let mut gained: Vec<Option<f64>> = vec![None; windows];
    let mut sum = silent(files.iter().map(|(file, _)| *file), profile);
    let mut best = (f64::INFINITY, sum);
    for tied in all.chunk_by(|a, b| a.score == b.score) {
        for place in tied {
            sum += match place.window.and_then(|window| gained.get_mut(window)) {
                None => profile.false_alarm * place.worth,
                Some(gained) => gain(gained, place.worth, profile),
            };
        }
        match tied.first() {
            Some(place) if sum > best.1 => best = (place.score, sum),
            _ => {}
        }
    }
    best
}

/// What a further detection in a window adds to its worth.
fn gain(gained: &mut Option<f64>, worth: f64, profile: &Profile) -> f64 {
    let before = gained.map_or(-profile.miss, |before| profile.hit * before);
    let after = gained.map_or(worth, |before| before.max(worth));
    *gained = Some(after);
    profile.hit * after - before
}

/// The sum of a detector that never speaks.
fn silent<'a>(files: impl Iterator<Item = &'a Labelled>, profile: &Profile) -> f64 {
    -profile.miss * files.map(countable).sum::<usize>() as f64
}

/// A sum of scores on the benchmark's scale: 0 for silence, 100 for perfection.
pub fn normalised(files: &[Labelled], sum: f64, profile: &Profile) -> f64 {
    let windows: usize = files.iter().map(|file| file.windows.len()).sum();
    let (silent, perfect) = (silent(files.iter(), profile), profile.hit * windows as f64);
    100.0 * (sum - silent) / (perfect - silent)
}

#[cfg(test)]
mod tests;

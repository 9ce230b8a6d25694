//! What is compared: anything that gives each record of one series a score as it comes.

/// A detector of a single series of real numbers.
pub trait Stream {
    /// How unusual a value is, larger being more so, judged by those before it; then learns it. `second` is when it came,
    /// since 1970; values come in order, and not always evenly.
    fn step(&mut self, second: i64, value: f64) -> f64;
}

/// Speaks once: within a day of a score only a higher one counts, all others are 0.
///
/// An alert opens an episode, and what follows belongs to it (`docs/detection.md`); an episode speaks again when it gets worse.
/// Said without a threshold, so that it holds at any: at every threshold a day has one detection, and one more for each that
/// surpasses all of the day before it.
#[derive(Debug, Clone)]
pub struct Once<S> {
    stream: S,
    /// Scores of the last day that none later surpasses, falling.
    standing: std::collections::VecDeque<(i64, f64)>,
}

const DAY_SECONDS: i64 = 86_400;

impl<S> Once<S> {
    pub fn new(stream: S) -> Once<S> {
        Once { stream, standing: std::collections::VecDeque::new() }
    }
}

impl<S: Stream> Stream for Once<S> {
    fn step(&mut self, second: i64, value: f64) -> f64 {
        let score = self.stream.step(second, value);
        while self.standing.front().is_some_and(|(then, _)| second - then > DAY_SECONDS) {
            self.standing.pop_front();
        }
        let is_higher = self.standing.front().is_none_or(|(_, highest)| score > *highest);
        while self.standing.back().is_some_and(|(_, before)| *before <= score) {
            self.standing.pop_back();
        }
        self.standing.push_back((second, score));
        if is_higher { score } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Same;
    impl Stream for Same {
        fn step(&mut self, _second: i64, value: f64) -> f64 {
            value
        }
    }

    #[test]
    fn a_day_has_one_alert_and_those_that_surpass_it() {
        let mut once = Once::new(Same);
        let hour = 3_600;
        let said: Vec<f64> =
            [(0, 5.0), (1, 5.0), (2, 4.0), (3, 6.0), (26, 4.5), (27, 5.5), (28, 5.2), (52, 5.3)]
                .map(|(at, score)| once.step(at * hour, score))
                .to_vec();
        // At 26 h the 6 of 3 h still stands; at 28 h it is gone and 5.5 stands; at 52 h that is gone, but not the 5.2.
        assert_eq!(said, [5.0, 0.0, 0.0, 6.0, 0.0, 0.0, 0.0, 5.3]);
    }
}

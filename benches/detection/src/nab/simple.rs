//! What anybody would try first, on real numbers.

use std::collections::VecDeque;

use super::stream::Stream;

/// The benchmark's windowed Gaussian with its own parameters: mean and deviation of the last 6,400 values, moved on by 100;
/// the score is 1 less the normal tail on the side of the value.
#[derive(Debug, Clone, Default)]
pub struct WindowedGaussian {
    window: VecDeque<f64>,
    waiting: Vec<f64>,
    mean: f64,
    deviation: f64,
    /// Sums of the window, so that a window that only grows costs nothing; exact enough, since they are made anew whenever
    /// it is moved.
    sums: (f64, f64),
}

const WINDOW: usize = 6_400;
const STEP: usize = 100;
/// Deviation of a window of equal values.
const CONSTANT: f64 = 1e-6;

impl WindowedGaussian {
    fn learn(&mut self, value: f64) {
        if self.window.len() < WINDOW {
            self.window.push_back(value);
            self.sums = (self.sums.0 + value, self.sums.1 + value * value);
            return self.measure();
        }
        self.waiting.push(value);
        if self.waiting.len() == STEP {
            self.window.drain(..STEP);
            self.window.extend(self.waiting.drain(..));
            self.sums = self.window.iter().fold((0.0, 0.0), |(sum, square), x| (sum + x, square + x * x));
            self.measure();
        }
    }

    fn measure(&mut self) {
        let number = self.window.len() as f64;
        self.mean = self.sums.0 / number;
        let variance = self.sums.1 / number - self.mean * self.mean;
        // What is left of a difference of two large sums is not a deviation.
        let is_constant = variance <= 1e-12 * self.mean * self.mean;
        self.deviation = if is_constant { CONSTANT } else { variance.sqrt() };
    }
}

impl Stream for WindowedGaussian {
    fn step(&mut self, _second: i64, value: f64) -> f64 {
        let score = if self.window.is_empty() {
            0.0
        } else {
            let z = (value - self.mean).abs() / self.deviation;
            1.0 - 0.5 * libm::erfc(z / std::f64::consts::SQRT_2)
        };
        self.learn(value);
        score
    }
}

/// Deviations from an exponentially weighted mean with a half-life of a day, in exponentially weighted standard deviations.
#[derive(Debug, Clone, Default)]
pub struct Ewma {
    last: Option<i64>,
    mean: f64,
    variance: f64,
    weight: f64,
}

const DAY_SECONDS: f64 = 86_400.0;

impl Stream for Ewma {
    fn step(&mut self, second: i64, value: f64) -> f64 {
        let deviation = self.variance.max(1e-12).sqrt();
        let score = if self.weight > 0.0 { (value - self.mean).abs() / deviation } else { 0.0 };
        let elapsed = self.last.map_or(0, |last| (second - last).max(0)) as f64;
        self.last = Some(second);
        self.weight = libm::exp2(-elapsed / DAY_SECONDS) * self.weight + 1.0;
        let away = value - self.mean;
        self.mean += away / self.weight;
        self.variance += (away * (value - self.mean) - self.variance) / self.weight;
        score
    }
}

/// A fixed limit, then silence for a day: what most alerting rules are.
#[derive(Debug, Clone)]
pub struct Lockout<S> {
    pub stream: S,
    pub limit: f64,
    pub until: i64,
}

impl<S: Stream> Stream for Lockout<S> {
    fn step(&mut self, second: i64, value: f64) -> f64 {
        let score = self.stream.step(second, value);
        if score < self.limit || second < self.until {
            return 0.0;
        }
        self.until = second + DAY_SECONDS as i64;
        score
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_moved_by_its_step_and_a_constant_one_has_a_deviation() {
        let mut gaussian = WindowedGaussian::default();
        assert_eq!(gaussian.step(0, 45.0), 0.0);
        for _ in 1..WINDOW {
            assert_eq!(gaussian.step(0, 45.0), 0.5);
        }
        assert_eq!(gaussian.step(0, 46.0), 1.0);
        for _ in 1..STEP {
            gaussian.step(0, 45.0);
        }
        // Now the 46 is among the 6,400: mean 45 + 1/6,400, deviation about 1/80, so that 45 lies at z = 1/80.
        let score = gaussian.step(0, 45.0);
        assert!((score - (0.5 + 0.0125 * 0.398_942)).abs() < 1e-5, "{score}");
    }

    #[test]
    fn a_lockout_speaks_at_its_limit_and_then_not_for_a_day() {
        let mut rule = Lockout { stream: Ewma::default(), limit: 3.0, until: i64::MIN };
        for at in 0..2_000 {
            // The second value is any number of the deviations of one value away, and there is silence for a day after it.
            let score = rule.step(at * 300, (at % 2) as f64);
            assert_eq!(score > 0.0, at == 1, "{at}");
        }
        let first = 2_000 * 300;
        assert!(rule.step(first, 50.0) > 3.0);
        assert_eq!(rule.step(first + 86_399, 5e3), 0.0);
        assert!(rule.step(first + 86_400, 5e5) > 3.0);
    }
}

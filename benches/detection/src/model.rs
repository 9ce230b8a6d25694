//! What is compared: anything that gives each count of a set of series a score.

/// A score is the negative natural logarithm of the probability of a count as high as that, as the model sees it.
pub trait Model {
    fn name(&self) -> &'static str;

    /// Scores the counts of a bucket, one a series (none where a series has ended), and then learns them.
    fn step(&mut self, bucket: i64, counts: &[Option<u64>]) -> Vec<f64>;

    /// The highest score that a series would get from `bucket` on, had it these counts. Learns nothing for good.
    fn probe(&self, bucket: i64, series: usize, counts: &[u64]) -> f64;
}

/// A model of a single series.
pub trait Single: Clone {
    fn step(&mut self, bucket: i64, count: u64) -> f64;
}

/// Series that know nothing of one another.
#[derive(Debug)]
pub struct Separate<S> {
    pub name: &'static str,
    pub series: Vec<S>,
}

impl<S: Single> Model for Separate<S> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn step(&mut self, bucket: i64, counts: &[Option<u64>]) -> Vec<f64> {
        let each = self.series.iter_mut().zip(counts);
        each.map(|(series, count)| count.map_or(0.0, |count| series.step(bucket, count))).collect()
    }

    fn probe(&self, bucket: i64, series: usize, counts: &[u64]) -> f64 {
        let mut copy = self.series[series].clone();
        (bucket..).zip(counts).map(|(bucket, count)| copy.step(bucket, *count)).fold(0.0, f64::max)
    }
}

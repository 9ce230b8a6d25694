//! Ids of events: UUIDv7, fixed when something is seen, so that sending it again is a duplicate and not a second record.

/// Makes the ids of one run of the tap.
#[derive(Debug)]
pub struct Identifiers {
    run: [u8; 32],
    made: u64,
}

impl Identifiers {
    /// Of the run with this name, which no other run has.
    pub fn new(run: &[u8]) -> Identifiers {
        Identifiers { run: *blake3::hash(run).as_bytes(), made: 0 }
    }

    /// The next id, of something seen at `time_us`.
    pub fn next(&mut self, time_us: i64) -> String {
        self.made += 1;
        let mut random = [0; 10];
        let mut hash = blake3::Hasher::new_keyed(&self.run).update(&self.made.to_be_bytes()).finalize_xof();
        hash.fill(&mut random);
        let ms = u64::try_from(time_us.div_euclid(1000)).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(ms, &random).into_uuid().to_string()
    }

    /// Goes on as that of another run.
    pub fn restart(&mut self, run: &[u8]) {
        *self = Identifiers::new(run);
    }
}

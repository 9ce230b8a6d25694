//! Which of an entity's values are among the largest twentieth of what is usual for it at that time of the day.
//!
//! The limit is the upper edge of a bucket of the past's sketch with `m <= 0.05 N` values above, so that the number above it of `n` new ones is
//! beta-binomial with shapes `m + 1` and `N - m` whatever the law of the values (an order statistic of exchangeable values),
//! brought down to how much the values of one window hang together.

use serde::{Deserialize, Serialize};

use super::spread::Spread;
use super::{Effects, Past, Prediction, WINDOW_US, Window};
use crate::settings::Settings;
use crate::sketch::{BLOCKS_OF_DAY, Quantiles, Sketch, Upper, block};

/// Share of values that are usual at most above the limit.
const SHARE_PPM: u64 = 50_000;
/// Values from which on a time of the day, or the whole day, has a limit.
const SETTLED: u64 = 200;
/// Blocks that an entity speaks for itself from.
const SETTLED_BLOCKS: u32 = 6;
/// How many times the limit a value is learnt as at most: growth is followed within days, and an incident is not.
const LEARNT: u64 = 2;

/// Sketches by the six blocks of a day, and how windows differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Slowness {
    values: Quantiles,
    spread: Spread,
    /// By block of the day; follow from the values.
    #[serde(skip)]
    limits: [Option<Upper>; BLOCKS_OF_DAY as usize],
    /// What larger values of that block are learnt as; where nothing is known of it, they are learnt as they are.
    #[serde(skip)]
    tops: [Option<u64>; BLOCKS_OF_DAY as usize],
}

/// Where two numbers are both needed to say that it is slow.
#[derive(Debug, Clone, Copy)]
struct Floor {
    times_milli: u64,
    more_us: u64,
}

impl Slowness {
    fn limit(&self, window: i64) -> Option<&Upper> {
        self.limits.get(of_day(block(window.saturating_mul(WINDOW_US))))?.as_ref()
    }

    fn set_limits(&mut self) {
        let of = |sketch: &Sketch| sketch.upper(SHARE_PPM).filter(|upper| upper.total >= SETTLED);
        // Before a whole day counts, what is known of all hours is what is known of some.
        let all = of(&self.values.all()).filter(|_| self.values.committed() >= SETTLED_BLOCKS);
        for (at, (limit, top)) in self.limits.iter_mut().zip(&mut self.tops).enumerate() {
            let own = of(&self.values.of(at as i64));
            *limit = own.or(all);
            *top = own.map(|own| own.greatest.saturating_mul(LEARNT));
        }
    }
}

/// Which block of its day one is.
fn of_day(block: i64) -> usize {
    usize::try_from(block.rem_euclid(BLOCKS_OF_DAY)).unwrap_or(0)
}

impl Past for Slowness {
    type Peers = ();
    type Kept = Sketch;

    fn new() -> Slowness {
        Slowness {
            values: Quantiles::new(BLOCKS_OF_DAY),
            spread: Spread::default(),
            limits: [None; BLOCKS_OF_DAY as usize],
            tops: [None; BLOCKS_OF_DAY as usize],
        }
    }

    fn is_hit(&self, value: u64, window: i64) -> bool {
        self.limit(window).is_some_and(|limit| value > limit.greatest)
    }

    fn keep(kept: &mut Sketch, value: u64) {
        kept.add(value);
    }

    fn carry(kept: &mut Sketch, earlier: &Sketch) {
        kept.merge(earlier);
    }

    fn is_settled(&self) -> bool {
        self.values.committed() >= SETTLED_BLOCKS && self.limits.iter().any(Option::is_some)
    }

    fn predict(&self, window: i64, (): &()) -> Option<Prediction> {
        let limit = self.limit(window)?;
        let (a, b) = self
            .spread
            .scaled(limit.above.saturating_add(1) as f64, limit.total.saturating_sub(limit.above) as f64);
        Some(Prediction { a, b, is_peer: false })
    }

    fn effects(&self, window: &Window<'_, Self>, _expected: &Prediction, settings: &Settings) -> Effects {
        let floor = &settings.p95_latency;
        let floor = Floor {
            times_milli: floor.times_min_milli.unsigned_abs(),
            more_us: floor.more_min_ms.unsigned_abs().saturating_mul(1_000),
        };
        let usual = self.limit(window.number).map_or(0, |limit| limit.greatest);
        // From below, where the usual one is from above: what is told is never more than what was.
        let now = window.kept.upper(SHARE_PPM).map_or(0, |upper| upper.least);
        let is_large = u128::from(now).saturating_mul(1_000)
            >= u128::from(usual).saturating_mul(u128::from(floor.times_milli))
            && now >= usual.saturating_add(floor.more_us);
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        Effects { observed: number(now), expected: number(usual), is_large }
    }

    fn learn(&mut self, window: &Window<'_, Self>, expected: Option<&Prediction>, is_open: bool) {
        if let Some(expected) = expected.filter(|_| !is_open) {
            self.spread.learn(window.hits, window.total, expected.rate());
        }
        let now = block(window.number.saturating_mul(WINDOW_US));
        self.values.pending(now).merge(window.kept);
        if self.values.is_due(now) {
            let tops = self.tops;
            self.values.commit(now, |block| tops.get(of_day(block)).copied().flatten());
            self.set_limits();
        }
    }

    fn peers<'a>(_established: impl Iterator<Item = &'a Slowness> + Clone) {}

    fn restored(&mut self) {
        self.set_limits();
    }
}

//! Where a session comes from.

use crate::calendar::{Zone, day_of, released};
use crate::random::{Purpose, Random};
use crate::world::{Class, Principal};

/// Where roaming users go.
const COUNTRIES: [&str; 10] = ["FR", "GB", "ES", "IT", "PL", "NL", "US", "CA", "SG", "AE"];
/// Days between which a trip lasts.
const TRIP: i64 = 4;

/// Address and country of a session that begins at a moment. Offices are in 10/8, clouds in 172.16/12, homes in 198.18/15, phones in
/// 100.64/10, hotels in 192/8.
pub(crate) fn address(
    seed: u64,
    at: usize,
    principal: &Principal,
    time_us: i64,
    random: &mut Random,
) -> (String, &'static str) {
    let of_person =
        |index: i64| Random::stream(seed, Purpose::Address, (at as u64) << 20 | index.unsigned_abs());
    let day = principal.zone.day(time_us);
    let (mut own, mut today) = (of_person(0), of_person(1 + day));
    let country = principal.zone.country();
    let region = match principal.zone {
        Zone::Berlin => 0,
        Zone::NewYork => 1,
        Zone::Kolkata => 2,
    };
    if principal.is_machine() {
        // Pods are scheduled anew each day; some pools of nodes are replaced with the release.
        let (pool, moves) = (own.below(8), own.chance(0.3));
        let pool = if moves && time_us >= released() { pool + 8 } else { pool };
        return (format!("172.{}.{pool}.{}", 16 + region, 2 + today.below(250)), country);
    }
    if random.chance(0.004) {
        return (format!("100.{}.{}.{}", 64 + region, random.below(8), 1 + random.below(254)), country);
    }
    let (first, second, host, floor) = (own.below(512), own.below(512), 1 + own.below(254), own.below(12));
    if principal.class == Class::Roaming {
        let mut trip = of_person(4_000 + day.div_euclid(TRIP));
        if trip.chance(0.7) {
            let (place, hotel) = (trip.below(COUNTRIES.len()), trip.below(24));
            let host = 2 + trip.below(250);
            let country = COUNTRIES.get(place).copied().unwrap_or(country);
            return (format!("192.{}.{hotel}.{host}", 10 + place), country);
        }
    }
    if today.chance(0.6) {
        return (format!("10.{region}.{floor}.{host}"), country);
    }
    // Three in ten get another line at home, on a day of their own.
    let moves_on = if own.chance(0.3) { 10 + own.below(75) as i64 } else { i64::MAX };
    let line = if day_of(time_us) >= moves_on { second } else { first };
    (format!("198.{}.{}.{host}", 18 + line / 256, line % 256), country)
}

//! How much work there is when: the law that the fleet's own rates follow, without its chance.

use crate::calendar::{DAY, HOLIDAY, HOUR, RELEASE, day_of, released};
use crate::catalog::ROLES;
use crate::world::{Class, Principal};

/// Roles that work more from the release on, and by how much.
const RISES: [(&str, f64); 2] = [("support", 1.25), ("data", 1.25)];
/// Roles that carry the release, and how much more they do on its day.
const CARRIES: [(&str, f64); 2] = [("engineering", 1.6), ("operations", 1.6)];

/// Sessions an hour that a principal begins at a moment, on average.
pub(crate) fn sessions_an_hour(principal: &Principal, time_us: i64) -> f64 {
    if time_us < principal.from_us || time_us >= principal.until_us {
        return 0.0;
    }
    let share = match principal.class {
        // Its runs have a timetable.
        Class::Timetable => HOUR as f64 / principal.every as f64 / principal.sessions,
        Class::Service => {
            let hour = principal.zone.hour(time_us);
            // Those who ask it are away on a holiday.
            let asked = if principal.zone.day(time_us) == HOLIDAY { 0.6 } else { 1.0 };
            asked * (1.0 + 0.35 * libm::sin((hour - 8.0) * std::f64::consts::PI / 12.0)) / 24.0
        }
        Class::Shift => shift(principal, time_us),
        Class::Desk | Class::Roaming => office(principal, time_us),
    };
    principal.sessions * share * release(principal, time_us)
}

/// Calls an hour, on average.
pub(crate) fn calls_an_hour(principal: &Principal, time_us: i64) -> f64 {
    sessions_an_hour(principal, time_us) * principal.calls_of_session()
}

/// Share of a working day's sessions that an hour has.
fn office(principal: &Principal, time_us: i64) -> f64 {
    let hour = principal.zone.hour(time_us);
    let (from, to) = principal.hours;
    let rises = ((hour - from) + 0.5).clamp(0.0, 1.0);
    let falls = ((to - hour) / 1.5 + 0.5).clamp(0.0, 1.0);
    let lunch = if (12.0..13.25).contains(&hour) { 0.4 } else { 1.0 };
    let shape = (rises * falls * lunch).max(0.002);
    let free = if principal.zone.is_free(time_us) { principal.weekend } else { 1.0 };
    shape * free / (to - from - 0.75)
}

/// Early, late and night shifts of eight hours, each for a week; two days off.
fn shift(principal: &Principal, time_us: i64) -> f64 {
    let local = principal.zone.local(time_us);
    let week = local.div_euclid(7 * DAY) + principal.phase;
    let begins = [6.0, 14.0, 22.0][week.rem_euclid(3) as usize];
    let since = (principal.zone.hour(time_us) - begins).rem_euclid(24.0);
    let is_off = (principal.zone.day(time_us) + principal.phase).rem_euclid(7) >= 5;
    let shape = if since < 8.0 { 1.0 } else { 0.002 };
    shape * if is_off { principal.weekend } else { 1.0 } / 8.0
}

fn release(principal: &Principal, time_us: i64) -> f64 {
    let role = ROLES.get(principal.role).map_or("", |(name, ..)| *name);
    let of =
        |list: &[(&str, f64)]| list.iter().find(|(name, _)| *name == role).map_or(1.0, |(_, times)| *times);
    let after = if time_us >= released() { of(&RISES) } else { 1.0 };
    let day = if day_of(time_us) == RELEASE { of(&CARRIES) } else { 1.0 };
    after * day
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::start;
    use crate::world::World;

    fn of_day(principal: &Principal, day: i64) -> f64 {
        // A local day has 96 quarters, but on the day on which clocks change.
        (0..96).map(|quarter| sessions_an_hour(principal, start(day) + quarter * HOUR / 4) / 4.0).sum()
    }

    #[test]
    fn a_working_day_has_about_the_sessions_that_it_should() {
        let world = World::new(3, 400, 90);
        for principal in world.principals.iter().filter(|one| one.from_us == start(0)) {
            let expected = match principal.class {
                Class::Timetable => DAY as f64 / principal.every as f64,
                Class::Shift => continue,
                _ => principal.sessions,
            };
            let found = of_day(principal, 8);
            assert!((found / expected - 1.0).abs() < 0.2, "{:?} {found} {expected}", principal.class);
        }
    }

    #[test]
    fn weekends_nights_and_the_holiday_are_quiet_but_for_machines() {
        let world = World::new(3, 400, 90);
        for principal in
            world.principals.iter().filter(|one| one.until_us == start(90) && one.from_us == start(0))
        {
            let (friday, holiday) = (of_day(principal, 53), of_day(principal, HOLIDAY));
            match principal.class {
                Class::Desk | Class::Roaming => assert!(holiday < 0.35 * friday, "{holiday} {friday}"),
                Class::Service => assert!((holiday / friday - 0.6).abs() < 0.1),
                Class::Shift | Class::Timetable => {}
            }
        }
    }
}

//! Everything that writes, as one script; and what a store does once something failed.

use std::sync::atomic::Ordering;

use schemas::Stream;
use schemas::origin::ROOT_TENANT;

use super::draft::{Event, draft};
use super::rig::{LOGS, Rig};
use crate::commit::commit_once;
use crate::error::{Error, Result};
use crate::sequence::place;
use crate::{seal, threads};

pub(super) fn events(first: u64, count: u64, stream: Stream) -> Vec<Event> {
    (first..first + count).map(|number| Event::new(number, stream)).collect()
}

/// Everything that writes, once.
pub(super) fn script(rig: &mut Rig) -> Result<()> {
    rig.open_logs()?;
    rig.append("default", Stream::Events, &events(0, 3, Stream::Events))?;
    rig.append("default", Stream::Alerts, &events(0, 2, Stream::Alerts))?;
    rig.commit_all()?;
    rig.sign(true)?;
    rig.rounds(true)?;
    rig.commit_all()?;
    rig.sign(true)?;
    rig.seal_all()?;
    // Past a full tile, and several write-ahead files.
    for round in 0..4 {
        rig.append("default", Stream::Access, &events(100 + round * 100, 90, Stream::Access))?;
        rig.append("other", Stream::Events, &events(100 + round * 100, 2, Stream::Events))?;
        rig.pull("other", Stream::Events, 3)?;
        rig.commit_all()?;
    }
    rig.sign(true)?;
    rig.seal("default", Stream::Access)?;
    rig.tick()?;
    rig.append("default", Stream::Access, &events(1000, 30, Stream::Access))?;
    rig.commit_all()?;
    rig.sign(true)?;
    rig.seal("default", Stream::Access)?;
    rig.tick()?;
    rig.append("default", Stream::Alerts, &events(10, 1, Stream::Alerts))?;
    rig.commit_all()?;
    rig.clock.advance(20_000_000);
    rig.tick()?;
    rig.commit_all()?;
    rig.finish()
}

/// A stopped store does nothing more: no append, no second try of what failed.
pub(super) fn check_stopped(rig: &Rig) {
    let shared = &rig.opened.shared;
    assert!(shared.poisoned.get().is_some(), "a failure stops the store");
    let asked = rig.disk.operations();
    assert!(matches!(shared.admit(0), Err(Error::Poisoned { .. })));
    for log in shared.all_logs() {
        if log.origin.stream() == Stream::Alerts {
            let late = draft(log.origin.tenant(), Stream::Alerts, &events(9000, 1, Stream::Alerts));
            assert!(matches!(place(shared, &log, &late, &[], true), Err(Error::Poisoned { .. })));
            assert!(!matches!(commit_once(shared), Ok(true)), "committed after a failure");
        }
        log.seal_wanted.store(true, Ordering::SeqCst);
        assert!(!matches!(seal::seal(shared, &log), Ok(true)), "sealed after a failure");
    }
    assert_eq!(rig.disk.operations(), asked, "the disk was asked again after a failure");
}

#[test]
fn a_full_disk_refuses_events_and_still_seals() {
    let mut rig = Rig::new();
    rig.open_logs().unwrap();
    rig.append("default", Stream::Events, &events(0, 3, Stream::Events)).unwrap();
    rig.commit_all().unwrap();
    rig.disk.set_free_bytes(1 << 20);
    threads::tick(&rig.opened.shared, &mut rig.opened.rounds).unwrap();
    let refused = rig.append("default", Stream::Events, &events(10, 1, Stream::Events));
    assert!(matches!(refused, Err(Error::DiskFull { .. })), "{refused:?}");
    rig.sign(true).unwrap();
    rig.seal_all().unwrap();
    for (tenant, stream) in LOGS.into_iter().chain([(ROOT_TENANT, Stream::Root)]) {
        let snapshot = rig.opened.shared.find(tenant, stream).unwrap().snapshot();
        assert_eq!(snapshot.sealed, snapshot.durable, "{tenant} {stream}");
    }
    rig.disk.set_free_bytes(1 << 40);
    rig.tick().unwrap();
    rig.append("default", Stream::Events, &events(10, 1, Stream::Events)).unwrap();
    rig.check_and_close();
}

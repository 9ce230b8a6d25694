//! Recording and rotation.

use schemas::Stream;

use super::super::check::verify_image;
use super::super::disk::SimDisk;
use super::super::faults::{check_stopped, events, script};
use super::super::home::{Home, check_lineage};
use super::super::rig::{LOGS, Rig};
use super::Phase;
use crate::error::Result;

/// A store that ended amid its work: some of it sealed, some signed, some durable and no more.
pub(super) fn working() -> Home {
    let mut home = Home::new();
    let mut rig = home.open().unwrap();
    for (tenant, stream) in LOGS {
        rig.open_log(tenant, stream).unwrap();
    }
    let appends = |rig: &mut Rig, first: u64| {
        rig.append("default", Stream::Events, &events(first, 5, Stream::Events)).unwrap();
        rig.append("other", Stream::Events, &events(first + 10, 2, Stream::Events)).unwrap();
        rig.append("default", Stream::Alerts, &events(first + 20, 1, Stream::Alerts)).unwrap();
        rig.commit_all().unwrap();
    };
    appends(&mut rig, 100);
    rig.sign(true).unwrap();
    rig.seal_all().unwrap();
    rig.rounds(true).unwrap();
    appends(&mut rig, 200);
    rig.sign(true).unwrap();
    appends(&mut rig, 300);
    home.model = rig.model.clone();
    home.ended()
}

/// Goes on recording, and what is there then is clean to an auditor who has this key.
pub(super) fn goes_on(mut rig: Rig, key: &str) -> SimDisk {
    rig.open_log("default", Stream::Events).unwrap();
    rig.append("default", Stream::Events, &events(9000, 2, Stream::Events)).unwrap();
    rig.finish().unwrap();
    rig.check();
    verify_image(&rig.disk, key);
    rig.disk
}

fn record(home: &mut Home) -> Result<()> {
    let mut rig = Rig::open(home.data.clone(), home.clock.clone(), std::mem::take(&mut home.model))?;
    let done = script(&mut rig);
    if done.is_err() {
        check_stopped(&rig);
    }
    home.model = rig.model;
    done
}

fn open(home: &mut Home) -> Result<()> {
    home.open().map(drop)
}

fn check_recorded(_: &Phase, home: &Home, number: u64) {
    home.check_memory();
    let (home, again) = (home.ended(), home.model.clone());
    let mut rig = Rig::open(home.data.clone(), home.clock.clone(), again).unwrap();
    rig.check();
    // What the process before read from the kernel's memory, this one made durable: it answers with it.
    rig.promise_everything();
    let cut = home.cut(number);
    cut.check_memory();
    let again = rig.reopen(cut.data);
    if number.is_multiple_of(16) {
        again.check_and_close();
    } else {
        again.check();
    }
}

#[test]
fn recording_keeps_its_promises_whatever_fails() {
    let phase = Phase {
        name: "append, sign, seal, publish",
        before: Home::new(),
        act: record,
        again: open,
        check: check_recorded,
        sample: 150,
    };
    phase.run();
}

fn rotate(home: &mut Home) -> Result<()> {
    home.rotate().map(drop)
}

/// Finished, or it never was; in either case it goes on, and can be rotated.
fn check_rotated(phase: &Phase, home: &Home, number: u64) {
    home.check_memory();
    let home = home.ended();
    let rig = home.open().unwrap();
    check_lineage(&rig, &home.model, &|_| None);
    let writer = rig.opened.shared.options.writer.clone();
    assert!(writer == "w1" || writer.starts_with("w2-"), "{writer}");
    drop(rig);
    let cut = home.cut(number);
    let rig = cut.open().unwrap();
    check_lineage(&rig, &home.model, &|_| None);
    assert_eq!(rig.opened.shared.options.writer, writer, "what was seen to be so is so");
    let key = cut.first_root_key();
    goes_on(rig, &key);
    let (clean, after) = (cut.ended(), cut.ended());
    clean.assert_no_fork(&phase.before);
    if writer == "w1" || number.is_multiple_of(8) {
        after.rotate().unwrap();
        check_lineage(&after.open().unwrap(), &after.model, &|_| None);
        verify_image(&after.data, &key);
        after.assert_no_fork(&phase.before);
    }
}

#[test]
fn a_rotation_is_finished_or_never_was_whatever_fails() {
    let phase = Phase {
        name: "rotate",
        before: working(),
        act: rotate,
        again: open,
        check: check_rotated,
        sample: 16,
    };
    phase.run();
}

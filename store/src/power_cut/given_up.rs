//! Write-ahead files whose names a power cut brought back.

use schemas::Stream;

use super::check::verify_image;
use super::damage::Ended;
use super::faults::events;
use super::image::{files, put};
use super::rig::{Rig, keys};
use crate::disk::Disk as _;

#[test]
fn what_was_given_up_and_came_back_goes_again() {
    let mut rig = Rig::new();
    rig.open_logs().unwrap();
    let record = |rig: &mut Rig, first: u64| {
        rig.append("default", Stream::Access, &events(first, 90, Stream::Access)).unwrap();
        rig.commit_all().unwrap();
        rig.sign(true).unwrap();
    };
    record(&mut rig, 0);
    let wal = |rig: &Rig| -> Vec<String> {
        files(&rig.disk, "wal").into_iter().filter(|path| path.ends_with(".wal")).collect()
    };
    let oldest = wal(&rig).swap_remove(0);
    let bytes = rig.disk.read(&oldest).unwrap();
    for first in [100, 200, 300] {
        record(&mut rig, first);
        rig.seal_all().unwrap();
        rig.tick().unwrap();
    }
    record(&mut rig, 400);
    assert!(!wal(&rig).contains(&oldest), "{:?}", wal(&rig));
    let ended = Ended::of(rig);
    put(&ended.disk, &oldest, &bytes);
    // An auditor who comes before the next start is not told that somebody tampered with it.
    let told = verify_image(&ended.disk, &crate::root_key(&keys(), "w1").unwrap());
    assert!(told.notes.iter().any(|note| note.file.as_ref() == Some(&oldest)), "{:?}", told.notes);
    let rig = ended.open();
    rig.check();
    assert!(!wal(&rig).contains(&oldest), "{:?}", wal(&rig));
    rig.verify();
    rig.check_and_close();
}

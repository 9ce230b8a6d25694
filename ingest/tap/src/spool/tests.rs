use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn options(home: &Path, bytes_max: u64) -> Options {
    Options { home: home.to_path_buf(), bytes_max, file_bytes: 200 }
}

fn read_all(mut reader: Reader, end: Option<Position>) -> (Vec<String>, u64) {
    let mut all = Vec::new();
    loop {
        let batch = reader.next(end).unwrap();
        if batch.events.is_empty() {
            return (all, reader.broken_bytes());
        }
        all.extend(batch.events.into_iter().map(|(event, _)| event));
    }
}

fn events(count: usize) -> Vec<String> {
    (0..count).map(|at| format!("event {at} {}", "x".repeat(at % 50))).collect()
}

#[test]
fn events_come_back_in_order_and_go_when_acknowledged() {
    let home = tempfile::tempdir().unwrap();
    let spool = Spool::create(options(home.path(), 1 << 20), "run").unwrap();
    let directory = home.path().join("run");
    let events = events(100);
    for event in &events {
        assert_eq!(spool.append(event), Kept::Yes);
    }
    for path in [home.path().join("run"), directory.join("0000000001.events"), directory.join("marks")] {
        let mode = path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
    }
    assert_eq!(read_all(spool.reader(), Some(spool.end())), (events.clone(), 0));
    let batch = spool.reader().next(Some(spool.end())).unwrap();
    let (_, middle) = batch.events[49];
    spool.acknowledge(middle);
    assert_eq!(read_all(Reader::new(directory.clone(), middle), Some(spool.end())).0, events[50..]);
    assert!(!directory.join("0000000001.events").exists());
    assert_eq!(bytes_below(home.path()), spool.state().bytes);
    spool.acknowledge(spool.end());
    assert!(files(&directory).len() <= 1);
    spool.remove_if_done();
    assert!(!directory.exists());
}

#[test]
fn a_tear_at_any_byte_leaves_whole_events_and_is_counted() {
    let home = tempfile::tempdir().unwrap();
    let spool = Spool::create(options(home.path(), 1 << 20), "run").unwrap();
    let events = events(12);
    for event in &events {
        spool.append(event);
    }
    let directory = home.path().join("run");
    let last = files(&directory).pop().unwrap();
    let path = directory.join(file_name(last));
    let whole = std::fs::read(&path).unwrap();
    let before = read_all(spool.reader(), Some(Position { file: last, offset: 0 })).0.len();
    for length in (0..=whole.len()).rev() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let (read, broken) = read_all(spool.reader(), None);
        assert!(read.len() >= before && read == events[..read.len()], "{length}");
        let kept: u64 = read[before..].iter().map(|event| frames::framed_bytes(event)).sum();
        assert_eq!(broken, length as u64 - kept, "{length}");
    }
    // A flipped bit anywhere is found; what lies behind it in its file is not trusted.
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        std::fs::write(&path, &damaged).unwrap();
        let (read, broken) = read_all(spool.reader(), None);
        assert!(read == events[..read.len()] && read.len() < events.len() && broken > 0, "{at}");
    }
    // Nor does it hide the files behind.
    std::fs::write(&path, &whole).unwrap();
    let first = directory.join(file_name(1));
    let mut damaged = std::fs::read(&first).unwrap();
    damaged[13] ^= 1;
    std::fs::write(&first, &damaged).unwrap();
    let (read, broken) = read_all(spool.reader(), None);
    assert_eq!(broken, damaged.len() as u64);
    assert_eq!(read, events[events.len() - read.len()..]);
    assert!(!read.is_empty());
}

#[test]
fn beyond_the_cap_events_are_dropped_and_counted_exactly() {
    let home = tempfile::tempdir().unwrap();
    let event = "x".repeat(88);
    let spool = Spool::create(options(home.path(), 1000), "run").unwrap();
    let kept = (0..25).filter(|_| spool.append(&event) == Kept::Yes).count();
    assert_eq!((kept, spool.dropped(), spool.dropped_unreported()), (10, 15, 15));
    assert!(!spool.has_room());
    // There is always room for saying so, and the count survives the process.
    drop(spool);
    let [orphan] = <[Orphan; 1]>::try_from(orphans(home.path(), None)).unwrap();
    assert_eq!(orphan.dropped_unreported(), 15);
    drop(orphan);
    let other = Spool::create(options(home.path(), 1100), "other").unwrap();
    assert_eq!(other.append(&event), Kept::Yes, "room for one beside what the other left");
    assert_eq!(other.append(&event), Kept::Dropped);
    assert!(other.append_notice("one was dropped", 1));
    assert_eq!((other.dropped(), other.dropped_unreported()), (1, 0));
    assert!(!other.append_notice(&"x".repeat(TAP_SPOOL_RESERVE_BYTES as usize), 0));
    other.acknowledge(other.end());
    let orphan = orphans(home.path(), Some(&home.path().join("other"))).pop().unwrap();
    orphan.remove();
    other.look_at_others();
    assert_eq!(other.append(&event), Kept::Yes);
}

#[test]
fn a_directory_belongs_to_whoever_lives() {
    let home = tempfile::tempdir().unwrap();
    let first = Spool::create(options(home.path(), 1 << 20), "a").unwrap();
    let second = Spool::create(options(home.path(), 1 << 20), "b").unwrap();
    // Where one of that name lives, the next name is taken, and after the last none.
    let others: Vec<Spool> = (1..TAP_SPOOL_NAMES_MAX)
        .map(|attempt| {
            let other = Spool::create(options(home.path(), 1 << 20), "a").unwrap();
            assert!(home.path().join(format!("a-{attempt}/lock")).is_file());
            other
        })
        .collect();
    let error = Spool::create(options(home.path(), 1 << 20), "a").unwrap_err().to_string();
    assert!(error.contains("lock a directory in"), "{error}");
    for other in others {
        other.remove_if_done();
    }
    first.append("of a");
    assert!(second.orphans().is_empty());
    let clone = first.clone();
    drop(first);
    assert!(second.orphans().is_empty(), "a clone lives");
    drop(clone);
    let found = second.orphans();
    assert_eq!(found.len(), 1);
    assert!(second.orphans().is_empty(), "adopted once");
    assert_eq!(read_all(found[0].reader(), None).0, ["of a"]);
}

#[test]
fn what_others_may_write_into_is_not_trusted_and_a_link_is_not_followed() {
    let home = tempfile::tempdir().unwrap();
    let open = home.path().join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
    let error = Spool::create(options(&open, 1 << 20), "run").unwrap_err().to_string();
    assert!(error.contains("others may write"), "{error}");
    // Of what lies in a directory of one's own, the same.
    let own = home.path().join("own");
    let spool = Spool::create(options(&own, 1 << 20), "run").unwrap();
    let planted = own.join("planted");
    std::fs::create_dir(&planted).unwrap();
    std::fs::set_permissions(&planted, std::fs::Permissions::from_mode(0o777)).unwrap();
    std::os::unix::fs::symlink(&open, own.join("link")).unwrap();
    assert!(spool.orphans().is_empty());
    let linked = own.join("linked");
    std::fs::create_dir(&linked).unwrap();
    std::fs::set_permissions(&linked, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::write(home.path().join("target"), b"kept").unwrap();
    std::os::unix::fs::symlink(home.path().join("target"), linked.join("marks")).unwrap();
    assert!(spool.orphans().is_empty(), "a link in the place of a file");
    assert_eq!(std::fs::read(home.path().join("target")).unwrap(), b"kept");
}

#[test]
fn marks_that_were_torn_count_as_none() {
    let home = tempfile::tempdir().unwrap();
    let position = Position { file: 7, offset: 4242 };
    {
        let mut marks = Marks::open(home.path()).unwrap();
        marks.acknowledge(position);
        marks.drop_one();
    }
    let path = home.path().join("marks");
    let whole = std::fs::read(&path).unwrap();
    assert_eq!(Marks::open(home.path()).unwrap().acknowledged(), position);
    for at in 0..24 {
        let mut torn = whole.clone();
        torn[at] ^= 1;
        std::fs::write(&path, torn).unwrap();
        let marks = Marks::open(home.path()).unwrap();
        assert_eq!((marks.acknowledged(), marks.dropped()), (Position { file: 1, offset: 0 }, 1), "{at}");
    }
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(Marks::open(home.path()).unwrap().dropped(), 0, "{length}");
    }
}

#[test]
fn a_disk_that_takes_nothing_is_counted_and_what_follows_is_kept() {
    let home = tempfile::tempdir().unwrap();
    let spool = Spool::create(options(home.path(), 1 << 20), "run").unwrap();
    let away = home.path().join("away");
    std::process::Command::new("mv").arg(home.path().join("run")).arg(&away).status().unwrap();
    assert_eq!(spool.append("lost"), Kept::Dropped);
    std::process::Command::new("mv").arg(&away).arg(home.path().join("run")).status().unwrap();
    assert_eq!(spool.append("kept"), Kept::Yes);
    assert_eq!(spool.dropped(), 1);
    assert_eq!(read_all(spool.reader(), Some(spool.end())).0, ["kept"]);
    spool.close();
    assert_eq!(spool.append("too late"), Kept::Dropped);
}

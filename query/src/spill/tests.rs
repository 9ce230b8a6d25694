use std::io::Write as _;

use futures::TryStreamExt;
use tempfile::TempDir;

use super::*;

fn options(directory: &TempDir, bytes: usize, free_bytes_min: u64) -> SpillOptions {
    SpillOptions { directory: directory.path().to_path_buf(), bytes, free_bytes_min }
}

fn own_of(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref::<Error>()
}

#[tokio::test]
async fn what_is_written_is_read_by_every_reader_and_given_back() {
    let directory = tempfile::tempdir().unwrap();
    let spill = Spill::new(options(&directory, 10 << 20, 0));
    let manager = Arc::new(spill.of_a_query("acme", &Stop::endless()).build().unwrap());
    assert!(manager.tmp_files_enabled());
    let file = manager.create_tmp_file("test").unwrap();
    let written: Vec<u8> = (0..3 * READ_BYTES + 5).map(|at| (at % 251) as u8).collect();
    let mut writer = file.open_writer().unwrap();
    for part in written.chunks(40_000) {
        writer.write_all(part).unwrap();
    }
    writer.finish().unwrap();
    assert_eq!(file.size(), Some(written.len() as u64));
    let readers = [file.read_stream().unwrap(), file.read_stream().unwrap()];
    assert_eq!(spill.used_bytes(), written.len());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "no file has a name");
    drop((writer, file));
    for reader in readers {
        let parts: Vec<bytes::Bytes> = reader.try_collect().await.unwrap();
        assert!(parts.iter().all(|part| part.len() <= READ_BYTES));
        assert_eq!(parts.concat(), written);
    }
    assert_eq!(spill.used_bytes(), 0);
}

#[test]
fn one_tenant_has_half_and_all_have_the_whole() {
    let directory = tempfile::tempdir().unwrap();
    let spill = Spill::new(options(&directory, 100, 0));
    let managers = ["acme", "acme", "other", "third"]
        .map(|tenant| Arc::new(spill.of_a_query(tenant, &Stop::endless()).build().unwrap()));
    let files = [0, 1, 2, 3].map(|at| managers[at].create_tmp_file("test").unwrap());
    let mut writers = files.each_ref().map(|file| file.open_writer().unwrap());
    writers[0].write_all(&[0; 30]).unwrap();
    let refused = writers[1].write_all(&[0; 21]).unwrap_err();
    assert!(matches!(own_of(&refused), Some(Error::Busy)), "its neighbour holds what it needs: {refused}");
    writers[1].write_all(&[0; 20]).unwrap();
    let refused = writers[2].write_all(&[0; 51]).unwrap_err();
    assert!(matches!(own_of(&refused), Some(Error::AnswerTooLarge { limit: 50, .. })), "{refused}");
    writers[2].write_all(&[0; 40]).unwrap();
    let refused = writers[3].write_all(&[0; 11]).unwrap_err();
    assert!(matches!(own_of(&refused), Some(Error::Busy)), "{refused}");
    writers[3].write_all(&[0; 10]).unwrap();
    assert_eq!(spill.used_bytes(), 100);
    drop((writers, files));
    assert_eq!(spill.used_bytes(), 0);
    // What was refused took nothing of anyone's, and who is gone is not remembered.
    drop(managers);
    let manager = Arc::new(spill.of_a_query("acme", &Stop::endless()).build().unwrap());
    manager.create_tmp_file("test").unwrap().open_writer().unwrap().write_all(&[0; 50]).unwrap();
    assert_eq!(spill.tenants.lock().unwrap().len(), 1);
}

#[test]
fn files_are_counted_as_bytes_are() {
    let directory = tempfile::tempdir().unwrap();
    let spill = Spill::new(options(&directory, 100, 0));
    let query = |tenant: &str| Arc::new(spill.of_a_query(tenant, &Stop::endless()).build().unwrap());
    let own = |error: DataFusionError| match error {
        DataFusionError::External(own) => *own.downcast::<Error>().unwrap(),
        other => panic!("{other}"),
    };
    let many = |tenant: &str| {
        let manager = query(tenant);
        let files: Vec<_> = (0..FILES_MAX).map(|_| manager.create_tmp_file("test").unwrap()).collect();
        (manager, files)
    };
    let (first, mut held) = many("acme");
    let refused = own(first.create_tmp_file("test").err().unwrap());
    assert!(matches!(refused, Error::AnswerTooLarge { limit, .. } if limit == FILES_MAX as u64), "{refused}");
    held.pop();
    held.push(first.create_tmp_file("test").unwrap());
    let (_second, _also_held) = many("acme");
    let refused = own(query("acme").create_tmp_file("test").err().unwrap());
    assert!(matches!(refused, Error::Busy), "one tenant's: {refused}");
    let _others = [many("other"), many("third")];
    let refused = own(query("fourth").create_tmp_file("test").err().unwrap());
    assert!(matches!(refused, Error::Busy), "all: {refused}");
    drop(held);
    query("fourth").create_tmp_file("test").unwrap();
}

/// Several who write in turns look at the disk as often as one: what all have written since is what counts. And where one found too
/// little, none goes on without looking.
#[test]
fn what_all_write_between_two_looks_is_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let spill = Spill::new(options(&directory, 1 << 30, 0));
    let managers = ["a", "b", "c", "d"]
        .map(|tenant| Arc::new(spill.of_a_query(tenant, &Stop::endless()).build().unwrap()));
    let mut writers =
        managers.each_ref().map(|manager| manager.create_tmp_file("test").unwrap().open_writer().unwrap());
    let part = vec![0; LOOK_BYTES as usize / 16];
    let unlooked = || *spill.unlooked.lock().unwrap();
    for writer in &mut writers {
        writer.write_all(&part).unwrap();
        assert_eq!(unlooked(), 0, "each looks when it begins");
    }
    let mut looks = 0;
    for _ in 0..8 {
        for writer in &mut writers {
            writer.write_all(&part).unwrap();
            assert!(unlooked() <= LOOK_BYTES);
            looks += u32::from(unlooked() == 0);
        }
    }
    assert_eq!(looks, 1, "32 parts of a sixteenth");
    let full = Spill::new(options(&directory, 1 << 30, 1 << 60));
    let manager = Arc::new(full.of_a_query("a", &Stop::endless()).build().unwrap());
    for _ in 0..3 {
        let file = manager.create_tmp_file("test").unwrap();
        let refused = file.open_writer().unwrap().write_all(&[0; 1]).unwrap_err();
        assert!(matches!(own_of(&refused), Some(Error::DiskFull)), "{refused}");
    }
}

#[test]
fn the_space_that_recording_needs_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let spill = Spill::new(options(&directory, 100, 1 << 60));
    let manager = Arc::new(spill.of_a_query("acme", &Stop::endless()).build().unwrap());
    let file = manager.create_tmp_file("test").unwrap();
    let refused = file.open_writer().unwrap().write_all(&[0; 10]).unwrap_err();
    assert!(matches!(own_of(&refused), Some(Error::DiskFull)), "{refused}");
    assert_eq!(spill.used_bytes(), 0);
}

#[tokio::test]
async fn a_query_that_must_end_neither_writes_nor_reads_on() {
    let directory = tempfile::tempdir().unwrap();
    let spill = Spill::new(options(&directory, 10 << 20, 0));
    let stop = Stop::endless();
    let manager = Arc::new(spill.of_a_query("acme", &stop).build().unwrap());
    let file = manager.create_tmp_file("test").unwrap();
    let mut writer = file.open_writer().unwrap();
    writer.write_all(&[7; 100]).unwrap();
    let reader = file.read_stream().unwrap();
    stop.cancel();
    let refused = writer.write_all(&[7; 100]).unwrap_err();
    assert!(matches!(own_of(&refused), Some(Error::Cancelled)), "{refused}");
    assert!(reader.try_collect::<Vec<bytes::Bytes>>().await.is_err());
    drop((writer, file));
    assert_eq!(spill.used_bytes(), 0);
}

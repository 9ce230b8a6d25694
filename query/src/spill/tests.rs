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
    let manager = Arc::new(spill.of_a_query().build().unwrap());
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
fn one_query_has_half_and_all_have_the_whole() {
    let directory = tempfile::tempdir().unwrap();
    let spill = Spill::new(options(&directory, 100, 0));
    let managers = [0, 1, 2].map(|_| Arc::new(spill.of_a_query().build().unwrap()));
    let files = [0, 1, 2].map(|at| managers[at].create_tmp_file("test").unwrap());
    let mut writers = files.each_ref().map(|file| file.open_writer().unwrap());
    writers[0].write_all(&[0; 50]).unwrap();
    let refused = writers[0].write_all(&[0; 1]).unwrap_err();
    assert!(matches!(own_of(&refused), Some(Error::AnswerTooLarge { limit: 50, .. })), "{refused}");
    writers[1].write_all(&[0; 40]).unwrap();
    let refused = writers[2].write_all(&[0; 11]).unwrap_err();
    assert!(matches!(own_of(&refused), Some(Error::Busy)), "{refused}");
    writers[2].write_all(&[0; 10]).unwrap();
    assert_eq!(spill.used_bytes(), 100);
    drop((writers, files));
    assert_eq!(spill.used_bytes(), 0);
}

#[test]
fn the_space_that_recording_needs_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let spill = Spill::new(options(&directory, 100, 1 << 60));
    let manager = Arc::new(spill.of_a_query().build().unwrap());
    let file = manager.create_tmp_file("test").unwrap();
    let refused = file.open_writer().unwrap().write_all(&[0; 10]).unwrap_err();
    assert!(matches!(own_of(&refused), Some(Error::DiskFull)), "{refused}");
    assert_eq!(spill.used_bytes(), 0);
}

//! Write-ahead files changed by somebody who knows the format: recovery answers, and never loses what was signed
//! without saying so.

use std::panic::{AssertUnwindSafe, catch_unwind};

use schemas::group::{FileHeader, GROUP_HEADER_BYTES};
use schemas::layout;

use super::check::read;
use super::damage::{Ended, Group, groups};
use super::image::{edit, put};
use super::random::Random;
use super::rig::Rig;
use crate::disk::Disk as _;

const MUTATIONS: u64 = 600;
const MUTATIONS_FULL: u64 = 20_000;
/// Where the digests of a group lie in its header.
const BODY_DIGEST: std::ops::Range<usize> = 64..96;
const HEADER_DIGEST: std::ops::Range<usize> = 96..128;

/// What recovery made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Clean,
    Torn,
    ReadOnly,
    /// Recovery could not read what it must; the store does not open.
    Refused,
}

/// Makes the digests of a group right again.
fn seal_group(bytes: &mut [u8], group: &Group) {
    let body_end = (group.body() + group.body_bytes).min(bytes.len());
    let digest = blake3::hash(&bytes[group.body().min(body_end)..body_end]);
    let header = &mut bytes[group.offset..group.offset + GROUP_HEADER_BYTES];
    header[BODY_DIGEST].copy_from_slice(digest.as_bytes());
    let digest = blake3::hash(&header[..HEADER_DIGEST.start]);
    header[HEADER_DIGEST].copy_from_slice(digest.as_bytes());
}

fn mutate(ended: &Ended, random: &mut Random) {
    let disk = &ended.disk;
    let all = ended.wal_files();
    let pick = |random: &mut Random, from: usize| usize::try_from(random.below(from as u64)).unwrap();
    // Damage in the newest group alone may be a torn write: a third of all goes there.
    let is_newest = random.one_in(3);
    let path = &all[if is_newest { all.len() - 1 } else { pick(random, all.len()) }];
    let found = groups(path, &disk.read(path).unwrap());
    let group = (!found.is_empty())
        .then(|| found[if is_newest { found.len() - 1 } else { pick(random, found.len()) }].clone());
    match (random.below(11), group) {
        (0, _) | (_, None) => edit(disk, path, |bytes| {
            let at = pick(random, bytes.len());
            bytes[at] ^= 1 << random.below(8);
        }),
        (1, _) => edit(disk, path, |bytes| bytes.truncate(pick(random, bytes.len()))),
        (2, _) => disk.remove(path).unwrap(),
        (3, _) => {
            // Two files change places, or one is there twice.
            let other = &all[pick(random, all.len())];
            let (a, b) = (disk.read(path).unwrap(), disk.read(other).unwrap());
            put(disk, path, &b);
            if random.one_in(2) {
                put(disk, other, &a);
            }
        }
        (4, _) => {
            // A file nobody wrote, under a number that may be extreme.
            let number = [u64::MAX, u64::MAX - 1, 0, 1 << 40][pick(random, 4)];
            let mut bytes = disk.read(path).unwrap();
            bytes[..512].copy_from_slice(&FileHeader { number, nonce: [3; 16] }.encode());
            put(disk, &layout::wal(number), &bytes);
        }
        (5, Some(group)) => edit(disk, path, |bytes| {
            let from = group.offset + 512 * pick(random, 4);
            let end = (from + 512).min(bytes.len());
            bytes[from.min(end)..end].fill(0);
        }),
        (6, Some(group)) => edit(disk, path, |bytes| {
            // One byte of a body, digests right.
            bytes[group.body() + pick(random, group.body_bytes)] ^= 1 << random.below(8);
            seal_group(bytes, &group);
        }),
        (7, Some(group)) => edit(disk, path, |bytes| {
            // A header field, digests right: group number, synced place, sections.
            let at = group.offset + [8, 15, 32, 47, 52, 55][pick(random, 6)];
            bytes[at] = u8::try_from(random.below(256)).unwrap();
            seal_group(bytes, &group);
        }),
        (8, Some(group)) => edit(disk, path, |bytes| {
            // A body that ends earlier.
            let shorter = Group { body_bytes: pick(random, group.body_bytes), ..group };
            let length = u32::try_from(shorter.body_bytes).unwrap();
            bytes[shorter.offset + 48..shorter.offset + 52].copy_from_slice(&length.to_be_bytes());
            seal_group(bytes, &shorter);
        }),
        (9, Some(group)) => {
            // A group again, behind the last of its file.
            let last = found.last().unwrap();
            let end = last.body().next_multiple_of(512) + last.body_bytes.next_multiple_of(512);
            edit(disk, path, |bytes| {
                let copy = bytes[group.offset..group.body() + group.body_bytes].to_vec();
                bytes.resize(bytes.len().max(end + copy.len()), 0);
                bytes[end..end + copy.len()].copy_from_slice(&copy);
            });
        }
        (_, Some(group)) => edit(disk, path, |bytes| {
            // An extreme number in a group, digests right.
            bytes[group.offset + 8..group.offset + 16].fill(0xFF);
            seal_group(bytes, &group);
        }),
    }
}

fn outcome(ended: Ended) -> Outcome {
    let Ended { disk, clock, model } = ended;
    let Ok(rig) = Rig::open(disk, clock, model) else { return Outcome::Refused };
    if rig.opened.shared.tampered.get().is_some() {
        return Outcome::ReadOnly;
    }
    for (name, promised) in &rig.model.logs {
        let Some((size, root)) = promised.shown.last_key_value() else { continue };
        let log = rig.opened.shared.find(&name.0, name.1).expect("a signed log is gone and nobody said so");
        let found = read(&rig.disk, &log);
        let again = found.roots.get(usize::try_from(*size).unwrap());
        assert_eq!(again, Some(root), "{name:?}: what was signed at size {size} is not what is here");
    }
    let root = rig.opened.shared.find(schemas::origin::ROOT_TENANT, schemas::Stream::Root).unwrap();
    let is_torn = read(&rig.disk, &root).controls.values().any(|text| text.contains("\"recovery\""));
    if is_torn { Outcome::Torn } else { Outcome::Clean }
}

#[test]
fn no_mutation_of_the_write_ahead_files_is_passed_over() {
    let base = Ended::new();
    let full = std::env::var("TACHO_FULL").is_ok_and(|full| full == "1");
    let mut reached = [0u64; 4];
    let mut failed = Vec::new();
    for seed in 0..if full { MUTATIONS_FULL } else { MUTATIONS } {
        let run = || {
            let mut random = Random::new(seed);
            let ended = base.copy();
            for _ in 0..=random.below(2) {
                mutate(&ended, &mut random);
                if ended.wal_files().is_empty() {
                    break;
                }
            }
            outcome(ended)
        };
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(outcome) => reached[outcome as usize] += 1,
            Err(_) => {
                eprintln!("mutation {seed} failed");
                failed.push(seed);
            }
        }
    }
    let [clean, torn, read_only, refused] = reached;
    eprintln!("mutations: {clean} clean, {torn} torn, {read_only} read-only, {refused} refused to open");
    assert!(failed.is_empty(), "{failed:?}");
    assert!(clean > 0 && torn > 0 && read_only > 0, "an outcome was never reached");
}

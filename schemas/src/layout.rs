//! Every path below a data directory: log places to relative paths and back, nothing else.
//!
//! ```text
//! log/<tenant>/<stream>/<writer>/
//!     log.json                                      a convenience, never trusted
//!     checkpoint                                    a rebuildable copy of the newest signed checkpoint
//!     manifest/<20 digits>                          kept for ever
//!     tile/<L>/<N>[.p/<W>]                          C2SP tlog-tiles
//!     segments/date=YYYY-MM-DD/<first>-<last>-<digest>.parquet
//!     payloads/date=YYYY-MM-DD/<first>-<last>-<digest>.parquet
//! wal/<20 digits>.wal                               transient, shared by all logs of the writer
//! quarantine/                                       what recovery set aside
//! retired/<writer>/<20 digits>.wal                  write-ahead files of a writer that was given up
//! restored                                          a copy put back, not taken into service yet
//! lock                                              held by the one writer
//! ```

use crate::limits::TILE_WIDTH;
use crate::origin::{Origin, ROOT_TENANT, is_part};
use crate::stream::Stream;
use crate::tile::TileId;
use crate::{Error, Result};

/// Directory of all logs.
pub const LOG: &str = "log";
/// Directory of the write-ahead files.
pub const WAL: &str = "wal";
/// Directory of what recovery set aside.
pub const QUARANTINE: &str = "quarantine";
/// Directory of the write-ahead files of writers that were given up, a directory a writer.
pub const RETIRED: &str = "retired";
/// Marks a data directory that was put back from a backup and not adopted yet; it says whether all of it is there.
pub const RESTORED: &str = "restored";
/// What a backup says of itself.
pub const BACKUP: &str = "backup.json";
/// Directory of detector snapshots.
pub const DETECT: &str = "detect";
/// Directory of what sinks keep, a directory a sink.
pub const SINKS: &str = "sinks";
/// Directory of what witnesses cosigned.
pub const WITNESS: &str = "witness";
/// In it: the newest checkpoint of the root log that enough witnesses have cosigned, with their lines.
pub const COSIGNED: &str = "cosigned";
/// The file that says why this store signs nothing more: there until a person has looked and removed it.
pub const STOPPED: &str = "stopped";
/// The writer's lock file.
pub const LOCK: &str = "lock";
/// The local socket of a running service.
pub const SOCKET: &str = "socket";
/// Name of a log's convenience file.
pub const LOG_JSON: &str = "log.json";
/// Name of a log's checkpoint copy.
pub const CHECKPOINT: &str = "checkpoint";
/// Directory of a log's manifests.
pub const MANIFEST: &str = "manifest";
/// Directory of a log's tiles.
pub const TILE: &str = "tile";

/// The directory of a log below the data directory.
pub fn log_dir(tenant: &str, stream: Stream, writer: &str) -> String {
    format!("{LOG}/{tenant}/{stream}/{writer}")
}

/// The directory of the log with this origin.
pub fn origin_dir(origin: &Origin) -> String {
    log_dir(origin.tenant(), origin.stream(), origin.writer())
}

/// What a log's directory says of its origin: tenant, stream, writer.
///
/// # Errors
/// [`Error::Malformed`] when the three names are not as [`log_dir`] makes them.
pub fn parse_log_dir(tenant: &str, stream: &str, writer: &str) -> Result<(String, Stream, String)> {
    let stream: Stream = stream.parse()?;
    let fits = is_part(tenant) && is_part(writer) && ((tenant == ROOT_TENANT) == (stream == Stream::Root));
    if !fits {
        return Err(Error::malformed("log directory", format!("{tenant}/{stream}/{writer}")));
    }
    Ok((tenant.to_string(), stream, writer.to_string()))
}

/// A manifest's path below its log.
pub fn manifest(number: u64) -> String {
    format!("{MANIFEST}/{number:020}")
}

/// The number of a manifest file.
///
/// # Errors
/// [`Error::Malformed`] unless `name` is 20 digits.
pub fn parse_manifest(name: &str) -> Result<u64> {
    twenty_digits(name).ok_or_else(|| Error::malformed("manifest name", format!("{name:?} is not 20 digits")))
}

/// A write-ahead file's path below the data directory.
pub fn wal(number: u64) -> String {
    format!("{WAL}/{number:020}.wal")
}

/// The number of a write-ahead file.
///
/// # Errors
/// [`Error::Malformed`] unless `name` is 20 digits and `.wal`.
pub fn parse_wal(name: &str) -> Result<u64> {
    name.strip_suffix(".wal").and_then(twenty_digits).ok_or_else(|| {
        Error::malformed("write-ahead file name", format!("{name:?} is not 20 digits and .wal"))
    })
}

fn twenty_digits(text: &str) -> Option<u64> {
    (text.len() == 20 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

/// A tile's path below its log.
pub fn tile(id: TileId) -> String {
    let mut path = format!("{TILE}/{}/", id.level);
    let digits = format!("{:03}", id.index);
    let lead = digits.len().div_ceil(3) * 3;
    let padded = format!("{digits:0>lead$}");
    let groups = padded.len() / 3;
    for (at, digit) in padded.chars().enumerate() {
        if at % 3 == 0 {
            if at > 0 {
                path.push('/');
            }
            if at / 3 + 1 < groups {
                path.push('x');
            }
        }
        path.push(digit);
    }
    if id.width < TILE_WIDTH {
        path.push_str(&format!(".p/{}", id.width));
    }
    path
}

/// The tile that a path below its log names: the strict inverse of [`tile`].
///
/// # Errors
/// [`Error::Malformed`] for every other path.
pub fn parse_tile(path: &str) -> Result<TileId> {
    let wrong = || Error::malformed("tile path", format!("{path:?}"));
    let mut parts = path.split('/');
    if parts.next() != Some(TILE) {
        return Err(wrong());
    }
    let level = parts.next().and_then(|part| part.parse().ok()).ok_or_else(wrong)?;
    let mut index = 0u64;
    let mut width = TILE_WIDTH;
    for part in parts.by_ref() {
        let digits = part.trim_start_matches('x').trim_end_matches(".p");
        let group: u64 = digits.parse().map_err(|_| wrong())?;
        index = index.checked_mul(1000).and_then(|index| index.checked_add(group)).ok_or_else(wrong)?;
        if !part.starts_with('x') {
            if part.ends_with(".p") {
                width = parts.next().and_then(|part| part.parse().ok()).ok_or_else(wrong)?;
            }
            break;
        }
    }
    let id = TileId { level, index, width };
    if parts.next().is_some() || width == 0 || tile(id) != path {
        return Err(wrong());
    }
    Ok(id)
}

/// The index and width of the entry bundle that a path below a log names: `tile/entries/<N>[.p/<W>]`. Bundles are served,
/// never stored.
///
/// # Errors
/// [`Error::Malformed`] for every other path.
pub fn parse_entries(path: &str) -> Result<(u64, u64)> {
    let rest = path.strip_prefix("tile/entries/");
    let rest = rest.ok_or_else(|| Error::malformed("entry bundle path", format!("{path:?}")))?;
    parse_tile(&format!("{TILE}/0/{rest}")).map(|id| (id.index, id.width))
}

/// Which of the two Parquet files of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileKind {
    /// Entries.
    Segment,
    /// What may be erased.
    Payload,
}

impl FileKind {
    /// The directory of files of this kind.
    pub const fn dir(self) -> &'static str {
        match self {
            FileKind::Segment => "segments",
            FileKind::Payload => "payloads",
        }
    }
}

/// What the path of a segment or payload file says.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileName {
    /// Which of the two.
    pub kind: FileKind,
    /// UTC ingest date of entry `first`, as `YYYY-MM-DD`: placement, checked, never evidence.
    pub date: String,
    /// First log index.
    pub first: u64,
    /// One past the last log index.
    pub last: u64,
    /// First 16 hex digits of the file's BLAKE3 digest.
    pub digest: String,
}

impl FileName {
    /// The path below the log.
    pub fn path(&self) -> String {
        let FileName { kind, date, first, last, digest } = self;
        format!("{}/date={date}/{first:020}-{last:020}-{digest}.parquet", kind.dir())
    }

    /// Parses a path below the log: the strict inverse of [`FileName::path`].
    ///
    /// # Errors
    /// [`Error::Malformed`] for every other path.
    pub fn parse(path: &str) -> Result<FileName> {
        let parsed = (|| {
            let (dir, rest) = path.split_once("/date=")?;
            let kind = [FileKind::Segment, FileKind::Payload].into_iter().find(|kind| kind.dir() == dir)?;
            let (date, name) = rest.split_once('/')?;
            let mut parts = name.strip_suffix(".parquet")?.split('-');
            let (first, last) = (twenty_digits(parts.next()?)?, twenty_digits(parts.next()?)?);
            let digest = parts.next()?.to_string();
            let is_hex = digest.len() == 16 && digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            let is_date = date.len() == 10
                && date
                    .bytes()
                    .enumerate()
                    .all(|(at, b)| if at == 4 || at == 7 { b == b'-' } else { b.is_ascii_digit() });
            (is_hex && is_date && first < last && parts.next().is_none()).then(|| FileName {
                kind,
                date: date.to_string(),
                first,
                last,
                digest,
            })
        })();
        parsed.ok_or_else(|| Error::malformed("data file path", format!("{path:?}")))
    }
}

/// A time in microseconds as `YYYY-MM-DDThh:mm:ss.ffffffZ`.
pub fn timestamp(time_us: i64) -> String {
    let of_day = time_us.rem_euclid(86_400_000_000);
    let (seconds, fraction) = (of_day / 1_000_000, of_day % 1_000_000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{}T{hours:02}:{minutes:02}:{seconds:02}.{fraction:06}Z", date(time_us))
}

/// The UTC date of a time in microseconds, as `YYYY-MM-DD`.
pub fn date(time_us: i64) -> String {
    let days = time_us.div_euclid(86_400_000_000);
    // Civil date from a day number: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tile_paths_are_those_of_the_specification() {
        let path = |level, index, width| tile(TileId { level, index, width });
        assert_eq!(path(0, 1_234_067, 256), "tile/0/x001/x234/067");
        assert_eq!(path(3, 0, 1), "tile/3/000.p/1");
        assert_eq!(path(1, 999, 256), "tile/1/999");
        assert_eq!(path(1, 1000, 255), "tile/1/x001/000.p/255");
        for bad in
            ["tile/0/x001", "tile/0/1", "tile/00/001", "tile/0/001.p/256", "tile/0/001.p/0", "tile/0/001/2"]
        {
            assert!(parse_tile(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_entries("tile/entries/x001/x234/067").unwrap(), (1_234_067, 256));
        assert_eq!(parse_entries("tile/entries/000.p/1").unwrap(), (0, 1));
        for bad in
            ["tile/0/000", "tile/entries/", "tile/entries/0", "tile/entries/000.p/256", "tile/entries/000/"]
        {
            assert!(parse_entries(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn dates_are_right_at_the_edges() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(-1), "1969-12-31");
        assert_eq!(date(951_782_400_000_000), "2000-02-29");
        assert_eq!(date(1_795_219_200_000_000), "2026-11-21");
        assert_eq!(timestamp(1_795_219_200_000_000 + 45_296_000_007), "2026-11-21T12:34:56.000007Z");
        assert_eq!(timestamp(-1), "1969-12-31T23:59:59.999999Z");
    }

    proptest! {
        #[test]
        fn paths_round_trip(level in 0u32..7, index in any::<u64>(), width in 1u64..=256, date_us in 0i64..4_000_000_000_000_000) {
            let id = TileId { level, index, width };
            prop_assert_eq!(parse_tile(&tile(id)).unwrap(), id);
            prop_assert_eq!(parse_wal(wal(index).strip_prefix("wal/").unwrap()).unwrap(), index);
            let name = FileName {
                kind: FileKind::Payload, date: date(date_us), first: index / 2, last: index / 2 + 1,
                digest: "0123456789abcdef".to_string(),
            };
            prop_assert_eq!(FileName::parse(&name.path()).unwrap(), name);
        }
    }
}

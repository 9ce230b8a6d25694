//! The country of an address, by a file in MaxMind's format that the operator supplies.
//!
//! The file is read into memory once and looked through then: one that is damaged, or of which no record has a country, is an error
//! before the first event, and a lookup afterwards cannot fail.
//!
//! Soundness: the file says where an address is registered or was seen, not where who used it sits; behind a proxy it says where the
//! proxy is.

use std::fs::File;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use maxminddb::{PathElement, Reader};
use schemas::limits::INGEST_COUNTRY_DATABASE_BYTES_MAX;

use crate::error::Error;

/// Where the country stands in a record of a database.
const COUNTRY_CODE: [PathElement<'static>; 2] = [PathElement::Key("country"), PathElement::Key("iso_code")];
/// What the type of a database has in it whose records have a country there.
const TYPES: [&str; 3] = ["Country", "City", "Enterprise"];

/// A database of countries.
#[derive(Debug)]
pub struct Countries {
    reader: Reader<Vec<u8>>,
    digest: String,
}

impl Countries {
    /// Reads the file, all of it, and looks it through. Not for an async thread.
    ///
    /// # Errors
    /// [`Error::CountryDatabase`] for a file that cannot be read, is damaged, or is no database of countries or cities.
    pub fn open(path: &Path) -> Result<Countries, Error> {
        let unreadable =
            |error: std::io::Error| wrong(path, format!("{error}; check the path and its permissions"));
        let (mut bytes, bytes_max) = (Vec::new(), INGEST_COUNTRY_DATABASE_BYTES_MAX);
        let file = File::open(path).map_err(unreadable)?;
        file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > bytes_max {
            return Err(wrong(
                path,
                format!("it is over {bytes_max} bytes; give a database of countries alone"),
            ));
        }
        Countries::of_file(bytes, path)
    }

    /// Looks through what a file has.
    fn of_file(bytes: Vec<u8>, path: &Path) -> Result<Countries, Error> {
        let damaged =
            |error: maxminddb::MaxMindDbError| wrong(path, format!("{error}; fetch the file again"));
        let digest = blake3::hash(&bytes).to_hex().to_string();
        let reader = Reader::from_source(bytes).map_err(damaged)?;
        let kind = &reader.metadata().database_type;
        if !TYPES.iter().any(|known| kind.contains(known)) {
            return Err(wrong(path, format!("its type is {kind:?}; give one of countries or cities")));
        }
        reader.verify().map_err(damaged)?;
        let countries = Countries { reader, digest };
        if !countries.has_any().map_err(damaged)? {
            let reason = "no record in it has country.iso_code of two letters; give another";
            return Err(wrong(path, reason.to_owned()));
        }
        Ok(countries)
    }

    /// What it is: its type, when it was built (seconds since 1970) and a digest of the file.
    pub fn about(&self) -> String {
        let metadata = self.reader.metadata();
        format!("{}, built at {}, digest {}", metadata.database_type, metadata.build_epoch, self.digest)
    }

    /// The ISO 3166-1 code of the country of an address, as the file spells it; the address may come in brackets, with a zone or a port.
    /// None for what is no address, for addresses that name no place in the world, and where the file does not know.
    pub fn of(&self, address: &str) -> Option<&str> {
        let address = place(parsed(address.trim())?)?;
        if address.is_ipv6() && self.reader.metadata().ip_version == 4 {
            return None;
        }
        // What can go wrong in the file was looked for when it was opened.
        let code: Option<&str> = self.reader.lookup(address).ok()?.decode_path(&COUNTRY_CODE).ok()?;
        code.filter(|code| is_code(code))
    }

    /// Whether any record has a country.
    fn has_any(&self) -> Result<bool, maxminddb::MaxMindDbError> {
        for found in self.reader.networks(maxminddb::WithinOptions::default())? {
            // The file is whole: what does not decode so has something else there.
            let code: Option<&str> = found?.decode_path(&COUNTRY_CODE).ok().flatten();
            if code.is_some_and(is_code) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn wrong(path: &Path, reason: String) -> Error {
    Error::CountryDatabase { file: path.display().to_string(), reason }
}

fn is_code(code: &str) -> bool {
    code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_alphabetic())
}

fn parsed(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let bare = bare.split_once('%').map_or(bare, |(address, _)| address);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
}

/// The address to look for: IPv4 in IPv6 as IPv4; none where it is the same numbers in another place in the next office.
fn place(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => is_global_v4(v4).then_some(address),
        IpAddr::V6(v6) => match embedded(v6) {
            Some(v4) => is_global_v4(v4).then_some(IpAddr::V4(v4)),
            None => is_global_v6(v6).then_some(address),
        },
    }
}

/// The IPv4 address in a mapped one, or in one of the well-known prefix for translation (RFC 6052).
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, high, low] = v6.segments();
    let is_translated = [a, b, c, d, e, f] == [0x64, 0xff9b, 0, 0, 0, 0];
    let v4 = || Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    v6.to_ipv4_mapped().or_else(|| is_translated.then(v4))
}

fn is_global_v4(v4: Ipv4Addr) -> bool {
    let [a, b, ..] = v4.octets();
    // 100.64.0.0/10 is shared by providers (RFC 6598); from 224 on are groups and what is reserved.
    let is_shared = a == 100 && (64..128).contains(&b);
    !(a == 0 || a >= 224 || is_shared || v4.is_private() || v4.is_loopback() || v4.is_link_local())
}

fn is_global_v6(v6: Ipv6Addr) -> bool {
    let is_own = v6.is_loopback() || v6.is_unspecified();
    !(is_own || v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_multicast())
}

#[cfg(test)]
mod tests;

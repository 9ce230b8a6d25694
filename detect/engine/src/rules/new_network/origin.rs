//! Where a record came from, as few values as tell places apart.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::borrow::Cow;

use schemas::limits::ENGINE_FAMILY_BYTES_MAX;

use crate::record::Record;

/// Attributes, in the order of their places in arrays.
pub(super) const ATTRIBUTES: [&str; 3] = ["network", "country", "client"];

/// Tokens of browsers, the more telling first, and of systems: most browsers name several.
const BROWSERS: [(&str, &str); 5] =
    [("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("Chrome", "Chrome"), ("Safari", "Safari")];
const SYSTEMS: [(&str, &str); 6] = [
    ("Windows", "Windows"),
    ("Android", "Android"),
    ("iPhone", "iOS"),
    ("iPad", "iOS"),
    ("Mac", "macOS"),
    ("Linux", "Linux"),
];

/// The values of a record, none where it does not say.
pub(super) fn values(record: &Record<'_>) -> [Option<String>; 3] {
    let agent = record.user_agent.or(record.client);
    [record.source_ip.map(network), record.country.map(country), agent.map(family)]
}

/// As a source names it, whatever its case.
pub(crate) fn country(text: &str) -> String {
    shortened(text.trim()).to_uppercase()
}

/// The /24 of an IPv4 address, the /48 of an IPv6 address. Addresses that name no place in the world (private, shared, link-local) are one
/// value, as are those of the machine itself: the same numbers are another network in the next office. What is no address is a value too, or who can
/// write the header would be out of sight.
pub(crate) fn network(text: &str) -> String {
    let Some(address) = address(text.trim()) else { return "no address".to_owned() };
    match address {
        IpAddr::V4(v4) => network_v4(v4),
        IpAddr::V6(v6) => embedded(v6).map_or_else(|| network_v6(v6), network_v4),
    }
}

fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let bare = bare.split_once('%').map_or(bare, |(address, _)| address);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
}

/// The IPv4 address in a mapped one, or in one of the well-known prefix for translation (RFC 6052).
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, high, low] = v6.segments();
    let is_translated = [a, b, c, d, e, f] == [0x64, 0xff9b, 0, 0, 0, 0];
    let v4 = || Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    v6.to_ipv4_mapped().or_else(|| is_translated.then(v4))
}

fn network_v4(v4: Ipv4Addr) -> String {
    let [a, b, c, _] = v4.octets();
    // 100.64.0.0/10 is shared by providers (RFC 6598).
    let is_shared = a == 100 && (64..128).contains(&b);
    if v4.is_loopback() {
        "loopback".to_owned()
    } else if v4.is_private() || v4.is_link_local() || is_shared {
        "private".to_owned()
    } else if v4.is_unspecified() {
        "no address".to_owned()
    } else {
        format!("{a}.{b}.{c}.0/24")
    }
}

fn network_v6(v6: Ipv6Addr) -> String {
    let [a, b, c, ..] = v6.segments();
    if v6.is_loopback() {
        "loopback".to_owned()
    } else if v6.is_unique_local() || v6.is_unicast_link_local() {
        "private".to_owned()
    } else if v6.is_unspecified() {
        "no address".to_owned()
    } else {
        format!("{}/48", Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
    }
}

/// What a client is, without its version: a browser and its system, else the first product.
pub(super) fn family(agent: &str) -> String {
    let named = |tokens: &[(&str, &'static str)]| {
        tokens.iter().find(|(token, _)| agent.contains(token)).map(|(_, name)| *name)
    };
    if agent.starts_with("Mozilla/") {
        let browser = named(&BROWSERS).unwrap_or("browser");
        return named(&SYSTEMS).map_or_else(|| browser.to_owned(), |system| format!("{browser} on {system}"));
    }
    let product = agent.trim().split(['/', ' ', '(', ';']).next().unwrap_or_default();
    shortened(product).to_lowercase()
}

/// At most so many bytes of a text that anybody may have written.
fn shortened(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(&text[..text.floor_char_boundary(ENGINE_FAMILY_BYTES_MAX)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_prefixes_and_what_names_no_place_is_one_value() {
        for (text, expected) in [
            ("203.0.113.77", "203.0.113.0/24"),
            (" 203.0.113.77:443 ", "203.0.113.0/24"),
            ("::ffff:203.0.113.9", "203.0.113.0/24"),
            ("64:ff9b::203.0.113.9", "203.0.113.0/24"),
            ("2001:db8:1:2::3", "2001:db8:1::/48"),
            ("[2001:db8:1:2::3]:8080", "2001:db8:1::/48"),
            ("[2001:db8:1:2::3]", "2001:db8:1::/48"),
            ("10.1.2.3", "private"),
            ("192.168.0.1", "private"),
            ("100.64.0.1", "private"),
            ("100.128.0.1", "100.128.0.0/24"),
            ("fe80::1%eth0", "private"),
            ("fd00::1", "private"),
            ("127.8.8.8", "loopback"),
            ("::1", "loopback"),
            ("0.0.0.0", "no address"),
            ("::", "no address"),
            ("", "no address"),
            ("unknown", "no address"),
            ("203.0.113.77, 10.0.0.1", "no address"),
        ] {
            assert_eq!(network(text), expected, "{text}");
        }
    }

    #[test]
    fn clients_are_families() {
        let windows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";
        for (text, expected) in [
            (windows.to_owned(), "Chrome on Windows"),
            (format!("{windows} Edg/126.0"), "Edge on Windows"),
            ("Mozilla/5.0".to_owned(), "browser"),
            ("python-requests/2.32".to_owned(), "python-requests"),
            ("Claude-Code/1.0.3 (external)".to_owned(), "claude-code"),
            (String::new(), ""),
        ] {
            assert_eq!(family(&text), expected, "{text}");
        }
        assert!(family(&"é".repeat(1 << 20)).len() <= ENGINE_FAMILY_BYTES_MAX);
    }
}

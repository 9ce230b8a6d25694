//! Networks, and addresses as records really spell them.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// The network of `10.0.0.0/8` or the one address of `10.0.0.1`. An IPv4 network written as IPv6 is its IPv4 network.
pub(crate) fn network(text: &str) -> Option<IpNet> {
    let net = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))?;
    match (net.addr().to_canonical(), net.prefix_len()) {
        (IpAddr::V4(addr), bits) if net.addr().is_ipv6() && bits >= 96 => {
            IpNet::new(IpAddr::V4(addr), bits - 96).ok().map(|net| net.trunc())
        }
        _ => Some(net.trunc()),
    }
}

/// The address of a record: with or without a port, in brackets or not, IPv4 inside IPv6 as IPv4. Otherwise somebody who
/// chooses the spelling would choose the network.
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(text);
    let bare = bare.split('%').next().unwrap_or(bare);
    let parsed = bare.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    parsed.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_spelling_of_an_address_leaves_its_network() {
        let inside = network("10.0.0.0/8").unwrap();
        for text in ["10.1.2.3", "10.1.2.3:443", "::ffff:10.1.2.3", "[::ffff:10.1.2.3]:443", " 10.1.2.3 "] {
            assert!(inside.contains(&address(text).unwrap()), "{text}");
        }
        assert!(!inside.contains(&address("11.0.0.1").unwrap()));
        assert_eq!(address("fe80::1%eth0"), address("[fe80::1]"));
        assert_eq!(address("10.0.0"), None);
        assert_eq!(network("10.9.8.7/8"), network("10.0.0.0/8"));
        assert_eq!(network("::ffff:10.0.0.0/104"), network("10.0.0.0/8"));
        assert_eq!(network("10.0.0.0/33"), None);
    }
}

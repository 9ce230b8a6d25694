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

/// An address as a number, IPv4 before IPv6.
type Place = (bool, u128);

/// Many networks, of which one lookup tells whether any holds an address: ranges in order, those that touch joined.
#[derive(Debug, Clone, Default)]
pub(crate) struct Networks {
    ranges: Vec<(Place, Place)>,
}

fn place(address: IpAddr) -> Place {
    match address {
        IpAddr::V4(address) => (false, u128::from(address.to_bits())),
        IpAddr::V6(address) => (true, address.to_bits()),
    }
}

impl Networks {
    pub fn new(networks: &[IpNet]) -> Networks {
        let mut all: Vec<_> =
            networks.iter().map(|net| (place(net.network()), place(net.broadcast()))).collect();
        all.sort_unstable();
        let mut ranges: Vec<(Place, Place)> = Vec::new();
        for (first, last) in all {
            match ranges.last_mut() {
                Some((_, end)) if first <= *end => *end = last.max(*end),
                _ => ranges.push((first, last)),
            }
        }
        Networks { ranges }
    }

    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        let place = place(address);
        let after = self.ranges.partition_point(|(first, _)| *first <= place);
        after.checked_sub(1).and_then(|at| self.ranges.get(at)).is_some_and(|(_, last)| place <= *last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_networks_hold_what_one_of_them_holds() {
        let texts = [
            "10.0.0.0/8",
            "10.1.0.0/16",
            "0.0.0.0/32",
            "9.9.9.9",
            "2001:db8::/32",
            "255.255.255.255",
            "::/128",
        ];
        let each: Vec<IpNet> = texts.iter().filter_map(|text| network(text)).collect();
        assert_eq!(each.len(), texts.len());
        let all = Networks::new(&each);
        for text in [
            "10.0.0.0",
            "10.255.255.255",
            "11.0.0.0",
            "9.255.255.255",
            "9.9.9.9",
            "9.9.9.8",
            "0.0.0.0",
            "0.0.0.1",
            "255.255.255.255",
            "255.255.255.254",
            "::",
            "::1",
            "2001:db8::",
            "2001:db8:ffff::",
            "2001:db9::",
            "2001:db7::",
        ] {
            let address = address(text).unwrap();
            assert_eq!(all.contains(address), each.iter().any(|net| net.contains(&address)), "{text}");
        }
        assert!(!Networks::default().contains(address("10.0.0.1").unwrap()));
    }

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

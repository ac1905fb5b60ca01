//! Where a client is: the peer, or whom a trusted proxy names in its place.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
    sync::Once,
};

use axum::{
    extract::ConnectInfo,
    http::{Extensions, HeaderMap, HeaderName, header, request::Parts},
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Deserializer, Serialize};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// What an IPv6 address counts as: one customer has at least so much.
const IPV6_PREFIX: u8 = 64;

/// The address of a client; IPv4 also when it came as IPv6 (RFC 4291, section 2.5.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(IpAddr);

impl ClientAddress {
    /// The client at this address.
    #[must_use]
    pub fn new(ip: IpAddr) -> Self {
        Self(ip.to_canonical())
    }

    /// The address itself.
    #[must_use]
    pub fn ip(self) -> IpAddr {
        self.0
    }

    /// What the address is counted as: itself, or its network of 64 bits with IPv6.
    #[must_use]
    pub fn network(self) -> IpNet {
        match self.0 {
            IpAddr::V4(ip) => Ipv4Net::from(ip).into(),
            IpAddr::V6(ip) => Ipv6Net::new_assert(ip, IPV6_PREFIX).trunc().into(),
        }
    }
}

/// The header in which proxies name their clients. There is one: what the other says may come from the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// Addresses and networks: a list, or separated by commas.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Whether this address is among them.
    #[must_use]
    pub fn contain(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|network| network.contains(&ip))
    }
}

impl FromStr for Networks {
    type Err = String;

    /// Addresses and networks, separated by commas.
    fn from_str(text: &str) -> Result<Self, String> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let networks = names.map(|name| {
            let network = name.parse::<IpNet>().or_else(|_| name.parse::<IpAddr>().map(IpNet::from));
            network.map_err(|_| format!("{name} is neither an address nor a network"))
        });
        networks.collect::<Result<_, _>>().map(Self)
    }
}

impl<'de> Deserialize<'de> for Networks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            List(Vec<String>),
            Text(String),
        }
        let text = match Form::deserialize(deserializer)? {
            Form::List(names) => names.join(","),
            Form::Text(text) => text,
        };
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Finds out where clients are.
#[derive(Clone, Debug, Default)]
pub struct Locator {
    proxies: Networks,
    header: ForwardedHeader,
}

impl Locator {
    /// Believes these proxies, and what they write into this header.
    #[must_use]
    pub fn new(proxies: Networks, header: ForwardedHeader) -> Self {
        Self { proxies, header }
    }

    /// Where the client of a request is.
    #[must_use]
    pub fn locate(&self, parts: &Parts) -> ClientAddress {
        self.client(peer(&parts.extensions), &parts.headers)
    }

    /// The nearest address that is not a trusted proxy's. Each proxy adds whom it was asked by at the end, so what
    /// stands before the first untrusted address, or before what is no address, anybody may have written.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> ClientAddress {
        let mut client = ClientAddress::new(peer);
        let name = match self.header {
            ForwardedHeader::XForwardedFor => &X_FORWARDED_FOR,
            ForwardedHeader::Forwarded => &header::FORWARDED,
        };
        if !self.proxies.contain(peer) {
            if headers.contains_key(name) && is_near(client.ip()) {
                hint(client.ip());
            }
            return client;
        }
        // By commas alone, also inside quotes: what a client has written must not swallow what a proxy adds.
        for value in headers.get_all(name).iter().rev() {
            let value = value.to_str().unwrap_or("?");
            for hop in value.rsplit(',').map(str::trim).filter(|hop| !hop.is_empty()) {
                let node = match self.header {
                    ForwardedHeader::XForwardedFor => Some(hop),
                    ForwardedHeader::Forwarded => forwarded_for(hop),
                };
                let Some(ip) = node.and_then(address) else { return client };
                client = ClientAddress::new(ip);
                if !self.proxies.contain(ip) {
                    return client;
                }
            }
        }
        client
    }
}

fn peer(extensions: &Extensions) -> IpAddr {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |ConnectInfo(peer)| peer.ip())
}

/// The value of `for` in an element of `Forwarded` (RFC 7239, section 4).
fn forwarded_for(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim().trim_matches('"'))
    })
}

/// An address, with or without a port; IPv6 with a port, and in `Forwarded`, stands in brackets.
fn address(node: &str) -> Option<IpAddr> {
    if let Some(rest) = node.strip_prefix('[') {
        return rest.split_once(']')?.0.parse().ok().map(IpAddr::V6);
    }
    let ip = node.parse::<IpAddr>();
    ip.or_else(|_| node.parse::<SocketAddr>().map(|with_port| with_port.ip())).ok()
}

/// Whether it may be a proxy of one's own.
fn is_near(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local(),
    }
}

/// Says once what is easily forgotten.
fn hint(peer: IpAddr) {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        tracing::warn!(
            %peer,
            "a request names a client that it was forwarded for; if the peer is your proxy, name it in \
             server.trusted_proxies, or all clients share one address's limits"
        );
    });
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn locator(header: ForwardedHeader) -> Locator {
        let proxies = "10.0.0.0/8, 192.0.2.1,2001:db8:1::/48".parse().expect("networks");
        Locator::new(proxies, header)
    }

    fn located(header: ForwardedHeader, peer: &str, values: &[&[u8]]) -> String {
        let name = match header {
            ForwardedHeader::XForwardedFor => "x-forwarded-for",
            ForwardedHeader::Forwarded => "forwarded",
        };
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_bytes(value).expect("a value");
            headers.append(HeaderName::from_static(name), value);
        }
        locator(header).client(peer.parse().expect("an address"), &headers).ip().to_string()
    }

    fn by_list(peer: &str, values: &[&str]) -> String {
        let values: Vec<_> = values.iter().map(|value| value.as_bytes()).collect();
        located(ForwardedHeader::XForwardedFor, peer, &values)
    }

    fn by_forwarded(peer: &str, values: &[&str]) -> String {
        let values: Vec<_> = values.iter().map(|value| value.as_bytes()).collect();
        located(ForwardedHeader::Forwarded, peer, &values)
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(by_list("203.0.113.9", &["1.1.1.1"]), "203.0.113.9");
        assert_eq!(by_list("10.1.2.3", &["1.1.1.1"]), "1.1.1.1");
        assert_eq!(by_list("::ffff:10.1.2.3", &["1.1.1.1"]), "1.1.1.1");
        assert_eq!(by_list("10.1.2.3", &[]), "10.1.2.3");
    }

    #[test]
    fn the_client_is_the_nearest_address_that_is_no_proxy() {
        // What the client itself sent stands to the left.
        assert_eq!(by_list("10.1.2.3", &["6.6.6.6, 1.1.1.1, 10.9.9.9"]), "1.1.1.1");
        assert_eq!(by_list("10.1.2.3", &["6.6.6.6", "1.1.1.1,192.0.2.1", "10.9.9.9"]), "1.1.1.1");
        assert_eq!(by_list("10.1.2.3", &["10.0.0.7, 10.0.0.8"]), "10.0.0.7");
        assert_eq!(by_list("10.1.2.3", &["1.1.1.1, , "]), "1.1.1.1");
    }

    #[test]
    fn addresses_come_in_many_forms() {
        assert_eq!(by_list("10.0.0.1", &["1.1.1.1:4711"]), "1.1.1.1");
        assert_eq!(by_list("10.0.0.1", &["2001:db8:2::7"]), "2001:db8:2::7");
        assert_eq!(by_list("10.0.0.1", &["[2001:db8:2::7]:443"]), "2001:db8:2::7");
        assert_eq!(by_list("10.0.0.1", &["::ffff:1.1.1.1"]), "1.1.1.1");
        assert_eq!(by_forwarded("10.0.0.1", &["proto=https;For=1.1.1.1;by=10.0.0.1"]), "1.1.1.1");
        assert_eq!(by_forwarded("10.0.0.1", &["for=6.6.6.6, for=\"[2001:db8:2::7]:80\""]), "2001:db8:2::7");
        assert_eq!(by_forwarded("10.0.0.1", &["for=1.1.1.1, for=\"[2001:db8:1::7]\""]), "1.1.1.1");
    }

    #[test]
    fn what_is_no_address_hides_what_stands_before_it() {
        for garbage in
            ["unknown", "1.1.1", "1.1.1.1.1", "fe80::1%eth0", "[::1", "\"", "a b", "-1", "1.1.1.1:99999"]
        {
            assert_eq!(by_list("10.0.0.1", &[&format!("1.1.1.1, {garbage}")]), "10.0.0.1", "{garbage}");
            assert_eq!(by_list("10.0.0.1", &[&format!("{garbage}, 1.1.1.1")]), "1.1.1.1", "{garbage}");
        }
        for garbage in ["for=_hidden", "for=unknown", "by=1.1.1.1", "for", "=", ";", "for=\"", "1.1.1.1"] {
            assert_eq!(
                by_forwarded("10.0.0.1", &[&format!("for=1.1.1.1, {garbage}")]),
                "10.0.0.1",
                "{garbage}"
            );
        }
        assert_eq!(by_forwarded("10.0.0.1", &["for=\"6.6.6.6, for=1.1.1.1"]), "1.1.1.1");
        let odd: &[&[u8]] = &[b"1.1.1.1", b"\xff\xfe"];
        assert_eq!(located(ForwardedHeader::XForwardedFor, "10.0.0.1", odd), "10.0.0.1");
    }

    #[test]
    fn only_the_header_of_the_settings_counts() {
        let mut headers = HeaderMap::new();
        headers.insert(header::FORWARDED, HeaderValue::from_static("for=6.6.6.6"));
        let locator = locator(ForwardedHeader::XForwardedFor);
        let ip = "10.0.0.1".parse().expect("an address");
        assert_eq!(locator.client(ip, &headers).ip(), ip);
    }

    #[test]
    fn ipv6_counts_by_64_bits() {
        let network = |ip: &str| ClientAddress::new(ip.parse().expect("an address")).network();
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1:2:3"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
    }

    #[test]
    fn networks_are_read_strictly() {
        let read = |text: &str| text.parse::<Networks>().is_ok();
        assert!(read("") && read("127.0.0.1,::1") && read("10.0.0.0/8"));
        assert!(!read("localhost") && !read("10.0.0.0/33") && !read("10.0.0"));
    }
}

//! How many connections there may be, in all and from one address.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::telemetry::metrics::{Refusal, refused};

/// How often refusals are told of, at most.
const TOLD: Duration = Duration::from_mins(1);
/// Room for addresses that is kept when they are gone.
const ROOM: usize = 64;

/// How many connections there may be; 0 is no limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConnectionLimits {
    /// In all.
    pub connections: u32,
    /// From one address, by which IPv6 means a /64.
    pub per_address: u32,
}

/// Whose connections are not counted by address: proxies, behind which are many people.
pub(super) type Trusted = Box<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// Lets everybody in, and counts them.
impl Default for ConnectionLimiter {
    fn default() -> Self {
        Self::of(ConnectionLimits::default(), Box::new(|_| false))
    }
}

/// Counts the connections of a listener.
pub(super) struct ConnectionLimiter {
    limits: ConnectionLimits,
    trusted: Trusted,
    counts: Mutex<Counts>,
}

struct Counts {
    all: u32,
    /// Of those who have a connection, and of nobody else.
    by_address: HashMap<Key, u32>,
    refused: u32,
    told: Option<Instant>,
}

/// An address as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    V4(Ipv4Addr),
    /// The first 64 bits: a client can have all of the rest.
    V6([u16; 4]),
}

impl Key {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        let [a, b, c, d, ..] = address.segments();
        Self::V6([a, b, c, d])
    }
}

/// A connection that is counted until this is dropped.
pub struct Place {
    limiter: Arc<ConnectionLimiter>,
    /// None when it is not counted by address.
    key: Option<Key>,
}

impl ConnectionLimiter {
    /// With nobody inside.
    pub(super) fn new(limits: ConnectionLimits, trusted: Trusted) -> Arc<Self> {
        Arc::new(Self::of(limits, trusted))
    }

    fn of(limits: ConnectionLimits, trusted: Trusted) -> Self {
        let counts = Counts { all: 0, by_address: HashMap::new(), refused: 0, told: None };
        Self { limits, trusted, counts: Mutex::new(counts) }
    }

    /// A place for one more connection, if there is one.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let ConnectionLimits { connections, per_address } = self.limits;
        let counted = per_address > 0 && !(self.trusted)(address.to_canonical());
        let key = counted.then(|| Key::of(address));
        let mut counts = self.lock();
        if connections > 0 && counts.all >= connections {
            counts.refuse("limits.connections");
            return None;
        }
        if let Some(key) = key {
            let count = counts.by_address.entry(key).or_default();
            if *count >= per_address {
                counts.refuse("limits.connections_per_address");
                return None;
            }
            *count += 1;
        }
        counts.all += 1;
        Some(Place { limiter: Arc::clone(self), key })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// Counts a refusal, and tells of them now and then.
    fn refuse(&mut self, limit: &'static str) {
        refused(Refusal::Connections);
        self.refused = self.refused.saturating_add(1);
        if self.told.is_none_or(|told| told.elapsed() >= TOLD) {
            tracing::warn!(limit, refused = self.refused, open = self.all, "connections are refused");
            (self.told, self.refused) = (Some(Instant::now()), 0);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.limiter.lock();
        counts.all -= 1;
        let Some(Entry::Occupied(mut count)) = self.key.map(|key| counts.by_address.entry(key)) else {
            return;
        };
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
        // What an attack from many addresses took is given back after it.
        if counts.by_address.capacity() > ROOM.max(8 * counts.by_address.len()) {
            let room = ROOM.max(2 * counts.by_address.len());
            counts.by_address.shrink_to(room);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter_of(connections: u32, per_address: u32) -> Arc<ConnectionLimiter> {
        ConnectionLimiter::new(
            ConnectionLimits { connections, per_address },
            Box::new(|address| address == v4(200)),
        )
    }

    fn v4(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn v6(network: u16, host: u16) -> IpAddr {
        IpAddr::from([0x2001, 0xdb8, 0, network, 0, 0, 0, host])
    }

    #[test]
    fn each_address_has_its_own_places_and_all_share_the_rest() {
        let limiter = limiter_of(5, 2);
        let first = [limiter.admit(v4(1)), limiter.admit(v4(1))];
        assert!(first.iter().all(Option::is_some) && limiter.admit(v4(1)).is_none());
        // An IPv6 socket shows IPv4 addresses mapped (RFC 4291, section 2.5.5.2).
        assert!(limiter.admit("::ffff:192.0.2.1".parse().expect("an address")).is_none());
        let second = [limiter.admit(v6(1, 1)), limiter.admit(v6(1, 2))];
        assert!(second.iter().all(Option::is_some) && limiter.admit(v6(1, 3)).is_none());
        let other = limiter.admit(v6(2, 1));
        assert!(other.is_some() && limiter.admit(v6(3, 1)).is_none(), "five in all");
        drop(first);
        assert!(limiter.admit(v4(1)).is_some());
    }

    #[test]
    fn trusted_proxies_are_counted_in_all_alone() {
        let limiter = limiter_of(3, 1);
        let places =
            [limiter.admit(v4(200)), limiter.admit("::ffff:192.0.2.200".parse().expect("an address"))];
        assert!(places.iter().all(Option::is_some));
        assert!(limiter.lock().by_address.is_empty());
        let last = limiter.admit(v4(1));
        assert!(last.is_some() && limiter.admit(v4(200)).is_none());
    }

    #[test]
    fn nothing_stays_of_those_who_are_gone() {
        let limiter = limiter_of(0, 1);
        let places: Vec<_> = (0..10_000).map(|network| limiter.admit(v6(network, 1))).collect();
        assert!(places.iter().all(Option::is_some));
        assert_eq!(limiter.lock().by_address.len(), 10_000);
        drop(places);
        let counts = limiter.lock();
        assert_eq!((counts.all, counts.by_address.len()), (0, 0));
        assert!(counts.by_address.capacity() <= 2 * ROOM, "{}", counts.by_address.capacity());
    }

    #[test]
    fn without_limits_everybody_is_let_in() {
        let limiter = limiter_of(0, 0);
        let places: Vec<_> = (0..5_000).map(|_| limiter.admit(v4(1))).collect();
        assert!(places.iter().all(Option::is_some));
        assert!(limiter.lock().by_address.is_empty());
    }
}

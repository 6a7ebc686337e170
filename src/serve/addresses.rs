//! Who is connected, so that nobody takes all the room.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// The bits of an IPv6 address that one customer of a network provider cannot choose: the rest is theirs (RFC 6177).
const NETWORK_BITS: u32 = 64;

/// How many connections each address holds.
#[derive(Debug, Clone)]
pub(super) struct Addresses {
    held: Arc<Mutex<HashMap<IpAddr, usize>>>,
    at_most: usize,
}

impl Addresses {
    /// Nobody is connected, and each address may have so many.
    pub(super) fn new(at_most: usize) -> Self {
        Self { held: Arc::default(), at_most }
    }

    /// One more of this address, for as long as the value lives; none where it has as many as it may have.
    pub(super) fn enter(&self, address: IpAddr) -> Option<Place> {
        let address = one(address);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let number = held.entry(address).or_default();
        if *number >= self.at_most {
            return None;
        }
        *number += 1;
        Some(Place { addresses: self.clone(), address })
    }
}

/// What counts as one address.
pub(super) fn one(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> (128 - NETWORK_BITS) << (128 - NETWORK_BITS)))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The place of one connection.
#[derive(Debug)]
pub(super) struct Place {
    addresses: Addresses,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.addresses.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = held.get_mut(&self.address) {
            *number -= 1;
            if *number == 0 {
                held.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn who_has_as_many_as_there_are_gets_no_more_until_one_is_given_back_and_others_do() {
        let addresses = Addresses::new(2);
        let (first, _second) = (addresses.enter(ip("192.0.2.1")).unwrap(), addresses.enter(ip("192.0.2.1")).unwrap());
        assert!(addresses.enter(ip("192.0.2.1")).is_none());
        assert!(addresses.enter(ip("::ffff:192.0.2.1")).is_none(), "the same address in other clothes");
        assert!(addresses.enter(ip("192.0.2.2")).is_some());
        drop(first);
        assert!(addresses.enter(ip("192.0.2.1")).is_some());
    }

    #[test]
    fn a_network_of_the_new_kind_is_one_address() {
        let addresses = Addresses::new(1);
        let place = addresses.enter(ip("2001:db8:0:1::1")).unwrap();
        assert!(addresses.enter(ip("2001:db8:0:1:ffff::2")).is_none());
        assert!(addresses.enter(ip("2001:db8:0:2::1")).is_some());
        drop(place);
        assert!(addresses.held.lock().unwrap().is_empty());
    }
}

//! Which addresses may be asked.
//!
//! Addresses come from the cloud's own description of instances that are ours. Still, whoever could make one of them
//! read as the service's own machine, or as the metadata service, would have us fetch from there; so these are refused
//! whatever the cloud says.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressRefusal {
    /// This machine.
    #[error("a loopback address is refused unless metrics.host.allow_loopback is true")]
    Loopback,
    /// This link, where the metadata service is.
    #[error("a link-local address is refused unless metrics.host.allow_loopback is true")]
    LinkLocal,
    /// No address.
    #[error("an unspecified address belongs to no host")]
    Unspecified,
    /// Many hosts.
    #[error("a multicast or broadcast address belongs to no one host")]
    Many,
    /// EC2's own services at fd00:ec2::/32.
    #[error("an address of EC2's own services (fd00:ec2::/32) belongs to no host")]
    CloudService,
}

/// Whether loopback and link-local addresses may be asked: on one machine, in tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalAddresses {
    /// They may.
    Allowed,
    /// They may not.
    Refused,
}

/// Refuses an address that no host of a fleet can have.
pub fn check(address: IpAddr, local: LocalAddresses) -> Result<(), AddressRefusal> {
    let refusal = match address {
        IpAddr::V4(v4) => refusal_v4(v4),
        IpAddr::V6(v6) => embedded_v4(v6).map_or_else(|| refusal_v6(v6), refusal_v4),
    };
    match refusal {
        None => Ok(()),
        Some(AddressRefusal::Loopback | AddressRefusal::LinkLocal) if local == LocalAddresses::Allowed => {
            Ok(())
        }
        Some(refusal) => Err(refusal),
    }
}

fn refusal_v4(address: Ipv4Addr) -> Option<AddressRefusal> {
    match address {
        // All of 0.0.0.0/8 means "this host" to one system or another.
        _ if address.octets()[0] == 0 => Some(AddressRefusal::Unspecified),
        _ if address.is_loopback() => Some(AddressRefusal::Loopback),
        _ if address.is_link_local() => Some(AddressRefusal::LinkLocal),
        _ if address.is_multicast() || address.is_broadcast() => Some(AddressRefusal::Many),
        _ => None,
    }
}

fn refusal_v6(address: Ipv6Addr) -> Option<AddressRefusal> {
    match address {
        _ if address.is_unspecified() => Some(AddressRefusal::Unspecified),
        _ if address.is_loopback() => Some(AddressRefusal::Loopback),
        _ if address.is_unicast_link_local() => Some(AddressRefusal::LinkLocal),
        _ if address.is_multicast() => Some(AddressRefusal::Many),
        _ if address.segments()[..2] == [0xfd00, 0x0ec2] => Some(AddressRefusal::CloudService),
        _ => None,
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped (`::ffff:a.b.c.d`), or behind NAT64 (`64:ff9b::a.b.c.d`).
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let mapped = address.to_ipv4_mapped();
    mapped.or_else(|| match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(address: &str, local: LocalAddresses) -> Option<AddressRefusal> {
        check(address.parse().unwrap(), local).err()
    }

    #[test]
    fn hosts_are_asked_and_nothing_else() {
        for (address, expected) in [
            ("10.0.3.7", None),
            ("192.168.1.1", None),
            ("203.0.113.9", None),
            ("2600:1f18::1", None),
            ("fd12:3456::1", None),
            ("::ffff:10.0.3.7", None),
            ("127.0.0.1", Some(AddressRefusal::Loopback)),
            ("127.9.9.9", Some(AddressRefusal::Loopback)),
            ("::1", Some(AddressRefusal::Loopback)),
            ("::ffff:127.0.0.1", Some(AddressRefusal::Loopback)),
            ("169.254.169.254", Some(AddressRefusal::LinkLocal)),
            ("::ffff:169.254.169.254", Some(AddressRefusal::LinkLocal)),
            ("64:ff9b::169.254.169.254", Some(AddressRefusal::LinkLocal)),
            ("fe80::1", Some(AddressRefusal::LinkLocal)),
            ("febf::1", Some(AddressRefusal::LinkLocal)),
            ("0.0.0.0", Some(AddressRefusal::Unspecified)),
            ("0.1.2.3", Some(AddressRefusal::Unspecified)),
            ("::", Some(AddressRefusal::Unspecified)),
            ("::ffff:0.0.0.0", Some(AddressRefusal::Unspecified)),
            ("224.0.0.1", Some(AddressRefusal::Many)),
            ("ff02::1", Some(AddressRefusal::Many)),
            ("255.255.255.255", Some(AddressRefusal::Many)),
            ("fd00:ec2::254", Some(AddressRefusal::CloudService)),
        ] {
            assert_eq!(refused(address, LocalAddresses::Refused), expected, "{address}");
        }
    }

    #[test]
    fn allowing_local_addresses_allows_nothing_else() {
        for address in ["127.0.0.1", "::1", "169.254.1.1", "fe80::1", "::ffff:127.0.0.1"] {
            assert_eq!(refused(address, LocalAddresses::Allowed), None, "{address}");
        }
        for address in ["0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "fd00:ec2::254"] {
            assert!(refused(address, LocalAddresses::Allowed).is_some(), "{address}");
        }
    }
}

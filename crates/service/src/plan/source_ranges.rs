//! `loadBalancerSourceRanges` (contract 1.4).

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::Family;

/// The ranges that restrict one family, empty where nothing is restricted: none given, none of
/// this family, or one of them covers every address.
pub(super) fn of_family(ranges: &[IpNet], family: Family) -> Vec<IpNet> {
    let own = || {
        ranges
            .iter()
            .filter(|range| Family::of(&range.addr()) == family)
    };
    if own().any(|range| range.prefix_len() == 0) {
        return Vec::new();
    }
    own().map(IpNet::trunc).collect()
}

/// True where the node itself is in a range, and so may use the load balancer IPs.
pub(super) fn hold_node(ranges: &[IpNet], node_ip: Option<IpAddr>) -> bool {
    node_ip.is_some_and(|ip| ranges.iter().any(|range| range.contains(&ip)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::ip;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn each_family_keeps_its_own_ranges_in_order() {
        let ranges = nets(&["203.0.113.0/25", "fd00::/64", "10.0.0.0/8"]);
        assert_eq!(
            of_family(&ranges, Family::Ipv4),
            nets(&["203.0.113.0/25", "10.0.0.0/8"])
        );
        assert_eq!(of_family(&ranges, Family::Ipv6), nets(&["fd00::/64"]));
    }

    #[test]
    fn ranges_of_the_other_family_restrict_nothing() {
        assert!(of_family(&nets(&["fd00::/64"]), Family::Ipv4).is_empty());
    }

    #[test]
    fn a_zero_prefix_lifts_the_restriction_of_its_family_only() {
        let ranges = nets(&["10.0.0.0/8", "0.0.0.0/0", "fd00::/64"]);
        assert!(of_family(&ranges, Family::Ipv4).is_empty());
        assert_eq!(of_family(&ranges, Family::Ipv6), nets(&["fd00::/64"]));
    }

    #[test]
    fn host_bits_are_zeroed() {
        assert_eq!(
            of_family(&nets(&["10.1.2.3/8"]), Family::Ipv4),
            nets(&["10.0.0.0/8"])
        );
    }

    #[test]
    fn the_node_is_held_by_a_range_around_its_address() {
        let ranges = nets(&["192.0.2.0/24", "10.0.0.0/8"]);
        assert!(hold_node(&ranges, Some(ip("10.9.9.9"))));
        assert!(!hold_node(&ranges, Some(ip("11.9.9.9"))));
        assert!(!hold_node(&ranges, None));
        assert!(!hold_node(&[], Some(ip("10.9.9.9"))));
    }
}

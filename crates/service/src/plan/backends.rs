//! The endpoints of one port, merged from all slices (contract 1.6).

use std::net::SocketAddr;

use super::address_text::AddressText;
use crate::model::{Endpoint, EndpointSlice, Family, Protocol};

/// An endpoint at the port that a slice gives it.
#[derive(Clone, Copy)]
pub(super) struct Backend<'a> {
    pub(super) address: SocketAddr,
    pub(super) endpoint: &'a Endpoint,
    text: AddressText,
}

impl Backend<'_> {
    /// True where the endpoint runs on the node of this name.
    pub(super) fn is_on(&self, node: &str) -> bool {
        self.endpoint.node.as_deref() == Some(node)
    }
}

/// The endpoints of the port of this name and protocol, each address once, sorted by the text of
/// the address.
///
/// Where slices repeat an address the later one holds, unless it is terminating: while an endpoint
/// moves, its old entry may be older than its new one.
pub(super) fn merge<'a>(
    slices: &'a [EndpointSlice],
    family: Family,
    name: &str,
    protocol: Protocol,
) -> Vec<Backend<'a>> {
    let own = || slices.iter().filter(|slice| slice.family == family);
    let mut backends = Vec::with_capacity(own().map(|slice| slice.endpoints.len()).sum());
    for slice in own() {
        for port in slice
            .ports
            .iter()
            .filter(|p| p.protocol == protocol && *p.name == *name)
        {
            let endpoints = slice.endpoints.iter();
            backends.extend(
                endpoints
                    .filter(|e| Family::of(&e.address) == family)
                    .map(|e| {
                        let address = SocketAddr::new(e.address, port.port);
                        Backend {
                            address,
                            endpoint: e,
                            text: AddressText::new(address),
                        }
                    }),
            );
        }
    }
    // Stable: repetitions stay in the slices' order.
    backends.sort_by_key(|backend| backend.text);
    backends.dedup_by(|later, earlier| {
        let repeats = later.address == earlier.address;
        if repeats && !later.endpoint.conditions.terminating {
            std::mem::swap(later, earlier);
        }
        repeats
    });
    backends
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Conditions;
    use crate::plan::testing::{NOT_READY, READY, SERVING, STOPPED, endpoint, slice};

    fn texts(slices: &[EndpointSlice]) -> Vec<String> {
        let merged = merge(slices, Family::Ipv4, "http", Protocol::Tcp);
        merged
            .iter()
            .map(|backend| backend.address.to_string())
            .collect()
    }

    /// The conditions that win where one slice after the other has the same address.
    fn winner(conditions: &[Conditions]) -> Conditions {
        let slices: Vec<EndpointSlice> = conditions
            .iter()
            .enumerate()
            .map(|(index, c)| slice(&format!("s{index}"), [endpoint("10.0.0.1", *c, "n")]))
            .collect();
        let merged = merge(&slices, Family::Ipv4, "http", Protocol::Tcp);
        assert_eq!(merged.len(), 1);
        merged[0].endpoint.conditions
    }

    #[test]
    fn endpoints_of_all_slices_are_sorted_by_text() {
        let slices = [
            slice(
                "s1",
                [
                    endpoint("10.0.0.2", READY, "n"),
                    endpoint("10.0.0.10", READY, "n"),
                ],
            ),
            slice("s2", [endpoint("10.0.0.1", READY, "n")]),
        ];
        assert_eq!(
            texts(&slices),
            ["10.0.0.10:8080", "10.0.0.1:8080", "10.0.0.2:8080"]
        );
    }

    #[test]
    fn ports_match_by_name_and_protocol_and_the_slice_has_the_number() {
        let mut slices = [slice("s", [endpoint("10.0.0.1", READY, "n")])];
        slices[0].ports[0].port = 9090;
        assert_eq!(texts(&slices), ["10.0.0.1:9090"]);
        slices[0].ports[0].protocol = Protocol::Udp;
        assert!(texts(&slices).is_empty());
        slices[0].ports[0] = crate::plan::testing::slice_port("https", 9090);
        assert!(texts(&slices).is_empty());
    }

    #[test]
    fn an_empty_name_matches_an_empty_name() {
        let mut slices = [slice("s", [endpoint("10.0.0.1", READY, "n")])];
        slices[0].ports[0] = crate::plan::testing::slice_port("", 9090);
        assert_eq!(merge(&slices, Family::Ipv4, "", Protocol::Tcp).len(), 1);
    }

    #[test]
    fn slices_may_have_different_numbers_for_one_port() {
        let mut slices = [
            slice("s1", [endpoint("10.0.0.1", READY, "n")]),
            slice("s2", [endpoint("10.0.0.1", READY, "n")]),
        ];
        slices[1].ports[0].port = 9090;
        assert_eq!(texts(&slices), ["10.0.0.1:8080", "10.0.0.1:9090"]);
    }

    #[test]
    fn slices_of_the_other_family_are_left_out() {
        let mut slices = [slice("s", [endpoint("fd00::1", READY, "n")])];
        slices[0].family = Family::Ipv6;
        assert!(texts(&slices).is_empty());
        assert_eq!(merge(&slices, Family::Ipv6, "http", Protocol::Tcp).len(), 1);
    }

    #[test]
    fn of_two_entries_the_later_one_holds_unless_it_terminates() {
        assert_eq!(winner(&[READY, NOT_READY]), NOT_READY);
        assert_eq!(winner(&[NOT_READY, READY]), READY);
        assert_eq!(winner(&[READY, SERVING]), READY);
        assert_eq!(winner(&[SERVING, READY]), READY);
        assert_eq!(winner(&[SERVING, STOPPED]), SERVING);
        assert_eq!(
            winner(&[SERVING, READY, STOPPED, NOT_READY, SERVING]),
            NOT_READY
        );
    }

    #[test]
    fn an_endpoint_without_a_node_is_on_none() {
        let slices = [slice(
            "s",
            [Endpoint {
                node: None,
                ..endpoint("10.0.0.1", READY, "n")
            }],
        )];
        assert!(!merge(&slices, Family::Ipv4, "http", Protocol::Tcp)[0].is_on("n"));
    }
}

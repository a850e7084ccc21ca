//! Which dumps a look at the table takes.

use std::collections::BTreeSet;

use nfnetlink::Family;
use nfnetlink::conntrack::Filter;
use viprule_service::model::Protocol;
use viprule_service::plan::{FlowDestination, FlowPlace};

use super::book::Book;
use crate::sysctl;

/// What a walk over the table costs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table {
    /// Hash buckets, which are the same ones for all network namespaces.
    buckets: u64,
    /// Flows of this network namespace, of any protocol.
    entries: u64,
}

impl Table {
    /// The one of the calling thread's network namespace; `None` where the kernel does not tell.
    pub(super) fn read() -> Option<Self> {
        let number = |name: &str| {
            let value = sysctl::read(&format!("net/netfilter/nf_conntrack_{name}"))?;
            value.parse().ok()
        };
        Some(Self {
            buckets: number("buckets")?,
            entries: number("count")?,
        })
    }

    /// Up to so many destinations are asked for one by one, which takes a walk for each. One dump
    /// for all takes one, but may copy every flow.
    ///
    /// On Linux 6.18 a walk takes 36 ns for each bucket and 0.35 µs for each flow; one that is
    /// copied and read takes 3 µs more.
    ///
    /// Of TCP few flows are unanswered, so there is little to copy.
    fn worth(self, protocol: Protocol) -> usize {
        if protocol == Protocol::Tcp {
            return 1;
        }
        let walk = self.entries.saturating_mul(10).saturating_add(self.buckets);
        let walks = self.entries.saturating_mul(80) / walk.max(1);
        usize::try_from(walks).map_or(usize::MAX, |walks| walks.saturating_add(1))
    }
}

/// Everything of a family that may be stale.
pub(super) const fn all(family: Family, protocol: Protocol) -> Filter {
    match protocol {
        Protocol::Tcp => Filter::unreplied_tcp(family),
        Protocol::Udp | Protocol::Sctp => Filter::udp(family),
    }
}

/// What to ask the kernel for, one dump after the other, so that no flow to these destinations is
/// left out.
pub(super) fn filters(
    family: Family,
    among: &BTreeSet<FlowDestination>,
    book: &Book,
    table: Table,
) -> Vec<Filter> {
    // Not twice for what it can't tell apart.
    let mut each: Vec<Filter> = Vec::new();
    for to in among {
        let filter = filter(family, to, book).for_kernel();
        if !each.contains(&filter) {
            each.push(filter);
        }
        if each.len() > table.worth(to.protocol) {
            let all = among.iter().map(|to| self::filter(family, to, book));
            return all.reduce(either).into_iter().collect();
        }
    }
    each
}

/// What the kernel can be asked for about one destination.
fn filter(family: Family, destination: &FlowDestination, book: &Book) -> Filter {
    let (address, port) = match &destination.place {
        FlowPlace::Virtual { address, port } => (Some(*address), *port),
        // One dump for all of the node's addresses.
        FlowPlace::NodePort { port, .. } => (None, *port),
    };
    let mut filter = all(family, destination.protocol).to_port(port);
    filter.address = address;
    filter.dnat_only = !book.serves(destination);
    filter
}

/// What leaves out no flow of either, which are of one family and protocol.
fn either(mut a: Filter, b: Filter) -> Filter {
    a.address.take_if(|address| b.address != Some(*address));
    a.port.take_if(|port| b.port != Some(*port));
    a.dnat_only &= b.dnat_only;
    a
}

#[cfg(test)]
mod tests {
    use nfnetlink::Family::Ipv4;

    use super::*;

    /// Hash buckets of a node with 4 GiB of memory or more.
    const BUCKETS: u64 = 262_144;

    fn worth(entries: u64) -> usize {
        let buckets = BUCKETS;
        Table { buckets, entries }.worth(Protocol::Udp)
    }

    fn asked(destinations: &[FlowDestination], entries: u64) -> Vec<Filter> {
        let buckets = BUCKETS;
        let among = destinations.iter().copied().collect();
        let table = Table { buckets, entries };
        filters(Ipv4, &among, &Book::default(), table)
    }

    fn to(address: [u8; 4], port: u16) -> FlowDestination {
        FlowPlace::at((address, port).into()).over(Protocol::Udp)
    }

    #[test]
    fn one_walk_for_all_where_there_is_little_to_copy() {
        assert_eq!(worth(0), 1);
        assert_eq!(worth(1_000), 1);
        assert_eq!(worth(20_000), 4);
        assert_eq!(worth(1_000_000), 8);
        assert_eq!(worth(u64::MAX), 2, "and no overflow");
    }

    #[test]
    fn one_walk_for_all_unanswered_tcp_flows_however_large_the_table() {
        let tcp = |last| to([10, 1, 0, last], 80).place.over(Protocol::Tcp);
        let port = Filter::unreplied_tcp(Ipv4).to_port(80).only_dnat();
        assert_eq!(asked(&[tcp(1), tcp(2)], u64::MAX), [port]);
        let address = port.to_address([10, 1, 0, 1].into());
        assert_eq!(asked(&[tcp(1)], 0), [address]);
    }

    #[test]
    fn ipv6_destinations_are_told_apart_by_port_only() {
        let at = |text: &str| FlowPlace::at(text.parse().unwrap()).over(Protocol::Udp);
        let same = [at("[fd00::1]:53"), at("[fd00::2]:53")];
        let other = [at("[fd00::1]:53"), at("[fd00::2]:53"), at("[fd00::2]:54")];
        let ports = |among: &[FlowDestination]| -> Vec<_> {
            let table = Table {
                buckets: BUCKETS,
                entries: 20_000,
            };
            let among = among.iter().copied().collect();
            let filters = filters(Family::Ipv6, &among, &Book::default(), table);
            filters.iter().map(|filter| filter.port).collect()
        };
        assert_eq!(ports(&same), [Some(53)]);
        assert_eq!(ports(&other), [Some(53), Some(54)]);
    }

    #[test]
    fn one_dump_leaves_out_what_none_of_them_means() {
        let (a, b) = ([10, 1, 0, 1], [10, 1, 0, 2]);
        let one = |address: Option<[u8; 4]>, port| {
            let mut filter = Filter::udp(Ipv4).only_dnat();
            (filter.address, filter.port) = (address.map(Into::into), port);
            filter
        };
        let many = [to(a, 53), to(b, 53)];
        let each = [one(Some(a), Some(53)), one(Some(b), Some(53))];
        assert_eq!(asked(&many, 20_000), each);
        assert_eq!(asked(&many, 1_000), [one(None, Some(53))]);
        assert_eq!(asked(&[to(a, 53), to(a, 54)], 1_000), [one(Some(a), None)]);
        let node_port = FlowPlace::NodePort {
            family: viprule_service::model::Family::Ipv4,
            port: 53,
        };
        let node_port = node_port.over(Protocol::Udp);
        assert_eq!(asked(&[to(a, 53), node_port], 0), [one(None, Some(53))]);
        assert_eq!(asked(&[to(a, 54), node_port], 0), [one(None, None)]);
        assert_eq!(asked(&[to(a, 53)], 0), [one(Some(a), Some(53))]);
        assert_eq!(asked(&[], 0), []);
    }
}

//! What IP sets hold.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use nfnetlink::ipset::{Entry, IpPort, Kind};
use nfnetlink::xtables::{Direction, Directions};
use viprule_dataplane::ipvs;

use super::traverse::InFlight;

/// The elements of each set, by its name.
#[derive(Debug, Default)]
pub(in crate::walker) struct Sets(BTreeMap<String, (Kind, BTreeSet<Entry>)>);

/// Why a set can't be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Problem {
    /// There is no such set.
    Missing,
    /// The packet's source isn't known any more.
    Source,
    /// The set has other dimensions.
    Dimensions,
}

impl Sets {
    /// Those of a state of IPVS mode.
    pub(in crate::walker) fn of(state: &ipvs::Desired) -> Self {
        let mut sets = BTreeMap::new();
        for (key, object) in state {
            match (key, object) {
                (ipvs::Key::Set(set), ipvs::Object::Set(spec)) => {
                    sets.insert(set.to_string(), (spec.kind(), BTreeSet::new()));
                }
                (ipvs::Key::Entry { set, entry }, _) => {
                    if let Some((_, entries)) = sets.get_mut(&set.to_string()) {
                        entries.insert(*entry);
                    }
                }
                _ => {}
            }
        }
        Self(sets)
    }

    /// True where the set of this name has an element for the packet (`ip_set_test`).
    pub(super) fn hold(
        &self,
        name: &str,
        dirs: Directions,
        packet: &InFlight,
        protocol: u8,
    ) -> Result<bool, Problem> {
        let (kind, entries) = self.0.get(name).ok_or(Problem::Missing)?;
        let sides = dirs
            .iter()
            .map(|direction| match direction {
                Direction::Dst => Ok(packet.destination),
                Direction::Src => packet.source.ok_or(Problem::Source),
            })
            .collect::<Result<Vec<SocketAddr>, Problem>>()?;
        let ip_port = |ip: SocketAddr, port: SocketAddr| IpPort {
            address: ip.ip(),
            protocol,
            port: port.port(),
        };
        Ok(match (kind, &sides[..]) {
            (Kind::BitmapPort, [port]) => entries.contains(&Entry::Port(port.port())),
            (Kind::HashIp, [ip]) => entries.contains(&Entry::Ip(ip.ip())),
            (Kind::HashIpPort, [ip, port]) => entries.contains(&Entry::IpPort(ip_port(*ip, *port))),
            (Kind::HashIpPortIp, [ip, port, other]) => {
                entries.contains(&Entry::IpPortIp(ip_port(*ip, *port), other.ip()))
            }
            (Kind::HashIpPortNet, [ip, port, other]) => {
                let at = ip_port(*ip, *port);
                entries.iter().any(|entry| {
                    matches!(entry, Entry::IpPortNet(first, net)
                        if *first == at && net.contains(&other.ip()))
                })
            }
            _ => return Err(Problem::Dimensions),
        })
    }
}

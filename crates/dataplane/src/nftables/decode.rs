//! Elements as the kernel has them, as what they stand for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use nfnetlink::Family;
use nfnetlink::nftables::native::{self, ElementData, Value};
use viprule_service::model::Protocol;
use viprule_service::plan::Frontend;

use super::element::{Element, ElementContent};
use super::set::{Lookup, Row, Set, SetName};
use crate::family::in_plans;

/// What an element of one of our sets stands for; `None` where it is none that we write: no packet
/// finds anything of ours by it.
pub fn decode(set: Set, found: &native::Element) -> Option<(Element, ElementContent)> {
    let mut key = Fields(found.key.as_bytes());
    let family = set.family;
    let frontend = |key: &mut Fields<'_>, lookup| key.frontend(family, lookup);
    let element = match set.name {
        SetName::Frontends { lookup, of } => Element::Frontend {
            set: of,
            frontend: frontend(&mut key, lookup)?,
        },
        SetName::Endpoints(Row { lookup, local }) => Element::Endpoint {
            local,
            frontend: frontend(&mut key, lookup)?,
            slot: key.number()?.try_into().ok()?,
        },
        SetName::StickySlots(Row { lookup, local }) => Element::StickySlot {
            local,
            frontend: frontend(&mut key, lookup)?,
            slot: key.number()?.try_into().ok()?,
        },
        SetName::StickyEndpoints(Row { lookup, local }) => Element::StickyEndpoint {
            local,
            frontend: frontend(&mut key, lookup)?,
            id: key.number()?,
        },
        SetName::Hairpin => {
            let address = key.address(family)?;
            let _client = key.address(family)?;
            Element::Hairpin {
                protocol: key.protocol()?,
                port: key.port()?,
                address,
            }
        }
        SetName::Allowed(protocol) => {
            let frontend = Frontend::Address {
                address: key.address(family)?,
                port: key.port()?,
                protocol,
            };
            Element::Allowed {
                frontend,
                sources: network(key.address(family)?, found)?,
            }
        }
        SetName::ClusterIps => Element::ClusterIp(key.address(family)?),
        SetName::NodeAddresses => Element::NodeAddress(key.address(family)?),
        SetName::ServiceCidrs => Element::ServiceCidr(network(key.address(family)?, found)?),
        // What packets write there is theirs.
        SetName::Affinity => return None,
    };
    // What it encodes to is the very same key, or it is another one.
    let content = content(set.name, family, found);
    let again = element.encode(&content);
    (key.is_done() && again.key == found.key && again.end == found.end)
        .then_some((element, content))
}

/// What is said of it.
fn content(set: SetName, family: Family, found: &native::Element) -> ElementContent {
    if found.timeout.is_some() {
        return ElementContent::Foreign;
    }
    let read = match (&found.data, &found.comment) {
        (None, None) => Some(ElementContent::Member),
        (None, Some(comment)) => Some(ElementContent::Named(comment.clone())),
        (Some(ElementData::Value(value)), None) => match set {
            SetName::StickySlots(_) => value.host_u32().map(ElementContent::Id),
            _ => endpoint(family, value).map(ElementContent::Endpoint),
        },
        _ => None,
    };
    read.unwrap_or(ElementContent::Foreign)
}

fn endpoint(family: Family, value: &Value) -> Option<SocketAddr> {
    let mut fields = Fields(value.as_bytes());
    let endpoint = SocketAddr::new(fields.address(family)?, fields.port()?);
    fields.is_done().then_some(endpoint)
}

/// The network that begins with an address and ends with the last field of an element's last key.
fn network(first: IpAddr, found: &native::Element) -> Option<IpNet> {
    let bytes = found.end.as_ref().unwrap_or(&found.key).as_bytes();
    let max = IpNet::from(first).max_prefix_len();
    let field = bytes.len().checked_sub(usize::from(max / 8))?;
    let last = Fields(bytes.get(field..)?).address(family_of(first))?;
    (0..=max).find_map(|len| {
        let network = IpNet::new(first, len).ok()?;
        (network.network() == first && network.broadcast() == last).then_some(network)
    })
}

const fn family_of(address: IpAddr) -> Family {
    match address {
        IpAddr::V4(_) => Family::Ipv4,
        IpAddr::V6(_) => Family::Ipv6,
    }
}

/// The fields of a key that are still to be read.
struct Fields<'b>(&'b [u8]);

impl Fields<'_> {
    /// A field of `N` bytes, filled up with zeros to a multiple of 4 in a key of several.
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        let padding = (N.next_multiple_of(4) - N).min(rest.len());
        let (zeros, rest) = rest.split_at_checked(padding)?;
        self.0 = rest;
        zeros.iter().all(|byte| *byte == 0).then_some(*field)
    }

    fn address(&mut self, family: Family) -> Option<IpAddr> {
        Some(match family {
            Family::Ipv4 => Ipv4Addr::from(self.take::<4>()?).into(),
            Family::Ipv6 => Ipv6Addr::from(self.take::<16>()?).into(),
        })
    }

    fn protocol(&mut self) -> Option<Protocol> {
        let [number] = self.take::<1>()?;
        let mut all = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].into_iter();
        all.find(|protocol| protocol.number() == number)
    }

    fn port(&mut self) -> Option<u16> {
        self.take::<2>().map(u16::from_be_bytes)
    }

    /// A number in host byte order.
    fn number(&mut self) -> Option<u32> {
        self.take::<4>().map(u32::from_ne_bytes)
    }

    fn frontend(&mut self, family: Family, lookup: Lookup) -> Option<Frontend> {
        Some(match lookup {
            Lookup::Address => Frontend::Address {
                address: self.address(family)?,
                protocol: self.protocol()?,
                port: self.port()?,
            },
            Lookup::NodePort => Frontend::NodePort {
                family: in_plans(family),
                protocol: self.protocol()?,
                port: self.port()?,
            },
        })
    }

    const fn is_done(&self) -> bool {
        self.0.is_empty()
    }
}

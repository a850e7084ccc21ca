//! Networks, interfaces and marks.

use std::ops::RangeInclusive;

use ipnet::IpNet;
use viprule_dataplane::DetectLocal;
use viprule_dataplane::netfilter::SourcePorts;
use viprule_service::plan::NodePortAddresses;
use viprule_source::convert::{parse_ip, parse_range};

use super::Check;
use crate::config::own::OwnSettings;
use crate::config::proxy::KubeProxyConfiguration;
use crate::mode::{Mode as _, ProxyMode, with_mode};

/// Longest interface name, bytes (`IFNAMSIZ` less the NUL).
const INTERFACE_LIMIT: usize = 15;
/// The API server's `--service-node-port-range` where it is given none.
const DEFAULT_NODE_PORTS: RangeInclusive<u16> = 30000..=32767;

/// Which bit of the mark asks for masquerading, and whether all traffic to cluster IPs has it.
/// Some modes have their own of both; the bit of the others is checked in every mode.
pub(super) fn masquerade(
    mode: Option<ProxyMode>,
    proxy: &KubeProxyConfiguration,
    check: &mut Check<'_>,
) -> (u8, bool) {
    let mut bit = |field: &str, value: Option<i32>| {
        let value = value.unwrap_or(14);
        let bit = u8::try_from(value).ok().filter(|bit| *bit <= 31);
        bit.unwrap_or_else(|| {
            check.wrong(field, format!("must be within 0 to 31, and {value} is not"));
            0
        })
    };
    let common = bit("iptables.masqueradeBit", proxy.iptables.masquerade_bit);
    let own = mode.and_then(|mode| with_mode!(mode, M => M::masquerade(proxy)));
    own.map_or((common, proxy.iptables.masquerade_all), |own| {
        (bit(own.bit_field, own.bit), own.all)
    })
}

/// The source ports of what is masqueraded, where node ports are left out.
pub(super) fn source_ports(
    mode: Option<ProxyMode>,
    own: &OwnSettings,
    check: &mut Check<'_>,
) -> Option<SourcePorts> {
    const FIELD: &str = "serviceNodePortRange";
    const SWITCH: &str = "masqueradeOutsideNodePorts";
    let node_ports = match own.service_node_port_range.as_str() {
        "" => DEFAULT_NODE_PORTS,
        text => check.some(FIELD, port_range(text), || {
            format!("{text:?} is not a range of ports from 1 to 65535 such as 30000-32767")
        })?,
    };
    let by_mode =
        || mode.is_some_and(|mode| with_mode!(mode, M => M::MASQUERADES_OUTSIDE_NODE_PORTS));
    if !own.masquerade_outside_node_ports.unwrap_or_else(by_mode) {
        return None;
    }
    let switch = check.name(SWITCH);
    check.some(FIELD, SourcePorts::outside(&node_ports), || {
        let (first, last) = (node_ports.start(), node_ports.end());
        format!(
            "{first}-{last} leaves no port from 1024 on to masquerade with: name fewer, or set {switch} to false"
        )
    })
}

/// A range as the API server takes it: the first port and the last, or how many follow it, or one
/// alone.
fn port_range(text: &str) -> Option<RangeInclusive<u16>> {
    let port = |text: &str| text.trim().parse::<u16>().ok();
    let (first, last) = if let Some((first, last)) = text.split_once('-') {
        (port(first)?, port(last)?)
    } else if let Some((first, more)) = text.split_once('+') {
        let first = port(first)?;
        (first, first.checked_add(port(more)?)?)
    } else {
        let only = port(text)?;
        (only, only)
    };
    (first > 0 && first <= last).then_some(first..=last)
}

/// How local pods are recognised (contract 1.8).
pub(super) fn detect_local(
    proxy: &KubeProxyConfiguration,
    check: &mut Check<'_>,
) -> Option<DetectLocal> {
    let detect = &proxy.detect_local;
    match proxy.detect_local_mode.as_str() {
        "ClusterCIDR" => cluster_cidr(&proxy.cluster_cidr, check).map(DetectLocal::ClusterCidr),
        "NodeCIDR" => Some(DetectLocal::NodeCidr),
        "BridgeInterface" => interface(
            "detectLocal.bridgeInterface",
            &detect.bridge_interface,
            check,
        )
        .map(DetectLocal::BridgeInterface),
        "InterfaceNamePrefix" => {
            let prefix = &detect.interface_name_prefix;
            interface("detectLocal.interfaceNamePrefix", prefix, check)
                .map(DetectLocal::InterfaceNamePrefix)
        }
        other => {
            check.wrong(
                "detectLocalMode",
                format!(
                    "must be ClusterCIDR, NodeCIDR, BridgeInterface, InterfaceNamePrefix or \
                     empty for ClusterCIDR, not {other:?}"
                ),
            );
            None
        }
    }
}

fn cluster_cidr(text: &str, check: &mut Check<'_>) -> Option<Vec<IpNet>> {
    const FIELD: &str = "clusterCIDR";
    if text.is_empty() {
        return Some(Vec::new());
    }
    let texts = text.split(',').map(str::trim);
    let networks: Vec<_> = texts.map(|text| network(FIELD, text, check)).collect();
    let networks: Vec<IpNet> = networks.into_iter().collect::<Option<_>>()?;
    let of_v4 = networks
        .iter()
        .filter(|net| matches!(net, IpNet::V4(_)))
        .count();
    if networks.len() > 2 || of_v4 > 1 || networks.len() - of_v4 > 1 {
        check.wrong(FIELD, "takes one network, or one of each family");
    }
    Some(networks)
}

pub(crate) fn network(field: &str, text: &str, check: &mut Check<'_>) -> Option<IpNet> {
    check.some(field, parse_range(text), || match parse_ip(text) {
        Some(ip) => format!("{text} needs a prefix length, as {}", IpNet::from(ip)),
        None => format!("{text:?} is not a network such as 10.244.0.0/16"),
    })
}

fn interface(field: &'static str, name: &str, check: &mut Check<'_>) -> Option<String> {
    if name.is_empty() {
        let mode = check.name("detectLocalMode");
        check.wrong(field, format!("is needed with this {mode}"));
        return None;
    }
    if name.len() > INTERFACE_LIMIT || name.contains(|c: char| c == '/' || c.is_whitespace()) {
        check.wrong(field, format!("{name:?} is not an interface name"));
        return None;
    }
    Some(name.to_owned())
}

/// Networks, or the word `primary` alone.
pub(super) fn node_port_addresses(
    texts: &[String],
    check: &mut Check<'_>,
) -> Option<NodePortAddresses> {
    match texts {
        [] => return Some(NodePortAddresses::All),
        [word] if word == "primary" => return Some(NodePortAddresses::Primary),
        _ => {}
    }
    let networks: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let field = format!("nodePortAddresses[{index}]");
            if text == "primary" {
                check.wrong(&field, "\"primary\" stands alone, without networks");
                return None;
            }
            network(&field, text, check)
        })
        .collect();
    let networks = networks.into_iter().collect::<Option<_>>()?;
    Some(NodePortAddresses::Networks(networks))
}

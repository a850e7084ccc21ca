//! What the flags come to.

use std::net::IpAddr;

use ipnet::IpNet;
use nfnetlink::Family;
use viprule_dataplane::iptables::{DetectLocal, Settings};
use viprule_service::plan::{NodePortAddresses, PlanConfig};

use super::{DataplaneArgs, DetectLocalMode, InputArgs, IpFamily};

/// Longest interface name, bytes (`IFNAMSIZ` less the NUL).
const INTERFACE_LIMIT: usize = 15;

/// A setting that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("--{flag}: {problem}")]
pub struct SettingError {
    /// The flag without dashes.
    pub flag: &'static str,
    /// What is wrong and what would be right.
    pub problem: String,
}

/// Valid settings.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// What plans depend on.
    pub plan: PlanConfig,
    /// What iptables mode depends on.
    pub iptables: Settings,
    /// The families were chosen by a flag rather than by what the kernel has.
    pub families_chosen: bool,
}

impl Resolved {
    /// Checks the flags. Reads nothing but this machine's host name, and only where no node is
    /// named.
    pub fn new(input: &InputArgs, args: &DataplaneArgs) -> Result<Self, SettingError> {
        let detect_local = detect_local(args)?;
        let settings = Settings {
            families: families(args),
            masquerade_bit: args.iptables_masquerade_bit,
            masquerade_all: args.masquerade_all,
            detect_local,
            localhost_node_ports: args.iptables_localhost_nodeports,
            node_port_addresses: node_port_addresses(&args.nodeport_addresses)?,
            ..Settings::default()
        };
        let plan = PlanConfig {
            node_name: node_name(input)?,
            bind_address: args.bind_address.filter(|ip| !ip.is_unspecified()),
            allow_external_ips: true,
        };
        Ok(Self {
            plan,
            iptables: settings,
            families_chosen: !args.ip_family.is_empty(),
        })
    }
}

fn error(flag: &'static str, problem: impl Into<String>) -> SettingError {
    SettingError {
        flag,
        problem: problem.into(),
    }
}

fn families(args: &DataplaneArgs) -> Vec<Family> {
    let wanted = |family| args.ip_family.is_empty() || args.ip_family.contains(&family);
    let known = [
        (IpFamily::Ipv4, Family::Ipv4),
        (IpFamily::Ipv6, Family::Ipv6),
    ];
    known
        .into_iter()
        .filter(|(flag, _)| wanted(*flag))
        .map(|(_, family)| family)
        .collect()
}

/// The node's name, trimmed and in lower case (contract 1.2).
fn node_name(input: &InputArgs) -> Result<String, SettingError> {
    let name = match &input.node {
        Some(name) => name.clone(),
        None => nix::unistd::gethostname()
            .map_err(|errno| {
                error(
                    "node",
                    format!("this machine's host name can't be read: {errno}"),
                )
            })?
            .to_string_lossy()
            .into_owned(),
    };
    let name = name.trim().to_lowercase();
    if name.is_empty() {
        Err(error("node", "must not be empty"))
    } else {
        Ok(name)
    }
}

fn detect_local(args: &DataplaneArgs) -> Result<DetectLocal, SettingError> {
    let cidrs = &args.cluster_cidr;
    let of_v4 = cidrs
        .iter()
        .filter(|net| matches!(net, IpNet::V4(_)))
        .count();
    if args.detect_local_mode == DetectLocalMode::ClusterCIDR
        && (cidrs.len() > 2 || of_v4 > 1 || cidrs.len() - of_v4 > 1)
    {
        return Err(error(
            "cluster-cidr",
            "takes one network, or one of each family",
        ));
    }
    match args.detect_local_mode {
        DetectLocalMode::ClusterCIDR => Ok(DetectLocal::ClusterCidr(cidrs.clone())),
        DetectLocalMode::NodeCIDR => Ok(DetectLocal::NodeCidr),
        DetectLocalMode::BridgeInterface => {
            interface("pod-bridge-interface", args.pod_bridge_interface.as_deref())
                .map(DetectLocal::BridgeInterface)
        }
        DetectLocalMode::InterfaceNamePrefix => interface(
            "pod-interface-name-prefix",
            args.pod_interface_name_prefix.as_deref(),
        )
        .map(DetectLocal::InterfaceNamePrefix),
    }
}

fn interface(flag: &'static str, name: Option<&str>) -> Result<String, SettingError> {
    let name = name.unwrap_or_default();
    if name.is_empty() {
        return Err(error(flag, "is needed with this --detect-local-mode"));
    }
    if name.len() > INTERFACE_LIMIT || name.contains(|c: char| c == '/' || c.is_whitespace()) {
        return Err(error(flag, format!("{name:?} is not an interface name")));
    }
    Ok(name.to_owned())
}

fn node_port_addresses(texts: &[String]) -> Result<NodePortAddresses, SettingError> {
    const FLAG: &str = "nodeport-addresses";
    match texts {
        [] => Ok(NodePortAddresses::All),
        [word] if word == "primary" => Ok(NodePortAddresses::Primary),
        texts => texts
            .iter()
            .map(|text| {
                text.parse::<IpNet>()
                    .map_err(|_| match text.parse::<IpAddr>() {
                        Ok(ip) => error(
                            FLAG,
                            format!("{text} needs a prefix length, as {}", IpNet::from(ip)),
                        ),
                        Err(_) => error(
                            FLAG,
                            format!("{text:?} is neither a network nor, alone, the word primary"),
                        ),
                    })
            })
            .collect::<Result<_, _>>()
            .map(NodePortAddresses::Networks),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_port_addresses_are_networks_or_primary() {
        let parse = |texts: &[&str]| {
            node_port_addresses(&texts.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(parse(&[]), Ok(NodePortAddresses::All));
        assert_eq!(parse(&["primary"]), Ok(NodePortAddresses::Primary));
        let problem = parse(&["10.0.0.1"]).unwrap_err().to_string();
        assert_eq!(
            problem,
            "--nodeport-addresses: 10.0.0.1 needs a prefix length, as 10.0.0.1/32"
        );
        assert!(parse(&["primary", "10.0.0.0/8"]).is_err());
    }
}

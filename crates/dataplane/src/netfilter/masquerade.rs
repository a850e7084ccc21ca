//! The rules that mark, let through and masquerade, which are the same in every mode.

use nfnetlink::Family;
use nfnetlink::xtables::{CtStates, Match, NotOr, PortRange, Rule, Target, protocol};
use viprule_service::model;
use viprule_service::plan::NodeFacts;

use super::builder::Draft;
use super::detector::Detector;
use super::source_ports::{Draw, SourcePorts};
use crate::CommonSettings;
use crate::family::index;

/// What is masqueraded, and how it is marked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masquerade {
    /// The packet mark that asks for it: one bit (`iptables.masqueradeBit`).
    pub mark: u32,
    /// `iptables.masqueradeAll`.
    pub all: bool,
    /// The source ports that are given; the kernel's own choice without.
    pub source_ports: Option<SourcePorts>,
    /// How packets of local pods are told from others, by family (contract 1.8).
    pub detectors: [Option<Detector>; 2],
}

impl Default for Masquerade {
    /// kube-proxy's: bit 14, no detector.
    fn default() -> Self {
        Self {
            mark: 1 << 14,
            all: false,
            source_ports: None,
            detectors: [None, None],
        }
    }
}

impl Masquerade {
    /// What follows from settings on this node.
    pub(crate) fn resolve(settings: &CommonSettings, facts: &NodeFacts) -> Self {
        let detector = |family| Detector::resolve(&settings.detect_local, family, facts);
        Self {
            mark: 1 << settings.masquerade_bit,
            all: settings.masquerade_all,
            source_ports: settings.source_ports.clone(),
            detectors: model::Family::ALL.map(detector),
        }
    }

    /// The detector of a family.
    pub(crate) fn detector(&self, family: Family) -> Option<&Detector> {
        self.detectors[index(family)].as_ref()
    }

    /// The ranges that source ports are drawn from, each with the lowest source port of the connections
    /// that it is for; none for the kernel's own choice.
    pub(crate) fn draws(&self) -> impl Iterator<Item = (u16, Draw)> {
        let ports = self.source_ports.iter();
        ports.flat_map(|ports| ports.draws().into_iter().map(|draw| (ports.from(), draw)))
    }
}

/// Marks a packet that is to be masqueraded.
pub(crate) fn mark_masquerade(family: Family, mark: u32) -> Rule {
    Draft::new(family).then(Target::Mark {
        value: mark,
        mask: mark,
    })
}

/// Lets through what is masqueraded, and what belongs to connections that were let through.
pub(crate) fn forward_ours(family: Family, mark: u32) -> [Rule; 2] {
    [
        Draft::new(family)
            .comment("kubernetes forwarding rules".to_owned())
            .with(Match::Mark {
                not: false,
                value: mark,
                mask: mark,
            })
            .then(Target::Accept),
        Draft::new(family)
            .comment("kubernetes forwarding conntrack rule".to_owned())
            .with(Match::Conntrack(NotOr::is(
                CtStates::RELATED.or(CtStates::ESTABLISHED),
            )))
            .then(Target::Accept),
    ]
}

/// Masquerades marked packets.
pub(crate) fn masquerade_marked(family: Family, masquerade: &Masquerade) -> Vec<Rule> {
    let mark = masquerade.mark;
    let draft =
        || Draft::new(family).comment("kubernetes service traffic requiring SNAT".to_owned());
    let to = |ports| Target::Masquerade {
        ports,
        random_fully: true,
    };
    let mut rules = vec![
        Draft::new(family)
            .with(Match::Mark {
                not: true,
                value: mark,
                mask: mark,
            })
            .then(Target::Return),
        Draft::new(family).then(Target::Mark {
            value: mark,
            mask: 0,
        }),
    ];
    for protocol in [protocol::TCP, protocol::UDP, protocol::SCTP] {
        for (from, draw) in masquerade.draws() {
            let rule = draft().source_ports(protocol, from);
            let rule = match draw.share {
                None => rule,
                Some(share) => rule.with(Match::Random {
                    not: false,
                    probability: probability(share),
                }),
            };
            let (first, last) = draw.ports.into_inner();
            rules.push(rule.then(to(Some(PortRange { first, last }))));
        }
    }
    rules.push(draft().then(to(None)));
    rules
}

/// A share as the kernel keeps it: of 2^31.
fn probability((some, of): (u32, u32)) -> u32 {
    let of = u64::from(of).max(1);
    let rounded = ((u64::from(some) << 31) + of / 2) / of;
    u32::try_from(rounded).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_ports_are_those_of_kube_proxy_or_no_node_ports() {
        let rules = |source_ports| {
            let masquerade = Masquerade {
                source_ports,
                ..Masquerade::default()
            };
            let rules = masquerade_marked(Family::Ipv4, &masquerade);
            rules.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let comment = "-m comment --comment \"kubernetes service traffic requiring SNAT\"";
        let before = [
            "-m mark ! --mark 0x4000/0x4000 -j RETURN".to_owned(),
            "-j MARK --set-xmark 0x4000/0x0".to_owned(),
        ];
        let any = format!("{comment} -j MASQUERADE --random-fully");
        let with = |more: Vec<String>| -> Vec<String> {
            let all = before.iter().cloned().chain(more);
            all.chain([any.clone()]).collect()
        };
        assert_eq!(rules(None), with(Vec::new()));
        let of_protocol = |protocol: &str| {
            let from = format!("-p {protocol} {comment} -m {protocol} --sport 1024:65535");
            [
                format!(
                    "{from} -m statistic --mode random --probability 0.46929256292 \
                     -j MASQUERADE --to-ports 1024-29999 --random-fully"
                ),
                format!("{from} -j MASQUERADE --to-ports 32768-65535 --random-fully"),
            ]
        };
        let both = ["tcp", "udp", "sctp"].into_iter().flat_map(of_protocol);
        let default = SourcePorts::outside(&(30000..=32767));
        assert_eq!(rules(default), with(both.collect()));
        let of_protocol = |protocol: &str| {
            format!(
                "-p {protocol} {comment} -m {protocol} -j MASQUERADE --to-ports 40001-65535 \
                 --random-fully"
            )
        };
        let above = ["tcp", "udp", "sctp"].map(of_protocol);
        let low = SourcePorts::outside(&(80..=40000));
        assert_eq!(rules(low), with(above.into()));
    }
}

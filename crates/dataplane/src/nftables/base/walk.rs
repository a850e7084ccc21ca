//! The chains from where the kernel calls to the rows, and those that turn packets away.

use nfnetlink::Family;
use nfnetlink::nftables::native::{
    MetaKey, NatFlags, Numgen, Operand, Ports, Reject, Relation, Rule, Statement, Term, Transport,
    Value, Verdict,
};
use viprule_service::model::Protocol;

use super::super::chain::{BaseChain, Chain};
use super::super::key::{Key, Object};
use super::super::row::IS_ID;
use super::super::set::{FrontendSet, Lookup, Row, SetName};
use super::super::settings::Options;
use super::super::statements::{
    compare, goto, in_set, is_marked, is_new, is_translated, key, rule, set_mark, turn_mark,
};
use super::{chain, normalized};
use crate::netfilter::{Detector, Draw, Masquerade};

/// `RTN_LOCAL`: what `fib saddr type local` compares with.
const LOCAL: u32 = 2;
/// `IFNAMSIZ`: bytes of an interface's name with at least one zero at its end.
const NAME_LEN: usize = 16;
/// The protocols of Services.
const TRANSPORTS: [Transport; 3] = [Transport::Tcp, Transport::Udp, Transport::Sctp];

pub(super) struct Walk<'a> {
    family: Family,
    masquerade: &'a Masquerade,
}

impl<'a> Walk<'a> {
    pub(super) fn new(family: Family, options: &'a Options) -> Self {
        let masquerade = &options.masquerade;
        Self { family, masquerade }
    }

    pub(super) fn chains(&self) -> Vec<(Key, Object)> {
        let mut chains = vec![
            (Chain::Masquerading, self.masquerading()),
            (Chain::Translated, vec![forget_id()]),
            (Chain::Restricted, restricted()),
            (Chain::Firewall, vec![firewall()]),
            (Chain::CheckAway, self.check_away()),
            (Chain::CheckIn, self.check_in()),
            (Chain::Cluster, self.cluster()),
            (Chain::Services, services()),
        ];
        for lookup in Lookup::ALL {
            chains.push((Chain::Local(lookup), self.local(lookup)));
            chains.push((Chain::Service(lookup), self.service(lookup)));
        }
        chains
            .into_iter()
            .map(|(name, rules)| chain(self.family, name, rules))
            .collect()
    }

    pub(super) fn base_chains(&self) -> [(Key, Object); 8] {
        BaseChain::ALL.map(|chain| {
            let family = self.family;
            let base = Some(chain.base());
            let rules = normalized(family, self.base_chain(chain));
            let key = Key::BaseChain { family, chain };
            (key, Object::Chain { base, rules })
        })
    }

    fn base_chain(&self, chain: BaseChain) -> Vec<Rule> {
        let new = |chain| vec![rule([is_new(), goto(chain)])];
        match chain {
            BaseChain::NatPrerouting | BaseChain::NatOutput => {
                vec![rule([goto(Chain::Services)])]
            }
            BaseChain::FilterPrerouting | BaseChain::FilterOutputEarly => new(Chain::Firewall),
            BaseChain::FilterInput => new(Chain::CheckIn),
            BaseChain::FilterForward | BaseChain::FilterOutput => new(Chain::CheckAway),
            BaseChain::NatPostrouting => self.postrouting(),
        }
    }

    /// What is marked, and endpoints that reach themselves.
    fn postrouting(&self) -> Vec<Rule> {
        let mark = self.masquerade.mark;
        let addresses = [Term::SourceAddress, Term::DestinationAddress];
        let endpoint: Vec<Term> = addresses.into_iter().chain(key(Lookup::NodePort)).collect();
        vec![
            rule([is_marked(mark), turn_mark(mark), goto(Chain::Masquerading)]),
            rule([
                is_translated(),
                in_set(endpoint, SetName::Hairpin),
                goto(Chain::Masquerading),
            ]),
        ]
    }

    /// A rule for each protocol: nft takes ports only where the rule itself says which it is.
    fn masquerading(&self) -> Vec<Rule> {
        let of_protocols = TRANSPORTS.into_iter().flat_map(|transport| {
            let draws = self.masquerade.draws();
            draws.map(move |(from, draw)| masquerade_to(transport, from, &draw))
        });
        of_protocols.chain([rule([masquerade(None)])]).collect()
    }

    fn mark(&self) -> Statement {
        set_mark(self.masquerade.mark)
    }

    /// Goes on with packets of local pods, or with all others.
    fn pods(&self, not: bool) -> Option<Statement> {
        self.masquerade
            .detector(self.family)
            .map(|detector| from_pods(detector, not))
    }

    /// For cluster IPs: what does not come from local pods is masqueraded.
    fn cluster(&self) -> Vec<Rule> {
        let marking = if self.masquerade.all {
            Some(rule([self.mark()]))
        } else {
            self.pods(true).map(|others| rule([others, self.mark()]))
        };
        let pick = rule([goto(pick(Lookup::Address, false))]);
        marking.into_iter().chain([pick]).collect()
    }

    /// For external frontends with `externalTrafficPolicy: Local`: local pods and the node itself
    /// reach every endpoint, others local ones only.
    fn local(&self, lookup: Lookup) -> Vec<Rule> {
        let pods = self.pods(false);
        let pods = pods.map(|pods| rule([pods, goto(pick(lookup, false))]));
        let from_here = compare(Term::SourceType, Relation::Eq, LOCAL);
        let here = rule([from_here, self.mark(), goto(pick(lookup, false))]);
        let others = rule([goto(pick(lookup, true))]);
        pods.into_iter().chain([here, others]).collect()
    }

    fn service(&self, lookup: Lookup) -> Vec<Rule> {
        let cluster = (lookup == Lookup::Address).then(|| {
            let is_cluster_ip = in_set([Term::DestinationAddress], SetName::ClusterIps);
            rule([is_cluster_ip, goto(Chain::Cluster)])
        });
        let local = rule([
            frontend_in(lookup, FrontendSet::Local),
            goto(Chain::Local(lookup)),
        ]);
        let external = rule([self.mark(), goto(pick(lookup, false))]);
        cluster.into_iter().chain([local, external]).collect()
    }

    fn reject(&self) -> Statement {
        Statement::Reject(Reject::port_unreachable(self.family))
    }

    /// What is for a frontend that leads nowhere; `at` comes before what it is looked up by.
    fn turned_away(&self, lookup: Lookup, at: Option<&Statement>) -> [Rule; 2] {
        [
            (FrontendSet::Dropped, Statement::Verdict(Verdict::Drop)),
            (FrontendSet::Rejected, self.reject()),
        ]
        .map(|(set, then)| {
            let conditions = at.cloned().into_iter().chain([frontend_in(lookup, set)]);
            rule(conditions.chain([then]).collect::<Vec<_>>())
        })
    }

    fn check_away(&self) -> Vec<Rule> {
        let is_cluster_ip = in_set([Term::DestinationAddress], SetName::ClusterIps);
        let translated = rule([is_translated(), goto(Chain::Translated)]);
        let no_such_port = rule([is_cluster_ip, self.reject()]);
        let nobodys = in_set([Term::DestinationAddress], SetName::ServiceCidrs);
        let nobodys = rule([nobodys, Statement::Verdict(Verdict::Drop)]);
        std::iter::once(translated)
            .chain(self.turned_away(Lookup::Address, None))
            .chain([no_such_port, nobodys])
            .collect()
    }

    fn check_in(&self) -> Vec<Rule> {
        let translated = rule([is_translated(), goto(Chain::Translated)]);
        std::iter::once(translated)
            .chain(self.turned_away(Lookup::Address, None))
            .chain(self.turned_away(Lookup::NodePort, Some(&at_node())))
            .collect()
    }
}

const fn pick(lookup: Lookup, local: bool) -> Chain {
    Chain::Pick(Row { lookup, local })
}

fn frontend_in(lookup: Lookup, of: FrontendSet) -> Statement {
    in_set(key(lookup), SetName::Frontends { lookup, of })
}

fn at_node() -> Statement {
    in_set([Term::DestinationAddress], SetName::NodeAddresses)
}

fn services() -> Vec<Rule> {
    let is = |lookup| frontend_in(lookup, FrontendSet::Services);
    vec![
        rule([is(Lookup::Address), goto(Chain::Service(Lookup::Address))]),
        rule([
            at_node(),
            is(Lookup::NodePort),
            goto(Chain::Service(Lookup::NodePort)),
        ]),
    ]
}

/// Masquerades, to one of these ports if the protocol has them: the kernel wants to know it.
const fn masquerade(ports: Option<Ports>) -> Statement {
    Statement::Masquerade {
        ports,
        flags: NatFlags::FULLY_RANDOM,
    }
}

/// Masquerades to the ports of a draw what comes by this protocol from this port on.
fn masquerade_to(transport: Transport, from: u16, draw: &Draw) -> Rule {
    let of_protocol = if from > 0 {
        compare(Term::SourcePort(transport), Relation::Ge, from)
    } else {
        let number = transport.protocol().unwrap_or_default();
        compare(Term::Meta(MetaKey::L4Proto), Relation::Eq, number)
    };
    let share = draw.share.map(|(some, of)| {
        let drawn = Term::Numgen(Numgen::random(of));
        compare(drawn, Relation::Lt, some)
    });
    let ports = (*draw.ports.start(), *draw.ports.end());
    let conditions = [of_protocol].into_iter().chain(share);
    let statements = conditions.chain([masquerade(Some(ports))]);
    rule(statements.collect::<Vec<_>>())
}

/// A packet's priority is the id of its endpoint only until it is translated.
fn forget_id() -> Rule {
    let priority = Term::Meta(MetaKey::Priority);
    rule([
        compare(priority, Relation::Ge, IS_ID),
        Statement::SetMeta {
            key: MetaKey::Priority,
            to: Operand::Value(0_u32.into()),
        },
    ])
}

fn firewall() -> Rule {
    rule([
        frontend_in(Lookup::Address, FrontendSet::Restricted),
        goto(Chain::Restricted),
    ])
}

fn restricted() -> Vec<Rule> {
    let accept = |(protocol, transport)| {
        let port = Term::DestinationPort(transport);
        let key = [Term::DestinationAddress, port, Term::SourceAddress];
        rule([
            in_set(key, SetName::Allowed(protocol)),
            Statement::Verdict(Verdict::Accept),
        ])
    };
    let protocols = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
    let drop = rule([Statement::Verdict(Verdict::Drop)]);
    let protocols = protocols.into_iter().zip(TRANSPORTS);
    protocols.map(accept).chain([drop]).collect()
}

fn from_pods(detector: &Detector, not: bool) -> Statement {
    match detector {
        Detector::Source(network) => Statement::Address {
            destination: false,
            not,
            network: *network,
        },
        Detector::Interface(interface) => {
            let relation = if not { Relation::Ne } else { Relation::Eq };
            let value = interface_name(&interface.name, interface.wildcard);
            compare(Term::Meta(MetaKey::InterfaceIn), relation, value)
        }
    }
}

/// A name with zeros behind it, or, as nft has it for `veth*`, its first bytes alone. No interface
/// has a name of 16 bytes or more, so what is left of a longer one matches none.
fn interface_name(name: &str, is_prefix: bool) -> Value {
    let mut bytes: Vec<u8> = name.bytes().take(NAME_LEN).collect();
    if !is_prefix {
        bytes.resize(NAME_LEN, 0);
    }
    Value::new(&bytes)
}

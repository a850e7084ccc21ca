//! What is there whatever the Services are (contract 2.3, 2.4).

use nfnetlink::Family;
use nfnetlink::xtables::{CtStates, Match, NotOr, Rule, Target};
use viprule_service::plan::NodePortTargets;

use super::builder::{Draft, loopback};
use crate::iptables::key::{Key, Kind, Object, Place, Table};
use crate::iptables::{Options, counter, jumps};
use crate::ownership::{Chain, Layout};
use crate::state::{Fingerprint, State};

/// Comment of the rules that must stay behind all others in nat `KUBE-SERVICES`.
pub(in crate::iptables) const NODE_PORTS_LAST: &str =
    "kubernetes service nodeports; NOTE: this must be the last rule in this chain";

/// Chains and rules that every Service's rules need: first to be written, last to go.
pub fn foundation(options: &Options) -> State<Key, Object> {
    options
        .families
        .iter()
        .flat_map(|family| of_family(*family, options))
        .collect()
}

/// The rules that make everything else reachable: last to be written, first to go.
pub fn links(options: &Options) -> State<Key, Object> {
    jumps::state(Layout::Iptables, &options.families)
}

/// Where a rule of a shared chain goes.
///
/// In nat `KUBE-SERVICES` the node port rules stay last, and in nat `KUBE-NODEPORTS` the counting
/// loopback rule of a port stays before its general rule.
pub fn place_of(table: Table, chain: Chain, rule: &Rule) -> Place {
    let at_head = match (table.kind, chain) {
        (Kind::Nat, Chain::Services) => !is_node_ports_last(rule),
        (Kind::Nat, Chain::Nodeports) => rule.dst.is_some(),
        _ => false,
    };
    if at_head { Place::Head } else { Place::End }
}

/// True for the rules that must stay last in nat `KUBE-SERVICES`.
pub(in crate::iptables) fn is_node_ports_last(rule: &Rule) -> bool {
    matches!(rule.matches.first(), Some(Match::Comment(text)) if text == NODE_PORTS_LAST)
}

/// A rule with a key of its own.
pub(crate) fn keyed(table: Table, chain: Chain, rule: Rule) -> (Key, Object) {
    let key = Key::Rule {
        table,
        chain,
        rule: Fingerprint::of(&rule),
        copy: 0,
    };
    (key, Object::Rule(rule))
}

fn of_family(family: Family, options: &Options) -> Vec<(Key, Object)> {
    let mark = options.masquerade_mark;
    let [mangle, filter, nat] = Kind::ALL.map(|kind| Table { family, kind });
    let whole = |table, chain, rules| (Key::Chain { table, chain }, Object::Rules(rules));
    let shared = |table, chain| (Key::Chain { table, chain }, Object::Shared);
    let mut objects = vec![
        whole(mangle, Chain::Canary, vec![]),
        whole(filter, Chain::Canary, vec![]),
        shared(filter, Chain::Services),
        shared(filter, Chain::ExternalServices),
        whole(filter, Chain::Forward, forward(family, options)),
        shared(filter, Chain::Nodeports),
        shared(filter, Chain::ProxyFirewall),
        shared(filter, Chain::Firewall),
        whole(nat, Chain::Canary, vec![]),
        shared(nat, Chain::Services),
        shared(nat, Chain::Nodeports),
        whole(nat, Chain::Postrouting, postrouting(family, mark).into()),
        whole(nat, Chain::MarkMasq, vec![mark_masquerade(family, mark)]),
    ];
    if options.localhost(family) {
        objects.push(keyed(filter, Chain::Firewall, no_foreign_loopback(family)));
    }
    objects.extend(
        node_ports_last(family, options)
            .into_iter()
            .map(|rule| keyed(nat, Chain::Services, rule)),
    );
    objects
}

/// Marks a packet that is to be masqueraded.
pub(crate) fn mark_masquerade(family: Family, mark: u32) -> Rule {
    Draft::new(family).then(Target::Mark {
        value: mark,
        mask: mark,
    })
}

fn no_foreign_loopback(family: Family) -> Rule {
    let answers = CtStates::RELATED
        .or(CtStates::ESTABLISHED)
        .or(CtStates::DNAT);
    let mut draft = Draft::new(family)
        .dst(loopback(family))
        .comment("block incoming localnet connections".to_owned())
        .with(Match::Conntrack(NotOr::not(answers)));
    draft.0.src = Some(NotOr::not(loopback(family)));
    draft.then(Target::Drop)
}

fn forward(family: Family, options: &Options) -> Vec<Rule> {
    let mut rules = Vec::new();
    if options.drop_invalid {
        let mut invalid = Draft::new(family).with(Match::Conntrack(NotOr::is(CtStates::INVALID)));
        if options.nfacct {
            invalid = invalid.with(Match::Nfacct(counter::INVALID_DROPPED.to_owned()));
        }
        rules.push(invalid.then(Target::Drop));
    }
    rules.extend(forward_ours(family, options.masquerade_mark));
    rules
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
pub(crate) fn postrouting(family: Family, mark: u32) -> [Rule; 3] {
    [
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
        Draft::new(family)
            .comment("kubernetes service traffic requiring SNAT".to_owned())
            .then(Target::Masquerade { random_fully: true }),
    ]
}

fn node_ports_last(family: Family, options: &Options) -> Vec<Rule> {
    let draft = || Draft::new(family).comment(NODE_PORTS_LAST.to_owned());
    let localhost = options.localhost(family);
    match options.node_ports(family) {
        NodePortTargets::Every => {
            let draft = draft().local_destination();
            let draft = if localhost {
                draft
            } else {
                draft.not_dst(loopback(family))
            };
            vec![draft.jump(Chain::Nodeports)]
        }
        NodePortTargets::Addresses(addresses) => addresses
            .iter()
            .filter(|ip| !ip.is_loopback() || localhost)
            .map(|ip| draft().dst(*ip).jump(Chain::Nodeports))
            .collect(),
    }
}

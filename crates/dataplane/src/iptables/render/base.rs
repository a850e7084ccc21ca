//! What is there whatever the Services are (contract 2.3, 2.4).

use nfnetlink::Family;
use nfnetlink::xtables::{CtStates, Match, NotOr, Rule, Target};
use viprule_service::plan::NodePortTargets;

use crate::iptables::Options;
use crate::netfilter::{
    Draft, Key, Kind, NODE_PORTS_LAST, Object, Table, counter, forward_ours, jumps_state, keyed,
    loopback, mark_masquerade, masquerade_marked,
};
use crate::ownership::{Chain, Layout};
use crate::state::State;

/// Chains and rules that every Service's rules need: first to be written, last to go.
pub fn base(options: &Options) -> State<Key, Object> {
    options
        .families
        .iter()
        .flat_map(|family| of_family(*family, options))
        .collect()
}

/// The rules that make everything else reachable: last to be written, first to go.
pub fn entry_points(options: &Options) -> State<Key, Object> {
    jumps_state(Layout::Iptables, &options.families)
}

fn of_family(family: Family, options: &Options) -> Vec<(Key, Object)> {
    let mark = options.masquerade.mark;
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
        whole(
            nat,
            Chain::Postrouting,
            masquerade_marked(family, &options.masquerade),
        ),
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
    rules.extend(forward_ours(family, options.masquerade.mark));
    rules
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

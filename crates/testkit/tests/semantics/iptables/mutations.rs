//! What can be spoiled of chains.

use nfnetlink::xtables::{Match, Rule, Target};
use viprule_dataplane::family::in_plans;
use viprule_dataplane::netfilter::{Key, Object};
use viprule_service::model::Family;

use super::Iptables;
use crate::mutations::{self, Fixture, Known, Rules, assert_known};
use crate::world;

impl Rules for Iptables {
    type Rule = Rule;

    const WITHOUT_EFFECT: &'static Known = &[
        (
            "-s 10.244.9.42/32",
            "reached from outside only, which is masqueraded anyway",
        ),
        (
            "-s fd00:10:244::42/128",
            "reached from outside only, which is masqueraded anyway",
        ),
        (
            "FORWARD: -m comment --comment \"kubernetes forwarding rules\"",
            "all is forwarded anyway",
        ),
        ("filter KUBE-FORWARD: ", "all is forwarded anyway"),
        (
            "INPUT: -m comment --comment \"kubernetes health check service ports\"",
            "all is let in",
        ),
        ("filter KUBE-NODEPORTS: ", "all is let in anyway"),
        (
            "localhost_nps_accepted_pkts",
            "counts, and does what the next rule does",
        ),
        ("will be dropped by KUBE-PROXY-FIREWALL", "tells the reader"),
        (
            "KUBE-POSTROUTING: -j MARK",
            "nobody looks at the mark any more",
        ),
        ("ip filter OUTPUT: -j KUBE-FIREWALL", "INPUT asks again"),
        ("ip6 filter OUTPUT: -j KUBE-FIREWALL", "the chain is empty"),
        ("ip6 filter INPUT: -j KUBE-FIREWALL", "the chain is empty"),
    ];
    const INTERCHANGEABLE: &'static Known = &[
        ("filter KUBE-FORWARD: ", "all is forwarded anyway"),
        ("KUBE-FW-", "they all let through"),
        (
            "KUBE-POSTROUTING: -j MARK",
            "nobody looks at the mark any more",
        ),
        ("-s 10.244.9.42/32", "without effect in any place"),
        ("-s fd00:10:244::42/128", "without effect in any place"),
    ];

    fn family(key: &Key) -> Family {
        in_plans(key.table().family)
    }

    fn rules(object: &Object) -> &[Rule] {
        object.rules()
    }

    fn line(_: &Key, rule: &Rule) -> String {
        rule.to_string()
    }

    fn with_rules(object: &Object, rules: Vec<Rule>) -> Vec<Object> {
        with_rules(object, rules)
    }
}

/// A chain has all its rules in one object, a rule of a shared chain is one.
pub(crate) fn with_rules(object: &Object, rules: Vec<Rule>) -> Vec<Object> {
    match object {
        Object::Rules(_) => vec![Object::Rules(rules)],
        Object::Rule(_) | Object::Shared => rules.into_iter().map(Object::Rule).collect(),
    }
}

#[test]
fn every_changed_probability_is_noticed() {
    let (cluster, settings) = (mutations::cluster(), world::settings());
    let fixture = Fixture::<Iptables>::new(&cluster, &settings);
    let unnoticed = fixture.unnoticed_rules(|rules, at| {
        let mut rules = rules.to_vec();
        let random = rules[at].matches.iter_mut().find_map(|part| match part {
            Match::Random { probability, .. } => Some(probability),
            _ => None,
        })?;
        *random += 1 << 16;
        Some(rules)
    });
    assert_known(&unnoticed, &[]);
}

#[test]
fn exchanged_jumps_are_noticed() {
    let (cluster, settings) = (mutations::cluster(), world::settings());
    let fixture = Fixture::<Iptables>::new(&cluster, &settings);
    let per_service = |target: &Target| {
        matches!(target, Target::Jump(chain) if chain.starts_with("KUBE-SVC")
            || chain.starts_with("KUBE-SVL") || chain.starts_with("KUBE-EXT")
            || chain.starts_with("KUBE-SEP"))
    };
    let entries = fixture.entries();
    let jumps: Vec<(usize, usize)> = entries
        .iter()
        .enumerate()
        .flat_map(|(position, (_, object))| (0..object.rules().len()).map(move |at| (position, at)))
        .filter(|(position, at)| per_service(&entries[*position].1.rules()[*at].target))
        .collect();
    let has = |(position, at): (usize, usize), part: fn(&Match) -> bool| {
        entries[position].1.rules()[at].matches.iter().any(part)
    };
    let counts = |rule| has(rule, |part| matches!(part, Match::Nfacct(_)));
    let is_sticky = |rule| has(rule, |part| matches!(part, Match::Recent(_)));
    let is_endpoint =
        |target: &Target| matches!(target, Target::Jump(to) if to.starts_with("KUBE-SEP"));
    let name = |(position, at): (usize, usize)| {
        format!(
            "{}: {}",
            entries[position].0,
            entries[position].1.rules()[at]
        )
    };
    let mut exchanged = 0;
    for pair in jumps.windows(2) {
        let [one, other] = [pair[0], pair[1]].map(|(position, at)| {
            let (key, object) = &entries[position];
            (key.table(), object.rules()[at].target.clone())
        });
        // Two endpoints that a chain balances over are as good as each other.
        let balanced = pair[0].0 == pair[1].0 && !is_sticky(pair[0]) && is_endpoint(&other.1);
        if one == other || one.0 != other.0 || balanced || counts(pair[0]) || counts(pair[1]) {
            continue;
        }
        let mut spoiled = entries.clone();
        for ((position, at), target) in [(pair[0], other.1), (pair[1], one.1.clone())] {
            match &mut spoiled[position].1 {
                Object::Rules(rules) => rules[at].target = target,
                Object::Rule(rule) => rule.target = target,
                Object::Shared => {}
            }
        }
        exchanged += 1;
        assert!(
            fixture.finds_out(spoiled, in_plans(one.0.family)),
            "{}\n{}",
            name(pair[0]),
            name(pair[1])
        );
    }
    assert!(exchanged > 15, "only {exchanged}");
}

//! Our rules in built-in chains (contract 2.3).

use nfnetlink::Family;
use nfnetlink::xtables::{CtStates, Match, NotOr, Rule, Target};

use super::key::{BaseChain, Key, Kind, Object, Table};
use crate::ownership::{Chain, Former};
use crate::state::State;

/// One rule that leads from a built-in chain to one of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jump {
    /// Where it stands.
    pub table: Table,
    /// The built-in chain.
    pub base: BaseChain,
    /// Its rank: of two of our rules in one chain, the smaller rank stands first.
    pub rank: u8,
    /// The rule.
    pub rule: Rule,
}

/// The first rank of rules that only kube-proxy's IPVS mode makes.
pub(super) const FORMER: u8 = 128;

/// Rank of the jumps to `KUBE-FIREWALL`, which kubelet needs too.
pub(super) const TO_FIREWALL: u8 = 0;

struct Row(Kind, BaseChain, u8, bool, &'static str, Chain);

const PORTALS: &str = "kubernetes service portals";
const EXTERNAL: &str = "kubernetes externally-visible service portals";
const FIREWALL: &str = "kubernetes load balancer firewall";

/// Table, chain, rank, new connections only, comment, target: in the order in which they stand.
const ROWS: [Row; 14] = {
    use BaseChain::{Forward, Input, Output, Postrouting, Prerouting};
    use Kind::{Filter, Nat};
    [
        Row(Filter, Input, TO_FIREWALL, false, "", Chain::Firewall),
        Row(Filter, Input, 1, true, FIREWALL, Chain::ProxyFirewall),
        Row(
            Filter,
            Input,
            2,
            false,
            "kubernetes health check service ports",
            Chain::Nodeports,
        ),
        Row(Filter, Input, 3, true, EXTERNAL, Chain::ExternalServices),
        Row(Filter, Forward, 1, true, FIREWALL, Chain::ProxyFirewall),
        Row(
            Filter,
            Forward,
            2,
            false,
            "kubernetes forwarding rules",
            Chain::Forward,
        ),
        Row(Filter, Forward, 3, true, PORTALS, Chain::Services),
        Row(Filter, Forward, 4, true, EXTERNAL, Chain::ExternalServices),
        Row(Filter, Output, TO_FIREWALL, false, "", Chain::Firewall),
        Row(Filter, Output, 1, true, FIREWALL, Chain::ProxyFirewall),
        Row(Filter, Output, 2, true, PORTALS, Chain::Services),
        Row(Nat, Prerouting, 1, false, PORTALS, Chain::Services),
        Row(Nat, Output, 1, false, PORTALS, Chain::Services),
        Row(
            Nat,
            Postrouting,
            1,
            false,
            "kubernetes postrouting rules",
            Chain::Postrouting,
        ),
    ]
};

const IPVS_FIREWALL: &str = "kube-proxy firewall rules";
const IPVS_ACCESS: &str = "kubernetes ipvs access filter";

/// What only kube-proxy's IPVS mode makes (contract 3.6).
const FORMER_ROWS: [Row; 5] = {
    use BaseChain::{Forward, Input, Output};
    use Kind::Filter;
    let [filter, out_filter, node_port] = [
        Chain::Former(Former::IpvsFilter),
        Chain::Former(Former::IpvsOutFilter),
        Chain::Former(Former::NodePort),
    ];
    [
        Row(Filter, Input, FORMER, false, IPVS_ACCESS, filter),
        Row(
            Filter,
            Input,
            FORMER + 1,
            false,
            IPVS_FIREWALL,
            Chain::ProxyFirewall,
        ),
        Row(
            Filter,
            Input,
            FORMER + 2,
            false,
            "kubernetes health check rules",
            node_port,
        ),
        Row(
            Filter,
            Forward,
            FORMER,
            false,
            IPVS_FIREWALL,
            Chain::ProxyFirewall,
        ),
        Row(Filter, Output, FORMER, false, IPVS_ACCESS, out_filter),
    ]
};

/// Every such rule of a family, in the order in which they stand.
pub fn jumps(family: Family) -> impl Iterator<Item = Jump> {
    of_rows(&ROWS, family)
}

/// Rules in built-in chains that only kube-proxy's IPVS mode makes. They are removed, never made.
pub(super) fn former_jumps(family: Family) -> impl Iterator<Item = Jump> {
    of_rows(&FORMER_ROWS, family)
}

fn of_rows(rows: &'static [Row], family: Family) -> impl Iterator<Item = Jump> {
    rows.iter()
        .map(move |Row(kind, base, rank, new_only, comment, target)| {
            let mut rule = Rule::new(family);
            if *new_only {
                rule.matches
                    .push(Match::Conntrack(NotOr::is(CtStates::NEW)));
            }
            if !comment.is_empty() {
                rule.matches.push(Match::Comment((*comment).to_owned()));
            }
            rule.target = Target::Jump(target.to_string());
            Jump {
                table: Table {
                    family,
                    kind: *kind,
                },
                base: *base,
                rank: *rank,
                rule,
            }
        })
}

/// The same as a state.
pub(super) fn state(families: &[Family]) -> State<Key, Object> {
    families
        .iter()
        .flat_map(|family| jumps(*family))
        .map(
            |Jump {
                 table,
                 base,
                 rank,
                 rule,
             }| {
                (
                    Key::Jump {
                        table,
                        base,
                        rank,
                        copy: 0,
                    },
                    Object::Rule(rule),
                )
            },
        )
        .collect()
}

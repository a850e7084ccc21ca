//! Our rules in built-in chains (contract 2.3, 3.6).

use nfnetlink::Family;
use nfnetlink::xtables::{CtStates, Match, NotOr, Rule, Target};

use super::key::{BaseChain, FORMER, Key, Kind, Object, TO_FIREWALL, Table};
use crate::ownership::{Chain, Layout};
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

/// Table, chain, rank, new connections only, comment, target.
struct Row(Kind, BaseChain, u8, bool, &'static str, Chain);

const PORTALS: &str = "kubernetes service portals";
const EXTERNAL: &str = "kubernetes externally-visible service portals";
const FIREWALL: &str = "kubernetes load balancer firewall";

/// Those of filter in iptables mode, in the order in which they stand.
const IPTABLES_ROWS: [Row; 11] = {
    use BaseChain::{Forward, Input, Output};
    use Kind::Filter;
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
    ]
};

const IPVS_FIREWALL: &str = "kube-proxy firewall rules";
const IPVS_ACCESS: &str = "kubernetes ipvs access filter";

/// Those of filter in IPVS mode (contract 3.6), none for new connections only.
const IPVS_ROWS: [Row; 6] = {
    use BaseChain::{Forward, Input, Output};
    use Kind::Filter;
    let forwarding = "kubernetes forwarding rules";
    [
        Row(Filter, Input, 1, false, IPVS_ACCESS, Chain::IpvsFilter),
        Row(Filter, Input, 2, false, IPVS_FIREWALL, Chain::ProxyFirewall),
        Row(
            Filter,
            Input,
            3,
            false,
            "kubernetes health check rules",
            Chain::NodePort,
        ),
        Row(
            Filter,
            Forward,
            1,
            false,
            IPVS_FIREWALL,
            Chain::ProxyFirewall,
        ),
        Row(Filter, Forward, 2, false, forwarding, Chain::Forward),
        Row(Filter, Output, 1, false, IPVS_ACCESS, Chain::IpvsOutFilter),
    ]
};

/// Those of nat, which are the same in both modes.
const NAT_ROWS: [Row; 3] = {
    use BaseChain::{Output, Postrouting, Prerouting};
    use Kind::Nat;
    [
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

/// Every such rule of a family, in the order in which they stand.
pub fn jumps(layout: Layout, family: Family) -> impl Iterator<Item = Jump> {
    let rows = filter_rows(layout).iter().chain(&NAT_ROWS);
    rows.map(move |row| row.jump(family))
}

/// Those, and behind them the ones that only the other mode makes.
pub fn known_jumps(layout: Layout, family: Family) -> impl Iterator<Item = Jump> {
    jumps(layout, family).chain(former_jumps(layout, family))
}

/// Rules in built-in chains that only the other mode makes. They are removed, never made. The rules
/// that lead to kubelet's chain are not among them: whose they are can't be told.
fn former_jumps(layout: Layout, family: Family) -> impl Iterator<Item = Jump> {
    let (ours, other) = match layout {
        Layout::Iptables => (&IPTABLES_ROWS[..], &IPVS_ROWS[..]),
        Layout::Ipvs => (&IPVS_ROWS[..], &IPTABLES_ROWS[..]),
    };
    let same = |a: &Jump, b: &Jump| (a.table, a.base, &a.rule) == (b.table, b.base, &b.rule);
    other
        .iter()
        .map(move |row| row.jump(family))
        .filter(move |jump| {
            jump.rank != TO_FIREWALL && !ours.iter().any(|row| same(&row.jump(family), jump))
        })
        .map(|jump| Jump {
            rank: FORMER + jump.rank,
            ..jump
        })
}

const fn filter_rows(layout: Layout) -> &'static [Row] {
    match layout {
        Layout::Iptables => &IPTABLES_ROWS,
        Layout::Ipvs => &IPVS_ROWS,
    }
}

impl Row {
    fn jump(&self, family: Family) -> Jump {
        let Self(kind, base, rank, new_only, comment, target) = self;
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
    }
}

/// Those of all families as a state.
pub(crate) fn jumps_state(layout: Layout, families: &[Family]) -> State<Key, Object> {
    families
        .iter()
        .flat_map(|family| jumps(layout, *family))
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

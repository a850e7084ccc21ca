//! Chains and rules, which are in every mode.

use std::collections::BTreeSet;

use nfnetlink::Family;
use nfnetlink::nftables::{ChainId, Position};
use nfnetlink::xtables::Rule;
use viprule_testkit::chance::Chance;
use viprule_testkit::memory::{MemoryKernel, Program, Ruleset};

use super::Edit;

/// The table of another program.
const RIVAL: &str = "rival";
/// The chains that mark packets for masquerading, and masquerade them (contract 2.4).
const MASQUERADING: [&str; 2] = ["KUBE-MARK-MASQ", "KUBE-POSTROUTING"];

/// Another program commits to a table of its own.
pub(crate) fn elsewhere(rival: &Program) {
    let own = ChainId {
        family: Family::Ipv4,
        table: RIVAL,
        name: "own",
    };
    // It keeps its own rules few.
    let _refused = rival.renew(own);
}

/// What packets of every Service need: jumps from base chains to chains of the agent, and chains that
/// masquerade.
fn needed(ruleset: &Ruleset) -> BTreeSet<String> {
    let mut needed = BTreeSet::new();
    for table in ruleset.tables() {
        let (family, name) = (table.family(), table.name());
        for chain in table.chains() {
            if chain.base().is_some() {
                let jumps = table.led_to(chain).filter(|it| it.starts_with("KUBE-"));
                needed.extend(jumps.map(|it| format!("{family} {name} {} -> {it}", chain.name())));
            } else if MASQUERADING.contains(&chain.name()) && chain.rules().next().is_some() {
                needed.insert(format!("{family} {name} {}", chain.name()));
            }
        }
    }
    needed
}

/// What a commit of the agent took away of what packets of every Service need.
pub(crate) fn lost(before: &Ruleset, after: &Ruleset) -> Option<String> {
    let (before, after) = (needed(before), needed(after));
    let mut lost = before.difference(&after);
    let first = lost.next()?;
    Some(format!("a commit of the agent took {first} away"))
}

/// Changes a chain that is the agent's. None where there is none.
pub(super) fn edit(chance: &mut Chance, rival: &Program, kernel: &MemoryKernel) -> Option<Edit> {
    let ruleset = kernel.ruleset();
    let mut all = Vec::new();
    for table in ruleset.tables() {
        let family = [Family::Ipv4, Family::Ipv6]
            .into_iter()
            .find(|family| family.number() == table.family())?;
        for chain in table.chains() {
            let rules = chain.rules().count();
            let ours = chain.name().starts_with("KUBE-") || chain.base().is_some();
            if table.name() != RIVAL && ours {
                all.push((family, table.name(), chain.name(), rules));
            }
        }
    }
    let (family, table, name, rules) = *chance.pick(&all)?;
    let chain = ChainId {
        family,
        table,
        name,
    };
    let place = chance.below(rules);
    let done = match chance.below(10) {
        0..7 if rules == 0 => return None,
        0..3 => rival.flush(chain).map(|()| "flushed"),
        3..7 => rival
            .delete_rule_at(chain, place)
            .map(|_| "took a rule from"),
        7 => rival.delete(chain).map(|()| "deleted"),
        8 => rival
            .add(chain, Position::Head, &Rule::new(family))
            .map(|()| "put a rule into"),
        _ if chance.per_mille(100) => rival
            .commit(|transaction| transaction.delete_table(family, table))
            .map(|()| "deleted the table of"),
        _ => rival
            .add(chain, Position::End, &Rule::new(family))
            .map(|()| "added a rule to"),
    };
    let done = done.ok()?;
    Some(Edit {
        what: format!("{done} {name} in {family} {table}"),
        is_told: true,
    })
}

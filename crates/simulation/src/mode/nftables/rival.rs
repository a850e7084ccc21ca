//! What another program does to our tables.

use nfnetlink::Family;
use nfnetlink::nftables::native::{self, TableId, Value};
use nfnetlink::nftables::{ChainId, Position};
use nfnetlink::xtables::Rule;
use viprule_dataplane::nftables::{Set, SetName, TABLE};
use viprule_testkit::chance::Chance;
use viprule_testkit::memory::{self, MemoryKernel, Program};

use super::super::Edit;

/// Changes something that is the agent's. None where there is nothing.
pub(super) fn edit(chance: &mut Chance, rival: &Program, kernel: &MemoryKernel) -> Option<Edit> {
    let ruleset = kernel.ruleset();
    let families = Family::ALL.into_iter();
    let there: Vec<Family> = families
        .filter(|family| ruleset.table(family.number(), TABLE).is_some())
        .collect();
    let family = *chance.pick(&there)?;
    let table = ruleset.table(family.number(), TABLE)?;
    let what = match chance.below(40) {
        0 => {
            delete_tables(rival, &[family])?;
            format!("deleted the table of {family}")
        }
        1 => {
            delete_tables(rival, &there)?;
            "deleted all our tables".to_owned()
        }
        2..14 => in_chains(chance, rival, family, table)?,
        _ => in_sets(chance, rival, family, table)?,
    };
    // The kernel tells of all that is in nf_tables.
    let is_told = true;
    Some(Edit { what, is_told })
}

fn delete_tables(rival: &Program, families: &[Family]) -> Option<()> {
    let done = rival.commit(|transaction| {
        for family in families {
            transaction.delete_table(*family, TABLE);
        }
    });
    done.ok()
}

fn in_chains(
    chance: &mut Chance,
    rival: &Program,
    family: Family,
    table: &memory::Table,
) -> Option<String> {
    let chains: Vec<_> = table.chains().collect();
    let chain = *chance.pick(&chains)?;
    let (name, rules) = (chain.name(), chain.rules().count());
    let id = ChainId {
        family,
        table: TABLE,
        name,
    };
    let place = chance.below(rules);
    let done = match chance.below(8) {
        0..5 if rules == 0 => return None,
        0..3 => rival.flush(id).map(|()| "flushed"),
        3..5 => rival.delete_rule_at(id, place).map(|_| "took a rule from"),
        5 => rival.delete(id).map(|()| "deleted"),
        6 => rival
            .add(id, Position::Head, &Rule::new(family))
            .map(|()| "put a rule into"),
        _ => rival
            .add(id, Position::End, &Rule::new(family))
            .map(|()| "added a rule to"),
    };
    Some(format!("{} {name} of {family}", done.ok()?))
}

fn in_sets(
    chance: &mut Chance,
    rival: &Program,
    family: Family,
    table: &memory::Table,
) -> Option<String> {
    let filled = table.sets().filter_map(|set| {
        let name = SetName::parse(set.name())?;
        let elements: Vec<_> = set.elements().collect();
        (!elements.is_empty()).then_some((Set { family, name }, elements))
    });
    let filled: Vec<_> = filled.collect();
    let (set, elements) = chance.pick(&filled)?;
    let (name, spec) = (set.name.to_string(), set.spec());
    let table = TableId {
        family,
        name: TABLE,
    };
    let element = *chance.pick(elements)?;
    let other = *chance.pick(elements)?;
    let old = as_native(element);
    let (done, what) = match chance.below(10) {
        0 => (
            rival.commit(|transaction| transaction.flush_set(table, &name)),
            "flushed",
        ),
        1..6 => (
            rival.commit(|transaction| transaction.delete_elements(table, &spec, [&old])),
            "took an element from",
        ),
        // One that the agent never had.
        6..8 if old.end.is_none() => {
            let mut key = element.key().to_vec();
            *key.first_mut()? ^= 0x5a;
            let mut new = as_native(other);
            new.key = Value::new(&key);
            (
                rival.commit(|transaction| transaction.add_elements(table, &spec, [&new])),
                "added an element to",
            )
        }
        _ if old.data.is_some() && element.data() != other.data() => {
            let mut new = as_native(other);
            new.key = old.key.clone();
            let done = rival.commit(|transaction| {
                transaction.delete_elements(table, &spec, [&old]);
                transaction.add_elements(table, &spec, [&new]);
            });
            (done, "gave another value to an element of")
        }
        // Another one of the same key: the comment is not that of the agent.
        _ => {
            let new = old.clone().with_comment("theirs");
            let done = rival.commit(|transaction| {
                transaction.delete_elements(table, &spec, [&old]);
                transaction.add_elements(table, &spec, [&new]);
            });
            (done, "put a comment on an element of")
        }
    };
    done.ok()?;
    Some(format!("{what} {name} of {family}"))
}

fn as_native(element: &memory::Element) -> native::Element {
    let new = native::Element::new(Value::new(element.key()));
    let new = match element.end() {
        Some(end) => new.up_to(Value::new(end)),
        None => new,
    };
    match element.data() {
        Some(data) => new.with(Value::new(data)),
        None => new,
    }
}

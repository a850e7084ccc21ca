//! The chains that find an endpoint in a row.

use std::time::Duration;

use nfnetlink::Family;
use nfnetlink::nftables::native::{DynsetOperation, MetaKey, Rule, Statement, Term, Verdict};

use super::super::chain::Chain;
use super::super::key::{Key, Object};
use super::super::set::{FrontendSet, Row, Set, SetName};
use super::super::statements::{
    affinity_key, draws, goto, in_set, jump, key, key_with, random, rule, set_id, translate,
};
use super::{chain, set};

/// Those that are there whatever timeouts of session affinity are in use.
pub(super) fn chains(family: Family, row: Row) -> Vec<(Key, Object)> {
    let mut all = Vec::new();
    for size in row.sizes() {
        let pick = |of| rule([translate(row, random(of), SetName::Endpoints(row))]);
        let rules = draws(size).map(pick).collect();
        all.push(chain(family, Chain::PickSize { row, size }, rules));
        let rules = draws(size).map(|of| draw(family, row, of)).collect();
        all.push(chain(family, Chain::DrawSize { row, size }, rules));
    }
    let draw = to_rows(row, |size| Chain::DrawSize { row, size });
    all.push(chain(family, Chain::Draw(row), draw.collect()));

    let key = Key::Chain {
        family,
        chain: Chain::Sticky(row),
    };
    all.push((key, Object::Shared));
    // What comes back from there has no affinity, or none of its endpoints was found.
    let sticky = rule([jump(Chain::Sticky(row))]);
    let pick = to_rows(row, |size| Chain::PickSize { row, size });
    let rules = std::iter::once(sticky).chain(pick).collect();
    all.push(chain(family, Chain::Pick(row), rules));
    all
}

/// What a timeout needs in a row: the set of its frontends, its chain, and the rule that leads there.
pub(in super::super) fn sticky(family: Family, row: Row, seconds: u32) -> [(Key, Object); 3] {
    let name = sticky_set(row, seconds);
    let frontends = Set { family, name };
    let key = Key::StickyRule {
        family,
        row,
        seconds,
    };
    [
        set(frontends),
        chain(
            family,
            Chain::StickyFor { row, seconds },
            keep(family, row, seconds),
        ),
        (key, Object::Rule(Box::new(lead(family, row, seconds)))),
    ]
}

/// The key of a rule that leads from the chain of a row's timeouts to one of them; `None` for any
/// other rule.
pub(in super::super) fn sticky_rule(family: Family, row: Row, found: &Rule) -> Option<Key> {
    let [_, Statement::Verdict(Verdict::Goto(target))] = &found.statements[..] else {
        return None;
    };
    let Some(Chain::StickyFor { seconds, .. }) = Chain::parse(target) else {
        return None;
    };
    let key = Key::StickyRule {
        family,
        row,
        seconds,
    };
    (lead(family, row, seconds) == *found).then_some(key)
}

/// Leads to the chain of a timeout.
fn lead(family: Family, row: Row, seconds: u32) -> Rule {
    let name = sticky_set(row, seconds);
    let statements = [
        in_set(key(row.lookup), name),
        goto(Chain::StickyFor { row, seconds }),
    ];
    rule(statements).normalized(family)
}

const fn sticky_set(row: Row, seconds: u32) -> SetName {
    SetName::Frontends {
        lookup: row.lookup,
        of: FrontendSet::Sticky(seconds),
    }
}

/// Leads from the sets of sizes to a chain for each, and what is in none to slot 0: where a row gets
/// another size while a packet is on its way, that is in no set when it is asked.
fn to_rows(row: Row, to: impl Fn(u16) -> Chain) -> impl Iterator<Item = Rule> {
    let any = rule([goto(to(1))]);
    let by_size = row.sizes().map(move |size| {
        let of = FrontendSet::Size {
            local: row.local,
            size,
        };
        let lookup = row.lookup;
        let set = SetName::Frontends { lookup, of };
        rule([in_set(key(lookup), set), goto(to(size))])
    });
    by_size.chain([any])
}

fn affinity(family: Family, operation: DynsetOperation, seconds: Option<u32>) -> Statement {
    Statement::Dynset {
        operation,
        set: SetName::Affinity.to_string().into(),
        key: affinity_key(family),
        data: Some(Term::Meta(MetaKey::Priority)),
        timeout: seconds.map(|seconds| Duration::from_secs(seconds.into())),
        counter: false,
    }
}

/// Draws an id. An update does not change the id of an entry that is there, so that goes first.
fn draw(family: Family, row: Row, of: u16) -> Rule {
    rule([
        set_id(key_with(row.lookup, random(of)), SetName::StickySlots(row)),
        affinity(family, DynsetOperation::Delete, None),
        Statement::Verdict(Verdict::Return),
    ])
}

/// A client that is known goes where it went. Where its endpoint is gone, or the client is new, an id
/// is drawn and kept. Where there is no room to keep it, the last rule translates all the same, and
/// where a change comes in between, it draws again.
fn keep(family: Family, row: Row, seconds: u32) -> Vec<Rule> {
    let update = || affinity(family, DynsetOperation::Update, Some(seconds));
    let id = Term::Meta(MetaKey::Priority);
    let translate = || translate(row, id.clone(), SetName::StickyEndpoints(row));
    let draw = || rule([jump(Chain::Draw(row))]);
    vec![
        rule([
            set_id(affinity_key(family), SetName::Affinity),
            update(),
            translate(),
        ]),
        draw(),
        rule([update()]),
        rule([translate()]),
        draw(),
        rule([translate()]),
    ]
}

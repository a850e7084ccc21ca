//! What other programs do.

use std::collections::BTreeSet;

use nfnetlink::xtables::Rule;
use viprule_dataplane::Scope;
use viprule_dataplane::netfilter::{Piece, Table};
use viprule_dataplane::ownership::Chain;

use super::{Kernel, tables};

impl Kernel {
    /// Somebody removes all rules of a chain.
    pub fn foreign_flush(&mut self, table: Table, chain: &str) {
        self.foreign(table, chain, |_| false, None);
    }

    /// Somebody removes the rules that mention a text.
    pub fn foreign_delete(&mut self, table: Table, chain: &str, text: &str) {
        self.foreign(table, chain, |rule| !rule.contains(text), None);
    }

    /// Somebody puts a rule into a chain at this position; the chain is made where it is missing.
    /// The rule is given as `iptables-save` prints it behind `-A CHAIN `.
    pub fn foreign_insert(&mut self, table: Table, chain: &str, at: usize, rule: &str) {
        let rule = Rule::parse(table.family, rule).expect("a rule as iptables-save prints it");
        self.foreign(table, chain, |_| true, Some((at, rule)));
    }

    /// Somebody removes a table with everything in it.
    pub fn foreign_delete_table(&mut self, table: Table) {
        self.tables.remove_table(table);
        self.touch(Scope::Everything);
    }

    fn foreign(
        &mut self,
        table: Table,
        chain: &str,
        keep: impl Fn(&str) -> bool,
        add: Option<(usize, Rule)>,
    ) {
        self.tables
            .edit(table, chain, |rule| keep(&rule.to_string()), add);
        let base = tables::base(chain).map(|base| Piece::Base(table, base));
        let owned = Chain::parse(chain).map(|chain| Piece::Owned(table, chain));
        self.touch(Scope::Pieces(BTreeSet::from_iter(base.or(owned))));
    }

    fn touch(&mut self, scope: Scope<Piece>) {
        self.touched.extend(scope);
        self.by = vec!["somebody (7)".to_owned()];
    }
}

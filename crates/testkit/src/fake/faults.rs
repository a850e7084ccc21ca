//! Ways to fail.

use std::fmt;

use nfnetlink::xtables::Rule;
use viprule_dataplane::Scope;
use viprule_dataplane::netfilter::{Key, Piece};

use super::Kernel;

/// Whether the kernel says which request it refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// It says which.
    Told,
    /// It says only why, as for loops found at the end of a transaction.
    Untold,
}

/// One step of a transaction.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The object.
    pub key: &'a Key,
    /// The rule to be added; `None` for chains and deletions.
    pub rule: Option<&'a Rule>,
    /// True for deletions.
    pub deletes: bool,
}

impl Request<'_> {
    /// True where it adds a rule that mentions this text.
    pub fn mentions(&self, text: &str) -> bool {
        self.rule
            .is_some_and(|rule| rule.to_string().contains(text))
    }
}

type Predicate = Box<dyn Fn(&Request<'_>) -> bool>;

/// What goes wrong from now on.
#[derive(Default)]
pub(super) struct Faults {
    pub(super) refused: Option<(Blame, Predicate)>,
    pub(super) unknown: Option<bool>,
    pub(super) foreign: Option<(Scope<Piece>, usize)>,
}

impl Faults {
    /// Takes one of the foreign answers that are left.
    pub(super) fn take_foreign(&mut self) -> Option<Scope<Piece>> {
        let (scope, left) = self.foreign.as_mut()?;
        *left = left.checked_sub(1)?;
        Some(scope.clone())
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults")
            .field("refused", &self.refused.as_ref().map(|(blame, _)| blame))
            .field("unknown", &self.unknown)
            .field("foreign", &self.foreign)
            .finish()
    }
}

impl Kernel {
    /// Refuses requests from now on, in place of what was refused before.
    pub fn refuse(&mut self, blame: Blame, which: impl Fn(&Request<'_>) -> bool + 'static) {
        self.faults.refused = Some((blame, Box::new(which)));
    }

    /// Refuses nothing any more.
    pub fn accept(&mut self) {
        self.faults.refused = None;
    }

    /// The next transaction's answer is lost; `applied` says whether the transaction was.
    pub fn lose_the_next_answer(&mut self, applied: bool) {
        self.faults.unknown = Some(applied);
    }

    /// Says for so many transactions that others touched these pieces.
    pub fn contend(&mut self, scope: Scope<Piece>, times: usize) {
        self.faults.foreign = Some((scope, times));
    }
}

//! What is said of a Service that doesn't get what it asks for.

use std::fmt;

use crate::model::ServiceId;
use crate::plan::{Frontend, FrontendKind};

/// Frontends that a Service asks for and another one has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The Service that is programmed without them. Where two ports of one Service ask for the same
    /// frontend, this is the owner too.
    pub loser: ServiceId,
    /// The Service that has them.
    pub owner: ServiceId,
    /// The field by which the loser asks for the first of them.
    pub asked: FrontendKind,
    /// The field by which the owner has the first of them.
    pub had: FrontendKind,
    /// All of them, at least one, sorted.
    pub frontends: Vec<Frontend>,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            loser,
            owner,
            asked,
            had,
            frontends,
        } = self;
        let (first, others) = match frontends.split_first() {
            Some((first, others)) => (format!(" {first}"), others.len()),
            None => (String::new(), 0),
        };
        write!(f, "{asked}{first}")?;
        if others > 0 {
            write!(f, " and {others} more")?;
        }
        let (is, belongs, them) = if others > 0 {
            ("are", "belong", "them")
        } else {
            ("is", "belongs", "it")
        };
        if owner == loser {
            return write!(
                f,
                " {is} on two ports of {owner}; remove {them} from one of them"
            );
        }
        write!(f, " of {loser} {belongs} to {owner}")?;
        if asked != had {
            write!(f, " as its {had}")?;
        }
        f.write_str("; change one of the two Services")
    }
}

//! What a refused message was about, in words.

use std::fmt;

use netlink_batch::{Attr, Attrs, Message};

use super::uapi::{BATCH_BEGIN, BATCH_END, chain, element, expression, op, rule, set, table};
use crate::Family;

/// Bytes of an attribute's header.
const ATTR_HEADER: usize = 4;

/// What a message asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Beginning a transaction.
    Begin,
    /// Reading.
    Read,
    /// Creating a table.
    NewTable,
    /// Deleting a table.
    DeleteTable,
    /// Creating a chain or setting a base chain's policy.
    NewChain,
    /// Deleting a chain.
    DeleteChain,
    /// Adding or replacing a rule.
    NewRule,
    /// Deleting one or all rules of a chain.
    DeleteRule,
    /// Creating a set or map.
    NewSet,
    /// Deleting a set or map.
    DeleteSet,
    /// Adding elements to a set or map.
    NewElements,
    /// Deleting one or all elements of a set or map.
    DeleteElements,
    /// Ending a transaction.
    End,
    /// Anything else.
    Other,
}

/// One expression of a refused rule.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Expression {
    /// Its name; `match` and `target` hold an xt extension.
    pub name: Box<str>,
    /// Name and revision of the xt extension.
    pub extension: Option<(Box<str>, u32)>,
}

/// What a message was about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subject {
    /// What it asks for.
    pub operation: Operation,
    /// The table's family.
    pub family: Option<Family>,
    /// The table's name, empty where there is none.
    pub table: Box<str>,
    /// The chain's name, empty where there is none.
    pub chain: Box<str>,
    /// The set's name, empty where there is none.
    pub set: Box<str>,
    /// The element that the kernel points at, counted from 0 in its message; an interval is one.
    pub element: Option<usize>,
    /// The expression that the kernel points at; none where it points at something else, as the
    /// chain, and all of the rule's where it points at nothing.
    pub expressions: Vec<Expression>,
}

impl Subject {
    /// Reading objects of this family.
    pub fn reading(family: Option<Family>) -> Self {
        Self {
            operation: Operation::Read,
            family,
            table: Box::default(),
            chain: Box::default(),
            set: Box::default(),
            element: None,
            expressions: Vec::new(),
        }
    }

    /// Describes a message, with the offset of what the kernel finds wrong in it, in bytes from
    /// its header on.
    pub fn of(message: &Message<'_>, offset: Option<u32>) -> Self {
        let operation = match message.kind {
            BATCH_BEGIN => Operation::Begin,
            BATCH_END => Operation::End,
            op::NEW_TABLE => Operation::NewTable,
            op::DEL_TABLE => Operation::DeleteTable,
            op::NEW_CHAIN => Operation::NewChain,
            op::DEL_CHAIN => Operation::DeleteChain,
            op::NEW_RULE => Operation::NewRule,
            op::DEL_RULE => Operation::DeleteRule,
            op::NEW_SET => Operation::NewSet,
            op::DEL_SET => Operation::DeleteSet,
            op::NEW_ELEMENT => Operation::NewElements,
            op::DEL_ELEMENT => Operation::DeleteElements,
            _ => Operation::Other,
        };
        let mut subject = Self {
            operation,
            ..Self::reading(None)
        };
        let Ok((header, attrs)) = message.split::<4>() else {
            return subject;
        };
        subject.family = Family::from_number(header[0]);
        let of_elements = matches!(
            operation,
            Operation::NewElements | Operation::DeleteElements
        );
        let of_set = of_elements || matches!(operation, Operation::NewSet | Operation::DeleteSet);
        let chain_kind = match operation {
            Operation::NewRule | Operation::DeleteRule => rule::CHAIN,
            _ => chain::NAME,
        };
        let fault = offset
            .and_then(|offset| (offset as usize).checked_sub(netlink_batch::message::HEADER_LEN));
        for attr in attrs.flatten() {
            match attr.kind {
                // The table's name is attribute 1 of every object.
                table::NAME => subject.table = text(attr),
                // So is a set's that of its elements.
                set::NAME if of_set => subject.set = text(attr),
                element::ELEMENTS if of_elements => {
                    subject.element = position(attr.nested(), message.payload, fault);
                }
                _ if of_set => {}
                kind if kind == chain_kind => subject.chain = text(attr),
                rule::EXPRESSIONS if operation == Operation::NewRule => {
                    subject.expressions = expressions(attr.nested(), message.payload, fault);
                }
                _ => {}
            }
        }
        subject
    }
}

fn text(attr: Attr<'_>) -> Box<str> {
    attr.str().unwrap_or_default().into()
}

/// The place of the element that holds the byte at `fault`; ends of intervals do not count.
fn position(list: Attrs<'_>, payload: &[u8], fault: Option<usize>) -> Option<usize> {
    let fault = fault?;
    let base = payload.as_ptr().addr();
    let mut place = 0usize;
    for one in list.flatten() {
        let start = one.payload.as_ptr().addr() - base;
        let is_end = one.nested().flatten().any(|attr| {
            attr.kind == element::FLAGS && attr.u32_be().is_ok_and(|flags| flags & 1 != 0)
        });
        if !is_end {
            place += 1;
        }
        if (start.saturating_sub(ATTR_HEADER)..start + one.payload.len()).contains(&fault) {
            return place.checked_sub(1);
        }
    }
    None
}

/// The expression that holds the byte at `fault`, or all of them where nothing is known. A fault
/// in front of them is the table's or the chain's and no expression's.
fn expressions(list: Attrs<'_>, payload: &[u8], fault: Option<usize>) -> Vec<Expression> {
    let base = payload.as_ptr().addr();
    let mut all = Vec::new();
    for element in list.flatten() {
        let Some(found) = read(element.nested()) else {
            continue;
        };
        let start = element.payload.as_ptr().addr() - base;
        let end = start + element.payload.len();
        match fault {
            // It may be at the element's own header.
            Some(fault) if (start.saturating_sub(ATTR_HEADER)..end).contains(&fault) => {
                return vec![found];
            }
            Some(_) => {}
            None => all.push(found),
        }
    }
    all
}

fn read(attrs: Attrs<'_>) -> Option<Expression> {
    let (mut name, mut data) = (None, Attrs::new(&[]));
    for attr in attrs.flatten() {
        match attr.kind {
            expression::NAME => name = attr.str().ok(),
            expression::DATA => data = attr.nested(),
            _ => {}
        }
    }
    let name = name?;
    let extension = matches!(name, "match" | "target").then(|| {
        let (mut extension, mut revision) = (Box::from("?"), 0);
        for attr in data.flatten() {
            match attr.kind {
                expression::XT_NAME => extension = text(attr),
                expression::XT_REVISION => revision = attr.u32_be().unwrap_or(0),
                _ => {}
            }
        }
        (extension, revision)
    });
    Some(Expression {
        name: name.into(),
        extension,
    })
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.operation {
            Operation::Begin => "beginning a transaction",
            Operation::Read => "reading",
            Operation::NewTable => "creating",
            Operation::DeleteTable => "deleting",
            Operation::NewChain => "creating chain ",
            Operation::DeleteChain => "deleting chain ",
            Operation::NewRule => "adding a rule to chain ",
            Operation::DeleteRule => "deleting rules of chain ",
            Operation::NewSet => "creating set ",
            Operation::DeleteSet => "deleting set ",
            Operation::NewElements => "adding elements to set ",
            Operation::DeleteElements => "deleting elements of set ",
            Operation::End => "ending a transaction",
            Operation::Other => "an unknown change",
        })?;
        f.write_str(&self.chain)?;
        f.write_str(&self.set)?;
        if !self.table.is_empty() {
            f.write_str(if self.chain.is_empty() && self.set.is_empty() {
                " table "
            } else {
                " of table "
            })?;
            match self.family {
                Some(family) => write!(f, "{family} {}", self.table)?,
                None => f.write_str(&self.table)?,
            }
        }
        if let Some(element) = self.element {
            write!(f, ", at element {}", element + 1)?;
        }
        if let [expression] = self.expressions.as_slice() {
            write!(f, ", at {expression}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.extension {
            Some((name, revision)) => write!(f, "xt {} {name} revision {revision}", self.name),
            None => write!(f, "expression {}", self.name),
        }
    }
}

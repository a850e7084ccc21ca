//! Native `nf_tables`: sets, maps, their elements, and rules as data.
mod datatype;
mod element;
mod elements;
mod expression;
mod listing;
mod names;
mod parse;
mod print;
mod register;
mod rule;
mod set;
mod table;
mod term;
mod userdata;
mod value;

pub use datatype::DataType;
pub use element::{Element, ElementData, ListedElement};
pub use elements::{elements, elements_of, find_elements};
pub use expression::{
    Counters, DynsetExpression, DynsetOperation, Expression, Limit, Log, NatExpression, NatFlags,
    NatKind, PortExpression, Relation, Verdict,
};
pub use listing::{ChainListing, Listing, SetListing};
pub use parse::ParseError;
pub use register::Register;
pub use rule::{NatTo, Operand, Ports, Reject, Rule, Statement};
pub use set::{ListedSet, MapType, Set, SetFlags, SetType, find_set, sets};
pub use table::{Base, ChainKind, TableFlags, TableId};
pub use term::{CtKey, Hash, MetaKey, Numgen, Term, Transport};
pub use value::Value;

#[cfg(test)]
mod tests;

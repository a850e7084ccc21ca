//! What rules are made of: the keys that everything is looked up by, and statements about them.

use nfnetlink::Family;
use nfnetlink::nftables::native::{
    CtKey, Hash, MetaKey, NatFlags, NatKind, NatTo, Numgen, Operand, Relation, Rule, Statement,
    Term, Transport, Value, Verdict,
};

use super::chain::Chain;
use super::set::{Lookup, Row, SetName};

/// `IP_CT_NEW` as `ct state` has it.
const NEW: u32 = 8;
/// `IPS_DST_NAT`.
const DST_NAT: u32 = 32;
/// How often a slot is drawn before a smaller number is: what is still missed is (1/2)^8 at most.
const TRIES: usize = 8;

/// What a packet's frontend is looked up by.
pub(super) fn key(lookup: Lookup) -> Vec<Term> {
    let address = match lookup {
        Lookup::Address => Some(Term::DestinationAddress),
        Lookup::NodePort => None,
    };
    let port = Term::DestinationPort(Transport::Any);
    address
        .into_iter()
        .chain([Term::Meta(MetaKey::L4Proto), port])
        .collect()
}

/// The same with one more field.
pub(super) fn key_with(lookup: Lookup, last: Term) -> Vec<Term> {
    let mut key = key(lookup);
    key.push(last);
    key
}

/// A number below `modulus`.
pub(super) fn random(modulus: u16) -> Term {
    Term::Numgen(Numgen::random(modulus.into()))
}

/// What a client with session affinity is known by, together with the frontend. IPv6 addresses are
/// hashed: nft 1.0.6 aborts where a rule updates a map whose key has more than 16 bytes.
pub(super) fn affinity_key(family: Family) -> Vec<Term> {
    let addresses = [Term::SourceAddress, Term::DestinationAddress];
    let addresses = match family {
        Family::Ipv4 => addresses,
        Family::Ipv6 => addresses.map(hash),
    };
    addresses.into_iter().chain(key(Lookup::NodePort)).collect()
}

/// The same as the set's type says it: nft 1.0.6 ends with an error on a hash there.
pub(super) fn affinity_key_types(family: Family) -> Vec<Term> {
    match family {
        Family::Ipv4 => affinity_key(family),
        Family::Ipv6 => {
            let numbers = [random(2), random(2)];
            numbers.into_iter().chain(key(Lookup::NodePort)).collect()
        }
    }
}

fn hash(address: Term) -> Term {
    Term::Hash(Hash {
        of: vec![address],
        modulus: u32::MAX,
        seed: Some(1),
        offset: 0,
    })
}

/// The numbers to draw a slot below, one after the other, for a row of this size: half of it is
/// always there in a settled state, and slot 0 in any.
pub(super) fn draws(size: u16) -> impl Iterator<Item = u16> {
    let whole = if size > 1 { TRIES } else { 0 };
    std::iter::repeat_n(size, whole)
        .chain((size > 2).then_some(size / 2))
        .chain([1])
}

pub(super) fn in_set(key: impl Into<Vec<Term>>, set: SetName) -> Statement {
    Statement::InSet {
        key: key.into(),
        set: set.to_string().into(),
        not: false,
    }
}

pub(super) fn goto(chain: Chain) -> Statement {
    Statement::Verdict(Verdict::Goto(chain.to_string().into()))
}

pub(super) fn jump(chain: Chain) -> Statement {
    Statement::Verdict(Verdict::Jump(chain.to_string().into()))
}

pub(super) fn compare(term: Term, relation: Relation, value: impl Into<Value>) -> Statement {
    Statement::Compare {
        term,
        mask: None,
        relation,
        value: value.into(),
    }
}

fn has_bits(term: Term, bits: u32) -> Statement {
    Statement::Compare {
        term,
        mask: Some(bits.into()),
        relation: Relation::Ne,
        value: 0_u32.into(),
    }
}

/// Goes on with packets of new connections.
pub(super) fn is_new() -> Statement {
    has_bits(Term::Ct(CtKey::State), NEW)
}

/// Goes on with packets of connections whose destination is translated.
pub(super) fn is_translated() -> Statement {
    has_bits(Term::Ct(CtKey::Status), DST_NAT)
}

/// Goes on with packets that are to be masqueraded.
pub(super) fn is_marked(mark: u32) -> Statement {
    has_bits(Term::Meta(MetaKey::Mark), mark)
}

/// Has the packet masqueraded.
pub(super) fn set_mark(mark: u32) -> Statement {
    Statement::SetMeta {
        key: MetaKey::Mark,
        to: Operand::with_bits(Term::Meta(MetaKey::Mark), mark),
    }
}

/// Takes the mark off a packet that has it.
pub(super) fn turn_mark(mark: u32) -> Statement {
    Statement::SetMeta {
        key: MetaKey::Mark,
        to: Operand::turning_bits(Term::Meta(MetaKey::Mark), mark),
    }
}

/// Sends the packet to what the map has for a frontend and a last field, if it has that.
pub(super) fn translate(row: Row, last: Term, map: SetName) -> Statement {
    Statement::Nat {
        kind: NatKind::Destination,
        to: NatTo::Map {
            key: key_with(row.lookup, last),
            map: map.to_string().into(),
            with_port: true,
        },
        flags: NatFlags::default(),
    }
}

/// Sets the id of an endpoint to what the map has for a key, if it has that.
pub(super) fn set_id(key: Vec<Term>, map: SetName) -> Statement {
    Statement::SetMeta {
        key: MetaKey::Priority,
        to: Operand::Map {
            key,
            map: map.to_string().into(),
        },
    }
}

pub(super) fn rule(statements: impl Into<Vec<Statement>>) -> Rule {
    Rule::new(statements)
}

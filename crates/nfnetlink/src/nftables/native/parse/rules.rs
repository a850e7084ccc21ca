//! Rules.

use std::net::IpAddr;

use ipnet::IpNet;

use super::acts::{limit, log, reject};
use super::nat::{nat, to_ports};
use super::sets::counters;
use super::terms::{at_term, key, term};
use super::tokens::Tokens;
use super::{ParseError, list};
use crate::Family;
use crate::nftables::native::{
    DataType, DynsetOperation, NatKind, Operand, Relation, Rule, Statement, Term, Value, Verdict,
    names,
};

/// A rule up to the end of its line, to `;` or to `}`.
pub(super) fn rule(tokens: &mut Tokens<'_>, family: Family) -> Result<Rule, ParseError> {
    let mut rule = Rule::default();
    loop {
        if tokens.take("comment") {
            rule.comment = Some(tokens.quoted()?);
        } else {
            rule.statements.push(statement(tokens, family)?);
        }
        if tokens.at_line_end() || tokens.at(";") || tokens.at("}") {
            return Ok(rule.normalized(family));
        }
        if rule.comment.is_some() {
            return tokens.fail("expected nothing behind the comment");
        }
    }
}

fn statement(tokens: &mut Tokens<'_>, family: Family) -> Result<Statement, ParseError> {
    if at_term(tokens) {
        return condition(tokens, family);
    }
    let Some(token) = tokens.peek().filter(|token| !token.quoted) else {
        return tokens.fail("expected a statement");
    };
    let skip = |tokens: &mut Tokens<'_>| tokens.next().map(drop);
    match token.text {
        "accept" | "drop" | "continue" | "return" | "jump" | "goto" => {
            verdict(tokens).map(Statement::Verdict)
        }
        "dnat" => {
            skip(tokens)?;
            nat(tokens, family, NatKind::Destination)
        }
        "snat" => {
            skip(tokens)?;
            nat(tokens, family, NatKind::Source)
        }
        "masquerade" => {
            skip(tokens)?;
            let (ports, flags) = to_ports(tokens)?;
            Ok(Statement::Masquerade { ports, flags })
        }
        "redirect" => {
            skip(tokens)?;
            let (ports, flags) = to_ports(tokens)?;
            Ok(Statement::Redirect { ports, flags })
        }
        "add" | "update" | "delete" => dynset(tokens, family),
        "reject" => {
            skip(tokens)?;
            reject(tokens, family).map(Statement::Reject)
        }
        "counter" => {
            skip(tokens)?;
            if tokens.take("name") {
                return object(tokens, 1);
            }
            counters(tokens).map(Statement::Counter)
        }
        "quota" => {
            skip(tokens)?;
            tokens.expect("name", "expected name")?;
            object(tokens, 2)
        }
        "limit" => {
            skip(tokens)?;
            if tokens.take("name") {
                return object(tokens, 4);
            }
            limit(tokens).map(Statement::Limit)
        }
        "log" => {
            skip(tokens)?;
            log(tokens).map(Statement::Log)
        }
        _ => tokens.fail("there is no such statement here"),
    }
}

fn object(tokens: &mut Tokens<'_>, kind: u32) -> Result<Statement, ParseError> {
    let name = tokens.quoted()?;
    Ok(Statement::Object { kind, name })
}

pub(super) fn verdict(tokens: &mut Tokens<'_>) -> Result<Verdict, ParseError> {
    let chain = |tokens: &mut Tokens<'_>| tokens.name();
    if tokens.take("jump") {
        return chain(tokens).map(Verdict::Jump);
    }
    if tokens.take("goto") {
        return chain(tokens).map(Verdict::Goto);
    }
    tokens.read("expected a verdict", |text| {
        Some(match text {
            "accept" => Verdict::Accept,
            "drop" => Verdict::Drop,
            "continue" => Verdict::Continue,
            "return" => Verdict::Return,
            _ => return None,
        })
    })
}

/// What begins with a term.
fn condition(tokens: &mut Tokens<'_>, family: Family) -> Result<Statement, ParseError> {
    let key = key(tokens, family)?;
    if tokens.take("set") {
        let set = match key.as_slice() {
            [Term::Meta(key)] => {
                let kind = Term::Meta(*key).data_type(family);
                let to = operand(tokens, family, kind)?;
                Statement::SetMeta { key: *key, to }
            }
            [Term::Ct(key)] => {
                let kind = Term::Ct(*key).data_type(family);
                let to = operand(tokens, family, kind)?;
                Statement::SetCt { key: *key, to }
            }
            _ => return tokens.fail("only meta and ct fields are set"),
        };
        return Ok(set);
    }
    let relation = relation(tokens)?;
    let is_set = tokens
        .peek()
        .is_some_and(|token| !token.quoted && token.text.starts_with('@'));
    if is_set {
        let not = match relation {
            None => false,
            Some(Relation::Ne) => true,
            Some(_) => return tokens.fail("expected a value"),
        };
        let set = tokens.set_name()?;
        return Ok(Statement::InSet { key, set, not });
    }
    let [term] = <[Term; 1]>::try_from(key).or_else(|_| tokens.fail("expected a set, as @NAME"))?;
    match term {
        Term::SourceAddress => network(tokens, family, false, relation),
        Term::DestinationAddress => network(tokens, family, true, relation),
        term => compare(tokens, family, term, relation),
    }
}

fn relation(tokens: &mut Tokens<'_>) -> Result<Option<Relation>, ParseError> {
    let found = match tokens.peek() {
        Some(token) if !token.quoted => match token.text {
            "==" => Relation::Eq,
            "!=" => Relation::Ne,
            "<" => Relation::Lt,
            "<=" => Relation::Le,
            ">" => Relation::Gt,
            ">=" => Relation::Ge,
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    tokens.next()?;
    Ok(Some(found))
}

fn network(
    tokens: &mut Tokens<'_>,
    family: Family,
    destination: bool,
    relation: Option<Relation>,
) -> Result<Statement, ParseError> {
    let not = match relation {
        None | Some(Relation::Eq) => false,
        Some(Relation::Ne) => true,
        Some(_) => return tokens.fail("addresses are equal or not"),
    };
    let network = tokens.read(
        "expected an address or a network of the table's family",
        |text| {
            let net: IpNet = match text.parse::<IpAddr>() {
                Ok(address) => address.into(),
                Err(_) => text.parse().ok()?,
            };
            let same = net.addr().is_ipv4() == (family == Family::Ipv4);
            (same && net.trunc() == net).then_some(net)
        },
    )?;
    Ok(Statement::Address {
        destination,
        not,
        network,
    })
}

fn compare(
    tokens: &mut Tokens<'_>,
    family: Family,
    term: Term,
    relation: Option<Relation>,
) -> Result<Statement, ParseError> {
    let kind = term.data_type(family);
    let flags = matches!(kind, DataType::CtState | DataType::CtStatus);
    let zero = || Value::new(&[0; 16][..kind.len()]);
    let made = |mask, relation, value| {
        Ok(Statement::Compare {
            term,
            mask,
            relation,
            value,
        })
    };
    if relation.is_none() && tokens.take("&") {
        let mask = value(tokens, kind)?;
        let Some(relation) = self::relation(tokens)? else {
            return tokens.fail("expected a comparison, as == or !=");
        };
        // What nft says of bits without a comparison is read as that.
        let value = if flags && tokens.take("0") {
            zero()
        } else {
            value(tokens, kind)?
        };
        return made(Some(mask), relation, value);
    }
    match relation {
        None if flags => {
            let relation = if tokens.take("!") {
                Relation::Eq
            } else {
                Relation::Ne
            };
            made(Some(value(tokens, kind)?), relation, zero())
        }
        relation => {
            let value = value(tokens, kind)?;
            made(None, relation.unwrap_or(Relation::Eq), value)
        }
    }
}

/// A value of this type; names of bits have commas between them.
fn value(tokens: &mut Tokens<'_>, kind: DataType) -> Result<Value, ParseError> {
    if matches!(kind, DataType::CtState | DataType::CtStatus) {
        let names = if kind == DataType::CtState {
            &names::STATES
        } else {
            &names::STATUS
        };
        let bits = list(tokens, "expected names of states", |text| {
            names.number(text)
        })?;
        return Ok(bits.into_iter().fold(0, |all, bit| all | bit).into());
    }
    let Some(token) = tokens.peek() else {
        return tokens.fail("expected a value");
    };
    if token.quoted != (kind == DataType::IfName) {
        return tokens.fail("expected a value of another type");
    }
    match kind.parse(token.text) {
        Ok(value) => {
            tokens.next()?;
            Ok(value)
        }
        Err(why) => tokens.fail(why),
    }
}

fn operand(tokens: &mut Tokens<'_>, family: Family, kind: DataType) -> Result<Operand, ParseError> {
    if !at_term(tokens) {
        return value(tokens, kind).map(Operand::Value);
    }
    let key = key(tokens, family)?;
    if tokens.take("map") {
        let map = tokens.set_name()?;
        return Ok(Operand::Map { key, map });
    }
    let [term] = <[Term; 1]>::try_from(key).or_else(|_| tokens.fail("expected map"))?;
    let kind = term.data_type(family);
    let bits = |tokens: &mut Tokens<'_>| {
        let Some(bits) = value(tokens, kind)?.host_u32() else {
            return tokens.fail("only 32 bits are changed");
        };
        Ok(bits)
    };
    let (mask, xor) = if tokens.take("|") {
        let bits = bits(tokens)?;
        (!bits, bits)
    } else if tokens.take("^") {
        (u32::MAX, bits(tokens)?)
    } else if tokens.take("&") {
        let kept = bits(tokens)?;
        if tokens.take("|") {
            let set = bits(tokens)?;
            (kept & !set, set)
        } else if tokens.take("^") {
            (kept, bits(tokens)?)
        } else {
            (kept, 0)
        }
    } else {
        return Ok(Operand::Term(term));
    };
    Ok(Operand::Bits {
        term,
        mask: mask.into(),
        xor: xor.into(),
    })
}

fn dynset(tokens: &mut Tokens<'_>, family: Family) -> Result<Statement, ParseError> {
    let operation = tokens.read("expected add, update or delete", |text| match text {
        "add" => Some(DynsetOperation::Add),
        "update" => Some(DynsetOperation::Update),
        "delete" => Some(DynsetOperation::Delete),
        _ => None,
    })?;
    let set = tokens.set_name()?;
    tokens.expect("{", "expected {")?;
    let key = key(tokens, family)?;
    let mut timeout = None;
    if tokens.take("timeout") {
        timeout = Some(tokens.time()?);
    }
    let counter = tokens.take("counter");
    let data = if tokens.take(":") {
        Some(term(tokens, family)?)
    } else {
        None
    };
    tokens.expect("}", "expected }")?;
    Ok(Statement::Dynset {
        operation,
        set,
        key,
        data,
        timeout: timeout.filter(|timeout| !timeout.is_zero()),
        counter,
    })
}

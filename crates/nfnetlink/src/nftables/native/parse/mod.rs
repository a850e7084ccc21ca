//! Tables from what `nft list` prints of them.

mod acts;
mod error;
mod nat;
mod rules;
mod sets;
mod terms;
mod tokens;

use self::rules::rule;
use self::sets::set;
use self::tokens::Tokens;
use super::listing::{PRIORITIES, TABLE_FLAGS};
use super::{Base, ChainKind, ChainListing, Listing, Rule, TableFlags};
use crate::Family;
use crate::nftables::Hook;

pub use self::error::ParseError;

impl Listing {
    /// Reads a table from what `nft list table` prints.
    ///
    /// Errors name the line and the word that can't be read. All that `Display` prints of sets,
    /// elements and rules is read, but for what has no type here and is in brackets.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut tokens = Tokens::new(text);
        let listing = table(&mut tokens)?;
        match tokens.peek() {
            None => Ok(listing),
            Some(_) => tokens.fail("expected nothing behind the table"),
        }
    }

    /// Reads any number of tables of the families ip and ip6, as `nft list ruleset` prints them.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, ParseError> {
        let mut tokens = Tokens::new(text);
        let mut found = Vec::new();
        while tokens.peek().is_some() {
            found.push(table(&mut tokens)?);
        }
        Ok(found)
    }
}

impl Rule {
    /// Reads a rule of a table of this family, as nft prints it.
    pub fn parse(family: Family, text: &str) -> Result<Self, ParseError> {
        let mut tokens = Tokens::new(text);
        let found = rule(&mut tokens, family)?;
        match tokens.peek() {
            None => Ok(found),
            Some(_) => tokens.fail("expected nothing behind the rule"),
        }
    }
}

fn table(tokens: &mut Tokens<'_>) -> Result<Listing, ParseError> {
    tokens.expect("table", "expected a table")?;
    let family = tokens.read("expected ip or ip6", |text| {
        let same = |family: &Family| family.to_string() == text;
        Family::ALL.into_iter().find(same)
    })?;
    let mut listing = Listing::new(family, tokens.name()?);
    tokens.expect("{", "expected {")?;
    loop {
        if tokens.take("}") {
            return Ok(listing);
        } else if tokens.take("flags") {
            listing.flags = list(tokens, "expected a table's flag", |text| {
                let found = TABLE_FLAGS.iter().find(|(_, name)| *name == text);
                found.map(|(flag, _)| *flag)
            })?
            .into_iter()
            .fold(TableFlags::default(), TableFlags::with);
        } else if tokens.take("comment") {
            listing.comment = Some(tokens.quoted()?);
        } else if tokens.at("set") || tokens.at("map") {
            listing.sets.push(set(tokens, family)?);
        } else if tokens.take("chain") {
            listing.chains.push(chain(tokens, family)?);
        } else if !tokens.take(";") {
            return tokens.fail("expected a set, a map, a chain, flags, a comment or }");
        }
    }
}

/// Values with commas between them.
fn list<T>(
    tokens: &mut Tokens<'_>,
    why: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, ParseError> {
    let mut found = vec![tokens.read(why, &read)?];
    while tokens.take(",") {
        found.push(tokens.read(why, &read)?);
    }
    Ok(found)
}

fn chain(tokens: &mut Tokens<'_>, family: Family) -> Result<ChainListing, ParseError> {
    let mut chain = ChainListing {
        name: tokens.name()?,
        base: None,
        comment: None,
        rules: Vec::new(),
    };
    tokens.expect("{", "expected {")?;
    // Only in front of all rules; behind that it is a rule that says nothing else.
    if tokens.take("comment") {
        chain.comment = Some(tokens.quoted()?);
        tokens.take(";");
    }
    if tokens.take("type") {
        chain.base = Some(base(tokens)?);
    }
    while !tokens.take("}") {
        if !tokens.take(";") {
            chain.rules.push(rule(tokens, family)?);
        }
    }
    Ok(chain)
}

fn base(tokens: &mut Tokens<'_>) -> Result<Base, ParseError> {
    let kind = tokens.read("expected filter, nat or route", ChainKind::from_name)?;
    tokens.expect("hook", "expected hook")?;
    let hook = tokens.read("expected the name of a hook", |text| {
        let mut all = (0..5).filter_map(Hook::from_number);
        all.find(|hook| hook.name() == text)
    })?;
    tokens.expect("priority", "expected priority")?;
    let priority = priority(tokens, hook)?;
    tokens.expect(";", "expected ;")?;
    let mut accept = true;
    if tokens.take("policy") {
        accept = tokens.read("expected accept or drop", |text| match text {
            "accept" => Some(true),
            "drop" => Some(false),
            _ => None,
        })?;
        tokens.expect(";", "expected ;")?;
    }
    Ok(Base {
        kind,
        hook,
        priority,
        accept,
    })
}

fn priority(tokens: &mut Tokens<'_>, hook: Hook) -> Result<i32, ParseError> {
    const WHY: &str = "expected a priority of this hook";
    let (number, has_name) = tokens.read(WHY, |text| {
        if let Ok(number) = text.parse() {
            return Some((number, false)).filter(|_| !text.starts_with('+'));
        }
        let here = |one: Option<Hook>| one.is_none_or(|one| one == hook);
        let mut fit = PRIORITIES
            .iter()
            .filter(|(_, name, one)| *name == text && here(*one));
        fit.next().map(|(number, _, _)| (*number, true))
    })?;
    let sign = match tokens.peek() {
        Some(token) if has_name && token.text == "+" => 1,
        Some(token) if has_name && token.text == "-" => -1,
        _ => return Ok(number),
    };
    tokens.next()?;
    let off: i32 = tokens.number()?;
    match off
        .checked_mul(sign)
        .and_then(|off| number.checked_add(off))
    {
        Some(number) => Ok(number),
        None => tokens.fail(WHY),
    }
}

//! Sets, maps and their elements.

use super::ParseError;
use super::list;
use super::rules::verdict;
use super::terms::key;
use super::tokens::Tokens;
use crate::Family;
use crate::nftables::native::element::ElementData;
use crate::nftables::native::listing::SET_FLAGS;
use crate::nftables::native::set::Layout;
use crate::nftables::native::{
    Counters, DataType, Element, ListedElement, MapType, Set, SetFlags, SetListing, SetType, Value,
};

/// A set or a map, its first word included.
pub(super) fn set(tokens: &mut Tokens<'_>, family: Family) -> Result<SetListing, ParseError> {
    let is_map = tokens.take("map");
    if !is_map {
        tokens.expect("set", "expected a set or a map")?;
    }
    let name = tokens.name()?;
    tokens.expect("{", "expected {")?;
    let mut set = Set::new(name, kind(tokens, family, is_map)?);
    let mut elements = Vec::new();
    loop {
        if tokens.take("}") {
            break;
        } else if tokens.take("size") {
            set.size = Some(tokens.number()?);
        } else if tokens.take("flags") {
            let flags = list(tokens, "expected a set's flag", |text| {
                let found = SET_FLAGS.iter().find(|(_, name)| *name == text);
                found.map(|(flag, _)| *flag)
            })?;
            set.flags = flags.into_iter().fold(set.flags, SetFlags::with);
        } else if tokens.take("counter") {
            set = set.counting();
        } else if tokens.take("auto-merge") {
            set.auto_merge = true;
        } else if tokens.take("timeout") {
            set.timeout = Some(tokens.time()?);
            set.flags = set.flags.with(SetFlags::TIMEOUT);
        } else if tokens.take("gc-interval") {
            set.gc_interval = Some(tokens.time()?);
        } else if tokens.take("comment") {
            set.comment = Some(tokens.quoted()?);
        } else if tokens.take("elements") {
            tokens.expect("=", "expected =")?;
            elements = all_elements(tokens, family, &set)?;
        } else if !tokens.take(";") {
            return tokens.fail("expected something of a set, such as size, or }");
        }
    }
    // nft gives a constant set the size that it has, and does not print it.
    if set.flags.has(SetFlags::CONSTANT) {
        let count = u32::try_from(elements.len()).ok();
        set.size = count.filter(|count| *count > 0);
    }
    Ok(SetListing { set, elements })
}

fn kind(tokens: &mut Tokens<'_>, family: Family, is_map: bool) -> Result<SetType, ParseError> {
    if tokens.take("typeof") {
        let key = key(tokens, family)?;
        let data = if is_map {
            tokens.expect(":", "expected : and what the map has")?;
            Some(self::key(tokens, family)?)
        } else {
            None
        };
        return Ok(SetType::TypeOf { key, data });
    }
    tokens.expect("type", "expected type or typeof")?;
    let key = types(tokens)?;
    let data = if is_map {
        tokens.expect(":", "expected : and what the map has")?;
        Some(if tokens.take("verdict") {
            MapType::Verdict
        } else {
            MapType::Values(types(tokens)?)
        })
    } else {
        None
    };
    Ok(SetType::Types { key, data })
}

fn types(tokens: &mut Tokens<'_>) -> Result<Vec<DataType>, ParseError> {
    const WHY: &str = "expected the name of a type";
    let mut found = vec![tokens.read(WHY, DataType::from_name)?];
    while tokens.take(".") {
        found.push(tokens.read(WHY, DataType::from_name)?);
    }
    Ok(found)
}

fn all_elements(
    tokens: &mut Tokens<'_>,
    family: Family,
    set: &Set,
) -> Result<Vec<ListedElement>, ParseError> {
    // Sets in text have types, or terms that have some.
    let types = set.key_types(family).unwrap_or_default();
    let data = set.map_type(family);
    let ranges = set.layout() != Layout::Keys;
    tokens.expect("{", "expected {")?;
    let mut found = Vec::new();
    while !tokens.take("}") {
        found.push(element(tokens, &types, data.as_ref(), ranges)?);
        if !tokens.take(",") && !tokens.at("}") {
            return tokens.fail("expected , or }");
        }
    }
    Ok(found)
}

fn element(
    tokens: &mut Tokens<'_>,
    types: &[DataType],
    data: Option<&MapType>,
    ranges: bool,
) -> Result<ListedElement, ParseError> {
    let element = if tokens.take("*") {
        Element::new(Value::default())
    } else {
        let (low, high) = fields(tokens, types, ranges)?;
        let end = (low != high).then_some(high);
        Element {
            end,
            ..Element::new(low)
        }
    };
    let mut listed = ListedElement::from(element);
    loop {
        if tokens.take("counter") {
            listed.counters = Some(counters(tokens)?);
        } else if tokens.take("timeout") {
            listed.element.timeout = Some(tokens.time()?);
        } else if tokens.take("expires") {
            listed.expires = Some(tokens.time()?);
        } else if tokens.take("comment") {
            listed.element.comment = Some(tokens.quoted()?);
        } else {
            break;
        }
    }
    if let Some(data) = data {
        tokens.expect(":", "expected : and what the map has")?;
        listed.element.data = Some(match data {
            MapType::Verdict => ElementData::Verdict(verdict(tokens)?),
            MapType::Values(types) => ElementData::Value(fields(tokens, types, false)?.0),
        });
    }
    Ok(listed)
}

/// `packets N bytes N` behind `counter`.
pub(super) fn counters(tokens: &mut Tokens<'_>) -> Result<Counters, ParseError> {
    if !tokens.take("packets") {
        return Ok(Counters::default());
    }
    let packets = tokens.number()?;
    tokens.expect("bytes", "expected bytes")?;
    Ok(Counters {
        packets,
        bytes: tokens.number()?,
    })
}

/// Fields with points between them: their lowest and their highest value.
fn fields(
    tokens: &mut Tokens<'_>,
    types: &[DataType],
    ranges: bool,
) -> Result<(Value, Value), ParseError> {
    let mut all = (Value::default(), Value::default());
    for (index, kind) in types.iter().enumerate() {
        if index > 0 {
            tokens.expect(".", "expected . and another field")?;
        }
        let (low, high) = field(tokens, *kind, ranges)?;
        if types.len() == 1 {
            return Ok((low, high));
        }
        all.0.push(low.as_bytes());
        all.1.push(high.as_bytes());
    }
    Ok(all)
}

fn field(
    tokens: &mut Tokens<'_>,
    kind: DataType,
    ranges: bool,
) -> Result<(Value, Value), ParseError> {
    let Some(token) = tokens.peek() else {
        return tokens.fail("expected an element");
    };
    let whole = kind.parse(token.text);
    let found = match whole {
        Ok(value) => Ok((value.clone(), value)),
        Err(why) if ranges => range(kind, token.text).ok_or(why),
        Err(why) => Err(why),
    };
    match found {
        Ok(found) => {
            tokens.next()?;
            Ok(found)
        }
        Err(why) => tokens.fail(why),
    }
}

/// A network, or two values with a hyphen between them.
fn range(kind: DataType, text: &str) -> Option<(Value, Value)> {
    if matches!(kind, DataType::Ipv4Addr | DataType::Ipv6Addr)
        && let Some((address, _)) = text.split_once('/')
    {
        // Of the right family.
        kind.parse(address).ok()?;
        let net: ipnet::IpNet = text.parse().ok()?;
        return Some((net.network().into(), net.broadcast().into()));
    }
    let (low, high) = text.split_once('-')?;
    let (low, high) = (kind.parse(low).ok()?, kind.parse(high).ok()?);
    Some((low, high))
}

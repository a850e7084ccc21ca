//! A table as `nft list table` prints it.

use std::fmt::{self, Display, Formatter, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{ChainListing, Listing, SetListing};
use crate::Family;
use crate::nftables::Hook;
use crate::nftables::native::element::ElementData;
use crate::nftables::native::print::{Address, Quoted, Terms, Time};
use crate::nftables::native::set::Layout;
use crate::nftables::native::{
    Base, DataType, Expression, ListedElement, MapType, Set, SetFlags, SetType, TableFlags, Value,
};

/// Names of a table's flags, in nft's order.
pub(in super::super) const TABLE_FLAGS: [(TableFlags, &str); 3] = [
    (TableFlags::DORMANT, "dormant"),
    (TableFlags::OWNER, "owner"),
    (TableFlags::PERSIST, "persist"),
];

/// Names of a set's flags, in nft's order.
pub(in super::super) const SET_FLAGS: [(SetFlags, &str); 4] = [
    (SetFlags::CONSTANT, "constant"),
    (SetFlags::DYNAMIC, "dynamic"),
    (SetFlags::INTERVAL, "interval"),
    (SetFlags::TIMEOUT, "timeout"),
];

/// Names of priorities, and the only hook that has them.
pub(in super::super) const PRIORITIES: [(i32, &str, Option<Hook>); 6] = [
    (-300, "raw", None),
    (-150, "mangle", None),
    (-100, "dstnat", Some(Hook::Prerouting)),
    (0, "filter", None),
    (50, "security", None),
    (100, "srcnat", Some(Hook::Postrouting)),
];

/// Farther from a name than this a priority is a number.
const NEAR: i64 = 10;

/// Where the elements of a further line begin.
const FURTHER: &str = ",\n\t\t\t     ";

/// `nft list table`, nft 1.0.6; a table with the flag `persist` as later ones print it. Who owns a
/// table is not printed.
impl Display for Listing {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "table {} {} {{", self.family, self.name)?;
        let flags: Vec<_> = TABLE_FLAGS
            .iter()
            .filter(|(flag, _)| self.flags.has(*flag))
            .map(|(_, name)| *name)
            .collect();
        let mut begun = !flags.is_empty();
        if begun {
            writeln!(f, "\tflags {}", flags.join(","))?;
        }
        if let Some(comment) = &self.comment {
            writeln!(f, "\tcomment {}", Quoted(comment))?;
        }
        for listed in &self.sets {
            f.write_str(if begun { "\n" } else { "" })?;
            begun = true;
            set(f, self.family, listed)?;
        }
        for listed in &self.chains {
            f.write_str(if begun { "\n" } else { "" })?;
            begun = true;
            chain(f, self.family, listed)?;
        }
        f.write_str("}\n")
    }
}

/// A set with its elements as it stands in a table.
impl SetListing {
    /// As `nft list set` prints it inside of a table of this family.
    pub fn text(&self, family: Family) -> impl Display + '_ {
        SetText(family, self)
    }
}

impl Set {
    /// One of its elements as nft prints it inside of the set, in a table of this family.
    pub fn element_text<'e>(
        &self,
        family: Family,
        listed: &'e ListedElement,
    ) -> impl Display + use<'e> {
        ElementText(Shape::of(family, self), listed)
    }
}

struct ElementText<'e>(Shape, &'e ListedElement);

impl Display for ElementText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        element(f, &self.0, self.1)
    }
}

struct SetText<'s>(Family, &'s SetListing);

impl Display for SetText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        set(f, self.0, self.1)
    }
}

fn chain(f: &mut Formatter<'_>, family: Family, listed: &ChainListing) -> fmt::Result {
    writeln!(f, "\tchain {} {{", listed.name)?;
    if let Some(comment) = &listed.comment {
        writeln!(f, "\t\tcomment {}", Quoted(comment))?;
    }
    if let Some(base) = listed.base {
        writeln!(f, "\t\t{base}")?;
    }
    for rule in &listed.rules {
        writeln!(f, "\t\t{}", rule.text(family))?;
    }
    f.write_str("\t}\n")
}

impl Display for Base {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let kind = self.kind.name();
        write!(f, "type {kind} hook {} priority ", self.hook.name())?;
        let near = PRIORITIES.iter().find_map(|(number, name, hook)| {
            let off = i64::from(self.priority) - i64::from(*number);
            let here = hook.is_none_or(|hook| hook == self.hook);
            (here && off.abs() <= NEAR).then_some((*name, off))
        });
        match near {
            Some((name, 0)) => f.write_str(name)?,
            Some((name, off)) if off > 0 => write!(f, "{name} + {off}")?,
            Some((name, off)) => write!(f, "{name} - {}", -off)?,
            None => write!(f, "{}", self.priority)?,
        }
        let policy = if self.accept { "accept" } else { "drop" };
        write!(f, "; policy {policy};")
    }
}

fn set(f: &mut Formatter<'_>, family: Family, listed: &SetListing) -> fmt::Result {
    let SetListing { set, elements } = listed;
    let kind = if set.is_map() { "map" } else { "set" };
    writeln!(f, "\t{kind} {} {{", set.name)?;
    f.write_str("\t\t")?;
    types(f, family, &set.kind)?;
    f.write_char('\n')?;
    // That of a constant set is the number of its elements.
    if let Some(size) = set.size.filter(|_| !set.flags.has(SetFlags::CONSTANT)) {
        writeln!(f, "\t\tsize {size}")?;
    }
    flags(f, set)?;
    for expression in &set.expressions {
        match expression {
            Expression::Counter(_) => f.write_str("\t\tcounter\n")?,
            other => writeln!(f, "\t\t{other}")?,
        }
    }
    if set.auto_merge {
        f.write_str("\t\tauto-merge\n")?;
    }
    if let Some(timeout) = set.timeout {
        writeln!(f, "\t\ttimeout {}", Time(timeout))?;
    }
    if let Some(interval) = set.gc_interval {
        writeln!(f, "\t\tgc-interval {}", Time(interval))?;
    }
    if let Some(comment) = &set.comment {
        writeln!(f, "\t\tcomment {}", Quoted(comment))?;
    }
    let shape = Shape::of(family, set);
    let per_line = match shape.key.as_deref() {
        Some([one]) => one.per_line(),
        _ => 1,
    };
    for (index, listed) in elements.iter().enumerate() {
        f.write_str(match index {
            0 => "\t\telements = { ",
            _ if index.is_multiple_of(per_line) => FURTHER,
            _ => ", ",
        })?;
        element(f, &shape, listed)?;
    }
    f.write_str(if elements.is_empty() {
        "\t}\n"
    } else {
        " }\n\t}\n"
    })
}

fn types(f: &mut Formatter<'_>, family: Family, kind: &SetType) -> fmt::Result {
    match kind {
        SetType::Types { key, data } => {
            f.write_str("type ")?;
            type_names(f, key)?;
            match data {
                None => Ok(()),
                Some(MapType::Verdict) => f.write_str(" : verdict"),
                Some(MapType::Values(types)) => {
                    f.write_str(" : ")?;
                    type_names(f, types)
                }
            }
        }
        SetType::TypeOf { key, data } => {
            write!(f, "typeof {}", Terms::new(family, key))?;
            match data {
                Some(data) => write!(f, " : {}", Terms::new(family, data)),
                None => Ok(()),
            }
        }
        SetType::Raw { key, key_len, data } => {
            write!(f, "type [ {key:#x} {key_len} ]")?;
            match data {
                Some((data, len)) => write!(f, " : [ {data:#x} {len} ]"),
                None => Ok(()),
            }
        }
    }
}

fn type_names(f: &mut Formatter<'_>, types: &[DataType]) -> fmt::Result {
    for (index, one) in types.iter().enumerate() {
        f.write_str(if index > 0 { " . " } else { "" })?;
        f.write_str(one.name().unwrap_or("integer"))?;
    }
    Ok(())
}

fn flags(f: &mut Formatter<'_>, set: &Set) -> fmt::Result {
    let set_flags = SET_FLAGS.iter().filter(|(flag, _)| set.flags.has(*flag));
    let names: Vec<_> = set_flags.map(|(_, name)| *name).collect();
    // That elements end follows from when they do.
    let implied = set.timeout.is_some() && names.as_slice() == ["timeout"];
    if names.is_empty() || implied {
        return Ok(());
    }
    writeln!(f, "\t\tflags {}", names.join(","))
}

/// What it takes to print the elements of a set.
struct Shape {
    key: Option<Vec<DataType>>,
    data: Option<MapType>,
    ranges: bool,
}

impl Shape {
    fn of(family: Family, set: &Set) -> Self {
        Self {
            key: set.key_types(family),
            data: set.map_type(family),
            ranges: set.layout() != Layout::Keys,
        }
    }
}

fn element(f: &mut Formatter<'_>, shape: &Shape, listed: &ListedElement) -> fmt::Result {
    let element = &listed.element;
    if element.key.is_empty() {
        f.write_char('*')?;
    } else {
        let end = element.end.as_ref().filter(|_| shape.ranges);
        let (key, end) = (element.key.as_bytes(), end.map(Value::as_bytes));
        fields(f, shape.key.as_deref(), key, end.unwrap_or(key))?;
    }
    if let Some(counters) = listed.counters {
        write!(f, " {counters}")?;
    }
    if let Some(timeout) = element.timeout {
        write!(f, " timeout {}", Time(timeout))?;
    }
    if let Some(expires) = listed.expires {
        write!(f, " expires {}", Time(expires))?;
    }
    if let Some(comment) = &element.comment {
        write!(f, " comment {}", Quoted(comment))?;
    }
    match (&element.data, &shape.data) {
        (None, _) => Ok(()),
        (Some(ElementData::Verdict(verdict)), _) => write!(f, " : {verdict}"),
        (Some(ElementData::Value(value)), Some(MapType::Values(types))) => {
            f.write_str(" : ")?;
            fields(f, Some(types), value.as_bytes(), value.as_bytes())
        }
        (Some(ElementData::Value(value)), _) => write!(f, " : {value:?}"),
    }
}

/// A key or a value field by field, from its lowest to its highest.
fn fields(
    f: &mut Formatter<'_>,
    types: Option<&[DataType]>,
    low: &[u8],
    high: &[u8],
) -> fmt::Result {
    let raw = |f: &mut Formatter<'_>, bytes: &[u8]| {
        f.write_str("0x")?;
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    };
    let Some(types) = types else {
        raw(f, low)?;
        if low != high {
            f.write_char('-')?;
            raw(f, high)?;
        }
        return Ok(());
    };
    let mut at = 0;
    for (index, kind) in types.iter().enumerate() {
        f.write_str(if index > 0 { " . " } else { "" })?;
        let field = |bytes: &[u8]| bytes.get(at..at + kind.len()).map(<[u8]>::to_vec);
        match (field(low), field(high)) {
            (Some(low), Some(high)) => range(f, *kind, &low, &high)?,
            _ => raw(f, low.get(at..).unwrap_or_default())?,
        }
        at += kind.len().next_multiple_of(4);
    }
    Ok(())
}

fn range(f: &mut Formatter<'_>, kind: DataType, low: &[u8], high: &[u8]) -> fmt::Result {
    if low == high {
        return write!(f, "{}", kind.text(low));
    }
    // Names have hyphens themselves.
    if let (DataType::InetProto, [low], [high]) = (kind, low, high) {
        return write!(f, "{low}-{high}");
    }
    let is_address = matches!(kind, DataType::Ipv4Addr | DataType::Ipv6Addr);
    match prefix(low, high).filter(|_| is_address) {
        Some((address, prefix)) => write!(f, "{}/{prefix}", Address(address)),
        None => write!(f, "{}-{}", kind.text(low), kind.text(high)),
    }
}

/// The network that begins and ends with these addresses.
fn prefix(low: &[u8], high: &[u8]) -> Option<(IpAddr, u32)> {
    let (address, number, all, bits): (IpAddr, u128, u128, u32) = match (low, high) {
        (&[a, b, c, d], high) => {
            let low = Ipv4Addr::new(a, b, c, d);
            let high = u32::from_be_bytes(high.try_into().ok()?);
            (low.into(), u32::from(low).into(), high.into(), 32)
        }
        (low, high) => {
            let low = Ipv6Addr::from(<[u8; 16]>::try_from(low).ok()?);
            let high = u128::from_be_bytes(high.try_into().ok()?);
            (low.into(), low.into(), high, 128)
        }
    };
    let rest = number ^ all;
    // Ones alone at the end, where the first has zeros.
    let network = rest & rest.wrapping_add(1) == 0 && number & rest == 0;
    network.then(|| (address, bits - (u128::BITS - rest.leading_zeros())))
}

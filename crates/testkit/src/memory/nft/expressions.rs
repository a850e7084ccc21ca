//! A rule's expressions: where they lead, and how the kernel tells them.

use netlink_batch::attr::NESTED;
use netlink_batch::{AttrWriter, Errno};

use super::ruleset::Table;
use super::write::list as nest;
use crate::memory::answer::Refused;
use crate::memory::fields::{Field, Fields};
use crate::memory::ipset::Sets;

/// `NFTA_LIST_ELEM`, `NFTA_EXPR_NAME`, `NFTA_EXPR_DATA`.
const ELEMENT: u16 = 1;
const NAME: u16 = 1;
const DATA: u16 = 2;
/// `NFTA_IMMEDIATE_DATA`, `NFTA_DATA_VERDICT`, `NFTA_VERDICT_CHAIN`.
const IMMEDIATE_DATA: u16 = 2;
const DATA_VERDICT: u16 = 2;
const VERDICT_CHAIN: u16 = 2;
/// `NFTA_MATCH_NAME`, `NFTA_MATCH_INFO`.
const XT_NAME: u16 = 1;
const XT_INFO: u16 = 3;
/// `NFTA_COUNTER_BYTES`, `NFTA_COUNTER_PACKETS`.
const COUNTER_BYTES: u16 = 1;
const COUNTER_PACKETS: u16 = 2;
/// `NFTA_META_KEY`, which the kernel tells first.
const META_KEY: u16 = 2;
/// `NFTA_BITWISE_OP`, told even where it is 0, behind `NFTA_BITWISE_LEN`.
const BITWISE_LEN: u16 = 3;
const BITWISE_OP: u16 = 6;
/// `NFTA_LOOKUP_SET`, `NFTA_DYNSET_SET_NAME`.
const SET: u16 = 1;
/// `NFTA_NAT_FLAGS`, `NFTA_NAT_REG_ADDR_MIN`, `NFTA_NAT_REG_PROTO_MIN`.
const NAT_FLAGS: u16 = 7;
const NAT_ADDRESS: u16 = 3;
const NAT_PORT: u16 = 5;
/// `NF_NAT_RANGE_MAP_IPS`, `NF_NAT_RANGE_PROTO_SPECIFIED`.
const MAP_ADDRESSES: u32 = 1;
const PORTS: u32 = 2;
/// `NFT_RULE_MAXEXPRS`.
const MOST: usize = 128;

/// Expressions that were taken.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    /// The list as the kernel tells it.
    pub(super) list: Vec<u8>,
    /// Handles of the chains that they lead to.
    pub(super) jumps: Vec<u64>,
    /// Handles of the sets that they look into or change.
    pub(super) lookups: Vec<u64>,
    /// Numbers of the IP sets that they match on.
    pub(super) sets: Vec<u16>,
}

/// Reads a rule's list.
pub(super) fn parse(table: &Table, sets: &Sets, list: Field<'_>) -> Result<Parsed, Refused> {
    let mut parsed = Parsed::default();
    for (number, element) in list.fields()?.iter().enumerate() {
        if element.kind != ELEMENT || number == MOST {
            return Err(Refused::errno(Errno::INVAL));
        }
        let blame = |refused: Refused| element.refuse(refused.errno);
        let fields = element.fields().map_err(blame)?;
        let name = fields.need(NAME).and_then(|name| name.text());
        let name = name.map_err(blame)?;
        let data = fields.get(DATA).map(|data| data.fields()).transpose();
        let data = data.map_err(blame)?.unwrap_or_default();
        if name == "immediate"
            && let Some(chain) = target(&data).map_err(blame)?
        {
            parsed.jumps.push(lead(table, chain).map_err(blame)?);
        }
        if matches!(name, "lookup" | "dynset")
            && let Some(named) = data.get(SET)
        {
            let set = named.text().map_err(blame)?;
            let set = table.set(set).ok_or(element.refuse(Errno::NOENT))?;
            parsed.lookups.push(set.handle);
        }
        if name == "match"
            && let Some(set) = set(&data).map_err(blame)?
        {
            if !sets.has(set) {
                return Err(element.refuse(Errno::NOENT));
            }
            parsed.sets.push(set);
        }
        nest(&mut AttrWriter::new(&mut parsed.list), ELEMENT, |element| {
            element.str(NAME, name);
            nest(element, DATA, |out| told(name, &data, out));
        });
    }
    Ok(parsed)
}

/// The name of the chain that a verdict leads to.
fn target<'a>(data: &Fields<'a>) -> Result<Option<&'a str>, Refused> {
    let Some(value) = data.get(IMMEDIATE_DATA) else {
        return Ok(None);
    };
    let Some(verdict) = value.fields()?.get(DATA_VERDICT) else {
        return Ok(None);
    };
    let chain = verdict.fields()?.get(VERDICT_CHAIN);
    chain.map(|chain| chain.text()).transpose()
}

/// The number of the set that `-m set` matches on (`struct xt_set_info`).
fn set(data: &Fields<'_>) -> Result<Option<u16>, Refused> {
    let name = data.get(XT_NAME).map(|name| name.text()).transpose()?;
    if name != Some("set") {
        return Ok(None);
    }
    let info = data.get(XT_INFO).map(|info| info.payload);
    let index = info.and_then(|info| info.first_chunk::<2>());
    Ok(index.copied().map(u16::from_ne_bytes))
}

/// The handle of a chain to jump to.
fn lead(table: &Table, name: &str) -> Result<u64, Refused> {
    let chain = table.chain(name).ok_or(Refused::errno(Errno::NOENT))?;
    if chain.base.is_some() {
        return Err(Refused::errno(Errno::OPNOTSUPP));
    }
    Ok(chain.handle)
}

/// An expression's data as the kernel tells it: without flags of nests, with what has a default,
/// and in the kernel's order.
fn told(name: &str, data: &Fields<'_>, out: &mut AttrWriter<'_>) {
    match name {
        "counter" => {
            let number = |kind| data.get(kind).and_then(|it| it.u64_be().ok()).unwrap_or(0);
            out.u64_be(COUNTER_BYTES, number(COUNTER_BYTES));
            out.u64_be(COUNTER_PACKETS, number(COUNTER_PACKETS));
        }
        "meta" => {
            let key = |field: &Field<'_>| field.kind == META_KEY;
            for field in data.iter().filter(key) {
                plain(field, out);
            }
            for field in data.iter().filter(|field| !key(field)) {
                plain(field, out);
            }
        }
        "bitwise" => {
            for field in data.iter() {
                plain(field, out);
                if field.kind == BITWISE_LEN && data.get(BITWISE_OP).is_none() {
                    out.u32_be(BITWISE_OP, 0);
                }
            }
        }
        "nat" => nat(data, out),
        _ => match order(name) {
            Some(order) => ordered(order, data, out),
            None => {
                for field in data.iter() {
                    plain(field, out);
                }
            }
        },
    }
}

/// What an attribute says that was not given.
#[derive(Debug, Clone, Copy)]
enum Otherwise {
    /// It is not told.
    Nothing,
    /// It is not told, and neither is a 0.
    Zero,
    /// 0, of four bytes.
    Number,
    /// 0, of eight bytes.
    Long,
}

/// Attributes in the kernel's order (`nft_*_dump`).
fn order(name: &str) -> Option<&'static [(u16, Otherwise)]> {
    use Otherwise::{Long, Nothing, Number, Zero};
    Some(match name {
        "lookup" => &[(1, Nothing), (2, Nothing), (3, Nothing), (5, Number)],
        "dynset" => &[
            (4, Nothing),
            (5, Nothing),
            (3, Nothing),
            (1, Nothing),
            (6, Long),
            (9, Number),
        ],
        "ct" => &[(1, Nothing), (2, Nothing), (4, Nothing), (3, Nothing)],
        "fib" | "cmp" => &[(1, Nothing), (2, Nothing), (3, Nothing)],
        "payload" => &[(1, Nothing), (2, Nothing), (3, Nothing), (4, Nothing)],
        "byteorder" => &[
            (1, Nothing),
            (2, Nothing),
            (3, Nothing),
            (4, Nothing),
            (5, Nothing),
        ],
        "numgen" => &[(1, Nothing), (2, Nothing), (3, Nothing), (4, Number)],
        "hash" => &[
            (1, Nothing),
            (2, Nothing),
            (3, Nothing),
            (4, Nothing),
            (5, Nothing),
            (6, Zero),
            (7, Number),
        ],
        _ => return None,
    })
}

fn ordered(order: &[(u16, Otherwise)], data: &Fields<'_>, out: &mut AttrWriter<'_>) {
    for (kind, default) in order {
        match (data.get(*kind), default) {
            (Some(field), Otherwise::Zero) if field.u32_be() == Ok(0) => {}
            (Some(field), _) => plain(field, out),
            (None, Otherwise::Nothing | Otherwise::Zero) => {}
            (None, Otherwise::Number) => out.u32_be(*kind, 0),
            (None, Otherwise::Long) => out.u64_be(*kind, 0),
        }
    }
}

/// The highest of a range is told even where it is the lowest, and that there are ranges as flags.
fn nat(data: &Fields<'_>, out: &mut AttrWriter<'_>) {
    for kind in 1..NAT_ADDRESS {
        if let Some(field) = data.get(kind) {
            plain(field, out);
        }
    }
    let given = data.get(NAT_FLAGS).and_then(|field| field.u32_be().ok());
    let mut flags = given.unwrap_or(0);
    for (low, flag) in [(NAT_ADDRESS, MAP_ADDRESSES), (NAT_PORT, PORTS)] {
        let Some(lowest) = data.get(low) else {
            continue;
        };
        flags |= flag;
        out.bytes(low, lowest.payload);
        out.bytes(low + 1, data.get(low + 1).unwrap_or(lowest).payload);
    }
    if flags != 0 {
        out.u32_be(NAT_FLAGS, flags);
    }
}

/// Name and data of an expression that stands alone, as the kernel tells it.
pub(super) fn single(fields: &Fields<'_>) -> Result<Vec<u8>, Refused> {
    let name = fields.need(NAME)?.text()?;
    let data = fields.get(DATA).map(|data| data.fields()).transpose()?;
    let mut bytes = Vec::new();
    let mut one = AttrWriter::new(&mut bytes);
    one.str(NAME, name);
    nest(&mut one, DATA, |out| {
        told(name, &data.unwrap_or_default(), out);
    });
    Ok(bytes)
}

fn plain(field: Field<'_>, out: &mut AttrWriter<'_>) {
    if !field.nested {
        out.bytes(field.kind, field.payload);
        return;
    }
    let inner = field.fields().unwrap_or_default();
    nest(out, field.kind & !NESTED, |out| {
        for field in inner.iter() {
            plain(field, out);
        }
    });
}

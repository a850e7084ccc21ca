//! Listing objects in several datagrams (`nf_tables_dump_*`, `netlink_dump`).

use netlink_batch::message::{flags, kind};

use super::NfTables;
use super::ruleset::{Chain, Table};
use super::set::{Element, Set};
use super::uapi::op;
use super::write::{self, Head};
use crate::memory::answer::append;

/// Bytes of objects in a datagram, as far as a reader says that it takes more.
const ROOM: usize = 3776;

/// A listing on its way.
#[derive(Debug)]
pub(in crate::memory) struct Dump {
    seq: u32,
    family: u8,
    what: Listed,
    /// Objects that were told, or passed over.
    next: usize,
    /// The generation that the last message told of.
    told: Option<u32>,
}

/// What is listed.
#[derive(Debug)]
pub(super) enum Listed {
    Tables,
    Chains,
    Rules {
        table: Option<String>,
        chain: Option<String>,
    },
    Sets {
        table: Option<String>,
    },
    /// By handles.
    Elements {
        table: u64,
        set: u64,
        /// The table of hashes grows: one element is told twice and another one is not told.
        grows: bool,
    },
}

impl Dump {
    pub(super) fn new(seq: u32, family: u8, what: Listed) -> Self {
        Self {
            seq,
            family,
            what,
            next: 0,
            told: None,
        }
    }

    /// Lists of elements do not tell of commits in between (`nf_tables_dump_set`).
    fn is_silent(&self) -> bool {
        matches!(self.what, Listed::Elements { .. })
    }

    /// Marks the first message of the datagram where objects changed since the message before.
    fn check(&mut self, datagram: &mut [u8], generation: u32) {
        let told = self.told.replace(generation);
        if told.is_some_and(|told| told != generation)
            && let Some(byte) = datagram.get_mut(6)
        {
            *byte |= flags::DUMP_INTR.to_ne_bytes()[0];
        }
    }
}

impl NfTables {
    /// The next datagram; false where it is the last one.
    pub(in crate::memory) fn dump(&self, port: u32, dump: &mut Dump) -> (Vec<u8>, bool) {
        let mut datagram = Vec::new();
        self.fill(port, dump, &mut datagram);
        if !datagram.is_empty() {
            return (datagram, true);
        }
        if let Listed::Elements { table, set, .. } = dump.what {
            // Where no element is left, a message without any is in front of the end.
            let at = self.ruleset.tables.get(&table);
            if let Some(at) = at.and_then(|table| Some((&**table, &**table.sets.get(&set)?))) {
                let head = Head {
                    port,
                    seq: dump.seq,
                    kind: op::NEW_ELEMENT,
                    flags: flags::MULTI,
                    generation: self.ruleset.generation,
                };
                write::elements(&mut datagram, head, at, []);
            }
        }
        let seq = dump.seq;
        append(
            &mut datagram,
            port,
            seq,
            kind::DONE,
            flags::MULTI,
            &[0; 4],
            |_| {},
        );
        if dump.told.is_some() && !dump.is_silent() {
            dump.check(&mut datagram, self.ruleset.generation);
        }
        (datagram, false)
    }

    fn fill(&self, port: u32, dump: &mut Dump, datagram: &mut Vec<u8>) {
        let generation = self.ruleset.generation;
        let (kind, extra) = match dump.what {
            Listed::Tables => (op::NEW_TABLE, 0),
            Listed::Chains => (op::NEW_CHAIN, 0),
            Listed::Rules { .. } => (op::NEW_RULE, flags::APPEND),
            Listed::Sets { .. } => (op::NEW_SET, 0),
            Listed::Elements { .. } => (op::NEW_ELEMENT, 0),
        };
        let head = Head {
            port,
            seq: dump.seq,
            kind,
            flags: flags::MULTI | extra,
            generation,
        };
        let start = dump.next;
        let family = dump.family;
        let tables = self.ruleset.tables();
        let tables = tables.filter(|table| family == 0 || table.family == family);
        let mut out = Filled {
            datagram,
            skip: start,
            passed: 0,
        };
        match &dump.what {
            Listed::Tables => {
                let mut tables = tables;
                tables.all(|table| out.add(|it| write::table(it, head, table)));
            }
            Listed::Chains => {
                let mut all = tables.flat_map(|table| table.chains().map(move |it| (table, it)));
                all.all(|(table, chain)| out.add(|it| write::chain(it, head, table, chain)));
            }
            Listed::Rules { table, chain } => {
                // A chain counts within a table only, and one table is all.
                let most = if table.is_some() { 1 } else { usize::MAX };
                let chain = chain.as_ref().filter(|_| table.is_some());
                let mut all = tables
                    .filter(|it| table.as_ref().is_none_or(|name| **name == *it.name))
                    .take(most)
                    .flat_map(|table| table.chains().map(move |it| (table, it)))
                    .filter(|(_, it)| chain.is_none_or(|name| **name == *it.name));
                all.all(|at| rules(&mut out, head, at));
            }
            Listed::Sets { table } => {
                let mut all = tables
                    .filter(|it| table.as_ref().is_none_or(|name| **name == *it.name))
                    .flat_map(|table| table.sets().map(move |it| (table, it)));
                all.all(|(table, set)| out.add(|it| write::set(it, head, table, set)));
            }
            Listed::Elements { table, set, grows } => {
                let table = self.ruleset.tables.get(table);
                let at = table.and_then(|table| Some((&**table, &**table.sets.get(set)?)));
                if let Some(at) = at {
                    out.passed = elements(out.datagram, head, at, start, *grows);
                }
            }
        }
        dump.next = out.passed;
        if !datagram.is_empty() && !dump.is_silent() {
            dump.check(datagram, generation);
        }
    }
}

fn rules(out: &mut Filled<'_>, head: Head, at: (&Table, &Chain)) -> bool {
    let mut previous = 0;
    at.1.rules().all(|rule| {
        let before = std::mem::replace(&mut previous, rule.handle);
        out.add(|it| write::rule(it, head, at, rule, before))
    })
}

/// Adds one message with as many elements as it has room for. Returns how many were told in all.
fn elements(
    datagram: &mut Vec<u8>,
    head: Head,
    at: (&Table, &Set),
    start: usize,
    grows: bool,
) -> usize {
    let mut all: Vec<&Element> = at.1.elements().collect();
    let half = all.len() / 2;
    if grows && half > 0 {
        all[half] = all[half - 1];
    }
    let rest = all.get(start..).unwrap_or_default();
    let mut len = 0;
    let fits = rest.iter().take_while(|element| {
        len += element.told_len(at.1);
        len <= ROOM
    });
    let now = fits.count().max(1).min(rest.len());
    if now > 0 {
        write::elements(datagram, head, at, rest[..now].iter().copied());
    }
    start + now
}

struct Filled<'a> {
    datagram: &'a mut Vec<u8>,
    skip: usize,
    passed: usize,
}

impl Filled<'_> {
    /// Adds an object unless it was told before; false where there is no room for it.
    fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        if self.passed >= self.skip {
            let len = self.datagram.len();
            write(self.datagram);
            if len > 0 && self.datagram.len() > ROOM {
                self.datagram.truncate(len);
                return false;
            }
        }
        self.passed += 1;
        true
    }
}

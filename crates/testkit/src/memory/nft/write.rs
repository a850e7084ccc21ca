//! Objects as the kernel tells them (`nf_tables_fill_*_info`).

use netlink_batch::AttrWriter;

use super::ruleset::{Chain, Rule, Table};
use super::set::{Element, Set};
use super::uapi::{
    chain as chain_attr, element as element_attr, generation, op, rule as rule_attr,
    set as set_attr, table as table_attr,
};
use crate::memory::Identity;
use crate::memory::answer::append;

/// To whom and about what a message is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) port: u32,
    pub(super) seq: u32,
    pub(super) kind: u16,
    pub(super) flags: u16,
    /// The generation that it tells of.
    pub(super) generation: u32,
}

impl Head {
    fn append(self, datagram: &mut Vec<u8>, family: u8, fill: impl FnOnce(&mut AttrWriter<'_>)) {
        let [_, _, high, low] = self.generation.to_be_bytes();
        let fixed = [family, 0, high, low];
        let (kind, flags) = (self.kind, self.flags);
        append(datagram, self.port, self.seq, kind, flags, &fixed, fill);
    }
}

pub(super) fn table(datagram: &mut Vec<u8>, head: Head, table: &Table) {
    head.append(datagram, table.family, |attrs| {
        attrs.str(table_attr::NAME, &table.name);
        attrs.u32_be(table_attr::USE, table.uses);
        attrs.u64_be(table_attr::HANDLE, table.handle);
        if head.kind != op::DEL_TABLE {
            attrs.u32_be(table_attr::FLAGS, 0);
        }
    });
}

pub(super) fn chain(datagram: &mut Vec<u8>, head: Head, table: &Table, chain: &Chain) {
    head.append(datagram, table.family, |attrs| {
        attrs.str(chain_attr::TABLE, &table.name);
        attrs.str(chain_attr::NAME, &chain.name);
        attrs.u64_be(chain_attr::HANDLE, chain.handle);
        if head.kind == op::DEL_CHAIN {
            return;
        }
        if let Some(base) = &chain.base {
            list(attrs, chain_attr::HOOK, |place| {
                place.u32_be(chain_attr::HOOK_NUMBER, base.hook);
                place.u32_be(chain_attr::HOOK_PRIORITY, base.priority.cast_unsigned());
            });
            attrs.u32_be(chain_attr::POLICY, u32::from(base.accept));
            attrs.str(chain_attr::TYPE, &base.kind);
            attrs.u32_be(chain_attr::FLAGS, chain_attr::FLAG_BASE);
        }
        attrs.u32_be(chain_attr::USE, chain.uses);
    });
}

/// `previous` is the rule before it, 0 where none is told.
pub(super) fn rule(
    datagram: &mut Vec<u8>,
    head: Head,
    (table, chain): (&Table, &Chain),
    rule: &Rule,
    previous: u64,
) {
    head.append(datagram, table.family, |attrs| {
        attrs.str(rule_attr::TABLE, &table.name);
        attrs.str(rule_attr::CHAIN, &chain.name);
        attrs.u64_be(rule_attr::HANDLE, rule.handle);
        if head.kind != op::DEL_RULE && previous != 0 {
            attrs.u64_be(rule_attr::POSITION, previous);
        }
        rule.write(attrs);
    });
}

impl Rule {
    /// What it does and what its writer keeps with it.
    pub(in crate::memory) fn write(&self, attrs: &mut AttrWriter<'_>) {
        attrs.bytes(rule_attr::EXPRESSIONS, &self.expressions);
        if let Some(userdata) = &self.userdata {
            attrs.bytes(rule_attr::USERDATA, userdata);
        }
    }
}

pub(super) fn set(datagram: &mut Vec<u8>, head: Head, table: &Table, set: &Set) {
    head.append(datagram, table.family, |attrs| {
        attrs.str(set_attr::TABLE, &table.name);
        attrs.str(set_attr::NAME, &set.name);
        attrs.u64_be(set_attr::HANDLE, set.handle);
        if head.kind != op::DEL_SET {
            content(attrs, set);
        }
    });
}

fn content(attrs: &mut AttrWriter<'_>, set: &Set) {
    if set.flags != 0 {
        attrs.u32_be(set_attr::FLAGS, set.flags);
    }
    attrs.u32_be(set_attr::KEY_TYPE, set.key_type);
    attrs.u32_be(set_attr::KEY_LEN, set.key_len);
    if let Some((kind, len)) = set.data {
        attrs.u32_be(set_attr::DATA_TYPE, kind);
        attrs.u32_be(set_attr::DATA_LEN, len);
    }
    if set.timeout != 0 {
        attrs.u64_be(set_attr::TIMEOUT, set.timeout);
    }
    if set.gc_interval != 0 {
        attrs.u32_be(set_attr::GC_INTERVAL, set.gc_interval);
    }
    if let Some(userdata) = &set.userdata {
        attrs.bytes(set_attr::USERDATA, userdata);
    }
    list(attrs, set_attr::DESCRIPTION, |description| {
        if let Some(size) = set.size {
            description.u32_be(set_attr::DESCRIPTION_SIZE, size);
        }
        if !set.fields.is_empty() {
            list(description, set_attr::DESCRIPTION_CONCAT, |concat| {
                for len in &set.fields {
                    list(concat, set_attr::LIST_ELEM, |field| {
                        field.u32_be(set_attr::FIELD_LEN, *len);
                    });
                }
            });
        }
    });
    attrs.str(set_attr::BACKEND, set.backend());
    attrs.u32_be(set_attr::COUNT, set.told_count());
    if let Some(expression) = &set.expression {
        attrs.bytes(set_attr::EXPRESSION, expression);
    }
}

pub(super) fn elements<'e>(
    datagram: &mut Vec<u8>,
    head: Head,
    (table, set): (&Table, &Set),
    elements: impl IntoIterator<Item = &'e Element>,
) {
    head.append(datagram, table.family, |attrs| {
        attrs.str(element_attr::TABLE, &table.name);
        attrs.str(element_attr::SET, &set.name);
        list(attrs, element_attr::ELEMENTS, |all| {
            for element in elements {
                list(all, set_attr::LIST_ELEM, |one| element.write(one, set));
            }
        });
    });
}

impl Element {
    fn write(&self, one: &mut AttrWriter<'_>, set: &Set) {
        let mut value = |kind, bytes: &[u8]| {
            list(one, kind, |value| value.bytes(element_attr::VALUE, bytes));
        };
        value(element_attr::KEY, &self.key);
        if let Some(end) = &self.end {
            value(element_attr::KEY_END, end);
        }
        if let Some(data) = &self.data {
            value(element_attr::DATA, data);
        }
        if let Some(expression) = &set.expression {
            one.bytes(element_attr::EXPRESSION, expression);
        }
        if let Some(flags) = self.flags() {
            one.u32_be(element_attr::FLAGS, flags);
        }
        if let Some(userdata) = &self.userdata {
            one.bytes(element_attr::USERDATA, userdata);
        }
    }
}

pub(super) fn generation(datagram: &mut Vec<u8>, head: Head, who: &Identity) {
    head.append(datagram, 0, |attrs| {
        attrs.u32_be(generation::ID, head.generation);
        attrs.u32_be(generation::PROCESS_ID, who.pid);
        attrs.str(generation::PROCESS_NAME, &who.name);
    });
}

/// A nest without the flag that says so, as `nf_tables` writes them.
pub(super) fn list(attrs: &mut AttrWriter<'_>, kind: u16, fill: impl FnOnce(&mut AttrWriter<'_>)) {
    let mut content = Vec::new();
    fill(&mut AttrWriter::new(&mut content));
    attrs.bytes(kind, &content);
}

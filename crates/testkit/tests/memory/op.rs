//! The messages of a transaction.

use netlink_batch::Batch;
use netlink_batch::message::flags::{ACK, APPEND, CREATE, ECHO, EXCL, NONREC, REPLACE};
use nfnetlink::Family;
use nfnetlink::xtables::{Rule, Target};

/// `NFNL_SUBSYS_NFTABLES` in the high byte of a message type.
pub(crate) const SUBSYSTEM: u16 = 10 << 8;
/// Names of chains; a rule may lead to chains behind its own only, so that nothing loops. The
/// first one is a base chain.
pub(crate) const CHAINS: [&str; 5] = ["OUTPUT", "KUBE-A", "KUBE-B", "KUBE-C", "OTHER"];
pub(crate) const TABLES: [&str; 2] = ["nat", "filter"];
/// Rules that stand anywhere.
pub(crate) const RULES: [&str; 9] = [
    "",
    r#"-m comment --comment "ns/svc:p cluster IP" -m tcp -p tcp -d 10.1.0.41 --dport 80"#,
    "-d 10.1.0.0/22 ! -p udp",
    "! -s 10.244.0.0/16 -j MARK --or-mark 0x4000",
    "-m mark --mark 0x8000/0x8000 -j DROP",
    "-m conntrack --ctstate INVALID -j DROP",
    "-m statistic --mode random --probability 0.3333333333 -j RETURN",
    "-i eth0 ! -o lo+ -j ACCEPT",
    "-m addrtype --dst-type LOCAL -p tcp -m tcp --dport 30000:32767 -j RETURN",
];

/// Flags that a message may have besides what it needs.
pub(crate) const MORE: [u16; 4] = [0, ACK, ECHO, ECHO | ACK];
pub(crate) const MAKES: [u16; 4] = [CREATE, CREATE | EXCL, EXCL, 0];
pub(crate) const DELETES: [u16; 2] = [0, NONREC];

/// One message of a transaction. Tables and chains by number, handles as the kernel gives them.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Table {
        table: usize,
        flags: u16,
    },
    NoTable {
        table: Option<usize>,
        flags: u16,
    },
    Base {
        table: usize,
        priority: i32,
        policy: Option<u32>,
        flags: u16,
    },
    Chain {
        table: usize,
        chain: usize,
        flags: u16,
    },
    Policy {
        table: usize,
        chain: usize,
        policy: u32,
    },
    NoChain {
        table: usize,
        chain: usize,
        flags: u16,
    },
    NoChainByHandle {
        table: usize,
        handle: u64,
    },
    Rule {
        table: usize,
        chain: usize,
        rule: usize,
        to: Option<usize>,
        place: Place,
        flags: u16,
    },
    Flush {
        table: usize,
        chain: Option<usize>,
    },
    NoRule {
        table: usize,
        chain: usize,
        handle: u64,
    },
    /// A message that belongs to no transaction.
    Odd {
        kind: u16,
    },
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    Head,
    End,
    Before(u64),
    After(u64),
    Replace(u64),
    /// Neither created nor replaced.
    Nowhere,
}

impl Op {
    /// Appends the message.
    pub(crate) fn add(&self, batch: &mut Batch<()>, family: Family) {
        let header = [family.number(), 0, 0, 0];
        match self {
            Op::Table { table, flags } => {
                batch.message(SUBSYSTEM, *flags, &header, |attrs| {
                    attrs.str(1, TABLES[*table]);
                });
            }
            Op::NoTable { table, flags } => {
                batch.message(SUBSYSTEM | 2, *flags, &header, |attrs| {
                    if let Some(table) = table {
                        attrs.str(1, TABLES[*table]);
                    }
                });
            }
            Op::Base {
                table,
                priority,
                policy,
                flags,
            } => {
                batch.message(SUBSYSTEM | 3, *flags, &header, |attrs| {
                    attrs.str(1, TABLES[*table]);
                    attrs.str(3, CHAINS[0]);
                    attrs.nest(4, |hook| {
                        hook.u32_be(1, 3);
                        hook.u32_be(2, priority.cast_unsigned());
                    });
                    if let Some(policy) = policy {
                        attrs.u32_be(5, *policy);
                    }
                    attrs.str(7, TABLES[*table]);
                });
            }
            Op::Chain {
                table,
                chain,
                flags,
            } => {
                batch.message(SUBSYSTEM | 3, *flags, &header, |attrs| {
                    attrs.str(1, TABLES[*table]);
                    attrs.str(3, CHAINS[*chain]);
                });
            }
            Op::Policy {
                table,
                chain,
                policy,
            } => {
                batch.message(SUBSYSTEM | 3, 0, &header, |attrs| {
                    attrs.str(1, TABLES[*table]);
                    attrs.str(3, CHAINS[*chain]);
                    attrs.u32_be(5, *policy);
                });
            }
            Op::NoChain {
                table,
                chain,
                flags,
            } => {
                batch.message(SUBSYSTEM | 5, *flags, &header, |attrs| {
                    attrs.str(1, TABLES[*table]);
                    attrs.str(3, CHAINS[*chain]);
                });
            }
            Op::NoChainByHandle { table, handle } => {
                batch.message(SUBSYSTEM | 5, 0, &header, |attrs| {
                    attrs.str(1, TABLES[*table]);
                    attrs.u64_be(2, *handle);
                });
            }
            Op::Rule { .. } => self.add_rule(batch, family),
            Op::Flush { table, chain } => batch.message(SUBSYSTEM | 8, 0, &header, |attrs| {
                attrs.str(1, TABLES[*table]);
                if let Some(chain) = chain {
                    attrs.str(2, CHAINS[*chain]);
                }
            }),
            Op::NoRule {
                table,
                chain,
                handle,
            } => {
                batch.message(SUBSYSTEM | 8, 0, &header, |attrs| {
                    attrs.str(1, TABLES[*table]);
                    attrs.str(2, CHAINS[*chain]);
                    attrs.u64_be(3, *handle);
                });
            }
            Op::Odd { kind } => batch.message(*kind, 0, &header, |_| {}),
        }
    }

    fn add_rule(&self, batch: &mut Batch<()>, family: Family) {
        let header = [family.number(), 0, 0, 0];
        let Op::Rule {
            table,
            chain,
            rule,
            to,
            place,
            flags,
        } = self
        else {
            return;
        };

        let (of_place, handle) = match place {
            Place::Head => (CREATE, None),
            Place::End => (CREATE | APPEND, None),
            Place::Before(handle) => (CREATE, Some((6, handle))),
            Place::After(handle) => (CREATE | APPEND, Some((6, handle))),
            Place::Replace(handle) => (CREATE | REPLACE, Some((3, handle))),
            Place::Nowhere => (0, None),
        };
        batch.message(SUBSYSTEM | 6, flags | of_place, &header, |attrs| {
            attrs.str(1, TABLES[*table]);
            attrs.str(2, CHAINS[*chain]);
            if let Some((kind, handle)) = handle {
                attrs.u64_be(kind, *handle);
            }
            let text = match family {
                Family::Ipv4 => RULES[*rule],
                Family::Ipv6 => "-p tcp -m tcp --dport 80 -d fd00:1::1",
            };
            let mut rule = Rule::parse(family, text).unwrap();
            if let Some(to) = to {
                rule.target = Target::Jump(CHAINS[*to].into());
            }
            rule.encode(attrs);
        });
    }
}

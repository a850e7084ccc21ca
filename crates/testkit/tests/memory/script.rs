//! Messages to be sent, and what was answered.

use std::time::Duration;

use netlink_batch::{Batch, Errno, Socket};
use nfnetlink::Family;
use nfnetlink::nftables::{self, ChainId, GROUP, generation};

use crate::op::{CHAINS, Op, SUBSYSTEM, TABLES};
use crate::worlds::{is_exact, open, told};

/// The generation that a transaction is pinned to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pin {
    None,
    Now,
    Before,
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Commit {
        other: bool,
        pin: Pin,
        begins: bool,
        ends: bool,
        ops: Vec<Op>,
    },
    Tables,
    Chains,
    Rules {
        table: Option<usize>,
        chain: Option<usize>,
    },
    Exists {
        table: usize,
        chain: usize,
    },
    Listen(bool),
    Hear,
}

/// Runs a script and tells what came of it.
pub(crate) struct Runner {
    ours: Socket,
    other: Socket,
    listener: Socket,
    batch: Batch<()>,
    pub(crate) said: Vec<String>,
}

impl Runner {
    pub(crate) fn new() -> Self {
        Self {
            ours: open(),
            other: open(),
            listener: open(),
            batch: Batch::new(),
            said: Vec::new(),
        }
    }

    pub(crate) fn run(&mut self, family: Family, step: &Step) {
        let header = [family.number(), 0, 0, 0];
        match step {
            Step::Commit {
                other,
                pin,
                begins,
                ends,
                ops,
            } => {
                self.batch.clear();
                let now = generation(&mut self.ours).unwrap();
                self.say(format!("generation {now}"));
                let pin = match pin {
                    Pin::None => 0,
                    Pin::Now => now,
                    Pin::Before => now.wrapping_sub(1),
                };
                if *begins {
                    self.batch
                        .message(0x10, 0, &[0, 0, 0, 10], |attrs| attrs.u32_be(1, pin));
                }
                for op in ops {
                    op.add(&mut self.batch, family);
                }
                if *ends {
                    self.batch.message(0x11, 0, &[0, 0, 0, 10], |_| {});
                }
                self.send(*other);
            }
            Step::Tables => self.dump(SUBSYSTEM | 1, &header, None, None),
            Step::Chains => self.dump(SUBSYSTEM | 4, &header, None, None),
            Step::Rules { table, chain } => {
                self.dump(SUBSYSTEM | 7, &header, *table, *chain);
            }
            Step::Exists { table, chain } => {
                let chain = ChainId {
                    family,
                    table: TABLES[*table],
                    name: CHAINS[*chain],
                };
                let is_base = |chain: nftables::Chain<'_>| chain.base.is_some();
                let found = nftables::find_chain(&mut self.ours, chain, is_base);
                self.say(format!("{found:?}"));
            }
            Step::Listen(true) => self.listener.join(GROUP).unwrap(),
            Step::Listen(false) => self.listener.leave(GROUP).unwrap(),
            Step::Hear => loop {
                let said = &mut self.said;
                let heard = self.listener.receive(Some(Duration::ZERO), |message| {
                    said.push(format!("heard {}", told(&message)));
                });
                if heard.unwrap() == 0 {
                    break;
                }
            },
        }
    }

    fn send(&mut self, other: bool) {
        let socket = if other {
            &mut self.other
        } else {
            &mut self.ours
        };
        let said = &mut self.said;
        let answers = socket.send(&self.batch, |_, message| said.push(told(&message)));
        let answers = answers.unwrap();
        assert!(!answers.lost);
        self.say(format!("acknowledged {}", answers.acknowledged));
        for refusal in answers.refusals {
            let (index, errno) = (refusal.index, reason(refusal.errno));
            let offset = refusal.offset.filter(|_| is_exact());
            self.say(format!(
                "refused {index:?} {errno} {offset:?} {:?}",
                refusal.text
            ));
        }
    }

    fn dump(&mut self, kind: u16, header: &[u8], table: Option<usize>, chain: Option<usize>) {
        let said = &mut self.said;
        let result = self.ours.dump(
            kind,
            header,
            |attrs| {
                if let Some(table) = table {
                    attrs.str(1, TABLES[table]);
                }
                if let Some(chain) = chain {
                    attrs.str(2, CHAINS[chain]);
                }
            },
            |message| {
                said.push(told(&message));
                Ok(())
            },
        );
        self.say(format!("{result:?}"));
    }

    fn say(&mut self, what: String) {
        self.said.push(what);
    }
}

/// Why something was refused. What does not fit kernels call by other numbers.
fn reason(errno: Errno) -> String {
    let unfit = [Errno::EXIST, Errno::OPNOTSUPP, Errno::INVAL].contains(&errno);
    if unfit && !is_exact() {
        "unfit".to_owned()
    } else {
        errno.to_string()
    }
}

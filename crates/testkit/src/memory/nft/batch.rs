//! Transactions: all of a batch or nothing (`nfnetlink_rcv_batch`).

use netlink_batch::Errno;
use netlink_batch::message::flags;

use super::NfTables;
use super::commit::Change;
use super::ruleset::Ruleset;
use super::uapi::{BATCH_BEGIN, BATCH_END, BATCH_GENERATION, SUBSYSTEM, op};
use crate::memory::answer::{Delivery, Refused, ack};
use crate::memory::fields::{self, Request};
use crate::memory::ipset::Sets;
use crate::memory::{Fate, Sender};

/// Types below are netlink's own.
const FIRST_KIND: u16 = 0x10;

/// True for a datagram that begins a batch.
pub(in crate::memory) fn is_batch(datagram: &[u8]) -> bool {
    let first = fields::messages(datagram).next();
    first.is_some_and(|message| message.kind == BATCH_BEGIN)
}

/// How a batch stands.
#[derive(Debug, Default)]
struct Status {
    failed: bool,
    ended: bool,
    verdicts: Vec<Vec<u8>>,
}

impl NfTables {
    pub(in crate::memory) fn batch(
        &mut self,
        sender: &Sender,
        datagram: &[u8],
        fate: &Fate,
        sets: &Sets,
        deliveries: &mut Vec<Delivery>,
    ) {
        let mut messages = fields::messages(datagram).enumerate();
        let Some((_, begin)) = messages.next() else {
            return;
        };
        let mut answer = |datagram| deliveries.push(Delivery::answer(sender.port, datagram));
        let mut refuse = |request: &Request<'_>, refused| {
            answer(ack(sender.port, &request.header, Some(refused)));
        };
        match self.begin(&begin, fate) {
            Ok(true) => {}
            Ok(false) => return,
            Err(refused) => return refuse(&begin, refused),
        }
        let before = self.ruleset.clone();
        let mut changes = Vec::new();
        let mut first = None;
        let mut status = Status::default();
        for (number, request) in messages {
            first.get_or_insert(request);
            if request.kind == BATCH_BEGIN {
                status.verdicts.clear();
                status.failed = true;
                break;
            }
            if request.kind == BATCH_END {
                status.ended = true;
                break;
            }
            let mut result = self.change(&request, sets, &mut changes);
            if let Fate::Refused { errno, message } = fate
                && *message == number
            {
                result = Err(Refused::errno(*errno));
            }
            if let Err(refused) = result
                && refused.errno == Errno::NOMEM
            {
                // The kernel forgets all else and blames the beginning.
                status.verdicts = vec![ack(sender.port, &begin.header, Some(refused))];
                status.failed = true;
                break;
            }
            if result.is_err() || request.flags & flags::ACK != 0 {
                let verdict = ack(sender.port, &request.header, result.err());
                status.verdicts.push(verdict);
            }
            status.failed |= result.is_err();
        }
        match first {
            Some(first) if status.ended && !status.failed => {
                self.commit(sender, &first, changes, deliveries);
            }
            _ => self.abort(before),
        }
        let verdicts = status.verdicts.into_iter();
        deliveries.extend(verdicts.map(|verdict| Delivery::answer(sender.port, verdict)));
    }

    /// False where the batch is for another subsystem, which are not there.
    fn begin(&self, begin: &Request<'_>, fate: &Fate) -> Result<bool, Refused> {
        if let Fate::Refused { errno, message: 0 } = fate {
            return Err(Refused::errno(*errno));
        }
        let subsystem = begin.payload.get(2..4);
        if begin.flags & flags::REQUEST == 0 || begin.payload.len() < 4 {
            return Ok(false);
        }
        if subsystem != Some(&(SUBSYSTEM >> 8).to_be_bytes()) {
            return Err(Refused::errno(Errno::OPNOTSUPP));
        }
        let pinned = begin.fields()?.get(BATCH_GENERATION);
        let pinned = pinned.map_or(Ok(0), |pinned| pinned.u32_be())?;
        if pinned != 0 && pinned != self.ruleset.generation {
            return Err(Refused::errno(Errno::RESTART));
        }
        Ok(true)
    }

    fn change(
        &mut self,
        request: &Request<'_>,
        sets: &Sets,
        changes: &mut Vec<Change>,
    ) -> Result<(), Refused> {
        let bad = request.payload.len() < 4 || request.flags & flags::REQUEST == 0;
        if bad || request.kind < FIRST_KIND || request.kind >> 8 != SUBSYSTEM >> 8 {
            return Err(Refused::errno(Errno::INVAL));
        }
        let fields = request.fields()?;
        match request.kind {
            op::NEW_TABLE => self.new_table(request, &fields, changes),
            op::DEL_TABLE => self.delete_table(request, &fields, changes),
            op::NEW_CHAIN => self.new_chain(request, &fields, changes),
            op::DEL_CHAIN => self.delete_chain(request, &fields, changes),
            op::NEW_RULE => self.new_rule(request, &fields, sets, changes),
            op::DEL_RULE => self.delete_rules(request, &fields, changes),
            op::NEW_SET => self.new_set(request, &fields, changes),
            op::DEL_SET => self.delete_set(request, &fields, changes),
            op::NEW_ELEMENT => self.new_elements(request, &fields, changes),
            op::DEL_ELEMENT => self.delete_elements(request, &fields, changes),
            op::GET_TABLE
            | op::GET_CHAIN
            | op::GET_RULE
            | op::GET_SET
            | op::GET_ELEMENT
            | op::GET_GEN => Err(Refused::errno(Errno::INVAL)),
            // What is not modelled, and what no kernel has.
            kind if kind <= op::LAST => Err(Refused::errno(Errno::OPNOTSUPP)),
            _ => Err(Refused::errno(Errno::INVAL)),
        }
    }

    fn abort(&mut self, before: Ruleset) {
        self.ruleset = before;
        let tables = &self.ruleset.tables;
        self.last_handles
            .retain(|table, _| tables.contains_key(table));
    }
}

//! Numbers of IP sets, which rules hold in place of names.
//!
//! A number stands for a set as long as a rule uses it and not longer, so nothing is remembered
//! from one look or transaction to the next. Rules that match on no set cost nothing here.

use netlink_batch::Socket;
use nfnetlink::ipset::{self, SetIndex, SetNames, UnknownSet};
use nfnetlink::xtables::{EncodeOptions, Rule};
use viprule_dataplane::netfilter::Piece;

use super::NftWriter;
use super::stage::Staged;
use crate::{ApplyError, Refusal, Tag, WriteError, socket};

/// Names of the sets in rules that are being read.
#[derive(Debug)]
pub(super) struct SetReader {
    names: SetNames,
    /// A socket of its own, as the other one is in the middle of a dump.
    socket: Socket,
    failed: Option<WriteError>,
}

impl SetReader {
    pub(super) fn open() -> Result<Self, WriteError> {
        Ok(Self {
            names: SetNames::new(),
            socket: socket::netfilter()?,
            failed: None,
        })
    }

    /// Begins a new look at the kernel.
    pub(super) fn begin(&mut self) {
        self.names.clear();
    }

    /// The name of a set; `None` where there is no such set, or where it can't be told, which
    /// [`SetReader::check`] says then.
    pub(super) fn name(&mut self, index: SetIndex) -> Option<String> {
        match self.names.ask_name(&mut self.socket, index) {
            Ok(name) => name.map(str::to_owned),
            Err(error) => {
                self.failed.get_or_insert_with(|| failed(error));
                None
            }
        }
    }

    /// Fails if a name could not be asked for since the last check.
    pub(super) fn check(&mut self) -> Result<(), WriteError> {
        self.failed.take().map_or(Ok(()), Err)
    }
}

impl Staged {
    /// How rules are encoded: with the sets that [`NftWriter::learn_sets`] found.
    pub(super) fn encoding(&self) -> EncodeOptions<'_> {
        EncodeOptions::default().with_sets(&self.sets)
    }
}

impl NftWriter {
    /// Finds the numbers of the sets that a rule matches on.
    pub(super) fn learn_sets(&mut self, tag: Tag, rule: &Rule) -> Result<(), ApplyError<Piece>> {
        for name in rule.sets() {
            let found = self.staged.sets.ask_index(&mut self.committer.socket, name);
            if found.map_err(failed)?.is_none() {
                let name = name.to_owned();
                return Err(ApplyError::Refused {
                    refusals: vec![Refusal {
                        tag: Some(tag),
                        reason: UnknownSet { name }.to_string(),
                    }],
                    partly: self.committer.is_partly_sent(),
                });
            }
        }
        Ok(())
    }

    /// Makes sure that the rules just written match on the sets that were meant: a set may have
    /// been destroyed, and another one made with its number, before the rules were there to hold
    /// it.
    pub(super) fn check_sets(&mut self) -> Result<(), ApplyError<Piece>> {
        for (name, index) in self.staged.sets.iter() {
            if ipset::ask_index(&mut self.committer.socket, name)
                .ok()
                .flatten()
                != Some(index)
            {
                return Err(ApplyError::Unknown(format!(
                    "IP set {name} was destroyed while rules that match on it were written"
                )));
            }
        }
        Ok(())
    }
}

fn failed(error: ipset::Error) -> WriteError {
    let operation = "asking for the number of an IP set".to_owned();
    match error {
        ipset::Error::NotSupported => WriteError::Missing {
            operation,
            part: "IP sets (CONFIG_IP_SET)".to_owned(),
        },
        error => WriteError::failed(operation, error),
    }
}

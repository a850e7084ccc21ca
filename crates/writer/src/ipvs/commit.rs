//! Sends what is staged, step by step; [`super`] says why in this order.

use std::mem::take;

use viprule_dataplane::ipvs::{Key, Piece};
use viprule_dataplane::{Scope, netfilter};

use super::IpvsWriter;
use super::outcome::Outcome;
use super::stage::{Chains, Gone, Staged, gone};
use crate::clock;
use crate::{ApplyError, Tag, WriteError, Writer as _, Written};

impl IpvsWriter {
    /// Sends what is staged of steps 1 to 3. Removals wait, and nobody stages one of what somebody
    /// else wants in the same transaction but before that is sent.
    pub(super) fn send_part(&mut self) -> Result<(), ApplyError<Piece>> {
        self.staged.keep_what_is_wanted();
        let (mut staged, mut outcome) = (take(&mut self.staged), take(&mut self.outcome));
        self.prepare(&mut staged, &mut outcome)?;
        (self.staged, self.outcome) = (staged, outcome);
        Ok(())
    }

    pub(super) fn send(&mut self) -> Result<Written, ApplyError<Piece>> {
        let (mut staged, mut outcome) = (take(&mut self.staged), take(&mut self.outcome));
        staged.keep_what_is_wanted();
        self.at_once |= staged.gone.link.is_some();
        let (at_once, retired) = (self.at_once, &self.retired);
        staged
            .gone
            .leave_out_what_goes_along(|server| !at_once && retired.may_wait(server));
        self.prepare(&mut staged, &mut outcome)?;
        // Whatever comes next lets packets meet what comes before: all of it, or what was there.
        if outcome.is_clean() {
            self.write_addresses_and_chains(&staged, &mut outcome)?;
        }
        if outcome.is_clean() {
            self.remove(staged.gone, &mut outcome)?;
        }
        outcome.finish()
    }

    /// Steps 1 to 3.
    fn prepare(
        &mut self,
        staged: &mut Staged,
        outcome: &mut Outcome,
    ) -> Result<(), ApplyError<Piece>> {
        self.retired.wanted(staged);
        if let Some(tag) = staged.link.take()
            && let Err(reason) = self.addresses.ensure_link()
        {
            outcome.refuse(tag, || reason);
        }
        self.sets.create(&staged.sets, outcome)?;
        staged.sets.clear();
        outcome.spare(&mut staged.entries);
        self.sets.add(&staged.entries, outcome)?;
        staged.entries.clear();
        outcome.spare(&mut staged.servers);
        self.servers.write(&staged.servers, outcome)?;
        staged.servers.clear();
        outcome.spare(&mut staged.destinations);
        self.servers
            .write_destinations(&mut staged.destinations, outcome)?;
        staged.destinations.clear();
        Ok(())
    }

    /// Steps 4 and 5. Chains that take nobody's place come first: the first packet to an address
    /// finds them.
    fn write_addresses_and_chains(
        &mut self,
        staged: &Staged,
        outcome: &mut Outcome,
    ) -> Result<(), ApplyError<Piece>> {
        let is_new = staged.netfilter.iter().all(|(_, chains)| chains.is_new());
        if is_new {
            self.write_netfilter(&staged.netfilter, outcome)?;
        }
        if outcome.is_clean() {
            self.addresses.add(&staged.addresses, outcome)?;
        }
        if !is_new && outcome.is_clean() {
            self.write_netfilter(&staged.netfilter, outcome)?;
        }
        Ok(())
    }

    fn write_netfilter(
        &mut self,
        staged: &[(Tag, Chains)],
        outcome: &mut Outcome,
    ) -> Result<(), ApplyError<Piece>> {
        for (tag, chains) in staged {
            chains
                .with(|diff| self.netfilter.stage(*tag, diff))
                .map_err(in_netfilter)?;
        }
        match self.netfilter.commit() {
            Ok(written) => {
                outcome.add(written);
                Ok(())
            }
            Err(ApplyError::Refused { refusals, .. })
                if refusals.iter().all(|it| it.tag.is_some()) =>
            {
                for refusal in refusals {
                    if let Some(tag) = refusal.tag {
                        outcome.refuse(tag, || refusal.reason);
                    }
                }
                Ok(())
            }
            Err(error) => Err(in_netfilter(error)),
        }
    }

    fn remove(&mut self, mut gone: Gone, outcome: &mut Outcome) -> Result<(), ApplyError<Piece>> {
        if let Some(tag) = gone.link
            && let Err(reason) = self.addresses.remove_link()
        {
            outcome.refuse(tag, || reason);
        }
        outcome.spare(&mut gone.destinations);
        self.servers.release(&gone.destinations, outcome)?;
        if !self.at_once {
            let drain = &self.servers.drain;
            self.retired
                .hold_back(&mut gone, |server| drain.has_server(server));
        }
        outcome.spare(&mut gone.addresses);
        self.addresses.delete(&gone.addresses, outcome)?;
        outcome.spare(&mut gone.servers);
        self.servers.delete(&gone.servers, outcome)?;
        outcome.spare(&mut gone.entries);
        self.sets.delete(&gone.entries, outcome)?;
        self.sets.destroy(&gone.sets, outcome)?;
        Ok(())
    }

    /// Looks at destinations that drain.
    pub(super) fn tend_drains(&mut self) -> Result<(), WriteError> {
        let due = self.servers.drain.due(clock::now());
        if due.is_empty() {
            return Ok(());
        }
        let mut outcome = Outcome::default();
        settled(self.servers.remove_idle(&due, |_| None, &mut outcome)).map(drop)
    }

    /// Removes virtual servers whose last connection has ended, and what was there for them.
    pub(super) fn end_retired(&mut self) -> Result<(), WriteError> {
        const NOBODY: Tag = Tag(0);
        let drain = &self.servers.drain;
        let over = self.retired.over(|server| drain.has_server(server));
        let mut outcome = Outcome::default();
        let servers: Vec<_> = over.iter().map(|it| gone(NOBODY, *it)).collect();
        let deleted = settled(self.servers.delete(&servers, &mut outcome))?;
        if deleted && outcome.is_clean() {
            self.retired.end(&over);
        }
        let (mut addresses, mut entries) = (Vec::new(), Vec::new());
        let free = self.retired.free();
        for key in &free {
            match *key {
                Key::Address(address) => addresses.push(gone(NOBODY, address)),
                Key::Entry { set, entry } => entries.push(gone(NOBODY, (set, entry))),
                _ => {}
            }
        }
        let are_gone = settled(self.addresses.delete(&addresses, &mut outcome))?
            && settled(self.sets.delete(&entries, &mut outcome))?;
        if are_gone && outcome.is_clean() {
            self.retired.let_go(&free);
        }
        if let Some(reason) = outcome.reason(NOBODY) {
            tracing::warn!(reason, "what drained can't be removed");
        }
        Ok(())
    }
}

/// What the next look finds out is no error here.
fn settled(result: Result<(), ApplyError<Piece>>) -> Result<bool, WriteError> {
    match result {
        Ok(()) => Ok(true),
        Err(ApplyError::Failed(error)) => Err(error),
        Err(_) => Ok(false),
    }
}

/// An error of the netfilter writer. Nobody has noted what was written before it, which does no
/// harm when it is written again.
fn in_netfilter(error: ApplyError<netfilter::Piece>) -> ApplyError<Piece> {
    match error {
        ApplyError::Foreign(scope) => ApplyError::Foreign(netfilter(scope)),
        ApplyError::Refused { refusals, .. } => ApplyError::Refused {
            refusals,
            partly: true,
        },
        ApplyError::Unknown(reason) => ApplyError::Unknown(reason),
        ApplyError::Failed(error) => ApplyError::Failed(error),
    }
}

/// The same pieces as pieces of the whole.
pub(super) fn netfilter(scope: Scope<netfilter::Piece>) -> Scope<Piece> {
    match scope {
        Scope::Everything => Scope::Everything,
        Scope::Pieces(pieces) => Scope::Pieces(pieces.into_iter().map(Piece::Netfilter).collect()),
    }
}

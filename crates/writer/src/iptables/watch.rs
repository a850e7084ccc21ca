//! Notices what others do to the rule set.
//!
//! A listener makes every commit in the namespace dearer, so ours leave the group first and join
//! it again afterwards; the generation tells whether somebody slipped in between.

use std::collections::BTreeSet;
use std::time::Duration;

use netlink_batch::{Error, Socket, socket::NETFILTER};
use nfnetlink::nftables::{self, Event, GROUP};
use viprule_dataplane::Scope;
use viprule_dataplane::iptables::{BaseChain, Kind, Part, Table};
use viprule_dataplane::ownership::Chain;

use crate::{ForeignChanges, WriteError};

/// How many programs a report names.
const NAMED: usize = 4;

#[derive(Debug)]
pub(super) struct Watch {
    events: Socket,
    /// The generation up to which we know what others did.
    generation: u32,
    /// What they touched of ours up to there and was not read since.
    touched: Scope<Part>,
    by: Vec<String>,
}

impl Watch {
    pub(super) fn start(socket: &mut Socket) -> Result<Self, WriteError> {
        let events = Socket::open(NETFILTER)
            .map_err(|error| WriteError::netlink("opening a netlink socket", &error))?;
        events.join(GROUP).map_err(|error| listening(&error))?;
        let generation = current(socket)?;
        Ok(Self {
            events,
            generation,
            touched: Scope::nothing(),
            by: Vec::new(),
        })
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.events
    }

    /// The generation to pin a transaction to.
    pub(super) fn generation(&self) -> u32 {
        self.generation
    }

    /// What others touched of ours and we did not read since.
    pub(super) fn touched(&self) -> &Scope<Part> {
        &self.touched
    }

    /// Takes in all notifications that have arrived, and makes sure that they tell everything.
    pub(super) fn absorb(&mut self, socket: &mut Socket) -> Result<(), WriteError> {
        let mut complete = self.drain()?;
        let now = current(socket)?;
        if complete && self.generation != now {
            // Notifications of a commit that ended before the question may have come in just now.
            complete = self.drain()?;
        }
        if !complete || now.wrapping_sub(self.generation).cast_signed() > 0 {
            self.lose_track(now);
        }
        Ok(())
    }

    /// Says that everything is about to be read.
    pub(super) fn accept_everything(&mut self, socket: &mut Socket) -> Result<(), WriteError> {
        self.generation = current(socket)?;
        self.touched = Scope::nothing();
        Ok(())
    }

    /// Says that these pieces are about to be read.
    pub(super) fn accept(&mut self, parts: &BTreeSet<Part>) {
        if let Scope::Parts(touched) = &mut self.touched {
            touched.retain(|part| !parts.contains(part));
        }
    }

    /// What others touched since the last question. It stays to be read.
    pub(super) fn report(&mut self) -> ForeignChanges<Part> {
        ForeignChanges {
            scope: self.touched.clone(),
            by: std::mem::take(&mut self.by),
        }
    }

    /// Stops listening for the time of a commit of ours.
    pub(super) fn pause(&self) -> Result<(), WriteError> {
        self.events.leave(GROUP).map_err(|error| listening(&error))
    }

    /// Listens again. `made` is the generation up to which all commits were ours, if that is
    /// known.
    pub(super) fn resume(
        &mut self,
        socket: &mut Socket,
        made: Option<u32>,
    ) -> Result<(), WriteError> {
        self.events.join(GROUP).map_err(|error| listening(&error))?;
        let now = current(socket)?;
        if made == Some(now) {
            self.generation = now;
        } else {
            self.lose_track(now);
        }
        Ok(())
    }

    fn lose_track(&mut self, generation: u32) {
        self.generation = generation;
        self.touched = Scope::Everything;
    }

    /// Takes in what has arrived. False where notifications were lost.
    fn drain(&mut self) -> Result<bool, WriteError> {
        loop {
            let (generation, touched, by) = (&mut self.generation, &mut self.touched, &mut self.by);
            let result = self.events.receive(Some(Duration::ZERO), |message| {
                if let Ok(Some(event)) = Event::read(&message) {
                    take(&event, generation, touched, by);
                }
            });
            match result {
                Ok(0) => return Ok(true),
                Ok(_) => {}
                Err(Error::Resync) => return Ok(false),
                Err(error) => return Err(listening(&error)),
            }
        }
    }
}

fn take(event: &Event<'_>, known: &mut u32, touched: &mut Scope<Part>, by: &mut Vec<String>) {
    use nftables::Object;
    let table = |name: &str| {
        Some(Table {
            family: event.family?,
            kind: Kind::parse(name)?,
        })
    };
    match event.object {
        Object::Table { table: name } => {
            if table(name).is_some() && event.change == nftables::Change::Deleted {
                *touched = Scope::Everything;
            }
        }
        Object::Chain { table: name, chain }
        | Object::Rule {
            table: name, chain, ..
        } => {
            let Some(table) = table(name) else { return };
            let owned = Chain::parse(chain).map(|chain| Part::Owned(table, chain));
            let part =
                owned.or_else(|| BaseChain::parse(chain).map(|base| Part::Base(table, base)));
            if let Some(part) = part {
                touched.extend(Scope::Parts(BTreeSet::from([part])));
            }
        }
        Object::Generation(generation) => {
            let ahead = generation.id.wrapping_sub(*known).cast_signed();
            if ahead == 1 {
                *known = generation.id;
                let (name, id) = (generation.process_name, generation.process_id);
                if let (Some(name), Some(id)) = (name, id) {
                    by.retain(|other| !other.starts_with(&format!("{name} (")));
                    by.truncate(NAMED - 1);
                    by.push(format!("{name} ({id})"));
                }
            }
        }
        Object::Other(_) => {}
    }
}

fn current(socket: &mut Socket) -> Result<u32, WriteError> {
    nftables::generation(socket)
        .map_err(|error| WriteError::netlink("asking for the rule set's generation", &error))
}

fn listening(error: &Error) -> WriteError {
    WriteError::netlink("listening for changes of the rule set", error)
}

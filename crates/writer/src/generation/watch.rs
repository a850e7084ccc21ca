//! Notices what others do to the rule set.
//!
//! We go on listening while we commit what is small, so that whatever others do is told: which
//! chains they touched, and who they are. The kernel drops what it would tell of our own commits.
//! For those that are large it is dear to put that into words at all, and takes memory: for their
//! time nobody listens, and the generation tells whether somebody slipped in between.

use std::time::Duration;

use netlink_batch::{Error, Socket};
use nfnetlink::nftables::{self, Event, GROUP};

use super::Concerned;
use super::heard::Heard;
use crate::{WriteError, socket};

/// What others do to the rule set, and to ours.
#[derive(Debug)]
pub(crate) struct Watch<P: Concerned> {
    events: Socket,
    /// Asks for the generation, also while answers wait in the socket that commits.
    asks: Socket,
    /// What they told.
    pub(crate) heard: Heard<P>,
    /// Nobody listens now.
    paused: bool,
}

impl<P: Concerned> Watch<P> {
    /// Listens to what others do. Our own commits go through the socket of this port.
    pub(super) fn start(own: u32) -> Result<Self, WriteError> {
        let (events, mut asks) = (socket::netfilter()?, socket::netfilter()?);
        events
            .ignore(own)
            .and_then(|()| events.join(GROUP))
            .map_err(listening)?;
        let generation = current(&mut asks)?;
        Ok(Self {
            events,
            asks,
            heard: Heard::new(own, generation),
            paused: false,
        })
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.events
    }

    /// Takes in all notifications that have arrived, and makes sure that they tell everything.
    pub(crate) fn absorb(&mut self) -> Result<(), WriteError> {
        if self.paused {
            let now = self.listen_again()?;
            self.heard.lose_track(now);
        }
        let mut complete = self.drain()?;
        let now = current(&mut self.asks)?;
        if complete && self.heard.is_behind(now) {
            // A commit has its generation before it tells what it did.
            nftables::wait_for_commit(&mut self.asks).map_err(listening)?;
            complete = self.drain()?;
        }
        if !complete || self.heard.is_behind(now) {
            self.heard.lose_track(now);
        }
        Ok(())
    }

    /// The same, of a commit in progress too.
    pub(crate) fn settle(&mut self) -> Result<(), WriteError> {
        nftables::wait_for_commit(&mut self.asks).map_err(listening)?;
        self.absorb()
    }

    /// Says that everything is about to be read.
    pub(crate) fn accept_everything(&mut self) -> Result<(), WriteError> {
        // What a later commit is still to tell counts as touched.
        let now = current(&mut self.asks)?;
        self.heard.accept_everything(now);
        Ok(())
    }

    /// Stops listening for the time of a commit of ours.
    pub(super) fn pause(&mut self) -> Result<(), WriteError> {
        self.events.leave(GROUP).map_err(listening)?;
        self.paused = true;
        Ok(())
    }

    /// Listens again, and returns the generation from which on everything is heard.
    pub(super) fn listen_again(&mut self) -> Result<u32, WriteError> {
        self.events.join(GROUP).map_err(listening)?;
        self.paused = false;
        current(&mut self.asks)
    }

    /// A commit of ours is done. `made` is the generation up to which all commits were ours, where
    /// that is known, and `heard` the one from which on everything is heard again, where nobody
    /// listened.
    pub(super) fn committed(&mut self, made: Option<u32>, heard: Option<u32>) {
        match (made, heard) {
            (Some(made), Some(heard)) if made != heard => self.heard.lose_track(heard),
            (Some(made), _) => self.heard.made(made),
            (None, Some(heard)) => self.heard.lose_track(heard),
            // What others did is still told.
            (None, None) => {}
        }
    }

    /// Takes in what has arrived. False where notifications were lost.
    fn drain(&mut self) -> Result<bool, WriteError> {
        loop {
            let heard = &mut self.heard;
            let result = self.events.receive(Some(Duration::ZERO), |message| {
                if let Ok(Some(event)) = Event::read(&message) {
                    heard.take(&event);
                }
            });
            match result {
                Ok(0) => return Ok(true),
                Ok(_) => {}
                Err(Error::Resync) => return Ok(false),
                Err(error) => return Err(listening(error)),
            }
        }
    }
}

fn current(socket: &mut Socket) -> Result<u32, WriteError> {
    nftables::generation(socket)
        .map_err(|error| WriteError::netlink("asking for the rule set's generation", error))
}

fn listening(error: Error) -> WriteError {
    WriteError::netlink("listening for changes of the rule set", error)
}

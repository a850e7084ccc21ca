//! All that the kernel holds, and who answers what.

use netlink_batch::Errno;
use netlink_batch::message::flags::REQUEST;
use netlink_batch::socket::{GENERIC, NETFILTER, ROUTE};

use super::answer::{self, Answered, Delivery, Refused};
use super::fields::{self, Request};
use super::files::Files;
use super::ipset::Sets;
use super::ipvs::IpVs;
use super::listing::{Listing, Objects};
use super::nft::NfTables;
use super::port::{Dumping, Ports};
use super::route::Links;
use super::{Fate, Sender, nft, other};

/// Types below are netlink's own.
const FIRST_KIND: u16 = 0x10;
/// `NFNL_SUBSYS_IPSET`.
const IPSET: u16 = 6;

#[derive(Default)]
pub(super) struct State {
    pub(super) ports: Ports,
    pub(super) nft: NfTables,
    pub(super) ipvs: IpVs,
    pub(super) sets: Sets,
    pub(super) links: Links,
    pub(super) files: Files,
}

impl State {
    /// A number that is another one where a message that belongs to no batch has changed something.
    pub(super) fn version(&self) -> u64 {
        self.ipvs.version + self.sets.version + self.links.version
    }

    pub(super) fn batch(
        &mut self,
        sender: &Sender,
        datagram: &[u8],
        fate: &Fate,
        deliveries: &mut Vec<Delivery>,
    ) {
        let Self { nft, sets, .. } = self;
        nft.batch(sender, datagram, fate, sets, deliveries);
    }

    /// Handles a message that belongs to no batch; `number` is its place in the datagram.
    pub(super) fn handle(
        &mut self,
        sender: &Sender,
        number: usize,
        request: &Request<'_>,
        fate: &Fate,
        deliveries: &mut Vec<Delivery>,
    ) {
        if request.flags & REQUEST == 0 || request.kind < FIRST_KIND {
            return;
        }
        let answered = match fate {
            Fate::Refused { errno, message } if *message == number => Err(Refused::errno(*errno)),
            _ => self.answer(sender, request, deliveries),
        };
        answer::verdict(sender.port, request, answered, deliveries);
    }

    fn answer(
        &mut self,
        sender: &Sender,
        request: &Request<'_>,
        deliveries: &mut Vec<Delivery>,
    ) -> Result<Answered, Refused> {
        if let Some(objects) = self.objects(sender, request)? {
            return self.list(sender, request, &objects, deliveries);
        }
        match sender.protocol {
            NETFILTER if nft::is_ours(request) => {
                self.nft
                    .request(sender, request, &mut self.ports, deliveries)
            }
            NETFILTER if request.kind >> 8 == IPSET => {
                let references = self.nft.ruleset().references();
                self.sets.request(sender, request, &references, deliveries)
            }
            GENERIC => self.ipvs.request(sender, request, deliveries),
            ROUTE => self.links.request(sender, request, deliveries),
            _ => other::request(sender, request, deliveries),
        }
    }

    /// What a listing has, where this is one.
    fn objects(&self, sender: &Sender, request: &Request<'_>) -> Result<Option<Objects>, Refused> {
        let (port, seq) = (sender.port, request.seq);
        Ok(match sender.protocol {
            NETFILTER if Sets::lists(request) => {
                self.sets.may_list(request)?;
                let references = self.nft.ruleset().references();
                Some(self.sets.objects(port, seq, request, &references))
            }
            GENERIC if IpVs::lists(request) => Some(self.ipvs.objects(port, seq, request)),
            ROUTE if Links::lists(request) => Some(self.links.objects(port, seq, request)),
            _ => None,
        })
    }

    fn list(
        &mut self,
        sender: &Sender,
        request: &Request<'_>,
        objects: &Objects,
        deliveries: &mut Vec<Delivery>,
    ) -> Result<Answered, Refused> {
        if self.ports.is_dumping(sender.port) {
            return Err(Refused::errno(Errno::BUSY));
        }
        let mut listing = Listing::new(sender, request);
        let (datagram, more) = listing.go_on(objects);
        deliveries.push(Delivery::answer(sender.port, datagram));
        if more {
            let listing = Dumping::Objects(listing);
            self.ports.start_dump(sender.port, listing);
        }
        Ok(Answered::Dumping)
    }

    /// Makes the next datagram of a port's listing.
    pub(super) fn go_on_dumping(&mut self, port: u32) {
        let (datagram, rest) = match self.ports.take_dump(port) {
            None => return,
            Some(Dumping::Rules(mut dump)) => {
                let (datagram, more) = self.nft.dump(port, &mut dump);
                (datagram, more.then_some(Dumping::Rules(dump)))
            }
            Some(Dumping::Objects(mut listing)) => {
                let request = fields::messages(&listing.request).next();
                let objects = request.and_then(|it| self.objects(&listing.sender, &it).ok()?);
                let objects = objects.unwrap_or(Objects {
                    messages: Vec::new(),
                    version: None,
                });
                let (datagram, more) = listing.go_on(&objects);
                (datagram, more.then_some(Dumping::Objects(listing)))
            }
        };
        self.ports.deliver(vec![Delivery::answer(port, datagram)]);
        if let Some(rest) = rest {
            self.ports.start_dump(port, rest);
        }
    }

    /// Sends answers and notifications on their way. True where answers were lost.
    pub(super) fn deliver(
        &mut self,
        sender: &Sender,
        fate: &Fate,
        mut deliveries: Vec<Delivery>,
    ) -> bool {
        let lost = *fate == Fate::AnswersLost;
        if lost {
            deliveries.retain(|delivery| !delivery.is_to(sender.port));
        }
        self.ports.deliver(deliveries);
        lost
    }
}

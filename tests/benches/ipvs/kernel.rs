//! A network namespace and sockets inside it.

use std::net::IpAddr;

use anyhow::{Context as _, ensure};
use ipvs_netlink::proc::{self, Line};
use ipvs_netlink::{Ipvs, Protocol, Requests, ServerId};
use netlink_batch::Socket;
use netlink_batch::socket::{NETFILTER, ROUTE};
use viprule_dataplane::ownership::leftovers::IPVS_LINK;
use viprule_testkit::Namespace;
use viprule_tests::figures::cluster::PORT;

/// A namespace of one side of a measurement.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub(crate) namespace: Namespace,
    pub(crate) ipvs: Ipvs,
    pub(crate) sets: Socket,
    pub(crate) routes: Socket,
}

impl Kernel {
    /// An empty one.
    pub(crate) fn new(name: &str) -> anyhow::Result<Self> {
        Self::of(Namespace::new(name)?)
    }

    /// Sockets in a namespace that is there.
    pub(crate) fn of(namespace: Namespace) -> anyhow::Result<Self> {
        let open = |protocol| anyhow::Ok(namespace.run(|| Socket::open(protocol))??);
        Ok(Self {
            ipvs: namespace.run(Ipvs::open)??,
            sets: open(NETFILTER)?,
            routes: open(ROUTE)?,
            namespace,
        })
    }

    /// Makes the link of the virtual addresses.
    pub(crate) fn add_link(&self) -> anyhow::Result<()> {
        let add = format!("link add {IPVS_LINK} type dummy");
        Ok(self.namespace.ip([add])?)
    }

    /// The index of the link of the virtual addresses.
    pub(crate) fn link(&self) -> anyhow::Result<u32> {
        let show = self.namespace.command("ip");
        let text = show.args(["-o", "link", "show", IPVS_LINK]).text()?;
        let (index, _) = text.split_once(':').context("a link has an index")?;
        Ok(index.trim().parse()?)
    }

    /// How many virtual servers there are.
    pub(crate) fn servers(&mut self) -> anyhow::Result<usize> {
        let mut count = 0;
        self.ipvs.servers(|_| count += 1)?;
        Ok(count)
    }

    /// How many destinations all of them have, asked one by one.
    pub(crate) fn destinations_of_each(&mut self) -> anyhow::Result<usize> {
        let mut servers = Vec::new();
        self.ipvs.servers(|entry| servers.push(entry.id))?;
        let mut count = 0;
        for server in servers {
            self.ipvs.destinations(&server, |_| count += 1)?;
        }
        Ok(count)
    }

    /// The same, far cheaper; right only where no other namespace has virtual servers.
    pub(crate) fn destinations(&self) -> anyhow::Result<usize> {
        let mut count = 0;
        let each = |line: Line<'_>| count += usize::from(matches!(line, Line::Destination(_)));
        self.namespace.run(|| proc::read(each))??;
        Ok(count)
    }

    /// Whether a server has a destination, without a look at any other server.
    pub(crate) fn leads_to(&mut self, server: IpAddr, to: IpAddr) -> anyhow::Result<bool> {
        let mut found = false;
        self.ipvs.destinations(&tcp(server), |entry| {
            found |= entry.id.address == to;
        })?;
        Ok(found)
    }

    /// Sends changes of virtual servers; what the kernel refuses is an error.
    pub(crate) fn send(&mut self, requests: &mut Requests<()>) -> anyhow::Result<()> {
        let answers = self.ipvs.send(requests)?;
        if let Some(refusal) = answers.refusals.first() {
            anyhow::bail!("the kernel refused {refusal}");
        }
        ensure!(!answers.lost, "answers were lost");
        Ok(())
    }

    /// Removes what takes the kernel long: it would do so in the background of the next measure.
    fn empty(&mut self) -> anyhow::Result<()> {
        let mut flush = self.ipvs.requests();
        flush.flush();
        self.send(&mut flush)?;
        let delete = self.namespace.command("ip");
        delete.args(["link", "delete", IPVS_LINK]).output()?;
        Ok(())
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        if let Err(error) = self.empty() {
            eprintln!("emptying {}: {error:#}", self.namespace.name());
        }
    }
}

/// A Service's virtual server.
pub(crate) const fn tcp(address: IpAddr) -> ServerId {
    ServerId::Address {
        address,
        port: PORT,
        protocol: Protocol::Tcp,
    }
}

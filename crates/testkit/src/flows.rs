//! Tracked UDP and TCP flows made up by a test, thousands at a time.

use std::net::{IpAddr, SocketAddr};

use netlink_batch::message::flags::{CREATE, EXCL};
use netlink_batch::{AttrWriter, Batch, Socket, socket::NETFILTER};
use nfnetlink::Family;
use nfnetlink::conntrack::{Filter, Flow, dump, protocol};

use crate::error::{Error, Result};
use crate::netns::Namespace;

/// `IPCTNL_MSG_CT_NEW`.
const NEW: u16 = 1 << 8;
/// Flows added with one system call.
const AT_ONCE: usize = 1000;

/// A flow that a packet would have made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewFlow {
    /// Who sent it.
    pub source: SocketAddr,
    /// Where to.
    pub destination: SocketAddr,
    /// Where its packets go instead, if the destination is translated.
    pub endpoint: Option<SocketAddr>,
    /// TCP's state (`nfnetlink::conntrack::tcp_state`); UDP without.
    pub tcp_state: Option<u8>,
}

/// Makes the namespace track these flows for an hour.
pub fn add(namespace: &Namespace, flows: &[NewFlow]) -> Result<()> {
    namespace.run(|| {
        let mut socket = open()?;
        let mut batch = Batch::<()>::new();
        for flows in flows.chunks(AT_ONCE) {
            batch.clear();
            for flow in flows {
                let family = [if flow.source.is_ipv4() { 2 } else { 10 }, 0, 0, 0];
                batch.message(NEW, CREATE | EXCL, &family, |attrs| write(attrs, flow));
            }
            let answers = socket
                .send(&batch, |_, _| {})
                .map_err(|error| failed(&error))?;
            if let Some(refusal) = answers.refusals.first() {
                return Err(failed(refusal));
            }
        }
        Ok(())
    })?
}

/// The UDP flows that the namespace tracks, of both families.
pub fn list(namespace: &Namespace) -> Result<Vec<Flow>> {
    list_of(namespace, protocol::UDP)
}

/// The same for TCP.
pub fn list_tcp(namespace: &Namespace) -> Result<Vec<Flow>> {
    list_of(namespace, protocol::TCP)
}

fn list_of(namespace: &Namespace, protocol: u8) -> Result<Vec<Flow>> {
    namespace.run(|| {
        let mut socket = open()?;
        let mut flows = Vec::new();
        for family in Family::ALL {
            let filter = Filter::new(family, protocol);
            dump(&mut socket, &filter, |flow| flows.push(*flow)).map_err(|error| failed(&error))?;
        }
        Ok(flows)
    })?
}

fn open() -> Result<Socket> {
    Socket::open(NETFILTER).map_err(|error| failed(&error))
}

fn failed(error: &impl ToString) -> Error {
    Error::Io {
        what: "adding or listing tracked flows".to_owned(),
        source: std::io::Error::other(error.to_string()),
    }
}

fn write(attrs: &mut AttrWriter<'_>, flow: &NewFlow) {
    let protocol = flow.tcp_state.map_or(protocol::UDP, |_| protocol::TCP);
    write_tuple(attrs, 1, protocol, flow.source, flow.destination);
    write_tuple(attrs, 2, protocol, flow.destination, flow.source);
    if let Some(state) = flow.tcp_state {
        attrs.nest(4, |info| info.nest(1, |tcp| tcp.u8(1, state)));
    }
    attrs.u32_be(7, 3600);
    if let Some(endpoint) = flow.endpoint {
        attrs.nest(13, |nat| {
            match endpoint.ip() {
                IpAddr::V4(ip) => nat.bytes(1, &ip.octets()),
                IpAddr::V6(ip) => nat.bytes(4, &ip.octets()),
            }
            nat.nest(3, |ports| {
                ports.u16_be(1, endpoint.port());
                ports.u16_be(2, endpoint.port());
            });
        });
    }
}

fn write_tuple(
    attrs: &mut AttrWriter<'_>,
    kind: u16,
    protocol: u8,
    from: SocketAddr,
    to: SocketAddr,
) {
    attrs.nest(kind, |tuple| {
        tuple.nest(1, |ip| match (from.ip(), to.ip()) {
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                ip.bytes(3, &from.octets());
                ip.bytes(4, &to.octets());
            }
            (from, to) => {
                let octets = |ip| match ip {
                    IpAddr::V4(ip) => ip.octets(),
                    IpAddr::V6(_) => [0; 4],
                };
                ip.bytes(1, &octets(from));
                ip.bytes(2, &octets(to));
            }
        });
        tuple.nest(2, |proto| {
            proto.u8(1, protocol);
            proto.u16_be(2, from.port());
            proto.u16_be(3, to.port());
        });
    });
}

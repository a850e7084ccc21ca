//! Writers on a kernel that answers with any bytes.
//!
//! An input is what the sockets are to receive one after the other: messages, and behind each
//! datagram an empty message of type NOOP. Two in a row: nothing waits. Sequence numbers count from
//! that of the first message sent last, so that answers are taken for such.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ipvs_netlink::Ipvs;
use netlink_batch::memory::{self, Entered, Kernel, Ready};
use netlink_batch::message::{HEADER_LEN, kind};
use netlink_batch::socket::NETFILTER;
use netlink_batch::{Messages, Socket};
use nfnetlink::{Family, conntrack, ipset, nfacct, nftables};
use viprule_dataplane::{Scope, State, diff};
use viprule_service::tracker::Tracker;
use viprule_sync::desired;
use viprule_testkit::memory::MemoryKernel;
use viprule_writer::backend::Backend;
use viprule_writer::ipvs::{Counters, IpvsWriter};
use viprule_writer::{Tag, Writer, netfilter};

use crate::{manifest, plans};

/// What writers are to write.
const MANIFEST: &str = "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  type: LoadBalancer
  clusterIPs: [10.1.0.1, 'fd00:10:1::1']
  ipFamilies: [IPv4, IPv6]
  ports: [{port: 80, nodePort: 30080}]
  loadBalancerSourceRanges: [192.0.2.0/24]
status: {loadBalancer: {ingress: [{ip: 203.0.113.1}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [10.244.0.5], nodeName: node-0}, {addresses: [10.244.1.5]}]
";

static TRACKER: LazyLock<Tracker> = LazyLock::new(|| plans::follow(manifest::events(MANIFEST)));

/// Observes, writes and removes iptables mode's objects.
pub(crate) fn iptables(bytes: &[u8]) {
    let _entered = Script::enter(bytes);
    write_chains();
}

/// The same in IPVS mode.
pub(crate) fn ipvs(bytes: &[u8]) {
    let _entered = Script::enter(bytes);
    write_servers();
}

/// Asks for everything else that this program ever asks a kernel for.
pub(crate) fn others(bytes: &[u8]) {
    let _entered = Script::enter(bytes);
    ask();
}

/// What a kernel in memory answers.
pub(crate) fn iptables_seeds() -> Vec<Vec<u8>> {
    vec![Recorder::record(write_chains)]
}

/// The same in IPVS mode.
pub(crate) fn ipvs_seeds() -> Vec<Vec<u8>> {
    vec![Recorder::record(write_servers)]
}

/// The same for all other questions.
pub(crate) fn others_seeds() -> Vec<Vec<u8>> {
    vec![Recorder::record(ask)]
}

fn write_chains() {
    let _ = netfilter::probe(true);
    if let Ok(mut writer) = netfilter::NftWriter::open(&Family::ALL) {
        let settings = viprule_dataplane::iptables::Settings::default();
        let dataplane = viprule_dataplane::iptables::Iptables::new(settings, TRACKER.facts());
        write(&mut writer, &desired(&dataplane, &TRACKER));
    }
}

fn write_servers() {
    if let Ok(mut writer) = IpvsWriter::open(Backend::Nft, &Family::ALL) {
        let settings = viprule_dataplane::ipvs::Settings::default();
        let dataplane = viprule_dataplane::ipvs::Ipvs::new(settings, TRACKER.facts());
        write(&mut writer, &desired(&dataplane, &TRACKER));
    }
    if let Ok(mut counters) = Counters::open() {
        let _ = counters.read().map(Iterator::count);
    }
}

/// Makes the kernel have this, and then nothing. After an error it is observed anew.
fn write<W: Writer>(writer: &mut W, wanted: &State<W::Key, W::Object>) {
    let nothing = State::default();
    for wanted in [wanted, &nothing] {
        let Ok(found) = writer.observe::<W::Object>(&Scope::Everything) else {
            continue;
        };
        let staged = writer.stage(Tag(1), &diff(&found, wanted));
        let _ = staged.and_then(|()| writer.commit()).is_ok();
        let _ = writer.foreign_changes().is_ok();
    }
}

fn ask() {
    if let Ok(mut socket) = Socket::open(NETFILTER) {
        ask_nftables(&mut socket);
        ask_sets(&mut socket);
        let _ = nfacct::ensure(&mut socket, "counter");
        let _ = nfacct::get(&mut socket, "counter");
        let _ = nfacct::delete(&mut socket, "counter");
        let mut deletions = conntrack::Deletions::new();
        let filter = conntrack::Filter::udp(Family::Ipv4);
        let _ = conntrack::dump(&mut socket, &filter, |flow| deletions.push(flow));
        let _ = deletions.send(&mut socket);
    }
    let Ok(mut ipvs) = Ipvs::open() else {
        return;
    };
    let mut ids = Vec::new();
    let _ = ipvs.servers(|entry| ids.push(entry.id));
    for id in ids.iter().take(2) {
        let _ = ipvs.server(id);
        let _ = ipvs.destinations(id, |_| {});
    }
    let _ = (ipvs.config(), ipvs.info());
}

fn ask_nftables(socket: &mut Socket) {
    let _ = nftables::generation(socket);
    let _ = nftables::wait_for_commit(socket);
    for family in Family::ALL {
        let _ = nftables::has_family(socket, family);
        let _ = nftables::tables(socket, family, |_| {});
        let _ = nftables::chains(socket, family, |_| {});
    }
    let chain = nftables::ChainId {
        family: Family::Ipv4,
        table: "nat",
        name: "KUBE-SERVICES",
    };
    let _ = nftables::find_chain(socket, chain, |_| ());
    let _ = nftables::rules(socket, chain, |_| {});
    let _ = socket.join(nftables::GROUP);
    let _ = socket.receive(Some(Duration::ZERO), |message| {
        let _ = nftables::Event::read(&message);
    });
}

fn ask_sets(socket: &mut Socket) {
    let _ = ipset::protocol(socket);
    let _ = ipset::revision(socket, ipset::Kind::HashIpPort, Some(Family::Ipv4));
    let mut names = ipset::SetNames::new();
    let _ = names.ask_index(socket, "KUBE-CLUSTER-IP").is_ok();
    let _ = names.ask_name(socket, ipset::SetIndex(7)).is_ok();
    let _ = ipset::sets(socket, |_| {});
    let _ = ipset::list(socket, "KUBE-CLUSTER-IP");
}

/// A kernel that answers from an input.
struct Script {
    bytes: Vec<u8>,
    state: Mutex<Reading>,
    begin: Instant,
}

#[derive(Default)]
struct Reading {
    at: usize,
    ports: u32,
    /// The first sequence number of what a port sent last.
    sent: HashMap<u32, u32>,
    slept: Duration,
}

impl Script {
    fn enter(bytes: &[u8]) -> Entered {
        memory::enter(Arc::new(Self {
            bytes: bytes.to_vec(),
            state: Mutex::default(),
            begin: Instant::now(),
        }))
    }
}

impl Kernel for Script {
    fn open(&self, _: isize, _: Ready) -> io::Result<u32> {
        let mut state = lock(&self.state);
        state.ports += 1;
        Ok(state.ports)
    }

    fn close(&self, _: u32) {}

    fn send(&self, port: u32, datagram: &[u8]) -> io::Result<()> {
        lock(&self.state).sent.insert(port, first_number(datagram));
        Ok(())
    }

    fn receive(&self, port: u32) -> io::Result<Option<Vec<u8>>> {
        let mut state = lock(&self.state);
        let base = state.sent.get(&port).copied().unwrap_or_default();
        let rest = self.bytes.get(state.at..).unwrap_or_default();
        let mut taken = 0;
        let mut end = None;
        for message in Messages::new(rest).map_while(Result::ok) {
            let length = HEADER_LEN + message.payload.len();
            if message.kind == kind::NOOP {
                end = Some(length.next_multiple_of(4));
                break;
            }
            taken += length.next_multiple_of(4);
        }
        // The rest may be no message.
        let taken = if end.is_some() { taken } else { rest.len() };
        let mut datagram = rest.get(..taken).unwrap_or_default().to_vec();
        state.at += taken + end.unwrap_or_default();
        count_from(&mut datagram, |number| number.wrapping_add(base));
        Ok((!datagram.is_empty()).then_some(datagram))
    }

    fn join(&self, _: u32, _: u32) -> io::Result<()> {
        Ok(())
    }

    fn leave(&self, _: u32, _: u32) -> io::Result<()> {
        Ok(())
    }

    fn ignore(&self, _: u32, _: u32) -> io::Result<()> {
        Ok(())
    }

    fn allow_receive(&self, _: u32, bytes: usize) -> usize {
        bytes
    }

    fn read_file(&self, _: &str) -> io::Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn write_file(&self, _: &str, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn now(&self) -> Instant {
        self.begin + lock(&self.state).slept
    }

    fn sleep(&self, time: Duration) {
        lock(&self.state).slept += time;
    }
}

/// A kernel that remembers what another one answers.
struct Recorder {
    kernel: Arc<dyn Kernel>,
    sent: Mutex<HashMap<u32, u32>>,
    told: Arc<Mutex<Vec<u8>>>,
}

impl Recorder {
    fn record(ask: fn()) -> Vec<u8> {
        let told = Arc::default();
        let _entered = MemoryKernel::new().enter();
        if let Some(kernel) = memory::entered() {
            let recorder = Self {
                kernel,
                sent: Mutex::default(),
                told: Arc::clone(&told),
            };
            let _entered = memory::enter(Arc::new(recorder));
            ask();
        }
        std::mem::take(&mut lock(&told))
    }
}

impl Kernel for Recorder {
    fn open(&self, protocol: isize, ready: Ready) -> io::Result<u32> {
        self.kernel.open(protocol, ready)
    }

    fn close(&self, port: u32) {
        self.kernel.close(port);
    }

    fn send(&self, port: u32, datagram: &[u8]) -> io::Result<()> {
        lock(&self.sent).insert(port, first_number(datagram));
        self.kernel.send(port, datagram)
    }

    fn receive(&self, port: u32) -> io::Result<Option<Vec<u8>>> {
        let datagram = self.kernel.receive(port)?;
        let base = lock(&self.sent).get(&port).copied().unwrap_or_default();
        let mut counted = datagram.clone().unwrap_or_default();
        count_from(&mut counted, |number| number.wrapping_sub(base));
        let mut told = lock(&self.told);
        told.extend(counted);
        netlink_batch::message::write(&mut told, kind::NOOP, 0, 0, &[], |_| {});
        Ok(datagram)
    }

    fn join(&self, port: u32, group: u32) -> io::Result<()> {
        self.kernel.join(port, group)
    }

    fn leave(&self, port: u32, group: u32) -> io::Result<()> {
        self.kernel.leave(port, group)
    }

    fn ignore(&self, port: u32, cause: u32) -> io::Result<()> {
        self.kernel.ignore(port, cause)
    }

    fn allow_receive(&self, port: u32, bytes: usize) -> usize {
        self.kernel.allow_receive(port, bytes)
    }

    fn read_file(&self, path: &str) -> io::Result<Vec<u8>> {
        self.kernel.read_file(path)
    }

    fn write_file(&self, path: &str, content: &[u8]) -> io::Result<()> {
        self.kernel.write_file(path, content)
    }

    fn now(&self) -> Instant {
        self.kernel.now()
    }

    fn sleep(&self, time: Duration) {
        self.kernel.sleep(time);
    }
}

fn first_number(datagram: &[u8]) -> u32 {
    let first = Messages::new(datagram).next().and_then(Result::ok);
    first.map_or(0, |message| message.seq)
}

/// Changes the sequence numbers of a datagram, and of the requests that its verdicts are about.
fn count_from(datagram: &mut [u8], number: impl Fn(u32) -> u32) {
    let mut places = Vec::new();
    let mut at = 0;
    for message in Messages::new(datagram).map_while(Result::ok) {
        places.push(at + 8);
        if message.kind == kind::ERROR {
            places.push(at + HEADER_LEN + 4 + 8);
        }
        at += (HEADER_LEN + message.payload.len()).next_multiple_of(4);
    }
    for place in places {
        if let Some(field) = datagram.get_mut(place..).and_then(<[u8]>::first_chunk_mut) {
            *field = number(u32::from_ne_bytes(*field)).to_ne_bytes();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

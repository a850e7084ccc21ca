//! A node with IPVS mode's writer, and Services in few words.

use std::fs;
use std::net::{IpAddr, SocketAddr};

use ipvs_netlink::{Destination, DestinationId, Family, Protocol, Scheduler, Server, ServerId};
use nfnetlink::ipset::{Entry, IpPort};
use viprule_dataplane::ipvs::{Desired, Ipvs, Key, Object, Piece, Settings};
use viprule_dataplane::ownership::{Set, SetName};
use viprule_dataplane::{Dataplane as _, Diff, Fingerprint, Scope, State, diff};
use viprule_service::plan::NodeFacts;
use viprule_testkit::Namespace;
use viprule_testkit::netns::require_privileges;
use viprule_writer::backend::Backend;
use viprule_writer::ipvs::IpvsWriter;
use viprule_writer::{ApplyError, Tag, WriteError, Writer, Written};

/// What all tests of this suite need; says so where it is not there.
pub(crate) fn require_ipvs() {
    require_privileges().unwrap();
    viprule_writer::ipvs::probe(backend(), &Scheduler::RR)
        .expect("these tests need IPVS and IP sets: scripts/vm runs them");
}

/// User-Mode Linux has no iptables in nf_tables.
pub(crate) fn backend() -> Backend {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    if cpu.contains("User Mode Linux") {
        Backend::Legacy
    } else {
        Backend::Nft
    }
}

/// A writer in a namespace.
pub(crate) struct Node<'a> {
    pub(crate) namespace: &'a Namespace,
    pub(crate) writer: IpvsWriter,
    held: State<Key, Fingerprint>,
}

impl<'a> Node<'a> {
    /// Starts a writer, as each start of the agent does: it knows nothing yet.
    pub(crate) fn start(namespace: &'a Namespace) -> Self {
        let open = || IpvsWriter::open(backend(), &nfnetlink::Family::ALL);
        Self {
            namespace,
            writer: namespace.run(open).unwrap().unwrap(),
            held: State::default(),
        }
    }

    /// Runs in the namespace.
    pub(crate) fn run<T: Send>(&mut self, work: impl FnOnce(&mut IpvsWriter) -> T + Send) -> T {
        let writer = &mut self.writer;
        self.namespace.run(|| work(writer)).unwrap()
    }

    pub(crate) fn observe(&mut self) -> Desired {
        self.run(|writer| writer.observe(&Scope::Everything))
            .unwrap()
    }

    /// Looks at the kernel and brings it to what is wanted.
    pub(crate) fn reconcile(&mut self, wanted: &Desired) -> Written {
        self.held = self.observe().fingerprints();
        self.sync(wanted)
    }

    /// Brings the kernel from what it had to what is wanted.
    pub(crate) fn sync(&mut self, wanted: &Desired) -> Written {
        self.try_sync(wanted).unwrap()
    }

    pub(crate) fn try_sync(&mut self, wanted: &Desired) -> Result<Written, ApplyError<Piece>> {
        let held = std::mem::take(&mut self.held);
        let result = self.write(&[diff(&held, wanted)]);
        self.held = match &result {
            Ok(_) => wanted.fingerprints(),
            Err(_) => self.observe().fingerprints(),
        };
        result
    }

    /// Writes diffs in one commit, with their numbers as tags.
    pub(crate) fn write(
        &mut self,
        diffs: &[Diff<'_, Key, Fingerprint, Object>],
    ) -> Result<Written, ApplyError<Piece>> {
        for (tag, diff) in (0..).zip(diffs) {
            self.writer.stage(Tag(tag), diff)?;
        }
        self.run(IpvsWriter::commit)
    }

    pub(crate) fn drain(&mut self) -> Result<Option<std::time::Duration>, WriteError> {
        self.run(IpvsWriter::drain)
    }

    pub(crate) fn ipvsadm(&self) -> Vec<String> {
        lines(self.namespace, "ipvsadm -Sn")
    }
}

pub(crate) fn text(namespace: &Namespace, line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let command = namespace.command(words[0]).args(&words[1..]);
    command.text().unwrap()
}

/// What a program prints, sorted.
pub(crate) fn lines(namespace: &Namespace, line: &str) -> Vec<String> {
    let text = text(namespace, line);
    let mut lines: Vec<String> = text.lines().map(|it| it.trim().to_owned()).collect();
    lines.sort_unstable();
    lines
}

/// The link, the sets and the static chains, with the rules that sets with elements bring.
pub(crate) fn with_skeleton(services: &Desired) -> Desired {
    Ipvs::new(Settings::default(), &NodeFacts::default()).desired([services.clone()])
}

/// A Service on a cluster IP.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) protocol: Protocol,
    pub(crate) vip: SocketAddr,
    pub(crate) scheduler: Scheduler,
    pub(crate) endpoints: Vec<SocketAddr>,
}

impl Service {
    pub(crate) fn new(protocol: Protocol, vip: &str, endpoints: &[&str]) -> Self {
        Self {
            protocol,
            vip: vip.parse().unwrap(),
            scheduler: Scheduler::RR,
            endpoints: endpoints.iter().map(|it| it.parse().unwrap()).collect(),
        }
    }

    pub(crate) fn tcp(vip: &str, endpoints: &[&str]) -> Self {
        Self::new(Protocol::Tcp, vip, endpoints)
    }

    pub(crate) fn scheduled_by(mut self, scheduler: &str) -> Self {
        self.scheduler = scheduler.parse().unwrap();
        self
    }

    pub(crate) fn id(&self) -> ServerId {
        ServerId::Address {
            address: self.vip.ip(),
            port: self.vip.port(),
            protocol: self.protocol,
        }
    }

    pub(crate) fn objects(&self) -> Desired {
        let address = self.vip.ip();
        let family = match address {
            IpAddr::V4(_) => nfnetlink::Family::Ipv4,
            IpAddr::V6(_) => nfnetlink::Family::Ipv6,
        };
        let entry = |name, entry| {
            let set = Set { name, family };
            (Key::Entry { set, entry }, Object::Entry)
        };
        let at = Entry::IpPort(IpPort {
            address,
            protocol: self.protocol.number(),
            port: self.vip.port(),
        });
        let server = self.id();
        let content = Server::new(self.scheduler, Family::of(&address));
        let destinations = self.endpoints.iter().map(|it| {
            let destination = DestinationId {
                address: it.ip(),
                port: it.port(),
            };
            let key = Key::Destination {
                server,
                destination,
            };
            (key, Object::Destination(Destination::masqueraded(1)))
        });
        [
            entry(SetName::ClusterIp, at),
            entry(SetName::IpvsIps, Entry::Ip(address)),
            (Key::Server(server), Object::Server(content)),
            (Key::Address(address), Object::Address),
        ]
        .into_iter()
        .chain(destinations)
        .collect()
    }
}

/// All that these Services need.
pub(crate) fn desired(services: &[Service]) -> Desired {
    let objects = services.iter().flat_map(|it| it.objects().into_iter());
    with_skeleton(&objects.collect())
}

//! The writer of nftables mode on both kernels: sets, maps and elements.

use std::collections::BTreeSet;
use std::sync::Once;

use netlink_batch::socket::NETFILTER;
use netlink_batch::{AttrWriter, Attrs, Message, Socket};
use nfnetlink::Family;
use nfnetlink::nftables::native::{self, TableId, elements, find_elements, find_set};
use nfnetlink::nftables::{Position, Transaction};

use proptest::collection::vec;
use proptest::prelude::*;
use viprule_dataplane::nftables::{
    Chain, Desired, Element, ElementContent, Key, Lookup, Nftables, Row, Set, SetName, Settings,
};
use viprule_dataplane::{Dataplane as _, Scope, diff};
use viprule_service::model::{self, Protocol, Service};
use viprule_service::plan::{Budgets, Frontend, NodeFacts, PlanConfig, plan_service};
use viprule_testkit::memory::MemoryKernel;
use viprule_testkit::objects::{self, READY, endpoint, ip, slice};
use viprule_writer::nftables::NftablesWriter;
use viprule_writer::{Tag, Writer as _};

use crate::op::SUBSYSTEM;
use crate::script::{Runner, Step};
use crate::worlds::{both, bytes, is_exact, open, real, same, told};

/// Types of messages (`NFT_MSG_*`).
const GET_TABLE: u16 = SUBSYSTEM | 1;
const GET_CHAIN: u16 = SUBSYSTEM | 4;
const GET_RULE: u16 = SUBSYSTEM | 7;
const GET_SET: u16 = SUBSYSTEM | 0xa;
const GET_ELEMENT: u16 = SUBSYSTEM | 0xd;
const TABLE: &str = "viprule";

/// How many endpoints Services of this test may have.
const ENDPOINTS: usize = 7;

/// What a Service of a test is like.
#[derive(Debug, Clone)]
struct Given {
    number: u8,
    sticky: bool,
    node_port: bool,
    restricted: bool,
    endpoints: Vec<usize>,
}

fn given() -> impl Strategy<Value = Given> {
    let endpoints = prop::sample::subsequence((0..ENDPOINTS).collect::<Vec<_>>(), 0..ENDPOINTS);
    (
        1..5_u8,
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        endpoints,
    )
        .prop_map(|(number, sticky, node_port, restricted, endpoints)| Given {
            number,
            sticky,
            node_port,
            restricted,
            endpoints,
        })
}

fn service(given: &Given) -> Service {
    let number = given.number;
    let addresses = [format!("10.1.0.{number}"), format!("fd00:1::{number}")];
    let mut service = objects::service(&format!("s{number}"), &addresses.map(|it| ip(&it)));
    if given.sticky {
        service.affinity_seconds = Some(60);
    }
    if given.node_port {
        service.ports[0].node_port = 30_000 + u16::from(number);
    }
    if given.restricted {
        service.load_balancer_ips = [ip(&format!("192.0.2.{number}"))].into();
        let ranges = ["10.0.0.0/8", "192.0.2.7/32"];
        service.source_ranges = ranges.map(|range| range.parse().unwrap()).into();
    }
    service
}

fn desired(all: &[Given]) -> Desired {
    // Ranges that begin where others end, that end where all do, and that are of one address.
    let ranges = [
        "10.1.0.0/16",
        "10.2.0.0/17",
        "255.255.255.0/24",
        "10.9.9.9/32",
        "fd00::/112",
    ];
    let facts = NodeFacts {
        service_cidrs: ranges
            .iter()
            .skip(all.len())
            .map(|text| text.parse().unwrap())
            .collect(),
        ..NodeFacts::default()
    };
    let dataplane = Nftables::new(Settings::default(), &facts);
    let config = PlanConfig {
        node_name: "here".to_owned(),
        bind_address: None,
        allow_external_ips: true,
        budgets: Budgets::default(),
    };
    let plans = all.iter().map(|given| {
        let service = service(given);
        let slices = model::Family::ALL.map(|family| {
            let prefix = match family {
                model::Family::Ipv4 => "10.2.0.",
                model::Family::Ipv6 => "fd00:2::",
            };
            let address = |number| ip(&format!("{prefix}{}", number + 1));
            let own = given.endpoints.iter();
            let own = own.map(|number| endpoint(address(number), Some("here"), READY));
            slice(&service.id, family, own.collect())
        });
        let plan = plan_service(&service, &slices, &config, &NodeFacts::default());
        dataplane.service(&plan)
    });
    dataplane.desired(plans)
}

/// Asks both kernels the same.
struct Asker {
    socket: Socket,
    listener: Runner,
    said: Vec<String>,
}

impl Asker {
    fn new() -> Self {
        let mut listener = Runner::new();
        listener.run(Family::Ipv4, &Step::Listen(true));
        Self {
            socket: Socket::open(NETFILTER).unwrap(),
            listener,
            said: Vec::new(),
        }
    }

    /// All that listeners were told.
    fn hear(&mut self) {
        self.listener.run(Family::Ipv4, &Step::Hear);
        self.said.append(&mut self.listener.said);
    }

    fn dump(
        &mut self,
        family: Family,
        kind: u16,
        fill: impl FnOnce(&mut AttrWriter<'_>),
        mut each: impl FnMut(&Message<'_>),
    ) {
        let header = [family.number(), 0, 0, 0];
        let result = self.socket.dump(kind, &header, fill, |message| {
            each(&message);
            Ok(())
        });
        self.said.push(format!("{kind:#x} {result:?}"));
    }

    /// All that there is. The kernel tells elements in the order of their hashes, which it begins
    /// with something random.
    fn list(&mut self, family: Family) {
        let mut said = Vec::new();
        for kind in [GET_TABLE, GET_CHAIN, GET_RULE] {
            self.dump(family, kind, |_| {}, |message| said.push(told(message)));
        }
        let mut names = Vec::new();
        self.dump(
            family,
            GET_SET,
            |attrs| attrs.str(1, TABLE),
            |message| {
                names.push(text(message, 2));
                said.push(told(message));
            },
        );
        for name in names {
            self.elements(family, &name);
        }
        self.said.append(&mut said);
    }

    /// The elements of a set, sorted.
    fn elements(&mut self, family: Family, set: &str) {
        let (mut elements, mut heads) = (Vec::new(), BTreeSet::new());
        let fill = |attrs: &mut AttrWriter<'_>| {
            attrs.str(1, TABLE);
            attrs.str(2, set);
        };
        self.dump(family, GET_ELEMENT, fill, |message| {
            heads.insert(format!(
                "{:#x} {:#x} {} {} {}",
                message.kind,
                message.flags,
                bytes(&message.payload[..4]),
                text(message, 1),
                text(message, 2)
            ));
            let told = list(message);
            if told.is_empty() {
                elements.push("a message without elements".to_owned());
            }
            elements.extend(told);
        });
        elements.sort();
        self.said.extend(heads);
        self.said.append(&mut elements);
    }
}

fn text(message: &Message<'_>, kind: u16) -> String {
    let mut attrs = Attrs::new(&message.payload[4..]).map(Result::unwrap);
    let attr = attrs.find(|attr| attr.kind == kind).unwrap();
    attr.str().unwrap().to_owned()
}

/// The elements of a message, with the types of their attributes.
fn list(message: &Message<'_>) -> Vec<String> {
    let mut attrs = Attrs::new(&message.payload[4..]).map(Result::unwrap);
    let Some(list) = attrs.find(|attr| attr.kind == 3) else {
        return Vec::new();
    };
    let elements = Attrs::new(list.payload).map(Result::unwrap);
    elements
        .map(|element| format!("{}: {}", element.kind, bytes(element.payload)))
        .collect()
}

fn write(writer: &mut NftablesWriter, wanted: &Desired) -> String {
    let there: Desired = writer.observe(&Scope::Everything).unwrap();
    writer.stage(Tag(1), &diff(&there, wanted)).unwrap();
    let written = writer.commit().unwrap();
    let again: Desired = writer.observe(&Scope::Everything).unwrap();
    let left = diff(&again, wanted);
    assert!(left.is_empty(), "what was written is there");
    format!("{written:?}")
}

/// Has the kernel load what all rules need.
fn load_modules() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let all = [Given {
            number: 1,
            sticky: true,
            node_port: true,
            restricted: true,
            endpoints: vec![0, 1, 2],
        }];
        real(|| {
            let mut writer = NftablesWriter::open(&Family::ALL).unwrap();
            write(&mut writer, &desired(&all));
        });
    });
}

fn run(states: &[Vec<Given>]) -> Vec<String> {
    let mut writer = NftablesWriter::open(&Family::ALL).unwrap();
    let mut asker = Asker::new();
    for state in states {
        let written = write(&mut writer, &desired(state));
        asker.said.push(written);
        asker.hear();
    }
    for family in Family::ALL {
        asker.list(family);
    }
    asker.said.push(write(&mut writer, &Desired::default()));
    asker.hear();
    asker.list(Family::Ipv4);
    asker.said
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn what_is_written_is_the_same(states in vec(vec(given(), 0..4), 1..4)) {
        load_modules();
        let [real, memory] = both(|| run(&states));
        same(&real, &memory);
    }
}

#[test]
fn what_is_listed_and_told_is_the_same() {
    load_modules();
    let given = |sticky, endpoints: &[usize]| Given {
        number: 1,
        sticky,
        node_port: true,
        restricted: true,
        endpoints: endpoints.to_vec(),
    };
    let states = [
        vec![given(true, &[0, 1, 2])],
        vec![given(true, &[1, 4])],
        vec![given(false, &[1])],
    ];
    let [real, memory] = both(|| run(&states));
    same(&real, &memory);
}

const ID: TableId<'_> = TableId {
    family: Family::Ipv4,
    name: TABLE,
};

fn set(name: SetName) -> native::Set {
    let family = Family::Ipv4;
    Set { family, name }.spec()
}

const ROW: Row = Row {
    lookup: Lookup::Address,
    local: false,
};

fn frontend() -> Frontend {
    Frontend::Address {
        address: ip("10.1.0.1"),
        port: 80,
        protocol: Protocol::Tcp,
    }
}

/// An element of the map of endpoints.
fn slot(slot: u16, endpoint: &str) -> native::Element {
    let element = Element::Endpoint {
        local: false,
        frontend: frontend(),
        slot,
    };
    element.encode(&ElementContent::Endpoint(endpoint.parse().unwrap()))
}

/// An element of the set of sources.
fn allowed(sources: &str) -> native::Element {
    let element = Element::Allowed {
        frontend: frontend(),
        sources: sources.parse().unwrap(),
    };
    element.encode(&ElementContent::Member)
}

/// Does this in one transaction and says what came of it.
fn commit(asker: &mut Asker, fill: impl FnOnce(&mut Transaction<u32>)) {
    let mut transaction = Transaction::new();
    transaction.begin(None);
    fill(&mut transaction);
    let result = transaction.commit(&mut asker.socket);
    asker.said.push(if is_exact() {
        format!("{result:?}")
    } else {
        format!("{}", result.is_ok())
    });
    asker.hear();
    asker.list(Family::Ipv4);
}

/// A table with a map of endpoints, one of sources, and a rule that looks into the map.
fn make(transaction: &mut Transaction<u32>) {
    let (endpoints, sources) = (
        set(SetName::Endpoints(ROW)),
        set(SetName::Allowed(Protocol::Tcp)),
    );
    transaction.new_table(Family::Ipv4, TABLE);
    transaction.new_set(ID, &endpoints);
    transaction.new_set(ID, &sources);
    transaction.add_elements(ID, &endpoints, [&slot(0, "10.2.0.1:1")]);
    transaction.add_elements(ID, &sources, [&allowed("10.0.0.0/8")]);
    for (key, object) in &desired(&[]) {
        let wanted = Chain::PickSize { row: ROW, size: 1 };
        let Key::Chain { family, chain } = key else {
            continue;
        };
        if *family != Family::Ipv4 || *chain != wanted {
            continue;
        }
        let name = chain.to_string();
        let id = ID.chain(&name);
        transaction.ensure_chain(id);
        for rule in object.rules() {
            transaction.new_rule(id, Position::End, false, |attrs| {
                rule.encode(Family::Ipv4, attrs);
            });
        }
    }
}

#[test]
fn what_is_refused_is_the_same() {
    load_modules();
    let (endpoints, sources) = (
        set(SetName::Endpoints(ROW)),
        set(SetName::Allowed(Protocol::Tcp)),
    );
    let pick = Chain::PickSize { row: ROW, size: 1 }.to_string();
    let [real, memory] = both(|| {
        let mut asker = Asker::new();
        let it = &mut asker;
        commit(it, make);
        // There already: the same is taken, another value is not.
        let (one, other) = (slot(0, "10.2.0.1:1"), slot(0, "10.2.0.9:1"));
        commit(it, |it| it.add_elements(ID, &endpoints, [&one]));
        commit(it, |it| it.add_elements(ID, &endpoints, [&other]));
        commit(it, |it| {
            it.delete_elements(ID, &endpoints, [&one]);
            it.add_elements(ID, &endpoints, [&other]);
        });
        commit(it, |it| {
            it.add_elements(ID, &endpoints, [&slot(1, "10.2.0.2:1"), &one]);
        });
        // Not there.
        let missing = [&other, &slot(7, "10.2.0.1:1")];
        commit(it, |it| it.delete_elements(ID, &endpoints, missing));
        // Ranges that overlap, the same one, and one within another.
        for range in ["10.0.0.0/8", "10.1.0.0/16", "0.0.0.0/0", "11.0.0.0/8"] {
            commit(it, |it| it.add_elements(ID, &sources, [&allowed(range)]));
        }
        for range in ["10.1.0.0/16", "12.0.0.0/8", "11.0.0.0/8"] {
            commit(it, |it| it.delete_elements(ID, &sources, [&allowed(range)]));
        }
        // Sets: one that is there, of another kind, that a rule looks into, that is not there.
        commit(it, |it| it.new_set(ID, &sources));
        commit(it, |it| it.ensure_set(ID, &sources));
        let mut unlike = set(SetName::ClusterIps);
        unlike.name = sources.name.clone();
        commit(it, |it| it.ensure_set(ID, &unlike));
        commit(it, |it| it.delete_set(ID, &endpoints.name));
        commit(it, |it| it.delete_set(ID, "none"));
        commit(it, |it| it.add_elements(ID, &set(SetName::Hairpin), []));
        let hairpin = native::Element::new(ip("10.0.0.1"));
        commit(it, |it| {
            it.add_elements(ID, &set(SetName::ClusterIps), [&hairpin]);
        });
        // Of another length.
        commit(it, |it| it.add_elements(ID, &endpoints, [&hairpin]));
        for wanted in [[0, 1], [0, 7]] {
            let slots = wanted.map(|number| slot(number, "10.2.0.1:1"));
            let slots: Vec<_> = slots.iter().collect();
            let mut found = Vec::new();
            let result = find_elements(&mut it.socket, ID, &endpoints, &slots, |place, listed| {
                found.push((place, listed));
            });
            it.said.push(format!("{result:?} {found:?}"));
        }
        // With its rules gone a set can go, with its elements; a flush takes those alone.
        commit(it, |it| it.flush_set(ID, &sources.name));
        commit(it, |it| it.flush_set(ID, &sources.name));
        commit(it, |it| {
            it.flush_chain(ID.chain(&pick));
            it.delete_set(ID, &endpoints.name);
        });
        commit(it, |it| it.delete_set(ID, &sources.name));
        commit(it, |it| it.delete_table(Family::Ipv4, TABLE));
        asker.said
    });
    same(&real, &memory);
}

/// A range of cluster IPs.
fn range(of: &str) -> native::Element {
    let element = Element::ServiceCidr(of.parse().unwrap());
    element.encode(&ElementContent::Member)
}

#[test]
fn intervals_of_one_field_are_the_same() {
    load_modules();
    let ranges = set(SetName::ServiceCidrs);
    let [real, memory] = both(|| {
        let mut asker = Asker::new();
        let it = &mut asker;
        commit(it, |it| {
            it.new_table(Family::Ipv4, TABLE);
            it.new_set(ID, &ranges);
        });
        // Apart, beside each other, of one address, up to the last address.
        for of in [
            "10.1.0.0/16",
            "10.3.0.0/16",
            "10.2.0.0/16",
            "10.9.9.9/32",
            "255.0.0.0/8",
        ] {
            commit(it, |it| it.add_elements(ID, &ranges, [&range(of)]));
        }
        // There already, within one, around one, and around all.
        for of in [
            "10.1.0.0/16",
            "10.1.1.0/24",
            "10.0.0.0/14",
            "10.0.0.0/8",
            "10.1.255.255/32",
        ] {
            commit(it, |it| it.add_elements(ID, &ranges, [&range(of)]));
        }
        commit(it, |it| {
            it.delete_elements(ID, &ranges, [&range("10.1.0.0/16"), &range("10.2.0.0/16")]);
            it.add_elements(
                ID,
                &ranges,
                [&range("10.1.0.0/17"), &range("10.1.128.0/17")],
            );
        });
        for of in ["10.7.0.0/16", "10.1.0.0/16", "10.3.0.0/16", "255.0.0.0/8"] {
            commit(it, |it| it.delete_elements(ID, &ranges, [&range(of)]));
        }
        commit(it, |it| it.flush_set(ID, &ranges.name));
        commit(it, |it| it.delete_table(Family::Ipv4, TABLE));
        asker.said
    });
    same(&real, &memory);
}

/// Elements that are told in several datagrams.
const MANY: u16 = 4_000;

/// So many slots that they are told in several datagrams.
fn many() -> Vec<native::Element> {
    (0..MANY).map(|number| slot(number, "10.2.0.1:1")).collect()
}

#[test]
fn a_commit_while_elements_are_listed_is_told_as_ever() {
    load_modules();
    let endpoints = set(SetName::Endpoints(ROW));
    let [real, memory] = both(|| {
        let (mut reader, mut writer) = (open(), open());
        let mut transaction = Transaction::<u32>::new();
        transaction.begin(None);
        make(&mut transaction);
        transaction.delete_elements(ID, &endpoints, [&slot(0, "10.2.0.1:1")]);
        transaction.add_elements(ID, &endpoints, &many());
        transaction.commit(&mut writer).unwrap();
        let mut read = 0;
        let result = elements(&mut reader, ID, &endpoints, |_| {
            read += 1;
            if read == 1 {
                transaction.begin(None);
                transaction.new_table(Family::Ipv4, "other");
                transaction.commit(&mut writer).unwrap();
            }
        });
        format!("{result:?}")
    });
    assert_eq!(real, memory);
}

#[test]
fn growth_shows_in_one_list_and_not_in_the_count() {
    let kernel = MemoryKernel::new();
    kernel.show_growth();
    let _entered = kernel.enter();
    let endpoints = set(SetName::Endpoints(ROW));
    let mut socket = open();
    let mut transaction = Transaction::<u32>::new();
    transaction.begin(None);
    make(&mut transaction);
    transaction.delete_elements(ID, &endpoints, [&slot(0, "10.2.0.1:1")]);
    transaction.add_elements(ID, &endpoints, &many());
    transaction.commit(&mut socket).unwrap();
    let mut list = || {
        let (mut listed, mut different) = (0, BTreeSet::new());
        elements(&mut socket, ID, &endpoints, |element| {
            listed += 1;
            different.insert(element.element);
        })
        .unwrap();
        (listed, different.len())
    };
    assert_eq!(list(), (MANY, usize::from(MANY) - 1));
    assert_eq!(list(), (MANY, usize::from(MANY)));
    let count = find_set(&mut socket, ID, &endpoints.name, |set| set.count);
    assert_eq!(count.unwrap(), Some(Some(MANY.into())));
}

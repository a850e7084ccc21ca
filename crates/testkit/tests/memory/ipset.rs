//! IP sets, on a kernel that has them.

use netlink_batch::Socket;
use nfnetlink::Family;
use nfnetlink::ipset::{self, Changes, Entry, Kind, Spec};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::worlds::{both, open, same};

const NAMES: [&str; 4] = ["KUBE-CLUSTER-IP", "KUBE-6-A", "KUBE-NODE-PORT-TCP", "other"];

#[derive(Debug, Clone)]
enum Op {
    Create(usize, Spec),
    Destroy(usize),
    Flush(usize),
    Rename(usize, usize),
    Swap(usize, usize),
    Change(Vec<(bool, usize, Entry)>),
    Ask(usize),
}

fn spec() -> impl Strategy<Value = Spec> {
    let hash = (
        select(&Kind::ALL[..5]),
        select(&Family::ALL[..]),
        select(&[3_u32, 65_536][..]),
    );
    prop_oneof![
        5 => hash.prop_map(|(kind, family, max_elements)| {
            // Since Linux 6.2 this type has a netmask, and sets of both families are told apart.
            let family = if kind == Kind::HashIpPort { Family::Ipv4 } else { family };
            Spec::Hash { kind, family, max_elements }
        }),
        1 => Just(Spec::Ports { first: 0, last: 65_535 }),
        1 => Just(Spec::Ports { first: 80, last: 90 }),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    let texts = [
        (Kind::HashIp, "10.0.0.1"),
        (Kind::HashIp, "10.0.0.2"),
        (Kind::HashIp, "fd00::1"),
        (Kind::HashNet, "10.0.0.0/24"),
        (Kind::HashNet, "fd00::/64"),
        (Kind::HashIpPort, "10.1.0.1,tcp:80"),
        (Kind::HashIpPort, "10.1.0.1,udp:53"),
        (Kind::HashIpPort, "10.1.0.1,sctp:53"),
        (Kind::HashIpPort, "fd00::1,tcp:80"),
        (Kind::HashIpPortIp, "10.1.0.1,tcp:80,10.1.0.1"),
        (Kind::HashIpPortNet, "10.1.0.1,tcp:80,10.0.0.0/8"),
        (Kind::BitmapPort, "80"),
        (Kind::BitmapPort, "8080"),
    ];
    select(texts.to_vec()).prop_map(|(kind, text)| Entry::parse(kind, None, text).unwrap())
}

fn op() -> impl Strategy<Value = Op> {
    let name = || 0..NAMES.len();
    let change = (prop::bool::weighted(0.7), name(), entry());
    prop_oneof![
        6 => (name(), spec()).prop_map(|(name, spec)| Op::Create(name, spec)),
        2 => name().prop_map(Op::Destroy),
        1 => name().prop_map(Op::Flush),
        1 => (name(), name()).prop_map(|(name, other)| Op::Rename(name, other)),
        2 => (name(), name()).prop_map(|(name, other)| Op::Swap(name, other)),
        8 => vec(change, 1..12).prop_map(Op::Change),
        2 => name().prop_map(Op::Ask),
    ]
}

/// Networks are for a set that never holds addresses: those of all their addresses would come in.
fn name_for(name: usize, networks: bool) -> &'static str {
    if networks { NAMES[3] } else { NAMES[name % 3] }
}

fn run(ops: &[Op]) -> Vec<String> {
    let mut socket = open();
    let mut said = vec![format!("{:?}", ipset::protocol(&mut socket))];
    for &kind in Kind::ALL {
        let family = (kind != Kind::BitmapPort).then_some(Family::Ipv4);
        // Newer kernels have more of them.
        said.push(format!(
            "{}",
            ipset::revision(&mut socket, kind, family).is_ok()
        ));
    }
    for op in ops {
        let socket = &mut socket;
        said.push(match op {
            Op::Create(name, spec) => {
                let name = match spec.kind() {
                    Kind::HashIp => name_for(*name, false),
                    _ => NAMES[*name],
                };
                format!("{:?}", ipset::create(socket, name, spec))
            }
            Op::Destroy(name) => format!("{:?}", ipset::destroy(socket, NAMES[*name])),
            Op::Flush(name) => format!("{:?}", ipset::flush(socket, NAMES[*name])),
            Op::Rename(name, other) => {
                format!(
                    "{:?}",
                    ipset::rename(socket, name_for(*name, false), name_for(*other, false))
                )
            }
            Op::Swap(name, other) => {
                format!("{:?}", ipset::swap(socket, NAMES[*name], NAMES[*other]))
            }
            Op::Ask(name) => {
                let index = ipset::ask_index(socket, NAMES[*name]);
                let found = index.as_ref().ok().copied().flatten();
                let name = found.map(|index| ipset::ask_name(socket, index));
                format!("{index:?} {name:?}")
            }
            Op::Change(changes) => {
                let mut all = Changes::new();
                for (number, (adds, name, entry)) in changes.iter().enumerate() {
                    let change = if *adds { Changes::add } else { Changes::remove };
                    let name = name_for(*name, entry.kind() == Kind::HashNet);
                    change(&mut all, name, *entry, number);
                }
                format!("{:?}", all.send(socket))
            }
        });
        look(socket, &mut said);
    }
    said
}

fn look(socket: &mut Socket, said: &mut Vec<String>) {
    let mut names = Vec::new();
    ipset::sets(socket, |set| names.push(set.name.to_owned())).unwrap();
    names.sort();
    for name in names {
        let mut listing = ipset::list(socket, &name).unwrap().unwrap();
        listing.header.memory = 0;
        listing.header.revision = 0;
        listing.entries.sort();
        said.push(format!("{name} {listing:?}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    #[ignore = "needs IP sets: run by scripts/vm"]
    fn both_kernels_have_the_same_sets(ops in vec(op(), 1..16)) {
        let [real, memory] = both(|| run(&ops));
        same(&real, &memory);
    }
}

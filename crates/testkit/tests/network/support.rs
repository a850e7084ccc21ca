//! A hand-written Service dataplane, so that the kit is tested without viprule.

use std::fmt::Write as _;
use std::net::SocketAddr;
use viprule_testkit::dump::Family;
use viprule_testkit::netns::require_privileges;
use viprule_testkit::{Protocol, World};

pub(crate) const BACKENDS: [&str; 3] = ["10.244.0.5", "10.244.0.6", "10.244.1.7"];
pub(crate) const BACKENDS6: [&str; 3] = ["fd00:10:244::5", "fd00:10:244::6", "fd00:10:244:1::7"];
pub(crate) const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
pub(crate) const VIP: &str = "10.1.0.10";
pub(crate) const VIP6: &str = "fd00:10:1::10";

/// A world with three dual-stack pods, two of them on the node.
pub(crate) fn world() -> World {
    require_privileges().unwrap();
    let pods = BACKENDS
        .iter()
        .zip(BACKENDS6)
        .map(|(v4, v6)| format!("{v4},{v6}"));
    pods.fold(World::builder(), |builder, pod| builder.pod(&pod))
        .build()
        .unwrap()
}

pub(crate) fn at(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), port)
}

pub(crate) fn all_at(ips: &[&str], port: u16) -> Vec<SocketAddr> {
    ips.iter().map(|ip| at(ip, port)).collect()
}

/// Rules that spread `vip:80` evenly over the backends' port 8080, for TCP, UDP and SCTP, and
/// masquerade whatever they touch.
pub(crate) fn program(world: &World, family: Family, vip: &str, backends: &[&str], extra: &str) {
    let mut nat = String::from(
        "*nat\n:PREROUTING ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\n:SERVICES -\n\
         -A PREROUTING -j SERVICES\n-A OUTPUT -j SERVICES\n\
         -A POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE\n",
    );
    for protocol in ["tcp", "udp", "sctp"] {
        let service = format!("-A SERVICES -d {vip} -p {protocol} --dport 80");
        writeln!(nat, "{service} -j MARK --set-xmark 0x4000/0x4000").unwrap();
        for (left, backend) in (1..=u8::try_from(backends.len()).unwrap())
            .rev()
            .zip(backends)
        {
            let chance = match left {
                1 => String::new(),
                _ => format!(
                    "-m statistic --mode random --probability {}",
                    1.0 / f64::from(left)
                ),
            };
            let backend = at(backend, 8080);
            writeln!(nat, "{service} {chance} -j DNAT --to-destination {backend}").unwrap();
        }
    }
    let rules = format!("{nat}COMMIT\n*filter\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n{extra}COMMIT\n");
    world
        .node()
        .command(family.restore_tool())
        .input(rules)
        .text()
        .unwrap();
}

//! What is read.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use ipvs_netlink::text::{self, Line};
use ipvs_netlink::{Destination, Family, Ipvs, Protocol, Scheduler, Server, ServerId, Stats, proc};

use crate::OPTIONS;
use crate::common::{all, apply, in_netns, must_open, pod, run, send, tcp};

/// For what has to come; tests that pass never wait so long.
const LIMIT: Duration = Duration::from_secs(180);

/// Makes what `OPTIONS` shows, and thresholds.
const SCRIPT: &str = include_str!("../data/every-option.sh");
/// What kube-proxy leaves.
const GOLDEN: &str = include_str!("../data/ipvsadm-Sn.txt");

#[test]
#[ignore = "needs a kernel with IPVS"]
fn what_is_restored_is_what_ipvsadm_and_the_listings_show() {
    for saved in [OPTIONS, GOLDEN] {
        in_netns(|| {
            let mut ipvs = must_open();
            apply(&mut ipvs, saved);
            let shown: BTreeSet<String> =
                run("ipvsadm", &["-Sn"]).lines().map(Into::into).collect();
            let expected: BTreeSet<String> = saved.lines().map(Into::into).collect();
            assert_eq!(shown, expected);
            let listed: BTreeSet<String> = all(&mut ipvs).iter().map(Line::to_string).collect();
            let expected = expected
                .into_iter()
                .map(|line| line.replace("-f -1", "-f 4294967295"));
            assert_eq!(listed, expected.collect());
        });
    }
}

#[test]
#[ignore = "needs a kernel with IPVS"]
fn what_ipvsadm_makes_is_listed() {
    in_netns(|| {
        run("sh", &["-c", SCRIPT]);
        let listed: BTreeSet<String> = all(&mut must_open()).iter().map(Line::to_string).collect();
        let thresholds = "-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 3";
        let expected = text::parse(OPTIONS).map(|line| match line.unwrap().to_string() {
            line if line == thresholds => format!("{line} -x 100 -y 50"),
            line => line,
        });
        assert_eq!(listed, expected.collect());
    });
}

#[test]
#[ignore = "needs a kernel with IPVS"]
fn the_file_tells_what_the_listings_tell() {
    in_netns(|| {
        let mut ipvs = must_open();
        apply(&mut ipvs, GOLDEN);
        let mut told = BTreeSet::new();
        let mut server = None;
        proc::read(|line| match line {
            proc::Line::Server(line) => {
                server = line.id.server();
                told.insert((server, line.scheduler.to_owned(), None));
            }
            proc::Line::Destination(line) => {
                let entry = (
                    line.id,
                    line.forwarding,
                    line.weight,
                    line.active,
                    line.inactive,
                );
                told.insert((server, String::new(), Some(entry)));
            }
        })
        .unwrap();
        let mut listed = BTreeSet::new();
        for line in all(&mut ipvs) {
            listed.insert(match line {
                Line::Server { id, server } => (Some(id), server.scheduler.to_string(), None),
                Line::Destination {
                    server,
                    id,
                    destination,
                } => {
                    let entry = (id, destination.forwarding, destination.weight, 0, 0);
                    (Some(server), String::new(), Some(entry))
                }
            });
        }
        assert_eq!(told, listed);
    });
}

#[test]
#[ignore = "needs a kernel with IPVS"]
fn thousands_are_made_listed_and_deleted() {
    const COUNT: u32 = 3000;
    in_netns(|| {
        let mut ipvs = must_open();
        let mut requests = ipvs.requests();
        let server = Server::new(Scheduler::RR, Family::Ipv4);
        for number in 0..COUNT {
            requests.new_server(&tcp(number), &server).unwrap();
            for at in 0..3 {
                requests
                    .new_destination(
                        &tcp(number),
                        &pod(number * 3 + at),
                        &Destination::masqueraded(1),
                    )
                    .unwrap();
            }
            if requests.is_full() {
                send(&mut ipvs, &mut requests);
            }
        }
        send(&mut ipvs, &mut requests);
        let lines = all(&mut ipvs);
        let distinct: BTreeSet<String> = lines.iter().map(Line::to_string).collect();
        assert_eq!(
            (lines.len(), distinct.len()),
            (COUNT as usize * 4, COUNT as usize * 4)
        );
        for number in 0..COUNT {
            requests.delete_server(&tcp(number));
        }
        send(&mut ipvs, &mut requests);
        assert!(all(&mut ipvs).is_empty());
    });
}

#[test]
#[ignore = "needs a kernel with IPVS"]
fn packets_are_counted_and_zeroed() {
    in_netns(|| {
        run("ip", &["address", "add", "10.0.0.9/32", "dev", "lo"]);
        let mut ipvs = must_open();
        let receiver = UdpSocket::bind("127.0.0.2:0").unwrap();
        receiver.set_read_timeout(Some(LIMIT)).unwrap();
        let port = receiver.local_addr().unwrap().port();
        let to = format!("-a -u 10.0.0.9:53 -r 127.0.0.2:{port} -m -w 1");
        apply(&mut ipvs, &format!("-A -u 10.0.0.9:53 -s rr\n{to}"));
        let id = ServerId::Address {
            address: [10, 0, 0, 9].into(),
            port: 53,
            protocol: Protocol::Udp,
        };
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..3 {
            sender.send_to(b"123456", "10.0.0.9:53").unwrap();
            assert_eq!(receiver.recv(&mut [0; 8]).unwrap(), 6);
        }
        // The kernel sums up every other second.
        let counted = |ipvs: &mut Ipvs| {
            let mut found = ipvs.server(&id).unwrap().unwrap().stats;
            let start = Instant::now();
            while found.packets_in < 3 && start.elapsed() < LIMIT {
                std::thread::sleep(Duration::from_millis(100));
                found = ipvs.server(&id).unwrap().unwrap().stats;
            }
            found
        };
        let found = counted(&mut ipvs);
        let mut expected = Stats::default();
        expected.connections = 1;
        expected.packets_in = 3;
        expected.bytes_in = 3 * (20 + 8 + 6);
        expected.rates = found.rates;
        assert_eq!(found, expected);
        // Each of them in its own time.
        let (mut entries, start) = (Vec::new(), Instant::now());
        loop {
            ipvs.destinations(&id, |entry| entries.push(entry)).unwrap();
            if entries[0].stats.packets_in == 3 || start.elapsed() > LIMIT {
                break;
            }
            entries.clear();
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_eq!((entries[0].active, entries[0].inactive), (0, 1));
        assert_eq!(entries[0].stats.packets_in, 3);
        assert!(!entries[0].is_idle());

        let mut requests = ipvs.requests();
        requests.zero(Some(&id));
        send(&mut ipvs, &mut requests);
        let found = ipvs.server(&id).unwrap().unwrap().stats;
        assert_eq!(
            (found.connections, found.packets_in, found.bytes_in),
            (0, 0, 0)
        );
    });
}

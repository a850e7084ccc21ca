//! Traffic through legacy tables, written by the host's programs.

use crate::support::busy::{Busy, CHANGING, ENDPOINTS, ready};
use crate::support::golden::Golden;
use crate::support::{
    Loaded, PATIENCE, Place, Stage, Watched, alone, at, even, flawless, shared, timed_out,
};
use nfnetlink::Family;
use viprule_dataplane::iptables::{Iptables, Settings};
use viprule_dataplane::{CommonSettings, DetectLocal, Scope};
use viprule_service::tracker::Tracker;
use viprule_source::manifest::Manifests;
use viprule_sync::{Report, Syncer};
use viprule_testkit::Namespace;
use viprule_testkit::Protocol::{Sctp, Tcp, Udp};
use viprule_testkit::client::{Failure, Load};
use viprule_testkit::objects;
use viprule_writer::netfilter::LegacyWriter;

/// Connections a second.
const RATE: u32 = 2_000;
/// Times that something comes and goes within one load.
const CYCLES: usize = 10;
/// Connections before a load ends, and between two changes.
const FURTHER: u64 = 300;
const BETWEEN: u64 = 50;

/// What keeps a node right.
struct Node {
    namespace: Namespace,
    manifests: Manifests,
    syncer: Syncer<Iptables, LegacyWriter>,
}

impl Node {
    /// The stage's node, with all that its manifests say.
    fn program(stage: &Stage) -> Self {
        let tracker = Tracker::new(objects::plan_config("node-0"));
        let networks = ["10.244.0.0/16", "fd00:10:244::/48"];
        let settings = Settings {
            nfacct: false,
            common: CommonSettings {
                detect_local: DetectLocal::ClusterCidr(
                    networks.map(|network| network.parse().unwrap()).to_vec(),
                ),
                ..CommonSettings::default()
            },
            ..Settings::default()
        };
        let dataplane = Iptables::new(settings, tracker.facts());
        let writer = LegacyWriter::open(&Family::ALL).unwrap();
        let mut node = Self {
            namespace: stage.world.node().try_clone().unwrap(),
            manifests: Manifests::new([stage.folder().into()], Some("node-0".to_owned())),
            syncer: Syncer::new(tracker, dataplane, writer),
        };
        node.read();
        let syncer = &mut node.syncer;
        let report = node.namespace.run(|| syncer.reconcile(Scope::Everything));
        assert_eq!(report.unwrap().unwrap().refused, [""; 0]);
        node
    }

    fn read(&mut self) {
        let load = self.manifests.load();
        assert_eq!(load.problems, []);
        for event in load.events {
            self.syncer.apply(event);
        }
    }

    /// Writes what the manifests changed.
    fn follow(&mut self) -> Report {
        self.read();
        let syncer = &mut self.syncer;
        let report = self.namespace.run(|| syncer.sync()).unwrap().unwrap();
        assert!(
            !report.is_empty() && report.refused.is_empty(),
            "{report:?}"
        );
        report
    }
}

#[test]
fn the_golden_cluster_works_from_everywhere() {
    let golden = Golden::new(shared());
    let mut node = Node::program(&golden.stage);
    let nginx = ["10.244.0.5:80", "10.244.1.3:80", "10.244.2.4:80"];
    let web = ["10.244.0.80:8080", "10.244.1.80:8080"];
    let web_6 = ["[fd00:10:244::80]:8080", "[fd00:10:244:1::80]:8080"];
    let sctp = ["10.244.0.80:132", "10.244.1.80:132"];
    for place in Place::ALL {
        let what = format!("{place:?}");
        let cases: [(_, _, &[&str]); 5] = [
            (Tcp, "10.1.20.144:8080", &nginx),
            (Tcp, "10.1.0.80:80", &web),
            (Tcp, "192.168.77.2:30080", &web),
            (Tcp, "[fd00:77::2]:30080", &web_6),
            (Sctp, "10.1.0.80:132", &sctp),
        ];
        for (protocol, target, backends) in cases {
            let client = golden.stage.client(place, at(target));
            even(client, (protocol, at(target), 300), backends, &what);
        }
        let (sticky, empty) = (at("10.1.0.20:53"), at("10.1.0.30:80"));
        let client = golden.stage.client(place, sticky);
        let spread = client.spread(Udp, sticky, 20).unwrap();
        let affine = (spread.backends.len(), spread.failed());
        assert_eq!(affine, (1, 0), "{what}: {spread:?}");
        let attempt = golden.stage.client(place, empty).tcp(empty).unwrap();
        assert_eq!(attempt.failure(), Some(&Failure::Refused), "{what}");
    }
    let edge = at("203.0.113.40:443");
    let from = |source: &str| {
        let client = golden.stage.world.outside();
        client.from_address(source.parse().unwrap())
    };
    for source in ["203.0.113.9", "192.0.2.5"] {
        let attempt = from(source).tcp(edge).unwrap();
        assert!(attempt.is_answered(), "{source} is in a source range");
    }
    let attempt = from("192.0.2.200").timeout(PATIENCE).tcp(edge).unwrap();
    timed_out(&attempt, "in no source range");

    let syncer = &mut node.syncer;
    let report = node.namespace.run(|| syncer.remove_everything()).unwrap();
    assert_eq!(report.unwrap().refused, [""; 0]);
    let target = at("10.1.0.20:80");
    let outside = golden.stage.world.outside().timeout(PATIENCE);
    assert_eq!(
        outside.tcp(target).unwrap().failure(),
        Some(&Failure::TimedOut)
    );
}

#[test]
fn a_change_costs_no_connection() {
    flawless(|| {
        let busy = Busy::new(alone());
        let _servers = ENDPOINTS.map(|endpoint| busy.serve(endpoint));
        busy.write_service();
        busy.write_endpoints(ENDPOINTS.map(ready));
        let mut node = Node::program(&busy.stage);
        let load = busy.load(RATE, &CHANGING);
        for cycle in 0..CYCLES {
            let gone = ENDPOINTS[cycle % ENDPOINTS.len()];
            busy.write_endpoints(ENDPOINTS.into_iter().filter(|ip| *ip != gone).map(ready));
            node.follow();
            busy.write_endpoints(ENDPOINTS.map(ready));
            node.follow();
        }
        load.outlast(FURTHER);
        load.stop()
    });
}

/// filter and nat change one after the other: between them a Service must not be without both
/// the refusal in the one and the translation in the other.
#[test]
fn while_the_last_endpoint_goes_and_comes_connections_are_answered_or_refused_at_once() {
    let busy = Busy::new(alone());
    let _server = busy.serve(ENDPOINTS[0]);
    busy.write_service();
    busy.write_endpoints([ready(ENDPOINTS[0])]);
    let mut node = Node::program(&busy.stage);
    let load = Load::new(RATE, [at(CHANGING[0])]);
    let load = Watched::start(&busy.stage.world, load);
    for _ in 0..3 * CYCLES {
        busy.write_endpoints([]);
        assert_eq!(node.follow().transactions, 2);
        load.outlast(BETWEEN);
        busy.write_endpoints([ready(ENDPOINTS[0])]);
        assert_eq!(node.follow().transactions, 2);
        load.outlast(BETWEEN);
    }
    let Loaded { report, lost } = load.stop();
    assert!(report.answered() > 0 && report.failed() > 0, "{report:?}");
    let reasons: Vec<&Failure> = report.failures.keys().collect();
    assert_eq!(reasons, [&Failure::Refused], "{:?}", report.failures);
    // No endpoint sees what is refused.
    assert_eq!(lost, report.failed(), "neither answered nor refused");
}

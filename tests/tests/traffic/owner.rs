//! Whose an address is that several Services ask for.

use viprule_testkit::Protocol::Tcp;
use viprule_testkit::World;
use viprule_testkit::manifests::{join, service, slice};
use viprule_testkit::server::Server;

use crate::support::{CLUSTER_CIDR, PATIENCE, Place, Stage, at, shared};

/// The endpoint of `dns`, whose addresses `taker` asks for, too.
const OWN: &str = "10.244.0.61:8080";
/// The endpoint of `taker`.
const TAKEN: &str = "10.244.0.62:8080";

const CLUSTER_IP: &str = "10.1.0.10:53";
const BALANCER: &str = "203.0.113.10:53";
const NODE_PORT: &str = "192.168.77.2:30053";

struct Scene {
    stage: Stage,
    _servers: [Server; 2],
}

impl Scene {
    fn new() -> Self {
        let builder = World::builder().pods(["10.244.0.61", "10.244.0.62"]);
        let stage = Stage::new(shared(), builder);
        let servers = [OWN, TAKEN].map(|at| stage.world.serve(Tcp, at).unwrap());
        Self {
            stage,
            _servers: servers,
        }
    }

    fn write_dns(&self) {
        let service = service("dns")
            .cluster_ip("10.1.0.10")
            .load_balancer("203.0.113.10")
            .tcp("t", 53, 8080)
            .node_port(30053);
        self.write("dns", service.to_string(), "10.244.0.61");
    }

    /// All of them by external IPs, which come last. One of the ports is nobody else's.
    fn write_taker(&self) {
        let service = service("aaa")
            .cluster_ip("10.1.0.11")
            .external_ip("10.1.0.10")
            .external_ip("203.0.113.10")
            .external_ip("192.168.77.2")
            .tcp("t", 53, 8080)
            .tcp("n", 30053, 8080)
            .tcp("own", 54, 8080);
        self.write("aaa", service.to_string(), "10.244.0.62");
    }

    fn write(&self, name: &str, service: String, endpoint: &str) {
        let slice = slice(&format!("{name}-1"), name)
            .tcp("t", 8080)
            .tcp("n", 8080)
            .tcp("own", 8080)
            .ready(endpoint, "node-0");
        let text = join([service, slice.to_string()]);
        self.stage.write(&format!("{name}.yaml"), &text);
    }

    /// Fails unless this endpoint answers at each of the targets.
    #[track_caller]
    fn expect(&self, targets: &[&str], backend: &str) {
        for target in targets.iter().map(|target| at(target)) {
            for place in [Place::Outside, Place::Pod] {
                let client = self.stage.client(place, target);
                for _ in 0..4 {
                    let attempt = client.timeout(PATIENCE).ask(Tcp, target).unwrap();
                    let answer = attempt.result.map(|it| it.backend);
                    assert_eq!(answer, Ok(at(backend)), "{target} from {place:?}");
                }
            }
        }
    }
}

const SHARED: [&str; 3] = [CLUSTER_IP, BALANCER, NODE_PORT];

#[test]
fn what_a_service_has_by_a_stronger_field_stays_its_own() {
    let scene = Scene::new();
    scene.write_dns();
    scene.write_taker();
    scene.stage.apply(CLUSTER_CIDR);
    scene.expect(&SHARED, OWN);
    // Other ports of a shared address are its own.
    scene.expect(&["10.1.0.10:54", "203.0.113.10:54"], TAKEN);
    scene.stage.assert_in_sync(CLUSTER_CIDR);
}

#[test]
fn an_address_goes_to_its_owner_in_whatever_order_services_come() {
    let scene = Scene::new();
    scene.write_taker();
    let mut agent = scene.stage.run(CLUSTER_CIDR);
    scene.expect(&SHARED, TAKEN);
    scene.write_dns();
    agent.changed();
    scene.expect(&SHARED, OWN);
    scene.stage.remove("dns.yaml");
    agent.changed();
    scene.expect(&SHARED, TAKEN);
    scene.write_dns();
    agent.changed();
    scene.expect(&SHARED, OWN);
    scene.stage.remove("aaa.yaml");
    agent.changed();
    scene.expect(&SHARED, OWN);
    scene.stage.assert_in_sync(CLUSTER_CIDR);
}

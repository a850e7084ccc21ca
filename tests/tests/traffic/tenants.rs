//! Many tenants ask for all that they can get, beside one who does not.

use serde_json::{Value, json};
use std::time::{Duration, Instant};

use crate::support::busy::{Busy, CHANGING, ENDPOINTS, ready};
use crate::support::{CLUSTER_CIDR, LIMIT, Place, alone, at, flawless, rate};

const TENANTS: u8 = 10;
/// Connections a second to the Services of who asks for no more than he needs.
const LOAD: u32 = 200;
/// Memory of the agent at most, KiB. It uses a sixth of that.
const MEMORY: u64 = 256 << 10;

/// How much the tenants ask for.
#[derive(Clone, Copy)]
struct Greed {
    /// Ports and endpoints of the largest Services that are just small enough.
    large: (u16, u16),
    /// How many times the honest Service changes meanwhile.
    changes: usize,
    flags: &'static str,
}

/// Small budgets, so that the machine is busy for seconds and not for minutes.
const TEST: Greed = Greed {
    large: (60, 60),
    changes: 4,
    flags: " --service-budget=4000 --total-budget=40000",
};
/// The budgets of everybody, for figures.
const FIGURES: Greed = Greed {
    large: (300, 320),
    changes: 40,
    flags: "",
};

fn address(tenant: u8, kind: u8, number: u16) -> String {
    let [high, low] = number.to_be_bytes();
    format!("10.{}.{}.{low}", 100 + tenant, kind * 16 + high)
}

fn ports(many: u16) -> Vec<Value> {
    let port = |number: u16| json!({"name": format!("p{number}"), "port": 1_000 + number});
    (0..many).map(port).collect()
}

struct Tenant {
    number: u8,
    round: usize,
    objects: Vec<Value>,
}

impl Tenant {
    fn namespace(&self) -> String {
        format!("tenant-{}", self.number)
    }

    fn service(&mut self, name: &str, spec: &Value) {
        let annotations = json!({"round": self.round.to_string()});
        self.objects.push(json!({
            "apiVersion": "v1", "kind": "Service", "spec": spec,
            "metadata": {"name": name, "namespace": self.namespace(), "annotations": annotations},
        }));
    }

    /// Other endpoints in each round.
    fn slice(&mut self, service: &str, ports: &[Value], endpoints: u16) {
        let first = u16::try_from(self.round % 2).unwrap();
        let endpoint = |number: u16| json!({"addresses": [address(self.number, 8, number)], "conditions": {"ready": true}});
        let endpoints: Vec<Value> = (first..first + endpoints).map(endpoint).collect();
        let labels = json!({"kubernetes.io/service-name": service});
        self.objects.push(json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {
                "name": format!("{service}-1"), "namespace": self.namespace(), "labels": labels,
            },
            "ports": ports, "endpoints": endpoints,
        }));
    }

    fn large(&mut self, number: u16, (ports, endpoints): (u16, u16)) {
        let name = format!("large-{number}");
        let all = self::ports(ports);
        let ip = address(self.number, 1, number);
        self.service(&name, &json!({"clusterIP": ip, "ports": all}));
        self.slice(&name, &all, endpoints);
    }

    /// 500 objects.
    fn fill(&mut self, greed: Greed) {
        let (most_ports, most_endpoints) = greed.large;
        for number in 0..3 {
            self.large(number, greed.large);
        }
        self.large(9, (2 * most_ports, most_endpoints));
        let ip = address(self.number, 2, 0);
        self.service("ports", &json!({"clusterIP": ip, "ports": ports(2_000)}));
        for number in 0..120 {
            let ip = address(self.number, 3, number);
            let name = format!("grab-{number}");
            let port = json!([{"name": "p1", "port": 80}]);
            self.service(
                &name,
                &json!({
                    "clusterIP": ip, "ports": port,
                    "externalIPs": ["10.1.0.79", "10.1.0.71", "192.168.77.2", "10.1.0.1"],
                }),
            );
            self.slice(&name, &ports(2), 3);
        }
        for number in 0..126 {
            let name = format!("broken-{number}");
            let specs = [
                json!({"clusterIP": "10.1.0.79", "ports": [{"port": 80, "protocol": "ODD"}]}),
                json!({"clusterIP": address(self.number, 4, number), "ports": [{"port": 0}]}),
                json!({"clusterIP": "no address", "ports": [{"port": 80}]}),
            ];
            self.service(&name, &specs[usize::from(number) % 3]);
        }
        let mut number = 0;
        while self.objects.len() < 500 {
            let name = format!("small-{number}");
            let ip = address(self.number, 5, number);
            self.service(&name, &json!({"clusterIP": ip, "ports": ports(3)}));
            self.slice(&name, &ports(3), 5);
            number += 1;
        }
    }

    fn write(busy: &Busy, number: u8, round: usize, greed: Greed) {
        let mut tenant = Self {
            number,
            round,
            objects: Vec::new(),
        };
        tenant.fill(greed);
        let list = json!({"apiVersion": "v1", "kind": "List", "items": tenant.objects});
        busy.stage
            .write(&format!("tenant-{number}.json"), &list.to_string());
    }
}

/// How long it takes until this endpoint alone is what a pod gets to.
#[track_caller]
fn moves_to(busy: &Busy, endpoint: &str) -> Duration {
    busy.write_endpoints([ready(endpoint)]);
    let start = Instant::now();
    let target = at(CHANGING[0]);
    loop {
        let attempt = busy.stage.client(Place::Pod, target).tcp(target).unwrap();
        let elapsed = start.elapsed();
        if attempt.result.unwrap().backend == at(&format!("{endpoint}:8080")) {
            return elapsed;
        }
        assert!(elapsed < LIMIT, "the change is not in");
    }
}

#[test]
fn ten_tenants_cost_another_one_no_connection_and_no_change() {
    let greed = if std::env::var_os("VIPRULE_FIGURES").is_some() {
        FIGURES
    } else {
        TEST
    };
    flawless(|| {
        let busy = Busy::new(alone());
        let _servers = [0, 1].map(|number| busy.serve(ENDPOINTS[number]));
        busy.write_service();
        busy.write_endpoints([ready(ENDPOINTS[1])]);
        let run = busy.stage.run(&format!("{CLUSTER_CIDR}{}", greed.flags));
        let load = busy.load(rate(LOAD), &CHANGING);
        let mut alone: Vec<Duration> = (0..greed.changes)
            .map(|change| moves_to(&busy, ENDPOINTS[change % 2]))
            .collect();
        let mut beside = Vec::new();
        for change in 0..greed.changes {
            for number in 0..TENANTS {
                Tenant::write(&busy, number, change, greed);
            }
            beside.push(moves_to(&busy, ENDPOINTS[change % 2]));
        }
        for times in [&mut alone, &mut beside] {
            times.sort_unstable();
        }
        let memory = run.most_memory();
        eprintln!(
            "changes alone: median {:?}, longest {:?}; beside {TENANTS} tenants: median {:?}, longest \
             {:?}; the agent's memory: {} MiB",
            alone[alone.len() / 2],
            alone.last().unwrap(),
            beside[beside.len() / 2],
            beside.last().unwrap(),
            memory >> 10,
        );
        assert!(memory < MEMORY, "{memory} KiB");
        load.stop()
    });
}

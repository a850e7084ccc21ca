//! Schedulers, their flags, weights and affinity (contract 3.3, and annotations of our own).

use viprule_dataplane::ipvs::Settings;
use viprule_service::model::{Balancing, SchedulerFlags, SchedulerName, Service, WeightKey};

use crate::world::{about, render, service};

fn server(service: &Service, scheduler: &str) -> String {
    let settings = Settings {
        scheduler: scheduler.parse().unwrap(),
        ..Settings::default()
    };
    let found = about(&render(service, settings), &["-A "]);
    let [found] = &found[..] else {
        panic!("{found:?}")
    };
    found.replace("-A -t 10.1.0.1:80 -s ", "")
}

fn wish(balancing: Balancing) -> Service {
    Service {
        balancing: Some(Box::new(balancing)),
        ..service()
    }
}

#[test]
fn maglev_hashes_ports_as_kube_proxy_lets_it() {
    assert_eq!(server(&service(), "rr"), "rr");
    assert_eq!(server(&service(), "lc"), "lc");
    assert_eq!(server(&service(), "mh"), "mh -b mh-port");
}

#[test]
fn affinity_makes_a_server_persistent() {
    let sticky = Service {
        affinity_seconds: Some(600),
        ..service()
    };
    assert_eq!(server(&sticky, "rr"), "rr -p 600");
    assert_eq!(server(&sticky, "mh"), "mh -p 600 -b mh-port");
}

#[test]
fn a_services_own_scheduler_and_flags_go_first() {
    let name = |name| SchedulerName::new(name);
    let mut balancing = Balancing {
        scheduler: name("mh"),
        ..Balancing::default()
    };
    assert_eq!(
        server(&wish(balancing.clone()), "rr"),
        "mh -b mh-fallback,mh-port"
    );
    balancing.scheduler = name("sh");
    assert_eq!(server(&wish(balancing.clone()), "rr"), "sh -b sh-fallback");
    balancing.scheduler = name("mh");
    balancing.flags = Some(SchedulerFlags([true, false, true]));
    assert_eq!(
        server(&wish(balancing.clone()), "rr"),
        "mh -b mh-fallback,flag-3"
    );
    balancing.flags = Some(SchedulerFlags::default());
    assert_eq!(server(&wish(balancing.clone()), "rr"), "mh");
    balancing.scheduler = None;
    assert_eq!(server(&wish(balancing), "mh"), "mh");
}

#[test]
fn weights_are_the_destinations_and_make_schedulers_weighted() {
    let mut balancing = Balancing {
        weights: [
            (WeightKey::Node("there".into()), 5),
            (WeightKey::Address(crate::world::ip("10.2.0.5")), 300),
        ]
        .into(),
        ..Balancing::default()
    };
    let found = render(&wish(balancing.clone()), Settings::default());
    assert_eq!(
        about(&found, &["-a "]),
        [
            "-a -t 10.1.0.1:80 -r 10.2.0.5:8080 -m -w 300",
            "-a -t 10.1.0.1:80 -r 10.2.1.5:8080 -m -w 5"
        ]
    );
    let by_default = wish(balancing.clone());
    assert_eq!(server(&by_default, "rr"), "wrr");
    assert_eq!(server(&by_default, "lc"), "wlc");
    assert_eq!(server(&by_default, "sh"), "sh");
    // Whoever names one means it.
    balancing.scheduler = SchedulerName::new("rr");
    assert_eq!(server(&wish(balancing), "rr"), "rr");
}

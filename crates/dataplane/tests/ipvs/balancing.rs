//! Schedulers, their flags, weights and affinity (contract 3.3, and annotations of our own).

use viprule_dataplane::ipvs::{Ipvs, Settings};
use viprule_dataplane::{Dataplane as _, Feature, NodeEffect};
use viprule_service::model::{Balancing, SchedulerFlags, SchedulerName, Service, WeightKey};

use crate::world::{about, facts, plan, render, service, texts};

fn server(service: &Service, scheduler: &str) -> String {
    server_without(&[], service, scheduler).0
}

/// A Service's server on a kernel without these schedulers, and what is objected to.
fn server_without(lacking: &[&str], service: &Service, scheduler: &str) -> (String, Vec<String>) {
    let settings = Settings {
        scheduler: scheduler.parse().unwrap(),
        ..Settings::default()
    };
    let mut dataplane = Ipvs::new(settings, &facts());
    let lacking = lacking.iter();
    let lacking = lacking.map(|it| Feature::Scheduler(it.parse().unwrap()));
    dataplane.set_lacking(&lacking.collect(), &facts());
    let plan = plan(service);
    let found = about(&texts(&dataplane.service(&plan)), &["-A "]);
    let [found] = &found[..] else {
        panic!("{found:?}")
    };
    let server = found.replace("-A -t 10.1.0.1:80 -s ", "");
    (server, dataplane.objections(&plan))
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

#[test]
fn a_scheduler_that_linux_does_not_have_is_never_asked_for() {
    let balancing = Balancing {
        scheduler: SchedulerName::new("ftp"),
        flags: Some(SchedulerFlags([true; 3])),
        ..Balancing::default()
    };
    let (server, objections) = server_without(&[], &wish(balancing), "mh");
    assert_eq!(server, "mh -b mh-port");
    let [objection] = &objections[..] else {
        panic!("{objections:?}")
    };
    let start = "scheduler ftp is none that Linux has (rr, wrr, lc, wlc,";
    assert!(objection.starts_with(start), "{objection}");
    assert!(objection.contains("mh serves in its place"), "{objection}");
}

#[test]
fn what_the_kernel_lacks_the_configured_scheduler_or_round_robin_replaces() {
    let named = |scheduler| {
        wish(Balancing {
            scheduler: SchedulerName::new(scheduler),
            ..Balancing::default()
        })
    };
    let lacks = |lacking: &[&str], service: &Service, scheduler: &str| {
        let (server, objections) = server_without(lacking, service, scheduler);
        (server, objections.len())
    };
    let is = |server: &str, objections| (server.to_owned(), objections);
    assert_eq!(lacks(&["mh"], &named("mh"), "lc"), is("lc", 1));
    assert_eq!(lacks(&["mh", "lc"], &named("mh"), "lc"), is("rr", 1));
    assert_eq!(lacks(&["lc"], &named("mh"), "lc").1, 0);
    // Nobody asked for it by Service.
    assert_eq!(lacks(&["lc"], &service(), "lc"), is("rr", 0));
    let weighted = wish(Balancing {
        weights: [(WeightKey::Node("there".into()), 5)].into(),
        ..Balancing::default()
    });
    assert_eq!(lacks(&["wrr"], &weighted, "rr"), is("rr", 1));
    assert_eq!(lacks(&["wlc"], &weighted, "rr"), is("wrr", 0));
    assert_eq!(lacks(&["lc"], &weighted, "lc"), is("wrr", 0));
}

#[test]
fn services_are_rendered_again_only_where_the_kernel_has_changed() {
    let mut dataplane = Ipvs::new(Settings::default(), &facts());
    let lacking = [Feature::Scheduler("mh".parse().unwrap())].into();
    let effect = dataplane.set_lacking(&lacking, &facts());
    assert_eq!(effect, NodeEffect::Everything);
    assert_eq!(
        dataplane.set_lacking(&lacking, &facts()),
        NodeEffect::Nothing
    );
    assert_eq!(dataplane.set_node(&facts()), NodeEffect::Nothing);
}

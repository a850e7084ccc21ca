//! What another file means for an agent that runs.

use std::time::Duration;

use viprule::config::{Changes, Effective};
use viprule::mode::ProxyMode;
use viprule::mode::ipvs::IpvsSettings;

use crate::support::{OWN_HEAD, Place};

fn adopt(old: &str, new: &str) -> (Effective, Changes) {
    let place = Place::new(old);
    let before = place.load("--hostname-override=a").unwrap();
    place.write(new);
    Changes::adopt(&before, place.load("--hostname-override=a").unwrap())
}

fn changes(new: &str) -> Changes {
    adopt("", new).1
}

#[test]
fn the_same_said_otherwise_is_no_change() {
    assert!(changes("# a comment\nmode: iptables\n").is_empty());
    // The flag wins.
    assert!(!changes("hostnameOverride: b").plan);
    assert_eq!(changes("hostnameOverride: b"), Changes::default());
}

#[test]
fn each_field_concerns_its_part() {
    let shown = Changes {
        shown: true,
        ..Changes::default()
    };
    assert_eq!(changes("portRange: 1-2"), shown);
    let of = |field: &str| changes(field);
    assert_eq!(
        of("bindAddress: 10.0.0.1"),
        Changes {
            plan: true,
            ..shown.clone()
        }
    );
    assert_eq!(
        of("featureGates: {AllowServiceExternalIPs: false}"),
        Changes {
            plan: true,
            ..shown.clone()
        }
    );
    assert_eq!(
        of("clusterCIDR: 10.0.0.0/8"),
        Changes {
            dataplane: true,
            ..shown.clone()
        }
    );
    assert_eq!(
        of("nodePortAddresses: [primary]"),
        Changes {
            dataplane: true,
            ..shown.clone()
        }
    );
    assert_eq!(
        of("iptables: {syncPeriod: 9s}"),
        Changes {
            sync: true,
            ..shown.clone()
        }
    );
    assert_eq!(
        of("logging: {verbosity: 4}"),
        Changes {
            log_level: true,
            ..shown.clone()
        }
    );
    assert_eq!(
        of("conntrack: {min: 5}"),
        Changes {
            conntrack: true,
            ..shown.clone()
        }
    );
    assert_eq!(
        of("oomScoreAdj: 5"),
        Changes {
            oom_score_adj: true,
            ..shown.clone()
        }
    );
    assert_eq!(
        of("healthzBindAddress: 10.0.0.1"),
        Changes {
            health: true,
            ..shown.clone()
        }
    );
    assert_eq!(
        of("metricsBindAddress: 10.0.0.1"),
        Changes {
            metrics: true,
            ..shown.clone()
        }
    );
    assert_eq!(
        of("clientConnection: {kubeconfig: /x}"),
        Changes {
            source: true,
            ..shown
        }
    );
}

#[test]
fn what_takes_a_restart_is_named_and_stays() {
    let own = format!("{OWN_HEAD}ipFamilies: [ipv4]\niptablesBackend: nft\nseccomp: false\n");
    let fields = format!("logging: {{format: json}}\nclusterCIDR: 10.0.0.0/8\n{own}");
    let (now, changes) = adopt("", &fields);
    assert_eq!(
        changes.restart,
        ["logging.format", "ipFamilies", "iptablesBackend", "seccomp"]
    );
    assert!(changes.dataplane, "the rest is taken over");
    assert_eq!(now.proxy.logging.format, "text");
    assert_eq!(now.resolve().common.families.len(), 2);
    assert!(!now.resolve().families_chosen);
    assert_eq!(now.resolve().backend.to_string(), "auto");
    assert!(now.resolve().seccomp);
}

#[test]
fn the_mode_stays_with_all_that_it_decides() {
    let (now, changes) = adopt(
        "oomScoreAdj: 4",
        "mode: ipvs\nipvs: {scheduler: lc, strictARP: true}\n\
         iptables: {masqueradeBit: 3, syncPeriod: 9s}\noomScoreAdj: 5\n",
    );
    assert_eq!(changes.restart, ["mode"]);
    assert_eq!(now.proxy.mode, "iptables");
    assert_eq!(now.resolve().mode, ProxyMode::Iptables);
    assert_eq!(now.resolve().modes.ipvs, IpvsSettings::default());
    let (before, _) = adopt("", "");
    assert_eq!(now.proxy.iptables, before.proxy.iptables);
    assert_eq!((changes.sync, changes.dataplane), (false, false));
    assert!(changes.oom_score_adj && !changes.node);
}

#[test]
fn node_port_addresses_stay_with_the_mode_that_has_them() {
    let addresses = |old: &str, new: &str| {
        let (now, changes) = adopt(old, new);
        assert_eq!(
            (&changes.restart[..], changes.shown),
            (&["mode"][..], false)
        );
        now.proxy.node_port_addresses
    };
    assert_eq!(addresses("", "mode: nftables\n"), None);
    let primary = Some(vec!["primary".to_owned()]);
    assert_eq!(addresses("mode: nftables\n", ""), primary);
}

#[test]
fn ipvs_settings_change_without_a_restart() {
    let of = |fields: &str| {
        let fields = format!("mode: ipvs\n{fields}");
        let (now, changes) = adopt("mode: ipvs", &fields);
        assert!(changes.restart.is_empty());
        (now.resolve().modes.ipvs.clone(), changes)
    };
    let (ipvs, changes) = of("ipvs: {scheduler: lc, excludeCIDRs: [10.0.0.0/8]}");
    assert_eq!(
        (ipvs.scheduler.as_str(), ipvs.exclude_cidrs.len()),
        ("lc", 1)
    );
    assert!(changes.dataplane && !changes.node);
    for fields in ["strictARP: true", "tcpTimeout: 5m", "udpTimeout: 5s"] {
        let (_, changes) = of(&format!("ipvs: {{{fields}}}"));
        assert!(changes.node, "{fields}");
    }
    let (ipvs, changes) = of(&format!("{OWN_HEAD}ipvsDrainTimeout: 9s"));
    assert_eq!(ipvs.drain_timeout, Some(Duration::from_secs(9)));
    assert!(changes.dataplane && !changes.node);
}

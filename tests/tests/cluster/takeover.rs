//! One proxy after the other, on the same configuration.

use crate::support::{LIMIT, Stage, flawless};
use std::thread::sleep;
use std::time::Duration;
use viprule_testkit::cluster::Proxy;
use viprule_testkit::dump::{ForeignState, is_our_chain};

/// Connections a second.
const RATE: u32 = 1_000;
const WHILE: Duration = Duration::from_secs(2);

/// Each proxy takes over from the one before; the last one cleans up.
fn handed_on(proxies: &[Proxy]) {
    let stage = Stage::new();
    let untouched = ForeignState::take(stage.node()).unwrap();
    let (first, others) = proxies.split_first().unwrap();
    let mut agent = stage.run(*first);
    let load = stage.load(RATE);
    let mut open = stage.open();
    let answers = open.iter_mut().map(|open| open.ask().result.unwrap());
    let answers: Vec<_> = answers.collect();
    for proxy in others {
        agent.terminate(LIMIT).unwrap();
        agent = stage.run(*proxy);
        sleep(WHILE);
        let again = open.iter_mut().map(|open| open.ask().result.unwrap());
        assert_eq!(
            again.collect::<Vec<_>>(),
            answers,
            "after {proxy} took over"
        );
    }
    agent.terminate(LIMIT).unwrap();
    let report = load.stop().unwrap();
    let names: Vec<_> = proxies.iter().map(|proxy| proxy.name()).collect();
    flawless(&names.join(" → "), &report);
    eprintln!("{} established connections lived on", open.len());
    drop(open);

    let last = proxies[proxies.len() - 1];
    last.cleanup(stage.node(), stage.config()).unwrap();
    for dump in stage.dumps() {
        for (table, chains) in &dump.tables {
            let left = chains.chains.iter().find(|(name, chain)| {
                // kubelet's own, which kube-proxy leaves too.
                let kubelets = ["KUBE-FIREWALL", "KUBE-KUBELET-CANARY"].contains(&name.as_str());
                (is_our_chain(name) && !kubelets)
                    || chain
                        .rules
                        .iter()
                        .any(|rule| rule.contains("KUBE-") && !rule.contains("KUBE-FIREWALL"))
            });
            assert_eq!(left, None, "in {table} after {last}'s cleanup");
        }
    }
    let after = ForeignState::take(stage.node()).unwrap();
    assert_eq!(untouched, after, "{}", untouched.changes(&after));
}

#[test]
fn kube_proxy_hands_on_to_kube_proxy() {
    handed_on(&[Proxy::KubeProxy; 3]);
}

#[test]
fn kube_proxy_and_viprule_take_over_from_each_other() {
    use Proxy::{KubeProxy, Viprule};
    handed_on(&[KubeProxy, Viprule, KubeProxy, Viprule]);
}

//! States that no kernel would take, and rules that the walker doesn't know, are told as such.

use nfnetlink::Family;
use viprule_dataplane::netfilter::{Desired, parse_save};
use viprule_dataplane::ownership::Layout;
use viprule_testkit::walker::iptables::{RecentLists, Unordered, Walker};
use viprule_testkit::walker::{Host, Outcome, WalkError};

use crate::world::{empty_cluster, packet};

fn state(nat: &str) -> Desired {
    let text = format!(
        "*nat\n-A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n\
         {nat}COMMIT\n"
    );
    parse_save(Layout::Iptables, Family::Ipv4, &text).expect("iptables-save output")
}

fn refused(nat: &str) -> WalkError {
    let (state, host) = (state(nat), Host::default());
    let walk = |order| {
        let cluster = empty_cluster();
        let packet = packet(&cluster, "192.0.2.7", "10.1.0.1:80");
        Walker::new(&state, &host, order)?.walk_with_lists(&packet, &RecentLists::new())
    };
    let error = walk(Unordered::Forward).expect_err("refused");
    assert_eq!(walk(Unordered::Backward), Err(error.clone()));
    error
}

#[test]
fn a_jump_to_nowhere_is_refused() {
    let error = refused(":KUBE-SERVICES - [0:0]\n-A KUBE-SERVICES -j KUBE-NODEPORTS\n");
    assert!(matches!(error, WalkError::MissingChain { to, .. } if to == "KUBE-NODEPORTS"));
    // Foreign chains are no part of a state.
    let error = refused(":KUBE-SERVICES - [0:0]\n:MINE - [0:0]\n-A KUBE-SERVICES -j MINE\n");
    assert!(matches!(error, WalkError::MissingChain { to, .. } if to == "MINE"));
}

#[test]
fn a_circle_is_refused_even_where_nothing_leads_to_it() {
    let error = refused(
        ":KUBE-SERVICES - [0:0]\n:KUBE-NODEPORTS - [0:0]\n:KUBE-MARK-MASQ - [0:0]\n\
         -A KUBE-NODEPORTS -j KUBE-MARK-MASQ\n-A KUBE-MARK-MASQ -g KUBE-NODEPORTS\n",
    );
    assert!(matches!(error, WalkError::Loop { .. }), "{error}");
}

#[test]
fn targets_are_allowed_only_where_the_kernel_allows_them() {
    for rule in [
        "-j MASQUERADE",
        "-j REJECT --reject-with icmp-port-unreachable",
    ] {
        let error = refused(&format!(
            ":KUBE-SERVICES - [0:0]\n-A KUBE-SERVICES {rule}\n"
        ));
        assert!(
            matches!(error, WalkError::Misplaced { .. }),
            "{rule}: {error}"
        );
    }
}

#[test]
fn what_has_no_model_is_an_error() {
    let error = refused(":KUBE-SERVICES - [0:0]\n-A KUBE-SERVICES -o eth0 -j RETURN\n");
    assert!(matches!(error, WalkError::Unmodelled { .. }), "{error}");
}

#[test]
fn returning_and_going_to_are_told_apart() {
    // RETURN from a chain that was gone to comes back behind the jump, not behind the goto.
    let nat = ":KUBE-SERVICES - [0:0]\n:KUBE-POSTROUTING - [0:0]\n:KUBE-MARK-MASQ - [0:0]\n\
               -A KUBE-SERVICES -j KUBE-POSTROUTING\n\
               -A KUBE-POSTROUTING -g KUBE-MARK-MASQ\n\
               -A KUBE-POSTROUTING -p tcp -j DNAT --to-destination 10.9.9.9:9\n\
               -A KUBE-MARK-MASQ -j RETURN\n";
    let (state, host) = (state(nat), Host::default());
    let walker = Walker::new(&state, &host, Unordered::Forward).expect("a sound state");
    let packet = packet(&empty_cluster(), "192.0.2.7", "10.1.0.1:80");
    let outcomes = walker
        .walk_with_lists(&packet, &RecentLists::new())
        .expect("all modelled");
    assert!((outcomes.probability(&Outcome::Untouched) - 1.0).abs() < f64::EPSILON);
}

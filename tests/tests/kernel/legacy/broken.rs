//! What the kernel or the host refuses.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use netlink_batch::{Socket, socket::NETFILTER};
use nfnetlink::{Family, nfacct};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use viprule_dataplane::iptables::Settings;
use viprule_dataplane::netfilter::counter;
use viprule_sync::SyncError;
use viprule_testkit::manifests::service;
use viprule_writer::WriteError;
use viprule_writer::netfilter::LegacyWriter;

use super::support::{Node, uncounted};
use crate::support::{LIMIT, Place, chain_of, endpoints_of};

#[test]
fn a_rule_that_the_kernel_does_not_take_keeps_only_its_service_out() {
    let place = Place::empty();
    // The counter of node ports on loopback is not there.
    place
        .namespace
        .run(|| {
            let mut socket = Socket::open(NETFILTER).unwrap();
            nfacct::ensure(&mut socket, counter::INVALID_DROPPED).unwrap();
        })
        .unwrap();
    for number in 1..=5 {
        let name = format!("s{number}");
        let service = service(&format!("shop/{name}"))
            .cluster_ip(&format!("10.1.0.{number}"))
            .tcp("http", 80, 8080);
        let service = if number == 4 {
            service.node_port(30_004)
        } else {
            service
        };
        let slice = endpoints_of(&name, &["10.244.0.5"]);
        place
            .folder
            .write(&format!("{name}.yaml"), &format!("{service}---\n{slice}"))
            .unwrap();
    }
    let mut node = Node::new(place, Settings::default());
    let report = node.look().unwrap();
    assert_eq!(report.refused.len(), 1, "{report:?}");
    assert!(
        report.refused[0].starts_with("service shop/s4: ip nat: "),
        "{report:?}"
    );
    let services = node.saved()[0].rules("nat", "KUBE-SERVICES").join("\n");
    for number in [1, 2, 3, 5] {
        assert!(
            services.contains(&format!("shop/s{number}:http cluster IP")),
            "{services}"
        );
    }
    assert!(!services.contains("shop/s4"), "{services}");

    node.place
        .namespace
        .run(|| {
            let mut socket = Socket::open(NETFILTER).unwrap();
            nfacct::ensure(&mut socket, counter::LOCALHOST_NODEPORTS).unwrap();
        })
        .unwrap();
    node.syncer.release_refused();
    assert_eq!(node.sync().unwrap().refused, [""; 0]);
    node.assert_right();
}

#[test]
fn a_chain_that_a_foreign_rule_leads_to_stays_and_all_else_goes() {
    let mut node = Node::new(Place::small(), uncounted());
    node.look().unwrap();
    let chain = chain_of(
        node.saved()[0].rules("nat", "KUBE-SERVICES"),
        "shop/b:http cluster IP",
    );
    node.place.tool("iptables-legacy -t nat -N CNI-OTHER");
    node.place.tool(&format!(
        "iptables-legacy -t nat -A CNI-OTHER -s 192.0.2.1 -j {chain}"
    ));
    let report = node.remove_everything();
    assert_eq!(report.refused.len(), 1, "{report:?}");
    assert!(
        report.refused[0].contains(&format!("-X {chain}")),
        "{report:?}"
    );
    let saved = node.saved();
    let left: BTreeSet<&String> = saved[0].tables["nat"]
        .chains
        .iter()
        .filter(|(_, it)| it.policy.is_none())
        .map(|(name, _)| name)
        .collect();
    assert_eq!(left, BTreeSet::from([&chain, &"CNI-OTHER".to_owned()]));
    assert_eq!(saved[0].rules("nat", &chain), [""; 0]);
    assert_eq!(saved[0].rules("nat", "CNI-OTHER").len(), 1);

    node.place.tool("iptables-legacy -t nat -F CNI-OTHER");
    assert_eq!(node.remove_everything().refused, [""; 0]);
}

#[test]
fn a_lock_held_elsewhere_fails_a_sync_at_once_and_says_so() {
    let mut node = Node::new(Place::small(), uncounted());
    let folder = node.place.directory().join("tools");
    let lock = std::fs::File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let error = node.look().unwrap_err();
    assert!(
        matches!(&error, SyncError::Write(WriteError::Failed { cause, .. })
            if cause.to_string().contains("another program holds the xtables lock")),
        "{error:?}"
    );
    assert_eq!(node.fed().matches("# ").count(), 1, "tried once");
    for dump in node.saved() {
        assert_eq!(dump.ours().tables.len(), 0, "{dump}");
    }
    lock.unlock().unwrap();
    node.look().unwrap();
    node.assert_right();
}

#[test]
fn a_host_without_the_programs_is_told_what_to_install() {
    let folder = tempfile::tempdir().unwrap();
    let error = LegacyWriter::open_with_tools_in(&Family::ALL, folder.path()).unwrap_err();
    assert!(matches!(error, WriteError::Missing { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "writing legacy tables: this node lacks iptables-legacy-restore and \
         iptables-legacy-save; install the package iptables"
    );
}

/// Puts a shell script in a program's place.
fn script(program: &Path, text: &str) {
    let new = program.with_extension("new");
    std::fs::write(&new, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&new, Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(new, program).unwrap();
}

#[test]
fn a_restore_program_that_crashes_is_told_as_such() {
    let mut node = Node::new(Place::small(), uncounted());
    let program = node.place.directory().join("tools/iptables-legacy-restore");
    let kept = program.with_extension("kept");
    std::fs::rename(&program, &kept).unwrap();
    script(&program, "kill -SEGV $$");
    let error = node.look().unwrap_err().to_string();
    let expected = "iptables-legacy-restore: it crashed or was killed: signal: 11 (SIGSEGV)";
    assert!(error.contains(expected), "{error}");
    std::fs::rename(kept, program).unwrap();
    node.look().unwrap();
    node.assert_right();
}

#[test]
fn an_end_does_not_wait_for_a_restore_program_that_hangs() {
    let place = Place::small();
    let folder = place.directory().join("bin");
    std::fs::create_dir(&folder).unwrap();
    for family in ["iptables", "ip6tables"] {
        for what in ["save", "restore"] {
            let name = format!("{family}-legacy-{what}");
            script(
                &folder.join(&name),
                &format!("exec /usr/sbin/{name} \"$@\""),
            );
        }
    }
    let mut agent = place.start_with_path(&folder, &["--iptables-backend=legacy"]);
    agent.wait_for_line("first sync", LIMIT).unwrap();
    let hangs = folder.join("hangs");
    let text = format!("echo $$ >{}; exec /bin/sleep 1000", hangs.display());
    script(&folder.join("iptables-legacy-restore"), &text);
    place.write("a", 1, &["10.244.0.6"]);
    let start = Instant::now();
    let program = loop {
        let pid = std::fs::read_to_string(&hangs).unwrap_or_default();
        if let Ok(pid) = pid.trim().parse() {
            break Pid::from_raw(pid);
        }
        assert!(start.elapsed() < LIMIT, "nothing is restored");
        std::thread::sleep(Duration::from_millis(10));
    };
    let status = agent.terminate(LIMIT).unwrap();
    kill(program, Signal::SIGKILL).unwrap();
    assert!(status.success(), "{status}");
    let lines = agent.lines();
    let told = |line: &String| line.contains("keeps the sync thread busy");
    assert!(lines.iter().any(told), "{lines:#?}");
}

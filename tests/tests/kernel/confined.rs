//! What the agent gives up once it has started, as the kernel tells of each of its threads.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use viprule_testkit::agent::{Agent, Confinement};

use crate::support::{LIMIT, Place};

type Threads = BTreeMap<u32, Confinement>;

#[track_caller]
fn assert_confined(threads: &Threads) {
    // This run may have filters itself, such as a container's.
    let expected = Confinement {
        seccomp: 2,
        filters: Confinement::of_this_thread().unwrap().filters + 2,
        no_new_privs: 1,
    };
    assert!(threads.len() > 4, "{threads:?}");
    assert!(threads.values().all(|it| *it == expected), "{threads:?}");
}

#[test]
fn every_thread_has_the_filter_and_so_have_those_that_start_later() {
    let place = Place::small();
    let mut agent = place.run(&[]);
    let line = agent.wait_for_line("seccomp filter set", LIMIT).unwrap();
    assert!(line.contains("no program is started"), "{line}");
    let before = agent.confinement().unwrap();
    assert_confined(&before);
    // What takes time to work out has a thread for it.
    let curl = place.namespace.command("curl");
    let metrics = curl.args(["-sf", "http://127.0.0.1:10249/metrics"]);
    assert!(metrics.text().unwrap().contains("viprule_"));
    let after = agent.confinement().unwrap();
    assert!(after.keys().any(|id| !before.contains_key(id)), "{after:?}");
    assert_confined(&after);
}

#[test]
fn programs_for_legacy_tables_work_under_a_wide_one() {
    let place = Place::small();
    let mut agent = place.run(&["--iptables-backend=legacy"]);
    let line = agent.wait_for_line("seccomp filter set", LIMIT).unwrap();
    assert!(line.contains("a wide one"), "{line}");
    assert_confined(&agent.confinement().unwrap());
    place.write("a", 1, &["10.244.0.6"]);
    agent
        .wait_for_line("changed: service shop/a", LIMIT)
        .unwrap();
    let nat = place.tool("iptables-legacy-save -t nat");
    assert!(nat.contains("10.244.0.6:8080"), "{nat}");
}

#[test]
fn it_is_left_out_where_the_operator_says_so() {
    let place = Place::small();
    let agent = place.run(&["--seccomp=false"]);
    let expected = Confinement {
        no_new_privs: 1,
        ..Confinement::of_this_thread().unwrap()
    };
    let threads = agent.confinement().unwrap();
    assert!(threads.values().all(|it| *it == expected), "{threads:?}");
    let lines = agent.lines().concat();
    assert!(!lines.contains("seccomp filter set"), "{lines}");
}

#[test]
fn a_host_setting_is_put_right_by_what_was_opened_before() {
    const SETTING: &str = "net/ipv4/conf/all/route_localnet";
    let place = Place::small();
    let mut agent = place.run(&["--iptables-sync-period=1s"]);
    let read = || place.namespace.sysctl(SETTING).unwrap();
    assert_eq!(read(), "1");
    place.namespace.set_sysctl(SETTING, "0").unwrap();
    agent
        .wait_for_line("route_localnet; put right", LIMIT)
        .unwrap();
    assert_eq!(read(), "1");
}

#[test]
fn a_credential_program_is_asked_again_under_a_wide_one() {
    let place = Place::empty();
    let asked = place.directory().join("asked");
    let program = place.directory().join("credentials");
    let credential = r#"{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
        "status": {"token": "t"}}"#;
    let script = format!(
        "#!/bin/sh\necho asked >>{}\necho '{credential}'\n",
        asked.display()
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let kubeconfig = place.directory().join("kubeconfig.yaml");
    // Nobody listens there.
    let text = format!(
        "{{apiVersion: v1, kind: Config, current-context: c, \
         clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:1'}}}}], \
         contexts: [{{name: c, context: {{cluster: c, user: u}}}}], \
         users: [{{name: u, user: {{exec: {{apiVersion: client.authentication.k8s.io/v1, \
         command: {}, interactiveMode: Never}}}}}}]}}",
        program.display()
    );
    fs::write(&kubeconfig, text).unwrap();
    let kubeconfig = format!("--kubeconfig={}", kubeconfig.display());
    let args = ["run", "--hostname-override=node-0", &kubeconfig];
    let mut agent = Agent::start(&place.namespace, args).unwrap();
    let line = agent.wait_for_line("seccomp filter set", LIMIT).unwrap();
    assert!(line.contains("a wide one"), "{line}");
    let times = || {
        fs::read_to_string(&asked)
            .unwrap_or_default()
            .lines()
            .count()
    };
    let before = times();
    assert!(before > 0);
    let what = "a second question to the program";
    agent.wait_until(what, LIMIT, || times() > before).unwrap();
}

//! What the agent gives up once it has started, as the kernel tells of each of its threads.

use std::collections::BTreeMap;
use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::thread;

use viprule_testkit::agent::{Agent, Confinement, viprule_binary};

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
fn a_folder_with_a_relative_name_is_watched() {
    let place = Place::small();
    let line = format!(
        "cd {} && exec {} run --log-level=debug --hostname-override=node-0 --manifests .",
        place.folder.path().display(),
        viprule_binary().unwrap().display()
    );
    let shell = Path::new("/bin/sh");
    let mut agent = Agent::start_program(&place.namespace, shell, ["-c", &line]).unwrap();
    agent.wait_for_line("seccomp filter set", LIMIT).unwrap();
    agent.wait_for_line("first sync", LIMIT).unwrap();
    place.write("a", 1, &["10.244.0.6"]);
    agent
        .wait_for_line("changed: service shop/a", LIMIT)
        .unwrap();
    let lines = agent.lines().join("\n");
    assert!(!lines.contains("not watched"), "{lines}");
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

/// The flag for a kubeconfig with this server and user.
fn kubeconfig(place: &Place, server: &str, user: &str) -> String {
    let path = place.directory().join("kubeconfig.yaml");
    let text = format!(
        "{{apiVersion: v1, kind: Config, current-context: c, \
         clusters: [{{name: c, cluster: {{server: '{server}'}}}}], \
         contexts: [{{name: c, context: {{cluster: c, user: u}}}}], \
         users: [{{name: u, user: {{{user}}}}}]}}"
    );
    fs::write(&path, text).unwrap();
    format!("--kubeconfig={}", path.display())
}

/// A name server that knows every name's IPv4 address, 127.0.0.9, and no other address (RFC 1035).
fn answer_names(socket: &UdpSocket) {
    let mut question = [0; 512];
    while let Ok((length, from)) = socket.recv_from(&mut question) {
        let question = &question[..length];
        // The name ends with an empty label; type and class follow.
        let name = question[12..].iter().position(|byte| *byte == 0).unwrap();
        let end = 12 + name + 5;
        let is_a = question[end - 4..end - 2] == [0, 1];
        let mut answer = question[..2].to_vec();
        answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
        answer.extend(&question[12..end]);
        if is_a {
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 9]);
        }
        socket.send_to(&answer, from).unwrap();
    }
}

#[test]
fn names_are_looked_up_by_dns() {
    let place = Place::empty();
    let bind = || UdpSocket::bind("127.0.0.1:53");
    let socket = place.namespace.run(bind).unwrap().unwrap();
    thread::spawn(move || answer_names(&socket));
    let resolv = place.directory().join("resolv.conf");
    fs::write(&resolv, "nameserver 127.0.0.1\n").unwrap();
    let line = format!(
        "mount --bind {} /etc/resolv.conf && exec {} run --log-level=debug \
         --hostname-override=node-0 {}",
        resolv.display(),
        viprule_binary().unwrap().display(),
        kubeconfig(&place, "https://api.example.test:1", "token: t")
    );
    let unshare = Path::new("/usr/bin/unshare");
    let args = ["--mount", "sh", "-c", &line];
    let mut agent = Agent::start_program(&place.namespace, unshare, args).unwrap();
    let line = agent.wait_for_line("seccomp filter set", LIMIT).unwrap();
    assert!(line.contains("no program is started"), "{line}");
    agent.wait_for_line("{127.0.0.9:1}", LIMIT).unwrap();
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
    let user = format!(
        "exec: {{apiVersion: client.authentication.k8s.io/v1, command: {}, interactiveMode: Never}}",
        program.display()
    );
    // Nobody listens there.
    let kubeconfig = kubeconfig(&place, "https://127.0.0.1:1", &user);
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

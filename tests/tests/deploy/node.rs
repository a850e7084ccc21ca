//! The unit and the images.

use crate::{document, text};

/// The values of the unit's setting, in order.
fn settings(name: &str) -> Vec<String> {
    settings_of("viprule.service", name)
}

fn settings_of(file: &str, name: &str) -> Vec<String> {
    let unit = text(&format!("systemd/{file}"));
    let prefix = format!("{name}=");
    let values = unit.lines().filter_map(|line| line.strip_prefix(&prefix));
    values.map(str::to_owned).collect()
}

#[test]
fn the_unit_gives_one_capability_and_leaves_rules_in_place() {
    assert_eq!(settings("CapabilityBoundingSet"), ["CAP_NET_ADMIN"]);
    assert_eq!(settings("NoNewPrivileges"), ["yes"]);
    assert_eq!(settings("ProtectSystem"), ["strict"]);
    assert_eq!(settings("Restart"), ["always"]);
    assert_eq!(settings("MemoryDenyWriteExecute"), ["yes"]);
    assert_eq!(
        settings("RestrictAddressFamilies"),
        ["AF_NETLINK AF_INET AF_INET6"]
    );
    for absent in [
        "ExecStop",
        "ExecStopPost",
        "ProtectKernelTunables",
        "PrivateNetwork",
    ] {
        assert_eq!(settings(absent), [""; 0], "{absent}");
    }
}

/// Not every release of systemd counts it to the system calls of services.
#[test]
fn the_unit_lets_the_agent_set_its_own_filter() {
    let filters = settings("SystemCallFilter");
    let allowed: Vec<_> = filters[0].split(' ').collect();
    assert_eq!(allowed, ["@system-service", "seccomp"]);
    assert!(filters[1].starts_with("~@resources @privileged "));
    assert_eq!(filters.len(), 2);
}

#[test]
fn legacy_tables_take_a_raw_socket_and_the_nodes_lock() {
    let settings = |name| settings_of("legacy.conf", name);
    // Added to the unit's.
    assert_eq!(settings("CapabilityBoundingSet"), ["CAP_NET_RAW"]);
    assert_eq!(settings("ReadWritePaths"), ["/run/xtables.lock"]);
    // A path that isn't there can't be made writable; as root, outside of what confines the agent.
    assert_eq!(
        settings("ExecStartPre"),
        ["+/usr/bin/touch /run/xtables.lock"]
    );
}

#[test]
fn the_unit_reads_what_the_examples_are() {
    let start = settings("ExecStart").concat();
    assert!(start.contains(" run --config=/etc/viprule/config.yaml"));
    let config = document("systemd/config.yaml");
    assert_eq!(
        config["clientConnection"]["kubeconfig"],
        "/etc/viprule/kubeconfig.yaml"
    );
    for line in text("systemd/environment").lines() {
        // Comments, or settings in comments.
        assert!(line.is_empty() || line.starts_with('#'), "{line}");
    }
    assert!(start.ends_with("$VIPRULE_ARGS"));
    assert_eq!(settings("EnvironmentFile"), ["-/etc/viprule/environment"]);
}

#[test]
fn images_hold_the_program_alone() {
    for file in ["image/Containerfile", "image/Containerfile.prebuilt"] {
        let text = text(file);
        let (_, last) = text.rsplit_once("\nFROM ").unwrap();
        let lines: Vec<_> = last.lines().collect();
        assert_eq!(lines.len(), 3, "{file}");
        assert_eq!(lines[0], "scratch", "{file}");
        assert!(
            lines[1].starts_with("COPY ") && lines[1].ends_with(" /viprule"),
            "{file}"
        );
        assert_eq!(lines[2], r#"ENTRYPOINT ["/viprule"]"#, "{file}");
    }
}

#[test]
fn images_are_built_with_the_pinned_toolchain() {
    let pinned = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../rust-toolchain.toml"
    ))
    .unwrap();
    let mut versions = pinned
        .lines()
        .filter_map(|line| line.strip_prefix("channel = "));
    let version = versions.next().unwrap().trim_matches('"');
    let expected = format!("ARG RUST_IMAGE=rust:{version}-");
    assert!(text("image/Containerfile").contains(&expected));
}

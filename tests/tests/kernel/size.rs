//! More than fits into one message, or one part.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use viprule_testkit::agent::viprule_binary;
use viprule_testkit::manifests::Bulk;

use crate::support::{LIMIT, Place, numbered};

/// Without rights over the machine, socket buffers are small (`net.core.wmem_max`).
#[test]
fn in_a_user_namespace_a_large_first_sync_is_sent_in_parts() {
    const SERVICES: u32 = 2000;
    let place = Place::empty();
    let file = place.folder.path().join("bulk.yaml");
    Bulk::new(SERVICES, 2).write_file(&file).unwrap();
    let viprule = viprule_binary().unwrap();
    let args = format!(
        "--node=node-0 --ip-family=ipv4 --manifests={}",
        file.display()
    );
    let script = format!(
        "set -e; {viprule} apply {args} | tail -n 1; {viprule} diff {args}; \
         iptables-nft-save -t nat | grep -c '^:KUBE-SVC-'; {viprule} apply {args}",
        viprule = viprule.display()
    );
    let unshare = place.namespace.command("unshare");
    let out = unshare
        .args(["--user", "--map-root-user", "--net", "--mount", "sh", "-c"])
        .arg(format!("mount -t sysfs none /sys 2>/dev/null; {script}"))
        .text()
        .unwrap();
    let lines: Vec<&str> = out.lines().collect();
    let [applied, chains, again] = lines[..] else {
        panic!("{out}");
    };
    let parts = applied.rsplit(" in ").next().unwrap();
    let parts: u32 = parts.split(' ').next().unwrap().parse().unwrap();
    assert!(parts > 1, "{applied}");
    assert_eq!((chains, again), ("2000", "nothing to change"));
}

/// The endpoints' slices, a hundred each.
fn slices(name: &str, addresses: &[Ipv4Addr]) -> String {
    let mut text = String::new();
    for (number, addresses) in addresses.chunks(100).enumerate() {
        let _ = writeln!(
            text,
            "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{namespace: \
             shop, name: {name}-{number}, labels: {{kubernetes.io/service-name: {name}}}}}\n\
             addressType: IPv4\nports: [{{name: http, port: 8080, protocol: TCP}}]\nendpoints:"
        );
        for address in addresses {
            let _ = writeln!(text, "- {{addresses: [{address}]}}");
        }
    }
    text
}

#[test]
fn a_service_of_five_thousand_endpoints_is_written_and_changed() {
    let place = Place::empty();
    let mut addresses: Vec<Ipv4Addr> = (1..=5000_u32)
        .map(|number| Ipv4Addr::from(u32::from_be_bytes([10, 128, 0, 0]) + number))
        .collect();
    let write = |addresses: &[Ipv4Addr]| {
        let text = format!("{}{}", numbered("huge", 1), slices("huge", addresses));
        place.folder.write("huge.yaml", &text).unwrap();
    };
    write(&addresses);
    let mut agent = place.start(&["--ip-family=ipv4"]);
    agent.wait_for_line("first sync", LIMIT).unwrap();
    let chain = |place: &Place| {
        let dump = place.dump();
        let chains = dump[0].tables["nat"].chains.iter();
        let counted = chains.filter(|(name, _)| name.starts_with("KUBE-SVC-"));
        counted.map(|(_, chain)| chain.rules.len()).sum::<usize>()
    };
    // One rule masquerades, the others lead to endpoints.
    assert_eq!(chain(&place), 5001);
    let generation = place.generation();
    addresses[2345] = Ipv4Addr::new(10, 200, 0, 1);
    write(&addresses);
    agent
        .wait_for_line("changed: service shop/huge", LIMIT)
        .unwrap();
    assert_eq!(place.generation(), generation + 1);
    assert_eq!(chain(&place), 5001);
    let rules = place.rules("nat", "KUBE-NODEPORTS");
    assert_eq!(rules.len(), 2, "{rules:?}");
}

//! A command line of kube-proxy's, unchanged. `kube-proxy-flags.txt` has every flag of kube-proxy
//! 1.36.3 with a value, and what that changes in the configuration that it writes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::Value;
use viprule_testkit::LIMIT;
use viprule_testkit::agent::{Agent, viprule_binary};

use crate::support::{Place, golden, good};

const FLAGS: &str = include_str!("kube-proxy-flags.txt");
const HEAD: &str = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";

/// Fields by path.
fn flat(value: &Value, path: &str, to: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                flat(value, &format!("{path}{dot}{name}"), to);
            }
        }
        value => drop(to.insert(path.to_owned(), value.clone())),
    }
}

/// The configuration that flags come to.
fn written(place: &Place, flags: &str) -> BTreeMap<String, Value> {
    let answer = place.viprule(&format!("{flags} --write-config-to={{}}/written"));
    assert_eq!(answer.code, 0, "{flags}:\n{}", answer.err);
    let text = fs::read_to_string(place.directory.path().join("written")).unwrap();
    let mut fields = BTreeMap::new();
    flat(&serde_saphyr::from_str(&text).unwrap(), "", &mut fields);
    fields
}

#[test]
fn every_flag_of_kube_proxy_does_what_it_does_there() {
    let place = Place::new();
    let default = written(&place, "--v=0");
    let mut all = String::new();
    for line in FLAGS.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split('\t');
        let flag = words.next().unwrap();
        let mut expected = default.clone();
        for word in words {
            let (path, value) = word.split_once('=').unwrap();
            expected.insert(path.to_owned(), serde_json::from_str(value).unwrap());
        }
        // A map that was empty has fields now.
        if expected
            .keys()
            .any(|path| path.starts_with("featureGates."))
        {
            expected.remove("featureGates");
        }
        assert_eq!(written(&place, flag), expected, "{flag}");
        let (name, value) = flag.split_at(flag.find('=').unwrap_or(flag.len()));
        if let Some(name) = name.strip_prefix("--") {
            let underscored = format!("--{}{value}", name.replace('-', "_"));
            assert_eq!(written(&place, &underscored), expected, "{underscored}");
        }
        if let Some((name, value)) = flag.split_once('=')
            && !matches!(value, "" | "true" | "false")
        {
            let apart = format!("{name} {value}");
            assert_eq!(written(&place, &apart), expected, "{apart}");
        }
        all.push_str(flag);
        all.push(' ');
    }
    // All of them at once, and twice. One goes with one format only.
    all.push_str("--logging-format=text ");
    written(&place, &format!("{all}{all}"));
    written(&place, &format!("run {all}"));
}

#[test]
fn a_program_called_kube_proxy_is_the_agent() {
    let place = Place::new();
    let program = place.directory.path().join("kube-proxy");
    symlink(viprule_binary().unwrap(), &program).unwrap();
    let program = program.display().to_string();
    let out = place.program(&program, "--version").clean(0);
    assert!(out.starts_with("viprule "), "{out}");
    assert!(
        place
            .program(&program, "--help")
            .clean(0)
            .contains("--iptables-sync-period")
    );
    // Exit codes are kube-proxy's.
    for wrong in ["--no-such-flag", "--oom-score-adj=5000", "positional"] {
        assert_eq!(place.program(&program, wrong).code, 1, "{wrong}");
    }
    let folder = place.directory.path().join("manifests");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("good.yaml"), good("fine", "10.1.0.10")).unwrap();
    let manifests = folder.display();
    let config = place.write("config.conf", HEAD).display().to_string();
    let args = format!("--config={config} --hostname-override=Node-0 -v=4 --manifests={manifests}");
    let mut agent =
        Agent::start_program(&place.namespace, Path::new(&program), args.split(' ')).unwrap();
    agent
        .wait_until("rules", LIMIT, || place.ruleset().contains("KUBE-SVC-"))
        .unwrap();
    drop(agent);
    let answer = place.program(&program, "--cleanup --config=/nonexistent");
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert!(!place.ruleset().contains("KUBE-SVC-"));
}

#[test]
fn init_only_sets_this_machine_up_and_writes_no_rules() {
    let place = Place::new();
    let setting = "net.ipv4.conf.all.route_localnet";
    let read = || place.program("sysctl", &format!("-n {setting}")).clean(0);
    assert_eq!(read(), "0\n");
    // The limit of tracked connections belongs to the machine: it can't be set in a namespace.
    place
        .viprule("--init-only --node=n --conntrack-max-per-core=1 --conntrack-min=131077")
        .says(&["net.netfilter.nf_conntrack_max can't be set to 131077"]);
    assert_eq!(read(), "0\n");
    let answer = place.viprule("--init-only --node=n --conntrack-max-per-core=0");
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert_eq!(read(), "1\n");
    assert!(!place.ruleset().contains("KUBE-"));
}

#[test]
fn verbs_take_the_nodes_own_configuration_file() {
    let place = Place::new();
    let file = golden("cluster.yaml").display().to_string();
    let cidrs = "10.244.0.0/16,fd00:10:244::/48";
    let config = format!("{HEAD}clusterCIDR: {cidrs}\niptables: {{masqueradeBit: 15}}\n");
    place.write("config.conf", &config);
    let of = |flags: &str| {
        let args = format!("render --node node-0 --manifests {file} {flags}");
        place.viprule(&args).clean(0)
    };
    assert_eq!(
        of("--config {}/config.conf"),
        of(&format!(
            "--cluster-cidr {cidrs} --iptables-masquerade-bit 15"
        ))
    );
    place.write(
        "config.conf",
        &format!("{HEAD}mode: ebpf\noomScoreAdj: 7000\n"),
    );
    let input = format!("--node node-0 --manifests {file} --config {{}}/config.conf");
    for verb in ["render", "diff", "apply", "run"] {
        place.viprule(&format!("{verb} {input}")).says(&[
            "config.conf: 2 errors in the configuration:\n",
            "  mode: must be iptables, ipvs, nftables or empty for iptables, not \"ebpf\"\n",
            "  oomScoreAdj: must be within -1000 to 1000",
        ]);
    }
}

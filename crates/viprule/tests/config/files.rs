//! Files that a kube-proxy takes.

use std::fs;

use serde_json::Value;
use viprule::config::{Effective, InputSource};

use crate::support::{OWN_HEAD, file, flags, of_file};

fn load(name: &str) -> Effective {
    Effective::load(&flags(&format!("--config={}", file(name).display()))).unwrap()
}

/// What kube-proxy wrote with `--write-config-to` from the same file.
fn written(name: &str) -> Value {
    let text = fs::read_to_string(file(name)).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

#[test]
fn what_configz_serves_reads_and_writes_byte_for_byte() {
    let golden = fs::read_to_string(file("configz.json")).unwrap();
    let key = "{\"kubeproxy.config.k8s.io\":";
    let inner = golden
        .trim()
        .strip_prefix(key)
        .unwrap()
        .strip_suffix('}')
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("configz.json");
    fs::write(&path, inner).unwrap();
    let effective = Effective::load(&flags(&format!("--config={}", path.display()))).unwrap();
    assert_eq!(serde_json::to_string(&effective.proxy).unwrap(), inner);
    assert_eq!(effective.warnings, Vec::<String>::new());
}

#[test]
fn what_kubeadm_writes_means_what_kube_proxy_makes_of_it() {
    let effective = load("kubeadm.conf");
    let mut expected = written("kubeadm.written.yaml");
    // The one default of our own.
    expected["iptables"]["minSyncPeriod"] = "0s".into();
    assert_eq!(serde_json::to_value(&effective.proxy).unwrap(), expected);
    assert_eq!(effective.warnings, Vec::<String>::new());
    let kubeconfig = Some("/var/lib/kube-proxy/kubeconfig.conf".into());
    let master = None;
    assert_eq!(effective.input, InputSource::Cluster { kubeconfig, master });
}

#[test]
fn every_field_means_what_kube_proxy_makes_of_it() {
    let effective = load("full.yaml");
    let mut expected = written("full.written.yaml");
    // kube-proxy loses these two on the way.
    expected["portRange"] = "1-2".into();
    for format in ["text", "json"] {
        expected["logging"]["options"][format]["splitStream"] = true.into();
    }
    assert_eq!(serde_json::to_value(&effective.proxy).unwrap(), expected);
    let again = serde_saphyr::from_str::<Value>(&effective.to_yaml().unwrap()).unwrap();
    assert_eq!(again, expected, "what is written reads as the same");
}

#[test]
fn fields_without_effect_are_named_together_and_only_if_set() {
    let warnings = load("full.yaml").warnings;
    let [only] = warnings.as_slice() else {
        panic!("{warnings:?}");
    };
    assert!(only.starts_with("without effect here: clientConnection.acceptContentTypes, "));
    for field in [
        "clientConnection.qps",
        "winkernel.enableDSR",
        "configSyncPeriod",
        "portRange",
    ] {
        assert!(only.contains(field), "{field} is not in {only}");
    }
    assert!(!only.contains("featureGates"), "{only}");
    assert_eq!(of_file("").unwrap().warnings, Vec::<String>::new());
}

#[test]
fn unknown_and_repeated_fields_are_named_together_and_passed_over() {
    let fields = "iptables: {masqueradBit: 3, masqueradeAll: true}\nmode: ''\nextra: {a: 1}\n\
                  mode: iptables\n";
    let effective = of_file(fields).unwrap();
    let [only] = effective.warnings.as_slice() else {
        panic!("{:?}", effective.warnings);
    };
    assert!(
        only.ends_with(
            "config.conf: unknown or repeated fields: iptables.masqueradBit (line 3), \
             extra (line 5), mode (twice, the last counts; line 6)"
        ),
        "{only}"
    );
    assert!(effective.proxy.iptables.masquerade_all);
    assert_eq!(effective.proxy.mode, "iptables");
}

#[test]
fn our_own_settings_stand_in_a_document_of_their_own() {
    let own = "iptablesBackend: legacy\nipFamilies: [ipv6]\nlogLevel: debug\nseccomp: false\nnonsense: 1\n";
    let effective = of_file(&format!("mode: ''\n{OWN_HEAD}{own}")).unwrap();
    let resolved = effective.resolve();
    assert_eq!(resolved.backend.to_string(), "legacy");
    assert_eq!(resolved.common.families.len(), 1);
    assert!(resolved.families_chosen);
    assert_eq!(resolved.log_level, "debug");
    assert!(!resolved.seccomp);
    assert!(
        effective.warnings[0].contains("nonsense (line 11)"),
        "{:?}",
        effective.warnings
    );
    let error = of_file(&format!(
        "{OWN_HEAD}iptablesBackend: nftables\nipFamilies: [ipv5]\n"
    ));
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("iptablesBackend: must be auto, nft or legacy"),
        "{error}"
    );
    assert!(
        error.contains("ipFamilies[0]: must be ipv4 or ipv6"),
        "{error}"
    );
}

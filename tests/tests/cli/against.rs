//! `diff --against`: a saved dump in place of this kernel.

use crate::support::{Place, golden};

const CIDRS: &str = "--cluster-cidr 10.244.0.0/16,fd00:10:244::/48";

fn diff(place: &Place, more: &str) -> crate::support::Answer {
    let file = golden("cluster.yaml").display().to_string();
    place.viprule(&format!(
        "diff --node node-0 --manifests {file} {CIDRS} {more}"
    ))
}

fn saved(file: &str) -> String {
    golden(file).display().to_string()
}

#[test]
fn dumps_of_both_families_are_compared() {
    let place = Place::new();
    let (ipv4, ipv6) = (saved("iptables-save.txt"), saved("ip6tables-save.txt"));
    let out = diff(&place, &format!("--against {ipv4} --against {ipv6}")).clean(1);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], format!("--- {ipv4} {ipv6}"));
    assert_eq!(
        lines[1..3],
        ["+++ desired", "@@ ipv4 filter KUBE-SERVICES @@"]
    );
    assert!(lines[3].contains("default/kubernetes:https has no endpoints"));
    assert_eq!(lines.len(), 4);
    // One family alone, which the dump says itself.
    assert_eq!(diff(&place, &format!("--against {ipv6}")).clean(0), "");
}

#[test]
fn what_render_prints_has_no_difference_to_itself() {
    let place = Place::new();
    let file = golden("cluster.yaml").display().to_string();
    for family in ["ipv4", "ipv6"] {
        let args = format!("render --node node-0 --manifests {file} {CIDRS} --ip-family {family}");
        let text = place.viprule(&args).clean(0);
        let dump = place.write("dump", &text).display().to_string();
        let against = format!("--against {dump} --ip-family {family}");
        assert_eq!(diff(&place, &against).clean(0), "");
        let lost = text.replacen("-j KUBE-MARK-MASQ", "-j ACCEPT", 1);
        place.write("dump", &lost);
        let out = diff(&place, &against).clean(1);
        let changed = out
            .lines()
            .filter(|line| line.contains("-A KUBE-") && !line.starts_with(' '));
        assert_eq!(changed.count(), 2, "{out}");
        let with_counters = text.replace("\n-A ", "\n[12:3456] -A ");
        place.write("dump", &with_counters);
        assert_eq!(diff(&place, &against).clean(0), "");
    }
}

#[test]
fn dumps_of_nodes_without_counters_are_compared_without_them() {
    let place = Place::new();
    let text = std::fs::read_to_string(golden("iptables-save.txt")).unwrap();
    let kept = text
        .lines()
        .filter(|line| !line.contains("default/kubernetes"));
    let text: String = kept
        .filter(|line| !line.contains("localhost_nps_accepted_pkts"))
        .map(|line| {
            line.replace(
                "-m nfacct --nfacct-name  ct_state_invalid_dropped_pkts ",
                "",
            )
        })
        .map(|line| line + "\n")
        .collect();
    let dump = place.write("dump", &text).display().to_string();
    assert_eq!(diff(&place, &format!("--against {dump}")).clean(0), "");
}

#[test]
fn unusable_dumps_are_told() {
    let place = Place::new();
    diff(&place, "--against {}/absent").says(&["reading ", "/absent: No such file"]);
    let ipv4 = saved("iptables-save.txt");
    diff(&place, &format!("--against {ipv4} --against {ipv4}"))
        .says(&["--against: two dumps of the same family"]);
    place.write("untold", "*nat\nCOMMIT\n");
    diff(&place, "--against {}/untold").says(&["untold", "add --ip-family"]);
    place.write(
        "garbled",
        "*nat\n:KUBE-SERVICES - [0:0]\n-A KUBE-SERVICES --what -j ACCEPT\n",
    );
    diff(&place, "--against {}/garbled --ip-family ipv4").says(&["garbled: line 3: ", "--what"]);
    place.write("loose", "-A KUBE-SERVICES -j ACCEPT\n");
    diff(&place, "--against {}/loose --ip-family ipv4").says(&["loose: line 1: a rule before"]);
}

/// Of kube-proxy in IPVS mode, one file for each tool.
const IPVS: [&str; 5] = [
    "ipset-save.txt",
    "ipvsadm-Sn.txt",
    "addresses.txt",
    "iptables-save.txt",
    "ip6tables-save.txt",
];

fn ipvs(place: &Place, files: &[&str]) -> crate::support::Answer {
    let files = files.iter().map(|file| saved(&format!("ipvs/{file}")));
    let against: Vec<_> = files.map(|file| format!("--against {file}")).collect();
    diff(place, &format!("--proxy-mode ipvs {}", against.join(" ")))
}

#[test]
fn dumps_of_ipvs_mode_are_compared_kind_by_kind() {
    let place = Place::new();
    let out = ipvs(&place, &IPVS).clean(1);
    // default/kubernetes is not in the manifests.
    let lines: Vec<&str> = out.lines().skip(1).collect();
    let expected = [
        "+++ desired",
        "@@ ipset save @@",
        "-add KUBE-CLUSTER-IP 10.1.0.1,tcp:443",
        "-add KUBE-IPVS-IPS 10.1.0.1",
        "@@ ipvsadm -Sn @@",
        "--A -t 10.1.0.1:443 -s rr",
        "@@ ip address show dev kube-ipvs0 @@",
        "-inet 10.1.0.1/32",
    ];
    assert_eq!(lines[..6], expected[..6].to_vec());
    assert!(lines.iter().any(|line| *line == expected[7]), "{out}");
    assert!(lines.iter().all(|line| !line.starts_with("+add")), "{out}");

    // What no file shows is not compared.
    assert_eq!(ipvs(&place, &IPVS[3..]).clean(0), "");
    let out = ipvs(&place, &IPVS[..1]).clean(1);
    assert!(!out.contains("@@ ipvsadm"), "{out}");
    ipvs(&place, &IPVS[1..2]).says(&["save the output of `ipset save` as well"]);
    ipvs(&place, &IPVS[..2]).says(&["save the output of `ip address show dev kube-ipvs0` as well"]);
}

#[test]
fn what_ipvs_mode_renders_has_no_difference_to_itself() {
    let place = Place::new();
    let file = golden("cluster.yaml").display().to_string();
    let mode = "--proxy-mode ipvs --ipvs-scheduler wrr";
    let args = format!("render --node node-0 --manifests {file} {CIDRS} {mode}");
    let text = place.viprule(&args).clean(0);
    assert!(text.contains("-s wrr"), "{text}");
    let dump = place.write("dump", &text).display().to_string();
    let against = format!("{mode} --against {dump}");
    assert_eq!(diff(&place, &against).clean(0), "");
    let out = diff(&place, &against.replace("wrr", "lc")).clean(1);
    assert!(out.contains("\n--A -t 10.1.0.30:80 -s wrr\n"), "{out}");
    let changed = text.replacen("-w 1\n", "-w 7\n", 1);
    place.write("dump", &changed);
    let out = diff(&place, &against).clean(1);
    let lines: Vec<&str> = out.lines().skip(2).collect();
    assert_eq!((lines.len(), lines[0]), (3, "@@ ipvsadm -Sn @@"), "{out}");
    assert!(
        lines[1].starts_with("--a ") && lines[1].ends_with("-w 7"),
        "{out}"
    );
    assert!(
        lines[2].starts_with("+-a ") && lines[2].ends_with("-w 1"),
        "{out}"
    );
}

/// Another program's tables, of which nobody here knows what is in them.
const OTHERS: &str = "# Warning: table ip nat is managed by iptables-nft, do not touch!\n\
                      table ip nat {\n\tchain PREROUTING {\n\t\txt match \"what\"\n\t}\n}\n\
                      table inet viprule {\n\tset a {\n\t\ttype ether_addr\n\t}\n}\n\n";

#[test]
fn what_nftables_mode_renders_has_no_difference_to_itself() {
    let place = Place::new();
    let file = golden("cluster.yaml").display().to_string();
    let mode = "--proxy-mode nftables";
    let args = format!("render --node node-0 --manifests {file} {CIDRS} {mode}");
    let text = place.viprule(&args).clean(0);
    let against = format!("{mode} --against {{}}/dump");
    let (ipv4, ipv6) = text.split_once("table ip6 viprule {\n").unwrap();
    let ipv6 = format!("table ip6 viprule {{\n{ipv6}");
    // A ruleset, with what others have in it, and each table by itself.
    for dump in [&format!("{OTHERS}{text}"), &format!("{ipv6}{OTHERS}{ipv4}")] {
        place.write("dump", dump);
        assert_eq!(diff(&place, &against).clean(0), "");
    }
    for table in [ipv4, &ipv6] {
        place.write("dump", table);
        assert_eq!(diff(&place, &against).clean(0), "");
    }
    // A ruleset that lacks one, or both.
    place.write("dump", &format!("{OTHERS}{ipv4}"));
    let out = diff(&place, &against).clean(1);
    let lines: Vec<&str> = out.lines().skip(2).take(4).collect();
    assert_eq!(lines[..2], ["@@ nft list tables @@", "+table ip6 viprule"]);
    assert!(!out.contains("\n@@ ipv4 "), "{out}");
    place.write("dump", "");
    let out = diff(&place, &against).clean(1);
    assert!(
        out.contains("\n+table ip viprule\n+table ip6 viprule\n"),
        "{out}"
    );
    assert!(
        out.lines().skip(2).all(|line| !line.starts_with('-')),
        "{out}"
    );
}

#[test]
fn changes_of_nftables_mode_are_told_set_by_set_and_chain_by_chain() {
    let place = Place::new();
    let file = golden("cluster.yaml").display().to_string();
    // With the plain rule alone in the chain that masquerades.
    let mode = "--proxy-mode nftables --ip-family ipv4 --masquerade-outside-node-ports=false";
    let args = format!("render --node node-0 --manifests {file} {CIDRS} {mode}");
    let text = place.viprule(&args).clean(0);
    let against = format!("{mode} --against {{}}/dump");
    let differ = |from: &str, to: &str| {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text);
        place.write("dump", &changed);
        let out = diff(&place, &against).clean(1);
        out.lines().skip(2).map(str::to_owned).collect::<Vec<_>>()
    };
    let element = |name: &str| {
        let start = text.find(&format!("\t{name} {{\n")).unwrap();
        let (_, elements) = text[start..].split_once("elements = { ").unwrap();
        elements.split([',', '}']).next().unwrap().trim().to_owned()
    };

    // What a map has for a key.
    let slot = element("map endpoints");
    let (key, endpoint) = slot.split_once(" : ").unwrap();
    assert_eq!(
        differ(&slot, &format!("{key} : 192.0.2.9 . 9")),
        [
            "@@ ipv4 viprule set endpoints @@".to_owned(),
            format!("-{key} : 192.0.2.9 . 9"),
            format!("+{key} : {endpoint}"),
        ]
    );
    // An element that is not there.
    let address = element("set cluster-ips");
    let lines = differ(&format!("elements = {{ {address}, "), "elements = { ");
    let expected = [
        "@@ ipv4 viprule set cluster-ips @@".to_owned(),
        format!("+{address}"),
    ];
    assert_eq!(lines, expected);
    // A rule, among those that stay.
    let lines = differ("\t\tmasquerade fully-random\n", "\t\tmasquerade\n");
    assert_eq!(
        lines,
        [
            "@@ ipv4 viprule masquerading @@",
            " chain masquerading",
            "-masquerade",
            "+masquerade fully-random",
        ]
    );
    // For programs.
    let value = diff(&place, &format!("{against} -o json")).clean(1);
    let value: serde_json::Value = serde_json::from_str(&value).unwrap();
    assert_eq!(value["mode"], "nftables");
    let chains = value["chains"].as_array().unwrap();
    let chain = &chains[0];
    assert_eq!((chains.len(), value.get("sets")), (1, None));
    assert_eq!(chain["chain"], "masquerading");
    assert_eq!(chain["lines"][1]["op"], "remove");
    // A set of one of our names that is made otherwise: the table has to go.
    let lines = differ("\t\tsize 65536\n", "\t\tsize 9\n");
    assert!(
        lines[1].starts_with("-table ip viprule (with sets"),
        "{lines:?}"
    );
    let head = [&*lines[0], &*lines[2]];
    assert_eq!(head, ["@@ nft list tables @@", "+table ip viprule"]);
}

#[test]
fn unusable_listings_of_nftables_mode_are_told() {
    let place = Place::new();
    let against = |more: &str| {
        diff(
            &place,
            &format!("--proxy-mode nftables --against {{}}/dump {more}"),
        )
    };
    place.write("dump", "*nat\n:KUBE-SERVICES - [0:0]\nCOMMIT\n");
    against("").says(&["dump: line 1: expected a table as `nft list ruleset` prints it"]);
    place.write("dump", "table ip viprule {\n");
    against("").says(&["dump: the text ends within a table"]);
    place.write(
        "dump",
        &format!("{OTHERS}table ip viprule {{\n\tchain a {{\n\t\twhat\n\t}}\n}}\n"),
    );
    against("").says(&["dump: line 15: \"what\""]);
    place.write("dump", "table ip viprule {\n}\n");
    against("--against {}/dump").says(&["--against: the table ip viprule is there twice"]);
}

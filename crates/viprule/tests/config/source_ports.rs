//! Which source ports masqueraded connections get.

use viprule_dataplane::netfilter::SourcePorts;

use crate::support::of_flags;

#[test]
fn source_ports_leave_node_ports_out_in_nftables_mode_and_where_asked() {
    let of = |flags: &str| {
        of_flags(flags)
            .unwrap()
            .resolve()
            .common
            .source_ports
            .clone()
    };
    let outside = |first, last| SourcePorts::outside(&(first..=last));
    assert_eq!(of(""), None);
    assert_eq!(of("--proxy-mode ipvs"), None);
    assert_eq!(of("--service-node-port-range 20000-40000"), None);
    assert_eq!(of("--proxy-mode nftables"), outside(30_000, 32_767));
    let off = "--proxy-mode nftables --masquerade-outside-node-ports=false";
    assert_eq!(of(off), None);
    for mode in ["iptables", "ipvs", "nftables"] {
        let on = format!("--proxy-mode {mode} --masquerade-outside-node-ports");
        assert_eq!(of(&on), outside(30_000, 32_767));
        for (range, first, last) in [
            ("20000-40000", 20_000, 40_000),
            ("30000+10", 30_000, 30_010),
            ("80", 80, 80),
            ("1-65534", 1, 65_534),
        ] {
            let with = format!("{on} --service-node-port-range {range}");
            assert_eq!(of(&with), outside(first, last), "{range}");
        }
    }
}

#[test]
fn ranges_of_node_ports_that_are_none_are_refused() {
    for range in [
        "0-100",
        "32767-30000",
        "30000-65536",
        "65000+536",
        "0",
        "-",
        "30000:32767",
        "all",
    ] {
        // Whether it is used or not.
        for mode in ["iptables", "nftables"] {
            let flags = format!("--proxy-mode {mode} --service-node-port-range={range}");
            assert_eq!(
                of_flags(&flags).unwrap_err().to_string(),
                format!(
                    "--service-node-port-range: {range:?} is not a range of ports from 1 to 65535 \
                     such as 30000-32767"
                )
            );
        }
    }
    let all = "--proxy-mode nftables --service-node-port-range 1024-65535";
    assert_eq!(
        of_flags(all).unwrap_err().to_string(),
        "--service-node-port-range: 1024-65535 leaves no port from 1024 on to masquerade with: \
         name fewer, or set --masquerade-outside-node-ports to false"
    );
    let unused = format!("{all} --masquerade-outside-node-ports=false");
    assert!(of_flags(&unused).is_ok());
}

//! What kube-proxy leaves behind in other modes, besides chains.

/// The table of nftables mode, in each family (contract 4.1).
pub const NFT_TABLE: &str = "kube-proxy";

/// The link that carries the virtual IPs of IPVS mode, a dummy (contract 3.3).
pub const IPVS_LINK: &str = "kube-ipvs0";

/// An IP set's name is cut off behind so many bytes.
const NAME_MAX: usize = 31;

/// Names and types of IPVS mode's sets (contract 3.5).
const SETS: [(&str, &str); 17] = [
    ("KUBE-LOOP-BACK", "hash:ip,port,ip"),
    ("KUBE-CLUSTER-IP", "hash:ip,port"),
    ("KUBE-EXTERNAL-IP", "hash:ip,port"),
    ("KUBE-EXTERNAL-IP-LOCAL", "hash:ip,port"),
    ("KUBE-LOAD-BALANCER", "hash:ip,port"),
    ("KUBE-LOAD-BALANCER-LOCAL", "hash:ip,port"),
    ("KUBE-LOAD-BALANCER-FW", "hash:ip,port"),
    ("KUBE-LOAD-BALANCER-SOURCE-CIDR", "hash:ip,port,net"),
    ("KUBE-LOAD-BALANCER-SOURCE-IP", "hash:ip,port,ip"),
    ("KUBE-NODE-PORT-TCP", "bitmap:port"),
    ("KUBE-NODE-PORT-UDP", "bitmap:port"),
    ("KUBE-NODE-PORT-LOCAL-TCP", "bitmap:port"),
    ("KUBE-NODE-PORT-LOCAL-UDP", "bitmap:port"),
    ("KUBE-NODE-PORT-SCTP-HASH", "hash:ip,port"),
    ("KUBE-NODE-PORT-LOCAL-SCTP-HASH", "hash:ip,port"),
    ("KUBE-HEALTH-CHECK-NODE-PORT", "bitmap:port"),
    ("KUBE-IPVS-IPS", "hash:ip"),
];

/// True for the IP sets of IPVS mode, of both families. A set of the same name and another type is
/// somebody else's.
pub fn is_ipvs_set(name: &str, kind: &str) -> bool {
    SETS.iter()
        .any(|(ours, its_kind)| *its_kind == kind && (*ours == name || is_ipv6_of(name, ours)))
}

/// IPv6 sets have `KUBE-6-` in place of `KUBE-`, cut off where that is too long.
fn is_ipv6_of(name: &str, ipv4: &str) -> bool {
    let (Some(rest), Some(expected)) = (name.strip_prefix("KUBE-6-"), ipv4.strip_prefix("KUBE-"))
    else {
        return false;
    };
    let room = NAME_MAX - "KUBE-6-".len();
    rest == &expected[..expected.len().min(room)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What kube-proxy 1.36.3 made.
    const GOLDEN: &str = include_str!("../../../writer/tests/leavings/ipset-save.txt");

    #[test]
    fn every_set_of_kube_proxy_is_known() {
        let mut count = 0;
        for line in GOLDEN.lines() {
            let mut words = line.split(' ');
            if words.next() == Some("create") {
                let (name, kind) = (words.next().unwrap(), words.next().unwrap());
                assert!(is_ipvs_set(name, kind), "{name} {kind}");
                count += 1;
            }
        }
        assert_eq!(count, 2 * SETS.len());
    }

    #[test]
    fn sets_that_only_resemble_them_are_foreign() {
        for (name, kind) in [
            ("KUBE-CLUSTER-IP", "hash:ip"),
            ("KUBE-CLUSTER-IPS", "hash:ip,port"),
            ("KUBE-6-CLUSTER-I", "hash:ip,port"),
            ("KUBE-6-LOAD-BALANCER-SOURCE-CIDR", "hash:ip,port,net"),
            ("KUBE-6-", "hash:ip"),
            ("KUBE-SRC-1A2B3C", "hash:ip"),
            ("kube-cluster-ip", "hash:ip,port"),
            ("", ""),
        ] {
            assert!(!is_ipvs_set(name, kind), "{name}");
        }
    }
}

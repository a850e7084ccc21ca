//! Which names are viprule's and kube-proxy's, stated here once more and apart from the program's
//! own list, so that a test doesn't agree with a mistake there.

/// Chains with fixed names (contract: iptables and IPVS modes). Not `KUBE-MARK-DROP`,
/// `KUBE-KUBELET-CANARY` and `KUBE-IPTABLES-HINT`, which are kubelet's.
const FIXED: [&str; 13] = [
    "KUBE-EXTERNAL-SERVICES",
    "KUBE-FIREWALL",
    "KUBE-FORWARD",
    "KUBE-IPVS-FILTER",
    "KUBE-IPVS-OUT-FILTER",
    "KUBE-LOAD-BALANCER",
    "KUBE-MARK-MASQ",
    "KUBE-NODE-PORT",
    "KUBE-NODEPORTS",
    "KUBE-POSTROUTING",
    "KUBE-PROXY-CANARY",
    "KUBE-PROXY-FIREWALL",
    "KUBE-SERVICES",
];

/// Chains of one Service port or endpoint: prefix and 16 characters of base 32.
const HASHED: [&str; 5] = [
    "KUBE-SVC-",
    "KUBE-SVL-",
    "KUBE-SEP-",
    "KUBE-FW-",
    "KUBE-EXT-",
];

/// One more fixed name, of IPVS mode.
const SOURCE_RANGES: &str = "KUBE-SOURCE-RANGES-FIREWALL";

/// Whether viprule and kube-proxy may create and delete a chain of this name.
pub fn is_our_chain(name: &str) -> bool {
    let hashed = |prefix: &&str| {
        name.strip_prefix(*prefix).is_some_and(|hash| {
            hash.len() == 16 && hash.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'2'..=b'7'))
        })
    };
    name == SOURCE_RANGES || FIXED.contains(&name) || HASHED.iter().any(hashed)
}

/// Whether a printed rule's target is one of our chains.
pub(super) fn jumps_to_ours(rule: &str) -> bool {
    let mut words = rule.split(' ').rev();
    let target = words.next();
    matches!(words.next(), Some("-j" | "-g")) && target.is_some_and(is_our_chain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exact() {
        assert!(is_our_chain("KUBE-SERVICES"));
        assert!(is_our_chain("KUBE-SVC-25FJTMN2OLOPNGWS"));
        for foreign in [
            "KUBE-SERVICES-2",
            "KUBE-SVC-25FJTMN2OLOPNGW",
            "KUBE-SVC-25FJTMN2OLOPNGW0",
            "KUBE-KUBELET-CANARY",
            "kube-services",
            "CILIUM_INPUT",
        ] {
            assert!(!is_our_chain(foreign), "{foreign}");
        }
    }

    #[test]
    fn only_the_target_decides_whose_a_jump_is() {
        assert!(jumps_to_ours(
            "-A INPUT -m conntrack --ctstate NEW -j KUBE-SERVICES"
        ));
        assert!(!jumps_to_ours(
            "-A INPUT -m comment --comment \"see -j KUBE-SERVICES\" -j ACCEPT"
        ));
        assert!(!jumps_to_ours(
            "-A INPUT -m comment --comment KUBE-SERVICES"
        ));
    }
}

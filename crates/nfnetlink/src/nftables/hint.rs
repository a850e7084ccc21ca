//! Which part of the kernel is missing where it refuses something.

use netlink_batch::Errno;

use super::subject::{Expression, Operation, Subject};
use crate::Family;

/// `ENFILE`: a set holds as many elements as its size.
const FULL: Errno = Errno(23);

/// Says what a refusal means for the operator, naming kernel options (`CONFIG_…`) where a part of
/// the kernel may be missing. `None` where the error number says it all.
pub fn hint(subject: &Subject, errno: Errno) -> Option<String> {
    let text = match (subject.operation, errno) {
        (Operation::Begin | Operation::Read, Errno::PERM) => {
            "run as root or with CAP_NET_ADMIN".into()
        }
        (_, Errno::PERM) => "another process owns the table".into(),
        (_, Errno::NOMEM) => {
            "the kernel had no memory for it; rules count towards the writer's memory limit".into()
        }
        (Operation::Begin | Operation::Read, Errno::OPNOTSUPP | Errno::INVAL) => {
            "this kernel has no nf_tables (CONFIG_NF_TABLES)".into()
        }
        (Operation::NewTable, Errno::OPNOTSUPP) => match subject.family {
            Some(Family::Ipv4) => "this kernel has no IPv4 tables (CONFIG_NF_TABLES_IPV4)".into(),
            Some(Family::Ipv6) => "this kernel has no IPv6 tables (CONFIG_NF_TABLES_IPV6)".into(),
            None => "this kernel has no tables of that family".into(),
        },
        (Operation::NewChain, Errno::NOENT) => {
            "the table does not exist, or this kernel has no chains of that type (nat needs \
             CONFIG_NFT_NAT)"
                .into()
        }
        (Operation::NewChain, Errno::EXIST) => "the chain exists already".into(),
        (Operation::NewChain, Errno::OPNOTSUPP) => {
            "a base chain of that name has another hook, priority or type".into()
        }
        (Operation::DeleteChain, Errno::BUSY) => "rules or maps still refer to it".into(),
        (Operation::DeleteChain | Operation::DeleteRule, Errno::NOENT) => {
            "it does not exist".into()
        }
        (Operation::NewRule, Errno::NOENT) => missing(subject),
        (Operation::NewSet, Errno::NOENT) => {
            "the table does not exist, or this kernel lacks what its elements carry (counters may \
             need the module nft_counter)"
                .into()
        }
        (Operation::NewSet, Errno::EXIST) => {
            "there is a set of that name, of another type or with other flags".into()
        }
        (Operation::NewSet, Errno::OPNOTSUPP) => "this kernel has no sets of that kind".into(),
        (Operation::DeleteSet, Errno::BUSY) => "rules still use it".into(),
        (Operation::DeleteSet, Errno::NOENT) => "it does not exist".into(),
        (Operation::NewElements, Errno::EXIST) => {
            "it is there with another value, or overlaps another range; delete that one in the \
             same transaction before"
                .into()
        }
        (Operation::NewElements, Errno::NOENT) => {
            "there is no such set, or no such chain to jump to".into()
        }
        (Operation::NewElements, FULL) => "the set is full".into(),
        (Operation::DeleteElements, Errno::NOENT) => {
            "there is no such set, or it has no such element".into()
        }
        (Operation::NewRule, Errno::LOOP | Errno::MLINK) => {
            "its jumps loop or are nested more than 16 deep".into()
        }
        (Operation::NewRule, Errno::OPNOTSUPP | Errno::INVAL) => return unfit(subject),
        _ => return None,
    };
    Some(text)
}

/// What a rule may name that is not there.
fn missing(subject: &Subject) -> String {
    let mut needs: Vec<String> = Vec::new();
    for expression in &subject.expressions {
        let need = match &expression.extension {
            Some((name, revision)) => format!(
                "xt {} {name} revision {revision} ({} and CONFIG_NFT_COMPAT)",
                expression.name,
                option(expression, name, subject.family)
            ),
            None if &*expression.name == "immediate" => "the chain it jumps to".into(),
            None if subject.expressions.len() == 1 => {
                format!(
                    "expression {} (CONFIG_NFT_{})",
                    expression.name,
                    upper(&expression.name)
                )
            }
            // Payload, cmp, meta and the like are part of nf_tables itself.
            None => continue,
        };
        if !needs.contains(&need) {
            needs.push(need);
        }
    }
    if needs.is_empty() {
        return "its table, its chain or the rule it is placed by does not exist".into();
    }
    let or_chain = if subject.expressions.len() > 1 {
        ", or its table or chain"
    } else {
        ""
    };
    format!("missing here: {}{or_chain}", needs.join(", or "))
}

/// Why a rule that can be read may not stand where it is.
fn unfit(subject: &Subject) -> Option<String> {
    let nat = |expression: &&Expression| {
        let nat = |(name, _): &(Box<str>, u32)| {
            matches!(
                &**name,
                "DNAT" | "SNAT" | "MASQUERADE" | "REDIRECT" | "NETMAP"
            )
        };
        expression.extension.as_ref().is_some_and(nat)
    };
    let expression = subject.expressions.iter().find(nat)?;
    Some(format!(
        "{expression} works only in a table called nat, below hooks that fit it"
    ))
}

/// The kernel option that an xt extension is built by.
fn option(expression: &Expression, name: &str, family: Option<Family>) -> String {
    match name {
        "tcp" | "udp" | "icmp" | "icmp6" => "CONFIG_NETFILTER_XTABLES".into(),
        "mark" | "MARK" => "CONFIG_NETFILTER_XT_MARK".into(),
        "connmark" | "CONNMARK" => "CONFIG_NETFILTER_XT_CONNMARK".into(),
        "set" | "SET" => "CONFIG_NETFILTER_XT_SET".into(),
        "DNAT" | "SNAT" => "CONFIG_NETFILTER_XT_NAT".into(),
        "REJECT" => match family {
            Some(Family::Ipv6) => "CONFIG_IP6_NF_TARGET_REJECT".into(),
            _ => "CONFIG_IP_NF_TARGET_REJECT".into(),
        },
        _ => format!(
            "CONFIG_NETFILTER_XT_{}_{}",
            upper(&expression.name),
            upper(name)
        ),
    }
}

fn upper(name: &str) -> String {
    name.to_ascii_uppercase()
}

use netlink_batch::{AttrWriter, Batch, Errno};

use crate::Family::{self, Ipv4, Ipv6};
use crate::nftables::{ChainId, Operation, Position, Subject, Transaction, hint};

/// The subject of the only change that `write` makes.
fn subject(offset: Option<u32>, write: impl FnOnce(&mut Transaction<()>)) -> Subject {
    let mut transaction = Transaction::new();
    write(&mut transaction);
    let batch: &Batch<()> = &transaction.batch;
    Subject::of(&batch.messages().nth(1).unwrap(), offset)
}

fn extension(list: &mut AttrWriter<'_>, kind: &str, name: &str, revision: u32) {
    list.nest(1, |element| {
        element.str(1, kind);
        element.nest(2, |data| {
            data.str(1, name);
            data.u32_be(2, revision);
            data.bytes(3, &[0; 8]);
        });
    });
}

/// A rule with a comment, a recent match and DNAT; its expressions begin at byte 52.
fn rule(family: Family, offset: Option<u32>) -> Subject {
    subject(offset, |t| {
        let chain = ChainId {
            family,
            table: "nat",
            name: "KUBE-SEP-A",
        };
        t.new_rule(chain, Position::End, false, |attrs| {
            attrs.nest(4, |list| {
                extension(list, "match", "comment", 0);
                extension(list, "match", "recent", 1);
                extension(list, "target", "DNAT", 2);
            });
        });
    })
}

#[test]
fn the_offset_picks_the_expression() {
    let text = |offset| rule(Ipv4, Some(offset)).to_string();
    let start = "adding a rule to chain KUBE-SEP-A of table ip nat, at xt ";
    // Header 16, nfgenmsg 4, table 8, chain 16 and the list's header 4 come first.
    assert_eq!(text(48), format!("{start}match comment revision 0"));
    assert_eq!(text(48 + 60), format!("{start}match recent revision 1"));
    assert_eq!(rule(Ipv4, None).expressions.len(), 3);
}

#[test]
fn a_missing_extension_names_its_options() {
    let at = |offset| hint(&rule(Ipv4, Some(offset)), Errno::NOENT).unwrap();
    let recent = at(48 + 60);
    assert!(recent.contains("xt match recent revision 1"), "{recent}");
    assert!(
        recent.contains("CONFIG_NETFILTER_XT_MATCH_RECENT"),
        "{recent}"
    );
    assert!(recent.contains("CONFIG_NFT_COMPAT"), "{recent}");
    assert!(!recent.contains("COMMENT"), "{recent}");
    let all = hint(&rule(Ipv4, None), Errno::NOENT).unwrap();
    for part in [
        "XT_MATCH_COMMENT",
        "XT_MATCH_RECENT",
        "CONFIG_NETFILTER_XT_NAT",
        "or chain",
    ] {
        assert!(all.contains(part), "{all}");
    }
}

#[test]
fn a_missing_chain_blames_no_kernel_option() {
    // Byte 28 is where the chain's name begins, 20 the table's.
    for offset in [20, 28] {
        let subject = rule(Ipv4, Some(offset));
        assert_eq!(
            subject.to_string(),
            "adding a rule to chain KUBE-SEP-A of table ip nat"
        );
        let text = hint(&subject, Errno::NOENT).unwrap();
        assert!(text.contains("its table, its chain"), "{text}");
        assert!(!text.contains("CONFIG_"), "{text}");
    }
}

#[test]
fn nat_outside_the_nat_table_is_explained() {
    let text = hint(&rule(Ipv6, None), Errno::INVAL).unwrap();
    assert!(text.contains("only in a table called nat"), "{text}");
}

#[test]
fn a_missing_jump_target_is_explained() {
    let jump = subject(Some(48), |t| {
        let chain = ChainId {
            family: Ipv4,
            table: "nat",
            name: "KUBE-SVC-A",
        };
        t.new_rule(chain, Position::End, false, |attrs| {
            attrs.nest(4, |list| {
                list.nest(1, |element| element.str(1, "immediate"));
            });
        });
    });
    let text = hint(&jump, Errno::NOENT).unwrap();
    assert_eq!(text, "missing here: the chain it jumps to");
}

#[test]
fn missing_table_families_are_told_apart() {
    for (family, option) in [
        (Ipv4, "CONFIG_NF_TABLES_IPV4"),
        (Ipv6, "CONFIG_NF_TABLES_IPV6"),
    ] {
        let table = subject(None, |t| t.new_table(family, "nat"));
        assert!(hint(&table, Errno::OPNOTSUPP).unwrap().contains(option));
    }
    let begin = Subject {
        operation: Operation::Begin,
        ..Subject::reading(None)
    };
    for nowhere in [begin, Subject::reading(Some(Ipv4))] {
        let text = hint(&nowhere, Errno::OPNOTSUPP).unwrap();
        assert!(text.contains("CONFIG_NF_TABLES)"), "{text}");
        assert!(
            hint(&nowhere, Errno::PERM)
                .unwrap()
                .contains("CAP_NET_ADMIN")
        );
    }
}

#[test]
fn what_the_number_says_needs_no_hint() {
    let table = subject(None, |t| t.delete_table(Ipv4, "nat"));
    assert_eq!(hint(&table, Errno::NOENT), None);
    assert_eq!(table.to_string(), "deleting table ip nat");
}

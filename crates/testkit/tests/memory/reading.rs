//! What is read while others write.

use nfnetlink::Family::Ipv4;
use nfnetlink::nftables::{ChainId, Position, Transaction, rules};
use nfnetlink::xtables::Rule;

use crate::worlds::{both, open};

const CHAIN: ChainId<'_> = ChainId {
    family: Ipv4,
    table: "nat",
    name: "KUBE-A",
};

fn append(transaction: &mut Transaction<()>, count: usize) {
    for number in 0..count {
        let text = format!("-d 10.1.{}.{}/32 -j DROP", number / 256, number % 256);
        let rule = Rule::parse(Ipv4, &text).unwrap();
        transaction.new_rule(CHAIN, Position::End, false, |attrs| rule.encode(attrs));
    }
}

#[test]
fn a_commit_in_between_interrupts_a_listing() {
    let [real, memory] = both(|| {
        let (mut reader, mut writer) = (open(), open());
        let mut transaction = Transaction::new();
        transaction.begin(None);
        transaction.new_table(Ipv4, "nat");
        transaction.new_chain(CHAIN);
        append(&mut transaction, 2000);
        transaction.commit(&mut writer).unwrap();
        let mut read = 0;
        let interrupted = rules(&mut reader, CHAIN, |_| {
            read += 1;
            if read == 1 {
                transaction.begin(None);
                append(&mut transaction, 1);
                transaction.commit(&mut writer).unwrap();
            }
        });
        let mut again = 0;
        let whole = rules(&mut reader, CHAIN, |_| again += 1);
        (format!("{interrupted:?} {whole:?}"), read, again)
    });
    assert_eq!(real, memory);
    assert_eq!(real, ("Err(Interrupted) Ok(())".to_owned(), 2001, 2001));
}

#[test]
fn a_question_is_answered_during_a_listing() {
    let [real, memory] = both(|| {
        let mut writer = open();
        let mut transaction = Transaction::new();
        transaction.begin(None);
        transaction.new_table(Ipv4, "nat");
        transaction.new_chain(CHAIN);
        append(&mut transaction, 2000);
        transaction.commit(&mut writer).unwrap();
        // A generation that is asked for in between is answered on a socket of its own.
        let mut asker = open();
        let mut generations = Vec::new();
        rules(&mut writer, CHAIN, |_| {
            if generations.len() < 3 {
                let now = nfnetlink::nftables::generation(&mut asker);
                generations.push(now.unwrap());
            }
        })
        .unwrap();
        generations
    });
    assert_eq!(real, memory);
    assert_eq!(real, [2, 2, 2]);
}

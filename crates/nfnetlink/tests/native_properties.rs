//! What holds for any native rule, set and element, and for any bytes and text.

#![allow(clippy::panic, clippy::unwrap_used, reason = "these are tests")]

#[path = "common/native.rs"]
mod native;

use native::{family, listing, rule};
use netlink_batch::{AttrWriter, Attrs, message};
use nfnetlink::Family;
use nfnetlink::nftables::RawRule;
use nfnetlink::nftables::native::{
    Expression, Listing, Register, Rule, SetListing, Statement, Value,
};
use proptest::prelude::*;

/// What a rule reads as once it was written.
fn written(family: Family, rule: &Rule) -> Rule {
    let mut bytes = Vec::new();
    let header = [family.number(), 0, 0, 0];
    message::write(&mut bytes, 0x0a06, 0, 1, &header, |attrs| {
        attrs.str(1, "t");
        attrs.str(2, "c");
        attrs.u64_be(3, 1);
        rule.encode(family, attrs);
    });
    let message = netlink_batch::Messages::new(&bytes)
        .next()
        .unwrap()
        .unwrap();
    Rule::read(family, &RawRule::read(&message).unwrap()).unwrap()
}

/// A rule's expressions as they read back.
fn reread(expressions: &[Expression]) -> Vec<Expression> {
    let others = expressions.iter().cloned().map(Statement::Other);
    let rule = Rule::new(others.collect::<Vec<_>>());
    let mut bytes = Vec::new();
    rule.encode(Family::Ipv4, &mut AttrWriter::new(&mut bytes));
    let list = Attrs::new(&bytes).next().unwrap().unwrap();
    Expression::list(list.nested()).unwrap()
}

fn of_family() -> impl Strategy<Value = (Family, Rule)> {
    family().prop_flat_map(|family| (Just(family), rule(family)))
}

proptest! {
    #[test]
    fn a_rule_reads_back_from_bytes((family, rule) in of_family()) {
        prop_assert_eq!(&written(family, &rule), &rule);
        let expressions = rule.expressions(family);
        prop_assert_eq!(reread(&expressions), expressions);
    }

    #[test]
    fn a_rule_reads_back_from_text((family, rule) in of_family()) {
        let text = rule.text(family).to_string();
        prop_assert_eq!(Rule::parse(family, &text), Ok(rule), "{}", text);
    }

    #[test]
    fn a_table_reads_back_from_text(listing in listing()) {
        let text = listing.to_string();
        prop_assert_eq!(Listing::parse(&text), Ok(listing), "{}", text);
    }

    /// Whatever is left out of, doubled in or put elsewhere in a rule's expressions is not taken for
    /// the rule, and is written again as it is.
    #[test]
    fn an_element_by_itself_prints_as_within_its_set(listing in listing()) {
        let family = listing.family;
        for SetListing { set, elements } in listing.sets {
            for listed in elements {
                let text = set.element_text(family, &listed).to_string();
                let alone = SetListing { set: set.clone(), elements: vec![listed] };
                let whole = alone.text(family).to_string();
                let element = format!("\t\telements = {{ {text} }}\n\t}}\n");
                prop_assert!(whole.ends_with(&element), "{}\n{}", text, whole);
            }
        }
    }

    #[test]
    fn other_expressions_stay_what_they_are(
        (family, rule) in of_family(),
        change in 0..4,
        at: prop::sample::Index,
        to: prop::sample::Index,
    ) {
        let mut expressions = rule.expressions(family);
        prop_assume!(!expressions.is_empty());
        let (at, to) = (at.index(expressions.len()), to.index(expressions.len()));
        match change {
            0 => drop(expressions.remove(at)),
            1 => expressions.insert(to, expressions[at].clone()),
            2 => expressions.swap(at, to),
            _ => expressions[at] = Expression::Immediate {
                to: Register::at(3).unwrap(),
                value: Value::from(1u32),
            },
        }
        let found = Rule::of_expressions(family, expressions.clone());
        prop_assert_eq!(found.expressions(family), expressions.clone());
        if expressions != rule.expressions(family) {
            prop_assert_ne!(found.statements, rule.statements);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        for family in Family::ALL {
            if let Ok(rule) = Rule::parse(family, &text) {
                let again = rule.text(family).to_string();
                prop_assert_eq!(Rule::parse(family, &again), Ok(rule), "{}", text);
            }
        }
        let _ = Listing::parse_all(&text).map(|listings| listings.len());
    }

    /// Words of a table in any order.
    #[test]
    fn any_words_are_read_or_refused(
        listing in listing(),
        places in prop::collection::vec(any::<(prop::sample::Index, prop::sample::Index)>(), 1..4),
    ) {
        let text = listing.to_string();
        let mut words: Vec<_> = text.split(' ').collect();
        for (one, other) in places {
            let (one, other) = (one.index(words.len()), other.index(words.len()));
            words.swap(one, other);
        }
        let text = words.join(" ");
        match Listing::parse(&text) {
            Ok(listing) => {
                let again = listing.to_string();
                prop_assert_eq!(Listing::parse(&again), Ok(listing), "{}", text);
            }
            Err(error) => {
                let line = text.lines().nth(error.line - 1).unwrap_or_default();
                prop_assert!(line.contains(&error.token), "{}: {}", error, line);
            }
        }
    }
}

#[test]
fn a_port_belongs_to_the_protocol_that_was_compared() {
    let read = |text| Rule::parse(Family::Ipv4, text).unwrap();
    let rule = read("meta l4proto tcp th dport 80 ip saddr . th sport @s");
    assert_eq!(rule, read("tcp dport 80 ip saddr . tcp sport @s"));
    assert_eq!(rule, written(Family::Ipv4, &rule));
    // Not where something stands between them: that can't be said so.
    let rule = read("meta l4proto tcp ip saddr 192.0.2.1 th dport 80");
    assert_eq!(rule.statements.len(), 3);
    assert_eq!(rule, written(Family::Ipv4, &rule));
}

#[test]
fn a_constant_set_has_the_size_that_it_has() {
    let text = |size| {
        format!(
            "table ip t {{\n\tset s {{\n\t\ttype mark\n{size}\t\tflags constant\n\t\telements = {{ \
             0x00000001, 0x00000002 }}\n\t}}\n}}\n"
        )
    };
    let listing = Listing::parse(&text("\t\tsize 5\n")).unwrap();
    assert_eq!(listing.sets[0].set.size, Some(2));
    assert_eq!(listing.to_string(), text(""));
}

#[test]
fn errors_name_line_and_word() {
    let text =
        "table ip t {\n\tset s {\n\t\ttype ipv4_addr\n\t\telements = { 1.1.1.1, x }\n\t}\n}\n";
    let error = Listing::parse(text).unwrap_err();
    assert_eq!(error.to_string(), "line 4: \"x\": expected an IPv4 address");
    let text = "table ip t {\n\tchain c {\n\t\ttcp flags syn\n\t}\n}\n";
    let error = Listing::parse(text).unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 3: \"flags\": expected sport or dport"
    );
    let error = Rule::parse(Family::Ipv4, "[ payload 0x00 ]").unwrap_err();
    assert_eq!((error.line, error.token.as_str()), (1, "["));
}

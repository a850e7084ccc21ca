#![allow(clippy::all, clippy::pedantic, clippy::unwrap_used, clippy::print_stdout, clippy::panic)]
mod common;
use std::time::Instant;
use common::{base, in_netns, jump, nat};
use nfnetlink::Family::Ipv4;
use nfnetlink::nftables::{Position, Transaction};
#[test]
fn probe() {
    for variant in 0..6 {
        in_netns(|socket| {
            let mut t = Transaction::<u32>::new();
            if variant % 2 == 0 { base(&mut t, Ipv4); t.commit(socket).unwrap(); }
            let write = |t: &mut Transaction<u32>, round: u32, looped: bool| {
                t.begin(None);
                base(t, Ipv4);
                for n in 0..300 {
                    let name = format!("R{round}-{n}");
                    t.tag(n);
                    t.new_chain(nat(Ipv4, &name));
                    let mut rule = nfnetlink::xtables::Rule::new(Ipv4); rule.matches.push(nfnetlink::xtables::Match::Comment("x".into()));
 rule.target = nfnetlink::xtables::Target::Accept;
 t.new_rule(nat(Ipv4, &name), Position::End, false, |a| rule.encode(a));
                    t.new_rule(nat(Ipv4, "OUTPUT"), Position::End, false, jump(&name));
                }
                if looped {
                    let (last, other) = (format!("R{round}-0"), format!("R{round}-1"));
                    match variant / 2 {
                        0 => t.new_rule(nat(Ipv4, &last), Position::End, false, jump(&last)),
                        1 => { t.new_rule(nat(Ipv4, &last), Position::Head, false, jump(&other));
                               t.new_rule(nat(Ipv4, &other), Position::Head, false, jump(&last)); }
                        _ => { for n in 0..20 { t.new_rule(nat(Ipv4, &format!("R{round}-{n}")), Position::Head, false, jump(&format!("R{round}-{}", n+1))); } }
                    }
                }
            };
            let mut times = Vec::new();
            for (round, looped) in [(0, false), (1, true), (2, false), (3, false)] {
                write(&mut t, round, looped);
                let start = Instant::now();
                let r = t.commit(socket).map(|_| ());
                let took = start.elapsed().as_micros();
                let why = match r { Ok(()) => String::new(), Err(e) => format!("{e} {e:?}").chars().take(230).collect() };
                times.push((took, looped, why));
            }
            println!("variant {variant}: {times:?}");
        });
    }
}

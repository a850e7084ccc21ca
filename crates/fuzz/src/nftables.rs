//! Messages of `nf_tables`.

use netlink_batch::{Errno, Messages};
use nfnetlink::nftables::{Chain, Event, Generation, RawRule, Subject, Table, hint};

/// A datagram of answers, notifications or requests.
pub(crate) fn read(bytes: &[u8]) {
    for message in Messages::new(bytes).map_while(Result::ok) {
        let read = (
            Table::read(&message).is_ok(),
            Chain::read(&message).is_ok(),
            Generation::read(&message).is_ok(),
        );
        let rule = RawRule::read(&message).map(|rule| rule.expressions.count());
        let event = Event::read(&message).map(|event| format!("{event:?}"));
        let _ = (read, rule, event);
        for offset in [None, Some(0), Some(52), Some(message.seq)] {
            let subject = Subject::of(&message, offset);
            let _ = subject.to_string();
            for errno in [Errno::NOENT, Errno::INVAL, Errno::BUSY] {
                let _ = hint(&subject, errno);
            }
        }
    }
}

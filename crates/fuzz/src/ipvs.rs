//! IPVS: messages, the text of `ipvsadm`, and `/proc/net/ip_vs`.

use ipvs_netlink::text::{self, Line};
use ipvs_netlink::{DestinationEntry, Family, Info, ServerEntry, Timeouts, proc};
use netlink_batch::Messages;

/// A datagram of answers: what is read prints as a line that prints as the same again.
pub(crate) fn read(bytes: &[u8]) {
    let mut last = None;
    for message in Messages::new(bytes).map_while(Result::ok) {
        if let Ok(Some(ServerEntry { id, server, .. })) = ServerEntry::read(&message) {
            // Without persistence some of it says nothing and is not printed.
            prints_alike(Line::Server { id, server });
            last = Some(id);
        }
        for family in Family::ALL {
            let Ok(Some(entry)) = DestinationEntry::read(&message, family) else {
                continue;
            };
            let _ = entry.is_idle();
            if let Some(server) = last {
                let line = Line::Destination {
                    server,
                    id: entry.id,
                    destination: entry.destination,
                };
                prints_alike(line);
            }
        }
        let _ = (Timeouts::read(&message), Info::read(&message));
    }
}

/// The text of `ipvsadm -Sn`.
pub(crate) fn parse(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for line in text::parse(&text) {
        match line {
            Ok(line) => prints(line),
            Err(error) => drop(error.to_string()),
        }
    }
}

/// `/proc/net/ip_vs`, read as a whole and line by line.
pub(crate) fn proc(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = Vec::new();
    for line in proc::lines(&text) {
        match line {
            Ok(line) => lines.push(format!("{line:?}")),
            Err(error) => drop(error.to_string()),
        }
    }
    let mut read = Vec::new();
    let whole = proc::read_from(bytes, |line| read.push(format!("{line:?}")));
    let _ = whole.map_err(|error| error.to_string());
    // A reader stops at the first line that is none; one of lines goes on.
    assert!(
        read.iter()
            .all(|line| lines.contains(line) || text.contains('\u{fffd}'))
    );
}

fn prints(line: Line) {
    let text = line.to_string();
    assert_eq!(text.parse(), Ok(line), "{text}");
}

fn prints_alike(line: Line) {
    let text = line.to_string();
    // No scheduler has a name with a space in it.
    let is_word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_graphic());
    if text.split(' ').all(is_word)
        && let Ok(line) = text.parse::<Line>()
    {
        assert_eq!(line.to_string(), text);
    }
}

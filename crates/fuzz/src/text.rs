//! Values of settings, fields and annotations, and what makes texts safe to show.

use ipvs_netlink::{Engine, Scheduler};
use nfnetlink::ipset;
use viprule::config::{GoDuration, Quantity};
use viprule_dataplane::ownership::{Chain, Set};
use viprule_service::model::{SchedulerFlags, SchedulerName, ServiceId, is_node_name};
use viprule_source::convert::{parse_ip, parse_range};
use viprule_source::escape;

/// Each line as each kind of value: what is read prints as something that reads as the same.
pub(crate) fn settings(bytes: &[u8]) {
    for line in String::from_utf8_lossy(bytes).lines() {
        if let Some(ip) = parse_ip(line) {
            assert_eq!(parse_ip(&ip.to_string()), Some(ip));
        }
        if let Some(range) = parse_range(line) {
            assert_eq!(parse_range(&range.to_string()), Some(range));
            assert_eq!(range, range.trunc());
        }
        if let Ok(duration) = line.parse::<GoDuration>() {
            assert_eq!(duration.to_string().parse(), Ok(duration), "{line}");
        }
        if let Some(quantity) = Quantity::parse(line) {
            let _ = quantity.is_zero();
        }
        if let Some(chain) = Chain::parse(line) {
            assert_eq!(chain.to_string(), line);
        }
        if let Ok(scheduler) = line.parse::<Scheduler>() {
            assert_eq!(scheduler.to_string(), line);
        }
        if let Ok(engine) = line.parse::<Engine>() {
            assert_eq!(engine.to_string(), line);
        }
        if let Some(name) = SchedulerName::new(line) {
            assert_eq!(name.as_str(), line);
        }
        if let Some(set) = Set::named(line) {
            assert_eq!(set.to_string(), line);
        }
        if let Some(kind) = ipset::Kind::parse(line) {
            assert_eq!(kind.to_string(), line);
        }
        let _ = (SchedulerFlags::parse(line), is_node_name(line));
        if let Some((namespace, name)) = line.split_once('/')
            && let Ok(id) = ServiceId::new(namespace, name)
        {
            assert_eq!((id.namespace(), id.name()), (namespace, name));
        }
    }
}

/// Nothing is left that moves a terminal, and what is safe stays as it is.
pub(crate) fn escapes(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let line = escape::line(&text);
    assert!(!line.chars().any(char::is_control));
    assert_eq!(escape::line(&line), line);
    let lines = escape::lines(&text);
    assert!(!lines.chars().any(|c| c.is_control() && c != '\n'));
    assert_eq!(escape::lines(&lines), lines);
    let document = serde_json::Value::from(&*text).to_string();
    let shown = escape::json(&document);
    assert!(!shown.chars().any(char::is_control));
    assert_eq!(
        serde_json::from_str(&shown).ok(),
        Some(text.clone().into_owned())
    );
    let _ = escape::url(&text);
}

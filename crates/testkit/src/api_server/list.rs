//! Lists by pages.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::json;

use super::answer::{Asked, Reply, status};
use super::oddity::Oddity;
use super::{Kind, State};

/// What follows on later pages, by the token that asks for it.
#[derive(Debug, Default)]
pub(super) struct Open {
    lists: BTreeMap<String, Rest>,
    last: u64,
}

#[derive(Debug, Clone)]
struct Rest {
    version: u64,
    items: Vec<String>,
}

/// Lists that are not at their end, at most; older ones are forgotten, as etcd compacts.
const OPEN: usize = 64;

impl Open {
    fn keep(&mut self, rest: Rest) -> String {
        self.last += 1;
        let token = format!("t{:08}", self.last);
        self.lists.insert(token.clone(), rest);
        if self.lists.len() > OPEN {
            self.lists.pop_first();
        }
        token
    }
}

/// A page.
pub(super) fn reply(state: &mut State, asked: &Asked, odd: Option<Oddity>) -> Reply {
    let kind = asked.kind;
    let token = asked.get("continue");
    let is_first = token.is_empty();
    let whole = if is_first {
        let mut items = state.store.objects(kind);
        thin(&mut items, odd);
        Some(Rest {
            version: state.store.version(),
            items,
        })
    } else {
        state.open.lists.get(token).cloned()
    };
    let lost = (odd == Some(Oddity::LostToken) || state.weather.forgets) && !is_first;
    let Some(mut rest) = whole.filter(|_| !lost) else {
        let text = status(410, "the continue parameter is too old");
        return Reply::Text(StatusCode::GONE, text);
    };
    let limit = asked.number("limit").unwrap_or(500);
    let limit = usize::try_from(limit)
        .unwrap_or(usize::MAX)
        .min(state.weather.page);
    let mut items = rest.items.clone();
    let mut later = items.split_off(items.len().min(limit));
    let mut remaining = later.len();
    if odd == Some(Oddity::FewerItems) && !later.is_empty() {
        // What was to come does not, though it is told to.
        later.clear();
        remaining = remaining.max(1);
    }
    rest.items = later;
    let next = if rest.items.is_empty() {
        if odd.is_none() && limit > 1 {
            state.lies.told(kind);
        }
        String::new()
    } else if odd == Some(Oddity::RepeatedToken) && !is_first {
        token.to_owned()
    } else {
        state.open.keep(rest.clone())
    };
    let version = match odd {
        Some(Oddity::NoVersion) => String::new(),
        Some(Oddity::OtherPage) if !is_first => (rest.version + 1).to_string(),
        _ => rest.version.to_string(),
    };
    let text = page(kind, odd, &items, (&version, &next, remaining));
    if odd == Some(Oddity::CutBody) {
        let half = text.len() / 2;
        let half = (half..text.len()).find(|at| text.is_char_boundary(*at));
        return Reply::Cut(text[..half.unwrap_or_default()].to_owned());
    }
    Reply::Text(StatusCode::OK, text)
}

/// Leaves out what a lie lacks.
pub(super) fn thin(items: &mut Vec<String>, odd: Option<Oddity>) {
    match odd {
        Some(Oddity::Empty | Oddity::NullItems | Oddity::OtherKind) => items.clear(),
        Some(Oddity::Partial) => items.truncate(1),
        _ => {}
    }
}

fn page(
    kind: Kind,
    odd: Option<Oddity>,
    items: &[String],
    (version, next, remaining): (&str, &str, usize),
) -> String {
    let (name, group) = match odd {
        Some(Oddity::OtherKind) => ("ConfigMap", "v1"),
        Some(Oddity::OtherVersion) => (kind.name(), "v2beta1"),
        _ => (kind.name(), kind.version()),
    };
    let mut metadata = json!({"resourceVersion": version});
    if !next.is_empty() {
        metadata["continue"] = json!(next);
    }
    if remaining > 0 {
        metadata["remainingItemCount"] = json!(remaining);
    }
    let items = match odd {
        Some(Oddity::NoItems) => String::new(),
        Some(Oddity::NullItems) => ",\"items\":null".to_owned(),
        _ => format!(",\"items\":[{}]", items.join(",")),
    };
    format!("{{\"kind\":\"{name}List\",\"apiVersion\":\"{group}\",\"metadata\":{metadata}{items}}}")
}

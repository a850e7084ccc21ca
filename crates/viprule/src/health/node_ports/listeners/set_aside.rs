//! Which Services go without listeners where there is not room for those of all.

use std::collections::BTreeSet;

use viprule_service::model::{Family, ServiceId};

use super::{ListenFailure, Listeners, addresses};

/// Services whose names fit into one line.
const NAMED: usize = 5;

/// A Service's place among those that want listeners; the lower one is served first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank(u64);

/// Gives out ranks: who came first is served first.
#[derive(Debug, Default)]
pub(super) struct Ranks(u64);

impl Ranks {
    pub(super) fn next(&mut self) -> Rank {
        self.0 += 1;
        Rank(self.0)
    }
}

impl Listeners {
    /// Sets Services aside for which there is no room, and takes those back for which there is.
    pub(super) async fn allot(&mut self) {
        let each = Family::ALL.map(|family| {
            let addresses = addresses(family, &self.targets[family as usize]);
            addresses.len()
        });
        let room = self.options.room.listeners;
        let most = each.iter().sum::<usize>() * self.services.len();
        let aside = if most <= room {
            BTreeSet::new()
        } else {
            let wanted = self.services.iter().map(|(id, service)| {
                let families = service.families.iter().zip(each);
                let wanted = families.filter_map(|(family, each)| family.as_ref().map(|_| each));
                (service.rank, id, wanted.sum())
            });
            beyond(room, wanted)
        };
        let before = std::mem::replace(&mut self.aside, aside.clone());
        self.failing.extend(before.difference(&aside).cloned());
        for id in &aside {
            self.failing.remove(id);
        }
        for id in aside.difference(&before) {
            let Some(service) = self.services.get_mut(id) else {
                continue;
            };
            for listening in service.families.iter_mut().flatten() {
                listening.keep(&BTreeSet::new()).await;
            }
            let problem = format!(
                "the limit of open files leaves room for {room} listeners, which older Services \
                 have; raise the hard limit (LimitNOFILE, ulimit -Hn) and restart"
            );
            service.problem = Some(problem.clone());
            let failure = ListenFailure {
                service: id.clone(),
                port: service.port,
                problem,
            };
            // Whoever is not interested has dropped the receiver.
            let _ = self.options.failures.send(failure);
        }
    }

    /// Tells how many Services are set aside, where that is news.
    pub(in super::super) fn tell(&mut self) {
        let aside = self.aside.len();
        if aside == self.told {
            return;
        }
        self.told = aside;
        if aside == 0 {
            tracing::info!("health check ports: there is room for all Services again");
            return;
        }
        tracing::error!(
            "health check ports of {aside} Services are not served, as the limit of open files \
             leaves room for {} listeners; raise the hard limit (LimitNOFILE, ulimit -Hn) and \
             restart: {}",
            self.options.room.listeners,
            named(&self.aside)
        );
    }
}

/// Those for which there is no room, of Services that want so many listeners each. Nobody is served
/// behind one that is not, so that it gets what becomes free.
fn beyond<'a>(
    room: usize,
    wanted: impl Iterator<Item = (Rank, &'a ServiceId, usize)>,
) -> BTreeSet<ServiceId> {
    let mut wanted: Vec<_> = wanted.collect();
    wanted.sort_unstable();
    let mut used = 0_usize;
    let has_room = |(_, _, listeners): &&(Rank, &ServiceId, usize)| {
        used = used.saturating_add(*listeners);
        used <= room
    };
    let served = wanted.iter().take_while(has_room).count();
    let aside = wanted.into_iter().skip(served);
    aside.map(|(_, id, _)| id.clone()).collect()
}

/// These Services as a log line names them.
fn named(services: &BTreeSet<ServiceId>) -> String {
    let named: Vec<String> = services
        .iter()
        .take(NAMED)
        .map(ToString::to_string)
        .collect();
    let more = services.len().saturating_sub(NAMED);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("{}{more}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_came_first_is_served_and_nobody_is_overtaken() {
        let ids = ["c", "a", "d", "b"].map(|name| ServiceId::new("shop", name).unwrap());
        let mut ranks = Ranks::default();
        let ranks = ids.each_ref().map(|_| ranks.next());
        let aside = |room, wanted: [usize; 4]| {
            let all = ranks.into_iter().zip(&ids).zip(wanted);
            named(&beyond(
                room,
                all.map(|((rank, id), wanted)| (rank, id, wanted)),
            ))
        };
        assert_eq!(aside(4, [1, 1, 1, 1]), "");
        assert_eq!(aside(2, [1, 1, 1, 1]), "shop/b, shop/d");
        assert_eq!(aside(3, [1, 1, 2, 1]), "shop/b, shop/d");
        assert_eq!(aside(0, [1, 0, 1, 1]), "shop/a, shop/b, shop/c, shop/d");
    }
}

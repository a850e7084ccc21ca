//! Which Services go without listeners where there is not room for those of all.

use std::collections::BTreeSet;

use viprule_service::model::{CreationTime, Family, ServiceId};

use super::{ListenFailure, Listeners, addresses};

/// Services whose names fit into one line.
const NAMED: usize = 5;

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
                (service.created, id, wanted.sum())
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

/// Those for which there is no room, of Services that want so many listeners each. The oldest come
/// first, of those of one second the first by namespace and name, so that a start of this program
/// takes them from nobody. Nobody is served behind one that is not, so that it gets what becomes
/// free.
fn beyond<'a>(
    room: usize,
    wanted: impl Iterator<Item = (CreationTime, &'a ServiceId, usize)>,
) -> BTreeSet<ServiceId> {
    let mut wanted: Vec<_> = wanted.collect();
    wanted.sort_unstable();
    let mut used = 0_usize;
    let has_room = |(_, _, listeners): &&(CreationTime, &ServiceId, usize)| {
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
    fn the_oldest_are_served_and_nobody_is_overtaken() {
        let ids = ["b", "c", "a", "d"].map(|name| ServiceId::new("shop", name).unwrap());
        // Two of one second; of the last nobody knows when.
        let created = [
            CreationTime::at(9),
            CreationTime::at(3),
            CreationTime::at(9),
        ];
        let aside = |room, wanted: [usize; 4]| {
            let times = created.into_iter().chain([CreationTime::default()]);
            let all = times.zip(&ids).zip(wanted);
            named(&beyond(
                room,
                all.map(|((created, id), wanted)| (created, id, wanted)),
            ))
        };
        assert_eq!(aside(4, [1, 1, 1, 1]), "");
        assert_eq!(aside(3, [1, 1, 1, 1]), "shop/d");
        assert_eq!(aside(2, [1, 1, 1, 1]), "shop/b, shop/d");
        assert_eq!(aside(3, [1, 1, 3, 1]), "shop/a, shop/b, shop/d");
        assert_eq!(aside(0, [1, 0, 1, 1]), "shop/a, shop/b, shop/d");
    }
}

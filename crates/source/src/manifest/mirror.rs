//! Which `Endpoints` are mirrored to `EndpointSlice`s, as an API server's controller does it for
//! Services without selector (KEP-752), and what is said of the others.

use std::collections::BTreeSet;

use super::object::{Key, Kind, Place};
use super::problem::{Problem, Severity};
use super::resolve::{Claims, object_problem};
use super::state::File;
use crate::convert::Ignored;

/// Endpoints that are told one by one; of more, the first ones are named in one problem.
const TOLD_APART: usize = 5;
/// Endpoints that such a problem names.
const NAMED: usize = 3;

/// Why nothing is made of Endpoints that a Service may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Why {
    NoService,
    Selector,
    SkipMirror,
    LeaderElection,
}

/// Endpoints that are told of: file, object, and why.
#[derive(Debug, Default)]
pub(super) struct Mirror<'f> {
    /// `namespace/name` of Endpoints whose slices do not count.
    pub(super) without: BTreeSet<&'f str>,
    /// Services that have slices of their own.
    sliced: BTreeSet<&'f str>,
    told: Vec<(Why, usize, usize)>,
}

/// Decides for all Endpoints that count among these claims.
pub(super) fn mirror<'f>(
    files: &'f [File],
    claims: &Claims<'f>,
    broken: &BTreeSet<(Kind, &str)>,
) -> Mirror<'f> {
    let mut mirror = Mirror {
        sliced: sliced(files, claims),
        ..Mirror::default()
    };
    for (&(kind, name), &(file, index)) in claims {
        let place = &files[file].objects[index].place;
        if kind != Kind::Endpoints || *place == Place::Ignored {
            continue;
        }
        let service = claims.get(&(Kind::Service, name));
        let service = service.map(|&(file, index)| &files[file].objects[index].place);
        let why = match (service, place) {
            // Its slices say it all.
            _ if mirror.sliced.contains(name) => None,
            (Some(Place::Service { has_selector, .. }), _) if *has_selector => Some(Why::Selector),
            (Some(Place::Service { .. }), Place::Unmirrored(Ignored::LeaderElection)) => {
                Some(Why::LeaderElection)
            }
            (Some(Place::Service { .. }), Place::Unmirrored(_)) => Some(Why::SkipMirror),
            (Some(Place::Service { .. }), _) => continue,
            // Headless, or not ours for another reason.
            (Some(_), _) | (None, Place::Unmirrored(_)) => None,
            // As with slices, which may be here before their Service, and stay where it is believed
            // to be there still.
            (None, _) => {
                if !broken.contains(&(Kind::Service, name)) {
                    mirror.told.push((Why::NoService, file, index));
                }
                continue;
            }
        };
        mirror.without.insert(name);
        mirror.told.extend(why.map(|why| (why, file, index)));
    }
    mirror.told.sort_unstable();
    mirror
}

/// Services that have slices of their own.
fn sliced<'f>(files: &'f [File], claims: &Claims<'f>) -> BTreeSet<&'f str> {
    let places = claims.values();
    let places = places.map(|&(file, index)| &files[file].objects[index].place);
    let services = places.filter_map(|place| match place {
        Place::Of(service, _) => Some(service.as_str()),
        _ => None,
    });
    services.collect()
}

impl Mirror<'_> {
    /// Broken Endpoints that no Service needs.
    pub(super) fn unneeded(&self, files: &[File], claims: &Claims<'_>) -> BTreeSet<Key> {
        let broken = files.iter().flat_map(|file| &file.broken);
        let endpoints = broken.filter(|key| key.kind == Kind::Endpoints);
        let unneeded = endpoints.filter(|key| {
            let service = claims.get(&(Kind::Service, &*key.name));
            let place = service.map(|&(file, index)| &files[file].objects[index].place);
            let takes = matches!(place, Some(Place::Service { has_selector, .. }) if !has_selector);
            !takes || self.sliced.contains(&*key.name)
        });
        unneeded.cloned().collect()
    }

    /// What is told of, with the file that it is told at.
    pub(super) fn problems(&self, files: &[File]) -> Vec<(usize, Problem)> {
        let mut problems = Vec::new();
        for same in self.told.chunk_by(|one, next| one.0 == next.0) {
            let name =
                |&(_, file, index): &(Why, usize, usize)| &*files[file].objects[index].key.name;
            if same.len() <= TOLD_APART {
                for one in same {
                    let &(why, file, index) = one;
                    let object = &files[file].objects[index];
                    let message = why.of(name(one));
                    let problem =
                        object_problem(&files[file], object, Severity::Warning, None, message);
                    problems.push((file, problem));
                }
            } else if let [first, ..] = same {
                let &(why, file, index) = first;
                let names: Vec<_> = same.iter().take(NAMED).map(name).collect();
                let object = format!(
                    "Endpoints {} and {} more",
                    names.join(", "),
                    same.len() - NAMED
                );
                let at = &files[file].objects[index];
                let message = why.of_many().to_owned();
                let problem = object_problem(&files[file], at, Severity::Warning, None, message);
                problems.push((
                    file,
                    Problem {
                        object: Some(object),
                        ..problem
                    },
                ));
            }
        }
        problems
    }
}

impl Why {
    fn of(self, name: &str) -> String {
        let reason = match self {
            Self::NoService => {
                return format!(
                    "Service {name} is not among the manifests; add it or leave the Endpoints out"
                );
            }
            Self::Selector => format!("as Service {name} has a selector"),
            Self::SkipMirror => {
                "as the label endpointslice.kubernetes.io/skip-mirror says".to_owned()
            }
            Self::LeaderElection => {
                "as the annotation control-plane.alpha.kubernetes.io/leader says".to_owned()
            }
        };
        let (namespace, service) = name.split_once('/').unwrap_or_default();
        format!(
            "are not mirrored to EndpointSlices, {reason}, and Service {name} has no EndpointSlice \
             among the manifests, so it has no endpoints; add what `kubectl get endpointslices -n \
             {namespace} -l kubernetes.io/service-name={service} -o yaml` prints"
        )
    }

    const fn of_many(self) -> &'static str {
        match self {
            Self::NoService => {
                "their Services are not among the manifests; add them or leave the Endpoints out"
            }
            Self::Selector => {
                "are not mirrored to EndpointSlices, as their Services have selectors, and these have \
                 no EndpointSlices among the manifests, so they have no endpoints; add what `kubectl \
                 get endpointslices -A -o yaml` prints"
            }
            Self::SkipMirror => {
                "are not mirrored to EndpointSlices, as the label \
                 endpointslice.kubernetes.io/skip-mirror says, and their Services have no \
                 EndpointSlices among the manifests, so they have no endpoints; add what `kubectl get \
                 endpointslices -A -o yaml` prints"
            }
            Self::LeaderElection => {
                "are not mirrored to EndpointSlices, as the annotation \
                 control-plane.alpha.kubernetes.io/leader says, and their Services have no \
                 EndpointSlices among the manifests, so they have no endpoints; add what `kubectl get \
                 endpointslices -A -o yaml` prints"
            }
        }
    }
}

//! Which definition of an object counts, over all files.

use std::collections::{BTreeMap, BTreeSet};

use viprule_service::plan::FrontendKind;
use viprule_service::tracker::Conflict;

use super::mirror::mirror;
use super::object::{Key, Kind, Place};
use super::problem::{Problem, Severity};
use super::state::{File, Object};
use crate::convert::SERVICE_NAME_FIELD;

/// What the files say together.
#[derive(Debug, Default)]
pub(super) struct Resolution {
    /// For each file, for each of its objects: whether it is the definition that counts.
    pub(super) counts: Vec<Vec<bool>>,
    /// Published objects that no definition is left of.
    pub(super) gone: Vec<Key>,
    /// Published Endpoints that are there and not mirrored any more.
    pub(super) replaced: Vec<Key>,
    /// Broken Endpoints that would not be mirrored.
    pub(super) unmirrored: BTreeSet<Key>,
    /// Files with a definition that counts now, whose event was dropped when it didn't.
    pub(super) dropped: BTreeSet<usize>,
    /// For each file, the problems between objects.
    pub(super) problems: Vec<Vec<Problem>>,
}

/// Definitions that count, by file and object.
pub(super) type Claims<'f> = BTreeMap<(Kind, &'f str), (usize, usize)>;

/// The first definition in the files' order counts; a stale one only where there is no other.
pub(super) fn resolve(files: &[File], published: &BTreeMap<Key, Place>) -> Resolution {
    let mut resolution = Resolution {
        counts: files
            .iter()
            .map(|file| vec![false; file.objects.len()])
            .collect(),
        problems: files.iter().map(|_| Vec::new()).collect(),
        ..Resolution::default()
    };
    let claims = claim(files, published, &mut resolution);
    let broken: BTreeSet<_> = files
        .iter()
        .flat_map(|file| &file.broken)
        .map(Key::parts)
        .collect();
    let mirror = mirror(files, &claims, &broken);
    for (file, problem) in mirror.problems(files) {
        resolution.problems[file].push(problem);
    }
    for (&(kind, name), &(file, index)) in &claims {
        let object = &files[file].objects[index];
        if kind == Kind::Endpoints && mirror.without.contains(name) {
            if published.contains_key(&object.key) {
                resolution.replaced.push(object.key.clone());
            }
            continue;
        }
        resolution.counts[file][index] = true;
        if object.place.is_told()
            && published.get(&object.key) != Some(&object.place)
            && files[file].events.get(index).is_none_or(Vec::is_empty)
        {
            resolution.dropped.insert(file);
        }
        if let Place::Of(service, _) = &object.place
            && !claims.contains_key(&(Kind::Service, service.as_str()))
            && !broken.contains(&(Kind::Service, service.as_str()))
        {
            let message = format!("Service {service} is not among the manifests");
            resolution.problems[file].push(object_problem(
                &files[file],
                object,
                Severity::Warning,
                Some(SERVICE_NAME_FIELD.to_owned()),
                message,
            ));
        }
    }
    resolution.gone = published
        .keys()
        .filter(|key| {
            claims
                .get(&key.parts())
                .is_none_or(|&(file, index)| !files[file].objects[index].place.is_told())
        })
        .cloned()
        .collect();
    resolution.unmirrored = mirror.unneeded(files, &claims);
    resolution
}

fn claim<'f>(
    files: &'f [File],
    published: &BTreeMap<Key, Place>,
    resolution: &mut Resolution,
) -> Claims<'f> {
    let mut claims = Claims::new();
    let objects = || {
        files.iter().enumerate().flat_map(|(number, file)| {
            file.objects
                .iter()
                .enumerate()
                .map(move |(index, object)| (number, index, object))
        })
    };
    for (file, index, object) in objects().filter(|(.., object)| !object.stale) {
        let first = *claims.entry(object.key.parts()).or_insert((file, index));
        if first != (file, index) {
            let first = &(&files[first.0], &files[first.0].objects[first.1]);
            let message = format!(
                "is already defined in {}, document {}{}; this one is left out",
                first.0.path.display(),
                first.1.spot.document,
                if first.1.spot.line > 0 {
                    format!(", line {}", first.1.spot.line)
                } else {
                    String::new()
                },
            );
            let problem = object_problem(&files[file], object, Severity::Error, None, message);
            resolution.problems[file].push(problem);
        }
    }
    for (file, index, object) in objects().filter(|(.., object)| object.stale) {
        // Without its event, a stale object can only stay what it is.
        if published.get(&object.key) == Some(&object.place) {
            claims.entry(object.key.parts()).or_insert((file, index));
        }
    }
    claims
}

/// A conflict between two Services as a problem of the one that loses.
pub(super) fn conflict(files: &[File], conflict: &Conflict) -> Problem {
    let loser = (Kind::Service, conflict.loser.as_str());
    // What an API server hands out it hands out once: two of these are a mistake in the manifests.
    // The other addresses anybody may write, into a cluster too.
    let (field, severity) = match conflict.asked {
        FrontendKind::ClusterIp => ("spec.clusterIP", Severity::Error),
        FrontendKind::NodePort => ("spec.ports", Severity::Error),
        FrontendKind::LoadBalancerIp => ("status.loadBalancer.ingress", Severity::Warning),
        FrontendKind::ExternalIp => ("spec.externalIPs", Severity::Warning),
    };
    let message = conflict.to_string();
    let mut objects = files
        .iter()
        .flat_map(|file| file.objects.iter().map(move |object| (file, object)));
    let found = objects.find(|(_, object)| object.key.parts() == loser && !object.stale);
    let field = Some(field.to_owned());
    match found {
        Some((file, object)) => object_problem(file, object, severity, field, message),
        None => Problem {
            severity,
            file: String::new(),
            document: None,
            line: None,
            object: Some(format!("Service {}", conflict.loser)),
            field,
            message,
        },
    }
}

/// A problem of an object as a whole.
pub(super) fn object_problem(
    file: &File,
    object: &Object,
    severity: Severity,
    field: Option<String>,
    message: String,
) -> Problem {
    Problem {
        severity,
        file: file.path.display().to_string(),
        document: Some(object.spot.document),
        line: (object.spot.line > 0).then_some(object.spot.line),
        object: Some(object.key.to_string()),
        field,
        message,
    }
}

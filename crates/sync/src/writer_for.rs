//! What a syncer writes through.

use viprule_dataplane::Dataplane;
use viprule_writer::Writer;

/// The writer of a dataplane's objects.
pub trait WriterFor<D: Dataplane>: Writer<Key = D::Key, Object = D::Object> {}

impl<D, W> WriterFor<D> for W
where
    D: Dataplane,
    W: Writer<Key = D::Key, Object = D::Object>,
{
}

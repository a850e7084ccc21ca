//! The real writers on the kernel in memory: what generated clusters want is what is there then.

use proptest::prelude::*;
use viprule_dataplane::{Content, ObjectKey, Scope, State, diff};
use viprule_testkit::memory::MemoryKernel;
use viprule_testkit::strategy::{cluster, settings};
use viprule_writer::{Tag, Writer};

use crate::agreement::Node;
use crate::generated::config;
use crate::mode::Written;

/// Looks at the kernel, brings it to what is wanted, and looks again.
pub(crate) fn reconcile<W: Writer>(
    writer: &mut W,
    wanted: &State<W::Key, W::Object>,
) -> State<W::Key, W::Object> {
    let there = writer.observe::<W::Object>(&Scope::Everything);
    let there = there.expect("a kernel that answers");
    writer.stage(Tag(0), &diff(&there, wanted)).expect("staged");
    writer.commit().expect("committed");
    let there = writer.observe::<W::Object>(&Scope::Everything);
    there.expect("a kernel that answers")
}

/// Objects of which there is more, less or another one than is wanted.
fn differences<K: ObjectKey, V: Content>(there: &State<K, V>, wanted: &State<K, V>) -> Vec<String> {
    let diff = diff(there, wanted);
    let writes = diff.writes.iter();
    let writes = writes.map(|it| format!("{} missing or other", it.key));
    let deletes = diff.deletes.iter().map(|(key, _)| format!("{key} left"));
    writes.chain(deletes).collect()
}

pub(crate) fn the_kernel_gets_what_is_wanted<M: Written>() {
    proptest!(config(60), |(
        clusters in proptest::collection::vec(cluster(), 1..4),
        settings in settings(),
    )| {
        let kernel = MemoryKernel::new();
        let _entered = kernel.enter();
        let mut writer = M::writer();
        for cluster in &clusters {
            let node = Node::<M>::new(cluster, &settings);
            let there = reconcile(&mut writer, &node.state);
            prop_assert_eq!(differences(&there, &node.state), Vec::<String>::new());
        }
        // Rules go before the sets that they match on, or those would stay.
        reconcile(&mut writer, &State::default());
        prop_assert_eq!(kernel.sets().len(), 0);
        prop_assert_eq!(kernel.virtual_servers().len(), 0);
        prop_assert_eq!(kernel.addresses("kube-ipvs0"), None);
    });
}

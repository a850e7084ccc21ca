//! A mode under test.

use viprule_dataplane::{CommonSettings, Dataplane, State};
use viprule_service::plan::NodeFacts;

/// Objects of a mode.
pub(crate) type StateOf<M> = State<
    <<M as Mode>::Dataplane as Dataplane>::Key,
    <<M as Mode>::Dataplane as Dataplane>::Object,
>;

/// A mode: its name, its text, and what kube-proxy left of it.
pub(crate) trait Mode {
    /// Renders.
    type Dataplane: Dataplane;

    /// As `--proxy-mode` has it. `NAME.rules` is the file of each case.
    const NAME: &'static str;
    /// What kube-proxy wrote for the golden cluster: what printed it, and the text.
    const DUMPS: &'static [(&'static str, &'static str)];
    /// Lines that each dump has at the least, declarations apart.
    const LEAST: usize;
    /// Chains of iptables in which Services come in no order, behind their tables.
    const UNORDERED: &'static [(&'static str, &'static str)] = &[];

    /// The dataplane of these settings, all else at its default.
    fn dataplane(common: CommonSettings, facts: &NodeFacts) -> Self::Dataplane;

    /// What the tools would print of a state, one after the other as in `DUMPS`.
    fn texts(state: &StateOf<Self>) -> Vec<String>;

    /// What such texts tell.
    fn read<T: AsRef<str>>(texts: &[T]) -> StateOf<Self>;
}

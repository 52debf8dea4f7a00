//! What findings account for, so that no rule tells a second time what another has told.

use crate::ids::FlowId;
use std::collections::BTreeSet;

/// What the rules before this one account for.
#[derive(Debug, Default)]
pub struct Explained {
    /// Conversations whose trouble has a cause.
    pub flows: FlowSet,
    /// Interfaces whose drops have a cause: namespace and ifindex.
    pub interfaces: BTreeSet<(u64, u32)>,
}

impl Explained {
    /// Whether this conversation's trouble has a cause already.
    pub fn has(&self, flow: FlowId) -> bool {
        self.flows.has(flow)
    }

    /// Adds what another rule accounts for.
    pub(super) fn add(&mut self, other: Self) {
        self.flows.add(&other.flows);
        self.interfaces.extend(other.interfaces);
    }
}

/// Conversations, a bit each: in a flood there are millions, and every rule asks for every one.
#[derive(Debug, Default)]
pub struct FlowSet(Vec<u64>);

impl FlowSet {
    fn has(&self, flow: FlowId) -> bool {
        self.0.get(flow.0 as usize / 64).is_some_and(|word| word >> (flow.0 % 64) & 1 != 0)
    }

    fn add(&mut self, other: &Self) {
        self.0.resize(self.0.len().max(other.0.len()), 0);
        for (own, theirs) in self.0.iter_mut().zip(&other.0) {
            *own |= theirs;
        }
    }
}

impl Extend<FlowId> for FlowSet {
    fn extend<I: IntoIterator<Item = FlowId>>(&mut self, flows: I) {
        for flow in flows {
            let word = flow.0 as usize / 64;
            if word >= self.0.len() {
                self.0.resize(word + 1, 0);
            }
            self.0[word] |= 1 << (flow.0 % 64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_what_was_added_and_nothing_else() {
        let of = |numbers: &[u32]| {
            let mut set = FlowSet::default();
            set.extend(numbers.iter().copied().map(FlowId));
            set
        };
        let mut set = of(&[3, 64]);
        set.add(&of(&[0, 63, 200]));
        set.add(&of(&[]));
        let held: Vec<u32> = (0..300).filter(|number| set.has(FlowId(*number))).collect();
        assert_eq!(held, [0, 3, 63, 64, 200]);
    }
}

//! The line of calls that no host can take now.

use std::collections::VecDeque;

use super::host::Pending;

/// Calls made by application code go first: those they are a part of hold places in hosts meanwhile.
#[derive(Debug, Default)]
pub struct Line {
    nested: VecDeque<Pending>,
    others: VecDeque<Pending>,
}

impl Line {
    pub fn len(&self) -> usize {
        self.nested.len() + self.others.len()
    }

    fn part(&mut self, nested: bool) -> &mut VecDeque<Pending> {
        if nested { &mut self.nested } else { &mut self.others }
    }

    pub fn push(&mut self, pending: Pending) {
        self.part(pending.nested).push_back(pending);
    }

    pub fn pop(&mut self) -> Option<Pending> {
        self.nested.pop_front().or_else(|| self.others.pop_front())
    }

    /// Puts calls that had left the line before it, in their order.
    pub fn put_back(&mut self, calls: Vec<Pending>) {
        for pending in calls.into_iter().rev() {
            self.part(pending.nested).push_front(pending);
        }
    }

    /// Drops calls that nobody waits for any more.
    pub fn forget_closed(&mut self) {
        self.nested.retain(|pending| !pending.reply.is_closed());
        self.others.retain(|pending| !pending.reply.is_closed());
    }

    pub fn clear(&mut self) {
        self.nested.clear();
        self.others.clear();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::sync::oneshot;

    use super::*;

    fn call(id: u32, nested: bool) -> Pending {
        Pending { id, payload: Bytes::new(), reply: oneshot::channel().0, nested }
    }

    #[test]
    fn nested_calls_and_those_put_back_go_first() {
        let mut line = Line::default();
        line.push(call(3, false));
        line.push(call(4, true));
        line.put_back(vec![call(1, false), call(5, true), call(2, false)]);
        assert_eq!(line.len(), 5);
        let order: Vec<_> = std::iter::from_fn(|| line.pop()).map(|pending| pending.id).collect();
        assert_eq!(order, [5, 4, 1, 2, 3]);
        line.push(call(6, false));
        line.forget_closed();
        assert_eq!(line.len(), 0, "nobody waits for it");
    }
}

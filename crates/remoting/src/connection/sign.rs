//! What the task of a connection tells the address that the connection belongs to.

use std::sync::Arc;

use super::silence::SilenceLimit;

/// Something about the peer has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// The first frame came that is no GO_AWAY, or the first after a silence.
    Heard,
    /// No request has been answered for the silence limit.
    Silent,
    /// The peer said GO_AWAY.
    Leaving,
}

/// Takes signs. Called on the connection's task, outside of its lock.
pub(crate) trait Observer: Send + Sync {
    fn noticed(&self, sign: Sign);
}

/// Who watches a connection, and when it counts as silent.
pub(crate) struct Watch {
    pub(crate) observer: Box<dyn Observer>,
    pub(crate) limit: Arc<SilenceLimit>,
}

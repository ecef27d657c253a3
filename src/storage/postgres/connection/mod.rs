//! Connections: opening them, the lanes that share them, and what they report.
pub(crate) mod connect;
pub(crate) mod control;
pub(crate) mod error;
pub(crate) mod held;
pub(crate) mod listen;
pub(crate) mod options;
pub(crate) mod pace;
pub(crate) mod patience;
pub(crate) mod pool;
pub(crate) mod pooled;
pub(crate) mod reach;
pub(crate) mod replica;
pub(crate) mod silence;
pub(crate) mod sqlstate;
pub(crate) mod wire;
pub(crate) mod writers;

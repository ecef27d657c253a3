//! What happens in the database: how servers tell each other, by change streams ([`listen`]), and what any program
//! changes, for `migrate` (`changes`).

mod changes;
pub mod listen;

//! What the server counts of itself: counters and histograms that cost one or two additions, and the page
//! that Prometheus reads ([`page`]).
//!
//! Whoever counts owns its counters and tells them with a `report` method when the page is asked for; nothing here
//! is global and nobody is named. `server` collects, `http` answers. Depends on nothing.
//!
//! * [`sharded`]: a number in as many cells as threads usually work, so that none waits for another's cache line;
//! * [`family`]: figures by a name that an application chose, the first so many by name and the rest together;
//! * [`process`]: what the kernel says of this process.

pub mod family;
pub mod page;
pub mod process;
pub mod sharded;

pub use family::{Family, OTHER};
pub use page::Page;
pub use sharded::{Counter, Histogram, Totals};

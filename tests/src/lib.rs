//! What the tests speak with: a private PostgreSQL, both servers in this process, actors and streams.

#![expect(
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    reason = "a test's helpers panic where the test fails, and check where nobody needs the answer"
)]

pub mod actor;
pub mod answer;
pub mod certificate;
pub mod cluster;
pub mod compose;
pub mod contract;
pub mod files;
pub mod fleet;
pub mod history;
pub mod measurements;
pub mod nginx;
pub mod program;
pub mod proxy;
pub mod rolling;
pub mod room;
pub mod s3;
pub mod site;
pub mod stream;
pub mod tls_postgres;
pub mod wire;
pub mod witness;
pub mod workload;

pub use actor::Actor;
pub use answer::Answer;
pub use room::Room;
pub use site::Site;
pub use stream::{Received, Stream};

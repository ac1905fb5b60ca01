//! The life of accounts after they were opened: suspended and restored by operators, deleted by their owners.

pub mod store;
pub mod types;

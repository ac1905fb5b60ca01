//! HTTP as both servers speak it: extractors, answers, layers, listening. Knows no feature.

pub mod answer;
pub mod json;
pub mod layers;
pub mod listen;
pub mod page;
pub mod path;
pub mod query;
pub mod stall;

//! Workshop tasks: what is done to this repository by hand and checked by its tests.
//!
//! A library, so that a test can do the same work in memory and compare it with what is checked in.

mod comments;
pub mod descriptors;
mod newer;
mod scope;

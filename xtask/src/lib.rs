//! Workshop tasks.

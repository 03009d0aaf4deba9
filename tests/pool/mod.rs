//! Envoy's API as prost-reflect links it, all at once: another reading of the descriptors than that which is tested.

#![allow(clippy::unwrap_used, reason = "a test that cannot read what is checked in has failed")]

use std::sync::LazyLock;

use prost_reflect::DescriptorPool;

/// The descriptors that are built in.
pub static BUILT_IN: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let set = include_bytes!("../../proto/envoy-v3.fds.zz");
    let set = miniz_oxide::inflate::decompress_to_vec_zlib(set).unwrap();
    DescriptorPool::decode(set.as_slice()).unwrap()
});

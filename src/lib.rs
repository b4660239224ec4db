//! stub
pub mod proxy;

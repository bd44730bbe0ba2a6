//! Lists of keys: the query, the pages, and the stream that reads pages without trusting them.

pub(crate) mod limits;
pub(crate) mod page;
pub(crate) mod query;
mod reader;
pub(crate) mod stream;

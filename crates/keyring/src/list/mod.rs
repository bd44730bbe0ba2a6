//! Lists of keys: from a query over pages to a stream, without trusting the pages.

pub(crate) mod page;
pub(crate) mod query;
mod reader;
pub(crate) mod stream;

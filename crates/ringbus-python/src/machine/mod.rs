//! Handlers and sources that are machine code: their threads hold no GIL, and meet Python only when something fails.

mod code;
mod compiled;
mod consume;
mod produce;
mod source;
mod workers;

pub use compiled::CompiledProcessor;
pub use source::Source;

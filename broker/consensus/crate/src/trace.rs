//! The library's diagnostics, handed to C line by line.

use crate::abi::{Options, TraceFn};
use slog::{o, Drain, Key, Level, Logger, Never, OwnedKVList, Record, Serializer, KV};
use std::ffi::c_void;
use std::fmt::{Arguments, Write};
use std::panic::{RefUnwindSafe, UnwindSafe};

struct Trace {
    call: TraceFn,
    context: *mut c_void,
    level: u32,
}

// Called on the replica's own thread only.
unsafe impl Send for Trace {}
unsafe impl Sync for Trace {}
impl UnwindSafe for Trace {}
impl RefUnwindSafe for Trace {}

struct Line(String);

impl Serializer for Line {
    fn emit_arguments(&mut self, key: Key, value: &Arguments) -> slog::Result {
        write!(self.0, " {key}={value}")?;
        Ok(())
    }
}

fn number(level: Level) -> u32 {
    match level {
        Level::Critical | Level::Error => 1,
        Level::Warning => 2,
        _ => 3,
    }
}

impl Drain for Trace {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record, values: &OwnedKVList) -> Result<(), Never> {
        let level = number(record.level());
        if level > self.level {
            return Ok(());
        }
        let mut line = Line(record.msg().to_string());
        let _ = record.kv().serialize(record, &mut line);
        let _ = values.serialize(record, &mut line);
        unsafe { (self.call)(self.context, level, line.0.as_ptr().cast(), line.0.len()) };
        Ok(())
    }
}

pub fn logger(o: &Options) -> Logger {
    match o.trace {
        None => Logger::root(slog::Discard, o!()),
        Some(call) => {
            let trace = Trace { call, context: o.trace_context, level: o.trace_level };
            Logger::root(trace, o!("group" => o.group))
        }
    }
}

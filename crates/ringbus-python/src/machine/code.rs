//! Machine code as a ring calls it: what its functions take, and how they say how far they came.
//!
//! The signatures are those of docs/reference/machine-code.md.

use crate::errors;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use ringbus_core::Alert;
use ringbus_core::sequencer::Loan;
use std::ffi::{c_int, c_void};

/// A loop over `count` events that lie `stride` bytes apart, made by Numba. Looks at `halted` before each event.
type LoopFunction = unsafe extern "C" fn(
    events: *mut u8,
    stride: i64,
    count: i64,
    first: i64,
    is_last_run: i64,
    halted: *const u32,
    state: *mut c_void,
    shape: *const i64,
    report: *mut Report,
) -> c_int;

/// A loop that claims, fills and publishes one by one, made by Numba: the steps of `Loan::publish_each`.
type EachFunction = unsafe extern "C" fn(
    loan: *mut Loan<'_>,
    events: *mut u8,
    stride: i64,
    mask: i64,
    count: i64,
    halted: *const u32,
    state: *mut c_void,
    shape: *const i64,
    defaults: *const u8,
    report: *mut Report,
) -> c_int;

type EventFunction =
    unsafe extern "C" fn(event: *mut c_void, sequence: i64, end_of_batch: c_int, state: *mut c_void) -> c_int;

type BatchFunction =
    unsafe extern "C" fn(events: *mut c_void, count: i64, stride: i64, first: i64, state: *mut c_void) -> c_int;

type FillFunction = unsafe extern "C" fn(event: *mut c_void, sequence: i64, state: *mut c_void) -> c_int;

/// What a loop returns.
const HALTED: c_int = 1;
const FAILED: c_int = 2;
const ENDED: c_int = 3;
const FULL: c_int = 4;
const ARMED: c_int = 5;

/// What a loop writes before it returns anything but 0.
#[repr(C)]
#[derive(Default)]
struct Report {
    /// Events it is done with.
    done: i64,
    /// Whether it raised; otherwise `code` is what the function returned.
    raised: i64,
    code: i64,
    /// Numba's record of the exception.
    exception: usize,
}

/// One entry point.
#[derive(Clone, Copy)]
enum Code {
    /// A loop of our own around a function.
    Loop(LoopFunction),
    /// A handler of one event.
    Event(EventFunction),
    /// A handler of a run of events.
    Batch(BatchFunction),
    /// A source of one event.
    Fill(FillFunction),
    /// A loop of our own around a source, which claims and publishes too.
    Each(EachFunction),
}

/// Why machine code stopped before the end of a run.
pub enum Stop {
    /// The alert was raised.
    Halted,
    /// A source has no more events.
    Ended,
    /// It failed at the event after the last that is done.
    Failed(Failure),
}

/// Why a loop that publishes came back before it was done.
pub enum Return {
    /// There is no more room.
    Full,
    /// Somebody is to be woken.
    Armed,
    /// It stopped at the event after the last that was published.
    Stopped(Stop),
}

/// How it failed.
pub enum Failure {
    /// It returned something else than 0.
    Code(i64),
    /// It raised; what Numba knows of it.
    Raised { code: c_int, exception: usize },
}

/// Some events in a row, `stride` bytes apart.
#[derive(Clone, Copy)]
pub struct Events {
    pub data: *mut u8,
    pub stride: usize,
    pub count: i64,
    /// The sequence of the first one.
    pub first: i64,
    /// Whether the batch ends with the last one.
    pub ends_batch: bool,
}

/// The events of a ring.
pub struct Slots {
    /// That of sequence 0.
    pub data: *mut u8,
    pub stride: usize,
    /// What of a sequence is the number of its slot.
    pub mask: i64,
    /// What each event is given first; null leaves it as it is.
    pub defaults: *const u8,
}

/// What Python says of machine code.
#[derive(FromPyObject)]
pub struct MachineFacts<'py> {
    /// (index of the event type, "loop", "each", "event", "batch" or "fill", address).
    code: Vec<(usize, String, usize)>,
    /// The address of the state; 0 is none.
    state: usize,
    /// The address of the lengths of the state's axes.
    shape: usize,
    /// The address of the function that raises what a loop reported; 0 where nothing can be raised.
    raiser: usize,
    /// What has to live as long as the code is called.
    keep: Bound<'py, PyAny>,
}

/// The entry points of one handler or source, one for each event type it takes, and its state.
pub struct Machine {
    code: Vec<Option<Code>>,
    state: *mut c_void,
    shape: *const i64,
    raise: Option<unsafe extern "C" fn(c_int, usize) -> c_int>,
    keep: Py<PyAny>,
}

// SAFETY: the state is what the user's machine code works on, from one thread at a time (each worker has its own); the
// rest is never written.
unsafe impl Send for Machine {}
// SAFETY: as above.
unsafe impl Sync for Machine {}

impl Machine {
    /// The machine code that `facts` describe, for a ring of `kinds` event types.
    ///
    /// # Errors
    /// A form that does not exist, an event type that the ring does not have, or no address.
    pub fn new(facts: MachineFacts<'_>, kinds: usize) -> PyResult<Self> {
        let mut code = vec![None; kinds];
        for (kind, form, address) in &facts.code {
            let place = code
                .get_mut(*kind)
                .ok_or_else(|| PyValueError::new_err("an event type that the ring does not have"))?;
            *place = Some(entry(form, *address)?);
        }
        // SAFETY: Python gives the address of the function that it compiled for this, or 0, which is None.
        let raise =
            unsafe { std::mem::transmute::<usize, Option<unsafe extern "C" fn(c_int, usize) -> c_int>>(facts.raiser) };
        Ok(Self {
            code,
            state: facts.state as *mut c_void,
            shape: facts.shape as *const i64,
            raise,
            keep: facts.keep.unbind(),
        })
    }

    /// Runs the code for `kind` over `events`, until `halted` says otherwise.
    ///
    /// # Errors
    /// How many it is done with, and why it stopped.
    ///
    /// # Safety
    /// The events are of type `kind`, this thread's to write, and nobody else runs this code meanwhile.
    #[inline(always)]
    pub unsafe fn run(&self, kind: usize, events: &Events, halted: &Alert) -> Result<(), (i64, Stop)> {
        // SAFETY: as in the caller.
        unsafe {
            match self.code[kind] {
                Some(Code::Loop(function)) => self.run_loop(function, events, halted),
                Some(Code::Event(function)) => self.run_events(function, events, halted),
                Some(Code::Batch(function)) => self.run_batch(function, events),
                Some(Code::Fill(function)) => self.run_fill(function, events, halted),
                Some(Code::Each(_)) | None => Ok(()),
            }
        }
    }

    /// Whether its code for `kind` claims and publishes by itself.
    pub fn publishes(&self, kind: usize) -> bool {
        matches!(self.code[kind], Some(Code::Each(_)))
    }

    /// Has the code for `kind` publish `count` events through `loan`.
    ///
    /// # Errors
    /// Why it came back before that.
    ///
    /// # Safety
    /// `defaults` is null or holds an event of type `kind`, as `events`, the events of the ring, do; nobody else runs this
    /// code meanwhile.
    pub unsafe fn publish(
        &self,
        kind: usize,
        loan: &mut Loan<'_>,
        events: &Slots,
        count: i64,
        halted: &Alert,
    ) -> Result<(), Return> {
        let Some(Code::Each(function)) = self.code[kind] else {
            return Ok(());
        };
        let mut report = Report::default();
        // SAFETY: the loop was compiled for these events; the word of the alert and the report live during the call.
        let answer = unsafe {
            function(
                loan,
                events.data,
                events.stride as i64,
                events.mask,
                count,
                halted.word(),
                self.state,
                self.shape,
                events.defaults,
                &raw mut report,
            )
        };
        match answer {
            0 => Ok(()),
            FULL => Err(Return::Full),
            ARMED => Err(Return::Armed),
            _ => Err(Return::Stopped(stop(answer, &report))),
        }
    }

    /// Whether it handles events of type `kind` in runs, and not one by one.
    #[inline(always)]
    pub fn takes(&self, kind: usize) -> bool {
        self.code[kind].is_some()
    }

    #[inline(always)]
    unsafe fn run_loop(&self, function: LoopFunction, events: &Events, halted: &Alert) -> Result<(), (i64, Stop)> {
        let mut report = Report::default();
        // SAFETY: the loop was compiled for these events; the word of the alert and the report live during the call.
        let answer = unsafe {
            function(
                events.data,
                events.stride as i64,
                events.count,
                events.first,
                i64::from(events.ends_batch),
                halted.word(),
                self.state,
                self.shape,
                &raw mut report,
            )
        };
        if answer == 0 {
            return Ok(());
        }
        Err((report.done, stop(answer, &report)))
    }

    unsafe fn run_events(&self, function: EventFunction, events: &Events, halted: &Alert) -> Result<(), (i64, Stop)> {
        for index in 0..events.count {
            if halted.is_raised() {
                return Err((index, Stop::Halted));
            }
            let end = c_int::from(events.ends_batch && index == events.count - 1);
            // SAFETY: the event is in the run; the function takes what its signature says.
            let code = unsafe { function(events.at(index), events.first + index, end, self.state) };
            if code != 0 {
                return Err((index, Stop::Failed(Failure::Code(i64::from(code)))));
            }
        }
        Ok(())
    }

    unsafe fn run_batch(&self, function: BatchFunction, events: &Events) -> Result<(), (i64, Stop)> {
        // SAFETY: the function takes what its signature says.
        let code = unsafe {
            function(
                events.data.cast(),
                events.count,
                events.stride as i64,
                events.first,
                self.state,
            )
        };
        if code == 0 {
            Ok(())
        } else {
            Err((0, Stop::Failed(Failure::Code(i64::from(code)))))
        }
    }

    unsafe fn run_fill(&self, function: FillFunction, events: &Events, halted: &Alert) -> Result<(), (i64, Stop)> {
        for index in 0..events.count {
            if halted.is_raised() {
                return Err((index, Stop::Halted));
            }
            // SAFETY: the event is in the run; the function takes what its signature says.
            match unsafe { function(events.at(index), events.first + index, self.state) } {
                0 => return Err((index, Stop::Ended)),
                code if code < 0 => return Err((index, Stop::Failed(Failure::Code(i64::from(code))))),
                _ => {}
            }
        }
        Ok(())
    }

    /// What the handler or source raised.
    pub fn error(&self, py: Python<'_>, failure: Failure) -> PyErr {
        match failure {
            Failure::Code(code) => errors::error(py, "ReturnCodeError", (code,)),
            Failure::Raised { code, exception } => {
                if let Some(raise) = self.raise {
                    // SAFETY: attached; these are what a loop of Numba's reported.
                    unsafe { raise(code, exception) };
                }
                PyErr::take(py).unwrap_or_else(|| PyRuntimeError::new_err("machine code raised, and left no exception"))
            }
        }
    }

    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.keep)
    }
}

impl Events {
    /// The event number `index`.
    #[inline(always)]
    fn at(&self, index: i64) -> *mut c_void {
        self.data.wrapping_add(index as usize * self.stride).cast()
    }
}

fn stop(answer: c_int, report: &Report) -> Stop {
    match answer {
        HALTED => Stop::Halted,
        ENDED => Stop::Ended,
        _ if report.raised != 0 => Stop::Failed(Failure::Raised {
            code: report.code as c_int,
            exception: report.exception,
        }),
        FAILED => Stop::Failed(Failure::Code(report.code)),
        other => Stop::Failed(Failure::Code(i64::from(other))),
    }
}

fn entry(form: &str, address: usize) -> PyResult<Code> {
    if address == 0 {
        return Err(PyValueError::new_err("machine code at address 0"));
    }
    // SAFETY: Python gives the address of a function of the signature that goes with the form; it is not null.
    unsafe {
        Ok(match form {
            "loop" => Code::Loop(std::mem::transmute::<usize, LoopFunction>(address)),
            "each" => Code::Each(std::mem::transmute::<usize, EachFunction>(address)),
            "event" => Code::Event(std::mem::transmute::<usize, EventFunction>(address)),
            "batch" => Code::Batch(std::mem::transmute::<usize, BatchFunction>(address)),
            "fill" => Code::Fill(std::mem::transmute::<usize, FillFunction>(address)),
            _ => return Err(PyValueError::new_err(format!("{form:?} is no form of machine code"))),
        })
    }
}

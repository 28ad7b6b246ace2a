//! Joins the ring "trades" by the C interface, and prints what passes until an event of quantity 0.
//!
//! rustc watch.rs -L "$(dirname LIBRARY)" -C link-arg=-Wl,-rpath,"$(dirname LIBRARY)"

use std::ffi::{CStr, c_char, c_void};
use std::ptr::null;

#[repr(C)]
struct Trade {
    symbol: [u8; 8],
    price: f64,
    quantity: i64,
}

#[repr(C)]
#[derive(Default)]
struct Slots {
    base: usize,
    mask: u64,
    stride: u64,
    event_offset: u64,
    stamp_offset: i64,
    type_offset: i64,
}

#[link(name = "ringbus")]
unsafe extern "C" {
    fn ringbus_last_error() -> *const c_char;
    fn ringbus_attach(name: *const c_char, options: *const c_void, ring: *mut *mut c_void) -> i32;
    fn ringbus_get_slots(ring: *const c_void, slots: *mut Slots) -> i32;
    fn ringbus_join(ring: *const c_void, name: *const c_char, options: *const c_void, to: *mut *mut c_void) -> i32;
    fn ringbus_wait_for(consumer: *mut c_void, limit: i64, timeout_ns: i64, first: *mut i64) -> i64;
    fn ringbus_commit(consumer: *mut c_void, last: i64) -> i32;
    fn ringbus_leave(consumer: *mut c_void) -> i32;
    fn ringbus_detach(ring: *mut c_void) -> i32;
}

fn checked(code: impl Into<i64>) -> i64 {
    let code = code.into();
    // SAFETY: the text is terminated, and good until this thread's next failure.
    assert!(code >= 0, "{}", unsafe { CStr::from_ptr(ringbus_last_error()) }.to_string_lossy());
    code
}

fn main() {
    let (mut ring, mut consumer, mut slots) = (null::<c_void>().cast_mut(), null::<c_void>().cast_mut(), Slots::default());
    // SAFETY: as ringbus.h says; the events of a batch are this consumer's to read until it commits them.
    unsafe {
        checked(ringbus_attach(c"trades".as_ptr(), null(), &mut ring));
        checked(ringbus_get_slots(ring, &mut slots));
        checked(ringbus_join(ring, c"watch".as_ptr(), null(), &mut consumer));
        println!("joined");
        let (mut first, mut ended) = (0, false);
        while !ended {
            let last = checked(ringbus_wait_for(consumer, 256, -1, &mut first)) + first - 1;
            for sequence in first..=last {
                let slot = slots.base as u64 + (sequence as u64 & slots.mask) * slots.stride;
                let trade = &*((slot + slots.event_offset) as *const Trade);
                ended |= trade.quantity == 0;
                println!("{} {} {}", String::from_utf8_lossy(&trade.symbol), trade.price, trade.quantity);
            }
            checked(ringbus_commit(consumer, last));
        }
        checked(ringbus_leave(consumer));
        checked(ringbus_detach(ring));
    }
}

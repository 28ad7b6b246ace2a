//! Decimals, kept exactly as a scaled integer.

use super::{Extra, Field, Raised, Written, handed, raised};
use crate::event::data_of;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use std::ffi::c_void;
use std::ptr;

impl Field {
    pub(super) unsafe fn write_decimal(&self, py: Python<'_>, place: *mut u8, value: *mut ffi::PyObject) -> Written {
        let Extra::Places(places) = self.extra else {
            return Err(Raised);
        };
        // SAFETY: `place` has room for eight bytes, `value` is alive.
        unsafe {
            let bound = Bound::from_borrowed_ptr(py, value);
            let known = ffi::PyLong_Check(value) != 0 || is_decimal(&bound).map_err(|error| raised(py, error))?;
            if !known {
                let remedy = "pass a Decimal or an int; Decimal(str(value)) makes one of a float";
                return Err(self.refuse(py, value, "takes a Decimal", remedy));
            }
            let text = bound.str().map_err(|error| raised(py, error))?;
            let text = text.to_str().map_err(|error| raised(py, error))?;
            let number = parse_decimal(text, places).map_err(|wrong| self.refuse_decimal(py, value, wrong, places))?;
            place.cast::<i64>().write_unaligned(number);
        }
        Ok(())
    }

    #[cold]
    unsafe fn refuse_decimal(
        &self,
        py: Python<'_>,
        value: *mut ffi::PyObject,
        wrong: NotDecimal,
        places: u32,
    ) -> Raised {
        let (limit, remedy) = match wrong {
            NotDecimal::NotFinite => (
                "takes a finite Decimal".to_owned(),
                "declare the field float to hold it",
            ),
            NotDecimal::Places => (
                format!("takes at most {places} decimal places"),
                "round it with quantize() or declare more places",
            ),
            NotDecimal::Range => (
                format!("takes at most {} either way", scaled(i64::MAX, places)),
                "pass a smaller number or declare fewer places",
            ),
        };
        // SAFETY: `value` is alive.
        unsafe { self.refuse(py, value, &limit, remedy) }
    }
}

/// Why a decimal cannot be stored.
enum NotDecimal {
    NotFinite,
    Places,
    Range,
}

/// The integer that `text` (as `str(Decimal)` or `str(int)` writes it) is at `places` decimal places.
fn parse_decimal(text: &str, places: u32) -> Result<i64, NotDecimal> {
    let (negative, unsigned) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = unsigned.split_once('E').unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NotDecimal::NotFinite);
    }
    let significant = digits.trim_end_matches('0');
    let zeros = (digits.len() - significant.len()) as i64;
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        return Ok(0);
    }
    let exponent: i64 = exponent.parse().map_err(|_| NotDecimal::Range)?;
    let shift = exponent - fraction.len() as i64 + zeros + i64::from(places);
    if shift < 0 {
        return Err(NotDecimal::Places);
    }
    if shift > 18 || significant.len() > 19 {
        return Err(NotDecimal::Range);
    }
    let magnitude: i128 = significant.parse().map_err(|_| NotDecimal::Range)?;
    let magnitude = magnitude * 10_i128.pow(shift as u32);
    i64::try_from(if negative { -magnitude } else { magnitude }).map_err(|_| NotDecimal::Range)
}

/// `number` with its last `places` digits behind the point.
fn scaled(number: i64, places: u32) -> String {
    let sign = if number < 0 { "-" } else { "" };
    let places = places as usize;
    let digits = format!("{:0width$}", number.unsigned_abs(), width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    if places == 0 {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction}")
    }
}

fn decimal_type(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static DECIMAL: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    DECIMAL.import(py, "decimal", "Decimal")
}

fn is_decimal(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    value.is_instance(decimal_type(value.py())?)
}

pub(super) unsafe extern "C" fn get_decimal(event: *mut ffi::PyObject, closure: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: as for every `Getter`.
    let (py, field, number) = unsafe {
        let field = &*closure.cast::<Field>();
        let place = data_of(event).add(field.offset);
        (Python::assume_attached(), field, place.cast::<i64>().read_unaligned())
    };
    let Extra::Places(places) = field.extra else {
        return ptr::null_mut();
    };
    let made = decimal_type(py).and_then(|class| class.call1((scaled(number, places),)));
    handed(py, made)
}

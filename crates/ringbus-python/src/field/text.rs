//! Text: UTF-8, padded with zeros as NumPy's `S` does. The few texts that a field mostly has are kept, so that reading
//! one makes no object and writing one does not look at the string.

use super::{Field, Raised, Written, chain, copy_padded, raise};
use crate::event::data_of;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::ffi::c_void;
use std::ptr;

impl Field {
    /// UTF-8, padded with zeros as NumPy's `S` does.
    #[inline]
    pub(super) unsafe fn write_text(&self, py: Python<'_>, place: *mut u8, value: *mut ffi::PyObject) -> Written {
        // SAFETY: `place` has room for `size` bytes, and the string's buffer lives as long as the string.
        unsafe {
            if ffi::PyUnicode_Check(value) == 0 {
                return Err(self.refuse(py, value, "takes a str", "pass str(value)"));
            }
            let mut length: ffi::Py_ssize_t = 0;
            let bytes = ffi::PyUnicode_AsUTF8AndSize(value, &raw mut length).cast::<u8>();
            if bytes.is_null() {
                return Err(self.not_utf8(py, value));
            }
            let length = length as usize;
            if length > self.size {
                return Err(self.too_long(py, value, length));
            }
            if length > 0 && *bytes.add(length - 1) == 0 {
                let limit = "takes text that does not end in \"\\0\", which pads a shorter text";
                return Err(self.refuse(py, value, limit, "strip it, or declare a blob"));
            }
            copy_text(place, self.size, bytes, length);
            if (8..=Texts::LONGEST).contains(&self.size) && ffi::PyUnicode_CheckExact(value) != 0 {
                let kept = Bound::from_borrowed_ptr(py, value).unbind();
                let words = Texts::words(place, self.size);
                if let Some(text) = self
                    .written
                    .get_mut()
                    .get_or_insert_with(WrittenTexts::new)
                    .keep(words, kept)
                {
                    text.drop_ref(py);
                }
            }
        }
        Ok(())
    }

    #[cold]
    unsafe fn not_utf8(&self, py: Python<'_>, value: *mut ffi::PyObject) -> Raised {
        let cause = PyErr::take(py);
        // SAFETY: `value` is alive.
        unsafe {
            self.refuse(
                py,
                value,
                "takes text that UTF-8 can hold",
                "replace the lone surrogates",
            );
        }
        chain(py, cause)
    }

    /// The text at `place`: a new reference, or null with an exception set.
    #[inline(never)]
    unsafe fn decode(&self, place: *const u8) -> *mut ffi::PyObject {
        // SAFETY: `place` has the bytes of the field, and the length stays inside it.
        unsafe {
            let length = text_length(place, self.size);
            let text = ffi::PyUnicode_DecodeUTF8(place.cast(), length as ffi::Py_ssize_t, ptr::null());
            if text.is_null() {
                self.not_text(Python::assume_attached(), place, length)
            } else {
                text
            }
        }
    }

    /// Sets the error of text that is no UTF-8, with the decoder's as its cause.
    #[cold]
    unsafe fn not_text(&self, py: Python<'_>, place: *const u8, length: usize) -> *mut ffi::PyObject {
        let cause = PyErr::take(py);
        // SAFETY: the bytes lie inside the field.
        let bytes = unsafe { std::slice::from_raw_parts(place, length) };
        let value = PyBytes::new(py, bytes);
        let remedy = "write it as UTF-8, or read the column of a NumPy view";
        raise(py, "FieldError", (&self.label, value, "holds text as UTF-8", remedy));
        chain(py, cause);
        ptr::null_mut()
    }
}

pub(super) unsafe extern "C" fn get_text(event: *mut ffi::PyObject, closure: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: as for every `Getter`.
    unsafe {
        let field = &*closure.cast::<Field>();
        let place = data_of(event).add(field.offset);
        if field.size > Texts::LONGEST {
            // Decoders look at their input more than once, and another process may write the slot meanwhile.
            let copy = std::slice::from_raw_parts(place, field.size).to_vec();
            return field.decode(copy.as_ptr());
        }
        let words = Texts::words(place, field.size);
        if let Some(text) = field.texts.get_mut().as_ref().and_then(|texts| texts.find(&words)) {
            return ffi::Py_NewRef(text.as_ptr());
        }
        // Copied once: what is kept under these words is what was read, even if somebody writes the slot meanwhile.
        let mut copy = [0_u8; Texts::LONGEST];
        ptr::copy_nonoverlapping(place, copy.as_mut_ptr(), field.size);
        let words = Texts::words(copy.as_ptr(), field.size);
        let text = field.decode(copy.as_ptr());
        if !text.is_null() {
            let py = Python::assume_attached();
            let kept = Bound::from_borrowed_ptr(py, text).unbind();
            let replaced = field.texts.get_mut().get_or_insert_with(Texts::new).keep(words, kept);
            // Where PyO3 has not attached itself, a plain drop would only put it on a list.
            if let Some(text) = replaced {
                text.drop_ref(py);
            }
        }
        text
    }
}

/// The texts that one field was read as last, by their bytes: events mostly say the same few symbols.
pub(super) struct Texts([(Words, Option<Py<PyAny>>); Texts::ENTRIES]);

/// The bytes of a short text.
type Words = [u64; Texts::WORDS];

impl Texts {
    const WORDS: usize = 4;
    const LONGEST: usize = Self::WORDS * 8;
    const ENTRIES: usize = 64;

    fn new() -> Box<Self> {
        Box::new(Self([const { ([0; Self::WORDS], None) }; Self::ENTRIES]))
    }

    #[inline(always)]
    fn find(&self, words: &Words) -> Option<&Py<PyAny>> {
        let (known, text) = &self.0[Self::index(words)];
        text.as_ref().filter(|_| known == words)
    }

    /// Keeps a text, and gives back the one that it replaces.
    fn keep(&mut self, words: Words, text: Py<PyAny>) -> Option<Py<PyAny>> {
        std::mem::replace(&mut self.0[Self::index(&words)], (words, Some(text))).1
    }

    /// The bytes of a short field as words: alike where the fields are.
    #[inline(always)]
    unsafe fn words(place: *const u8, size: usize) -> Words {
        // SAFETY: no word that is read ends behind `size`.
        unsafe {
            let word = |at: usize| place.add(at).cast::<u64>().read_unaligned();
            match size {
                8..=16 => [word(0), word(size - 8), 0, 0],
                17..=32 => [word(0), word(8), word(size - 16), word(size - 8)],
                _ => {
                    let mut words = [0; Self::WORDS];
                    ptr::copy_nonoverlapping(place, words.as_mut_ptr().cast::<u8>(), size);
                    words
                }
            }
        }
    }

    #[inline(always)]
    fn index(words: &Words) -> usize {
        let mixed = words
            .iter()
            .fold(0_u64, |mixed, word| (mixed ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        (mixed >> 58) as usize
    }
}

/// The texts that were written to one field last, by the identity of the string: a call site mostly passes the same few
/// objects. Each is held, so that its address stays its own.
pub(super) struct WrittenTexts([(Words, Option<Py<PyAny>>); WrittenTexts::ENTRIES]);

impl WrittenTexts {
    const ENTRIES: usize = 8;

    fn new() -> Box<Self> {
        Box::new(Self([const { ([0; Texts::WORDS], None) }; Self::ENTRIES]))
    }

    #[inline(always)]
    fn index(text: *mut ffi::PyObject) -> usize {
        (text as usize >> 4) % Self::ENTRIES
    }

    /// Writes the bytes that `text` was found to have, if it is one of these.
    ///
    /// # Safety
    /// `place` has room for `size` bytes, which is the field's.
    #[inline(always)]
    pub(super) unsafe fn write(&self, place: *mut u8, size: usize, text: *mut ffi::PyObject) -> bool {
        let (words, known) = &self.0[Self::index(text)];
        if known.as_ref().is_none_or(|known| known.as_ptr() != text) {
            return false;
        }
        // SAFETY: no word that is written ends behind `size`, which is 8 to 32.
        unsafe {
            let word = |at: usize| place.add(at).cast::<u64>();
            word(0).write_unaligned(words[0]);
            if size > 16 {
                word(8).write_unaligned(words[1]);
                word(size - 16).write_unaligned(words[2]);
                word(size - 8).write_unaligned(words[3]);
            } else {
                word(size - 8).write_unaligned(words[1]);
            }
        }
        true
    }

    /// Keeps a text, and gives back the one that it replaces.
    fn keep(&mut self, words: Words, text: Py<PyAny>) -> Option<Py<PyAny>> {
        std::mem::replace(&mut self.0[Self::index(text.as_ptr())], (words, Some(text))).1
    }
}

/// The length of a text without the zeros that pad it, eight bytes at a time.
#[inline]
unsafe fn text_length(place: *const u8, size: usize) -> usize {
    let mut length = size;
    // SAFETY: reads stay inside the `size` bytes of the field.
    unsafe {
        while length >= 8 {
            let word = u64::from_le(place.add(length - 8).cast::<u64>().read_unaligned());
            if word != 0 {
                return length - (word.leading_zeros() / 8) as usize;
            }
            length -= 8;
        }
        while length > 0 && *place.add(length - 1) == 0 {
            length -= 1;
        }
    }
    length
}

/// `copy_padded` for bytes that lie elsewhere, without calls for the few bytes that a text mostly has.
#[inline(always)]
unsafe fn copy_text(place: *mut u8, size: usize, bytes: *const u8, length: usize) {
    // SAFETY: `length <= size`; no word that is read ends behind `length`, none that is written behind `size`.
    unsafe {
        if !(8..=32).contains(&size) {
            return copy_padded(place, size, bytes, length);
        }
        let word = |at: usize| place.add(at).cast::<u64>();
        word(0).write_unaligned(0);
        if size > 16 {
            word(8).write_unaligned(0);
            word(size - 16).write_unaligned(0);
        }
        word(size - 8).write_unaligned(0);
        copy_short(place, bytes, length);
    }
}

/// Copies up to 32 bytes by words, of which the last one overlaps the one before.
#[inline(always)]
unsafe fn copy_short(place: *mut u8, bytes: *const u8, length: usize) {
    // SAFETY: no word ends behind `length`.
    unsafe {
        let word = |at: usize| {
            place
                .add(at)
                .cast::<u64>()
                .write_unaligned(bytes.add(at).cast::<u64>().read_unaligned());
        };
        let half = |at: usize| {
            place
                .add(at)
                .cast::<u32>()
                .write_unaligned(bytes.add(at).cast::<u32>().read_unaligned());
        };
        if length >= 8 {
            word(0);
            if length > 16 {
                word(8);
                word(length - 16);
            }
            word(length - 8);
        } else if length >= 4 {
            half(0);
            half(length - 4);
        } else if length > 0 {
            *place = *bytes;
            *place.add(length / 2) = *bytes.add(length / 2);
            *place.add(length - 1) = *bytes.add(length - 1);
        }
    }
}

//! The kinds of fields, and what each needs to be told.

use super::blob::BLOB_PREFIX;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};

/// How the bytes of a field are read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    F64,
    F32,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    Bool,
    Text,
    Blob,
    Decimal,
    Enum,
    Array,
    Scalar,
}

impl Kind {
    /// The kind that the Python side calls `name`.
    pub fn parse(name: &str) -> PyResult<Self> {
        Ok(match name {
            "f8" => Self::F64,
            "f4" => Self::F32,
            "i1" => Self::I8,
            "i2" => Self::I16,
            "i4" => Self::I32,
            "i8" => Self::I64,
            "u1" => Self::U8,
            "u2" => Self::U16,
            "u4" => Self::U32,
            "u8" => Self::U64,
            "bool" => Self::Bool,
            "text" => Self::Text,
            "blob" => Self::Blob,
            "decimal" => Self::Decimal,
            "enum" => Self::Enum,
            "array" => Self::Array,
            "scalar" => Self::Scalar,
            _ => return Err(PyValueError::new_err(format!("no field kind is called {name:?}"))),
        })
    }

    /// The lowest and the highest integer that fits, for the integer kinds.
    pub fn limits(self) -> (i128, i128) {
        match self {
            Self::I8 => (i8::MIN.into(), i8::MAX.into()),
            Self::I16 => (i16::MIN.into(), i16::MAX.into()),
            Self::I32 => (i32::MIN.into(), i32::MAX.into()),
            Self::U8 => (0, u8::MAX.into()),
            Self::U16 => (0, u16::MAX.into()),
            Self::U32 => (0, u32::MAX.into()),
            Self::U64 => (0, u64::MAX.into()),
            _ => (i64::MIN.into(), i64::MAX.into()),
        }
    }

    fn is_integer(self) -> bool {
        use Kind::{I8, I16, I32, I64, U8, U16, U32, U64};
        matches!(self, I8 | I16 | I32 | I64 | U8 | U16 | U32 | U64)
    }

    /// The bytes of a kind that always has as many; 0 for the others.
    fn width(self) -> usize {
        match self {
            Self::F64 | Self::I64 | Self::U64 | Self::Decimal => 8,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::I16 | Self::U16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
            Self::Text | Self::Blob | Self::Enum | Self::Array | Self::Scalar => 0,
        }
    }

    pub fn holds(self, number: i64) -> bool {
        let (low, high) = self.limits();
        (low..=high).contains(&number.into())
    }

    /// The name a user knows an integer kind by.
    pub fn word(self) -> &'static str {
        match self {
            Self::I8 => "int8",
            Self::I16 => "int16",
            Self::I32 => "int32",
            Self::U8 => "uint8",
            Self::U16 => "uint16",
            Self::U32 => "uint32",
            Self::U64 => "uint64",
            _ => "int64",
        }
    }
}

/// What a kind needs beside offset and size.
pub enum Extra {
    None,
    /// The members of an enumeration by number, and how the number is stored.
    Enum {
        class: Py<PyType>,
        members: Py<PyDict>,
        storage: Kind,
    },
    /// The decimal places.
    Places(u32),
    /// A NumPy type (for an array with its shape), its parts, and a function that makes an array of just that type.
    Numpy {
        dtype: Py<PyAny>,
        base: Py<PyAny>,
        shape: Vec<isize>,
        pack: Py<PyAny>,
    },
}

pub(super) fn parse_extra(kind: Kind, extra: &Bound<'_, PyAny>) -> PyResult<Extra> {
    Ok(match kind {
        Kind::Decimal => Extra::Places(extra.extract()?),
        Kind::Enum => {
            let (class, members, storage): (Py<PyType>, Py<PyDict>, String) = extra.extract()?;
            Extra::Enum {
                class,
                members,
                storage: Kind::parse(&storage)?,
            }
        }
        Kind::Array | Kind::Scalar => {
            let (dtype, base, shape, pack) = extra.extract()?;
            Extra::Numpy {
                dtype,
                base,
                shape,
                pack,
            }
        }
        _ => Extra::None,
    })
}

/// Has a field of `size` bytes the size of its kind?
pub(super) fn has_room(kind: Kind, extra: &Extra, size: usize, py: Python<'_>) -> PyResult<bool> {
    Ok(match (kind, extra) {
        (Kind::Text, _) => size > 0,
        (Kind::Blob, _) => size > BLOB_PREFIX,
        (Kind::Enum, Extra::Enum { storage, .. }) => storage.is_integer() && storage.width() == size,
        (_, Extra::Numpy { dtype, .. }) => dtype.bind(py).getattr("itemsize")?.extract::<usize>()? == size,
        _ => kind.width() == size,
    })
}

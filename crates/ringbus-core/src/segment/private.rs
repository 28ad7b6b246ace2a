//! Anonymous memory of this process, mapped lazily: pages cost nothing until they are used.

use super::{Memory, Pages, Parts};
use crate::error::ConfigError;
use crate::layout::{Geometry, Header, PAGE_BYTES};
use std::ptr::NonNull;

const HUGE_PAGE_BYTES: usize = 2 << 20;

/// A mapping, unmapped when dropped.
pub struct Private {
    base: NonNull<u8>,
    bytes: usize,
    pages: Pages,
}

impl Private {
    pub(super) fn new(geometry: &Geometry, schema: &[u8], memory: Memory) -> Result<(Self, Parts), ConfigError> {
        let offsets = geometry.offsets()?;
        let backing = Self::map(offsets.total, memory)?;
        let header = geometry.header()?;
        // SAFETY: the mapping is `offsets.total` bytes; every offset is inside it, and nobody else has it yet.
        unsafe {
            backing.base.cast::<Header>().write(header);
            let room = (geometry.schema_bytes as usize).min(schema.len());
            std::ptr::copy_nonoverlapping(schema.as_ptr(), backing.base.add(offsets.schema).as_ptr(), room);
        }
        let parts = super::parts_at(backing.base, &offsets);
        Ok((backing, parts))
    }

    pub(super) fn pages(&self) -> Pages {
        self.pages
    }

    fn map(bytes: usize, memory: Memory) -> Result<Self, ConfigError> {
        if memory.huge_pages {
            let rounded = bytes.next_multiple_of(HUGE_PAGE_BYTES);
            if let Ok(base) = anonymous(rounded, libc::MAP_HUGETLB) {
                return Ok(Self {
                    base,
                    bytes: rounded,
                    pages: Pages::Huge,
                }
                .prefaulted(memory));
            }
        }
        let base = anonymous(bytes, libc::MAP_NORESERVE).map_err(|errno| ConfigError::OutOfMemory {
            bytes: bytes as u64,
            errno,
        })?;
        let mut backing = Self {
            base,
            bytes,
            pages: Pages::Ordinary,
        };
        if memory.huge_pages && bytes >= HUGE_PAGE_BYTES {
            // SAFETY: the range is the mapping just made.
            let advised = unsafe { libc::madvise(base.as_ptr().cast(), bytes, libc::MADV_HUGEPAGE) } == 0;
            if advised && transparent_pages_enabled() {
                backing.pages = Pages::Transparent;
            }
        }
        Ok(backing.prefaulted(memory))
    }

    fn prefaulted(self, memory: Memory) -> Self {
        if memory.prefault {
            for page in (0..self.bytes).step_by(PAGE_BYTES) {
                // SAFETY: inside the mapping, which nobody else has yet; writing the zero that is there
                // makes the page.
                unsafe { self.base.add(page).write_volatile(0) };
            }
        }
        self
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `map` and every pointer into it dies with the Segment.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}

fn anonymous(bytes: usize, flags: i32) -> Result<NonNull<u8>, i32> {
    // SAFETY: a new anonymous mapping touches nothing that exists.
    let base = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | flags,
            -1,
            0,
        )
    };
    if base == libc::MAP_FAILED {
        return Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(0));
    }
    NonNull::new(base.cast()).ok_or(libc::ENOMEM)
}

fn transparent_pages_enabled() -> bool {
    std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").is_ok_and(|text| !text.contains("[never]"))
}

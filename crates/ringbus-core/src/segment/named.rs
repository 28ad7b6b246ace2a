//! The life of a shared segment under its name: made, gone on with, attached to, replaced, unlinked.

use super::{Backing, Segment, folder, locks, shared};
use crate::crash::crash_point;
use crate::error::ShareError;
use crate::layout::{ANNOUNCED, Geometry, RETIRED};
use crate::sync::Ordering;
use std::time::Instant;

/// What a process may do with a shared ring, which its mapping enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Publish and consume.
    Write,
    /// Consume: take part, but write no event.
    Consume,
    /// Look: write nothing at all.
    Read,
}

/// How a shared ring is made when its name exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Refuse, unless nobody lives in it and it has the same schema and sizes: then go on from its cursor.
    Resume,
    /// Begin anew; who is attached is told.
    Replace,
}

impl Segment {
    /// Makes the shared ring `name`, or goes on with one that was left behind.
    ///
    /// # Errors
    /// Somebody lives in it, it is another ring, or the system refused.
    pub fn create(name: &str, geometry: Geometry, schema: &[u8], existing: Existing) -> Result<Self, ShareError> {
        geometry.check().map_err(ShareError::Config)?;
        if existing == Existing::Resume
            && let Some(segment) = Self::resume(name, &geometry, schema)?
        {
            return Ok(segment);
        }
        let old = if existing == Existing::Replace {
            Self::attach(name, Access::Write, None).ok()
        } else {
            None
        };
        let (built, parts) = shared::Mapping::build(name, &geometry, schema, |parts| parts.begin(&geometry))?;
        let mapping = if existing == Existing::Replace {
            if let Some(old) = &old {
                old.announce();
            }
            built.replace()?
        } else {
            built.link()?
        };
        if let Some(old) = old {
            old.retire();
        }
        Ok(Self::over(parts, geometry, Backing::Shared(mapping)))
    }

    fn resume(name: &str, geometry: &Geometry, schema: &[u8]) -> Result<Option<Self>, ShareError> {
        let found = match shared::Found::open(name, false) {
            Ok(found) => found,
            Err(ShareError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let path = folder::ring_path(name)?;
        if found.is_alive() {
            return Err(ShareError::Exists { path });
        }
        if found.geometry
            != (Geometry {
                start: found.geometry.start,
                ..*geometry
            })
            || found.schema != schema
        {
            let (found, expected) = (format!("{:?}", found.geometry), format!("{geometry:?}"));
            return Err(ShareError::layout(
                &path,
                "is another ring that was left behind",
                found,
                expected,
            ));
        }
        Self::mapped(found, Access::Write).map(Some)
    }

    /// Attaches to the shared ring `name`, waiting for it until `deadline`.
    ///
    /// # Errors
    /// There is none, or it is none of ours.
    pub fn attach(name: &str, access: Access, deadline: Option<Instant>) -> Result<Self, ShareError> {
        let found = shared::wait_for_ring(name, access == Access::Read, deadline)?;
        Self::mapped(found, access)
    }

    fn mapped(found: shared::Found, access: Access) -> Result<Self, ShareError> {
        let geometry = found.geometry;
        let (mapping, parts) = found.map(access)?;
        Ok(Self::over(parts, geometry, Backing::Shared(mapping)))
    }

    /// Says that the name may be gone from here on: should this process die before it has said more, whoever is attached
    /// finds out. What goes on under its name after that looks at its name in each call, and is right.
    fn announce(&self) {
        if !self.is_read_only() {
            let replaced = &self.state().replaced;
            let _ = replaced.compare_exchange(0, ANNOUNCED, Ordering::AcqRel, Ordering::Relaxed);
            crash_point!("retire.announced");
        }
    }

    #[cold]
    pub(super) fn has_lost_its_name(&self, said: u32) -> bool {
        match &self.backing {
            Backing::Shared(mapping) if said == ANNOUNCED => mapping.has_lost_its_name(),
            _ => true,
        }
    }

    /// Tells whoever is attached that the ring was unlinked or replaced.
    pub fn retire(&self) {
        if self.is_read_only() {
            return;
        }
        self.state().replaced.store(RETIRED, Ordering::Release);
        crash_point!("retire.said");
        self.wake_all();
        crash_point!("retire.woken");
        if let Backing::Shared(mapping) = &self.backing {
            let _ = std::fs::remove_file(folder::lock_path(&mapping.path, mapping.instance));
            crash_point!("retire.lock_removed");
        }
    }

    /// Takes the name away and tells whoever is attached.
    ///
    /// # Errors
    /// The system refused, or another ring has the name now.
    pub fn unlink(&self) -> Result<(), ShareError> {
        let Backing::Shared(mapping) = &self.backing else {
            return Ok(());
        };
        if !mapping.is_linked() {
            return Err(ShareError::NotFound {
                path: mapping.path.clone(),
            });
        }
        self.announce();
        shared::unlink(&mapping.path, mapping.instance)?;
        self.retire();
        Ok(())
    }

    /// The number of a shared segment, which another one under the same name does not have; 0 for a private one.
    pub fn instance(&self) -> u64 {
        match &self.backing {
            Backing::Private(_) => 0,
            Backing::Shared(mapping) => mapping.instance,
        }
    }

    /// Whether any process but this one is attached.
    pub fn is_another_present(&self) -> bool {
        self.locks().is_some_and(locks::Locks::is_another_present)
    }
}

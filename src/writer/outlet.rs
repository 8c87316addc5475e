//! The way out of an encoder: bytes are counted and their checksum taken as they leave, so that
//! nothing is read twice.

use std::fs::File;
use std::io::{self, Write};

use sha2::{Digest, Sha256};

use super::Meter;
use super::store::Queue;
use crate::model::hex;

/// Where bytes go.
pub(super) enum Exit {
    /// To a file.
    File(File),
    /// To an upload.
    Queue(Queue),
}

/// What left through an [`Outlet`].
pub(super) struct Written {
    /// Where it went.
    pub(super) exit: Exit,
    /// How much it was.
    pub(super) bytes: u64,
    /// SHA-256 of it in hex.
    pub(super) sha256: String,
}

/// Takes an encoder's bytes. Callers hand over large pieces or buffer themselves.
pub(super) struct Outlet {
    exit: Exit,
    hash: Sha256,
    bytes: u64,
    meter: Meter,
}

impl Outlet {
    /// To a new file or upload.
    pub(super) fn new(exit: Exit) -> Self {
        Self {
            exit,
            hash: Sha256::new(),
            bytes: 0,
            meter: Meter::default(),
        }
    }

    /// Has the time that bytes take to leave counted.
    pub(super) fn measured_by(self, meter: Meter) -> Self {
        Self { meter, ..self }
    }

    /// Bytes that have left.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What is known of what left.
    pub(super) fn finish(self) -> Written {
        Written {
            exit: self.exit,
            bytes: self.bytes,
            sha256: hex(&self.hash.finalize()),
        }
    }
}

impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Self {
            exit, hash, meter, ..
        } = self;
        let taken = meter.during(|| {
            let taken = match exit {
                Exit::File(file) => file.write(bytes)?,
                Exit::Queue(queue) => {
                    queue.push(bytes);
                    bytes.len()
                }
            };
            hash.update(&bytes[..taken]);
            io::Result::Ok(taken)
        })?;
        self.bytes += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.exit {
            Exit::File(file) => file.flush(),
            Exit::Queue(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_is_counted_and_summed() {
        for exit in [
            Exit::Queue(Queue::default()),
            Exit::File(tempfile::tempfile().unwrap()),
        ] {
            let mut outlet = Outlet::new(exit);
            outlet.write_all(b"abc").unwrap();
            let written = outlet.finish();
            assert_eq!(written.bytes, 3);
            assert_eq!(
                written.sha256,
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
            );
        }
    }
}

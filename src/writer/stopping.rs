//! Files that can be read back until somebody asks to stop: reading a large one again takes minutes, and
//! a stop has seconds.

use std::io::{self, Read};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::folder::Blob;

/// A file whose reading ends with an error once there was a stop.
pub(super) struct Stoppable {
    pub(super) blob: Box<dyn Blob>,
    pub(super) stop: CancellationToken,
}

fn go_on(stop: &CancellationToken) -> io::Result<()> {
    if stop.is_cancelled() {
        Err(io::Error::other("reading back was stopped"))
    } else {
        Ok(())
    }
}

impl Blob for Stoppable {
    fn length(&self) -> u64 {
        self.blob.length()
    }

    fn range(&self, start: u64, length: usize) -> io::Result<Bytes> {
        go_on(&self.stop)?;
        self.blob.range(start, length)
    }

    fn reader(&self, start: u64) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(StoppableReader {
            reader: self.blob.reader(start)?,
            stop: &self.stop,
        }))
    }
}

struct StoppableReader<'a> {
    reader: Box<dyn Read + Send + 'a>,
    stop: &'a CancellationToken,
}

impl Read for StoppableReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        go_on(self.stop)?;
        self.reader.read(into)
    }
}

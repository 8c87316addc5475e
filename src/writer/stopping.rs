//! A folder that can be read back until somebody asks to stop: reading large files again takes minutes,
//! and a stop has seconds.

use std::io::{self, Read};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::Result;
use super::folder::{Blob, Folder};

/// A folder whose files' reading ends with an error once there was a stop.
pub(super) struct Stoppable {
    pub(super) folder: Box<dyn Folder>,
    pub(super) stop: CancellationToken,
}

fn go_on(stop: &CancellationToken) -> io::Result<()> {
    if stop.is_cancelled() {
        Err(io::Error::other("reading back was stopped"))
    } else {
        Ok(())
    }
}

impl Folder for Stoppable {
    fn shown(&self) -> String {
        self.folder.shown()
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        self.folder.read(path)
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn Blob>> {
        Ok(Box::new(StoppableBlob {
            blob: self.folder.open(path)?,
            stop: self.stop.clone(),
        }))
    }

    fn side_by_side(&self) -> usize {
        self.folder.side_by_side()
    }

    fn names(&self, path: &str) -> Result<Vec<String>> {
        self.folder.names(path)
    }
}

struct StoppableBlob {
    blob: Box<dyn Blob>,
    stop: CancellationToken,
}

impl Blob for StoppableBlob {
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

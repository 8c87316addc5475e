//! Reading a dataset back, wherever it is: its small documents, its files as ranges of bytes, and
//! which names there are.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::num::NonZero;
use std::path::PathBuf;
use std::thread::available_parallelism;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use super::{Result, WriteError, place};

/// A dataset, or one run's part of one, to read.
pub(super) trait Folder: Send + Sync {
    /// How it is named to people.
    fn shown(&self) -> String;

    /// A whole small file; none where there is none.
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>>;

    /// A file as ranges of bytes.
    ///
    /// # Errors
    /// Of kind `NotFound` where there is none.
    fn open(&self, path: &str) -> io::Result<Box<dyn Blob>>;

    /// How many files are worth reading at once: cores here, requests on a store.
    fn side_by_side(&self) -> usize;

    /// The names directly inside a path of the dataset, sorted; none where it is missing.
    fn names(&self, path: &str) -> Result<Vec<String>>;
}

/// A file as ranges of bytes.
pub(super) trait Blob: Send + Sync {
    /// Its length.
    fn length(&self) -> u64;

    /// So many bytes from a place on.
    fn range(&self, start: u64, length: usize) -> io::Result<Bytes>;

    /// Everything from a place on.
    fn reader(&self, start: u64) -> io::Result<Box<dyn Read + Send + '_>>;
}

/// A blob as Parquet's reader wants it.
pub(super) struct Chunks<'a>(pub(super) &'a dyn Blob);

impl Length for Chunks<'_> {
    fn len(&self) -> u64 {
        self.0.length()
    }
}

impl<'a> ChunkReader for Chunks<'a> {
    type T = Box<dyn Read + Send + 'a>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        self.0.reader(start).map_err(external)
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        self.0.range(start, length).map_err(external)
    }
}

fn external(error: io::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

/// A directory of this machine.
pub(super) struct Directory(pub(super) PathBuf);

impl Folder for Directory {
    fn shown(&self) -> String {
        self.0.display().to_string()
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let path = self.0.join(path);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(WriteError::io("read", &path)(error)),
        }
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn Blob>> {
        let file = File::open(self.0.join(path))?;
        let length = file.metadata()?.len();
        Ok(Box::new(LocalBlob { file, length }))
    }

    fn side_by_side(&self) -> usize {
        available_parallelism().map_or(1, NonZero::get)
    }

    fn names(&self, path: &str) -> Result<Vec<String>> {
        let directory = self.0.join(path);
        if !directory.is_dir() && !path.is_empty() {
            return Ok(Vec::new());
        }
        let entries = place::entries(&directory)?;
        Ok(entries
            .into_iter()
            .map(|name| name.to_string_lossy().into_owned())
            .collect())
    }
}

struct LocalBlob {
    file: File,
    length: u64,
}

impl LocalBlob {
    fn at(&self, start: u64) -> io::Result<File> {
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(start))?;
        Ok(file)
    }
}

impl Blob for LocalBlob {
    fn length(&self) -> u64 {
        self.length
    }

    fn range(&self, start: u64, length: usize) -> io::Result<Bytes> {
        let mut bytes = vec![0; length];
        self.at(start)?.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }

    fn reader(&self, start: u64) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(self.at(start)?))
    }
}

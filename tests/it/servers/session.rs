//! One connection that a test holds, blocking.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, TryStreamExt};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, Config, Error, NoTls, SimpleQueryMessage};

use super::Address;

/// An open connection, without TLS.
///
/// It has a runtime of its own, so that it stays alive while the test does something else, and is
/// waited for on another thread, so that tests that are async themselves can use it.
#[derive(Debug)]
pub(crate) struct Session {
    runtime: Option<Runtime>,
    client: Client,
}

impl Session {
    /// Connects; a refusal fails the test.
    pub(crate) fn open(address: &Address) -> Self {
        Self::try_open(address).unwrap_or_else(|error| panic!("{address}: {error:?}"))
    }

    pub(crate) fn try_open(address: &Address) -> Result<Self, Error> {
        let mut config: Config = address.to_string().parse()?;
        config.connect_timeout(Duration::from_secs(20));
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let connected = wait(&runtime, async {
            let (client, connection) = config.connect(NoTls).await?;
            // A lost connection shows in the next statement.
            tokio::spawn(connection);
            Ok(client)
        });
        match connected {
            Ok(client) => Ok(Self {
                runtime: Some(runtime),
                client,
            }),
            Err(error) => {
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    /// Runs statements; an error fails the test.
    pub(crate) fn exec(&self, sql: &str) {
        self.try_exec(sql)
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// Runs statements whose failure the test is about.
    pub(crate) fn try_exec(&self, sql: &str) -> Result<(), Error> {
        wait(self.runtime(), self.client.batch_execute(sql))
    }

    /// The rows of a query as the server's own text, `None` for NULL.
    pub(crate) fn query_text(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let messages = wait(self.runtime(), self.client.simple_query(sql))
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        rows.map(|row| {
            (0..row.len())
                .map(|i| row.get(i).map(str::to_owned))
                .collect()
        })
        .collect()
    }

    /// Sends what a `COPY … FROM STDIN` reads; an error fails the test.
    pub(crate) fn copy_in(&self, sql: &str, bytes: Vec<u8>) {
        let copied = wait(self.runtime(), async {
            let mut sink = pin!(self.client.copy_in(sql).await?);
            sink.send(Bytes::from(bytes)).await?;
            sink.finish().await
        });
        copied.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// What a `COPY … TO STDOUT` writes.
    pub(crate) fn copy_out(&self, sql: &str) -> Vec<u8> {
        let pieces: Result<Vec<Bytes>, Error> = wait(self.runtime(), async {
            self.client.copy_out(sql).await?.try_collect().await
        });
        pieces
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"))
            .concat()
    }

    /// The id of the server's process that serves this connection.
    pub(crate) fn backend_pid(&self) -> i32 {
        let rows = self.query_text("SELECT pg_backend_pid()");
        rows[0][0]
            .as_deref()
            .and_then(|pid| pid.parse().ok())
            .expect("a process id")
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("only drop takes the runtime")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Dropping a runtime blocks, which a runtime around the test would not allow.
        self.runtime
            .take()
            .expect("dropped once")
            .shutdown_background();
    }
}

/// Waits on another thread, so that a test that is async itself can, too.
pub(super) fn wait<T: Send>(runtime: &Runtime, future: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        scope
            .spawn(|| runtime.handle().block_on(future))
            .join()
            .expect("no panic in the driver")
    })
}

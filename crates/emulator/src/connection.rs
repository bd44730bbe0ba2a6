//! A connection that a request can end.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::lock;

/// How the emulator ends a connection early.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    /// In the regular way (FIN).
    Close,
    /// As after a crash of the machine (RST).
    Reset,
}

/// The state of a connection, shared by its socket and its requests.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    ending: Mutex<Ending>,
    ended: Notify,
    activity: Mutex<Activity>,
}

/// Whether a request is in progress.
#[derive(Clone, Copy, Debug)]
enum Activity {
    /// Since this time.
    Idle(Instant),
    Busy,
    /// The answer exists, but the socket may not have written it. An answer in parts counts as written with its first
    /// part. Only slow and endless bodies have parts, and they need no protection when there are too many connections.
    Answered,
}

impl Default for Activity {
    fn default() -> Self {
        Self::Idle(Instant::now())
    }
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Ending {
    #[default]
    Open,
    /// Ends as soon as the socket has written everything so far.
    EndsWhenFlushed(End),
    Ended(End),
}

impl Connection {
    /// Ends the connection at once.
    pub(crate) fn end(&self, end: End) {
        self.will_end(end);
        self.ended.notify_one();
    }

    /// Sets how the connection ends, at any time and for any reason. It does not end the connection.
    pub(crate) fn will_end(&self, end: End) {
        *lock(&self.ending) = Ending::Ended(end);
    }

    /// Ends the connection as soon as the socket has written everything so far.
    pub(crate) fn end_when_flushed(&self, end: End) {
        let mut ending = lock(&self.ending);
        // hyper may poll the body again after the end; that changes nothing.
        if *ending == Ending::Open {
            *ending = Ending::EndsWhenFlushed(end);
        }
    }

    /// Waits until a call ends the connection.
    pub(crate) async fn ended(&self) {
        self.ended.notified().await;
    }

    /// Marks the connection as busy, because a request has arrived.
    pub(crate) fn begin(&self) {
        *lock(&self.activity) = Activity::Busy;
    }

    /// Marks the request as answered.
    pub(crate) fn answered(&self) {
        *lock(&self.activity) = Activity::Answered;
    }

    /// Returns whether the connection has ended or is about to.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(*lock(&self.ending), Ending::Ended(_))
    }

    /// Returns since when the connection has been idle, or `None` if a request is in progress.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        match *lock(&self.activity) {
            Activity::Idle(since) => Some(since),
            Activity::Busy | Activity::Answered => None,
        }
    }

    fn flushed(&self) {
        let mut activity = lock(&self.activity);
        if matches!(*activity, Activity::Answered) {
            *activity = Activity::default();
        }
        drop(activity);
        let ending = *lock(&self.ending);
        if let Ending::EndsWhenFlushed(end) = ending {
            self.end(end);
        }
    }
}

/// The socket that hyper uses.
pub(crate) struct Socket {
    socket: TcpStream,
    connection: Arc<Connection>,
}

impl Socket {
    pub(crate) fn new(socket: TcpStream, connection: Arc<Connection>) -> Self {
        Self { socket, connection }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if *lock(&self.connection.ending) == Ending::Ended(End::Reset) {
            // A socket with a linger time of zero sends a reset when it closes. If this call fails, it closes normally.
            let _ = self.socket.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes the socket only after it has written everything.
        ready!(Pin::new(&mut self.socket).poll_flush(context))?;
        self.connection.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

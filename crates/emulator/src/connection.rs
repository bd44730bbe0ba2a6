//! A connection that can be ended from within a request.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::lock;

/// How a connection ends before its time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    /// As when all has been said (FIN).
    Close,
    /// As when a machine crashes (RST).
    Reset,
}

/// What is to become of a connection; shared by the socket and by the requests that come over it.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    ending: Mutex<Ending>,
    ended: Notify,
    activity: Mutex<Activity>,
}

/// Whether a request is under way.
#[derive(Clone, Copy, Debug)]
enum Activity {
    /// Since then.
    Idle(Instant),
    Busy,
    /// The answer is there, but may not have been written. One that comes in parts counts as written with the first of
    /// them: only slow and endless bodies do, and those need not be spared where there are too many connections.
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
    /// Once all that was said so far has been written.
    EndsWhenFlushed(End),
    Ended(End),
}

impl Connection {
    /// Ends the connection at once.
    pub(crate) fn end(&self, end: End) {
        self.will_end(end);
        self.ended.notify_one();
    }

    /// Has the connection end like this, whenever and for whatever reason it does.
    pub(crate) fn will_end(&self, end: End) {
        *lock(&self.ending) = Ending::Ended(end);
    }

    /// Ends the connection as soon as what has been handed to it is written.
    pub(crate) fn end_when_flushed(&self, end: End) {
        let mut ending = lock(&self.ending);
        // A body may be asked for more after the end has come; that changes nothing.
        if *ending == Ending::Open {
            *ending = Ending::EndsWhenFlushed(end);
        }
    }

    /// Waits until the connection is to end.
    pub(crate) async fn ended(&self) {
        self.ended.notified().await;
    }

    /// A request has come.
    pub(crate) fn begin(&self) {
        *lock(&self.activity) = Activity::Busy;
    }

    /// The request is answered.
    pub(crate) fn answered(&self) {
        *lock(&self.activity) = Activity::Answered;
    }

    /// Whether the connection is about to end, if it has not.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(*lock(&self.ending), Ending::Ended(_))
    }

    /// Since when no request has been under way, if none is.
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

/// The socket, as hyper sees it.
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
            // Closing a socket that does not linger is what makes it send a reset. Failing that, it just closes.
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
        // hyper flushes the socket only once it has written all that it had.
        ready!(Pin::new(&mut self.socket).poll_flush(context))?;
        self.connection.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

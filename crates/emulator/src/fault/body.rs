//! The response body, delivered whole or with a fault.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::budget::{Budget, Share};
use crate::connection::{Connection, End};

/// How the emulator delivers a body.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Delivery {
    #[default]
    Whole,
    /// Sends half of the body, then ends the connection.
    Half(End),
    /// Sends other content, without end.
    Endless,
    /// Sends byte by byte, with this pause before each.
    Slow(Duration),
}

/// The body of every response.
pub(crate) enum Body {
    Whole(Full<Bytes>),
    Half(Half),
    Endless { begun: bool },
    Slow(Slow),
}

/// The part of a body to send, and the length of the whole body.
pub(crate) struct Half {
    sent: Option<Bytes>,
    announced: u64,
    connection: Arc<Connection>,
    end: End,
}

pub(crate) struct Slow {
    rest: Bytes,
    pause: Duration,
    timer: Pin<Box<Sleep>>,
    /// What the rest holds of the budget for all bodies. If the budget gives it up, the connection closes.
    _share: Share,
}

/// One frame of an endless body.
const BLANKS: &[u8] = &[b' '; 16 << 10];

impl Body {
    pub(crate) fn new(body: Bytes, delivery: Delivery, connection: &Arc<Connection>, budget: &Arc<Budget>) -> Self {
        match delivery {
            Delivery::Whole => Self::Whole(Full::new(body)),
            Delivery::Half(end) => Self::Half(Half {
                announced: body.len() as u64,
                sent: Some(body.slice(..body.len() / 2)),
                connection: Arc::clone(connection),
                end,
            }),
            Delivery::Endless => Self::Endless { begun: false },
            Delivery::Slow(pause) => {
                let share = budget.share({
                    let connection = Arc::clone(connection);
                    move || connection.end(End::Close)
                });
                share.grow(body.len());
                Self::Slow(Slow { rest: body, pause, timer: Box::pin(sleep(pause)), _share: share })
            }
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = |bytes| Poll::Ready(Some(Ok(Frame::data(bytes))));
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(context),
            Self::Half(half) => match half.sent.take().filter(|sent| !sent.is_empty()) {
                Some(sent) => data(sent),
                None => {
                    // Ending the connection at once would lose the bytes that hyper has not written yet.
                    half.connection.end_when_flushed(half.end);
                    Poll::Pending
                }
            },
            Self::Endless { begun } => {
                let first = !std::mem::replace(begun, true);
                data(Bytes::from_static(if first { b"[" } else { BLANKS }))
            }
            Self::Slow(slow) => {
                if slow.rest.is_empty() {
                    return Poll::Ready(None);
                }
                std::task::ready!(slow.timer.as_mut().poll(context));
                slow.timer.set(sleep(slow.pause));
                data(slow.rest.split_to(1))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Slow(slow) => slow.rest.is_empty(),
            Self::Half(_) | Self::Endless { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Half(half) => SizeHint::with_exact(half.announced),
            Self::Endless { .. } => SizeHint::default(),
            Self::Slow(slow) => SizeHint::with_exact(slow.rest.len() as u64),
        }
    }
}

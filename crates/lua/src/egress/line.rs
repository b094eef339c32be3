//! An HTTP client that sends a request again where nobody can have seen it.

use reqwest::{Client, ClientBuilder, Method, Request, RequestBuilder, Response, Result, Url};
use std::{
    error::Error,
    io::{self, ErrorKind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};
use tower_layer::Layer;
use tower_service::Service;

/// How often a request is sent again, each time over another connection that was there: as often as libcurl does so.
const AGAIN: usize = 5;

/// A client, and how many connections it has begun.
#[derive(Clone)]
pub(crate) struct Line {
    client: Client,
    begun: Begun,
}

impl Line {
    pub fn new(builder: ClientBuilder) -> Result<Self> {
        let begun = Begun::default();
        Ok(Self { client: builder.connector_layer(begun.clone()).build()?, begun })
    }

    pub fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.client.request(method, url)
    }

    /// Sends a request. Where it went over a connection that was kept and the server had closed, it is sent again: that
    /// connections end when nothing goes over them is no failure of the request.
    pub async fn send(&self, request: Request) -> Result<Response> {
        for _ in 0..AGAIN {
            let Some(copy) = request.try_clone() else { break };
            let begun = self.begun.count();
            match self.client.execute(copy).await {
                // It was a kept one for sure only if none was begun meanwhile, not even for another run.
                Err(error) if is_closed(&error) && self.begun.count() == begun => {}
                ended => return ended,
            }
        }
        self.client.execute(request).await
    }
}

/// Whether the connection ended before anything came back.
fn is_closed(error: &reqwest::Error) -> bool {
    let mut causes = std::iter::successors(error.source(), |cause| (*cause).source());
    let closed = |cause: &(dyn Error + 'static)| match cause.downcast_ref::<io::Error>() {
        Some(error) => matches!(
            error.kind(),
            ErrorKind::BrokenPipe
                | ErrorKind::ConnectionAborted
                | ErrorKind::ConnectionReset
                | ErrorKind::UnexpectedEof
        ),
        None => cause.to_string() == "connection closed before message completed",
    };
    error.is_request() && causes.any(closed)
}

/// Counts the connections that a client begins.
#[derive(Clone, Default)]
struct Begun(Arc<AtomicUsize>);

impl Begun {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl<S> Layer<S> for Begun {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, begun: self.clone() }
    }
}

/// What connects, counted.
#[derive(Clone)]
struct Counted<S> {
    inner: S,
    begun: Begun,
}

impl<S: Service<T>, T> Service<T> for Counted<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<std::result::Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, target: T) -> S::Future {
        self.begun.0.fetch_add(1, Ordering::Relaxed);
        self.inner.call(target)
    }
}

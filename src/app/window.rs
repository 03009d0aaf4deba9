//! The admin address: pages for people, probes and Prometheus, and beside them the control API.
//!
//! Comes in: a request of HTTP/1.1 or HTTP/2. Goes out: what `admin` makes of the store, the streams and
//! the board at this moment. Looking is done on threads of its own, so that no stream waits for it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use tokio::sync::watch;
use tonic::body::Body;

use super::Settings;
use super::address::Address;
use super::control::{Control, DumpRequest, Dumped};
use super::foreign::is_foreign;
use super::hall::Hall;
use super::process::{process, seconds};
use super::tls::Tls;
use crate::admin::{
    self, Answer, Bridge, Certificate, Client, Entry, MAX_CLIENTS, Page, Scrape, Serving, Status, Summary,
    TEXT,
};
use crate::migrate;
use crate::resource::{Kind, Name, Node};
use crate::snapshot::{Snapshot, View};

/// Prometheus' text format.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

const JSON: &str = "application/json";

/// Everything that can be looked at.
pub struct Window {
    hall: Hall,
    bridge: Bridge,
    started: SystemTime,
    tls: Option<Arc<Tls>>,
    draining: watch::Receiver<bool>,
}

impl Window {
    /// Looks at what is in the hall, from now on.
    pub fn new(
        hall: &Hall,
        settings: &Settings,
        listen: &[Address],
        tls: Option<Arc<Tls>>,
        draining: watch::Receiver<bool>,
    ) -> Window {
        let started = SystemTime::now();
        Window { hall: hall.clone(), bridge: bridge(settings, listen), started, tls, draining }
    }

    /// Everything at this moment.
    pub fn status(&self) -> Status {
        let now = SystemTime::now();
        let (mut clients, mut summary) = self.clients();
        summary.left_out = clients.len().saturating_sub(MAX_CLIENTS) as u64;
        clients.truncate(MAX_CLIENTS);
        let seen = self.hall.board.seen();
        Status {
            schema_version: admin::SCHEMA_VERSION,
            at: humantime::format_rfc3339_millis(now).to_string(),
            bridge: self.bridge.clone(),
            serving: self.serving(),
            summary,
            fragments: seen.fragments(now),
            warnings: seen.facts().warnings.clone(),
            clients,
        }
    }

    /// The clients, and how many of them run the newest.
    pub fn clients(&self) -> (Vec<Client>, Summary) {
        let now = (Instant::now(), SystemTime::now());
        let places = self.hall.record.places();
        let snapshot = self.hall.store.current();
        // What a thousand Envoys refuse alike is looked up once: for its line the file is read through.
        let known: RefCell<HashMap<(Kind, Name), Vec<String>>> = RefCell::default();
        let places_of = |kind: Kind, name: &Name| {
            let mut known = known.borrow_mut();
            known.entry((kind, name.clone())).or_insert_with(|| places.of(kind, name)).clone()
        };
        admin::clients(&self.hall.clients.streams(), &snapshot, now, &places_of)
    }

    /// What became of the last changes, the newest first.
    pub fn history(&self, limit: usize) -> Vec<Entry> {
        self.hall.board.history(limit)
    }

    /// Another number means that something happened: a snapshot, or anything on a stream.
    pub fn events(&self) -> u64 {
        // Each of them only grows.
        self.hall.clients.events() + self.hall.board.looks()
    }

    /// Whether the daemon is ending.
    pub fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Gives each resource that is served, until `take` wants no more.
    pub fn dump(&self, request: &DumpRequest, mut take: impl FnMut(Dumped) -> bool) {
        let snapshot = self.hall.store.current();
        let node =
            Node { id: request.node_id.clone(), cluster: request.node_cluster.clone(), ..Node::default() };
        let is_for_all = request.node_id.is_empty() && request.node_cluster.is_empty();
        let view = (!is_for_all).then(|| View::new(snapshot.clone(), Some(&node)));
        for kind in Kind::ALL {
            for (audience, resource) in snapshot.iter(kind) {
                let seen = view.as_ref().map(|view| view.get(kind, resource.name()));
                if seen.is_some_and(|seen| seen.is_none_or(|seen| !Arc::ptr_eq(seen, resource))) {
                    continue;
                }
                // What this API does not know was not made by it: it cannot be served either.
                let Ok(shown) = migrate::show(&self.hall.api, resource, audience.as_deref()) else {
                    continue;
                };
                let dumped = Dumped {
                    kind: kind.fragment_key().to_owned(),
                    name: shown.name,
                    nodes: shown.nodes.unwrap_or_default(),
                    version: shown.version,
                    ttl: shown.ttl.unwrap_or_default(),
                    json: shown.content.to_string(),
                };
                if !take(dumped) {
                    return;
                }
            }
        }
    }

    fn serving(&self) -> Serving {
        let (snapshot, seen) = (self.hall.store.current(), self.hall.board.seen());
        let facts = seen.facts();
        let published = seen.published.map(|at| humantime::format_rfc3339_millis(at).to_string());
        Serving {
            ready: snapshot.is_loaded(),
            problems: self.problems(&snapshot),
            generation: snapshot.generation(),
            published: published.unwrap_or_default(),
            resources: Kind::ALL
                .map(|kind| (kind.fragment_key().to_owned(), snapshot.count(kind) as u64))
                .into(),
            files: facts.files.clone(),
            findings: facts.findings.clone(),
        }
    }

    fn problems(&self, snapshot: &Snapshot) -> Vec<String> {
        self.hall.board.seen().problems(snapshot.is_loaded())
    }

    fn metrics(&self) -> String {
        let seen = self.hall.board.seen();
        let facts = seen.facts();
        let own = self.tls.as_ref().map(|tls| Certificate {
            kind: "listen",
            resource: String::new(),
            file: tls.certificate().display().to_string(),
            expires: seconds(tls.not_after()) as i64,
        });
        let certificates: Vec<Certificate> =
            own.into_iter().chain(facts.certificates.iter().cloned()).collect();
        admin::metrics(&Scrape {
            version: &self.bridge.version,
            serving: &self.serving(),
            published_seconds: seen.published.map(seconds),
            held: !facts.held.is_empty(),
            summary: &self.clients().1,
            clients: &self.hall.clients,
            loads: &self.hall.board.loads,
            certificates: &certificates,
            renewals: self.tls.as_ref().map(|tls| tls.renewals()),
            process: process(self.started),
        })
    }

    fn healthz(&self) -> Answer {
        match self.hall.board.life.problem() {
            None => Answer { status: 200, content_type: TEXT, body: "ok\n".into() },
            Some(problem) => Answer { status: 503, content_type: TEXT, body: format!("{problem}\n") },
        }
    }

    fn readyz(&self) -> Answer {
        let snapshot = self.hall.store.current();
        let text = |status, body: String| Answer { status, content_type: TEXT, body };
        if self.is_draining() {
            return text(503, "xds-bridge is ending\n".into());
        }
        if snapshot.is_loaded() {
            return text(200, format!("ready: snapshot {} is served\n", snapshot.generation()));
        }
        let mut body = self.problems(&snapshot).join("\n");
        for fragment in self.hall.board.seen().fragments(SystemTime::now()) {
            body.push_str(&format!("\n{} {}", fragment.path, fragment.why));
            for finding in fragment.findings {
                body.push_str(&format!("\n  {}:{}: {}", finding.file, finding.line, finding.message));
            }
        }
        body.push('\n');
        text(503, body)
    }

    fn answer(&self, page: Page) -> Answer {
        let found = |content_type, body| Answer { status: 200, content_type, body };
        match page {
            Page::Index => admin::index(&self.bridge.version),
            Page::Healthz => self.healthz(),
            Page::Readyz => self.readyz(),
            Page::Metrics => found(METRICS, self.metrics()),
            Page::Status => match serde_json::to_string_pretty(&self.status()) {
                Ok(json) => found(JSON, json + "\n"),
                Err(error) => Answer { status: 500, content_type: TEXT, body: format!("{error}\n") },
            },
        }
    }
}

/// Which daemon this is.
fn bridge(settings: &Settings, listen: &[Address]) -> Bridge {
    Bridge {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: super::process::id(),
        started: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
        listen: listen.iter().map(ToString::to_string).collect(),
        config_dirs: settings.source.dirs.iter().map(|dir| dir.display().to_string()).collect(),
    }
}

/// What listens on the admin address.
#[derive(Clone)]
pub struct Desk {
    window: Arc<Window>,
    control: Control,
    /// On a loopback address, which a web page can reach by a name of its own.
    by_address: bool,
}

impl Desk {
    /// Pages and the control API.
    pub fn new(window: Arc<Window>, control: Control, at: Option<&Address>) -> Desk {
        let by_address = at.is_some_and(|at| matches!(at, Address::Tcp(_)) && at.is_local());
        Desk { window, control, by_address }
    }
}

type Response = Result<http::Response<Body>, Infallible>;

impl<B> tower_service::Service<http::Request<B>> for Desk
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Response> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        if Control::owns(request.uri().path()) {
            return Box::pin(self.control.clone().answer(request));
        }
        let host = request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok());
        let refused = self.by_address && is_foreign(host.unwrap_or_default());
        let window = self.window.clone();
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        Box::pin(async move {
            if refused {
                return Ok(response(admin::foreign(), method == http::Method::HEAD));
            }
            let answer = match admin::page(method.as_str(), &path) {
                Err(refusal) => refusal,
                // A probe is answered although all threads for looking are busy.
                Ok(page @ (Page::Index | Page::Healthz)) => window.answer(page),
                Ok(page) => {
                    let looked = tokio::task::spawn_blocking(move || window.answer(page)).await;
                    let failed = |error: tokio::task::JoinError| Answer {
                        status: 500,
                        content_type: TEXT,
                        body: format!("{error}\n"),
                    };
                    looked.unwrap_or_else(failed)
                }
            };
            Ok(response(answer, method == http::Method::HEAD))
        })
    }
}

fn response(answer: Answer, head_only: bool) -> http::Response<Body> {
    let length = answer.body.len();
    let body = if head_only { Body::empty() } else { Body::new(answer.body) };
    let mut response = http::Response::new(body);
    *response.status_mut() =
        http::StatusCode::from_u16(answer.status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(answer.content_type));
    headers.insert(http::header::CONTENT_LENGTH, length.into());
    headers.insert(http::header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    if answer.status == 405 {
        headers.insert(http::header::ALLOW, http::HeaderValue::from_static("GET, HEAD"));
    }
    response
}

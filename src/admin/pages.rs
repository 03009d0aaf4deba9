//! The pages of the admin address, for browsers, probes and Prometheus: which there are, and how they
//! answer.

/// What can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// A list of the others.
    Index,
    /// The status as JSON.
    Status,
    /// Metrics for Prometheus.
    Metrics,
    /// Whether the process is alive.
    Healthz,
    /// Whether clients are answered.
    Readyz,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `content-type`.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

/// Plain text.
pub const TEXT: &str = "text/plain; charset=utf-8";

const PAGES: [(&str, Page, &str); 5] = [
    ("/", Page::Index, "this list"),
    ("/status", Page::Status, "what each client runs, and why not the newest, as JSON"),
    ("/metrics", Page::Metrics, "metrics for Prometheus"),
    ("/healthz", Page::Healthz, "200 as long as the daemon is at work"),
    ("/readyz", Page::Readyz, "200 once a complete load is served, else 503 and why not"),
];

/// The page that a request asks for, or why there is none. The query is not looked at.
///
/// # Errors
/// The answer: 404, or 405 where only the method is wrong.
pub fn page(method: &str, path: &str) -> Result<Page, Answer> {
    let text = |status, body: &str| Answer { status, content_type: TEXT, body: format!("{body}\n") };
    let Some((_, page, _)) = PAGES.iter().find(|(known, ..)| *known == path) else {
        return Err(text(404, "there is no such page; / lists those that there are"));
    };
    match method {
        "GET" | "HEAD" => Ok(*page),
        _ => Err(text(405, "pages can only be read, with GET or HEAD")),
    }
}

/// The list of pages.
pub fn index(version: &str) -> Answer {
    let mut body = format!("xds-bridge {version}\n\n");
    for (path, _, what) in PAGES {
        body.push_str(&format!("{path:<10} {what}\n"));
    }
    body.push_str("\nThe command line (`xds-bridge status`, `reload`, `history`) speaks gRPC here.\n");
    Answer { status: 200, content_type: TEXT, body }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_read_and_nothing_else() {
        for (path, expected, _) in PAGES {
            for method in ["GET", "HEAD"] {
                assert_eq!(page(method, path), Ok(expected));
            }
            for method in ["POST", "DELETE", "get", ""] {
                assert_eq!(page(method, path).expect_err("refused").status, 405, "{method} {path}");
            }
            assert!(index("1").body.contains(path));
        }
        for path in ["/x", "", "/status/", "/../status", "//"] {
            assert_eq!(page("GET", path).expect_err("refused").status, 404, "{path}");
        }
    }
}

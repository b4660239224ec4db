//! The paths of the admin port: the answer of each, and which host names may request it.

use serde::Serialize;

use super::client::Answer;
use super::history::History;
use super::host::Hosts;
use super::http::{Request, Response};
use super::list::List;
use super::query::Query;
use super::snapshot::Snapshot;
use super::{View, balancers, exposition, page};
use proxy::escape::Escaped;

/// The data of answers besides the view.
pub(super) struct Context<'a> {
    pub(super) hosts: &'a Hosts,
    pub(super) history: &'a History,
    /// The number of files that the process has open.
    pub(super) open_files: usize,
}

pub(super) fn answer(request: &Request<'_>, view: &View<'_>, context: &Context<'_>) -> Answer {
    let snapshot = || Snapshot::of(view, context.open_files);
    Answer::Whole(match request.path {
        "/livez" => Response::text(200, "live"),
        "/readyz" => Response::text(if view.is_ready() { 200 } else { 503 }, view.state()),
        "/metrics" => {
            let format = request.metrics;
            Response::document(format.content_type(), exposition::render(&snapshot(), format).into_bytes())
        }
        // The paths below show clients' addresses.
        _ if !request.host.is_none_or(|host| context.hosts.allow(host)) => {
            misdirected(request.host.unwrap_or_default())
        }
        "/" => Response::document("text/html; charset=utf-8", page::html()),
        "/status.json" => json(&Status { snapshot: snapshot(), highest: context.history.highest(view.started) }),
        "/balancers.json" => json(&balancers::of(view)),
        "/history.json" => json(&context.history.document(view.started)),
        "/connections.json" => match Query::parse(request.query) {
            Ok(query) => match List::new(query, view.keys_end) {
                Ok(list) => return Answer::List(list),
                Err(error) => Response::text(503, error),
            },
            Err(error) => Response::text(400, error),
        },
        _ => Response::status(404),
    })
}

/// The document of `/status.json`.
#[derive(Serialize)]
struct Status<'a, H> {
    #[serde(flatten)]
    snapshot: Snapshot<'a>,
    highest: H,
}

fn misdirected(host: &str) -> Response {
    let host = Escaped(host.as_bytes());
    Response::text(
        421,
        format_args!(
            "this server is not known as \"{host}\": ask for it by its address, or start it with --admin-host and that name"
        ),
    )
}

fn json(document: &impl Serialize) -> Response {
    match serde_json::to_vec(document) {
        Ok(body) => Response::document("application/json", body),
        Err(error) => Response::text(500, error),
    }
}

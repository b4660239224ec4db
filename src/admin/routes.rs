//! Which path is answered by what.

use serde::Serialize;

use super::connections::{self, Query};
use super::exposition::Format;
use super::http::{Request, Response};
use super::snapshot::Snapshot;
use super::{View, exposition};

pub(super) fn answer(request: &Request<'_>, view: &View<'_>) -> Response {
    match request.path {
        "/" => Response::document("text/html; charset=utf-8", include_bytes!("page.html").to_vec()),
        "/livez" => Response::text(200, "live"),
        "/readyz" => Response::text(if view.is_ready() { 200 } else { 503 }, view.state()),
        "/metrics" => {
            let format = if request.open_metrics { Format::OpenMetrics } else { Format::Prometheus };
            let text = exposition::render(&Snapshot::of(view), format);
            Response::document(format.content_type(), text.into_bytes())
        }
        "/status.json" => json(&Snapshot::of(view)),
        "/connections.json" => match Query::parse(request.query) {
            Ok(query) => json(&connections::list(&query, view)),
            Err(error) => Response::text(400, error),
        },
        _ => Response::status(404),
    }
}

fn json(document: &impl Serialize) -> Response {
    match serde_json::to_vec(document) {
        Ok(body) => Response::document("application/json", body),
        Err(error) => Response::text(500, error),
    }
}

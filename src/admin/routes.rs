//! Which path is answered by what.

use serde::Serialize;

use super::connections::{self, Query};
use super::http::{Request, Response};
use super::{View, exposition, status};

pub(super) fn answer(request: &Request<'_>, view: &View<'_>) -> Response {
    match request.path {
        "/" => Response::document("text/html; charset=utf-8", include_bytes!("page.html").to_vec()),
        "/livez" => Response::text(200, "live"),
        "/readyz" => Response::text(if view.is_ready() { 200 } else { 503 }, view.state()),
        "/metrics" if request.open_metrics => {
            let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            Response::document(content_type, exposition::open_metrics(view).into_bytes())
        }
        "/metrics" => {
            let content_type = "text/plain; version=0.0.4; charset=utf-8";
            Response::document(content_type, exposition::prometheus(view).into_bytes())
        }
        "/status.json" => json(&status::of(view)),
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

//! The status page: one document that contains its style and scripts, so that it only requests figures.

use std::sync::LazyLock;

static PAGE: LazyLock<String> = LazyLock::new(|| {
    let script =
        [include_str!("glance.js"), include_str!("history.js"), include_str!("tables.js"), include_str!("asking.js")];
    include_str!("index.html").replace("{style}", include_str!("style.css")).replace("{script}", &script.concat())
});

/// The page as HTML.
pub(super) fn html() -> &'static [u8] {
    PAGE.as_bytes()
}

//! The status page in a browser: light, dark and on a telephone, without connections and with 10,000. Its figures are
//! the server's, and bytes from hostile peers are shown as text.
#![cfg(target_os = "linux")]

#[path = "common/browser.rs"]
mod browser;
#[path = "page/checks.rs"]
mod checks;
#[path = "common/client.rs"]
mod client;
#[path = "common/server.rs"]
mod server;
#[path = "page/site.rs"]
mod site;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use browser::Browser;
use checks::{assert_figures, assert_legible, assert_says};
use proxy::tlv;
use rustix::process::Signal;
use serde_json::json;
use site::{Site, inet, mixed, texts, until, v1, v2};

/// The views of the page: name, width in px, colour scheme.
const VIEWS: [(&str, u32, &str); 3] = [("light", 1280, "light"), ("dark", 1280, "dark"), ("phone", 360, "light")];

#[test]
fn it_says_what_the_server_says_and_is_legible() {
    let site = Site::start("127.0.0.1:0", &["--max-held", "1MiB"]);
    let mut browser = Browser::start();
    check(&mut browser, &site, "none", 0);
    let mut streams = site.connect([v1(inet(1))]);
    check(&mut browser, &site, "one", 1);

    streams.extend(site.connect(mixed()));
    for (index, stream) in streams.iter_mut().enumerate() {
        stream.write_all(&vec![b'a'; index * 3000]).expect("the server reads");
    }
    for bytes in [&b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"[..], b"PROXY TCP4 1.2.3.400 ", b"\x16\x03\x01\x02"] {
        site.send_refused(bytes);
    }
    site.await_figure("/bytes/in", 3000 * (0..streams.len()).sum::<usize>());
    site.await_figure("/connections/closed/header_refused", 3);
    check(&mut browser, &site, "mixed", streams.len());
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// Checks the page in each of [`VIEWS`], and leaves pictures for people in the target's directory.
fn check(browser: &mut Browser, site: &Site, name: &str, connections: usize) {
    for (view, width, scheme) in VIEWS {
        browser.look(width, scheme, "screen");
        browser.open(&site.url());
        until(browser, "", &format!("find('data').value && all('#list tbody tr').length === {connections}"));
        assert_figures(browser, site);
        assert_legible(browser, view, width);
        take_picture(browser, &format!("{name}-{view}"));
        let foreign =
            browser.requests().into_iter().find(|url| !url.starts_with(&site.url()) && !url.starts_with("data:"));
        assert_eq!(foreign, None, "the page stands alone");
    }
}

fn take_picture(browser: &mut Browser, name: &str) {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("status");
    fs::create_dir_all(&directory).expect("the target's directory can be written");
    browser.take_picture(&directory.join(format!("{name}.png")));
}

#[test]
fn ten_thousand_connections_are_listed_without_lag() {
    /// The longest wait for the page on a machine that is busy with other tests, in ms.
    const BOUND: f64 = 2000.0;
    const COUNT: usize = 10_000;
    let site = Site::start("127.0.0.1:0", &["--log", "quiet", "--reflect-header", "false"]);
    let header = |number: u32| match number % 3 {
        0 => v1(inet(number)),
        1 => v2(inet(number), &[]),
        _ => v2(inet(number), &[(tlv::AUTHORITY, format!("host-{number}.example.com").as_bytes())]),
    };
    let _streams = site.connect((1..=COUNT as u32).map(header));
    let mut browser = Browser::start();
    browser.look(1280, "light", "screen");
    browser.open(&site.url());
    until(&mut browser, "", "all('#list tbody tr').length === 100 && find('#pages').textContent === '100'");
    take_picture(&mut browser, "ten-thousand");

    let first = |number: usize| format!("find('#list td').textContent === '{number}'");
    let mut waits = Vec::new();
    let mut wait = |browser: &mut Browser, name: &str, action: &str, condition: &str| {
        let took = until(browser, action, condition);
        println!("{name}: {took:.0} ms");
        waits.push((name.to_owned(), took));
    };
    let descending = "find('#list th[data-sort=age]').getAttribute('aria-sort') === 'descending'";
    // Of connections of the same millisecond, the last comes first.
    let sorted = format!("{descending} && Number(find('#list td').textContent) < {}", COUNT / 10);
    wait(&mut browser, "the oldest first", "find('#list th[data-sort=age] button').click()", &sorted);
    wait(&mut browser, "the newest number", "find('#list th[data-sort=number] button').click()", &first(COUNT));
    wait(&mut browser, "the oldest number", "find('#list th[data-sort=number] button').click()", &first(1));
    wait(&mut browser, "the last page", "find('[data-to=last]').click()", &first(COUNT - 99));
    wait(&mut browser, "the first page", "find('[data-to=first]').click()", &first(1));
    let one = "all('#list tbody tr').length === 1 && find('#list td.tlvs').textContent.includes('host-9998.')";
    wait(&mut browser, "one by a text in it", &filter("host-9998."), one);
    wait(&mut browser, "all again", &filter(""), "all('#list tbody tr').length === 100");
    for (name, took) in waits {
        assert!(took < BOUND, "{name} takes {took} ms");
    }

    // Page after page, and after jumps: the page shows its connections, each once.
    let turn_to =
        |page: usize| format!("find('#page').value = {page}; find('#page').dispatchEvent(new Event('change'))");
    let next = "find('[data-to=next]').click()".to_owned();
    for (page, action) in [(2, next.clone()), (3, next.clone()), (49, turn_to(49)), (50, next), (100, turn_to(1000))] {
        let numbers = (page - 1) * 100 + 1..=page * 100;
        until(&mut browser, &action, &first(*numbers.start()));
        let shown = texts(&mut browser, "#list td:first-child");
        assert!(shown.into_iter().eq(numbers.map(|number| number.to_string())), "page {page}");
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// Script in the page: writes into the filter as a user does.
fn filter(text: &str) -> String {
    let text = json!(text);
    format!("find('#filter').value = {text}; find('#filter').dispatchEvent(new InputEvent('input'))")
}

#[test]
fn what_hostile_peers_send_is_shown_as_text() {
    let evil =
        "<script>window.evil = 1</script><img src=x onerror='window.evil = 2'>&lt;b&gt;&amp;\"'`\u{1b}[2J\u{202e}\0";
    let site = Site::start("127.0.0.1:0", &[]);
    let _streams = site.connect([v2(inet(1), &[(tlv::AUTHORITY, evil.as_bytes())])]);
    site.send_refused(evil.as_bytes());
    site.await_figure("/connections/closed/header_refused", 1);

    let mut browser = Browser::start();
    browser.look(1280, "light", "screen");
    browser.open(&site.url());
    let is_there = "all('#list li').length === 2 && all('#refusals tbody tr').length === 1";
    until(&mut browser, "", is_there);
    let escaped = "<3C>script>window.evil = 1<3C>/script><3C>img src=x onerror='window.evil = 2'>&lt;b&gt;&amp;<22>'`<1B>[2J\
                   <E2><80><AE><00>";
    assert_eq!(texts(&mut browser, "#list li")[0], format!("AUTHORITY \"{escaped}\""));
    let received = texts(&mut browser, "#refusals td")[4].clone();
    assert!(escaped.starts_with(&received[..40]), "{received}");
    browser.evaluate("find('#list details').open = true");
    take_picture(&mut browser, "hostile");

    // This holds even if the server escaped nothing.
    let raw = "const real = fetch;
        window.fetch = async (...asked) => {
            const text = await (await real(...asked)).text();
            const raw = text.replaceAll('<3C>', '<').replaceAll('<22>', '\\\\\"').replaceAll('<E2><80><AE>', '\\u202e');
            return new Response(raw);
        };
        find('#now').click()";
    until(&mut browser, raw, "find('#list li').textContent.includes('<script>')");
    until(&mut browser, "", "find('#refusals td:last-child').textContent.includes('<script>')");
    let expected = format!("AUTHORITY \"{}\"", evil.replace('\u{1b}', "<1B>").replace('\0', "<00>"));
    assert_eq!(texts(&mut browser, "#list li")[0], expected);
    let elements = browser.evaluate("[...new Set(all('tbody *').map((e) => e.localName))].sort().join(' ')");
    assert_eq!(elements, "b details li summary td tr ul");
    assert_eq!(browser.evaluate("typeof window.evil"), "undefined");
    assert_eq!(browser.complaints(), Vec::<String>::new());

    // Prove that the check for complaints works: a request that the policy forbids must be reported.
    browser.evaluate("new Image().src = '/x.png'; new Promise((next) => setTimeout(next, 0))");
    assert!(browser.complaints().iter().any(|complaint| complaint.contains("Content Security Policy")));
}

#[test]
fn the_list_is_filtered_and_sorted_as_the_address_says() {
    let site = Site::start("127.0.0.1:0", &["--log", "quiet"]);
    let mut streams = site.connect(mixed());
    for (stream, count) in streams.iter_mut().zip([5, 3, 9, 1, 8, 2, 7, 11, 4, 10, 6]) {
        stream.write_all(&vec![b'a'; count * 100]).expect("the server reads");
    }
    site.await_figure("/bytes/in", 6600);
    let mut browser = Browser::start();
    browser.look(1280, "light", "screen");
    browser.open(&site.url());
    let all_there = "all('#list tbody tr').length === 11";
    until(&mut browser, "", all_there);

    let mut numbers = |action: &str, condition: &str| {
        until(&mut browser, action, condition);
        texts(&mut browser, "#list td:first-child").join(" ")
    };
    let click = "find('[data-sort=bytes_in] button').click()";
    let sorted = |order: &str| format!("find('[data-sort=bytes_in]').getAttribute('aria-sort') === '{order}'");
    assert_eq!(numbers(click, &sorted("descending")), "8 10 3 5 7 11 1 9 2 6 4");
    assert_eq!(numbers(click, &sorted("ascending")), "4 6 2 9 1 11 7 5 3 10 8");
    for (text, expected) in [
        ("v1", "2 1 3"),
        ("v2", "4 6 9 11 7 5 10 8"),
        ("198.51.100.7", "1"),
        ("198.51.100.8/29", "9 11 5 10 8"),
        ("2001:db8:85a3::/48", "6 2"),
        ("127.0.0.0/8", "4 6 2 9 1 11 7 5 3 10 8"),
        ("vpce-08", "6"),
        ("<script>", ""),
        ("authority", "9 5"),
        ("cipher", "8"),
        ("echoing", "4 6 2 9 1 11 7 5 3 10 8"),
        ("0xe5", "9"),
        ("awaiting header", ""),
    ] {
        let count = expected.split_whitespace().count();
        let shown = format!("find('#shown').textContent.startsWith('{count} that match, of 11')");
        assert_eq!(numbers(&filter(text), &shown), expected, "{text}");
    }
    let nothing = "find('#nothing').checkVisibility() && find('#nothing').textContent === 'Nothing matches “nobody”.'";
    numbers(&filter("nobody"), nothing);
    numbers(&filter("v2"), "all('#list tbody tr').length === 8 && !find('#nothing').checkVisibility()");

    // The page's address holds the state of the view, so that it can be passed on.
    let address = browser.evaluate("location.href");
    assert_eq!(address, format!("{}#sort=bytes_in&order=asc&filter=v2", site.url()));
    browser.open("about:blank");
    browser.open(address.as_str().expect("an address"));
    until(&mut browser, "", "all('#list tbody tr').length === 8");
    assert_eq!(texts(&mut browser, "#list td:first-child").join(" "), "4 6 9 11 7 5 10 8");
    assert_eq!(browser.evaluate("find('#filter').value"), "v2");
    // An address with nonsense in it does no harm.
    until(&mut browser, "location.hash = 'sort=x&order=y&offset=-7&every=0&filter='", all_there);
    assert_eq!(texts(&mut browser, "#list td:first-child").join(" "), "11 10 9 8 7 6 5 4 3 2 1");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_server_that_is_gone_is_told_and_its_successor_shown() {
    // No other test uses this address, so that the port stays free for the next server.
    let site = Site::start("127.0.77.1:0", &[]);
    let streams = site.connect(mixed());
    let mut browser = Browser::start();
    browser.look(1280, "light", "screen");
    browser.open(&format!("{}#every=1", site.url()));
    until(&mut browser, "", "all('#list tbody tr').length === 11 && find('#stale').hidden");
    until(&mut browser, "", "find('[data-rate=\"bytes.out\"]').textContent.endsWith('/s')");

    let admin = site.admin;
    drop((site, streams));
    until(&mut browser, "", "!find('#stale').hidden && /stale since/.test(find('#stale').textContent)");
    assert_eq!(texts(&mut browser, "#state"), ["no answer"]);
    assert_legible(&mut browser, "stale", 1280);
    take_picture(&mut browser, "stale");

    let successor = Site::start(&admin.to_string(), &[]);
    let _stream = successor.connect([v1(inet(1))]);
    until(&mut browser, "", "find('#stale').hidden && all('#list tbody tr').length === 1");
    assert_eq!(texts(&mut browser, "#state"), ["serving"]);
    let refused = |complaint: &String| complaint.contains("net::ERR_");
    assert_eq!(browser.complaints().into_iter().find(|complaint| !refused(complaint)), None);
}

#[test]
fn rates_are_those_between_two_refreshes() {
    let site = Site::start("127.0.0.1:0", &[]);
    let mut streams = site.connect([v1(inet(1))]);
    let mut browser = Browser::start();
    browser.look(1280, "light", "screen");
    browser.open(&site.url());
    until(&mut browser, "find('#pause').click()", "find('data').value");
    let uptime = "Number(find('[data-json=uptime_seconds]').value)";
    let mut bytes = 0;
    for count in [40_000, 10_000, 90_000, 0, 60_000_usize] {
        let before = browser.evaluate(uptime).as_f64().expect("seconds");
        streams[0].write_all(&vec![b'a'; count]).expect("the server reads");
        bytes += count;
        site.await_figure("/bytes/in", bytes);
        streams.extend(site.connect([v1(inet(2)), v1(inet(3))]));
        // Rates are too inexact if the answers are closer together than this.
        while site.get("/status.json")["uptime_seconds"].as_f64().is_none_or(|now| now < before + 0.8) {
            sleep(Duration::from_millis(5));
        }
        until(&mut browser, "find('#now').click()", &format!("{uptime} >= {before} + 0.8"));
        let seconds = browser.evaluate(uptime).as_f64().expect("seconds") - before;
        for (path, total) in [("bytes.in", count), ("connections.accepted", 2)] {
            let total = f64::from(u32::try_from(total).expect("not many"));
            let shown = texts(&mut browser, &format!("[data-rate=\"{path}\"]")).concat();
            assert_says("rate", shown.strip_suffix("/s").expect("a rate"), total / seconds);
        }
    }
    take_picture(&mut browser, "rates");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_server_at_its_limit_or_about_to_end_looks_like_it() {
    let site = Site::start("127.0.0.1:0", &["--max-connections", "1", "--drain-delay", "1m"]);
    let mut browser = Browser::start();
    browser.look(1280, "dark", "screen");
    browser.open(&format!("{}#every=1", site.url()));
    until(&mut browser, "", "find('#state').textContent === 'serving' && find('.bar').className === 'bar'");
    let _stream = site.connect([v1(inet(1))]);
    until(&mut browser, "", "find('#state').textContent.startsWith('full') && find('.bar').className === 'bar bad'");
    take_picture(&mut browser, "full");
    assert_legible(&mut browser, "full", 1280);
    site.server.signal(Signal::TERM);
    until(&mut browser, "", "find('#state').textContent.startsWith('draining')");
    assert_legible(&mut browser, "draining", 1280);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_page_that_is_paused_or_hidden_asks_nothing() {
    let site = Site::start("127.0.0.1:0", &[]);
    let mut browser = Browser::start();
    browser.open(&format!("{}#every=1", site.url()));
    // Count requests in the page, because Chromium's list of them ends at 250.
    browser.evaluate(
        "var fetched = 0; const real = fetch; window.fetch = (...rest) => { fetched += 1; return real(...rest); };
         var hide = (hidden) => {
             Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
             document.dispatchEvent(new Event('visibilitychange'));
         }",
    );
    for (stop, go) in [("find('#pause').click()", "find('#pause').click()"), ("hide(true)", "hide(false)")] {
        until(&mut browser, "fetched = 0", "fetched >= 4");
        // Let earlier requests be answered; then wait over two seconds, in which the page would make two requests.
        let then = "new Promise((next) => setTimeout(next, 300)).then(() => { fetched = 0; \
                    return new Promise((next) => setTimeout(() => next(fetched), 2100)); })";
        assert_eq!(browser.evaluate(&format!("{stop}; {then}")), 0, "{stop}");
        until(&mut browser, go, "fetched >= 2");
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn balancers_are_told_apart() {
    let site = Site::start("127.0.0.1:0", &["--proxy-protocol", "optional"]);
    let _streams = [site.connect(mixed()), site.connect_from("127.0.0.5", &[v1(inet(1)), v2(inet(2), &[])])];
    site.send_refused(b"PROXY TCP4 1.2.3.400 ");
    site.await_figure("/connections/closed/header_refused", 1);
    let mut browser = Browser::start();
    browser.open(&format!("{}#every=1", site.url()));
    until(&mut browser, "", "all('#balancers tbody tr').length === 3 && all('#balancers td')[3].textContent !== '–'");
    let cells = texts(&mut browser, "#balancers td");
    let rows: Vec<_> = cells.chunks(9).map(|row| [&row[..3], &row[4..8]].concat().join(" ")).collect();
    assert_eq!(rows, ["127.0.0.2 11 11 3 8 0 0", "127.0.0.5 2 2 1 1 0 0", "127.0.0.1 0 1 0 0 0 1"]);
    assert!(cells[8].starts_with("20") && cells[8].len() == "2026-01-01 00:00:00".len(), "{}", cells[8]);
    assert_eq!(browser.evaluate("all('#balancers td')[25].className"), "number bad");
    let _more = site.connect_from("127.0.0.6", &[v1(inet(3))]);
    until(&mut browser, "", "all('#balancers tbody tr').length === 4");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// Script in the page: replaces the server's history by an hour of figures.
const AN_HOUR: &str = "
    const real = fetch;
    const wave = (high, shape) => Array.from({ length: 360 }, (_, n) => Math.round(high * shape(n)));
    const hour = {
        period_seconds: 10, end: '2026-01-01T12:00:00Z',
        active: wave(1, (n) => n), accepted: wave(500, (n) => 1 + Math.sin(n / 30)), refused: wave(40, (n) => n % 60 < 5),
        bytes_in: wave(5e9, (n) => n / 360), bytes_out: wave(6e9, (n) => n / 360), held: wave(3e7, (n) => n > 200),
    };
    window.fetch = async (path, ...rest) =>
        String(path).startsWith('/history') ? new Response(JSON.stringify(hour)) : real(path, ...rest);
    find('#now').click()";

#[test]
fn the_last_hour_is_drawn_and_told_sample_by_sample() {
    let site = Site::start("127.0.0.1:0", &[]);
    let streams = site.connect(mixed());
    let mut browser = Browser::start();
    for (view, width, scheme) in VIEWS {
        browser.look(width, scheme, "screen");
        browser.open("about:blank");
        browser.open(&site.url());
        until(&mut browser, "", "find('.value').textContent !== ''");
        until(&mut browser, AN_HOUR, "find('.axis span').textContent === '400'");
        assert_eq!(texts(&mut browser, "#charts article:first-child .axis span"), ["400", "200", "0"]);
        assert_eq!(texts(&mut browser, "#charts article:nth-child(3) .axis span"), ["600 MiB", "300 MiB", "0 B"]);
        let hours = texts(&mut browser, "#charts article:first-child .hours span");
        assert_eq!(hours, ["11:15", "11:30", "11:45", "12:00"]);
        let values = texts(&mut browser, "#charts .value");
        assert_eq!(values[0], "12:00:00: 359 open");
        assert_eq!(values[2], "12:00:00: 476 MiB/s in, 571 MiB/s out");
        // First the pointer at a third of the hour, then the keyboard from there, then neither.
        let point = "const plot = find('.plot'); const { left, width, top } = plot.getBoundingClientRect();
            plot.dispatchEvent(new PointerEvent('pointermove', { clientX: left + width / 3, clientY: top }))";
        until(&mut browser, point, "find('.value').textContent === '11:20:10: 120 open'");
        let key = "find('.plot').dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowLeft', cancelable: true }))";
        until(&mut browser, key, "find('.value').textContent === '11:20:00: 119 open'");
        assert_eq!(browser.evaluate("find('.mark').checkVisibility()"), true);
        assert_legible(&mut browser, view, width);
        take_picture(&mut browser, &format!("history-{view}"));
        let leave = "find('.plot').dispatchEvent(new PointerEvent('pointerleave'))";
        until(&mut browser, leave, "find('.value').textContent === '12:00:00: 359 open'");
    }
    // Now the server's own history.
    drop(streams);
    browser.open("about:blank");
    browser.open(&format!("{}#every=1", site.url()));
    until(&mut browser, "", "/^..:..:..: [0-9]+ open$/.test(find('.value').textContent)");
    assert_eq!(texts(&mut browser, "#charts .highest data")[0], "11");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

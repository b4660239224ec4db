'use strict';
// Bytes from peers are shown as text, never as HTML.
const find = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const make = (name, attributes = {}, ...children) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
};
// Change an element only if its text changes, so that a selection in it is kept.
const write = (element, text) => { if (element.textContent !== text) element.textContent = text; };
const isNew = (element, content) => {
  const text = JSON.stringify(content);
  return element.shows !== text && ((element.shows = text), true);
};
const at = (object, path) => path.split('.').reduce((value, key) => value?.[key], object);

// ---- Figures in words

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat('en', { minimumSignificantDigits: 3, maximumSignificantDigits: 3 });
const round = (value) => (value < 1000 && !Number.isInteger(value) ? short : whole).format(value);
const hex = (value, digits) => `0x${value.toString(16).padStart(digits, '0')}`;
// All times are in UTC, as in the log.
const say = {
  text: String,
  time: (time) => time.slice(0, 19).replace('T', ' '),
  clock: (time) => time.slice(11, 19),
  listeners: (items) => items.map(({ address, proxy_protocol: mode }) => (mode === 'required' ? address : `${address} (${mode})`)).join(', '),
  count: (value) => whole.format(value),
  rate: round,
  percent: (value) => `${(value * 100).toFixed(1)}%`,
  bytes(value) {
    const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
    while (value >= 1023.5 && units.length > 1) { value /= 1024; units.shift(); }
    return `${round(value)} ${units[0]}`;
  },
  duration(seconds) {
    if (seconds < 10) return `${seconds.toFixed(1)} s`;
    let rest = Math.floor(seconds);
    const parts = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']].map(([size, unit]) => {
      const count = Math.floor(rest / size);
      rest %= size;
      return [count, unit];
    });
    const first = parts.findIndex(([count]) => count > 0);
    return parts.slice(first, first + 2).filter(([count]) => count > 0).flat().join(' ');
  },
};

// ---- The server at a glance

// Gauges: name, figure and limit. Figures below them: name, path in the status, unit, and whether only 0 is good.
const cards = [
  ['Connections', 'connections.active', 'connections.limit', 'count', [
    ['Accepted', 'connections.accepted', 'count'], ['Accept errors', 'accept_errors', 'count', true],
    ['Health checks', 'connections.probes', 'count'], ['Bytes in', 'bytes.in', 'bytes'], ['Bytes out', 'bytes.out', 'bytes']]],
  ['Held memory', 'held.bytes', 'held.limit', 'bytes', [
    ['Connections waiting for it', 'connections.waiting', 'count', true],
    ['Log lines dropped', 'log_lines_dropped', 'count', true]]],
  ['Open files', 'process.open_files', 'process.max_files', 'count', [
    ['Memory of the process', 'process.resident_bytes', 'bytes'], ['CPU time', 'process.cpu_seconds', 'duration']]],
];
const headers = [['v1 TCP4, TCP6', 'v1_proxy'], ['v1 UNKNOWN', 'v1_unknown'], ['v2 PROXY', 'v2_proxy'], ['v2 LOCAL', 'v2_local'],
  ['None (not required)', 'absent']];
const rates = [['Accepted', 'connections.accepted', 'rate'], ['Bytes in', 'bytes.in', 'bytes'], ['Bytes out', 'bytes.out', 'bytes'],
  ['CPU', 'process.cpu_seconds', 'percent']];

const makeCard = (name, id, ...children) => make('article', { class: 'card', id }, make('h2', {}, name), ...children);
const makeData = (path, unit, attributes = {}) => make('data', { 'data-json': path, 'data-as': unit, ...attributes });
const makeFigure = ([name, path, unit, isAlarm]) =>
  make('div', {}, make('dt', {}, name), make('dd', {}, makeData(path, unit, isAlarm ? { 'data-alarm': '' } : {})));

function makeCards() {
  const full = cards.map(([name, part, limit, unit, figures]) => makeCard(name, part.split('.')[0],
    make('p', { class: 'big' }, makeData(part, unit), make('span', { class: 'soft' }, ' of ', makeData(limit, unit))),
    make('div', { class: 'bar', role: 'meter', 'aria-label': `${name}, of the limit`, 'data-part': part, 'data-limit': limit }, make('div')),
    make('dl', {}, ...figures.map(makeFigure))));
  const curves = rates.map(([name, path, unit]) =>
    make('div', {}, make('dt', {}, name), make('dd', { 'data-rate': path, 'data-as': unit }, '–')));
  find('#cards').append(...full,
    makeCard('Rates', 'rates', make('dl', {}, ...curves)),
    makeCard('Headers', 'headers', make('dl', {}, ...headers.map(([name, key]) => makeFigure([name, `headers.${key}`, 'count'])))),
    makeCard('Closed', 'closed', make('dl')),
    makeCard('Headers refused', 'refused', make('dl')));
  find('#refused').classList.add('wide');
}

const states = {
  serving: ['', 'serving'],
  draining: ['warn', 'draining: it is about to end'],
  full: ['bad', 'full: further connections wait'],
  exhausted: ['bad', 'exhausted: no files or memory for further connections'],
};

function showState(kind, text) {
  find('#state').className = kind;
  write(find('#state'), text);
  document.title = `proxy-echo: ${text}`;
}

function showStatus(status) {
  showState(...(states[status.state] ?? ['bad', status.state]));
  find('#process').hidden = !status.process;
  const closed = Object.entries(status.connections.closed).filter(([, count]) => count > 0);
  showCounts(find('#closed dl'), closed.map(([reason]) => [reason.replaceAll('_', ' '), `connections.closed.${reason}`, 'count']));
  showCounts(find('#refused dl'), status.refused.map(({ message }, index) => [message, `refused.${index}.count`, 'count']));
  for (const element of all('data')) {
    const value = at(status, element.dataset.json);
    element.value = value ?? '';
    write(element, value == null ? 'unknown' : say[element.dataset.as](value));
    if (element.dataset.as === 'bytes') element.title = `${say.count(value)} bytes`;
    if ('alarm' in element.dataset) element.classList.toggle('bad', value > 0);
  }
  for (const element of all('[data-time]')) {
    const time = at(status, element.dataset.time);
    write(element, time ? `, at ${say.time(time)}` : '');
  }
  for (const bar of all('.bar')) {
    const percent = Math.min((at(status, bar.dataset.part) / at(status, bar.dataset.limit)) * 100, 100) || 0;
    bar.className = percent >= 90 ? 'bar bad' : percent >= 75 ? 'bar warn' : 'bar';
    bar.firstChild.style.width = `${percent && Math.max(percent, 1)}%`;
    bar.setAttribute('aria-valuenow', Math.round(percent));
  }
  showRates(status);
  showRows(find('#refusals'), refusals, status.recent_refusals);
  find('#refusals').hidden = !status.recent_refusals.length;
}

function showCounts(list, counts) {
  if (isNew(list, counts)) list.replaceChildren(...(counts.length ? counts.map(makeFigure) : [make('dt', {}, 'none')]));
}

// A rate is the difference between two answers, divided by the server's own time between them.
const CURVE = 30;
let before;
function showRates(status) {
  const seconds = status.uptime_seconds - before?.uptime_seconds;
  if (before?.pid === status.pid && seconds >= 0 && seconds < 0.8) return;
  for (const element of all('[data-rate]')) {
    const { rate: path, as: unit } = element.dataset;
    const rate = (at(status, path) - at(before, path)) / seconds;
    if (before?.pid !== status.pid || !(rate >= 0)) continue;
    element.past = [...(element.past ?? []), rate].slice(-CURVE);
    write(element, unit === 'percent' ? say.percent(rate) : `${say[unit](rate)}/s`);
    showCurve(element.parentElement, element.past);
  }
  before = status;
}

function showCurve(row, values) {
  if (!find('svg', row)) row.append(find('#curve').content.cloneNode(true));
  const most = Math.max(...values) || 1;
  const points = values.map((value, index) => `${CURVE - values.length + index},${(19 - (value / most) * 18).toFixed(1)}`);
  find('polyline', row).setAttribute('points', points.join(' '));
}


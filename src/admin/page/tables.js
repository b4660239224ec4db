// ---- Tables: refused headers, and live connections

const refusals = [
  { label: 'Time (UTC)', style: 'code time', text: (refusal) => say.time(refusal.time) },
  { label: 'Balancer', style: 'code address', text: (refusal) => refusal.peer },
  { label: 'Reason', style: 'address', text: (refusal) => refusal.message },
  { label: 'At byte', style: 'number', text: (refusal) => say.count(refusal.offset) },
  { label: 'Received', style: 'code tlvs', text: (refusal) => refusal.received || '(nothing)' },
];
const balancers = [
  { label: 'Balancer', style: 'code address', text: (row) => row.peer ?? 'others' },
  { label: 'Connections', style: 'number', text: (row) => say.count(row.active) },
  { label: 'Accepted', style: 'number', text: (row) => say.count(row.accepted) },
  { label: 'Each second', style: 'number', text: (row) => (row.rate === undefined ? '–' : say.rate(row.rate)) },
  { label: 'v1', style: 'number', text: (row) => say.count(row.v1) },
  { label: 'v2', style: 'number', text: (row) => say.count(row.v2) },
  { label: 'No header', style: 'number', text: (row) => say.count(row.absent) },
  { label: 'Refused', style: 'number', text: (row) => say.count(row.refused), isAlarm: (row) => row.refused > 0 },
  { label: 'Last seen (UTC)', style: 'code time', text: (row) => say.time(row.last_seen) },
];
const connections = [
  { label: '#', style: 'number', sort: 'number', text: (row) => String(row.connection) },
  { label: 'State', text: (row) => row.state.replaceAll('_', ' ') },
  { label: 'Header', text: (row) => (row.version ? `v${row.version} ${row.family}` : 'none') },
  { label: 'Client → destination', style: 'code address client',
    text: (row) => (row.source ? `${row.source}\n→\u00a0${row.destination}` : '–') },
  { label: 'Balancer', style: 'code address', text: (row) => row.peer },
  { label: 'TLVs', style: 'code tlvs', show: showTlvs },
  { label: 'In', style: 'number', sort: 'bytes_in', text: (row) => say.bytes(row.bytes_in) },
  { label: 'Out', style: 'number', sort: 'bytes_out', text: (row) => say.bytes(row.bytes_out) },
  { label: 'Held', style: 'number', sort: 'held', text: (row) => say.bytes(row.held) },
  { label: 'Age', style: 'number', sort: 'age', text: (row) => say.duration(row.age_seconds) },
  { label: 'Idle', style: 'number', sort: 'idle', text: (row) => say.duration(row.idle_seconds) },
];

function makeHead(section, columns) {
  find('thead tr', section).append(...columns.map(({ label, style = '', sort }) => {
    const heading = make('th', { role: 'columnheader', scope: 'col', class: style.replace('code', '') }, sort ? '' : label);
    if (sort) {
      heading.dataset.sort = sort;
      heading.append(make('button', { title: `Sort by ${sort.replace('_', ' ')}` }, label));
      heading.lastChild.onclick = () =>
        change({ sort, order: view.sort === sort && view.order === 'desc' ? 'asc' : 'desc', offset: 0 });
    }
    return heading;
  }));
}

// A row keeps its element when it moves, so that whatever is open, selected or focused in it stays so.
function showRows(section, columns, items) {
  const body = find('tbody', section);
  const old = new Map([...body.rows].map((row) => [row.key, row]));
  items.forEach((item, index) => {
    const key = item.connection ?? `${item.time ?? ''} ${item.peer}`;
    const row = old.get(key) ?? make('tr', { role: 'row' }, ...columns.map(({ label, style = '' }) =>
      make('td', { role: 'cell', 'data-label': label, class: style })));
    old.delete(key);
    row.key = key;
    columns.forEach((column, nth) => {
      const cell = row.cells[nth];
      if (column.show) column.show(item, cell);
      else write(cell, column.text(item));
      cell.classList.toggle('none', cell.textContent === '–');
      cell.classList.toggle('bad', column.isAlarm?.(item) ?? false);
    });
    if (body.rows[index] !== row) body.insertBefore(row, body.rows[index] ?? null);
  });
  for (const row of old.values()) row.remove();
}

// A rate is the difference between two answers, as for the server's rates.
let counted = { accepted: new Map() };
function showBalancers({ balancers: items, others }, { pid, uptime_seconds: uptime }) {
  const rows = others ? [...items, others] : items;
  const seconds = uptime - counted.uptime;
  if (counted.pid !== pid || !(seconds < 0.8)) {
    const before = counted.pid === pid ? counted.accepted : new Map();
    const rate = ({ peer, accepted }) => Math.max(accepted - (before.get(peer) ?? 0), 0) / seconds;
    const rates = new Map(before.size ? rows.map((row) => [row.peer, rate(row)]) : []);
    counted = { pid, uptime, rates, accepted: new Map(rows.map(({ peer, accepted }) => [peer, accepted])) };
  }
  showRows(find('#balancers'), balancers, rows.map((row) => ({ ...row, rate: counted.rates.get(row.peer) })));
  find('#balancers').hidden = !rows.length;
  write(find('#balancers .soft'), say.count(items.length) + (others ? ', and the others together' : ''));
}

function tlvText(tlv) {
  if ('text' in tlv) return `"${tlv.text}"`;
  if ('checksum' in tlv) return hex(tlv.checksum, 8);
  if ('padding' in tlv) return `of ${say.count(tlv.padding)} bytes`;
  return tlv.id ?? tlv.hex ?? `client ${hex(tlv.client, 2)}, verify ${tlv.verify}`;
}

// A TLV, then the nested ones.
const flat = (tlvs, prefix = '') => tlvs.flatMap((tlv) => {
  const name = prefix + (tlv.name ?? hex(tlv.type, 2));
  return [[name, tlvText(tlv)], ...flat(tlv.tlvs ?? [], `${name} `)];
});

function showTlvs({ tlvs = [], tlvs_left_out: more }, cell) {
  if (!isNew(cell, [tlvs, more])) return;
  const lines = flat(tlvs);
  if (more) lines.push([`and ${more} more`, '']);
  const summary = lines.map((line) => line.join(' ')).join(', ');
  const items = lines.map(([name, text]) => make('li', {}, make('b', {}, name), ` ${text}`));
  cell.replaceChildren(lines.length ? make('details', {}, make('summary', {}, summary), make('ul', {}, ...items)) : '–');
}

function showConnections({ total, matched, offset, connections: items }) {
  for (const heading of all('#list th')) {
    if (heading.dataset.sort !== view.sort) heading.removeAttribute('aria-sort');
    else heading.setAttribute('aria-sort', view.order === 'asc' ? 'ascending' : 'descending');
  }
  showRows(find('#list'), connections, items);
  const range = matched > PAGE ? `${say.count(offset + 1)} to ${say.count(offset + items.length)} of ` : '';
  write(find('#shown'), `${range}${say.count(matched)}${view.filter ? ` that match, of ${say.count(total)}` : ''}`);
  write(find('#nothing'), view.filter ? `Nothing matches “${view.filter}”.` : 'There are no connections.');
  find('#nothing').hidden = matched > 0;
  const page = offset / PAGE + 1;
  const pages = Math.max(Math.ceil(Math.min(matched, DEPTH) / PAGE), 1);
  find('#deep').hidden = matched <= DEPTH;
  Object.assign(turns, { first: 1, previous: page - 1, next: page + 1, last: pages });
  if (document.activeElement !== find('#page')) find('#page').value = page;
  find('#page').max = pages;
  write(find('#pages'), say.count(pages));
  find('#pager').hidden = pages === 1;
  for (const button of all('#pager button')) {
    const to = turns[button.dataset.to];
    button.disabled = to < 1 || to > pages || to === page;
  }
}


// ---- The last hour

const MINUTE = 60_000;
// Each chart: its name, what is drawn (a field of the history and its name in words), whether that is a count per
// period, the unit, and the highest figure.
const charts = [
  ['Connections', [['active', 'open']], false, 'count', 'active'],
  ['Accepted each second', [['accepted', 'accepted'], ['refused', 'refused']], true, 'rate', 'accepted_per_second'],
  ['Bytes each second', [['bytes_in', 'in'], ['bytes_out', 'out']], true, 'bytes', 'bytes_in_per_second'],
  ['Held memory', [['held', 'held']], false, 'bytes', 'held_bytes'],
];

function makeCharts() {
  find('#charts').append(...charts.map(([name, lines, isRate, unit, highest]) => {
    const chart = find('#chart').content.firstElementChild.cloneNode(true);
    Object.assign(chart, { lines, isRate, unit });
    write(find('h3', chart), name);
    find('.highest', chart).append('highest ', makeData(`highest.${highest}.value`, unit), isRate && unit === 'bytes' ? '/s in' : '',
      make('span', { 'data-time': `highest.${highest}.time` }), lines[1] ? `; dashed: ${lines[1][1]}` : '');
    const plot = find('.plot', chart);
    plot.setAttribute('aria-label', `${name}, the last hour; arrow keys move through it`);
    plot.onpointermove = ({ clientX }) => {
      const { left, width } = plot.getBoundingClientRect();
      point(chart, chart.samples - Math.round((1 - (clientX - left) / width) * chart.periods) - 1);
    };
    plot.onpointerleave = plot.onblur = () => point(chart);
    plot.onfocus = () => point(chart, chart.samples - 1);
    plot.onkeydown = (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      point(chart, (chart.at ?? chart.samples) + step);
    };
    return chart;
  }));
}

function showHistory(history) {
  const end = Date.parse(history.end);
  const periods = 3600 / history.period_seconds - 1;
  for (const chart of all('#charts > *')) {
    const values = chart.lines.map(([field]) =>
      chart.isRate ? history[field].map((count) => count / history.period_seconds) : history[field]);
    Object.assign(chart, { values, end, periods, period: history.period_seconds * 1000, samples: values[0].length });
    const top = ceiling(Math.max(...values.flat(), 0), chart.unit);
    [top, top / 2, 0].forEach((value, index) => write(find('.axis', chart).children[index], say[chart.unit](value)));
    all('polyline', chart).forEach((line, index) => line.setAttribute('points', (values[index] ?? []).map((value, nth) =>
      `${(periods - chart.samples + 1 + nth).toFixed(0)},${(100 - (value / top) * 100).toFixed(2)}`).join(' ')));
    showHours(chart);
    point(chart, chart.at);
  }
}

// The quarter hours on the axis.
function showHours(chart) {
  const quarter = 15 * MINUTE;
  const start = chart.end - chart.periods * chart.period;
  const marks = [];
  for (let time = Math.ceil(start / quarter) * quarter; time <= chart.end; time += quarter) {
    const share = (time - start) / (chart.end - start);
    // Keep a text at the edge inside the chart.
    const shift = share < 0.05 ? 0 : share > 0.95 ? -100 : -50;
    marks.push([`left: ${(share * 100).toFixed(2)}%; transform: translateX(${shift}%)`, new Date(time).toISOString().slice(11, 16)]);
  }
  if (isNew(find('.hours', chart), marks)) {
    find('.hours', chart).replaceChildren(...marks.map(([style, text]) => make('span', { style }, text)));
  }
}

// The next round figure from `value` upwards, in the unit's steps.
function ceiling(value, unit) {
  const least = unit === 'bytes' ? 1024 : 2;
  if (value <= least) return least;
  const base = unit === 'bytes' ? 1024 : 1000;
  const scale = unit === 'bytes' ? base ** Math.floor(Math.log(value) / Math.log(base)) : 1;
  const ten = 10 ** Math.floor(Math.log10(value / scale));
  return scale * ten * [1, 2, 4, 6, 8, 10].find((step) => step * ten * scale >= value);
}

// Shows the figures of one sample, or of the last one.
function point(chart, wanted) {
  const at = wanted === undefined ? undefined : Math.min(Math.max(wanted, 0), chart.samples - 1);
  chart.at = chart.samples > 0 ? at : undefined;
  const mark = find('.mark', chart);
  mark.hidden = chart.at === undefined;
  if (!(chart.samples > 0)) return write(find('.value', chart), 'The first sample comes after ten seconds.');
  const nth = chart.at ?? chart.samples - 1;
  mark.style.left = `${((chart.periods - chart.samples + 1 + nth) / chart.periods) * 100}%`;
  const time = new Date(chart.end - (chart.samples - 1 - nth) * chart.period).toISOString();
  const figures = chart.lines.map(([, name], line) => `${say[chart.unit](chart.values[line][nth])}${chart.isRate ? '/s' : ''} ${name}`);
  write(find('.value', chart), `${say.clock(time)}: ${figures.join(', ')}`);
}


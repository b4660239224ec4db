// ---- The state of the view, kept in the page's address

const PAGE = 100;
// The server's limit on a place in the order.
const DEPTH = 10_000;
const defaults = { sort: 'number', order: 'desc', filter: '', offset: 0, every: 2 };
const view = {};
const turns = {};

function readAddress() {
  const given = { ...defaults, ...Object.fromEntries(new URLSearchParams(location.hash.slice(1))) };
  view.sort = connections.some(({ sort }) => sort === given.sort) ? given.sort : defaults.sort;
  view.order = given.order === 'asc' ? 'asc' : 'desc';
  view.filter = find('#filter').value = given.filter;
  view.offset = Math.min(Math.max(Math.floor(given.offset / PAGE) * PAGE, 0) || 0, DEPTH - PAGE);
  find('#every').value = given.every;
  view.every = Number(find('#every').value ||= defaults.every);
}

function change(changes) {
  Object.assign(view, changes);
  const told = Object.keys(defaults).filter((key) => view[key] !== defaults[key]).map((key) => [key, view[key]]);
  history.replaceState(null, '', `#${new URLSearchParams(told)}`);
  return refresh();
}

function turnTo(page) {
  if (find('#list').getBoundingClientRect().top < 0) find('#list').scrollIntoView();
  change({ offset: (Math.min(Math.max(Math.floor(page) || 1, 1), turns.last) - 1) * PAGE });
}

// ---- Asking the server

let asked, answered, timer;
let isPaused = false;

async function get(path, signal) {
  const answer = await fetch(path, { signal });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`The server says: ${text}`);
  // Ids have up to 64 bits, more than a JavaScript number holds exactly.
  return JSON.parse(text, (key, value, context) => (key === 'id' && context?.source) || value);
}

async function refresh() {
  clearTimeout(timer);
  asked?.abort();
  const mine = asked = new AbortController();
  const late = setTimeout(() => mine.abort(), 10_000);
  const { sort, order, filter, offset, every } = view;
  const query = new URLSearchParams({ sort, order, filter, offset, limit: PAGE });
  let answers, failure;
  try {
    answers = await Promise.all(['/status.json', `/connections.json?${query}`, '/balancers.json', '/history.json']
      .map((path) => get(path, mine.signal)));
  } catch (error) {
    failure = error;
  }
  clearTimeout(late);
  if (mine !== asked) return;
  if (!isPaused && !document.hidden) timer = setTimeout(refresh, every * 1000);
  if (failure) return showStale(failure);
  const [status, list, peers, history] = answers;
  if (offset > 0 && offset >= list.matched) return change({ offset: Math.max(Math.ceil(list.matched / PAGE) - 1, 0) * PAGE });
  answered = new Date();
  find('#stale').hidden = true;
  showStatus(status);
  showBalancers(peers, status);
  showHistory(history);
  showConnections(list);
}

function showStale(error) {
  const said = error.name === 'Error' ? error.message : 'The server does not answer.';
  const since = answered ? ` All below is stale since ${say.clock(answered.toISOString())} UTC.` : '';
  write(find('#stale'), `${said}${since}${isPaused ? '' : ' The page goes on trying.'}`);
  find('#stale').hidden = false;
  showState('bad', 'no answer');
}

// ---- The user's input

makeCards();
makeCharts();
makeHead(find('#balancers'), balancers);
makeHead(find('#refusals'), refusals);
makeHead(find('#list'), connections);
find('#filter').oninput = ({ target }) => change({ filter: target.value.trim(), offset: 0 });
for (const button of all('#pager button')) button.onclick = () => turnTo(turns[button.dataset.to]);
find('#page').onchange = ({ target }) => turnTo(target.value);
find('#every').onchange = ({ target }) => change({ every: Number(target.value) });
find('#now').onclick = refresh;
find('#pause').onclick = ({ target }) => {
  isPaused = !isPaused;
  target.setAttribute('aria-pressed', isPaused);
  if (isPaused) clearTimeout(timer); else refresh();
};
document.onvisibilitychange = () => { if (document.hidden) clearTimeout(timer); else if (!isPaused) refresh(); };
window.onhashchange = () => { readAddress(); refresh(); };
readAddress();
refresh();

/**
 * The web page: five views of this node on the admin API, one file, no library, nothing loaded from elsewhere.
 * Every text from the cluster is set as text, never as markup.
 */

const style = `
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }
body { margin: 0 auto; max-width: 72rem; padding: 1rem; }
h1 { font-size: 1.2rem; } h2 { font-size: 1rem; margin: 1.6rem 0 .4rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .15rem .6rem .15rem 0; vertical-align: top; }
th { font-weight: 600; border-bottom: 1px solid #8886; } td { border-bottom: 1px solid #8882; font-variant-numeric: tabular-nums; }
.ok { color: #2a7d2e; } .bad { color: #c0392b; } form { display: flex; gap: .5rem; flex-wrap: wrap; }
input, select, button { font: inherit; padding: .15rem .4rem; } svg { width: 100%; height: 7rem; background: #8881; }
#topology { height: 11rem; background: none; } #topology text { font-size: 11px; fill: currentColor; text-anchor: middle; }
#topology line { stroke: #c0392b; stroke-width: 2; } #topology line.ok { stroke: #2a7d2e; } #topology circle { fill: #8884; }
#matrix td, #matrix th { padding: .1rem .3rem; text-align: center; } #matrix th:first-child { text-align: right; font-weight: 400; }
#matrix tr:first-child th { writing-mode: vertical-rl; font-weight: 400; } #matrix { width: auto; }
polyline { fill: none; stroke: currentColor; stroke-width: 1.5; vector-effect: non-scaling-stroke; }`;

const script = `
const $ = (id) => document.getElementById(id);
const get = async (path) => { const r = await fetch('/api' + path); const body = await r.json(); if (!r.ok) throw new Error(body.error); return body; };
const rows = (id, head, items) => {
  const table = $(id); table.replaceChildren();
  const line = (cells, tag) => { const tr = document.createElement('tr');
    for (const cell of cells) { const td = document.createElement(tag); const [text, name] = Array.isArray(cell) ? cell : [cell];
      td.textContent = text ?? ''; if (name) td.className = name; tr.append(td); } table.append(tr); };
  line(head, 'th'); for (const item of items) line(item, 'td');
};
const since = (at) => at ? Math.round((Date.now() - at) / 1000) + ' s' : '';
async function overview() {
  const s = await get('/status');
  $('title').textContent = s.node + ': ' + (s.ready ? 'ready' : 'not ready'); $('title').className = s.ready ? 'ok' : 'bad';
  topology(s.node, s.peers);
  rows('blocks', ['Block', 'State', 'Passes', 'Last', 'Note'], s.blocks.map((b) => [b.name, b.ready ? ['ready', 'ok'] : ['not ready', 'bad'], b.passes, since(b.last?.at), b.trouble]));
  rows('peers', ['Peer', 'Name', 'AS', 'State', 'For', 'Received', 'Announced', 'Note'], s.peers.map((p) => [p.address, p.name, p.asn, [p.state, p.state === 'established' ? 'ok' : 'bad'], since(p.since), p.received, p.announced, p.reason]));
  rows('issues', ['Object', 'Field', 'Reason'], s.issues.map((i) => [i.object, i.field, i.reason]));
}
const NS = 'http://www.w3.org/2000/svg';
function topology(node, peers) {
  const svg = $('topology'); svg.replaceChildren();
  const put = (tag, attributes, text) => { const e = document.createElementNS(NS, tag); for (const k in attributes) e.setAttribute(k, attributes[k]); if (text) e.textContent = text; svg.append(e); };
  const shown = peers.slice(0, 24);
  shown.forEach((p, i) => { const x = 1000 * (i + 0.5) / shown.length, up = p.state === 'established';
    put('line', { x1: 500, y1: 130, x2: x, y2: 40, class: up ? 'ok' : '' }); put('circle', { cx: x, cy: 40, r: 8 });
    put('text', { x, y: 24 }, p.address); put('text', { x, y: 62 }, 'AS ' + p.asn); });
  put('circle', { cx: 500, cy: 130, r: 12 }); put('text', { x: 500, y: 160 }, node);
  if (peers.length === 0) put('text', { x: 500, y: 60 }, 'no BGP session is configured');
}
const rate = (x) => x.rate === undefined ? '' : x.rate + '/s of ' + x.connections;
async function services() {
  const { services } = await get('/services?limit=200&filter=' + encodeURIComponent($('service').value));
  rows('services', ['Virtual server', 'Scheduler', 'Connections', 'Backends (weight, connections)'], services.map((s) => [(s.owner === undefined ? '' : s.owner + ' ') + s.service, s.scheduler, rate(s), s.backends.map((b) => b.address + ' (' + b.weight + (b.rate === undefined ? '' : ', ' + rate(b)) + ')').join(', ')]));
}
async function policies() {
  const { policies } = await get('/policies?limit=200');
  rows('policies', ['Policy', 'Directions', 'Pods here', 'Let through', 'Refused'], policies.map((p) => [p.policy, p.directions.join(', '), p.pods.join(', '), p.allowed, p.refused]));
  const q = new URLSearchParams({ port: $('mport').value || '0', protocol: $('mprotocol').value, filter: $('mfilter').value });
  const m = await get('/matrix?' + q).catch(() => ({ pods: [], rows: [] }));
  rows('matrix', [m.pods.length ? 'from \\ to' : 'no pod', ...m.pods], m.rows.map((row, i) => [m.pods[i], ...[...row].map((c) => c === '+' ? ['✓', 'ok'] : ['✗', 'bad'])]));
  const head = $('matrix').rows; for (let i = 1; i < head.length; i++) { const th = document.createElement('th'); th.textContent = m.pods[i - 1]; head[i].cells[0].replaceWith(th); }
}
async function routes() {
  const { routes, total } = await get('/routes?limit=200&filter=' + encodeURIComponent($('prefix').value));
  rows('routes', ['Prefix (' + total + ')', 'Next hops'], routes.map((r) => [r.prefix, r.nextHops.map((n) => n.via).join(', ')]));
}
async function rib() {
  const q = new URLSearchParams($('glassview').value === 'loc' ? { prefix: $('glass').value } : { peer: $('glass').value, view: $('glassview').value });
  try { const { paths } = await get('/rib?limit=200&' + q);
    rows('rib', ['Prefix', 'From', 'Next hop', 'AS path', 'Communities', 'Why'], paths.map((p) => [p.prefix, p.peer || 'here', p.nextHop, p.asPath, p.communities.join(' '), [p.reason, p.best ? 'ok' : '']]));
  } catch (error) { rows('rib', [error.message], []); }
}
async function explain() {
  const q = new URLSearchParams({ from: $('from').value, to: $('to').value, port: $('port').value || '0', protocol: $('protocol').value });
  try { const v = await get('/explain?' + q);
    const why = (d) => d.reason + (d.policy ? ' of ' + d.policy + ' rule ' + d.rule : d.policies ? ' by ' + d.policies.join(', ') : '');
    $('verdict').textContent = v.verdict + ': egress ' + why(v.egress) + '; ingress ' + why(v.ingress); $('verdict').className = v.verdict === 'allow' ? 'ok' : 'bad';
  } catch (error) { $('verdict').textContent = error.message; $('verdict').className = 'bad'; }
}
async function latency() {
  const { passes } = await get('/passes?limit=500');
  const timed = passes.filter((p) => p.latencyMs !== undefined).reverse();
  const top = Math.max(1, ...timed.map((p) => p.latencyMs));
  $('plot').setAttribute('points', timed.map((p, i) => (i / Math.max(1, timed.length - 1) * 1000) + ',' + (100 - p.latencyMs / top * 96)).join(' '));
  $('top').textContent = timed.length === 0 ? 'no change yet' : timed.length + ' changes, slowest ' + Math.round(top) + ' ms';
}
const all = () => Promise.all([overview(), services(), policies(), routes(), latency()]).catch((error) => { $('title').textContent = error.message; $('title').className = 'bad'; });
$('service').oninput = services; $('prefix').oninput = routes;
$('mfilter').oninput = $('mport').oninput = $('mprotocol').oninput = policies;
$('look').onsubmit = (event) => { event.preventDefault(); rib(); };
$('ask').onsubmit = (event) => { event.preventDefault(); explain(); };
let due; new EventSource('/events').addEventListener('pass', () => { due ??= setTimeout(() => { due = undefined; all(); }, 500); });
setInterval(all, 10000); all();`;

/** The page's HTML. */
export const page = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>kube-router-agent</title>
<meta name="viewport" content="width=device-width"><style>${style}</style></head><body>
<h1 id="title">…</h1>
<h2>Topology and sessions</h2><svg id="topology" viewBox="0 0 1000 170" role="img" aria-label="This node and its BGP sessions"></svg><table id="peers"></table><table id="blocks"></table>
<h2>Services</h2><form onsubmit="return false"><input id="service" placeholder="filter" aria-label="Filter services"></form><table id="services"></table>
<h2>Can A reach B?</h2><form id="ask"><input id="from" placeholder="namespace/pod or address" aria-label="From" required>
<input id="to" placeholder="namespace/pod or address" aria-label="To" required><input id="port" type="number" min="0" max="65535" placeholder="port" aria-label="Port">
<select id="protocol" aria-label="Protocol"><option>tcp</option><option>udp</option><option>sctp</option><option>icmp</option></select><button>Ask</button></form><p id="verdict" role="status"></p>
<form onsubmit="return false"><input id="mfilter" placeholder="pods whose name contains" aria-label="Pods of the matrix"><input id="mport" type="number" min="0" max="65535" placeholder="port" aria-label="Port of the matrix">
<select id="mprotocol" aria-label="Protocol of the matrix"><option>tcp</option><option>udp</option><option>sctp</option></select></form><table id="matrix"></table><table id="policies"></table>
<h2>Looking glass</h2><form id="look"><select id="glassview" aria-label="Table"><option value="loc">Loc-RIB of prefix</option><option value="in">Adj-RIB-In of peer</option><option value="out">Adj-RIB-Out of peer</option></select>
<input id="glass" placeholder="prefix, address or peer" aria-label="Prefix or peer" required><button>Look</button></form><table id="rib"></table>
<h2>Routes learned</h2><form onsubmit="return false"><input id="prefix" placeholder="prefix or next hop" aria-label="Filter routes"></form><table id="routes"></table>
<h2>From change to kernel</h2><svg viewBox="0 0 1000 100" preserveAspectRatio="none"><polyline id="plot"></polyline></svg><p id="top"></p>
<h2>Issues</h2><table id="issues"></table>
<script>${script}</script></body></html>
`;

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
  rows('blocks', ['Block', 'State', 'Passes', 'Last', 'Note'], s.blocks.map((b) => [b.name, b.ready ? ['ready', 'ok'] : ['not ready', 'bad'], b.passes, since(b.last?.at), b.trouble]));
  rows('peers', ['Peer', 'Name', 'AS', 'State', 'For', 'Received', 'Announced', 'Note'], s.peers.map((p) => [p.address, p.name, p.asn, [p.state, p.state === 'established' ? 'ok' : 'bad'], since(p.since), p.received, p.announced, p.reason]));
  rows('issues', ['Object', 'Field', 'Reason'], s.issues.map((i) => [i.object, i.field, i.reason]));
}
async function services() {
  const { services } = await get('/services?limit=500&filter=' + encodeURIComponent($('service').value));
  rows('services', ['Virtual server', 'Scheduler', 'Backends (weight)'], services.map((s) => [s.service, s.scheduler, s.backends.map((b) => b.address + ' (' + b.weight + ')').join(', ')]));
}
async function routes() {
  const { routes, total } = await get('/routes?limit=200&filter=' + encodeURIComponent($('prefix').value));
  rows('routes', ['Prefix (' + total + ')', 'Next hops'], routes.map((r) => [r.prefix, r.nextHops.map((n) => n.via).join(', ')]));
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
const all = () => Promise.all([overview(), services(), routes(), latency()]).catch((error) => { $('title').textContent = error.message; $('title').className = 'bad'; });
$('service').oninput = services; $('prefix').oninput = routes;
$('ask').onsubmit = (event) => { event.preventDefault(); explain(); };
let due; new EventSource('/events').addEventListener('pass', () => { due ??= setTimeout(() => { due = undefined; all(); }, 500); });
setInterval(all, 10000); all();`;

/** The page's HTML. */
export const page = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>kube-router-agent</title>
<meta name="viewport" content="width=device-width"><style>${style}</style></head><body>
<h1 id="title">…</h1>
<h2>Topology and sessions</h2><table id="peers"></table><table id="blocks"></table>
<h2>Services</h2><form onsubmit="return false"><input id="service" placeholder="filter" aria-label="Filter services"></form><table id="services"></table>
<h2>Can A reach B?</h2><form id="ask"><input id="from" placeholder="namespace/pod or address" aria-label="From" required>
<input id="to" placeholder="namespace/pod or address" aria-label="To" required><input id="port" type="number" min="0" max="65535" placeholder="port" aria-label="Port">
<select id="protocol" aria-label="Protocol"><option>tcp</option><option>udp</option><option>sctp</option><option>icmp</option></select><button>Ask</button></form><p id="verdict" role="status"></p>
<h2>Routes learned</h2><form onsubmit="return false"><input id="prefix" placeholder="prefix or next hop" aria-label="Filter routes"></form><table id="routes"></table>
<h2>From change to kernel</h2><svg viewBox="0 0 1000 100" preserveAspectRatio="none"><polyline id="plot"></polyline></svg><p id="top"></p>
<h2>Issues</h2><table id="issues"></table>
<script>${script}</script></body></html>
`;
